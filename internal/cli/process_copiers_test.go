package cli_test

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A copier freezes for longer than the ack wait at the worst moments; meanwhile
// its file is overwritten, and another copier copies the newer version.
func TestAFrozenCopierNeverLeavesAnOldVersionBehind(t *testing.T) {
	t.Parallel()
	oci := func(s *simulator.Simulation) *simulator.Faults { return s.OCIFaults }
	s3 := func(s *simulator.Simulation) *simulator.Faults { return s.S3Faults }
	for _, tt := range []struct {
		name   string
		policy simulator.Policy
		size   int64
		side   func(*simulator.Simulation) *simulator.Faults
		rule   simulator.Rule // the request in which the copier freezes,
		after  int64          // and the bytes of it that have moved
		// late: the request takes effect after the other copier has finished;
		// else it is answered while the copier is frozen.
		late bool
	}{
		{"before its put", simulator.AllowAll, 1 << 20, oci, simulator.Rule{Op: "GetObject", Times: 1}, 1 << 19, false},
		{"with its put on the way", simulator.PutOnly, 5000, s3, simulator.Rule{Op: "PutObject", Times: 1}, 0, true},
		{"before it completes an upload", simulator.PutOnly, labPart + 1, s3, simulator.Rule{Op: "UploadPart", After: 1, Times: 1}, 0, false},
		{"with its completion on the way", simulator.PutOnly, labPart + 1, s3, simulator.Rule{Op: "CompleteMultipartUpload", Times: 1}, 0, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{Policy: tt.policy}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=1")
			name, key := l.add(1, 1, tt.size)
			ext, queue := l.newBroker(time.Second)
			h := l.hold(tt.side(l.sim), tt.rule, tt.after)
			frozen := ext.start("copier")
			ext.start("scanner")
			h.mustBeReached(t)
			frozen.signal(syscall.SIGSTOP)
			if !tt.late {
				h.letGo()
			}

			l.sim.Source.Add(simulator.Object{Name: name, Content: simulator.Random(99, tt.size+1)})
			other := ext.start("copier")
			until(t, "the other copier has copied the newer version", patience, func() bool {
				return len(l.wrong()) == 0 && ext.recorded(queue)
			})
			if tt.late {
				h.letGo()
			}
			frozen.signal(syscall.SIGCONT)
			frozen.says(" msg=") // it is alive again
			until(t, "the queue is empty", patience, queue.empty)
			// Whatever the frozen one still does, it has done when it has ended.
			for _, p := range []*process{frozen, other} {
				p.signal(syscall.SIGTERM)
				if code := p.exit(25 * time.Second); code != 0 {
					t.Errorf("exit %d, want 0", code)
				}
			}
			l.mustBeRight()
			if r := queue.records()[name]; r.Status != messages.StatusCopied || r.Object.Size != tt.size+1 {
				t.Errorf("the ledger says %+v of %s, want the newer version", r, key)
			}
			if tt.rule.Op != "PutObject" { // that one cannot be taken back, only mended
				l.mustHaveCommittedOnce()
			}
		})
	}
}

// The same days are live for a scanner that looks back far, and backfill for one
// that does not.
func TestAFileThatBothLanesWantIsQueuedOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 12, FilesPerDay: 2, Rows: 3})
	files := uint64(len(l.sim.Source.Objects()))
	ext, queue := l.newBroker(5 * time.Minute)
	since := "FOCUS_AGENT_SINCE=" + time.Now().UTC().AddDate(0, 0, -11).Format(time.DateOnly)
	near := ext.with("FOCUS_AGENT_LOOKBACK_DAYS=3", since).start("scanner")
	near.says("sync complete")
	before := queue.status()
	if before.Live.Waiting+before.Backfill.Waiting != files || before.Backfill.Waiting == 0 || before.Live.Waiting == 0 {
		t.Fatalf("the first scanner queued %+v, want %d files in both lanes", before, files)
	}
	far := ext.with("FOCUS_AGENT_LOOKBACK_DAYS=35").start("scanner")
	far.says("sync complete")
	far.says(fmt.Sprintf("discovered=%d queued=%d", files, files))
	if after := queue.status(); after.Live != before.Live || after.Backfill != before.Backfill || after.Messages != files {
		t.Errorf("the second scanner made %+v of %+v", after, before)
	}
	ext.start("copier")
	until(t, "all is copied", patience, func() bool { return len(l.wrong()) == 0 && queue.empty() })
	l.mustBeRight()
	l.mustHaveCommittedOnce()
}

func TestTwoScannersAndFourCopiersCopyEachFileOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 10, FilesPerDay: 6, Rows: 3}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=2")
	// So that no copier can take all before the last one has started.
	l.sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Latency(300 * time.Millisecond)})
	ext, queue := l.newBroker(5 * time.Minute)
	var all []*process
	for range 4 {
		all = append(all, ext.start("copier"))
	}
	for range 2 {
		all = append(all, ext.start("scanner"))
	}
	until(t, "all is copied and recorded", patience, func() bool { return len(l.wrong()) == 0 && queue.empty() })
	for _, p := range all {
		p.signal(syscall.SIGTERM)
	}
	for _, p := range all {
		if code := p.exit(25 * time.Second); code != 0 {
			t.Errorf("%s exits with %d, want 0", p.name, code)
		}
	}
	l.mustBeRight()
	l.mustHaveCommittedOnce()
	workers := map[string]int{}
	for name, r := range queue.records() {
		workers[r.Worker]++
		if r.Status != messages.StatusCopied {
			t.Errorf("the ledger says %q of %s", r.Status, name)
		}
	}
	t.Logf("files by worker: %v", workers)
	if len(workers) < 2 {
		t.Errorf("one worker did everything: %v", workers)
	}
}
