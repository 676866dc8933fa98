package nats

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// nextWait is how long Next waits for a message of the live lane. It is less where the
// ack wait is short, since a loan is dated from when it was asked for.
const nextWait = 2 * time.Second

// A Queue hands out messages of one route. Any number of goroutines may use it.
type Queue struct {
	conn           *Conn
	live, backfill messages.Consumer
	// waiting holds whoever waits at the server: one that takes from both lanes, and one
	// that takes from the live lane alone.
	waiting map[bool]chan struct{}
}

// Queue takes messages from the two consumers of a. It never creates them.
func (c *Conn) Queue(a messages.Assets) *Queue {
	return &Queue{c, a.Live, a.Backfill, map[bool]chan struct{}{true: make(chan struct{}, 1), false: make(chan struct{}, 1)}}
}

// Next returns a message of the live lane, else, where backfill is true, one of
// the backfill lane, else it waits about two seconds for one of the live lane;
// nil, nil when nothing came.
//
// Where several goroutines find nothing, one of them waits at the server, and the others
// for their turn behind it: what an idle process asks does not grow with its slots. So
// after a message they come one after the other, each as soon as the one before it has
// its own.
//
// Each pull asks for one message with an inbox of its own, and the inbox is gone
// when Next returns. The library's Consume and Messages ask ahead after a
// reconnect, and the message that then waits in the client is run twice.
func (q *Queue) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	if err := q.conn.connected(); err != nil {
		return nil, err
	}
	wait := min(nextWait, q.live.AckWait/4)
	waiting := q.waiting[backfill]
	looked := len(waiting) == 0
	if looked {
		if d, err := q.look(ctx, backfill); d != nil || err != nil {
			return d, err
		}
	}
	select {
	case waiting <- struct{}{}:
	default:
		if looked = false; !q.turn(ctx, waiting, wait) {
			return nil, ctx.Err()
		}
	}
	defer func() { <-waiting }()
	if !looked {
		if d, err := q.look(ctx, backfill); d != nil || err != nil {
			return d, err
		}
	}
	return q.pull(ctx, q.live, wait)
}

// turn waits until nobody else waits at the server; not for longer than somebody does.
func (q *Queue) turn(ctx context.Context, waiting chan<- struct{}, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case waiting <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// look takes what is there.
func (q *Queue) look(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	d, err := q.pull(ctx, q.live, 0)
	if d != nil || err != nil || !backfill {
		return d, err
	}
	return q.pull(ctx, q.backfill, 0)
}

// pull asks for one message and waits for the server's word, which is a message
// or that there is none. Silence is an error, never an empty queue.
func (q *Queue) pull(ctx context.Context, from messages.Consumer, wait time.Duration) (*copier.Delivery, error) {
	op := "take a message from " + from.Name
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	// A request in the reconnect buffer would be sent when nobody waits for it.
	if err := q.conn.connected(); err != nil {
		return nil, err
	}
	nc := q.conn.nc
	inbox := make(chan *natsgo.Msg, 8)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), inbox)
	if err != nil {
		return nil, q.conn.fault(ctx, op, err)
	}
	defer sub.Unsubscribe()
	asked := time.Now()
	if err := nc.PublishRequest(nextSubject(from), sub.Subject, nextRequest(wait)); err != nil {
		return nil, q.conn.fault(ctx, op, err)
	}
	// The answer is awaited even when ctx ends, since it may be a message that
	// nobody else would be handed before the ack wait. Only an embedded server need
	// not be waited for: it makes its consumers anew at the next start.
	patience := ctx
	if wait == 0 || !q.conn.embedded {
		patience = context.WithoutCancel(ctx)
	}
	msg, err := await(patience, inbox, wait+callTimeout)
	if ctx.Err() != nil {
		q.handBack(ctx, inbox, msg)
		return nil, fmt.Errorf("%s: %w", op, ctx.Err())
	}
	if msg == nil || err != nil {
		return nil, q.conn.fault(ctx, op, describe(from, err))
	}
	// nats-server notes a loan on its disk under the time at which the message was
	// queued, and a renewal under its own. Without this one, a restart of the server
	// would take the loan of a message that had waited for longer than the ack wait
	// for expired, and lend it to a second worker at once.
	_ = nc.Publish(msg.Reply, []byte("+WPI"))
	return q.delivery(msg, asked)
}

func nextSubject(c messages.Consumer) string {
	return "$JS.API.CONSUMER.MSG.NEXT." + c.Stream + "." + c.Name
}

func nextRequest(wait time.Duration) []byte {
	if wait == 0 {
		return []byte(`{"batch":1,"no_wait":true}`)
	}
	return fmt.Appendf(nil, `{"batch":1,"expires":%d}`, wait.Nanoseconds())
}

// await returns the message, nil where the server says that there is none, or
// what else the server says.
func await(ctx context.Context, inbox <-chan *natsgo.Msg, limit time.Duration) (*natsgo.Msg, error) {
	for {
		msg, err := receive(ctx, inbox, limit, nil)
		if err != nil || !isStatus(msg) {
			return msg, err
		}
		switch code := msg.Header.Get("Status"); code {
		case "100": // a heartbeat
		case "404", "408": // no messages; none in time
			return nil, nil
		case "503":
			return nil, natsgo.ErrNoResponders
		default:
			return nil, fmt.Errorf("the server answered %s %q", code, msg.Header.Get("Description"))
		}
	}
}

// receive returns the next message of an inbox; lost, where given, ends it early.
func receive(ctx context.Context, inbox <-chan *natsgo.Msg, limit time.Duration, lost <-chan struct{}) (*natsgo.Msg, error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, natsgo.ErrTimeout
	case <-lost:
		return nil, natsgo.ErrDisconnected
	case msg := <-inbox:
		return msg, nil
	}
}

func isStatus(m *natsgo.Msg) bool { return len(m.Data) == 0 && m.Header.Get("Status") != "" }

// describe turns the bare "no responders" into what it means here.
func describe(c messages.Consumer, err error) error {
	if !errors.Is(err, natsgo.ErrNoResponders) {
		return err
	}
	return &messages.Fault{
		Class: messages.Queue, Op: "take a message from " + c.Name,
		Err:    fmt.Errorf("consumer %s of stream %s does not answer: it was deleted, or its server is away: %w", c.Name, c.Stream, err),
		Remedy: "if it stays so, run `oracle-focus-agent setup`",
	}
}

// handBack refuses a message whose taker has gone, so that it goes to another
// worker now and not after the ack wait. Where that fails, the ack wait does it
// later.
func (q *Queue) handBack(ctx context.Context, inbox <-chan *natsgo.Msg, msg *natsgo.Msg) {
	if msg == nil {
		select {
		case msg = <-inbox:
		default:
		}
	}
	if msg == nil || isStatus(msg) {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_, _ = q.conn.nc.RequestWithContext(ctx, msg.Reply, []byte("-NAK"))
}

func (q *Queue) delivery(msg *natsgo.Msg, asked time.Time) (*copier.Delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, &messages.Fault{Class: messages.Queue, Op: "read the metadata of " + msg.Subject, Err: err}
	}
	answer := func(ctx context.Context, op string, body []byte) error {
		return q.conn.call(ctx, op+" "+msg.Subject, func(ctx context.Context) error {
			_, err := q.conn.nc.RequestWithContext(ctx, msg.Reply, body)
			return err
		})
	}
	return &copier.Delivery{
		Subject:    msg.Subject,
		Data:       msg.Data,
		Deliveries: q.deliveries(meta),
		Asked:      asked,
		Headers:    msg.Header,
		// The server confirms a renewal also when the message was lent to another
		// worker since; then it is that loan that grew.
		Renew: func(ctx context.Context) error { return answer(ctx, "renew", []byte("+WPI")) },
		Settle: func(ctx context.Context, v copier.Verdict) error {
			settle := func(ctx context.Context) error { return answer(ctx, "settle", verdict(v)) }
			if v.Act == copier.Nak { // a late one would take the message from who has it by then
				return settle(ctx)
			}
			return q.surely(ctx, settle)
		},
	}, nil
}

// surely asks until the server has answered, as long as ctx lets it. A server that is
// killed right after it has noted an acknowledgement may not have removed the message;
// being asked again it does. Without that the message would stay, and nobody would be
// handed it (see Unstick). The error is the last that does not come of the end of ctx.
func (q *Queue) surely(ctx context.Context, ask func(context.Context) error) error {
	var last error
	for {
		lost := q.conn.next(&q.conn.lost)
		try, cancel := context.WithCancel(ctx)
		go func() {
			select {
			case <-lost: // the answer will not come any more
				cancel()
			case <-try.Done():
			}
		}()
		err := ask(try)
		cancelled := try.Err() != nil
		cancel()
		switch {
		case err == nil || !cancelled && !isSilence(err):
			return err
		case ctx.Err() != nil:
			return cmp.Or(last, err)
		}
		last = err
		pause(ctx, 100*time.Millisecond)
	}
}

// deliveries counts from 1 how often the message was handed out. One that is
// older than its consumer may have been handed out by the one before: it counts
// as delivered once more, so that the copier looks for traces of that time.
func (q *Queue) deliveries(meta *natsgo.MsgMetadata) int {
	n := int(meta.NumDelivered)
	if meta.Timestamp.UnixNano() < q.conn.recreated.Load() {
		n++
	}
	return n
}

// verdict is the body of an acknowledgement. Asked as a request each of them is
// answered; the library does so only for +ACK.
func verdict(v copier.Verdict) []byte {
	switch {
	case v.Act == copier.Ack:
		return []byte("+ACK")
	case v.Act == copier.Term && v.Reason == "":
		return []byte("+TERM")
	case v.Act == copier.Term:
		return []byte("+TERM " + v.Reason)
	case v.Delay <= 0:
		return []byte("-NAK")
	default:
		return fmt.Appendf(nil, `-NAK {"delay": %d}`, v.Delay.Nanoseconds())
	}
}
