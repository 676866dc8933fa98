package nats

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// forgottenAfter is after how many of its lives the note of an ended lease is removed.
const forgottenAfter = 100

// A Lease says that a worker is at work, so that the workers of a route can share what
// they may do together.
//
// It is one value of the ledger that its worker writes again and again, and lasts as long
// as the server last wrote it less than its life ago. Both times are the server's, so
// that no clock of a worker counts. A crash leaves it to end by itself.
type Lease struct {
	ledger      *Ledger
	worker, key string
	life        time.Duration
}

// Lease is that of a worker.
func (l *Ledger) Lease(worker string, life time.Duration) *Lease {
	return &Lease{l, worker, messages.LimitKey(l.route, worker), life}
}

// Hold renews the lease, and returns how many workers of the route have one, this
// included.
func (s *Lease) Hold(ctx context.Context) (workers int, err error) {
	value, err := json.Marshal(s.worker)
	if err != nil {
		return 0, err
	}
	if err := s.ledger.conn.call(ctx, "write "+s.key, func(ctx context.Context) error {
		_, err := s.ledger.kv.Put(ctx, s.key, value)
		return err
	}); err != nil {
		return 0, err
	}
	all, err := s.noted(ctx)
	if err != nil {
		return 0, err
	}
	var now time.Time // at the server, as far as it told
	for _, e := range all {
		if e.Created().After(now) {
			now = e.Created()
		}
	}
	workers = 1
	for _, e := range all {
		switch age := now.Sub(e.Created()); {
		case e.Key() == s.key:
		case age < s.life:
			workers++
		case age > forgottenAfter*s.life:
			_, _ = s.ledger.Write(ctx, e.Key(), nil, e.Revision()) // or somebody else does it
		}
	}
	return workers, nil
}

// Release ends the lease.
func (s *Lease) Release(ctx context.Context) error {
	_, revision, err := s.ledger.Read(ctx, s.key)
	if err == nil && revision > 0 {
		_, err = s.ledger.Write(ctx, s.key, nil, revision)
	}
	return err
}

// noted returns the leases of the route, also those that have ended.
func (s *Lease) noted(ctx context.Context) (all []jetstream.KeyValueEntry, err error) {
	for offset := 0; ; {
		keys, total, err := s.ledger.keys(ctx, messages.LimitPrefix(s.ledger.route)+".*", offset)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			var e jetstream.KeyValueEntry
			err := s.ledger.conn.call(ctx, "read "+key, func(ctx context.Context) (err error) {
				e, err = s.ledger.kv.Get(ctx, key)
				return err
			})
			switch {
			case errors.Is(err, jetstream.ErrKeyNotFound): // released
			case err != nil:
				return nil, err
			default:
				all = append(all, e)
			}
		}
		if offset += len(keys); offset >= total || len(keys) == 0 {
			return all, nil
		}
	}
}

// isLease reports whether a key of the route is that of a lease, which says nothing that
// anybody would want back.
func (l *Ledger) isLease(key string) bool {
	return strings.HasPrefix(key, messages.LimitPrefix(l.route)+".")
}
