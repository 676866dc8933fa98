package notify

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	// firstPause comes after the first failed request; each next one is twice as
	// long, up to maxPause.
	firstPause = 2 * time.Second
	maxPause   = 2 * time.Minute
)

// A webhook is told how conditions stand, not everything that happened: of each
// condition only the newest message waits, so that memory is bounded, an old one
// overtakes none, and a host that was away for hours learns what is the case.
type webhook struct {
	*target
	o    Options
	wake chan struct{} // holds one

	mu         sync.Mutex
	conditions map[Condition]*condition
	order      int       // of the last pending message
	pauses     int       // failed requests in a row
	next       time.Time // of the next request
}

// A condition is what is the case and what the host knows of it.
type condition struct {
	stands  bool
	failure Failure // the last one
	// told is the last message that was delivered; unsure is set while another
	// one was sent and not answered.
	told    Event
	unsure  bool
	pending *pending
}

// A pending message waits for its time or for the host.
type pending struct {
	Message
	due   time.Time
	order int // among those due at the same time
	again bool
}

func (p *pending) before(o *pending) bool {
	return p.due.Before(o.due) || p.due.Equal(o.due) && p.order < o.order
}

func newWebhook(t *target, o Options) *webhook {
	return &webhook{target: t, o: o, wake: make(chan struct{}, 1), conditions: map[Condition]*condition{}}
}

func (w *webhook) raise(f Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conditions[f.Condition]
	if c == nil {
		c = &condition{told: Recovered} // or it was never told
		w.conditions[f.Condition] = c
	}
	if c.stands && !f.Again {
		return
	}
	c.stands = true
	f.Remedy = plain(f.Remedy)
	if f.Since.IsZero() {
		f.Since = time.Now()
	}
	if !c.knows(Failed) { // else its begin is the one that the host knows
		c.failure = f
	}
	w.tell(c, Failed, f.Text, f)
}

func (w *webhook) clear(name Condition, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conditions[name]
	if c == nil || !c.stands {
		return
	}
	c.stands = false
	f := c.failure
	f.Remedy, f.Again = "", false
	w.tell(c, Recovered, text, f)
}

// knows reports whether the host was told of e last.
func (c *condition) knows(e Event) bool { return c.told == e && !c.unsure }

// tell replaces what waits of the condition. What the host knows is not told.
func (w *webhook) tell(c *condition, e Event, text string, f Failure) {
	c.pending = nil
	if c.knows(e) && !f.Again {
		return
	}
	m := w.message(e, text, f)
	w.order++
	c.pending = &pending{m, m.At.Add(f.After), w.order, f.Again}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *webhook) message(e Event, text string, f Failure) Message {
	m := Message{
		Event: e, Condition: f.Condition, Class: f.Class, Remedy: f.Remedy, Since: f.Since.UTC(), At: time.Now().UTC(),
		Route: w.o.Route, Instance: w.o.Instance, Version: w.o.Version,
	}
	m.Text = m.words(text)
	return m
}

func (w *webhook) run(l life) {
	for {
		c, p, wait := w.take(time.Now())
		if p != nil {
			w.send(l.ctx, c, p)
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-w.wake:
		case <-l.ending:
			timer.Stop()
			w.flush(l.ctx)
			return
		}
		timer.Stop()
	}
}

// take is the message that is due for longest, or how long to wait for one.
func (w *webhook) take(now time.Time) (*condition, *pending, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.first()
	if c == nil {
		return nil, nil, time.Hour
	}
	due := c.pending.due
	if due.Before(w.next) {
		due = w.next
	}
	if wait := due.Sub(now); wait > 0 {
		return nil, nil, wait
	}
	c.unsure = true
	return c, c.pending, 0
}

func (w *webhook) first() (first *condition) {
	for _, c := range w.conditions {
		if c.pending != nil && (first == nil || c.pending.before(first.pending)) {
			first = c
		}
	}
	return first
}

func (w *webhook) send(ctx context.Context, c *condition, p *pending) bool {
	_, err := w.try(ctx, http.MethodPost, p.encode())
	w.note(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.pauses++
		w.next = time.Now().Add(max(pauseAfter(w.pauses), retryAfter(err)))
		return false
	}
	w.pauses, w.next = 0, time.Time{}
	c.told, c.unsure = p.Event, false
	if now := c.pending; now == p || now != nil && now.Event == c.told && !now.again {
		c.pending = nil
	}
	return true
}

// pauseAfter has a tenth of jitter, since many processes meet the same outage.
func pauseAfter(failures int) time.Duration {
	pause := min(firstPause<<min(failures-1, 10), maxPause)
	return pause - rand.N(pause/10)
}

func retryAfter(err error) time.Duration {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r.retryAfter
	}
	return 0
}

// flush tries once more what would be lost: all but failures that have not
// lasted long enough to be told.
func (w *webhook) flush(ctx context.Context) {
	w.mu.Lock()
	names := slices.Sorted(maps.Keys(w.conditions))
	w.mu.Unlock()
	var lost []Condition
	for _, name := range names {
		if c, p := w.last(name); p != nil && !w.send(ctx, c, p) {
			lost = append(lost, name)
		}
	}
	if len(lost) > 0 {
		w.log.Warn("the webhook could not be told everything before the end", "host", w.url.Host, "conditions", lost)
	}
}

func (w *webhook) last(name Condition) (*condition, *pending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conditions[name]
	p := c.pending
	if p == nil || p.Event == Failed && !c.unsure && time.Now().Before(p.due) {
		return c, nil
	}
	c.unsure = true
	return c, p
}

func (w *webhook) test(ctx context.Context) (Answer, error) {
	m := w.message(Tested, "a test of "+w.key+"; nothing has failed", Failure{Condition: "test", Since: time.Now()})
	return w.try(ctx, http.MethodPost, m.encode())
}
