package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A crowd is a source with so much on each day that several days are listed at once.
// Each kind of finding is among it, and names in and between the days that are no reports.
type crowd struct {
	*world
	names []string
	days  map[messages.Day]map[string]messages.Record

	mu     sync.Mutex
	under  int // listings under way
	most   int
	listed []string // where listings began
}

const (
	crowdDays   = 60
	crowdPerDay = 400
)

func newCrowd(t testing.TB) *crowd {
	c := &crowd{world: newWorld(t), days: map[messages.Day]map[string]messages.Record{}}
	for d := range crowdDays {
		day := today().Add(d - crowdDays + 2) // and one of tomorrow
		for i := range crowdPerDay {
			o := object(day, fmt.Sprintf("%03d", i), "1")
			if i == 7 {
				o.Size = 1001 // beyond the limit
			}
			c.add(o)
			switch i % 10 {
			case 0, 7: // of which one is too large
			case 1:
				c.put(messages.Record{Status: messages.StatusCopied, Object: object(day, fmt.Sprintf("%03d", i), "0")})
			case 2:
				c.put(messages.Record{Status: messages.StatusFailed, Object: o})
			default:
				c.put(messages.Record{Status: messages.StatusCopied, Object: o})
			}
		}
		c.add(messages.Object{Name: prefix + day.Folder() + "readme.txt"}, messages.Object{Name: prefix + strings.TrimSuffix(day.Folder(), "/") + "~x"})
	}
	c.setMarks(messages.Marks{Since: today().Add(2 - crowdDays)})
	c.names = slices.Sorted(maps.Keys(c.objects))
	for key, r := range c.records {
		_, day, base, _ := messages.ParseRecordKey(key)
		if c.days[day] == nil {
			c.days[day] = map[string]messages.Record{}
		}
		c.days[day][base] = r
	}
	return c
}

// Day is that of the world, and does not look through all of it each time.
func (c *crowd) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	v := c.begin("day")
	defer c.world.mu.Unlock()
	if v != works {
		return nil, errFault
	}
	return c.days[d], nil
}

// List is that of the world, and does not sort all of it each time.
func (c *crowd) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		c.mu.Lock()
		c.under++
		c.most, c.listed = max(c.most, c.under), append(c.listed, from)
		c.mu.Unlock()
		defer func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.under--
		}()
		at, _ := slices.BinarySearch(c.names, from)
		for i, n := range c.names[at:] {
			if i%1000 == 0 {
				v := c.begin(map[bool]string{true: "list", false: "page"}[i == 0])
				c.world.mu.Unlock()
				if err := ctx.Err(); err != nil || v != works {
					yield(messages.Object{}, errors.Join(err, errFault))
					return
				}
			}
			if !yield(c.objects[n], nil) {
				return
			}
		}
	}
}

func (c *crowd) scanner() *scanner.Scanner {
	s := c.world.scanner()
	s.Lister, s.Ledger = c, c
	return s
}

// want is what a scan finds of an object, whatever is listed at once.
func (c *crowd) want(o messages.Object) scanner.Finding {
	report, err := rules(c.tb).Report(o)
	var bad *messages.Ineligible
	switch r := c.records[messages.RecordKey(route, report)]; {
	case errors.As(err, &bad) && bad.Reason != messages.TooLarge:
		return scanner.Ineligible
	case err != nil, r.Done(o, 0) && r.Status == messages.StatusFailed:
		return scanner.Failed
	case r.Done(o, 0):
		return scanner.Done
	}
	return scanner.Published
}

// TestSeveralDaysAtOnceFindWhatOneListingFinds: each object once, in the order of the
// names, with its finding, its record and its lane.
func TestSeveralDaysAtOnceFindWhatOneListingFinds(t *testing.T) {
	c := newCrowd(t)
	s := c.scanner()
	i := 0
	s.Observe = func(o scanner.Outcome) {
		if o.Object != c.objects[c.names[i]] || o.Finding != c.want(o.Object) {
			t.Fatalf("outcome %d is %s of %q, want %s of %q", i, o.Finding, o.Object.Name, c.want(o.Object), c.names[i])
		}
		if o.Report.Key != "" && o.Record != c.records[messages.RecordKey(route, o.Report)] {
			t.Fatalf("%q came with the record %+v", o.Object.Name, o.Record)
		}
		if back := o.Report.Day < today().Add(-35); o.Report.Key != "" && back != (o.Lane == messages.Backfill) {
			t.Fatalf("%q goes to %s", o.Object.Name, o.Lane)
		}
		i++
	}
	st, err := s.Scan(t.Context())
	if err != nil || !st.Sweep || i != len(c.names) || sum(st) != len(c.names) {
		t.Errorf("%d outcomes of %d objects: %+v, %v", i, len(c.names), st, err)
	}
	if missing := c.missing("", 0); missing != nil {
		t.Errorf("%d are neither queued nor done", len(missing))
	}
	if c.most < 2 || c.most > 4 {
		t.Errorf("%d listings were under way at once, want several, and four at most", c.most)
	}
	if n := len(c.listed); n > 1+len(c.names)/4000 {
		t.Errorf("%d listings for %d objects: %q", n, len(c.names), c.listed)
	}
	days := 0
	for _, op := range c.calls {
		if op == "day" {
			days++
		}
	}
	if days != crowdDays {
		t.Errorf("the ledger was read %d times, want once for each of %d days", days, crowdDays)
	}
	s.Observe = nil
	if st, err = s.Scan(t.Context()); err != nil || st.Published != 0 || sum(st) != st.Discovered {
		t.Errorf("a second scan = %+v, %v", st, err)
	}
}

// TestABackfillOfManyFilesEndsWithItsDays: listings at once do not go beyond its range.
func TestABackfillOfManyFilesEndsWithItsDays(t *testing.T) {
	c := newCrowd(t)
	s := c.scanner()
	r := messages.Range{From: today().Add(-50), To: today().Add(-20)}
	s.Observe = func(o scanner.Outcome) {
		if n := o.Object.Name; n < prefix+r.From.Folder() || n >= prefix+r.To.Add(1).Folder() {
			t.Fatalf("%q is not of %v", n, r)
		}
	}
	st, err := s.Backfill(t.Context(), r, false)
	if want := 31 * (crowdPerDay + 2); err != nil || st.Discovered != want {
		t.Errorf("Backfill = %+v, %v, want %d objects", st, err, want)
	}
}

// TestOfManyFilesNoneIsDoneByAFault: whatever call fails while several days are listed, the
// scan fails, the marks stay, nothing is called done that is not, and no reader is left.
func TestOfManyFilesNoneIsDoneByAFault(t *testing.T) {
	for op, calls := range map[string][]int{"list": {2, 3, 4}, "page": {1, 11}, "day": {1, 4, 17, 60}} {
		for _, n := range calls {
			t.Run(fmt.Sprint(op, n), func(t *testing.T) {
				c := newCrowd(t)
				before := c.read()
				c.fail(op, n, failsClean)
				s := c.scanner()
				s.Observe = func(o scanner.Outcome) {
					if want := c.want(o.Object); o.Finding != want && (o.Finding != scanner.Queued || want != scanner.Published) {
						t.Fatalf("%q is %s, want %s", o.Object.Name, o.Finding, want)
					}
				}
				st, err := s.Scan(t.Context())
				if !errors.Is(err, messages.Unavailable) || c.read().Swept != before.Swept || sum(st) != st.Discovered || st.Discovered == len(c.names) {
					t.Errorf("Scan = %+v, %v, marks %+v", st, err, c.read())
				}
				c.turn = func(string) verdict { return works }
				if st, err := s.Scan(t.Context()); err != nil || sum(st) != len(c.names) {
					t.Errorf("the next Scan = %+v, %v", st, err)
				}
			})
		}
	}
}

// TestAQueueThatTakesNothingEndsAScanOfMany after five files, wherever it is.
func TestAQueueThatTakesNothingEndsAScanOfMany(t *testing.T) {
	c := newCrowd(t)
	n := 0
	c.turn = func(op string) verdict {
		if op == "publish" {
			if n++; n > 700 {
				return failsClean
			}
		}
		return works
	}
	if st, err := c.scanner().Scan(t.Context()); err == nil || n != 705 || c.read().Swept != (time.Time{}) {
		t.Errorf("%d publishes, %+v, %v", n, st, err)
	}
}

// A shuffled source lists the days of one of its pages the wrong way round.
type shuffled struct{ *crowd }

func (s shuffled) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		var page []messages.Object
		for o, err := range s.crowd.List(ctx, from) {
			if err != nil {
				yield(o, err)
				return
			}
			if page = append(page, o); len(page) == 1000 {
				break
			}
		}
		if from != prefix+s.read().Since.Folder() {
			slices.Reverse(page)
		}
		for _, o := range page {
			if !yield(o, nil) {
				return
			}
		}
	}
}

// TestAListingOutOfOrderIsNotComplete: what lies beyond a stretch ends it, so that what
// came behind that would be lost.
func TestAListingOutOfOrderIsNotComplete(t *testing.T) {
	c := newCrowd(t)
	s := c.scanner()
	s.Lister = shuffled{c}
	if st, err := s.Scan(t.Context()); err == nil || !strings.Contains(err.Error(), "out of order") || !c.read().Swept.IsZero() {
		t.Errorf("Scan = %+v, %v", st, err)
	}
}

// TestAScanOfManyEndsWithItsContext, and no reader is left.
func TestAScanOfManyEndsWithItsContext(t *testing.T) {
	c := newCrowd(t)
	ctx, cancel := context.WithCancel(t.Context())
	s := c.scanner()
	seen := 0
	s.Observe = func(scanner.Outcome) {
		if seen++; seen == 3000 {
			cancel()
		}
	}
	if st, err := s.Scan(ctx); !errors.Is(err, context.Canceled) || st.Discovered == len(c.names) || !c.read().Swept.IsZero() {
		t.Errorf("Scan = %+v, %v", st, err)
	}
}
