package scanner

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"

	"oracle-focus-agent/messages"
)

const (
	// alone is how many objects are listed before several days are listed at once: as
	// many as a page holds, so that a short listing is the one request that it always was.
	alone = 1000
	// stretchSize is about how many objects one of those listings is to bring: enough
	// that what its last page brings too much is little.
	stretchSize = 8000
	// atOnce bounds the listings under way, heldSize about how many objects they hold, with
	// their records, before these are judged. A day is never cut.
	atOnce   = 4
	heldSize = 32_000
	// batchSize is how many objects are handed over at a time.
	batchSize = 500
)

// A stretch is some days in a row, listed and looked up beside others. It is judged in
// its turn: what several of them find comes in the order of the names, as from one listing.
type stretch struct {
	from  string // first name
	after string // this name, and nothing before it, was judged already
	end   string // first name that is not of it; empty: it is open towards the future
	sheet *sheet // of the day in which it begins, where that was read already
	// batches are closed at the end of the stretch; then err says whether that came early.
	batches chan []found
	err     error
}

// A course cuts days into stretches.
type course struct {
	prefix string
	from   string
	after  string
	sheet  *sheet
	day    messages.Day // with which the next stretch begins
	to     messages.Day // last day; empty: open towards the future, from today on
	today  messages.Day
	done   bool
}

func (c *course) next(days int) *stretch {
	s := &stretch{from: c.from, after: c.after, sheet: c.sheet, batches: make(chan []found, stretchSize/batchSize)}
	next := c.day.Add(days)
	switch {
	case c.to != "" && next > c.to:
		s.end, c.done = c.prefix+c.to.Add(1).Folder(), true
	case c.to == "" && next > c.today:
		c.done = true
	default:
		s.end = c.prefix + next.Folder()
	}
	c.from, c.after, c.sheet, c.day = s.end, "", nil, next
	return s
}

// listAhead lists the days from the present one on, in which name was judged last, several
// at once. No goroutine of it is left when it returns.
func (p *pass) listAhead(ctx context.Context, name string, days messages.Range, perDay func() int) error {
	reading, cancel := context.WithCancel(ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	c := course{
		prefix: p.Rules.Prefix, from: name, after: name, sheet: p.sheet,
		day: p.sheet.day, to: days.To, today: messages.DayOf(p.started),
	}
	for open := []*stretch(nil); p.lost < maxPublishFailures; open = slices.Delete(open, 0, 1) {
		length := max(1, stretchSize/perDay())
		for !c.done && len(open) < max(1, min(atOnce, heldSize/(length*perDay()))) {
			s := c.next(length)
			open = append(open, s)
			readers.Go(func() { p.bring(reading, s) })
		}
		if len(open) == 0 {
			return nil
		}
		if err := p.takeStretch(ctx, open[0]); err != nil {
			return err
		}
	}
	return nil
}

func (p *pass) takeStretch(ctx context.Context, s *stretch) error {
	for b := range s.batches {
		for _, f := range b {
			if p.take(ctx, f); p.lost == maxPublishFailures {
				return nil
			}
		}
	}
	return s.err
}

// bring lists a stretch and reads the records of its days. What it found before an error
// is handed over before it.
func (s *Scanner) bring(ctx context.Context, st *stretch) {
	defer close(st.batches)
	b := make([]found, 0, batchSize)
	hand := func() bool {
		select {
		case st.batches <- b:
			b = make([]found, 0, batchSize)
			return true
		case <-ctx.Done():
			st.err = ctx.Err()
			return false
		}
	}
	for f, err := range s.files(ctx, st) {
		if err != nil {
			hand()
			st.err = err
			return
		}
		if b = append(b, f); len(b) == batchSize && !hand() {
			return
		}
	}
	hand()
}

// files yields the objects of a stretch, each with the records of its day.
func (s *Scanner) files(ctx context.Context, st *stretch) iter.Seq2[found, error] {
	return func(yield func(found, error) bool) {
		last, at := st.after, st.sheet
		for o, err := range s.Lister.List(ctx, st.from) {
			switch {
			case err != nil:
				yield(found{}, fmt.Errorf("list the source: %w", err))
				return
			case o.Name < last:
				yield(found{}, fmt.Errorf("list the source: %q comes after %q; a listing out of order cannot be told from one with gaps", o.Name, last))
				return
			case o.Name == st.after:
				continue
			case st.end != "" && o.Name >= st.end:
				return
			}
			last = o.Name
			f, err := s.look(ctx, o, at)
			if !yield(f, err) || err != nil {
				return
			}
			at = cmp.Or(f.sheet, at)
		}
	}
}
