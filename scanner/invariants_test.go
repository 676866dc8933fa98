package scanner_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// violations collects what a scanner tells that must never happen.
func violations(s *scanner.Scanner) *[]messages.Invariant {
	var all []messages.Invariant
	s.Violated = func(i messages.Invariant) { all = append(all, i) }
	return &all
}

func TestWhatMustNeverHappenIsTold(t *testing.T) {
	now := time.Now()
	mark := func(scanned, swept time.Time) string {
		b, err := messages.Marks{Since: today(), Scanned: scanned, Swept: swept}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, c := range []struct {
		name, marks string
		want        []messages.Invariant
	}{
		{"nothing", mark(now.Add(-time.Hour), now.Add(-time.Hour)), nil},
		{"the clock of another host", mark(now.Add(4*time.Minute), now), nil},
		{"a scan in the future", mark(now.Add(time.Hour), now), []messages.Invariant{messages.MarkInFuture}},
		{"a sweep in the future", mark(now, now.Add(time.Hour)), []messages.Invariant{messages.MarkInFuture}},
		{"marks that cannot be read", "x", []messages.Invariant{messages.UnreadableRecord}},
		{"newer marks", `{"schema":2}`, []messages.Invariant{messages.NewerSchema}},
	} {
		w := five(t)
		w.marks, w.revision = []byte(c.marks), 1
		s := w.scanner()
		told := violations(s)
		_, err := s.Scan(t.Context())
		if !slices.Equal(*told, c.want) {
			t.Errorf("%s: told %v, want %v (%v)", c.name, *told, c.want, err)
		}
	}
}

// TestAScannerThatWasFrozenTellsOfNoFuture: marks that another one wrote meanwhile are of
// the past when it reads them.
func TestAScannerThatWasFrozenTellsOfNoFuture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := five(t)
		w.turn = func(op string) verdict {
			if op == "read" {
				time.Sleep(6 * time.Minute)
				w.setMarks(messages.Marks{Since: today().Add(-35), Scanned: time.Now().UTC(), Swept: time.Now().UTC()})
			}
			return works
		}
		s := w.scanner()
		told := violations(s)
		if _, err := s.Scan(t.Context()); err != nil {
			t.Fatal(err)
		}
		if len(*told) > 0 {
			t.Errorf("told %v, want nothing", *told)
		}
	})
}
