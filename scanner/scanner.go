// Package scanner finds the reports that are still to be copied.
//
// It is level-triggered: every scan compares the source's listing with the
// ledger and publishes whatever is not done. It keeps nothing in memory between
// scans, so a crash at any point, a lost message or a second scanner beside it
// cost a repetition and never a file.
package scanner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// MinLookback, in days, covers the day that reports come late and the days around a
	// month's end, whatever the configuration says.
	MinLookback = 3
	// sweepEvery is how old the last complete sweep may be.
	sweepEvery = 24 * time.Hour
	// clockSlack is how far the clocks of two hosts may be apart.
	clockSlack = 5 * time.Minute
	// maxPublishFailures in a row end a scan: then the queue is at fault, not a file.
	maxPublishFailures = 5
)

// A Scanner scans one route.
type Scanner struct {
	Lister    Lister
	Ledger    Ledger
	Marks     Marks
	Publisher Publisher

	Route string
	Rules messages.Rules
	// Epoch is that of the route's identity.
	Epoch int
	// Since is the configured begin of responsibility; empty: the first scan's window.
	Since messages.Day
	// Lookback is in days.
	Lookback int
	// Retention is the age from which on a sweep erases the record of a file that the
	// source no longer lists. Zero, or no Forgetter: never.
	Retention time.Duration
	Forgetter Forgetter
	// Interval is the time between two scans of Run.
	Interval time.Duration
	// Observe is told of every listed object, Finished of every scan of Run. Both
	// may be nil, and are called from one goroutine.
	Observe  func(Outcome)
	Finished func(Stats, error)
	// Violated is told of what must never happen; may be nil.
	Violated func(messages.Invariant)
	// Alive is told by Run that it works or waits, and within what time it tells that
	// again; 0 means that it has ended. Silence for longer means that it hangs. May be nil.
	Alive func(within time.Duration)
	// Trace follows each scan and backfill in the context that it returns; id names the
	// trace in the log, empty where nobody would find it. Nil: nobody follows.
	Trace func(ctx context.Context, what string) (_ context.Context, id string, end func(Stats, error))
	Log   *slog.Logger
}

// A Finding is what a scan found of one object.
type Finding string

// The findings.
const (
	Published  Finding = "published"  // queued by this scan
	Queued     Finding = "queued"     // waits or is in flight already
	Done       Finding = "done"       // the ledger needs nothing more
	Ineligible Finding = "ineligible" // no report
	Failed     Finding = "failed"     // too large, a dead letter, or not published
)

// An Outcome is the finding on one object.
type Outcome struct {
	Object  messages.Object
	Report  messages.Report // empty where ineligible
	Lane    messages.Lane
	Finding Finding
	// Record is the ledger's record of the file; empty where there is none.
	Record messages.Record
	Err    error // of Ineligible and Failed
}

// Stats are the totals of one scan.
// Discovered = Published + Queued + Done + Failed + all Ineligible.
type Stats struct {
	Scan       string       `json:"scan"`
	Started    time.Time    `json:"started"`
	Seconds    float64      `json:"seconds"`
	From       messages.Day `json:"from"`
	Sweep      bool         `json:"sweep"`
	Discovered int          `json:"discovered"`
	Published  int          `json:"published"`
	Queued     int          `json:"already_queued"`
	Done       int          `json:"already_done"`
	// Inherited are those of Done that the Python agent delivered.
	Inherited int `json:"inherited,omitempty"`
	Failed    int `json:"failed"`
	// TooLarge and Dead are those of Failed that are over the size limit, and that
	// are among the dead letters.
	TooLarge int `json:"too_large,omitempty"`
	Dead     int `json:"dead_letters,omitempty"`
	// TooLargeBefore and DeadBefore are those of them that only a sweep sees: of days
	// before the window of other scans.
	TooLargeBefore int                     `json:"too_large_before,omitempty"`
	DeadBefore     int                     `json:"dead_letters_before,omitempty"`
	Ineligible     map[messages.Reason]int `json:"ineligible,omitempty"`
	// Expiring are the reports that are not delivered and that the source may soon
	// delete; Oldest is when the oldest of them appeared there.
	Expiring int       `json:"expiring,omitempty"`
	Oldest   time.Time `json:"expiring_oldest,omitzero"`
	// Bytes is the size of the published files.
	Bytes int64 `json:"bytes"`
	// Forgotten counts the records that a sweep erased.
	Forgotten int `json:"forgotten,omitempty"`
}

// adds reports whether the findings are those of as many objects as were listed.
func (st Stats) adds(listed int) bool {
	sum := st.Published + st.Queued + st.Done + st.Failed
	for _, n := range st.Ineligible {
		sum += n
	}
	return sum == listed && st.Discovered == listed
}

// A window is what one scan lists.
type window struct {
	since messages.Day // of responsibility
	scan  messages.Day // older days go to the backfill lane
	from  messages.Day // of the listing
	to    messages.Day // of the listing; empty: open towards the future
	sweep bool
	// ranges are listed by a sweep beside that: the days before since for which a
	// backfill made the installation responsible.
	ranges []messages.Range
}

// stretches are the days that are listed, in their order; the end of the last one may
// be empty.
func (w window) stretches() []messages.Range {
	return append(slices.Clone(w.ranges), messages.Range{From: w.from, To: w.to})
}

// window reaches from the last complete scan, so that an outage or a midnight
// loses nothing, back by the lookback; and over the whole responsibility, also that of
// backfills, where the last sweep is too old. It is open towards the future.
func (s *Scanner) window(m messages.Marks, now time.Time) window {
	scan := messages.DayOf(now)
	if !m.Scanned.IsZero() {
		scan = min(scan, messages.DayOf(m.Scanned))
	}
	scan = scan.Add(-max(s.Lookback, MinLookback))
	w := window{since: scan, scan: scan, from: scan}
	switch {
	case s.Since != "":
		w.since, w.from = s.Since, max(s.Since, scan)
	case m.Since != "":
		w.since = min(m.Since, scan)
	}
	earlier := m.Since != "" && w.since < min(m.Since, scan) // the responsibility was extended
	// A mark in the future is of a clock that was ahead, and would put off the next sweep.
	if earlier || now.Sub(m.Swept).Abs() >= sweepEvery {
		w.sweep, w.from = true, w.since
		w.ranges = messages.Join(m.Ranges, w.since)
	}
	return w
}

// Scan lists the window once and publishes what is not done. An error means
// that the scan was not complete: then the marks stand where they were, and the
// next scan covers at least the same window.
func (s *Scanner) Scan(ctx context.Context) (Stats, error) {
	st, err := s.scan(ctx)
	if errors.Is(err, messages.ErrNewer) {
		s.violated(messages.NewerSchema)
	}
	return st, err
}

func (s *Scanner) scan(ctx context.Context) (Stats, error) {
	started := time.Now()
	st := Stats{Scan: id(8), Started: started.UTC(), Ineligible: map[messages.Reason]int{}}
	ctx, log, end := s.follow(ctx, "scan", s.Log.With("scan", st.Scan))
	err := s.scanWindow(ctx, &st, log, started)
	st.Seconds = time.Since(started).Seconds()
	end(st, err)
	return st, err
}

// follow begins the trace of a scan, and names it in the log.
func (s *Scanner) follow(ctx context.Context, what string, log *slog.Logger) (context.Context, *slog.Logger, func(Stats, error)) {
	if s.Trace == nil {
		return ctx, log, func(Stats, error) {}
	}
	ctx, id, end := s.Trace(ctx, what)
	if id != "" {
		log = log.With("trace_id", id)
	}
	return ctx, log, end
}

func (s *Scanner) scanWindow(ctx context.Context, st *Stats, log *slog.Logger, started time.Time) error {
	marks, revision, err := s.marks(ctx)
	if err != nil {
		return fmt.Errorf("read the scan marks: %w", err)
	}
	if latest := time.Now().Add(clockSlack); marks.Scanned.After(latest) || marks.Swept.After(latest) {
		s.violated(messages.MarkInFuture)
		log.Error("the scan marks are of a time to come; set the clocks of the scanners' hosts right", "scanned", marks.Scanned, "swept", marks.Swept)
	}
	w := s.window(marks, started)
	st.From, st.Sweep = w.from, w.sweep
	log.Info("sync started", "from", w.from, "sweep", w.sweep)
	if marks.Since == "" && s.Since == "" {
		log.Warn("history unknown before "+string(w.since)+"; set agent.since to take older reports too", "since", w.since)
	}
	p := pass{Scanner: s, stats: st, log: log, window: w, started: started, listed: map[messages.Day]bool{}}
	err = p.list(ctx)
	if err == nil {
		err = s.advance(ctx, marks, revision, w, started)
	}
	if err == nil {
		p.forget(ctx)
	}
	return err
}

func (s *Scanner) violated(i messages.Invariant) {
	if s.Violated != nil {
		s.Violated(i)
	}
}

func (s *Scanner) marks(ctx context.Context) (messages.Marks, uint64, error) {
	raw, revision, err := s.Marks.Read(ctx, messages.MarksKey(s.Route))
	if err != nil || raw == nil {
		return messages.Marks{}, revision, err
	}
	m, err := messages.DecodeMarks(raw)
	if errors.Is(err, messages.Refused) { // the ledger is a cache: what cannot be read is not there
		s.violated(messages.UnreadableRecord)
		s.Log.Error("the scan marks cannot be read and are written anew", "err", err)
		return messages.Marks{}, revision, nil
	}
	if m.Epoch != s.Epoch { // of a destination that was given up: everything is due again
		m.Scanned, m.Swept = time.Time{}, time.Time{}
	}
	return m, revision, err
}

// advance is the scan's commit point. A crash before it repeats the window; one
// after it has nothing to repeat, since every file of the window is in the
// queue or in the ledger. A scanner that was faster has advanced the marks by
// its own complete scan: they are merged, and never go back.
func (s *Scanner) advance(ctx context.Context, m messages.Marks, revision uint64, w window, started time.Time) error {
	for range 10 {
		m.Epoch, m.Since = s.Epoch, w.since
		if started.After(m.Scanned) {
			m.Scanned = started.UTC()
		}
		if w.sweep && started.After(m.Swept) {
			m.Swept = started.UTC()
		}
		raw, err := m.Encode()
		if err != nil {
			return err
		}
		_, err = s.Marks.Write(ctx, messages.MarksKey(s.Route), raw, revision)
		if !errors.Is(err, messages.Conflict) {
			return err
		}
		if m, revision, err = s.marks(ctx); err != nil {
			return err
		}
		if m.Since != "" && s.Since == "" {
			w.since = min(w.since, m.Since)
		}
	}
	return fmt.Errorf("advance the scan marks: %w", messages.Conflict)
}

// A pass is the state of one scan.
type pass struct {
	*Scanner
	stats   *Stats
	log     *slog.Logger
	window  window
	started time.Time
	all     bool // order again what is done

	sheet   *sheet                // of the present day; nil before the first
	count   Stats                 // of that day
	seen    map[string]bool       // its files that were listed
	entered int                   // days
	taken   int                   // objects
	listed  map[messages.Day]bool // days of which something was listed
	old     []kept
	quiet   int   // done files of days with nothing new
	lost    int   // publishes that failed, in a row
	err     error // of the last failed publish
}

func (p *pass) list(ctx context.Context) error {
	for _, days := range p.window.stretches() {
		if p.lost == maxPublishFailures {
			break
		}
		if err := p.listDays(ctx, days); err != nil {
			return err
		}
	}
	p.logDay()
	p.leave()
	if p.quiet > 0 {
		p.log.Info("files skipped, already transferred", "count", p.quiet)
	}
	if p.err != nil {
		return fmt.Errorf("publish: %w", p.err)
	}
	return cmp.Or(ctx.Err(), p.proven(p.taken))
}

// listDays lists some days, or all from a day on where their end is empty. One page is
// listed and judged object by object; where more follow, several days are listed at once.
func (p *pass) listDays(ctx context.Context, days messages.Range) error {
	taken, entered := p.taken, p.entered
	end := "" // first name that is not of days
	if days.To != "" {
		end = p.Rules.Prefix + days.To.Add(1).Folder()
	}
	more := "" // the last name of a page that does not end the listing
	for o, err := range p.Lister.List(ctx, p.Rules.Prefix+days.From.Folder()) {
		if err != nil {
			return fmt.Errorf("list the source: %w", err)
		}
		if end != "" && o.Name >= end {
			return nil
		}
		f, err := p.look(ctx, o, p.sheet)
		if err != nil {
			return err
		}
		if p.take(ctx, f); p.lost == maxPublishFailures {
			return nil
		}
		if p.taken-taken >= alone && p.entered > entered {
			more = o.Name
			break
		}
	}
	if more == "" {
		return nil
	}
	return p.listAhead(ctx, more, days, func() int { return max(1, (p.taken-taken)/(p.entered-entered)) })
}

// proven is an error where an object was listed and nothing was found of it: then
// the scan was not complete, whatever it looks like.
func (p *pass) proven(listed int) error {
	if p.stats.adds(listed) {
		return nil
	}
	p.violated(messages.ScanSum)
	return fmt.Errorf("%d objects were listed, but the findings are of others: %+v; report this as a fault of the program", listed, *p.stats)
}

// A sheet is what the ledger holds of one day, by file name.
type sheet struct {
	day     messages.Day
	records map[string]messages.Record
}

// A found is an object of the listing.
type found struct {
	object messages.Object
	report messages.Report
	err    error  // of the rules: it is no report
	sheet  *sheet // of its day; nil where it is no report
}

// look applies the rules to o, and reads the sheet of its day where that is not at.
func (s *Scanner) look(ctx context.Context, o messages.Object, at *sheet) (found, error) {
	r, err := s.Rules.Report(o)
	if err != nil {
		return found{object: o, err: err}, nil
	}
	if at == nil || at.day != r.Day {
		if at, err = s.read(ctx, r.Day); err != nil {
			return found{}, err
		}
	}
	return found{object: o, report: r, sheet: at}, nil
}

func (s *Scanner) read(ctx context.Context, d messages.Day) (*sheet, error) {
	records, err := s.Ledger.Day(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", d, err)
	}
	return &sheet{d, records}, nil
}

// take judges and counts f.
func (p *pass) take(ctx context.Context, f found) {
	if f.sheet != nil && f.sheet != p.sheet {
		p.enter(f.sheet)
	}
	p.tally(p.judge(ctx, f))
	p.alive(stepTime)
	p.taken++
}

// judge finds what is to be done about f and does it.
func (p *pass) judge(ctx context.Context, f found) Outcome {
	o, r := f.object, f.report
	out := Outcome{Object: o, Lane: messages.Live}
	if f.err != nil {
		out.Finding, out.Err = Ineligible, f.err
		if bad, ok := errors.AsType[*messages.Ineligible](f.err); ok && bad.Reason == messages.TooLarge {
			out.Finding = Failed
		}
		return out
	}
	out.Report, out.Record = r, f.sheet.records[r.Basename]
	if p.forgets() {
		p.seen[r.Basename] = true
	}
	if r.Day < p.window.scan {
		out.Lane = messages.Backfill
	}
	generation := out.Record.Generation
	switch done := out.Record.Done(o, p.Epoch); {
	case done && p.again(out.Record):
		due, err := p.Order(ctx, o, r)
		if err != nil {
			return p.unqueued(out, err)
		}
		generation = due.Generation
	case done:
		out.Finding = Done
		if out.Record.Status == messages.StatusFailed {
			out.Finding, out.Err = Failed, &messages.Fault{Class: out.Record.Class, Op: "dead letter", Err: errors.New(out.Record.Error)}
		}
		return out
	}
	return p.publish(ctx, out, generation)
}

func (p *pass) publish(ctx context.Context, out Outcome, generation int) Outcome {
	queued, err := p.Publisher.Publish(ctx, out.Lane, messages.FileDiscovered{
		Route: p.Route, Object: out.Object, Generation: generation, Epoch: p.Epoch,
		Discovered: time.Now().UTC(), Scan: p.stats.Scan, Trace: id(12),
	})
	switch {
	case err != nil:
		return p.unqueued(out, err)
	case queued:
		out.Finding = Published
	default:
		out.Finding = Queued
	}
	p.lost = 0
	return out
}

// unqueued notes a file that did not come into the queue.
func (p *pass) unqueued(out Outcome, err error) Outcome {
	out.Finding, out.Err = Failed, err
	p.err = fmt.Errorf("%s: %w", out.Object.Name, err)
	p.lost++
	return out
}

// enter ends the day before, and begins that of sh.
func (p *pass) enter(sh *sheet) {
	p.logDay()
	p.leave()
	p.sheet, p.count, p.seen = sh, Stats{}, map[string]bool{}
	p.entered++
}

func (p *pass) tally(out Outcome) {
	for _, st := range []*Stats{p.stats, &p.count} {
		st.Discovered++
		switch out.Finding {
		case Published:
			st.Published++
			st.Bytes += out.Object.Size
		case Queued:
			st.Queued++
		case Done:
			st.Done++
			if out.Record.Inherited() {
				st.Inherited++
			}
		case Failed:
			st.failed(out, p.Epoch, out.Object.Name < p.Rules.Prefix+p.window.scan.Folder())
		}
	}
	if at, expiring := out.Expiring(p.started); expiring {
		p.stats.Expiring++
		if p.stats.Oldest.IsZero() || at.Before(p.stats.Oldest) {
			p.stats.Oldest = at.UTC()
		}
	}
	p.logOutcome(out)
	if out.Finding == Ineligible {
		if bad, ok := errors.AsType[*messages.Ineligible](out.Err); ok {
			p.stats.Ineligible[bad.Reason]++
		}
	}
	if p.Observe != nil {
		p.Observe(out)
	}
}

func (st *Stats) failed(out Outcome, epoch int, before bool) {
	st.Failed++
	n := 0
	if before {
		n = 1
	}
	if _, ok := errors.AsType[*messages.Ineligible](out.Err); ok {
		st.TooLarge++
		st.TooLargeBefore += n
	} else if out.Record.Done(out.Object, epoch) {
		st.Dead++
		st.DeadBefore += n
	}
}

func (p *pass) logOutcome(out Outcome) {
	switch out.Finding {
	case Done:
		p.log.Debug("skipping, already transferred", "object", out.Object.Name)
	case Ineligible:
		p.log.Debug("not eligible", "object", out.Object.Name, "err", out.Err)
	case Failed:
		p.log.Warn("failed", "object", out.Object.Name, "err", out.Err)
	}
}

// logDay tells of a day in which something is new; the rest are counted together.
func (p *pass) logDay() {
	switch {
	case p.sheet == nil:
	case p.count.Published+p.count.Failed > 0:
		p.log.Info("discovered "+fmt.Sprint(p.count.Discovered)+" files for "+string(p.sheet.day),
			"day", p.sheet.day, "new", p.count.Published, "queued", p.count.Queued, "skipped", p.count.Done, "failed", p.count.Failed)
	default:
		p.quiet += p.count.Done
	}
}
