package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// heldUntil is how long the consumers of a paused route are paused: until somebody
// resumes it. It is so far off that it also tells such a pause from one that was made
// with other tools, for maintenance, which is not ours to end.
func heldUntil() time.Time { return time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC) }

// Pause returns the pause of the route and its revision, or nil. One that cannot be read
// is a pause all the same: who wrote it wanted the queue to be held.
func (l *Ledger) Pause(ctx context.Context) (*messages.Pause, uint64, error) {
	raw, revision, err := l.Read(ctx, messages.PauseKey(l.route))
	if err != nil || raw == nil {
		return nil, 0, err
	}
	p, err := messages.DecodePause(raw)
	if err != nil {
		p = messages.Pause{Reason: "the note of it cannot be read: " + err.Error(), By: "unknown"}
	}
	return &p, revision, nil
}

// ApplyPause makes the consumers follow what the ledger says of a pause, and returns
// that: paused consumers hand out nothing, and what is lent already goes on.
//
// The key in the ledger is the decision, and its write the commit point: pause writes it
// and resume erases it, and only then do the consumers follow. A crash between leaves
// consumers that do not fit the key; whoever calls this next, each scanner and agent at
// its start and every few seconds, mends that in either direction. It looks at the
// consumers first and then at the key, so that what it sees of the key is the younger;
// and again after a change, since another operator may have been at work meanwhile.
func (c *Conn) ApplyPause(ctx context.Context, a messages.Assets, l *Ledger) (*messages.Pause, error) {
	for range 5 {
		held, err := c.held(ctx, a)
		if err != nil {
			return nil, err
		}
		p, _, err := l.Pause(ctx)
		if err != nil {
			return nil, err
		}
		changed := false
		for i, consumer := range []messages.Consumer{a.Live, a.Backfill} {
			if held[i] == (p != nil) {
				continue
			}
			changed = true
			if err := c.hold(ctx, consumer, p != nil); err != nil {
				return p, err
			}
		}
		if !changed {
			return p, nil
		}
	}
	return nil, &messages.Fault{Class: messages.Conflict, Op: "pause or resume the consumers", Err: errors.New("somebody changes them at the same time")}
}

// held tells of both consumers whether they are paused by this program.
func (c *Conn) held(ctx context.Context, a messages.Assets) (held [2]bool, err error) {
	for i, consumer := range []messages.Consumer{a.Live, a.Backfill} {
		err := c.call(ctx, "look up consumer "+consumer.Name, func(ctx context.Context) error {
			found, err := c.js.Consumer(ctx, consumer.Stream, consumer.Name)
			if err == nil {
				until := found.CachedInfo().Config.PauseUntil
				held[i] = until != nil && until.Equal(heldUntil())
			}
			return err
		})
		if err != nil {
			return held, err
		}
	}
	return held, nil
}

func (c *Conn) hold(ctx context.Context, consumer messages.Consumer, pause bool) error {
	op := "resume consumer " + consumer.Name
	if pause {
		op = "pause consumer " + consumer.Name
	}
	return c.call(ctx, op, func(ctx context.Context) (err error) {
		if pause {
			_, err = c.js.PauseConsumer(ctx, consumer.Stream, consumer.Name, heldUntil())
		} else {
			_, err = c.js.ResumeConsumer(ctx, consumer.Stream, consumer.Name)
		}
		return err
	})
}

// holding is the configuration of a consumer that is made while its route is paused.
func holding(c jetstream.ConsumerConfig, p *messages.Pause) jetstream.ConsumerConfig {
	if p != nil {
		until := heldUntil()
		c.PauseUntil = &until
	}
	return c
}
