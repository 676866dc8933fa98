package nats

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// A Ledger is the bucket as one route sees it.
type Ledger struct {
	conn *Conn
	kv   jetstream.KeyValue
	// bucket and route are names.
	bucket, route string
	prefix        string // of the subjects
	markerTTL     time.Duration
}

// Ledger binds the bucket, which must exist.
func (c *Conn) Ledger(ctx context.Context, b messages.Bucket, route string) (*Ledger, error) {
	l := &Ledger{conn: c, bucket: b.Name, route: route, prefix: "$KV." + b.Name + ".", markerTTL: b.MarkerTTL}
	err := c.call(ctx, "open the ledger", func(ctx context.Context) (err error) {
		l.kv, err = c.js.KeyValue(ctx, b.Name)
		return err
	})
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, &messages.Fault{
			Class: messages.Queue, Op: "open the ledger", Err: err, Remedy: "run `oracle-focus-agent setup`",
		}
	}
	return l, err
}

// Read returns the value and its revision, or nil and 0 where there is none. In
// a cluster any replica answers, so it may be older than the newest write.
func (l *Ledger) Read(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	err = l.conn.call(ctx, "read "+key, func(ctx context.Context) error {
		entry, err := l.kv.Get(ctx, key)
		if err == nil {
			value, revision = entry.Value(), entry.Revision()
		}
		return err
	})
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	return value, revision, err
}

// Write replaces the value of the given revision, where 0 means that there must
// be none, and returns the new revision. A nil value erases, with its history,
// and returns 0. Conflict means that nothing was changed; after any other error
// the write may have been applied. After nil the write is on the disk, or, in a
// cluster, on the disks of a majority.
func (l *Ledger) Write(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	op := "write " + key
	err = l.conn.call(ctx, op, func(ctx context.Context) (err error) {
		switch {
		case value == nil:
			err = l.erase(ctx, key, revision)
		case revision == 0:
			next, err = l.kv.Create(ctx, key, value)
		default:
			next, err = l.kv.Update(ctx, key, value, revision)
		}
		return err
	})
	switch {
	case err == nil:
		return next, nil
	case isWrongSequence(err):
		return 0, &messages.Fault{Class: messages.Conflict, Op: op, Err: err}
	case apiCode(err) == jetstream.JSErrCodeStreamMessageExceedsMaximum:
		return 0, &messages.Fault{Class: messages.Refused, Op: op, Err: err}
	}
	return 0, err
}

// codeTTLDisabled is the server's refusal of a marker that ends by itself.
const codeTTLDisabled jetstream.ErrorCode = 10166

func (l *Ledger) erase(ctx context.Context, key string, revision uint64) error {
	if revision > 0 {
		err := l.kv.Purge(ctx, key, jetstream.LastRevision(revision), jetstream.PurgeTTL(l.markerTTL))
		if apiCode(err) == codeTTLDisabled { // a bucket of before, that nobody has upgraded: the marker stays
			err = l.kv.Purge(ctx, key, jetstream.LastRevision(revision))
		}
		return err
	}
	// Erasing what must not be there: the library would take revision 0 for
	// "whatever the revision".
	_, err := l.kv.Get(ctx, key)
	switch {
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return nil
	case err == nil:
		return fmt.Errorf("erase: %w", jetstream.ErrKeyExists)
	}
	return err
}
