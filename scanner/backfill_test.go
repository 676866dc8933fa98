package scanner_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// past is a world whose scans came as far as now and begin forty days ago, with a report
// of each of the days 60 to 50 ago.
func past(tb testing.TB) *world {
	w := newWorld(tb)
	w.setMarks(messages.Marks{Since: today().Add(-40), Scanned: time.Now().Add(-time.Hour), Swept: time.Now().Add(-time.Hour)})
	for n := 50; n <= 60; n++ {
		w.add(object(today().Add(-n), "a", "e"))
	}
	return w
}

func days(from, to int) messages.Range {
	return messages.Range{From: today().Add(-from), To: today().Add(-to)}
}

// sweeps makes the next scan a sweep.
func (w *world) sweeps() {
	m := w.read()
	m.Swept = time.Now().Add(-25 * time.Hour)
	w.setMarks(m)
}

func TestABackfillQueuesWhatIsNotDoneOfItsDaysInTheBackfillLane(t *testing.T) {
	w := past(t)
	done, fresh := today().Add(-55), today().Add(-1)
	w.put(record(done, "a", messages.StatusCopied, 5))
	w.add(object(fresh, "new", "e"))
	var found []scanner.Finding
	s := w.scanner()
	s.Observe = func(o scanner.Outcome) { found = append(found, o.Finding) }
	st, err := s.Backfill(t.Context(), days(56, 54), false)
	if err != nil || st.Published != 2 || st.Done != 1 || st.Discovered != 3 || st.Bytes != 200 {
		t.Errorf("Backfill = %+v, %v, want 2 of 3 published", st, err)
	}
	if want := []string{today().Add(-54).Folder() + "a backfill", today().Add(-56).Folder() + "a backfill"}; !same(w.queued(), want) {
		t.Errorf("queued %q, want %q", w.queued(), want)
	}
	if len(found) != 3 {
		t.Errorf("Observe was told of %v", found)
	}
	// Also days of the usual window go there, by a backfill.
	if _, err := s.Backfill(t.Context(), days(1, 1), false); err != nil || w.queue[name(fresh, "new")].lane != messages.Backfill {
		t.Errorf("the fresh day went to %q, %v", w.queue[name(fresh, "new")].lane, err)
	}
}

func same(a, b []string) bool {
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}

func TestABackfillOfAllOrdersAgainWhatIsDoneButNotWhatWasDiscarded(t *testing.T) {
	w := past(t)
	copied, failed, given, running := today().Add(-56), today().Add(-55), today().Add(-54), today().Add(-53)
	w.put(record(copied, "a", messages.StatusCopied, 5))
	w.put(record(failed, "a", messages.StatusFailed, 5))
	w.put(record(given, "a", messages.StatusDiscarded, 5))
	w.put(record(running, "a", messages.StatusRetrying, 5))
	var before []messages.Status
	s := w.scanner()
	s.Observe = func(o scanner.Outcome) { before = append(before, o.Record.Status) }
	st, err := s.Backfill(t.Context(), days(56, 53), true)
	if err != nil || st.Published != 3 || st.Done != 1 {
		t.Errorf("Backfill = %+v, %v, want 3 published and 1 done", st, err)
	}
	for d, want := range map[messages.Day]int{copied: 1, failed: 1, running: 0} {
		if got := w.queue[name(d, "a")].message.Generation; got != want {
			t.Errorf("%s was queued with generation %d, want %d", d, got, want)
		}
		if r := w.records[messages.RecordKey(route, messages.Report{Day: d, Basename: "a.csv.gz"})]; r.Generation != want || want == 1 && r.Status != messages.StatusDue {
			t.Errorf("%s: the record is %+v", d, r)
		}
	}
	// Who waits for the files must see what stood there before, or would take the old copy for the new one.
	if want := []messages.Status{messages.StatusCopied, messages.StatusFailed, messages.StatusDiscarded, messages.StatusRetrying}; !slices.Equal(before, want) {
		t.Errorf("Observe was shown %v, want %v", before, want)
	}
}

func TestASweepCoversTheDaysOfABackfillAndNoOthers(t *testing.T) {
	w := past(t)
	s := w.scanner()
	for _, r := range []messages.Range{days(56, 55), days(59, 58)} {
		if _, err := s.Backfill(t.Context(), r, false); err != nil {
			t.Fatal(err)
		}
	}
	w.queue = map[string]waiting{}
	if _, err := s.Scan(t.Context()); err != nil || len(w.queue) != 0 {
		t.Errorf("a scan that is no sweep queued %q, %v", w.queued(), err)
	}
	w.sweeps()
	st, err := s.Scan(t.Context())
	if err != nil || !st.Sweep || st.Published != 4 {
		t.Errorf("the sweep = %+v, %v", st, err)
	}
	var want []string
	for _, n := range []int{55, 56, 58, 59} {
		want = append(want, today().Add(-n).Folder()+"a backfill")
	}
	if !same(w.queued(), want) {
		t.Errorf("queued %q, want %q", w.queued(), want)
	}
	if m := w.read(); len(m.Ranges) != 2 || m.Since != today().Add(-40) {
		t.Errorf("the marks are %+v", m)
	}
}

func TestARangeThatReachesTheResponsibilityExtendsIt(t *testing.T) {
	for _, c := range []struct {
		name       string
		configured messages.Day
		ranges     []messages.Range
		since      messages.Day
		left       []messages.Range
	}{
		{"apart", "", []messages.Range{days(60, 50)}, today().Add(-40), []messages.Range{days(60, 50)}},
		{"within", "", []messages.Range{days(39, 30)}, today().Add(-40), nil},
		{"across", "", []messages.Range{days(45, 3)}, today().Add(-45), nil},
		{"adjacent", "", []messages.Range{days(45, 41)}, today().Add(-45), nil},
		{"the gap is filled", "", []messages.Range{days(60, 50), days(49, 41)}, today().Add(-60), nil},
		{"adjacent to what is configured", today().Add(-40), []messages.Range{days(45, 41)}, today().Add(-40), []messages.Range{days(45, 41)}},
		{"overlapping", today().Add(-40), []messages.Range{days(60, 50), days(55, 45), days(70, 61)}, today().Add(-40), []messages.Range{days(70, 45)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := past(t)
			s := w.scanner()
			s.Since = c.configured
			for _, r := range c.ranges {
				if _, err := s.Backfill(t.Context(), r, false); err != nil {
					t.Fatal(err)
				}
			}
			before := w.read()
			if before.Since != c.since || !slices.Equal(before.Ranges, c.left) {
				t.Errorf("the marks are %+v, want since %s and %v", before, c.since, c.left)
			}
			// A scan that ends later keeps them.
			if _, err := s.Scan(t.Context()); err != nil {
				t.Fatal(err)
			}
			if m := w.read(); m.Since != before.Since || !slices.Equal(m.Ranges, before.Ranges) {
				t.Errorf("a scan made %+v of %+v", m, before)
			}
		})
	}
}

// A backfill that ends while a scan runs is not undone by the marks of that scan.
func TestAScanBesideABackfillKeepsItsRange(t *testing.T) {
	w := past(t)
	w.sweeps()
	begun := false
	w.turn = func(op string) verdict {
		if op == "list" && !begun {
			begun = true
			if _, err := w.scanner().Backfill(t.Context(), days(45, 41), false); err != nil {
				t.Error(err)
			}
		}
		return works
	}
	if _, err := w.scanner().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	if m := w.read(); m.Since != today().Add(-45) {
		t.Errorf("the marks are %+v, want since %s", m, today().Add(-45))
	}
}

// The law of the crash: whatever two calls fail, before or after their effect, nothing of
// the range is forgotten. Either the command failed before anything was queued, or the
// days belong to the responsibility, and the next sweep queues what is missing.
func TestNothingOfABackfillIsForgottenWhateverTwoCallsFail(t *testing.T) {
	ops := []string{"read", "write", "list", "page", "day", "order", "publish"}
	rapid.Check(t, func(rt *rapid.T) {
		w := past(t)
		w.backfills = true
		if rapid.Bool().Draw(rt, "before the first scan") {
			w.marks, w.revision = nil, 0
		}
		for n := 50; n <= 60; n++ {
			if s := rapid.SampledFrom([]messages.Status{"", messages.StatusCopied, messages.StatusFailed, messages.StatusRetrying}).Draw(rt, "status"); s != "" {
				w.put(record(today().Add(-n), "a", s, 5))
			}
		}
		all := rapid.Bool().Draw(rt, "all")
		type fault struct {
			op string
			n  int
			v  verdict
		}
		var faults []fault
		for range 2 {
			faults = append(faults, fault{rapid.SampledFrom(ops).Draw(rt, "op"), rapid.IntRange(1, 6).Draw(rt, "n"), rapid.SampledFrom([]verdict{failsClean, failsDirty}).Draw(rt, "verdict")})
		}
		seen := map[string]int{}
		w.turn = func(op string) verdict {
			seen[op]++
			for _, f := range faults {
				if f.op == op && f.n == seen[op] {
					return f.v
				}
			}
			return works
		}
		r := days(58, 52)
		_, err := w.scanner().Backfill(t.Context(), r, all)
		w.turn = func(string) verdict { return works }
		if covered := w.read().Covers(r.From) && w.read().Covers(r.To); !covered {
			if err == nil || len(w.queue) > 0 {
				rt.Fatalf("%v: %v, queued %q, and nobody is responsible: %+v", faults, err, w.queued(), w.read())
			}
			return
		}
		ordered := map[string]bool{}
		for key, rec := range w.records {
			ordered[key] = rec.Status == messages.StatusDue
		}
		if w.marks != nil && !w.read().Scanned.IsZero() {
			w.sweeps()
		}
		if _, err := w.scanner().Scan(t.Context()); err != nil {
			rt.Fatal(err)
		}
		for d := r.From; d <= r.To; d = d.Add(1) {
			o := w.objects[name(d, "a")]
			key := messages.RecordKey(route, messages.Report{Day: d, Basename: "a.csv.gz"})
			_, waits := w.queue[o.Name]
			if !waits && (!w.records[key].Done(o, 0) || ordered[key]) {
				rt.Fatalf("%v: %s is forgotten: %s", faults, d, fmt.Sprint(w.queued(), w.records[key]))
			}
			if err == nil && all && !waits {
				rt.Fatalf("%s was not ordered again", d)
			}
		}
	})
}

func TestABackfillOfNoDaysIsRefused(t *testing.T) {
	w := past(t)
	for _, r := range []messages.Range{{}, {From: today()}, days(3, 5), {From: "2024-02-30", To: "2024-03-01"}} {
		if _, err := w.scanner().Backfill(t.Context(), r, false); err == nil || len(w.calls) > 0 {
			t.Errorf("Backfill of %v = %v, with calls %v", r, err, w.calls)
		}
	}
}

// What a sweep forgets includes the days of a backfill, and still nothing of other days.
func TestRetentionReachesTheDaysOfABackfill(t *testing.T) {
	w := past(t)
	gone, other := today().Add(-70), today().Add(-75)
	w.put(record(gone, "x", messages.StatusCopied, 100))
	w.put(record(other, "y", messages.StatusCopied, 100))
	s := w.keeper(50)
	if _, err := s.Backfill(t.Context(), days(72, 69), false); err != nil {
		t.Fatal(err)
	}
	w.sweeps()
	if st, err := s.Scan(t.Context()); err != nil || st.Forgotten != 1 {
		t.Errorf("the sweep = %+v, %v, want 1 forgotten", st, err)
	}
	if got := w.kept(); !slices.Equal(got, []string{"y"}) {
		t.Errorf("kept %q, want that of a day nobody is responsible for", got)
	}
}
