package scanner

import (
	"context"
	"iter"
	"log/slog"
	"testing"

	"oracle-focus-agent/messages"
)

// TestAScanWhoseFindingsDoNotAddUpIsNotComplete: an object without a finding must
// not be passed over in silence, since the marks would move past it.
func TestAScanWhoseFindingsDoNotAddUpIsNotComplete(t *testing.T) {
	for _, c := range []struct {
		name   string
		tally  []Finding
		listed int
		broken bool
	}{
		{"all found", []Finding{Published, Queued, Done, Failed}, 4, false},
		{"nothing listed", nil, 0, false},
		{"a finding that is none", []Finding{Published, "odd"}, 2, true},
		{"one more was listed", []Finding{Published}, 2, true},
	} {
		told := 0
		p := pass{Scanner: &Scanner{Violated: func(i messages.Invariant) {
			if i == messages.ScanSum {
				told++
			}
		}}, stats: &Stats{}, log: slog.New(slog.DiscardHandler)}
		for _, f := range c.tally {
			p.tally(Outcome{Finding: f})
		}
		if err := p.proven(c.listed); (err != nil) != c.broken || (told == 1) != c.broken {
			t.Errorf("%s: %v, told %d times", c.name, err, told)
		}
	}
}

// An empty source.
type empty struct{}

func (empty) List(context.Context, string) iter.Seq2[messages.Object, error] {
	return func(func(messages.Object, error) bool) {}
}

func TestTheSumIsTakenBeforeTheMarksMove(t *testing.T) {
	for found, broken := range []bool{false, true} {
		p := pass{Scanner: &Scanner{Lister: empty{}}, stats: &Stats{Discovered: found, Done: found}, log: slog.New(slog.DiscardHandler)}
		if err := p.list(t.Context()); (err != nil) != broken {
			t.Errorf("%d findings of nothing: %v", found, err)
		}
	}
}
