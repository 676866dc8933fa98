package notify

import (
	"context"
	"errors"
	"math/rand/v2"
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

// A courier brings messages to one address. Its errors hold no secret.
type courier interface {
	// deliver sends one message, once. A *partial is a delivery, too.
	deliver(context.Context, Message) (Answer, error)
}

// A partial says for whom a message was not taken that was taken for others. It is
// not sent again: whoever has it would get it for ever.
type partial struct{ error }

// A channel is told how conditions stand, not everything that happened: of each
// condition only the newest message waits, so that memory is bounded, an old one
// overtakes none, and a host that was away for hours learns what is the case. Of
// what has no end, one message waits that all join.
type channel struct {
	courier
	book
	o    Options
	wake chan struct{} // holds one

	mu         sync.Mutex
	conditions map[key]*condition
	notices    []*pending
	order      int       // of the last pending message
	pauses     int       // failed requests in a row
	next       time.Time // of the next request
}

type key struct {
	Condition
	cause string
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
	of      *condition // nil of what has no end
	due     time.Time
	order   int // among those due at the same time
	again   bool
	sending bool
}

func (p *pending) before(o *pending) bool {
	return p.due.Before(o.due) || p.due.Equal(o.due) && p.order < o.order
}

func newChannel(c courier, b book, o Options) *channel {
	return &channel{courier: c, book: b, o: o, wake: make(chan struct{}, 1), conditions: map[key]*condition{}}
}

func (w *channel) raise(f Failure) {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := key{f.Condition, f.Cause}
	c := w.conditions[k]
	if c == nil {
		c = &condition{told: Recovered} // or it was never told
		w.conditions[k] = c
	}
	if c.stands && !f.Again {
		return
	}
	c.stands = true
	if f.Since.IsZero() {
		f.Since = time.Now()
	}
	if !c.knows(Failed) { // else its begin is the one that the host knows
		c.failure = f
	}
	w.tell(c, Failed, f.Text, f)
}

func (w *channel) clear(k key, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.conditions[k]
	if c == nil || !c.stands {
		return
	}
	c.stands = false
	f := c.failure
	f.Remedy, f.Again, f.Files, f.Count = "", false, nil, 0
	w.tell(c, Recovered, text, f)
}

// knows reports whether the host was told of e last.
func (c *condition) knows(e Event) bool { return c.told == e && !c.unsure }

// tell replaces what waits of the condition. What the host knows is not told.
func (w *channel) tell(c *condition, e Event, text string, f Failure) {
	c.pending = nil
	if c.knows(e) && !f.Again {
		return
	}
	m := w.message(e, f)
	m.say(text)
	c.pending = w.wait(m, f.After)
	c.pending.of, c.pending.again = c, f.Again
}

// wait makes a message wait for its time.
func (w *channel) wait(m Message, after time.Duration) *pending {
	w.order++
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return &pending{Message: m, due: m.At.Add(after), order: w.order}
}

func (w *channel) message(e Event, f Failure) Message {
	m := Message{
		Event: e, Condition: f.Condition, Class: f.Class, Remedy: plain(f.Remedy), Since: f.Since.UTC(), At: time.Now().UTC(),
		Route: w.o.Route, Instance: w.o.Instance, Version: w.o.Version, Count: f.Count,
	}
	for _, name := range f.Files[:min(len(f.Files), maxFiles)] {
		m.Files = append(m.Files, plain(name))
	}
	return m
}

// notice joins the message of its condition that waits, or begins one.
func (w *channel) notice(n Notice) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.waiting(n.Condition)
	if p == nil {
		m := w.message(Noticed, Failure{Condition: n.Condition, Class: n.Class, Remedy: n.Remedy, Since: time.Now()})
		p = w.wait(m, n.After)
		w.notices = append(w.notices, p)
	}
	if p.Count++; len(p.Files) < maxFiles {
		p.Files = append(p.Files, plain(n.File))
		if n.Detail != "" {
			p.Details = append(p.Details, plain(n.Detail))
		}
	}
	what := n.One
	if p.Count > 1 {
		what = counted(n.Many, p.Count)
	}
	p.say(what)
}

// digest takes the place of one that waits: nobody reads the report of a day when
// that of the next is there.
func (w *channel) digest(since time.Time, text string, lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.message(Digested, Failure{Condition: Digest, Since: since})
	for _, line := range lines {
		m.Details = append(m.Details, plain(line))
	}
	m.say(text)
	if p := w.waiting(Digest); p != nil {
		w.remove(p)
	}
	w.notices = append(w.notices, w.wait(m, 0))
}

// waiting is what has no end and is not on its way yet.
func (w *channel) waiting(c Condition) *pending {
	i := slices.IndexFunc(w.notices, func(p *pending) bool { return p.Condition == c && !p.sending })
	if i < 0 {
		return nil
	}
	return w.notices[i]
}

func (w *channel) remove(p *pending) {
	w.notices = slices.DeleteFunc(w.notices, func(q *pending) bool { return q == p })
}

func (w *channel) run(l life) {
	for {
		p, wait := w.take(time.Now())
		if p != nil {
			w.send(l.ctx, p)
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
func (w *channel) take(now time.Time) (*pending, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.first(func(*pending) bool { return true })
	if p == nil {
		return nil, time.Hour
	}
	due := p.due
	if due.Before(w.next) {
		due = w.next
	}
	if wait := due.Sub(now); wait > 0 {
		return nil, wait
	}
	p.begin()
	return p, 0
}

func (p *pending) begin() {
	p.sending = true
	if p.of != nil {
		p.of.unsure = true
	}
}

func (w *channel) first(ok func(*pending) bool) (first *pending) {
	look := func(p *pending) {
		if p != nil && ok(p) && (first == nil || p.before(first)) {
			first = p
		}
	}
	for _, c := range w.conditions {
		look(c.pending)
	}
	for _, p := range w.notices {
		look(p)
	}
	return first
}

func (w *channel) send(ctx context.Context, p *pending) bool {
	_, err := w.try(ctx, p.Message)
	w.note(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	p.sending = false
	if _, partly := errors.AsType[*partial](err); err != nil && !partly {
		w.pauses++
		w.next = time.Now().Add(max(pauseAfter(w.pauses), retryAfter(err)))
		return false
	}
	w.pauses, w.next = 0, time.Time{}
	if p.of == nil {
		w.remove(p)
		return true
	}
	c := p.of
	c.told, c.unsure = p.Event, false
	if now := c.pending; now == p || now != nil && now.Event == c.told && !now.again {
		c.pending = nil
	}
	return true
}

// try sends one message and counts it.
func (w *channel) try(ctx context.Context, m Message) (Answer, error) {
	a, err := w.deliver(ctx, m)
	w.count(err)
	return a, err
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
func (w *channel) flush(ctx context.Context) {
	tried := map[*pending]bool{}
	var lost []Condition
	for {
		p := w.last(tried)
		if p == nil {
			break
		}
		if tried[p] = true; !w.send(ctx, p) {
			lost = append(lost, p.Condition)
		}
	}
	if len(lost) > 0 {
		w.log.Warn(w.kind.words()+" could not be told everything before the end", "host", w.host, "conditions", lost)
	}
}

func (w *channel) last(tried map[*pending]bool) *pending {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.first(func(p *pending) bool {
		early := p.Event == Failed && !p.of.unsure && time.Now().Before(p.due)
		return !tried[p] && !early
	})
	if p != nil {
		p.begin()
	}
	return p
}

func (w *channel) test(ctx context.Context) (Answer, error) {
	m := w.message(Tested, Failure{Condition: "test", Since: time.Now()})
	m.say("a test of " + w.key + "; nothing has failed")
	return w.try(ctx, m)
}
