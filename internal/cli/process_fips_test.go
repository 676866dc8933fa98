package cli_test

import (
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// The real program in FIPS 140-3 mode copies as it always does. Where the mode is
// enforced, the standard library refuses MD5: a file for which Oracle declares nothing
// else is verified by its size and by what S3 checks, and that is said once.
func TestCopiesInFIPS140Mode(t *testing.T) {
	t.Parallel()
	for mode, byMD5 := range map[string]string{"on": messages.ByMD5, "only": messages.BySize} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			l, b := newLab(t, simulator.Options{Days: 1, FilesPerDay: 2}, "GODEBUG=fips140="+mode).newBroker(patience)
			want := map[string]string{}
			for _, r := range l.sim.Source.Reports() {
				want[r.Name] = messages.ByCRC32C
			}
			for id, size := range []int64{1000, 2*labPart + 17} {
				name, _ := l.add(1, 10+id, size)
				l.sim.Source.Add(simulator.Object{Name: name, Content: simulator.Random(uint64(id), size), NoCRC32C: true})
				want[name] = byMD5
			}
			for _, args := range [][]string{{"test"}, {"sync"}, {"verify"}} {
				code, stdout, stderr := l.run(args...)
				if code != 0 {
					t.Fatalf("%s exits with %d:\n%s%s", args, code, stdout, stderr)
				}
				once := 0
				if mode == "only" && args[0] == "sync" {
					once = 1
				}
				if got := strings.Count(stderr, "allows no MD5"); got != once {
					t.Errorf("%s says %d times that MD5 is not allowed, want %d:\n%s", args, got, once, stderr)
				}
			}
			if c := l.sim.Compare(); !c.Complete() || c.Repeats() > 0 {
				t.Errorf("source and destination differ: %+v", c)
			}
			records := b.records()
			for name, verified := range want {
				if r := records[name]; r.Copy == nil || r.Copy.Verified != verified {
					t.Errorf("the record of %s is %+v, want it verified by %q", name, r, verified)
				}
			}
			if code, stdout, _ := l.run("version"); code != 0 || !strings.Contains(stdout, "\nFIPS 140-3 mode "+mode+", ") {
				t.Errorf("version exits with %d:\n%s", code, stdout)
			}
		})
	}
}

// The queue inside of the process and the live test, too, work where the mode is enforced.
func TestEmbeddedQueueAndLiveTestWorkWhereFIPS140IsEnforced(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 2}, "GODEBUG=fips140=only")
	for _, args := range [][]string{{"sync"}, {"test", "--live", "--yes-to", "upload,object,complete"}} {
		if code, stdout, stderr := l.run(args...); code != 0 {
			t.Fatalf("%s exits with %d:\n%s%s", args, code, stdout, stderr)
		}
	}
	l.mustBeRight()
}
