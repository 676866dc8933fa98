package nats

import (
	"context"
	"errors"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

const (
	// codeStoreFailed is JetStream's answer to whatever keeps a message out of a stream;
	// its text alone tells a file that is there already from a stream that is full.
	codeStoreFailed = 10077
	perSubject      = "maximum messages per subject exceeded"
	publishTries    = 3
)

// A Publisher queues files.
type Publisher struct {
	conn   *Conn
	prefix string
	// Headers are put on a message beside JetStream's own; nil: none.
	Headers func(context.Context) map[string]string
}

// Publisher queues files under prefix.
func (c *Conn) Publisher(prefix string) *Publisher { return &Publisher{conn: c, prefix: prefix} }

// Publish makes m durable in its lane, or finds that the file already waits or
// is in flight in either lane: then queued is false.
//
// Three things refuse a second message: the expectation that no message of the
// file exists in any lane, the stream's own limit of one per subject, and, for
// two minutes, the Msg-Id. The first two last as long as the message does. An
// answer that got lost is asked for again under the same Msg-Id, so that a
// message that was stored is found and not stored twice.
func (p *Publisher) Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (queued bool, err error) {
	data, err := m.Encode()
	if err != nil {
		return false, err
	}
	msg := natsgo.NewMsg(messages.Subject(p.prefix, lane, m.Route, m.Object.Name))
	msg.Data = data
	if p.Headers != nil {
		for name, value := range p.Headers(ctx) {
			msg.Header.Set(name, value)
		}
	}
	anyLane := messages.AnyLane(p.prefix, m.Route, m.Object.Name)
	ack, err := p.conn.publish(ctx, "queue "+m.Object.Name, msg,
		jetstream.WithMsgID(m.MsgID()), jetstream.WithExpectLastSequenceForSubject(0, anyLane))
	if alreadyThere(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !ack.Duplicate, nil
}

func alreadyThere(err error) bool {
	return storeFailure(err) == perSubject || isWrongSequence(err)
}

// storeFailure is why a stream did not take a message; empty where it was not asked.
func storeFailure(err error) string {
	if e, ok := errors.AsType[*jetstream.APIError](err); ok && e.ErrorCode == codeStoreFailed {
		return e.Description
	}
	return ""
}

// isWrongSequence reports a lost race on the last sequence of a subject. A
// replicated stream has a code of its own for it.
func isWrongSequence(err error) bool {
	switch apiCode(err) {
	case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
		return true
	}
	return errors.Is(err, jetstream.ErrKeyExists) || errors.Is(err, jetstream.ErrKeyRevisionMismatch)
}

// publish stores msg and waits for the answer, several times if none comes.
func (c *Conn) publish(ctx context.Context, op string, msg *natsgo.Msg, opts ...jetstream.PublishOpt) (ack *jetstream.PubAck, err error) {
	for range publishTries {
		err = c.call(ctx, op, func(ctx context.Context) (err error) {
			ack, err = c.js.PublishMsg(ctx, msg, opts...)
			return err
		})
		if err == nil || ctx.Err() != nil || !isSilence(err) || errors.Is(err, natsgo.ErrPermissionViolation) {
			break
		}
	}
	if apiCode(err) == jetstream.JSErrCodeStreamMessageExceedsMaximum {
		return nil, &messages.Fault{Class: messages.Refused, Op: op, Err: err}
	}
	if f, ok := errors.AsType[*messages.Fault](err); ok && storeFailure(err) != "" {
		f.Remedy = "the stream takes no message: see whether its limits or the disk of the NATS server are full"
	}
	return ack, err
}
