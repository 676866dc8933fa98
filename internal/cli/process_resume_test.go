package cli_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A copier is killed when it has read four fifths of a large file: of 256 MiB, and of a
// gigabyte in make long. Whoever gets the file next sends the rest; the source shows it,
// which counts what it gave away. What it gives twice does not depend on the size: the 64 MiB
// between two notes, the twelve parts in memory, and what is under way: also of the first
// body of each attempt, which is closed behind its first part.
func TestAKilledCopierCostsLittleOfALargeFile(t *testing.T) {
	t.Parallel()
	const twice = 64<<20 + 16*8<<20
	size := int64(256 << 20)
	if os.Getenv("LONG") != "" { // make long
		size = 1 << 30
	}
	l := newLab(t, simulator.Options{S3Dir: shortDir(t), Policy: simulator.PutOnly}, "FOCUS_ADVANCED_CHUNK_SIZE_BYTES=8388608")
	name, _ := l.add(1, 1, size)
	l.sim.Source.Reports() // the simulator's own sums take their time before the clock runs
	began := time.Now()
	// Each part is a request, and four are under way at once.
	h := l.hold(l.sim.OCIFaults, simulator.Rule{Op: "GetObject", After: int(size/5*4)>>23 + 4, Times: 1}, 0)
	ext, queue := l.newBroker(2 * time.Second)
	ext.start("scanner").says("sync complete")
	one := ext.start("copier")
	h.mustBeReached(t)
	one.kill()
	h.letGo()
	before := l.sim.OCI.BytesServed()
	two := ext.start("copier")
	until(t, "the next copier has copied it", patience, func() bool { return len(l.wrong()) == 0 && ext.recorded(queue) })
	served := l.sim.OCI.BytesServed()
	t.Logf("the source served %d MiB until the crash, %d MiB in all, of a file of %d MiB, in %v", before>>20, served>>20, size>>20, time.Since(began).Round(10*time.Millisecond))
	if before < size/5*4 || served > size+twice {
		t.Errorf("the source served %d bytes before and %d in all, want at most %d more than the %d of the file", before, served, int64(twice), size)
	}
	two.says("going on with the upload")
	until(t, "the queue is empty", patience, queue.empty)
	two.signal(syscall.SIGTERM)
	if code := two.exit(stopWithin); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	l.mustBeRight()
	l.mustHaveCommittedOnce()
	if n := l.sim.S3.Requests()["CreateMultipartUpload"]; n != 1 {
		t.Errorf("%d uploads were begun, want one", n)
	}
	if r := queue.records()[name]; r.Status != messages.StatusCopied || r.Copy.Verified != messages.ByCRC32C {
		t.Errorf("the ledger says %+v", r)
	}
}
