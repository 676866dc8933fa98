package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

// A State is how a report day stands.
type State string

// The states of a day.
const (
	Complete State = "complete" // it has what is usual, all delivered, and nothing came for the usual time
	Late     State = "late"     // it was complete, and files went on coming
	Partial  State = "partial"  // some are there, and more are usual, or some are not delivered
	Missing  State = "missing"  // nothing came, although it should have
	NotYet   State = "not-expected-yet"
	BeforeUs State = "before-us" // the installation is not responsible for it
)

// States are all of them, worst first.
func States() []State { return []State{Missing, Partial, Late, Complete, NotYet, BeforeUs} }

// A Day is one report day.
type Day struct {
	Day   messages.Day `json:"day"`
	State State        `json:"state"`
	Why   string       `json:"why"`
	// Files are those that appeared at the source; each is Delivered, Discarded, Failed
	// or Pending. Inherited are those of Delivered that the Python agent brought.
	Files     int   `json:"files"`
	Delivered int   `json:"delivered"`
	Inherited int   `json:"inherited"`
	Discarded int   `json:"discarded"`
	Failed    int   `json:"failed"`
	Pending   int   `json:"pending"`
	Bytes     int64 `json:"bytes"` // of the delivered
	// Rows, Corrections and Cost are of the delivered files with complete statistics;
	// Uncounted is how many have none.
	Rows        int64  `json:"rows"`
	Corrections int64  `json:"corrections"`
	Cost        []Cost `json:"cost"`
	Uncounted   int    `json:"uncounted"`
	// FirstDelivery and LastDelivery are those of this program.
	FirstDelivery time.Time `json:"first_delivery,omitzero"`
	LastDelivery  time.Time `json:"last_delivery,omitzero"`
	// LatencyMedian and LatencyMax are from the appearance of a file to its delivery, in
	// seconds; of the files that appeared since the installation began.
	LatencyMedian float64 `json:"latency_median_seconds,omitempty"`
	LatencyMax    float64 `json:"latency_max_seconds,omitempty"`
}

// A Builder takes the evidence of files, in any order, and tells of their days. It
// keeps a few numbers of each file and not its name.
type Builder struct {
	Now time.Time
	// Epoch is that of the route's identity, Born when its ledger began.
	Epoch int
	Born  time.Time
	// Marks say which days the installation is responsible for.
	Marks messages.Marks
	// Listing is false where the evidence is that of the ledger alone.
	Listing bool

	days map[messages.Day]*tally
}

// A tally is what a Builder keeps of a day.
type tally struct {
	day       Day
	arrivals  []arrival
	latencies []time.Duration
	purse     purse
}

type arrival struct {
	at   time.Time
	what fate
}

// A fate is what became of a file that appeared.
type fate int

const (
	settled fate = iota // delivered, or given up by an operator
	waits
	failed
)

// beforeUs reports whether the installation is not responsible for a day. It knows
// nothing of that before its first complete scan.
func (b *Builder) beforeUs(d messages.Day) bool {
	return d != "" && b.Marks.Since != "" && d < b.Marks.Since &&
		!slices.ContainsFunc(b.Marks.Ranges, func(r messages.Range) bool { return r.From <= d && d <= r.To })
}

// Add takes the evidence of one file and says what became of it, and in what the
// listing and the ledger contradict each other.
func (b *Builder) Add(e Evidence) (f File, contradiction string) {
	f = b.classify(e)
	if e.Day != "" {
		b.tally(e.Day).add(f, b.Born)
	}
	return f, difference(e, f, b.Listing, b.Now)
}

// Forget takes back the evidence of a day, so that it can be added anew.
func (b *Builder) Forget(d messages.Day) { delete(b.days, d) }

func (b *Builder) tally(d messages.Day) *tally {
	if b.days == nil {
		b.days = map[messages.Day]*tally{}
	}
	if b.days[d] == nil {
		b.days[d] = &tally{purse: purse{}}
	}
	return b.days[d]
}

func (t *tally) add(f File, born time.Time) {
	d := &t.day
	what := settled
	switch {
	case f.Section == Skipped && (f.Reason == IsIneligible || f.Reason == IsGone):
		return // no report, or none any more
	case f.Section == Failed:
		what = failed
		d.Failed++
	case f.Section == Pending || f.Reason == IsBeforeUs:
		what = waits
		d.Pending++
	case f.Reason == IsDiscarded:
		d.Discarded++
	default:
		d.Delivered++
		t.delivered(f, born)
	}
	d.Files++
	t.arrivals = append(t.arrivals, arrival{cmp.Or(f.Appeared, f.Delivered), what})
}

func (t *tally) delivered(f File, born time.Time) {
	d := &t.day
	d.Bytes += f.Size
	if f.Counted {
		d.Rows += f.Rows
		d.Corrections += f.Corrections
		t.purse.addCosts(f.Cost)
	} else {
		d.Uncounted++
	}
	if f.Reason == IsInherited {
		d.Inherited++
		return
	}
	if d.FirstDelivery.IsZero() || f.Delivered.Before(d.FirstDelivery) {
		d.FirstDelivery = f.Delivered
	}
	if f.Delivered.After(d.LastDelivery) {
		d.LastDelivery = f.Delivered
	}
	if f.Reason != IsRecorded && !f.Appeared.IsZero() && f.Appeared.After(born) {
		t.latencies = append(t.latencies, max(0, f.Delivered.Sub(f.Appeared)))
	}
}

// Days judges the days of a range, each by the cadence of the days around it.
func (b *Builder) Days(from, to messages.Day) []Day {
	days := []Day{}
	for d := from; d <= to; d = d.Add(1) {
		days = append(days, b.day(d))
	}
	return days
}

// after judges the days after one, as far as there is evidence of them.
func (b *Builder) after(last messages.Day) (days []Day) {
	for _, d := range slices.Sorted(maps.Keys(b.days)) {
		if d > last {
			days = append(days, b.day(d))
		}
	}
	return days
}

// Cadence is what is usual for a day: learned from the closed days before it and, where
// these are too few, as after an installation, from those after it as well. The day
// itself teaches nothing of itself.
func (b *Builder) Cadence(d messages.Day) Cadence {
	var days []history
	for h := d.Add(-History); h < d && b.closed(h); h = h.Add(1) {
		if t := b.days[h]; len(days) > 0 || t.any() { // not the days before there was anything
			days = append(days, t.history(h))
		}
	}
	if len(days) < enough {
		last := b.last()
		for h := d.Add(1); h <= last && b.closed(h) && len(days) < History; h = h.Add(1) {
			if t := b.days[h]; len(days) > 0 || t.any() {
				days = append(days, t.history(h))
			}
		}
	}
	return learn(days)
}

// closed reports whether a day can teach.
func (b *Builder) closed(d messages.Day) bool { return !b.Now.Before(begin(d).Add(closedAfter)) }

// last is the last day of which there is a file.
func (b *Builder) last() (last messages.Day) {
	for d, t := range b.days {
		if d > last && t.any() {
			last = d
		}
	}
	return last
}

// first is the first day of which there is a file.
func (b *Builder) first() (first messages.Day) {
	for d, t := range b.days {
		if t.any() && (first == "" || d < first) {
			first = d
		}
	}
	return first
}

func (t *tally) any() bool { return t != nil && len(t.arrivals) > 0 }

func (t *tally) history(d messages.Day) (h history) {
	if t == nil {
		return h
	}
	h.files = len(t.arrivals)
	for _, a := range t.arrivals {
		if !a.at.IsZero() {
			h.arrivals = append(h.arrivals, a.at.Sub(begin(d)))
		}
	}
	return h
}

func (b *Builder) day(d messages.Day) Day {
	t := b.days[d]
	if t == nil {
		t = &tally{}
	}
	out := t.day
	out.Day, out.Cost = d, t.purse.costs()
	if len(t.latencies) > 0 {
		slices.Sort(t.latencies)
		out.LatencyMedian = t.latencies[(len(t.latencies)-1)/2].Seconds()
		out.LatencyMax = t.latencies[len(t.latencies)-1].Seconds()
	}
	if b.beforeUs(d) {
		out.State, out.Why = BeforeUs, "this installation is responsible from "+string(b.Marks.Since)+" on"
		return out
	}
	c := b.Cadence(d)
	out.State, out.Why = t.judge(b.Now, begin(d), c)
	switch first := b.first(); {
	case out.State == Missing && first == "":
		out.State, out.Why = NotYet, "no report is known of any day"
		return out
	case out.State == Missing && d < first:
		out.State, out.Why = NotYet, "no report is known of any day before "+string(first)
		return out
	}
	if !c.Learned {
		out.Why += fmt.Sprintf("; by Oracle's documented cadence, with %d closed days to learn from", c.Days)
	}
	return out
}

// judge says how a day stands and why. For one cadence it holds: one more delivered
// file never makes a day worse, where late is as good as complete.
func (t *tally) judge(now, start time.Time, c Cadence) (State, string) {
	due := start.Add(c.First)
	switch {
	case len(t.arrivals) == 0 && now.Before(due.Add(Delay)):
		return NotYet, "the first file usually comes by " + shortTime(due) + ", and can be a day late"
	case len(t.arrivals) == 0:
		return Missing, "nothing came, and the first file was due by " + shortTime(due.Add(Delay)) + ", a day of delay included"
	}
	n := t.count(now.Add(-c.Quiet))
	need := c.Files
	if over := !now.Before(start.Add(c.Last)); over {
		need = c.Low
	}
	switch {
	case n.failed > 0:
		return Partial, fmt.Sprintf("%s of %d failed", files(n.failed), len(t.arrivals))
	case n.waiting > 0:
		return Partial, fmt.Sprintf("%s of %d not delivered yet", files(n.waiting), len(t.arrivals))
	case n.settled >= need && n.fresh > 0:
		return Late, fmt.Sprintf("%s made it complete, and %d more came, the last at %s", files(n.settled), n.fresh, shortTime(n.newest))
	case n.settled >= need:
		return Complete, files(n.settled) + ", where " + c.usual() + " are usual"
	case n.settled+n.fresh >= need:
		return Partial, fmt.Sprintf("%s, as many as usual; complete if none comes until %s", files(n.settled+n.fresh), shortTime(n.newest.Add(c.Quiet)))
	case need == c.Low && now.After(start.Add(closedAfter)):
		return Partial, fmt.Sprintf("%s, where %s are usual", files(n.settled+n.fresh), c.usual())
	}
	return Partial, fmt.Sprintf("%s so far, where %s are usual", files(n.settled+n.fresh), c.usual())
}

// counts are the files of a day: those that are settled since before an instant, and
// those that came after it.
type counts struct {
	settled, waiting, failed int
	fresh                    int // settled or not
	newest                   time.Time
}

func (t *tally) count(since time.Time) (n counts) {
	for _, a := range t.arrivals {
		fresh := a.at.After(since)
		if a.at.After(n.newest) {
			n.newest = a.at
		}
		switch {
		case a.what == failed:
			n.failed++
		case fresh:
			n.fresh++
		case a.what == waits:
			n.waiting++
		default:
			n.settled++
		}
	}
	return n
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}
