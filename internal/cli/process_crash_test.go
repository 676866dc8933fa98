package cli_test

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// The ack wait is five minutes here, as in earnest: work that goes on within
// seconds proves that nobody waits for it.
func TestAKilledAgentGoesOnWithinSeconds(t *testing.T) {
	t.Parallel()
	oci := func(s *simulator.Simulation) *simulator.Faults { return s.OCIFaults }
	s3 := func(s *simulator.Simulation) *simulator.Faults { return s.S3Faults }
	for _, tt := range []struct {
		name   string
		policy simulator.Policy
		side   func(*simulator.Simulation) *simulator.Faults
		rule   simulator.Rule // the request that is under way when the agent dies,
		after  int64          // and the bytes of it that have moved
	}{
		{"while it sends a part", simulator.AllowAll, s3, simulator.Rule{Op: "UploadPart", After: 1, Times: 1}, 0},
		{"while it sends a part with put-only keys", simulator.PutOnly, s3, simulator.Rule{Op: "UploadPart", After: 1, Times: 1}, 0},
		{"while it reads with put-only keys", simulator.PutOnly, oci, simulator.Rule{Op: "GetObject", Name: "0000001-", After: 1, Times: 1}, 1 << 20}, // the second part
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{Policy: tt.policy})
			l.add(1, 1, 3*labPart+17)
			l.add(2, 2, 1000)
			h := l.hold(tt.side(l.sim), tt.rule, tt.after)
			p := l.start("run")
			h.mustBeReached(t)
			until(t, "the first part is there", patience, func() bool {
				open := l.sim.S3.OpenUploads()
				return len(open) == 1 && open[0].Parts > 0
			})
			p.kill()
			h.letGo()

			again := l.start("run")
			until(t, "all files are copied", patience, func() bool { return len(l.wrong()) == 0 })
			t.Logf("all was copied %v after the restart", time.Since(again.started).Round(10*time.Millisecond))
			again.signal(syscall.SIGTERM)
			if code := again.exit(25 * time.Second); code != 0 {
				t.Errorf("exit %d, want 0", code)
			}
			l.mustBeRight()
			l.mustHaveCommittedOnce()
		})
	}
}

// The moments are drawn from the seed: at a request of any kind, before or after
// it took effect, or a few milliseconds later, among the writes of the ledger.
func TestKillingASyncAtAnyMomentLosesNothingAndTearsNothing(t *testing.T) {
	t.Parallel()
	const seed, kills = 7, 10
	rng := rand.New(rand.NewPCG(seed, 0))
	l := newLab(t, simulator.Options{Seed: seed, Days: 14, FilesPerDay: 7, Rows: 5}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=4")
	l.add(1, 1, 2*labPart+1)
	l.add(8, 2, labPart+1)
	killed := 0
	for range kills {
		p := make(chan *process, 1)
		delay := time.Duration(rng.IntN(2)*rng.IntN(40)) * time.Millisecond
		die := simulator.Hook(func() {
			p := <-p
			if delay > 0 {
				time.AfterFunc(delay, func() { p.signal(syscall.SIGKILL) })
				return
			}
			p.kill()
		})
		if rng.IntN(2) == 0 {
			die = die.Applied()
		}
		faults := l.sim.S3Faults
		if rng.IntN(3) == 0 {
			faults = l.sim.OCIFaults
		}
		remove := faults.Add(simulator.Rule{After: rng.IntN(16), Times: 1, Do: die})
		victim := l.start("sync", "--quiet")
		p <- victim
		if code := victim.exit(patience); code == -1 {
			killed++
		} else if code != 0 {
			t.Errorf("exit %d, want to be killed or 0", code)
		}
		remove()
	}
	if code, stdout, stderr := l.run("sync"); code != 0 {
		t.Errorf("the last sync exits with %d:\n%s%s", code, stdout, stderr)
	}
	t.Logf("%d kills, %d commits for %d files", killed, len(l.sim.S3.History()), len(l.sim.Source.Objects()))
	if killed < kills/2 {
		t.Errorf("only %d of %d syncs were killed", killed, kills)
	}
	if wrong := l.wrong(); len(wrong) > 0 {
		t.Errorf("missing or different: %v", wrong)
	}
	for _, u := range l.sim.S3.OpenUploads() {
		if u.Parts > 0 { // one without parts is what a crash right after its creation may leave
			t.Errorf("left open: %+v", u)
		}
	}
	want := map[string]string{}
	for _, r := range l.sim.Source.Reports() {
		want[l.key(r.Name)] = r.CRC32C
	}
	for _, c := range l.sim.S3.History() {
		if c.CRC32C != want[c.Key] {
			t.Errorf("version %d of %s was never in the source", c.Version, c.Key)
		}
	}
}

func TestACrashLeavesNothingInTheWayOfTheNextStart(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{})
	l.add(1, 1, 1000)
	p := l.start("run")
	until(t, "the status file is written", patience, func() bool {
		_, err := os.Stat(filepath.Join(l.state, "status.json"))
		return err == nil && len(l.wrong()) == 0
	})
	if code, stdout, _ := l.run("status"); code != 0 || !strings.Contains(stdout, "running, PID") {
		t.Errorf("status of a running agent exits with %d:\n%s", code, stdout)
	}
	if code, _, stderr := l.run("run"); code != 4 || !strings.Contains(stderr, "already running") {
		t.Errorf("a second agent exits with %d:\n%s", code, stderr)
	}
	p.kill()
	if _, err := os.Stat(filepath.Join(l.state, "agent.sock")); err != nil {
		t.Fatalf("the crash was to leave its socket: %v", err)
	}
	code, stdout, stderr := l.run("status")
	if code != 5 {
		t.Errorf("status after the crash exits with %d, want 5", code)
	}
	for _, want := range []string{"not running", "last seen", "last scan", "1 discovered"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("status after the crash lacks %q:\n%s%s", want, stdout, stderr)
		}
	}
	if code, stdout, stderr := l.run("sync"); code != 0 {
		t.Errorf("sync after the crash exits with %d:\n%s%s", code, stdout, stderr)
	}
	again := l.start("run")
	until(t, "the next agent answers", patience, func() bool {
		code, _, _ := l.run("status")
		return code == 0
	})
	again.signal(syscall.SIGTERM)
	if code := again.exit(25 * time.Second); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	if code, _, _ := l.run("status"); code != 5 {
		t.Errorf("status after the end exits with %d, want 5", code)
	}
	l.mustHaveCommittedOnce()
}
