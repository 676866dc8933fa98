package cli_test

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// stopWithin is the longest that a process may take to end after SIGTERM.
const stopWithin = 25 * time.Second

// stop is SIGTERM, and the exit code, which must come in time.
func (p *process) stop() (code int) {
	p.t.Helper()
	begun := time.Now()
	p.signal(syscall.SIGTERM)
	code = p.exit(stopWithin)
	p.t.Logf("%s ended %v after SIGTERM", p.name, time.Since(begun).Round(10*time.Millisecond))
	return code
}

func TestAnIdleAgentEndsCleanlyWithSIGTERM(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"run", "copier", "scanner"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{})
			if role != "run" {
				l, _ = l.newBroker(5 * time.Minute)
			}
			p := l.start(role)
			p.says("msg=started")
			if role != "copier" {
				p.says("sync complete")
			}
			begun := time.Now()
			if code := p.stop(); code != 0 || time.Since(begun) > 10*time.Second {
				t.Errorf("exit %d after %v, want 0 at once", code, time.Since(begun))
			}
		})
	}
}

func TestSIGTERMLetsTheCopyInFlightFinishAndTakesNoOther(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"run", "copier"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=1")
			for id := range 4 {
				l.add(1, id+1, 2*labPart)
			}
			h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", Times: 1}, 0)
			if role == "copier" {
				l, _ = l.newBroker(5 * time.Minute)
				l.start("scanner")
			}
			p := l.start(role)
			h.mustBeReached(t)
			if role == "run" {
				p.says("sync complete") // all four wait or are in flight
			}
			p.signal(syscall.SIGTERM)
			p.says("shutdown signal received")
			h.letGo()
			if code := p.exit(stopWithin); code != 0 {
				t.Errorf("exit %d, want 0", code)
			}
			if n, open := len(l.sim.S3.History()), l.sim.S3.OpenUploads(); n != 1 || len(open) > 0 {
				t.Errorf("%d files were copied and %d uploads left open, want the one in flight", n, len(open))
			}
			if n := l.sim.OCI.Requests()["GetObject"]; n != 1 {
				t.Errorf("%d files were opened, want the one in flight", n)
			}
		})
	}
}

// The copy in flight never ends by itself: it is given up after the grace, and
// the next worker has the file at once, not after an ack wait of five minutes; and it
// goes on with the upload, whose first part stands.
func TestSIGTERMHandsBackACopyThatDoesNotFinish(t *testing.T) {
	t.Parallel()
	type stopping struct {
		*lab
		*process
		since time.Time
	}
	var all []stopping
	for _, role := range []string{"run", "copier"} { // side by side, since it is waiting
		l := newLab(t, simulator.Options{Policy: simulator.PutOnly})
		l.add(1, 1, 3*labPart)
		// The second part, which may come before the first.
		l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", Times: 1, Match: func(r *http.Request) bool {
			return r.URL.Query().Get("partNumber") == "2"
		}}, 0)
		if role == "copier" {
			l, _ = l.newBroker(5 * time.Minute)
			l.start("scanner").says("sync complete")
		}
		p := l.start(role)
		until(t, "the upload is under way", patience, func() bool {
			open := l.sim.S3.OpenUploads()
			return len(open) == 1 && open[0].Parts == 2
		})
		p.signal(syscall.SIGTERM)
		all = append(all, stopping{l, p, time.Now()})
	}
	for _, s := range all {
		l, p := s.lab, s.process
		if code := p.exit(stopWithin - time.Since(s.since)); code != 0 {
			t.Errorf("%s exits with %d, want 0", p.name, code)
		}
		t.Logf("%s ended %v after SIGTERM", p.name, time.Since(s.since).Round(10*time.Millisecond))
		if open := l.sim.S3.OpenUploads(); len(open) != 1 {
			t.Errorf("%s left %+v, want the upload that the next one goes on with", p.name, open)
		}
		next := l.start(p.name)
		until(t, "the next one copies it", 30*time.Second, func() bool { return len(l.wrong()) == 0 })
		t.Logf("copied %v after the start of the next %s", time.Since(next.started).Round(10*time.Millisecond), p.name)
		l.mustBeRight()
		if n := l.sim.S3.Requests()["CreateMultipartUpload"]; n != 1 {
			t.Errorf("%d uploads were begun, want one", n)
		}
	}
}

func TestASecondSIGTERMEndsTheAgentAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{})
	l.add(1, 1, 2*labPart)
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", Times: 1}, 0)
	p := l.start("run")
	h.mustBeReached(t)
	p.signal(syscall.SIGTERM)
	p.says("shutdown signal received")
	p.signal(syscall.SIGTERM)
	p.exit(3 * time.Second)
	if state := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !state.Signaled() || state.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want by the signal", p.cmd.ProcessState)
	}
	h.letGo()
	if code, stdout, stderr := l.run("sync"); code != 0 {
		t.Errorf("the next sync exits with %d:\n%s%s", code, stdout, stderr)
	}
	l.mustBeRight()
}

func TestSIGINTEndsASyncWith130(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=1")
	for id := range 3 {
		l.add(1, id+1, 2*labPart)
	}
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", Times: 1}, 0)
	p := l.start("sync")
	h.mustBeReached(t)
	p.signal(syscall.SIGINT)
	h.letGo()
	if code := p.exit(stopWithin); code != 130 {
		t.Errorf("exit %d, want 130", code)
	}
	if out := p.stdout.String(); !strings.Contains(out, "discovered") {
		t.Errorf("the interrupted sync says nothing of what it did:\n%s", out)
	}
	if open := l.sim.S3.OpenUploads(); len(open) > 0 {
		t.Errorf("left open: %+v", open)
	}
	if code, _, _ := l.run("sync"); code != 0 {
		t.Errorf("the next sync exits with %d", code)
	}
	l.mustBeRight()
}
