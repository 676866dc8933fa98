package cli_test

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

func TestSyncPrintsOneJSONObjectWithTheFieldsThatScriptsRead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "good.csv.gz", 500), object(1, "not good.csv.gz", 500))
	r := w.run(t, "sync", "--json").want(t, 0)
	decodeSummary(t, r.stdout)
	var fields map[string]any
	if err := json.Unmarshal([]byte(r.stdout), &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"discovered", "transferred", "skipped", "failed", "bytes", "duration_seconds", "failures"} {
		if _, ok := fields[name]; !ok {
			t.Errorf("the field %q is missing in %v", name, slices.Sorted(maps.Keys(fields)))
		}
	}
	if _, ok := fields["failures"].([]any); !ok {
		t.Errorf("failures = %v, want a list that may be empty", fields["failures"])
	}
	if fields["bytes"] != 500.0 {
		t.Errorf("bytes = %v, want 500", fields["bytes"])
	}
	if text := w.run(t, "sync").want(t, 0).stdout; !strings.HasPrefix(text, "Sync complete: 0 transferred, 0 adopted, 1 skipped, 1 ineligible, 0 failed of 2 discovered;") || strings.Count(text, "\n") != 1 {
		t.Errorf("sync prints %q", text)
	}
}

// One file of each fate, in one sync.
func TestTheCountsOfASyncAddUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	adopted, gone := object(3, "adopted.csv.gz", 500), object(2, "gone.csv.gz", 500)
	w.add(adopted)
	w.sync(t, 0)
	w.forget(t)
	w.add(object(2, "new.csv.gz", 700), gone, object(2, "not good.csv.gz", 500),
		simulator.Object{Name: nameOf(1, "giant.csv.gz"), Content: simulator.Random(1, 5<<30+1), NoMD5: true, NoCRC32C: true})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "gone", Do: simulator.Hook(func() { w.Source.Remove(gone.Name) })})
	s := w.sync(t, 1)
	if s.Discovered != 5 || s.Transferred != 1 || s.Adopted != 1 || s.Skipped != 1 || s.Ineligible != 1 || s.Failed != 1 || s.Bytes != 700 {
		t.Errorf("sync = %+v, want one of each kind and 700 bytes", s)
	}
	w.check(t)
}

// forget loses the state directory.
func (w *world) forget(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
}

func TestADryRunSaysWhatItWouldDoAndChangesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.add(object(9, "first.csv.gz", 1<<10), object(5, "middle.csv.gz", 1<<10), object(5, "not good.csv.gz", 1), object(2, "last.csv.gz", 2<<20))
	first, _ := w.keyOf(nameOf(9, "first.csv.gz"), 0)
	last, _ := w.keyOf(nameOf(2, "last.csv.gz"), 0)

	text := w.run(t, "sync", "--dry-run").want(t, 0).stdout
	for _, want := range []string{"3 files of 3 days, 2.0 MiB", "first key  " + first, "last key   " + last, "done       0 files", "ineligible 1 objects"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan does not say %q: %s", want, text)
		}
	}
	var plan struct {
		Days, Files, Bytes int
		First              string `json:"first_key"`
		Last               string `json:"last_key"`
	}
	if err := json.Unmarshal([]byte(w.run(t, "sync", "--dry-run", "--json").want(t, 0).stdout), &plan); err != nil {
		t.Fatal(err)
	}
	if plan.Days != 3 || plan.Files != 3 || plan.Bytes != 2<<10+2<<20 || plan.First != first || plan.Last != last {
		t.Errorf("the plan = %+v", plan)
	}
	w.set("FOCUS_ADVANCED_DRY_RUN", "true")
	for _, args := range [][]string{{"sync"}, {"run"}} {
		if got := w.run(t, args...).want(t, 0).stdout; got != text {
			t.Errorf("%q under advanced.dry_run prints %q, want the plan", args, got)
		}
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
	if got := w.S3.Requests(); len(got) != 0 {
		t.Errorf("requests at S3: %v, want none", got)
	}
	if got := w.OCI.Requests()["GetObject"]; got != 0 {
		t.Errorf("%d objects read, want 0", got)
	}

	// And with a ledger that is there, it changes that as little.
	w.unset("FOCUS_ADVANCED_DRY_RUN")
	w.sync(t, 0)
	w.add(object(1, "new.csv.gz", 500))
	requests := w.S3.Requests()
	for range 2 {
		if text := w.run(t, "sync", "--dry-run").want(t, 0).stdout; !strings.Contains(text, "1 files of 1 days, 500 B") || !strings.Contains(text, "done       3 files") {
			t.Errorf("the plan after a sync: %s", text)
		}
	}
	if got := w.S3.Requests(); !maps.Equal(got, requests) {
		t.Errorf("requests at S3: %v, want still %v", got, requests)
	}
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1: the plans have queued nothing and lost nothing", got)
	}
	w.check(t)
}

func TestATimeoutEndsASyncAndNamesWhatIsNotSettled(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_RETRY_MAX_RETRIES=1000")
	stuck := object(1, "stuck.csv.gz", 500)
	w.add(stuck)
	end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "stuck", Do: simulator.Status(500, "InternalServerError")})
	r := w.run(t, "sync", "--json", "--timeout", "6s").want(t, 1)
	if s := decodeSummary(t, r.stdout); !slices.Equal(s.failed(), []string{stuck.Name}) {
		t.Errorf("failed = %q, want %q", s.failed(), stuck.Name)
	}
	if !strings.Contains(r.stderr, "not settled within 6s") {
		t.Errorf("the error does not name the timeout: %s", r.stderr)
	}
	end()
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1", got)
	}
	w.check(t)
}

func TestAnInterruptedSyncEndsWith130AndSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_RETRY_MAX_RETRIES=1000")
	w.add(object(1, "stuck.csv.gz", 500))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", After: 2, Do: simulator.Hook(cancel)})
	failing := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Status(500, "InternalServerError")})
	r := w.runContext(ctx, t, "sync", "--json").want(t, 130)
	if s := decodeSummary(t, r.stdout); s.Failed != 1 {
		t.Errorf("sync = %+v, want one that is not finished", s)
	}
	end()
	failing()
	w.sync(t, 0)
	w.check(t)
}

func TestMaxRetriesBoundsTheAttemptsThatASyncWaitsFor(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_RETRY_MAX_RETRIES=4")
	o := object(1, "bad.csv.gz", 500)
	w.add(o)
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Truncate(10, simulator.NoLength)})
	s := w.sync(t, 1)
	if !slices.Equal(s.failed(), []string{o.Name}) || !strings.Contains(s.Failures[0].Reason, "4 attempts failed") {
		t.Errorf("failures = %+v, want %q after 4 attempts", s.Failures, o.Name)
	}
	if got := strings.TrimSpace(w.run(t, "failed", "list", "--json").want(t, 0).stdout); got != "[]" {
		t.Errorf("failed list = %s, want []: the queue keeps trying", got)
	}
}

// The ledger is a cache: S3 and the listing are the truth.
func TestAfterTheLossOfTheLedgerWhatIsThereIsAdopted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2})
	w.add(object(1, "large.csv.gz", worldPart+1))
	w.sync(t, 0)
	commits := len(w.S3.History())
	w.forget(t)
	w.S3.Delete(w.S3.Objects()[0].Key) // somebody took one away
	if s := w.sync(t, 0); s.Adopted != 14 || s.Transferred != 1 {
		t.Errorf("sync = %+v, want 14 adopted and 1 transferred", s)
	}
	if got := len(w.S3.History()); got != commits+1 {
		t.Errorf("%d commits, want %d", got, commits+1)
	}
	w.check(t)
}

func TestAfterTheLossOfTheLedgerAForeignObjectIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(1, "0001.csv.gz", 500)
	w.add(o)
	w.sync(t, 0)
	w.add(simulator.Object{Name: o.Name, Content: simulator.Random(9, 500)}) // of the same size
	w.forget(t)
	if s := w.sync(t, 0); s.Transferred != 1 {
		t.Errorf("sync = %+v, want 1 transferred", s)
	}
	w.check(t)
}

func TestAfterTheLossOfTheLedgerAPutOnlyKeySendsTheSameBytesAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2, Policy: simulator.PutOnly})
	w.add(object(1, "large.csv.gz", worldPart+1))
	w.sync(t, 0)
	w.forget(t)
	if s := w.sync(t, 0); s.Transferred != 15 {
		t.Errorf("sync = %+v, want 15 transferred", s)
	}
	if got := len(w.S3.History()); got != 30 {
		t.Errorf("%d commits, want each of the 15 twice", got)
	}
	w.check(t)
}

func TestWithoutDaemonModeRunIsOneSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1}, "FOCUS_AGENT_DAEMON_MODE=false")
	if r := w.run(t, "run").want(t, 0); !strings.HasPrefix(r.stdout, "Sync complete: 7 transferred") {
		t.Errorf("run prints %q", r.stdout)
	}
	w.check(t)
}

// Work goes on at once after an end without a goodbye: the scan marks and the
// records are on the disk, and nobody else can hold a message.
func TestASyncTakesOverWhatAnInterruptedOneLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", After: 4, Times: 1, Do: simulator.Hook(cancel)})
	w.runContext(ctx, t, "sync").want(t, 130)
	begin := time.Now()
	w.sync(t, 0)
	if took := time.Since(begin); took > time.Minute {
		t.Errorf("the next sync took %v: it waited for the ack wait", took)
	}
	w.check(t)
	if got := len(w.S3.History()); got != 14 {
		t.Errorf("%d commits, want 14: nothing twice", got)
	}
}
