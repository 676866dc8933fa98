// Package notify tells somebody outside of the process how it goes: a heartbeat
// that is pinged after each complete scan, so that its absence is noticed, and
// channels (a webhook, e-mail, Slack, Teams) that are told when a failure begins and
// when it ends, what else happened, and once a day how the day went.
//
// It guarantees that telling never holds up the work, that the newest message of
// a condition is tried until it is delivered or overtaken by a newer one, that no
// recovery comes before its failure, and that neither a log line nor an error
// holds more of an address than its host, or any of a password. Each channel has its
// own memory of what it was told, in the process: a restart tells again what still
// fails, and not what ended meanwhile.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// lastWords is how long messages that are on their way at the end may take.
const lastWords = 2 * time.Second

// Options say whom to tell, and who tells.
type Options struct {
	// Heartbeat, Webhook, Slack and Teams are URLs, and secrets; empty: none.
	Heartbeat, Webhook, Slack, Teams string
	Email                            Mail
	// Route, Instance and Version stand in each message.
	Route, Instance, Version string
	// Sent is told of every request and how it ended; may be nil.
	Sent func(Kind, error)
	Log  *slog.Logger
}

// A Notifier tells until it is closed. It is safe for concurrent use.
type Notifier struct {
	heartbeat *heartbeat // nil without one
	channels  []*channel
	life      life
	kill      context.CancelFunc
	end       func()
	workers   sync.WaitGroup
}

// A life ends in two steps: after ending, what is due is tried once more; when
// ctx ends, nothing is.
type life struct {
	ctx    context.Context
	ending chan struct{}
}

// New begins a Notifier. Its error is that of a URL, and does not repeat it.
func New(o Options) (*Notifier, error) {
	return start(o, newTransport())
}

func start(o Options, network http.RoundTripper) (*Notifier, error) {
	n := &Notifier{}
	if o.Heartbeat != "" {
		t, b, err := newTarget(Heartbeat, o.Heartbeat, o, network)
		if err != nil {
			return nil, err
		}
		n.heartbeat = &heartbeat{target: t, book: b, due: make(chan struct{}, 1)}
	}
	if err := n.open(o, network); err != nil {
		return nil, err
	}
	n.life.ending = make(chan struct{})
	n.life.ctx, n.kill = context.WithCancel(context.Background())
	n.end = sync.OnceFunc(func() { close(n.life.ending) })
	if n.heartbeat != nil {
		n.workers.Go(func() { n.heartbeat.run(n.life) })
	}
	for _, c := range n.channels {
		n.workers.Go(func() { c.run(n.life) })
	}
	return n, nil
}

// open makes the channels.
func (n *Notifier) open(o Options, network http.RoundTripper) error {
	for _, h := range []struct {
		kind    Kind
		address string
		shape   func(Message) any
	}{{Webhook, o.Webhook, stable}, {Slack, o.Slack, forSlack}, {Teams, o.Teams, forTeams}} {
		if h.address == "" {
			continue
		}
		t, b, err := newTarget(h.kind, h.address, o, network)
		if err != nil {
			return err
		}
		n.channels = append(n.channels, newChannel(hook{t, h.shape}, b, o))
	}
	if o.Email.Host == "" {
		return nil
	}
	m, b, err := newMailbox(o)
	if err == nil {
		n.channels = append(n.channels, newChannel(m, b, o))
	}
	return err
}

// Beat pings the heartbeat soon. Beats that come while one is on its way are one.
func (n *Notifier) Beat() {
	if n.heartbeat != nil {
		n.heartbeat.beat()
	}
}

// Raise tells of a failure, once: until Clear, a condition that stands is not
// told again.
func (n *Notifier) Raise(f Failure) {
	for _, c := range n.channels {
		c.raise(f)
	}
}

// Clear tells that a condition has ended, in the words of text. One that does
// not stand is none.
func (n *Notifier) Clear(c Condition, text string) { n.ClearCause(c, "", text) }

// ClearCause is Clear for a failure that has a cause.
func (n *Notifier) ClearCause(c Condition, cause, text string) {
	for _, ch := range n.channels {
		ch.clear(key{c, cause}, text)
	}
}

// Notice tells of what has no end. Those of one condition that come while a message
// of it waits are told with it.
func (n *Notifier) Notice(s Notice) {
	for _, c := range n.channels {
		c.notice(s)
	}
}

// Digest tells how the time since then went, in the words of text and with lines.
func (n *Notifier) Digest(since time.Time, text string, lines []string) {
	for _, c := range n.channels {
		c.digest(since, text, lines)
	}
}

// Channels are the kinds that are told, but for the heartbeat.
func (n *Notifier) Channels() (kinds []Kind) {
	for _, c := range n.channels {
		kinds = append(kinds, c.kind)
	}
	return kinds
}

// Test sends a message that is marked as a test by one channel, once, and returns
// the answer.
func (n *Notifier) Test(ctx context.Context, k Kind) (Answer, error) {
	for _, c := range n.channels {
		if c.kind == k {
			return c.test(ctx)
		}
	}
	return Answer{}, errors.New("nobody is told by " + string(k))
}

// Close sends what is due, within two seconds, and returns when nothing runs any
// more.
func (n *Notifier) Close() {
	n.end()
	last := time.AfterFunc(lastWords, n.kill)
	n.workers.Wait()
	last.Stop()
	n.kill()
}
