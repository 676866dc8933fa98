package scanner_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func (w *world) Forget(_ context.Context, key string, r messages.Record) (bool, error) {
	v := w.begin("forget")
	defer w.mu.Unlock()
	if w.objects[r.Object.Name].Name != "" {
		w.tb.Errorf("%s is listed, and its record was forgotten", r.Object.Name)
	}
	if v == failsClean {
		return false, errFault
	}
	now, ok := w.records[key]
	same := ok && now == r
	if same {
		delete(w.records, key)
	}
	if v == failsDirty {
		return false, errFault
	}
	return same, nil
}

func (w *world) keeper(days int) *scanner.Scanner {
	s := w.scanner()
	s.Forgetter, s.Retention = w, time.Duration(days)*24*time.Hour
	return s
}

func (w *world) kept() []string {
	var out []string
	for key := range w.records {
		_, _, base, _ := messages.ParseRecordKey(key)
		out = append(out, strings.TrimSuffix(base, ".csv.gz"))
	}
	slices.Sort(out)
	return out
}

func record(d messages.Day, base string, s messages.Status, age int) messages.Record {
	return messages.Record{Status: s, Object: object(d, base, "e"), At: time.Now().AddDate(0, 0, -age)}
}

// shelf is a world whose marks say that days up to 40 ago are swept, with records
// of each kind.
func shelf(tb testing.TB) *world {
	w := newWorld(tb)
	w.setMarks(messages.Marks{Since: today().Add(-40), Scanned: time.Now().Add(-time.Hour), Swept: time.Now().Add(-25 * time.Hour)})
	lone, shared, before := today().Add(-38), today().Add(-20), today().Add(-41)
	w.add(object(shared, "listed", "e"), object(shared, "changed", "e2"), messages.Object{Name: name(shared, "giant"), ETag: "e", Size: 1001})
	for base, age := range map[string]int{"old": 31, "young": 29} {
		w.put(record(lone, "lone-"+base, messages.StatusCopied, age))
		w.put(record(shared, "shared-"+base, messages.StatusCopied, age))
	}
	w.put(record(shared, "listed", messages.StatusCopied, 300))
	w.put(record(shared, "changed", messages.StatusCopied, 300))
	w.put(record(shared, "giant", messages.StatusCopied, 300)) // listed, but over the limit by now
	w.put(record(shared, "failed", messages.StatusFailed, 300))
	w.put(record(shared, "gone", messages.StatusGone, 300))
	w.put(record(before, "before", messages.StatusCopied, 402))
	return w
}

const everything = "before changed failed giant gone listed lone-old lone-young shared-old shared-young"

func TestASweepForgetsWhatIsOldAndNoLongerListed(t *testing.T) {
	for what, tt := range map[string]struct {
		days  int
		marks func(*messages.Marks)
		want  string
	}{
		"30 days":          {30, nil, "before changed failed giant listed lone-young shared-young"},
		"28 days":          {28, nil, "before changed failed giant listed"},
		"for ever":         {0, nil, everything},
		"no sweep is due":  {30, func(m *messages.Marks) { m.Swept = time.Now().Add(-time.Hour) }, everything},
		"of more days ago": {30, func(m *messages.Marks) { m.Since = today().Add(-42) }, "changed failed giant listed lone-young shared-young"},
	} {
		w := shelf(t)
		if tt.marks != nil {
			m := w.read()
			tt.marks(&m)
			w.setMarks(m)
		}
		before := len(w.records)
		st, err := w.keeper(tt.days).Scan(t.Context())
		if got := strings.Join(w.kept(), " "); err != nil || got != tt.want || st.Forgotten != before-len(w.records) {
			t.Errorf("%s: kept %s (%d forgotten, %v)\nwant %s", what, got, st.Forgotten, err, tt.want)
		}
	}
}

// A file that is listed again between the sweep and the forgetting keeps its record.
func TestAFileThatComesBackKeepsItsRecord(t *testing.T) {
	w := shelf(t)
	back := object(today().Add(-20), "shared-old", "e")
	w.turn = func(op string) verdict {
		if op == "write" { // the marks: the sweep is complete
			w.add(back)
		}
		return works
	}
	if _, err := w.keeper(30).Scan(t.Context()); err != nil || !slices.Contains(w.kept(), "shared-old") {
		t.Errorf("kept %v, %v", w.kept(), err)
	}
}

// A record that was written since it was read stays.
func TestARecordThatWasWrittenSinceStays(t *testing.T) {
	w := shelf(t)
	w.turn = func(op string) verdict {
		if op == "write" {
			w.mu.Lock()
			w.put(record(today().Add(-20), "shared-old", messages.StatusRetrying, 0))
			w.mu.Unlock()
		}
		return works
	}
	st, err := w.keeper(30).Scan(t.Context())
	if err != nil || !slices.Contains(w.kept(), "shared-old") || st.Forgotten != 2 {
		t.Errorf("kept %v, %d forgotten, %v", w.kept(), st.Forgotten, err)
	}
}

// Whatever call of a port fails or is the last one before a crash: no record of a
// listed file is ever forgotten, none at all by a listing that was not complete, and
// the next sweep ends with the rest.
func TestForgettingSurvivesEveryFault(t *testing.T) {
	clean := shelf(t)
	if _, err := clean.keeper(30).Scan(t.Context()); err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, op := range clean.calls {
		count[op]++
	}
	if count["forget"] != 3 {
		t.Fatalf("calls %v, want three to forget", count)
	}
	for op, n := range count {
		for i := range n {
			for _, v := range []verdict{failsClean, failsDirty} {
				t.Run(fmt.Sprintf("%s %d dirty %t", op, i+1, v == failsDirty), func(t *testing.T) {
					w := shelf(t)
					w.fail(op, i+1, v)
					st, err := w.keeper(30).Scan(t.Context())
					if err != nil && (st.Forgotten > 0 || strings.Join(w.kept(), " ") != everything) {
						t.Errorf("the scan failed (%v) and has forgotten %d: kept %v", err, st.Forgotten, w.kept())
					}
					w.turn = func(string) verdict { return works }
					m := w.read()
					m.Swept = time.Now().Add(-25 * time.Hour)
					w.setMarks(m)
					if _, err := w.keeper(30).Scan(t.Context()); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(w.kept(), clean.kept()) {
						t.Errorf("after another sweep: kept %v, want %v", w.kept(), clean.kept())
					}
				})
			}
		}
	}
}

// One sweep forgets no more than a thousand: each takes a listing of its own.
func TestOneSweepForgetsAThousandAtMost(t *testing.T) {
	w := newWorld(t)
	for i := range 1200 {
		w.put(record(today().Add(-10), fmt.Sprint(i), messages.StatusCopied, 40))
	}
	st, err := w.keeper(30).Scan(t.Context())
	if err != nil || st.Forgotten != 1000 || len(w.records) != 200 {
		t.Errorf("%d forgotten, %d left, %v; want 1000 and 200", st.Forgotten, len(w.records), err)
	}
}

// What the Python agent delivered is done, and told apart.
func TestWhatWasInheritedIsCounted(t *testing.T) {
	w := newWorld(t)
	for i, how := range []string{messages.HowCopied, messages.HowImported, messages.HowPresumed} {
		r := record(today(), fmt.Sprint(i), messages.StatusCopied, 0)
		r.Copy = &messages.FileCopied{How: how}
		w.put(r)
		w.add(r.Object)
	}
	st, err := w.scanner().Scan(t.Context())
	if err != nil || st.Done != 3 || st.Inherited != 2 {
		t.Errorf("%d done, %d inherited, %v; want 3 and 2", st.Done, st.Inherited, err)
	}
}
