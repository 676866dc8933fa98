package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func TestWindow(t *testing.T) {
	if os.Getenv("SCANNER_TEST_ZONE") != "" {
		if _, offset := time.Now().Zone(); offset == 0 {
			t.Fatal("the zone is not in effect")
		}
	}
	at := func(s string) time.Time {
		v, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	swept := func(s string, m messages.Marks) messages.Marks {
		m.Swept = at(s)
		return m
	}
	for _, c := range []struct {
		name     string
		now      string
		marks    messages.Marks
		since    messages.Day
		lookback int
		from     messages.Day // of the listing
		live     messages.Day // first day of the live lane
		sweep    bool
		mark     messages.Day // Since afterwards
	}{
		{"first scan", "2024-11-29 12:00", messages.Marks{}, "", 35, "2024-10-25", "2024-10-25", true, "2024-10-25"},
		{"first scan, agent.since in the past", "2024-11-29 12:00", messages.Marks{}, "2024-01-01", 35, "2024-01-01", "2024-10-25", true, "2024-01-01"},
		{"first scan, agent.since within the window", "2024-11-29 12:00", messages.Marks{}, "2024-11-20", 35, "2024-11-20", "2024-10-25", true, "2024-11-20"},
		{"lookback below three", "2024-11-29 12:00", messages.Marks{}, "", 0, "2024-11-26", "2024-11-26", true, "2024-11-26"},
		{"ten minutes later", "2024-11-29 12:10", swept("2024-11-29 12:00", messages.Marks{Since: "2024-10-25", Scanned: at("2024-11-29 12:00")}), "", 35, "2024-10-25", "2024-10-25", false, "2024-10-25"},
		{"over midnight", "2024-11-30 00:01", swept("2024-11-29 23:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-29 23:51")}), "", 35, "2024-10-25", "2024-10-25", false, "2024-01-01"},
		{"the second scan after midnight", "2024-11-30 00:11", swept("2024-11-29 23:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-30 00:01")}), "", 35, "2024-10-26", "2024-10-26", false, "2024-01-01"},
		{"outage of ten days", "2024-11-29 12:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-19 12:00"), Swept: at("2024-11-28 13:00")}, "", 3, "2024-11-16", "2024-11-16", false, "2024-01-01"},
		{"outage of ten days, and a sweep", "2024-11-29 12:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-19 12:00"), Swept: at("2024-11-19 12:00")}, "", 3, "2024-01-01", "2024-11-16", true, "2024-01-01"},
		{"a sweep is 24 h old", "2024-11-29 12:00", swept("2024-11-28 12:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-29 11:50")}), "", 3, "2024-01-01", "2024-11-26", true, "2024-01-01"},
		{"a sweep is not quite 24 h old", "2024-11-29 11:59", swept("2024-11-28 12:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-29 11:50")}), "", 3, "2024-11-26", "2024-11-26", false, "2024-01-01"},
		{"month end", "2025-03-01 00:00", swept("2025-03-01 00:00", messages.Marks{Since: "2025-01-01", Scanned: at("2025-03-01 00:00")}), "", 3, "2025-02-26", "2025-02-26", false, "2025-01-01"},
		{"leap day", "2024-03-01 00:00", swept("2024-03-01 00:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-03-01 00:00")}), "", 3, "2024-02-27", "2024-02-27", false, "2024-01-01"},
		{"year end", "2025-01-01 00:00", swept("2025-01-01 00:00", messages.Marks{Since: "2024-01-01", Scanned: at("2025-01-01 00:00")}), "", 3, "2024-12-29", "2024-12-29", false, "2024-01-01"},
		{"lookback raised later", "2024-11-29 12:00", swept("2024-11-29 11:00", messages.Marks{Since: "2024-11-20", Scanned: at("2024-11-29 11:50")}), "", 35, "2024-10-25", "2024-10-25", false, "2024-10-25"},
		{"lookback lowered later", "2024-11-29 12:00", swept("2024-11-28 11:00", messages.Marks{Since: "2024-10-01", Scanned: at("2024-11-29 11:50")}), "", 3, "2024-10-01", "2024-11-26", true, "2024-10-01"},
		{"agent.since set earlier later", "2024-11-29 12:00", swept("2024-11-28 11:00", messages.Marks{Since: "2024-10-01", Scanned: at("2024-11-29 11:50")}), "2024-02-29", 3, "2024-02-29", "2024-11-26", true, "2024-02-29"},
		{"agent.since set earlier an hour after a sweep", "2024-11-29 12:00", swept("2024-11-29 11:00", messages.Marks{Since: "2024-10-01", Scanned: at("2024-11-29 11:50")}), "2024-02-29", 3, "2024-02-29", "2024-11-26", true, "2024-02-29"},
		{"agent.since taken away later", "2024-11-29 12:00", swept("2024-11-28 11:00", messages.Marks{Since: "2024-02-29", Scanned: at("2024-11-29 11:50")}), "", 3, "2024-02-29", "2024-11-26", true, "2024-02-29"},
		{"the clock was ahead for the last scan", "2024-11-29 12:00", swept("2024-11-29 13:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-12-05 12:00")}), "", 3, "2024-11-26", "2024-11-26", false, "2024-01-01"},
		{"the clock was a year ahead for the last sweep", "2024-11-29 12:00", swept("2025-11-29 12:00", messages.Marks{Since: "2024-01-01", Scanned: at("2024-11-29 11:50")}), "", 3, "2024-01-01", "2024-11-26", true, "2024-01-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Until(at(c.now)))
				w := newWorld(t)
				if !reflect.DeepEqual(c.marks, messages.Marks{}) {
					w.setMarks(c.marks)
				}
				for d := c.from.Add(-1); d <= today().Add(2); d = d.Add(1) { // and into the future
					w.add(object(d, "a", "1"))
				}
				s := w.scanner()
				s.Lookback, s.Since = c.lookback, c.since
				st, err := s.Scan(t.Context())
				if err != nil || st.From != c.from || st.Sweep != c.sweep {
					t.Fatalf("Scan listed from %s, sweep %t, %v, want %s, %t", st.From, st.Sweep, err, c.from, c.sweep)
				}
				for d := c.from.Add(-1); d <= today().Add(2); d = d.Add(1) {
					want := messages.Live
					switch {
					case d < c.from:
						want = ""
					case d < c.live:
						want = messages.Backfill
					}
					if got := w.queue[name(d, "a")].lane; got != want {
						t.Errorf("%s went to %q, want %q", d, got, want)
					}
				}
				m := w.read()
				if m.Since != c.mark || m.Scanned.Before(c.marks.Scanned) || m.Scanned.Before(time.Now()) && !m.Scanned.Equal(c.marks.Scanned) {
					t.Errorf("the marks are %+v, want since %s", m, c.mark)
				}
				if wantSwept := c.sweep && time.Now().After(c.marks.Swept); wantSwept != !m.Swept.Equal(c.marks.Swept) {
					t.Errorf("swept went from %s to %s", c.marks.Swept, m.Swept)
				}
			})
		})
	}
}

// TestWindowInEveryZone: the zone of the machine changes nothing.
func TestWindowInEveryZone(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, zone := range []string{"Asia/Kolkata", "Pacific/Apia", "America/Los_Angeles"} {
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestWindow$", "-test.count=1")
		cmd.Env = append(os.Environ(), "TZ="+zone, "SCANNER_TEST_ZONE="+zone)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("in %s: %v\n%s", zone, err, out)
		}
	}
}

// five returns a world with five reports of which one is done, over three days.
func five(t *testing.T) *world {
	w := newWorld(t)
	d := today()
	w.add(object(d.Add(-2), "a", "1"), object(d.Add(-2), "b", "1"), object(d.Add(-1), "a", "1"), object(d, "a", "1"), object(d, "b", "1"))
	w.put(messages.Record{Status: messages.StatusCopied, Object: object(d.Add(-2), "b", "1")})
	return w
}

func TestScanPublishesWhatIsNotDone(t *testing.T) {
	w := five(t)
	st, err := w.scanner().Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Discovered != 5 || st.Published != 4 || st.Done != 1 || st.Bytes != 400 || sum(st) != 5 {
		t.Errorf("Scan = %+v", st)
	}
	if m := w.missing("", 0); m != nil || len(w.queue) != 4 {
		t.Errorf("missing %v, queued %v", m, w.queued())
	}
	// A second scan finds all of it waiting, and publishes nothing twice.
	if st, err := w.scanner().Scan(t.Context()); err != nil || st.Queued != 4 || st.Published != 0 || st.Bytes != 0 || sum(st) != 5 {
		t.Errorf("the second Scan = %+v, %v", st, err)
	}
}

// TestScanSurvivesEveryFault fails each port call in turn, with and without
// effect. The marks stay, the error is told, and the next scan completes.
func TestScanSurvivesEveryFault(t *testing.T) {
	probe := five(t)
	if _, err := probe.scanner().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, op := range probe.calls {
		count[op]++
	}
	if len(count) != 6 {
		t.Fatalf("the scan calls %v, want all six", count)
	}
	for op, n := range count {
		for i := range n {
			for _, v := range []verdict{failsClean, failsDirty} {
				t.Run(fmt.Sprintf("%s %d dirty %t", op, i+1, v == failsDirty), func(t *testing.T) {
					w := five(t)
					before := messages.Marks{Schema: 1, Since: today().Add(-100), Scanned: time.Now().Add(-240 * time.Hour).UTC()}
					w.setMarks(before)
					w.fail(op, i+1, v)
					st, err := w.scanner().Scan(t.Context())
					if !errors.Is(err, messages.Unavailable) {
						t.Fatalf("Scan = %v, want the fault", err)
					}
					if moved := !reflect.DeepEqual(w.read(), before); moved != (op == "write" && v == failsDirty) {
						t.Errorf("the marks are %+v after a failed scan", w.read())
					}
					if sum(st) != st.Discovered {
						t.Errorf("the counts do not add up: %+v", st)
					}
					queued := w.queued()
					if op == "publish" && st.Failed != 1 {
						t.Errorf("Scan = %+v, want one failure", st)
					}
					if op == "publish" && len(queued) < 3 {
						t.Errorf("one refused file blocked others: %v", queued)
					}
					w.turn = func(string) verdict { return works }
					if _, err := w.scanner().Scan(t.Context()); err != nil {
						t.Fatal(err)
					}
					if m := w.missing("", 0); m != nil || len(w.queue) != 4 {
						t.Errorf("missing %v, queued %v", m, w.queued())
					}
					for _, q := range queued {
						if !slices.Contains(w.queued(), q) {
							t.Errorf("%s was published and is gone", q)
						}
					}
					if reflect.DeepEqual(w.read(), before) {
						t.Error("a complete scan did not move the marks")
					}
				})
			}
		}
	}
}

func TestFivePublishFailuresInARowEndAScan(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.add(object(today(), fmt.Sprintf("%02d", i), "1"))
	}
	n := 0
	w.turn = func(op string) verdict {
		if op != "publish" {
			return works
		}
		n++
		if n <= 4 || n >= 6 { // one success between: the count begins again
			return failsClean
		}
		return works
	}
	st, err := w.scanner().Scan(t.Context())
	if !errors.Is(err, messages.Unavailable) || !strings.Contains(fmt.Sprint(err), name(today(), "09")) {
		t.Errorf("Scan = %v, want the fault and the last file", err)
	}
	if n != 10 || st.Failed != 9 || st.Published != 1 || sum(st) != 10 {
		t.Errorf("%d publishes, %+v, want 4 + 1 + 5", n, st)
	}
	if w.marks != nil {
		t.Error("the marks moved")
	}
}

func TestWhatIsDone(t *testing.T) {
	d := today()
	for _, c := range []struct {
		name    string
		record  messages.Record
		epoch   int
		finding scanner.Finding
		gen     int
	}{
		{"copied", messages.Record{Status: messages.StatusCopied}, 0, scanner.Done, 0},
		{"gone", messages.Record{Status: messages.StatusGone}, 0, scanner.Done, 0},
		{"discarded", messages.Record{Status: messages.StatusDiscarded}, 0, scanner.Done, 0},
		{"failed", messages.Record{Status: messages.StatusFailed, Class: messages.HashMismatch, Error: "x"}, 0, scanner.Failed, 0},
		{"due", messages.Record{Status: messages.StatusDue, Generation: 4}, 0, scanner.Published, 4},
		{"retrying", messages.Record{Status: messages.StatusRetrying, Generation: 1}, 0, scanner.Published, 1},
		{"copied to a destination that was given up", messages.Record{Status: messages.StatusCopied, Epoch: 1}, 2, scanner.Published, 0},
		{"failed there", messages.Record{Status: messages.StatusFailed, Epoch: 1}, 2, scanner.Published, 0},
		{"copied under another etag", messages.Record{Status: messages.StatusCopied, Object: object(d, "a", "0")}, 0, scanner.Published, 0},
		{"failed under another etag", messages.Record{Status: messages.StatusFailed, Object: object(d, "a", "0")}, 0, scanner.Published, 0},
	} {
		w := newWorld(t)
		o := object(d, "a", "1")
		w.add(o)
		if c.record.Object.Name == "" {
			c.record.Object = o
		}
		w.put(c.record)
		s := w.scanner()
		s.Epoch = c.epoch
		var got []scanner.Outcome
		s.Observe = func(o scanner.Outcome) { got = append(got, o) }
		st, err := s.Scan(t.Context())
		if err != nil || len(got) != 1 || got[0].Finding != c.finding || !reflect.DeepEqual(got[0].Record, c.record) || got[0].Object != o || sum(st) != 1 {
			t.Errorf("%s: %+v, %v, want %s", c.name, got, err, c.finding)
			continue
		}
		if m, ok := w.queue[o.Name]; ok != (c.finding == scanner.Published) || ok && m.message.Generation != c.gen {
			t.Errorf("%s: queued %+v, want generation %d", c.name, m.message, c.gen)
		}
		if c.finding == scanner.Failed && !errors.Is(got[0].Err, messages.HashMismatch) {
			t.Errorf("%s: the outcome does not say why: %v", c.name, got[0].Err)
		}
	}
}

// TestNoWatermark: a late file in an old day, and a new version of an old file,
// are found by comparison, not by name or time.
func TestNoWatermark(t *testing.T) {
	w := five(t)
	if _, err := w.scanner().Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	clear(w.queue) // the copiers have done all of it
	for _, o := range w.objects {
		w.put(messages.Record{Status: messages.StatusCopied, Object: o})
	}
	late := object(today().Add(-30), "0", "1") // sorts before everything
	corrected := object(today().Add(-2), "a", "2")
	w.add(late, corrected)
	st, err := w.scanner().Scan(t.Context())
	if err != nil || st.Published != 2 || st.Done != 4 {
		t.Errorf("Scan = %+v, %v", st, err)
	}
	if w.queue[late.Name].message.Object != late || w.queue[corrected.Name].message.Object != corrected {
		t.Errorf("queued %v", w.queued())
	}
}

func TestOneBasenameInTwoDays(t *testing.T) {
	w := newWorld(t)
	a, b := object(today(), "a", "1"), object(today().Add(-1), "a", "1")
	w.add(a, b)
	w.put(messages.Record{Status: messages.StatusCopied, Object: a})
	if st, err := w.scanner().Scan(t.Context()); err != nil || st.Published != 1 || st.Done != 1 {
		t.Errorf("Scan = %+v, %v", st, err)
	}
	if _, ok := w.queue[b.Name]; !ok || len(w.queue) != 1 {
		t.Errorf("queued %v", w.queued())
	}
}

func TestCountsAddUp(t *testing.T) {
	w := five(t)
	d := today()
	big := object(d, "big", "1")
	big.Size = 1001
	dead := object(d, "dead", "1")
	w.put(messages.Record{Status: messages.StatusFailed, Object: dead})
	w.add(big, dead,
		messages.Object{Name: prefix + d.Folder() + "readme.txt"},
		messages.Object{Name: prefix + d.Folder() + "x/y.csv.gz"},
		messages.Object{Name: prefix + "2999/02/30/a.csv.gz"},
		messages.Object{Name: prefix + d.Folder() + "a b.csv.gz"},
		messages.Object{Name: prefix + d.Folder() + "\u202e.csv.gz"},
	)
	w.queue[name(d, "a")] = waiting{lane: messages.Backfill}
	s := w.scanner()
	seen := map[scanner.Finding]int{}
	s.Observe = func(o scanner.Outcome) {
		seen[o.Finding]++
		if (o.Err != nil) != (o.Finding == scanner.Failed || o.Finding == scanner.Ineligible) {
			t.Errorf("%s: %v", o.Finding, o.Err)
		}
	}
	st, err := s.Scan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := map[messages.Reason]int{messages.NotAReport: 2, messages.BadDate: 1, messages.BadKey: 1, messages.BadName: 1}
	if st.Discovered != 12 || st.Published != 3 || st.Queued != 1 || st.Done != 1 || st.Failed != 2 || st.TooLarge != 1 || st.Dead != 1 || !reflect.DeepEqual(st.Ineligible, want) || sum(st) != 12 {
		t.Errorf("Scan = %+v", st)
	}
	if seen[scanner.Published] != 3 || seen[scanner.Queued] != 1 || seen[scanner.Done] != 1 || seen[scanner.Failed] != 2 || seen[scanner.Ineligible] != 5 {
		t.Errorf("observed %v", seen)
	}
}

// TestEpochChange: with a new destination everything is due again, over the
// whole responsibility, and the marks begin anew.
func TestEpochChange(t *testing.T) {
	w := newWorld(t)
	now := time.Now().UTC()
	for i := range 60 {
		o := object(today().Add(-i), "a", "1")
		w.add(o)
		w.put(messages.Record{Status: messages.StatusCopied, Object: o, Generation: 1})
	}
	w.setMarks(messages.Marks{Since: today().Add(-59), Scanned: now, Swept: now})
	s := w.scanner()
	if st, err := s.Scan(t.Context()); err != nil || st.Published != 0 {
		t.Fatalf("Scan = %+v, %v", st, err)
	}
	s.Epoch = 1
	st, err := s.Scan(t.Context())
	if err != nil || st.Published != 60 || !st.Sweep {
		t.Errorf("Scan = %+v, %v", st, err)
	}
	for n, q := range w.queue {
		if q.message.Epoch != 1 {
			t.Errorf("the message of %s has epoch %d", n, q.message.Epoch)
		}
	}
	if m := w.read(); m.Epoch != 1 || m.Since != today().Add(-59) || m.Swept.Before(now) {
		t.Errorf("marks %+v", m)
	}
}

// Marks of a newer version are left for it. What nobody can read is as good as
// none: the ledger is a cache, and the scan writes it anew.
func TestUnreadableMarks(t *testing.T) {
	w := five(t)
	w.marks, w.revision = []byte(`{"schema":2}`), 1
	if _, err := w.scanner().Scan(t.Context()); !errors.Is(err, messages.ErrNewer) || len(w.queue) != 0 || string(w.marks) != `{"schema":2}` {
		t.Errorf("with newer marks: %v, queued %v", err, w.queued())
	}
	for _, value := range []string{`{"schema":1,"since":"x"}`, `x`} {
		w := five(t)
		w.marks, w.revision = []byte(value), 1
		if st, err := w.scanner().Scan(t.Context()); err != nil || !st.Sweep || len(w.queue) == 0 {
			t.Errorf("with marks %s: %+v, %v", value, st, err)
		}
		if m, err := messages.DecodeMarks(w.marks); err != nil || m.Scanned.IsZero() {
			t.Errorf("marks afterwards %s, %v", w.marks, err)
		}
	}
}

func TestScanEndsWithItsContext(t *testing.T) {
	w := five(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := w.scanner()
	s.Observe = func(scanner.Outcome) { cancel() }
	if st, err := s.Scan(ctx); !errors.Is(err, context.Canceled) || st.Discovered != 1 || w.marks != nil {
		t.Errorf("Scan = %+v, %v, marks %s", st, err, w.marks)
	}
	// The last object of a listing does not make it a complete one.
	w = newWorld(t)
	w.add(object(today(), "a", "1"))
	ctx, cancel = context.WithCancel(t.Context())
	s = w.scanner()
	s.Observe = func(scanner.Outcome) { cancel() }
	if _, err := s.Scan(ctx); !errors.Is(err, context.Canceled) || w.marks != nil {
		t.Errorf("Scan = %v, marks %s", err, w.marks)
	}
}
