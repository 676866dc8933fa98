package nats

import (
	"context"
	"errors"
	"strings"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// DeadLetters keeps the history of files that were given up.
type DeadLetters struct {
	conn   *Conn
	prefix string
}

// DeadLetters files dead letters under prefix.
func (c *Conn) DeadLetters(prefix string) *DeadLetters { return &DeadLetters{c, prefix} }

// Bury is durable after nil. A repeat replaces the letter of the same file.
func (l *DeadLetters) Bury(ctx context.Context, d messages.DeadLetter) error {
	data, err := d.Encode()
	if err != nil {
		return err
	}
	msg := natsgo.NewMsg(deadSubject(l.prefix, d))
	msg.Data = data
	_, err = l.conn.publish(ctx, "bury "+msg.Subject, msg)
	return err
}

// Letter returns the last dead letter of a file; nil where there is none.
func (l *DeadLetters) Letter(ctx context.Context, stream, route, name string) (*messages.DeadLetter, error) {
	var raw []byte
	subject := messages.DeadSubject(l.prefix, route, name)
	err := l.conn.call(ctx, "read "+subject, func(ctx context.Context) error {
		s, err := l.conn.js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		msg, err := s.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err == nil {
			raw = msg.Data
		}
		return err
	})
	if err != nil || raw == nil {
		return nil, err
	}
	d, err := messages.DecodeDeadLetter(raw)
	return &d, err
}

// deadSubject is where the letter stands. What the message does not tell is
// taken from the subject that it came by: <prefix>.files.<lane>.<route>.<name>.
func deadSubject(prefix string, d messages.DeadLetter) string {
	tokens := strings.Split(d.Subject, ".")
	route, name := d.Route, d.Name
	if len(tokens) == 5 {
		if name == "" {
			name = decodeOr(tokens[4])
		}
		if route == "" {
			route = tokens[3]
		}
	}
	if messages.CheckName("route", route) != nil {
		route = "unknown"
	}
	return messages.DeadSubject(prefix, route, name)
}

func decodeOr(token string) string {
	if name, err := messages.DecodeToken(token); err == nil {
		return name
	}
	return token
}
