package cli_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// 96 MiB, and one and a half times the twelve parts of 8 MiB that may be in
// flight; the binary is the one that is delivered, without the race detector.
func TestMemoryIsBoundedWhateverTheSize(t *testing.T) {
	t.Parallel()
	const limit = 96 + 12*8*3/2 // MiB
	l := newLab(t, simulator.Options{S3Dir: shortDir(t), Policy: simulator.PutOnly},
		"FOCUS_ADVANCED_CHUNK_SIZE_BYTES=8388608", "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=8")
	program := build(t)
	l.add(1, 1, 300<<20)
	for id := range 4 { // two of them are reports, which are read for their statistics
		name, _ := l.add(1, id+2, 40<<20)
		if id%2 == 0 {
			l.sim.Source.Add(simulator.Object{Name: name, Content: manyReports(40 << 20)})
		}
	}
	l.sim.Source.Reports() // the simulator's own sums take their time before the clock runs
	// A destination that lags is what fills the buffers.
	l.sim.S3Faults.Add(simulator.Rule{Op: "UploadPart", Do: simulator.Latency(100 * time.Millisecond)})
	p := startProcess(t, l.environ, program, "run")
	until(t, "all is copied", patience, func() bool { return len(l.sim.S3.History()) == 5 })
	elapsed := time.Since(p.started)
	peak := peakMiB(t, p.cmd.Process.Pid)
	t.Logf("460 MiB in %v with a peak of %d MiB, limit %d", elapsed.Round(10*time.Millisecond), peak, limit)
	if peak > limit {
		t.Errorf("peak of %d MiB, want at most %d", peak, limit)
	}
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	l.mustBeRight()
	l.mustHaveCommittedOnce()
}

// reports is the same report again and again, as members of one gzip file.
type reports struct {
	one   []byte
	times int64
}

func manyReports(size int64) simulator.Content {
	one, err := io.ReadAll(simulator.FocusReport(1, time.Now(), 5000).Open(0))
	if err != nil {
		panic(err) // unreachable: it is made in memory
	}
	return reports{one, size/int64(len(one)) + 1}
}

func (r reports) Size() int64 { return r.times * int64(len(r.one)) }

func (r reports) Open(offset int64) io.Reader {
	var all []io.Reader
	for range r.times {
		all = append(all, bytes.NewReader(r.one))
	}
	body := io.MultiReader(all...)
	io.CopyN(io.Discard, body, offset)
	return body
}

// build makes the program as it is delivered.
func build(t testing.TB) (path string) {
	t.Helper()
	tool, err := exec.LookPath("go")
	if err != nil {
		t.Skip("the go tool is not on the PATH; the program without the race detector cannot be built")
	}
	path = filepath.Join(shortDir(t), "oracle-focus-agent")
	if out, err := exec.CommandContext(t.Context(), tool, "build", "-o", path, "oracle-focus-agent/cmd/oracle-focus-agent").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

// peakMiB is the most memory that a running process has had. Unlike ru_maxrss it
// does not begin with that of its parent.
func peakMiB(t testing.TB, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("this system does not tell the peak memory of a process: %v", err)
	}
	var kib int
	_, line, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatalf("read VmHWM: %v", err)
	}
	return kib >> 10
}
