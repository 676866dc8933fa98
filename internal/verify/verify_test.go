package verify_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

// want is the result of each file by name, and words of the reason.
func want(t *testing.T, found map[string]verify.Finding, results map[string]verify.Result, why map[string]string) {
	t.Helper()
	for base, result := range results {
		if f, ok := found[base]; !ok || f.Result != result || !strings.Contains(f.Why, why[base]) {
			t.Errorf("%s: %q (%s), want %q (%s)", base, f.Result, f.Why, result, why[base])
		}
	}
	for base := range found {
		if _, ok := results[base]; !ok {
			t.Errorf("%s: %q was not expected", base, found[base].Result)
		}
	}
}

func TestAListingThatFailsMidwayIsAnErrorAndFindsNothingMissing(t *testing.T) {
	w := newWorld()
	for i := range 5 {
		w.delivered(day(-3+i), fmt.Sprintf("%d.csv.gz", i), "aaaa")
	}
	for after := 1; after <= 4; after++ {
		w.failAfter = after
		v := w.verifier(t, flat)
		found := 0
		v.Found = func(f verify.Finding) {
			found++
			if f.Result != verify.Equal {
				t.Errorf("after %d objects: %+v", after, f)
			}
		}
		if sum, err := v.Run(t.Context()); !errors.Is(err, messages.Unavailable) || sum.Differ() != 0 {
			t.Errorf("after %d objects: %+v, %v", after, sum, err)
		}
		if found >= after {
			t.Errorf("%d days were judged, of %d listed objects: the last day is not known in full", found, after)
		}
	}
}

func TestADestinationListingThatFailsMidwayIsAnError(t *testing.T) {
	w := newWorld()
	w.delivered(day(-1), "a.csv.gz", "aaaa")
	w.listErr = &messages.Fault{Class: messages.Unavailable, Side: messages.Destination, Err: errors.New("planted")}
	v := w.verifier(t, flat)
	if sum, err := v.Run(t.Context()); !errors.Is(err, messages.Unavailable) || sum.Differ() != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
	// A part of a listing is none, whatever the reason.
	w.listErr = &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Err: errors.New("page 2")}
	w.put("p/"+string(day(-1))+"_b.csv.gz", "x", "")
	if sum, err := w.verifier(t, flat).Run(t.Context()); err != nil || sum.Differ() != 0 || sum.Listed {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestWhatChangesMeanwhileIsNoDifference: each of three races between the looks at the
// three sides.
func TestWhatChangesMeanwhileIsNoDifference(t *testing.T) {
	w := newWorld()
	w.delivered(day(-1), "a.csv.gz", "aaaa")
	w.delivered(day(-1), "old.csv.gz", "aaaa")
	w.stored["p/"+string(day(-1))+"_new.csv.gz"] = verify.Stored{Size: 4} // its record and listing come below
	// The source gets another version, which is copied while the destination is looked at
	// and recorded a moment later.
	w.put("p/"+string(day(-1))+"_a.csv.gz", "bbbb", "e-bbbb")
	w.change = func() {
		w.list(day(-1), "a.csv.gz", "bbbb", "e-bbbb")
		w.list(day(-1), "new.csv.gz", "cccc", "e-cccc")
		delete(w.objects, prefix+day(-1).Folder()+"old.csv.gz")
	}
	_, found := run(t, w.verifier(t, flat))
	want(t, found, map[string]verify.Result{"a.csv.gz": verify.Pending, "new.csv.gz": verify.Pending, "old.csv.gz": verify.Equal}, nil)
}

func TestADestinationThatLetsNobodyLookIsUnreadable(t *testing.T) {
	w := newWorld()
	w.mayHead, w.mayList = false, false
	for i := range 40 {
		w.delivered(day(-1-i%3), fmt.Sprintf("%02d.csv.gz", i), fmt.Sprint(i))
	}
	w.record(day(-1), "00.csv.gz", "another content", "e-0") // as many bytes as nobody listed
	clear(w.stored)
	sum, found := run(t, w.verifier(t, flat))
	if sum.Destination != verify.Unreadable || sum.Listed || sum.Equal != 39 || sum.Different != 1 {
		t.Errorf("%+v", sum)
	}
	if f := found["00.csv.gz"]; !strings.Contains(f.Why, "the source lists 1 bytes, and 15 were copied") {
		t.Errorf("%+v", f)
	}
	if w.heads != 16 || w.lists != 1 {
		t.Errorf("%d heads and %d listings, want 16 and 1", w.heads, w.lists)
	}
	// One that shows an object is readable, and the others are in doubt.
	w.mayHead = true
	w.put("p/"+string(day(-3))+"_02.csv.gz", "2", "e-2")
	sum, found = run(t, w.verifier(t, flat))
	if sum.Destination != verify.ByHead || sum.Listed {
		t.Errorf("%+v", sum)
	}
	if f := found["06.csv.gz"]; f.Result != verify.Failed || !strings.Contains(f.Why, "s3:ListBucket") || f.Repairable {
		t.Errorf("%+v", f)
	}
}

func TestFilesThatNobodyWaitsFor(t *testing.T) {
	w := newWorld()
	d := day(-1)
	with := func(base string, change func(*messages.Record)) {
		w.list(d, base, "aaaa", "e-aaaa")
		w.record(d, base, "aaaa", "e-aaaa", change)
	}
	with("dead.csv.gz", func(r *messages.Record) {
		r.Status, r.Class, r.Error = messages.StatusFailed, messages.HashMismatch, "three times"
	})
	with("held.csv.gz", func(r *messages.Record) { r.Status, r.Class = messages.StatusFailed, messages.Held })
	with("gzip.csv.gz", func(r *messages.Record) { r.Status, r.Class = messages.StatusFailed, messages.InvalidGzip })
	with("discarded.csv.gz", func(r *messages.Record) { r.Status = messages.StatusDiscarded })
	with("gone.csv.gz", func(r *messages.Record) { r.Status = messages.StatusGone })
	with("due.csv.gz", func(r *messages.Record) { r.Status = messages.StatusDue })
	with("retrying.csv.gz", func(r *messages.Record) {
		r.Status, r.Attempts, r.Class = messages.StatusRetrying, 2, messages.Connection
	})
	with("no-copy.csv.gz", func(r *messages.Record) { r.Copy = nil })
	w.list(d, "large.csv.gz", strings.Repeat("x", 1001), "e")
	w.list(d, "new.csv.gz", "x", "e")
	w.list(day(-9), "before.csv.gz", "x", "e")
	w.list(d, "no report", "x", "e")
	w.record(d, "lost.csv.gz", "aaaa", "e-aaaa")
	w.record(d, "lost-dead.csv.gz", "aaaa", "e-aaaa", func(r *messages.Record) { r.Status = messages.StatusFailed })
	w.record(d, "never.csv.gz", "aaaa", "e-aaaa", func(r *messages.Record) { r.Status, r.Copy = messages.StatusGone, nil })
	sum, found := run(t, w.verifier(t, flat))
	want(t, found, map[string]verify.Result{
		"dead.csv.gz": verify.Missing, "held.csv.gz": verify.Missing, "gzip.csv.gz": verify.Missing, "discarded.csv.gz": verify.Discarded,
		"gone.csv.gz": verify.Missing, "due.csv.gz": verify.Pending, "retrying.csv.gz": verify.Pending, "no-copy.csv.gz": verify.Failed,
		"large.csv.gz": verify.Missing, "new.csv.gz": verify.Pending, "before.csv.gz": verify.Missing, "lost.csv.gz": verify.Missing, "lost-dead.csv.gz": verify.Missing,
	}, map[string]string{
		"dead.csv.gz": "given up (hash-mismatch): three times", "large.csv.gz": "max_file_size_gb", "retrying.csv.gz": "2 attempts have failed (connection)",
		"before.csv.gz": "before the responsibility of this installation; `backfill` brings it", "lost.csv.gz": "the source does not have it any more either", "lost-dead.csv.gz": "the source does not have it any more",
	})
	var repairable []string
	for base, f := range found {
		if f.Repairable {
			repairable = append(repairable, base)
		}
	}
	slices.Sort(repairable)
	if !slices.Equal(repairable, []string{"before.csv.gz", "dead.csv.gz", "gone.csv.gz"}) {
		t.Errorf("repairable: %v", repairable)
	}
	if sum.Destination != verify.ByHead || !sum.Listed || sum.From != day(-10) || sum.To != day(1) {
		t.Errorf("%+v", sum)
	}
}

func TestADestinationThatIngestsIsNotMissingWhatItTook(t *testing.T) {
	w := newWorld()
	w.delivered(day(-1), "taken.csv.gz", "aaaa")
	w.delivered(day(-1), "there.csv.gz", "bbbb")
	w.delivered(day(-1), "other.csv.gz", "cccc")
	w.record(day(-1), "dead.csv.gz", "aaaa", "e-aaaa", func(r *messages.Record) { r.Status = messages.StatusFailed })
	w.list(day(-9), "before.csv.gz", "x", "e")
	delete(w.stored, "p/"+string(day(-1))+"_taken.csv.gz")
	w.put("p/"+string(day(-1))+"_other.csv.gz", "dddd", "e-dddd")
	v := w.verifier(t, flat)
	v.Ingests = true
	sum, found := run(t, v)
	want(t, found, map[string]verify.Result{
		"taken.csv.gz": verify.Ingested, "there.csv.gz": verify.Equal, "other.csv.gz": verify.Different, "dead.csv.gz": verify.Missing, "before.csv.gz": verify.Missing,
	}, nil)
	if sum.Ingested != 1 || sum.Equal != 1 || found["taken.csv.gz"].Repairable {
		t.Errorf("%+v", sum)
	}
	// Without the right to list, one that was taken away cannot be told from one that
	// may not be looked at, whether or not it is already known that others may be.
	w.mayList = false
	delete(w.stored, "p/"+string(day(-1))+"_other.csv.gz")
	w.delivered(day(-2), "first.csv.gz", "aaaa")
	delete(w.stored, "p/"+string(day(-2))+"_first.csv.gz")
	_, found = run(t, v)
	want(t, found, map[string]verify.Result{
		"first.csv.gz": verify.Ingested, "taken.csv.gz": verify.Ingested, "other.csv.gz": verify.Ingested, "there.csv.gz": verify.Equal,
		"dead.csv.gz": verify.Missing, "before.csv.gz": verify.Failed,
	}, nil)
}

// TestObjectsThatOutlivedTheirReportsAreNoDifference: Oracle deletes after a year.
func TestObjectsThatOutlivedTheirReportsAreNoDifference(t *testing.T) {
	w := newWorld()
	for _, n := range []int{-400, -365, -364, -1} {
		w.put(fmt.Sprintf("p/%s_%d.csv.gz", day(n), -n), "aaaa", "e")
	}
	v := w.verifier(t, flat)
	v.Ranges = []messages.Range{{From: day(-500), To: day(-390)}, {From: day(-380)}}
	_, found := run(t, v)
	want(t, found, map[string]verify.Result{"364.csv.gz": verify.OnlyThere, "1.csv.gz": verify.OnlyThere}, nil)
}

func TestOnlyTheAskedDaysAreCompared(t *testing.T) {
	w := newWorld()
	for n := -8; n <= 1; n++ {
		w.delivered(day(n), fmt.Sprintf("%d.csv.gz", -n), "aaaa")
	}
	w.delivered("2999-01-01", "future.csv.gz", "aaaa")
	clear(w.stored)
	for _, c := range []struct {
		ranges []messages.Range
		want   []string
	}{
		{[]messages.Range{{From: day(-3), To: day(-3)}}, []string{"3.csv.gz"}},
		{[]messages.Range{{From: day(-8), To: day(-7)}, {From: day(0)}}, []string{"-1.csv.gz", "0.csv.gz", "7.csv.gz", "8.csv.gz", "future.csv.gz"}},
		{[]messages.Range{{From: day(3)}}, []string{"future.csv.gz"}},
	} {
		v := w.verifier(t, flat)
		v.Ranges = c.ranges
		_, found := run(t, v)
		if got := slices.Sorted(maps.Keys(found)); !slices.Equal(got, c.want) {
			t.Errorf("%v: %v, want %v", c.ranges, got, c.want)
		}
	}
	if w.days > 40 {
		t.Errorf("%d days were read: a file of the far future is no reason to look at every day until then", w.days)
	}
}

// TestOneListingOfAllDaysGrowsOld: where the keys of a day have no common beginning, the
// destination is listed once, and what came after that is not in it.
func TestOneListingOfAllDaysGrowsOld(t *testing.T) {
	w := newWorld()
	w.mayHead = false
	for base, at := range map[string]time.Time{"new.csv.gz": time.Now(), "lost.csv.gz": copiedAt()} {
		w.list(day(-1), base, "aaaa", "e-aaaa")
		w.record(day(-1), base, "aaaa", "e-aaaa", func(r *messages.Record) { r.Copy.At = at })
	}
	_, found := run(t, w.verifier(t, "{basename}_{date}"))
	want(t, found, map[string]verify.Result{"new.csv.gz": verify.Pending, "lost.csv.gz": verify.Missing}, nil)
	if w.lists != 1 {
		t.Errorf("%d listings", w.lists)
	}
	_, found = run(t, w.verifier(t, flat)) // each day is listed when its turn comes
	want(t, found, map[string]verify.Result{"new.csv.gz": verify.Missing, "lost.csv.gz": verify.Missing}, nil)
}

func TestADestinationThatFailsEndsTheComparison(t *testing.T) {
	w := newWorld()
	for i := range 30 {
		base := fmt.Sprintf("%02d.csv.gz", i)
		w.delivered(day(-1), base, "aaaa")
		w.headErr["p/"+string(day(-1))+"_"+base] = &messages.Fault{Class: messages.Unavailable, Side: messages.Destination, Err: errors.New("503")}
	}
	if _, err := w.verifier(t, flat).Run(t.Context()); !errors.Is(err, messages.Unavailable) {
		t.Errorf("%v", err)
	}
	if w.heads > 20 {
		t.Errorf("%d objects were asked for", w.heads)
	}
	// One object that fails is one mark.
	clear(w.headErr)
	w.headErr["p/"+string(day(-1))+"_07.csv.gz"] = &messages.Fault{Class: messages.Unavailable, Side: messages.Destination, Err: errors.New("503")}
	sum, found := run(t, w.verifier(t, flat))
	if f := found["07.csv.gz"]; f.Result != verify.Failed || sum.Equal != 29 || sum.Errors != 1 {
		t.Errorf("%+v, %+v", f, sum)
	}
	// Credentials that are refused are no property of an object.
	w.headErr["p/"+string(day(-1))+"_07.csv.gz"] = &messages.Fault{Class: messages.Unauthenticated, Side: messages.Destination, Err: errors.New("expired")}
	if _, err := w.verifier(t, flat).Run(t.Context()); !errors.Is(err, messages.Unauthenticated) {
		t.Errorf("%v", err)
	}
}

func TestAnInterruptionEndsTheComparison(t *testing.T) {
	w := newWorld()
	for i := range 30 {
		w.delivered(day(-1), fmt.Sprintf("%02d.csv.gz", i), "aaaa")
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.change = cancel
	v := w.verifier(t, flat)
	v.Found = func(f verify.Finding) { t.Errorf("%+v", f) }
	if _, err := v.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// many is a year of reports that nobody keeps in memory.
type many struct{ days, perDay int }

func (m many) each(yield func(d messages.Day, base string) bool) {
	for n := range m.days {
		for i := range m.perDay {
			if !yield(day(-m.days+n+1), fmt.Sprintf("%016d.csv.gz", i)) {
				return
			}
		}
	}
}

func (m many) List(_ context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		m.each(func(d messages.Day, base string) bool {
			name := prefix + d.Folder() + base
			return name < from || yield(messages.Object{Name: name, ETag: "e", Size: 4}, nil)
		})
	}
}

func (m many) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	out := map[string]messages.Record{}
	if d > day(0) {
		return out, nil
	}
	for i := range m.perDay {
		base := fmt.Sprintf("%016d.csv.gz", i)
		out[base] = messages.Record{
			Status: messages.StatusCopied, Object: messages.Object{Name: prefix + d.Folder() + base, ETag: "e", Size: 4},
			Copy: &messages.FileCopied{Size: 4, CRC32C: "x"},
		}
	}
	return out, nil
}

func (m many) Head(context.Context, string) (verify.Stored, error) {
	return verify.Stored{Size: 4, CRC32C: "x"}, nil
}

type manyStored struct{ many }

func (manyStored) List(context.Context, string) iter.Seq2[verify.Listed, error] {
	return func(yield func(verify.Listed, error) bool) { yield(verify.Listed{}, messages.Forbidden) }
}

// TestMemoryIsThatOfOneDay: a comparison of a hundred thousand files holds no more than
// those of a day. With 2,740 a day, a million files took 12 s and 5.2 MiB.
func TestMemoryIsThatOfOneDay(t *testing.T) {
	m := many{365, 274}
	var peak uint64
	files := 0
	v := &verify.Verifier{
		Source: m, Ledger: m, Destination: manyStored{m}, Rules: rules(t, flat), Concurrency: 8,
		Ranges: []messages.Range{{From: day(-m.days + 1)}}, Responsible: func(messages.Day) bool { return true },
		Found: func(verify.Finding) {
			if files++; files%(20*m.perDay) == 0 {
				runtime.GC()
				var s runtime.MemStats
				runtime.ReadMemStats(&s)
				peak = max(peak, s.HeapAlloc)
			}
		},
	}
	began := time.Now()
	sum, err := v.Run(t.Context())
	if err != nil || sum.Equal != m.days*m.perDay {
		t.Fatalf("%+v, %v", sum, err)
	}
	if peak > 24<<20 {
		t.Errorf("%d MiB are held", peak>>20)
	}
	t.Logf("%d files in %v, at most %d KiB in use", sum.Equal, time.Since(began).Round(time.Millisecond), peak>>10)
}
