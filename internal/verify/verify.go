// Package verify compares what the source lists, what the ledger says was copied and
// what stands at the destination. It reads all three and changes none.
//
// What it cannot see it says, and never guesses: a listing that fails is an error and
// no empty listing, an object that could not be looked at is neither missing nor equal,
// and a destination that lets nobody look is called unreadable. It holds one report day
// in memory at a time.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

// A Source is listed.
type Source interface {
	// List yields the objects below the route's prefix whose names are not less than
	// from, in the order of their names. An error ends it: a listing that failed is
	// never a short listing.
	List(ctx context.Context, from string) iter.Seq2[messages.Object, error]
}

// A Ledger knows what was copied.
type Ledger interface {
	// Day returns the records of one report day by file name, or an error: never a part
	// of them.
	Day(ctx context.Context, day messages.Day) (map[string]messages.Record, error)
}

// A Destination is looked at. Every error is or wraps a *messages.Fault, or is the
// context's.
type Destination interface {
	// Head is Gone where there is no such object, and Forbidden where the credentials
	// may not ask, which says nothing about the object: S3 answers so for an object that
	// is not there, too, where they may not list.
	Head(ctx context.Context, key string) (Stored, error)
	// List yields the objects below a prefix, with size and etag only. An error ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Listed, error]
}

// Stored is what a destination tells of an object. All but Size may be empty.
type Stored struct {
	Size       int64
	ETag       string
	CRC32C     string // of the whole object, computed by the destination
	SourceETag string // noted with the object when it was sent
}

// Listed is one object of a listing.
type Listed struct {
	Key string
	Stored
}

// A Result is what a comparison finds of one file.
type Result string

// The results.
const (
	Equal     Result = "equal"
	Pending   Result = "pending"    // not due to be there yet
	Missing   Result = "missing"    // not at the destination
	OnlyThere Result = "only_there" // at the destination, and nobody knows why
	Different Result = "different"  // not what was copied
	Failed    Result = "error"      // could not be looked at
	Ingested  Result = "ingested"   // delivered and taken away, as the configuration expects
	Discarded Result = "discarded"  // given up by an operator
)

// Results lists all of them.
func Results() []Result {
	return []Result{Equal, Pending, Missing, OnlyThere, Different, Failed, Ingested, Discarded}
}

// Mark is the character that stands for r.
func (r Result) Mark() string {
	switch r {
	case Missing:
		return "+"
	case OnlyThere:
		return "-"
	case Different:
		return "*"
	case Failed:
		return "!"
	case Pending:
		return "~"
	}
	return "="
}

// Differs reports whether the file is not as it should be.
func (r Result) Differs() bool {
	return r == Missing || r == OnlyThere || r == Different || r == Failed
}

// A Finding is the result of one file.
type Finding struct {
	Result Result
	Report messages.Report
	Why    string
	// Object is the version that the source lists; its name is empty where it lists none.
	Object messages.Object
	// Record is that of the ledger; it is empty where there is none of this destination.
	Record messages.Record
	// Repairable tells that another copy may mend it: the source has the file, and
	// nobody's decision stands against it.
	Repairable bool
}

// Deviation is f as it is told to others.
func (f Finding) Deviation() messages.Deviation {
	name := f.Object.Name
	if name == "" {
		name = f.Record.Object.Name
	}
	return messages.Deviation{Mark: f.Result.Mark(), Day: f.Report.Day, Object: name, Key: f.Report.Key, Why: f.Why}
}

const (
	// kept is how many differences a Verification holds.
	kept = 100
	// Horizon, in days, is how far back objects are looked for that are only at the
	// destination. Oracle deletes reports after a year, and records of files that are no
	// longer listed are forgotten: older objects have neither, and that is no difference.
	Horizon = 365
	// ByHead, ByList and Unreadable are how the destination was looked at.
	ByHead, ByList, Unreadable = "head", "list", "unreadable"
)

// A Verifier compares one route.
type Verifier struct {
	Source      Source
	Ledger      Ledger
	Destination Destination
	Rules       messages.Rules
	// Epoch is that of the route's identity: records of another one speak of a
	// destination that was given up.
	Epoch int
	// Ranges are the days to compare, in order and without overlap; the last one may
	// have no end, and then reaches beyond today as the source does.
	Ranges []messages.Range
	// Responsible tells whether scans copy the reports of a day. A file without a record
	// is on its way there, and missing elsewhere.
	Responsible func(messages.Day) bool
	// Ingests says that the destination takes away what was delivered.
	Ingests bool
	// Concurrency is how many objects are looked at at the same time.
	Concurrency int
	// Found is told of every file, day by day. It is called by one goroutine.
	Found func(Finding)
}

// Run compares. After an error the result is as far as it came, and worth nothing but
// for what was found until then.
func (v *Verifier) Run(ctx context.Context) (messages.Verification, error) {
	r := &run{Verifier: v, today: messages.DayOf(time.Now())}
	r.sum.Epoch, r.sum.Started = v.Epoch, time.Now().UTC()
	r.eyes = eyes{dest: v.Destination, workers: max(1, v.Concurrency)}
	var err error
	for _, days := range v.Ranges {
		if err = r.span(ctx, days); err != nil {
			break
		}
	}
	if err == nil {
		r.release()
	}
	slices.SortStableFunc(r.sum.Differences, func(x, y messages.Deviation) int {
		return cmp.Or(cmp.Compare(x.Day, y.Day), cmp.Compare(x.Key, y.Key))
	})
	r.sum.Destination, r.sum.Listed = r.eyes.method(), r.eyes.lists == allowed
	r.sum.Seconds = time.Since(r.sum.Started).Seconds()
	return r.sum, err
}

// A run is the state of one comparison.
type run struct {
	*Verifier
	eyes  eyes
	today messages.Day
	sum   messages.Verification
}

// A listing is what the source lists of one day, by file name.
type listing map[string]entry

type entry struct {
	object messages.Object
	report messages.Report
	// tooLarge is why the file is not copied.
	tooLarge error
}

// entry is what the rules say of an object; ok is false for one that is no report.
func (r *run) entry(o messages.Object) (e entry, ok bool) {
	report, err := r.Rules.Report(o)
	if bad, is := errors.AsType[*messages.Ineligible](err); is && bad.Reason == messages.TooLarge {
		rules := r.Rules
		rules.MaxSize = 0
		report, _ = rules.Report(o) // the size was all that is wrong
		return entry{o, report, err}, true
	}
	return entry{object: o, report: report}, err == nil
}

// span compares the days of one range.
func (r *run) span(ctx context.Context, days messages.Range) error {
	day, listed := days.From, listing{}
	for o, err := range r.Source.List(ctx, r.Rules.Prefix+day.Folder()) {
		if err != nil {
			return fmt.Errorf("list the source: %w", err)
		}
		e, ok := r.entry(o)
		if !ok {
			continue
		}
		if days.To != "" && e.report.Day > days.To {
			break
		}
		if e.report.Day < day {
			return fmt.Errorf("list the source: %q comes after the reports of %s", o.Name, day)
		}
		if err := r.until(ctx, &day, e.report.Day, &listed); err != nil {
			return err
		}
		listed[e.report.Basename] = e
	}
	if err := context.Cause(ctx); ctx.Err() != nil {
		return err
	}
	end := days.To
	if end == "" {
		end = max(day, r.today.Add(1)) // clocks and zones differ
	}
	return r.until(ctx, &day, end.Add(1), &listed)
}

// until compares the days before next, of which the first is listed in full. What is
// dated far ahead is no reason to look at every day until then.
func (r *run) until(ctx context.Context, day *messages.Day, next messages.Day, listed *listing) error {
	for *day < next {
		if err := r.day(ctx, *day, *listed); err != nil {
			return err
		}
		*listed = listing{}
		if *day = day.Add(1); *day > r.today.Add(1) {
			*day = next
		}
	}
	return nil
}

// day compares one day. What differs is looked at a second time, with all three sides
// read anew, so that a file that was on its way meanwhile is no difference.
func (r *run) day(ctx context.Context, d messages.Day, listed listing) error {
	r.extend(d)
	found, err := r.compare(ctx, d, listed, nil)
	if err != nil {
		return err
	}
	doubtful := map[string]bool{}
	for _, f := range found {
		if f.Result.Differs() {
			doubtful[f.Report.Basename] = true
		}
	}
	if len(doubtful) > 0 {
		if listed, err = r.listDay(ctx, d); err != nil {
			return err
		}
		again, err := r.compare(ctx, d, listed, doubtful)
		if err != nil {
			return err
		}
		found = merge(found, again, doubtful)
	}
	for _, f := range found {
		r.tell(f)
	}
	if r.eyes.settled() {
		r.release()
	}
	return nil
}

func (r *run) extend(d messages.Day) {
	if r.sum.From == "" {
		r.sum.From = d
	}
	r.sum.To = max(r.sum.To, d)
}

// merge puts the second findings in the place of the first. A file that has none any
// more is no file any more.
func merge(first, second []Finding, doubtful map[string]bool) (out []Finding) {
	anew := make(map[string]Finding, len(second))
	for _, f := range second {
		anew[f.Report.Basename] = f
	}
	for _, f := range first {
		if doubtful[f.Report.Basename] {
			var still bool
			if f, still = anew[f.Report.Basename]; !still {
				continue
			}
		}
		out = append(out, f)
	}
	return out
}

// listDay lists one day again.
func (r *run) listDay(ctx context.Context, d messages.Day) (listing, error) {
	listed := listing{}
	for o, err := range r.Source.List(ctx, r.Rules.Prefix+d.Folder()) {
		if err != nil {
			return nil, fmt.Errorf("list the source: %w", err)
		}
		e, ok := r.entry(o)
		if ok && e.report.Day > d || !ok && o.Name > r.Rules.Prefix+d.Add(1).Folder() {
			break
		}
		if ok && e.report.Day == d {
			listed[e.report.Basename] = e
		}
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return listed, nil
}

// tell counts a finding and passes it on.
func (r *run) tell(f Finding) {
	s := &r.sum
	f.Repairable = f.Repairable && (f.Result == Missing || f.Result == Different)
	count := map[Result]*int{
		Equal: &s.Equal, Pending: &s.Pending, Missing: &s.Missing, OnlyThere: &s.OnlyThere,
		Different: &s.Different, Failed: &s.Errors, Ingested: &s.Ingested, Discarded: &s.Discarded,
	}[f.Result]
	*count++
	if f.Result.Differs() && len(s.Differences) < kept {
		s.Differences = append(s.Differences, f.Deviation())
	}
	if r.Found != nil {
		r.Found(f)
	}
}

// release tells of the files that could not be judged before it was known whether the
// destination lets anybody look.
func (r *run) release() {
	held := r.eyes.held
	r.eyes.held = nil
	for _, f := range held {
		if r.eyes.heads == allowed {
			f.Result, f.Why = r.hidden(f)
		} else {
			f.Result, f.Why = agree(f)
		}
		r.tell(f)
	}
}
