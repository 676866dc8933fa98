package limits

import (
	"log/slog"
	"slices"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// growEvery is the least time between two slots more.
	growEvery = 2 * time.Second
	// windowSize is of how many answers a median is taken, and windowsKept of how many
	// windows the best one is the measure of the next.
	windowSize, windowsKept = 32, 32
	// worthMentioning is what a median must be above the best one beside twice of it, so
	// that a machine that is busy for a moment does not count.
	worthMentioning = 200 * time.Millisecond
)

// A pace is how many slots may take files. It halves when a side asks for less, by 429 or
// 503 or SlowDown, and grows by one slot at a time while both answer. Answers that take
// twice the time that they took halve it, too, but not to below half of what is
// configured: they may have another reason. One slot is always left, so that the end of
// the trouble is noticed.
type pace struct {
	resize chan int // of one place: the newest number that nobody has taken
	log    *slog.Logger

	mu        sync.Mutex
	slots     int // configured
	allowed   int
	changed   time.Time // when allowed was
	fewer     time.Time // when it was lowered
	answers   int       // to what began since changed
	latencies map[messages.Side]*latency
}

func newPace(slots int, log *slog.Logger) *pace {
	return &pace{resize: make(chan int, 1), log: log, slots: slots, allowed: slots, latencies: map[messages.Side]*latency{
		messages.Source: {}, messages.Destination: {},
	}}
}

func (p *pace) now() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.allowed
}

// configure sets the number of slots. What the sides took so far they still take.
func (p *pace) configure(slots int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.allowed == p.slots || p.allowed > slots {
		p.allow(slots)
	}
	p.slots = slots
}

// answered takes the end of a request that began then. Where its time says something of a
// side it is named.
func (p *pace) answered(began time.Time, err error, side messages.Side) {
	took := time.Since(began)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch class := messages.ClassOf(err); {
	case err != nil && class != messages.Throttled && class != messages.Unavailable:
	case began.Before(p.fewer): // it was sent when more were at work
	case err != nil:
		p.lower(1, "class", class)
	case side != "" && p.latencies[side].add(took):
		p.lower((p.slots+1)/2, "slow", side)
	case !began.Before(p.changed): // with all that are at work now
		p.raise()
	}
}

// lower halves the pace, but not to below the least.
func (p *pace) lower(least int, why ...any) {
	n := max(p.allowed/2, least)
	if n >= p.allowed {
		return
	}
	if p.allowed == p.slots { // the rest of a long trouble is for the metrics
		p.log.Info("fewer files are copied at once, since a side is overloaded", append(why, "slots", n)...)
	}
	p.fewer = time.Now()
	p.allow(n)
}

// raise adds a slot after as many answers as there are slots, and some time: so that what
// the last one led to is known.
func (p *pace) raise() {
	if p.allowed >= p.slots {
		return
	}
	if p.answers++; p.answers < p.allowed || time.Since(p.changed) < growEvery {
		return
	}
	p.allow(p.allowed + 1)
	if p.allowed == p.slots {
		p.log.Info("as many files are copied at once as before", "slots", p.slots)
	}
}

func (p *pace) allow(n int) {
	p.allowed, p.answers, p.changed = n, 0, time.Now()
	select {
	case <-p.resize:
	default:
	}
	p.resize <- n
}

// A latency is how long a side takes to answer. The best median is that of the last
// windows, so that a way that has become longer counts as slow only for a while.
type latency struct {
	window  []time.Duration
	medians []time.Duration
}

// add reports, at the end of a window, whether it was slow.
func (l *latency) add(d time.Duration) (slow bool) {
	if l.window = append(l.window, d); len(l.window) < windowSize {
		return false
	}
	slices.Sort(l.window)
	median := l.window[windowSize/2]
	l.window = l.window[:0]
	if len(l.medians) > 0 {
		best := slices.Min(l.medians)
		slow = median > 2*best && median > best+worthMentioning
	}
	l.medians = append(l.medians, median)
	l.medians = l.medians[max(0, len(l.medians)-windowsKept):]
	return slow
}
