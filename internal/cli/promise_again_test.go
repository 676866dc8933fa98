package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestASyncCopiesEveryReportAndASecondCopiesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Seed: 1, Days: 3})
	if got, want := w.sync(t, 0).Transferred, 21; got != want {
		t.Errorf("the first sync transferred %d, want %d", got, want)
	}
	w.check(t)
	second := w.sync(t, 0)
	if second.Transferred != 0 || second.Skipped != 21 || second.Bytes != 0 {
		t.Errorf("the second sync = %+v, want 0 transferred and 21 skipped", second)
	}
	if got := len(w.S3.History()); got != 21 {
		t.Errorf("%d commits, want 21", got)
	}
	if got := w.OCI.Requests()["GetObject"]; got != 21 {
		t.Errorf("%d objects read, want 21", got)
	}
}

func TestAnOverwrittenObjectIsCopiedAgainToItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(2, "0001.csv.gz", 500)
	w.add(o)
	w.sync(t, 0)
	w.add(simulator.Object{Name: o.Name, Content: simulator.Random(99, 700)})
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1", got)
	}
	w.check(t)
	if objects := w.S3.Objects(); len(objects) != 1 || objects[0].Version != 2 {
		t.Errorf("the destination holds %+v, want one object in its second version", objects)
	}
}

func TestAnObjectThatChangesWhileItIsCopiedArrivesInItsLastVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	early, midway, between := object(1, "early.csv.gz", 1000), object(1, "midway.csv.gz", 2*worldPart), object(1, "between.csv.gz", 5*worldPart)
	w.add(early, midway, between)
	change := func(o simulator.Object, size int64) simulator.Fault {
		return simulator.Hook(func() { w.add(simulator.Object{Name: o.Name, Content: simulator.Random(7, size)}) })
	}
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "early", Times: 1, Do: change(early, 1200)})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "midway", Times: 1, Do: change(midway, worldPart).AfterBytes(worldPart + 1)})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "between", After: 2, Times: 1, Do: change(between, 4*worldPart)}) // of its ranges
	w.sync(t, 0)
	w.sync(t, 0) // the version that came midway is the business of the next scan
	w.check(t)
}

// Its costs could be counted twice if the same bytes were sent again.
func TestTheSameBytesUnderANewETagAreRecordedAndNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(2, "0001.csv.gz", 500)
	w.add(o)
	w.sync(t, 0)
	w.add(o)
	for range 2 {
		if s := w.sync(t, 0); s.Transferred != 0 || s.Adopted != 0 || s.Skipped != 1 {
			t.Errorf("sync = %+v, want 1 skipped", s)
		}
	}
	if got := len(w.S3.History()); got != 1 {
		t.Errorf("%d commits, want 1", got)
	}
	if got := w.OCI.Requests()["GetObject"]; got != 2 {
		t.Errorf("%d requests for the object, want 2: the new etag is recorded once", got)
	}
	w.check(t)
}

func TestWithoutETagsTheTimesTellTheVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(2, "0001.csv.gz", 500)
	o.NoETag = true
	w.add(o)
	for _, want := range []int{1, 0} {
		if got := w.sync(t, 0).Transferred; got != want {
			t.Errorf("%d transferred, want %d", got, want)
		}
	}
	w.add(simulator.Object{Name: o.Name, Content: simulator.Random(9, 500), NoETag: true})
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred after the overwrite, want 1", got)
	}
	w.check(t)
}

func TestAnObjectThatVanishesBeforeItIsReadIsNoFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(1, "0001.csv.gz", 500)
	w.add(o)
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Times: 1, Do: simulator.Hook(func() { w.Source.Remove(o.Name) })})
	if s := w.sync(t, 0); s.Skipped != 1 {
		t.Errorf("sync = %+v, want 1 skipped", s)
	}
	w.add(o) // and if it comes back, it is copied
	if s := w.sync(t, 0); s.Transferred != 1 {
		t.Errorf("sync = %+v, want 1 transferred", s)
	}
	w.check(t)
}

func TestALateFileOfThirtyDaysAgoIsFoundByTheNextScan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "0002.csv.gz", 500))
	w.sync(t, 0)
	w.add(object(30, "0001.csv.gz", 500))
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1", got)
	}
	w.check(t)
}

func TestALateFileOfSixtyDaysAgoIsFoundByTheNextSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_SINCE="+daysAgo(90))
	w.add(object(1, "0002.csv.gz", 500), object(80, "0003.csv.gz", 500))
	if got := w.sync(t, 0).Transferred; got != 2 {
		t.Errorf("%d transferred, want 2: the first scan is a sweep", got)
	}
	w.add(object(60, "0001.csv.gz", 500), object(91, "before-since.csv.gz", 500))
	if got := w.sync(t, 0).Discovered; got != 1 {
		t.Errorf("%d discovered, want 1: the last sweep is fresh", got)
	}
	w.changeMarks(t, func(m *messages.Marks) { m.Swept = m.Swept.Add(-25 * time.Hour) })
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1", got)
	}
	w.from = daysAgo(90)
	w.check(t)
}

func TestAnOutageLongerThanTheLookbackLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=3")
	w.add(object(1, "0001.csv.gz", 500))
	w.sync(t, 0)
	// The last scan and sweep are 20 days ago, of which nothing is known here.
	w.changeMarks(t, func(m *messages.Marks) {
		m.Scanned, m.Since = m.Scanned.AddDate(0, 0, -20), messages.Day(daysAgo(23))
	})
	w.add(object(22, "0002.csv.gz", 500), object(10, "0003.csv.gz", 500))
	if got := w.sync(t, 0).Transferred; got != 2 {
		t.Errorf("%d transferred, want 2", got)
	}
	w.check(t)
}

// changeMarks edits how far the scanner has come, while no command runs.
func (w *world) changeMarks(t *testing.T, change func(*messages.Marks)) {
	t.Helper()
	conn, close := w.queue(t)
	defer close()
	ledger := ledgerOf(t, conn)
	raw, revision, err := ledger.Read(t.Context(), messages.MarksKey("main"))
	if err != nil || raw == nil {
		t.Fatalf("marks = %s, %v", raw, err)
	}
	marks, err := messages.DecodeMarks(raw)
	if err != nil {
		t.Fatal(err)
	}
	change(&marks)
	if raw, err = marks.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Write(t.Context(), messages.MarksKey("main"), raw, revision); err != nil {
		t.Fatal(err)
	}
}

func ledgerOf(t *testing.T, conn *nats.Conn) *nats.Ledger {
	t.Helper()
	ledger, err := conn.Ledger(t.Context(), messages.Define("focus", "main", 1, time.Minute).State, "main")
	if err != nil {
		t.Fatal(err)
	}
	return ledger
}

// daysAgo is a UTC day.
func daysAgo(n int) string { return time.Now().UTC().AddDate(0, 0, -n).Format(time.DateOnly) }

// At any moment one of the outermost zones has another date than UTC. The days
// reach over every month's end of a year, the window begins at a UTC midnight,
// and a report of tomorrow is not held back until the local clock agrees.
func TestEveryTimeZoneGivesTheSameKeysAndTheSameWindow(t *testing.T) {
	t.Parallel()
	today := daysAgo(0)
	var all [][]string
	for _, zone := range []string{"UTC", "Asia/Kolkata", "Pacific/Kiritimati", "Etc/GMT+12", "America/Los_Angeles"} {
		w := newWorld(t, simulator.Options{}, "TZ="+zone, "FOCUS_AGENT_LOOKBACK_DAYS=366", "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=8")
		w.external(t)
		for n := -1; n <= 370; n++ {
			day := time.Now().UTC().AddDate(0, 0, -n)
			if month := day.AddDate(0, 0, 1).Day() == 1 || day.Day() == 1; month || n < 2 || n > 364 {
				w.add(object(n, fmt.Sprintf("%04d.csv.gz", n+1), 100))
			}
		}
		w.from = daysAgo(366)
		out, err := w.command(t, "sync", "--json").Output()
		if err != nil {
			t.Fatalf("%s: %v", zone, err)
		}
		decodeSummary(t, string(out))
		if daysAgo(0) != today {
			t.Skip("midnight came; the window of a part of the runs is another")
		}
		w.check(t)
		var keys []string
		for _, o := range w.S3.Objects() {
			keys = append(keys, strings.TrimPrefix(o.Key, w.prefix()))
		}
		all = append(all, keys)
	}
	for _, keys := range all[1:] {
		if !slices.Equal(keys, all[0]) {
			t.Errorf("keys = %q, want %q as in UTC", keys, all[0])
		}
	}
}
