package cli

import (
	"context"
	"slices"
	"sync"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

const (
	// calendarDays is how far back the page shows report days: 13 months.
	calendarDays = 396
	// almanacEvery is how often all of it is read again, and almanacRetry how soon after a
	// failure, or while the source cannot be listed.
	almanacEvery = 12 * time.Hour
	almanacRetry = time.Minute
	// daysFresh is how long a judgement of the days is good for, since time alone makes a
	// day late.
	daysFresh = 2 * time.Second
)

// An almanac judges the report days of the calendar as `report` does, from the same
// evidence. It reads all of that once and from then on the days of which the ledger or a
// scan says that something changed. It keeps a few numbers of each file. It is safe for
// concurrent use.
type almanac struct {
	pages reportPages
	index *fileIndex

	mu      sync.Mutex
	builder *report.Builder // nil until the first reading
	head    report.Head
	from    messages.Day // the first day of the evidence
	read    time.Time    // when all of it was read
	seen    time.Time    // up to when changes of ledger and source are taken into account
	problem string       // why the source could not be listed, or nothing at all be read
	turn    uint64       // grows with each reading
	judged  map[messages.Range]judgement
}

// A judgement is of a range of days.
type judgement struct {
	days []report.Day
	at   time.Time
	turn uint64
}

// due reports whether all of the evidence is to be read.
func (b *almanac) due(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	every := almanacEvery
	if b.problem != "" {
		every = almanacRetry
	}
	return now.Sub(b.read).Abs() >= every
}

func (b *almanac) isRead() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.builder != nil || b.problem != ""
}

// readAll reads the evidence of the calendar, and that of the days before from which it
// is learned what is usual. Where the source cannot be listed it is that of the ledger.
func (b *almanac) readAll(ctx context.Context) error {
	now := time.Now()
	from := messages.DayOf(now).Add(1 - calendarDays - report.History)
	var head report.Head
	var builder *report.Builder
	var problem string
	err := evidenceFrom(ctx, b.pages, reportRequest{From: from}, func(h report.Head, fresh *report.Builder, _ reportHead) func(report.Evidence) {
		head, builder = h, fresh
		problem = ""
		if h.Basis != report.FromListing {
			problem = "OCI could not be listed"
		}
		return b.adder(fresh)
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = now
	if err != nil {
		b.problem = err.Error()
		return err
	}
	b.builder, b.head, b.from, b.problem, b.seen = builder, head, from, problem, now
	b.turn++
	return nil
}

// adder shows the index what is added.
func (b *almanac) adder(to *report.Builder) func(report.Evidence) {
	return func(e report.Evidence) {
		f, _ := to.Add(e)
		b.index.listed(e, f)
	}
}

// readAgain reads the evidence of the days anew that changed, those beside each other at
// once. What was asked for by then is taken into account.
func (b *almanac) readAgain(ctx context.Context, days []messages.Day, asked time.Time) error {
	for _, r := range joined(days) {
		var all []report.Evidence
		var head reportHead
		err := evidenceFrom(ctx, b.pages, reportRequest{From: r.From, To: r.To}, func(_ report.Head, _ *report.Builder, h reportHead) func(report.Evidence) {
			all, head = nil, h
			return func(e report.Evidence) { all = append(all, e) }
		})
		if err != nil {
			return err
		}
		b.replace(r, all, head)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if asked.After(b.seen) {
		b.seen = asked
	}
	return nil
}

func (b *almanac) replace(r messages.Range, all []report.Evidence, head reportHead) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.builder == nil || r.To < b.from {
		return
	}
	b.builder.Marks, b.builder.Epoch, b.builder.Born = head.Marks, head.Identity.Epoch, head.Identity.Created
	for d := max(r.From, b.from); d <= r.To; d = d.Add(1) {
		b.builder.Forget(d)
	}
	add := b.adder(b.builder)
	for _, e := range all {
		if e.Day >= max(r.From, b.from) && e.Day <= r.To {
			add(e)
		}
	}
	b.turn++
}

// joined are ranges of days, those with at most two days between them together.
func joined(days []messages.Day) (out []messages.Range) {
	for _, d := range days { // in order
		if n := len(out); n > 0 && d <= out[n-1].To.Add(3) {
			out[n-1].To = d
			continue
		}
		out = append(out, messages.Range{From: d, To: d})
	}
	return out
}

// days are those of a range, as they stand now.
func (b *almanac) days(now time.Time, from, to messages.Day) web.Days {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := web.Days{From: from, To: to, Notes: []string{}, Days: []report.Day{}, States: map[report.State]int{}, Read: b.builder != nil, Basis: b.head.Basis}
	for _, s := range report.States() {
		out.States[s] = 0
	}
	if b.builder == nil {
		out.Basis = report.FromLedger
		out.Notes = append(out.Notes, "the report days are being read")
		if b.problem != "" {
			out.Notes = []string{"the report days could not be read: " + b.problem}
		}
		return out
	}
	out.Notes = append(out.Notes, b.head.Notes...)
	if b.problem != "" && b.head.Basis == report.FromListing {
		out.Notes = append(out.Notes, "the report days could not be read again: "+b.problem)
	}
	out.At, out.Age = b.seen.UTC(), max(0, now.Sub(b.seen).Seconds())
	out.Days = slices.Clone(b.judge(now, messages.Range{From: from, To: to}))
	for _, d := range out.Days {
		out.States[d.State]++
	}
	return out
}

// judge is Builder.Days, made at most every few seconds.
func (b *almanac) judge(now time.Time, r messages.Range) []report.Day {
	j := b.judged[r]
	if age := now.Sub(j.at); j.days != nil && j.turn == b.turn && age >= 0 && age < daysFresh {
		return j.days
	}
	b.builder.Now = now.UTC()
	j = judgement{b.builder.Days(r.From, r.To), now, b.turn}
	if b.judged == nil || len(b.judged) >= 16 {
		b.judged = map[messages.Range]judgement{}
	}
	b.judged[r] = j
	return j.days
}
