package nats

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// maxStuck bounds what one call of Unstick removes.
const maxStuck = 1000

// Unstick removes messages that were settled and still stand in the queue, and returns how
// many. A server that dies between its note of an acknowledgement and the removal of the
// message comes back like that: nobody is handed the message any more, and as long as it
// stands there its file cannot be queued again. All that a consumer has behind its ack
// floor is settled, and a second acknowledgement removes it; so the rights of a copier
// are enough. Repeating it, also by several at once, is harmless.
func (c *Conn) Unstick(ctx context.Context, a messages.Assets) (n int, err error) {
	for _, lane := range []messages.Consumer{a.Live, a.Backfill} {
		freed, err := c.unstickLane(ctx, lane)
		if n += freed; err != nil {
			return n, err
		}
	}
	return n, nil
}

func (c *Conn) unstickLane(ctx context.Context, lane messages.Consumer) (n int, err error) {
	for last := uint64(0); n < maxStuck; n++ {
		seq, stuck, err := c.firstStuck(ctx, lane)
		if err != nil || !stuck {
			return n, err
		}
		if seq == last {
			return n - 1, fmt.Errorf("message %d of stream %s was settled and does not go away", seq, lane.Stream)
		}
		last = seq
		err = c.call(ctx, "settle again what stands in "+lane.Stream, func(ctx context.Context) error {
			_, err := c.nc.RequestWithContext(ctx, fmt.Sprintf("$JS.ACK.%s.%s.1.%d.1.1.0", lane.Stream, lane.Name, seq), []byte("+ACK"))
			return err
		})
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// firstStuck is the oldest message of a lane, if it is behind the ack floor. The floor is
// asked for first: it only rises.
func (c *Conn) firstStuck(ctx context.Context, lane messages.Consumer) (seq uint64, stuck bool, err error) {
	err = c.call(ctx, "look for settled messages in "+lane.Stream, func(ctx context.Context) error {
		consumer, err := c.js.Consumer(ctx, lane.Stream, lane.Name)
		if err != nil {
			return err
		}
		stream, err := c.js.Stream(ctx, lane.Stream)
		if err != nil {
			return err
		}
		msg, err := stream.GetMsg(ctx, 1, jetstream.WithGetMsgSubject(lane.FilterSubject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			seq, stuck = msg.Sequence, msg.Sequence <= consumer.CachedInfo().AckFloor.Stream
		}
		return err
	})
	return seq, stuck, err
}
