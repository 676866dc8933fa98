// Package notify tells somebody outside of the process how it goes: a heartbeat
// that is pinged after each complete scan, so that its absence is noticed, and a
// webhook that is told when a failure begins and when it ends.
//
// It guarantees that telling never holds up the work, that the newest message of
// a condition is tried until it is delivered or overtaken by a newer one, that no
// recovery comes before its failure, and that neither a log line nor an error
// holds more of an address than its host. It keeps its memory in the process: a
// restart tells again what still fails, and not what ended meanwhile.
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
	// Heartbeat and Webhook are URLs, and secrets; empty: none.
	Heartbeat, Webhook string
	// Route, Instance and Version stand in each message of the webhook.
	Route, Instance, Version string
	// Sent is told of every request and how it ended; may be nil.
	Sent func(Kind, error)
	Log  *slog.Logger
}

// A Kind is one of the two ways to tell.
type Kind string

// The kinds.
const (
	Heartbeat Kind = "heartbeat"
	Webhook   Kind = "webhook"
)

// A Notifier tells until it is closed. It is safe for concurrent use.
type Notifier struct {
	heartbeat *heartbeat // nil without one
	webhook   *webhook   // nil without one
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
	n.life.ending = make(chan struct{})
	n.life.ctx, n.kill = context.WithCancel(context.Background())
	n.end = sync.OnceFunc(func() { close(n.life.ending) })
	if o.Heartbeat != "" {
		t, err := newTarget(Heartbeat, o.Heartbeat, o, network)
		if err != nil {
			return nil, err
		}
		n.heartbeat = &heartbeat{target: t, due: make(chan struct{}, 1)}
	}
	if o.Webhook != "" {
		t, err := newTarget(Webhook, o.Webhook, o, network)
		if err != nil {
			return nil, err
		}
		n.webhook = newWebhook(t, o)
	}
	if n.heartbeat != nil {
		n.workers.Go(func() { n.heartbeat.run(n.life) })
	}
	if n.webhook != nil {
		n.workers.Go(func() { n.webhook.run(n.life) })
	}
	return n, nil
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
	if n.webhook != nil {
		n.webhook.raise(f)
	}
}

// Clear tells that a condition has ended, in the words of text. One that does
// not stand is none.
func (n *Notifier) Clear(c Condition, text string) {
	if n.webhook != nil {
		n.webhook.clear(c, text)
	}
}

var errNoWebhook = errors.New("there is no webhook")

// Test sends a message that is marked as a test, once, and returns the answer.
func (n *Notifier) Test(ctx context.Context) (Answer, error) {
	if n.webhook == nil {
		return Answer{}, errNoWebhook
	}
	return n.webhook.test(ctx)
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
