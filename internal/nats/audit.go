package nats

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// auditKept is how long an action stays on record: as long as the dead letters.
const auditKept = 400 * 24 * time.Hour

// Audit writes down an action under a key of its own, which nothing overwrites. It is
// on the disk when Audit returns nil. unique keeps two actions of one moment apart.
func (l *Ledger) Audit(ctx context.Context, a messages.Action, unique string) error {
	raw, err := a.Encode()
	if err != nil {
		return err
	}
	key := messages.AuditKey(l.route, a.At, unique)
	return l.conn.call(ctx, "write "+key, func(ctx context.Context) error {
		_, err := l.kv.Create(ctx, key, raw, jetstream.KeyTTL(auditKept))
		if apiCode(err) == codeTTLDisabled { // a bucket of before, that nobody has upgraded: the record stays
			_, err = l.kv.Create(ctx, key, raw)
		}
		return err
	})
}

// Actions are the audit trail of the route, oldest first. unreadable counts records that
// nobody can read any more; one of a newer version is an error.
func (l *Ledger) Actions(ctx context.Context) (all []messages.Action, unreadable int, err error) {
	for r, err := range l.rows(ctx, messages.AuditPrefix(l.route)+".*") {
		if err != nil {
			return nil, 0, err
		}
		if r.erased {
			continue
		}
		a, err := messages.DecodeAction(r.value)
		switch {
		case errors.Is(err, messages.Refused):
			unreadable++
		case err != nil:
			return nil, 0, err
		default:
			all = append(all, a)
		}
	}
	return all, unreadable, nil
}
