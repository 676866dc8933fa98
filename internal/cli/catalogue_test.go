package cli_test

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestF99FewFileDescriptors: with 64 all work is done; with too few the program says what
// it lacks and ends, or goes on trying, and does not panic. Between them it depends on
// how much it does at once, hence on the speed of the machine: with 20 a slow one may
// never lack any, and has copied all then.
func TestF99FewFileDescriptors(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{64, 20, 10} {
		t.Run(fmt.Sprint("F99 ", limit), func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{})
			for id := range 12 {
				l.add(1, id+1, 1000)
			}
			l.add(2, 1, labPart+1)
			p := startProcess(t, l.environ, "sh", "-c", fmt.Sprintf("ulimit -n %d; exec oracle-focus-agent run", limit))
			if limit < 64 {
				defer p.kill()
				until(t, "it says what it lacks, or lacks nothing", patience, func() bool {
					return strings.Contains(p.stdout.String()+p.stderr.String(), "too many open files") || limit > 10 && len(l.wrong()) == 0
				})
			} else {
				until(t, "all is copied", patience, func() bool { return len(l.wrong()) == 0 })
				p.signal(syscall.SIGTERM)
				if code := p.exit(25 * time.Second); code != 0 {
					t.Errorf("exit %d, want 0", code)
				}
				l.mustBeRight()
				l.mustHaveCommittedOnce()
			}
			if out := p.stdout.String() + p.stderr.String(); strings.Contains(out, "panic") {
				t.Errorf("it panics:\n%s", out)
			}
		})
	}
}
