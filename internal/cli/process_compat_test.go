package cli_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// An earlier version and this one take turns on one ledger and on one queue, and no
// file is sent twice. COMPAT is that version's program, as `make compat` builds it.
func TestAnEarlierVersionTakesTurns(t *testing.T) {
	program := os.Getenv("COMPAT")
	if program == "" {
		t.Skip("there is no program of an earlier version: make compat builds one")
	}
	t.Run("ledger", func(t *testing.T) { turnsOnALedger(t, program) })
	t.Run("queue", func(t *testing.T) { turnsOnAQueue(t, program) })
}

func turnsOnALedger(t *testing.T, program string) {
	w := newWorld(t, simulator.Options{Days: 4, FilesPerDay: 3})
	w.traced(t, newCollector(t).URL) // what the traces add is read by neither as anything else
	wants := func(s summary, transferred, skipped int) {
		t.Helper()
		if s.Transferred != transferred || s.Skipped != skipped {
			t.Errorf("%d transferred and %d skipped, want %d and %d", s.Transferred, s.Skipped, transferred, skipped)
		}
	}
	wants(w.earlierSync(t, program), 12, 0)
	wants(w.sync(t, 0), 0, 12)
	w.add(report(1, 900))
	wants(w.sync(t, 0), 1, 12)

	// The earlier one knows nothing of what this one has upgraded: it says so, and
	// copies nothing.
	w.add(report(2, 901))
	cmd := w.earlier(t, program, "sync")
	out, _ := cmd.CombinedOutput()
	if code := cmd.ProcessState.ExitCode(); code != 2 || !strings.Contains(string(out), "differ from what this version defines") {
		t.Errorf("the earlier version ends with %d: %s", code, out)
	}
	if n := len(w.S3.History()); n != 13 {
		t.Errorf("%d commits, want 13: a refused start has no effect", n)
	}
	// Told to take it as it is, it goes on where this one stopped, and the reverse.
	w.set("FOCUS_NATS_MANAGE", "none")
	wants(w.earlierSync(t, program), 1, 13)
	w.unset("FOCUS_NATS_MANAGE")
	wants(w.sync(t, 0), 0, 14)
	w.check(t)
	if n := len(w.S3.History()); n != 14 {
		t.Errorf("%d commits for 14 files", n)
	}
}

// What the scanner of one version queues, a copier of the other one copies.
func turnsOnAQueue(t *testing.T, program string) {
	w := newWorld(t, simulator.Options{Days: 2, FilesPerDay: 2})
	w.traced(t, newCollector(t).URL) // what the traces add is read by neither as anything else
	w.external(t)
	w.set("FOCUS_NATS_MANAGE", "none")
	w.run(t, "setup").want(t, 0)
	arrives := func(n int, scanner, copier *exec.Cmd) {
		t.Helper()
		for _, cmd := range []*exec.Cmd{scanner, copier} {
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
		}
		eventually(t, "the files are there", func() bool { return len(w.S3.Objects()) == n })
		for _, cmd := range []*exec.Cmd{scanner, copier} {
			cmd.Process.Signal(syscall.SIGTERM)
			if err := cmd.Wait(); err != nil {
				t.Errorf("%v: %v", cmd.Args, err)
			}
		}
	}
	arrives(4, w.earlier(t, program, "scanner"), w.command(t, "copier"))
	w.add(report(1, 900))
	arrives(5, w.command(t, "scanner"), w.earlier(t, program, "copier"))
	w.check(t)
	if n := len(w.S3.History()); n != 5 {
		t.Errorf("%d commits for 5 files", n)
	}
}

// report is a small one of a day.
func report(daysAgo, id int) simulator.Object {
	return simulator.Object{
		Name:    simulator.ReportName(time.Now().UTC().AddDate(0, 0, -daysAgo), int64(id), 1),
		Content: simulator.Random(uint64(id), 1000),
	}
}

// earlier prepares the program of the earlier version.
func (w *world) earlier(t *testing.T, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := w.command(t, args...)
	cmd.Path = program
	return cmd
}

func (w *world) earlierSync(t *testing.T, program string) summary {
	t.Helper()
	cmd := w.earlier(t, program, "sync", "--json")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return decodeSummary(t, string(out))
}
