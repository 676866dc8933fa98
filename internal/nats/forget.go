package nats

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"oracle-focus-agent/messages"
)

// Forget implements scanner.Forgetter: it erases the record under key if it is
// still r.
func (l *Ledger) Forget(ctx context.Context, key string, r messages.Record) (erased bool, err error) {
	raw, revision, err := l.Read(ctx, key)
	if err != nil || raw == nil {
		return false, err
	}
	now, err := messages.DecodeRecord(raw)
	if err != nil || !equal(now, r) {
		return false, err
	}
	_, err = l.Write(ctx, key, nil, revision)
	if errors.Is(err, messages.Conflict) {
		return false, nil
	}
	return err == nil, err
}

func equal(a, b messages.Record) bool {
	x, errA := a.Encode()
	y, errB := b.Encode()
	return errA == nil && errB == nil && bytes.Equal(x, y)
}

// A Raw is one value of the ledger, as it stands there.
type Raw struct {
	Key   string
	Value []byte
}

// Raw returns the values of the route with keys after the given one, in the order
// of their keys, at most limit of them, and the last key that it looked at; that
// is empty where nothing is left. Each value is whole; together they are of no one
// moment, which does no harm: each record stands for itself. Leases are left out.
func (l *Ledger) Raw(ctx context.Context, after string, limit int) (values []Raw, last string, err error) {
	keys, err := l.allKeys(ctx)
	if err != nil {
		return nil, "", err
	}
	i, found := slices.BinarySearch(keys, after)
	if found {
		i++
	}
	keys = keys[i:min(len(keys), i+limit)]
	for chunk := range chunks(keys) {
		rows, err := l.values(ctx, chunk)
		if err != nil {
			return nil, "", err
		}
		for _, r := range rows {
			if last = r.key; !r.erased {
				values = append(values, Raw{r.key, r.value})
			}
		}
	}
	return values, last, nil
}

func (l *Ledger) allKeys(ctx context.Context) (all []string, err error) {
	for {
		keys, total, err := l.keys(ctx, l.route+".>", len(all))
		if err != nil {
			return nil, err
		}
		if all = append(all, keys...); len(all) >= total || len(keys) == 0 {
			all = slices.DeleteFunc(all, l.isLease)
			slices.Sort(all)
			return all, nil
		}
	}
}

// Remade reports whether the ledger was made after the consumers that belong to
// it. Setup makes it first, so then there was another one before, which is lost. It
// tells nothing of an embedded server, whose consumers are made at each start.
func (c *Conn) Remade(ctx context.Context, a messages.Assets) (remade bool, err error) {
	err = c.call(ctx, "look up the age of the ledger", func(ctx context.Context) error {
		bucket, err := c.js.Stream(ctx, "KV_"+a.State.Name)
		if err != nil {
			return err
		}
		consumer, err := c.js.Consumer(ctx, a.Live.Stream, a.Live.Name)
		if err != nil {
			return err
		}
		remade = bucket.CachedInfo().Created.After(consumer.CachedInfo().Created)
		return nil
	})
	return remade, err
}
