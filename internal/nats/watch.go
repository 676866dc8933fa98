package nats

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

var (
	errWatchEnded = errors.New("it ended early")
	// errRenewed: the server that comes back after a restart knows nothing of a
	// watch, and the library notices that only by the heartbeats that are missing.
	errRenewed = errors.New("the connection was re-established")
)

// Watch calls f with each record of the route as it is written or erased, and
// first, where initial is true, with all that stand. It returns nil when ctx
// ends. After a reconnect nothing is missed, but entries may come again. f is
// called by one goroutine at a time.
func (l *Ledger) Watch(ctx context.Context, initial bool, f func(Entry)) error {
	if initial {
		return l.keepWatching(ctx, f, func() {})
	}
	return l.keepWatching(ctx, f, func() {}, jetstream.UpdatesOnly())
}

// Mirror is Watch with all that stand, and calls stands whenever f was called with all of
// that: at the begin, and after a reconnect.
func (l *Ledger) Mirror(ctx context.Context, f func(Entry), stands func()) error {
	return l.keepWatching(ctx, f, stands)
}

func (l *Ledger) keepWatching(ctx context.Context, f func(Entry), stands func(), opts ...jetstream.WatchOpt) error {
	for ctx.Err() == nil {
		err := l.follow(ctx, f, stands, opts...)
		if ctx.Err() != nil {
			return nil
		}
		opts = nil // what was written meanwhile is among what stands
		if errors.Is(err, errRenewed) {
			continue
		}
		l.conn.log.Warn("watching the ledger failed, beginning again", "err", err)
		pause(ctx, time.Second/2+rand.N(time.Second))
	}
	return nil
}

func (l *Ledger) follow(ctx context.Context, f func(Entry), stands func(), opts ...jetstream.WatchOpt) error {
	renewed := l.conn.next(&l.conn.renewed)
	watch, stop, err := l.watch(ctx, l.route+".*.*.*.*", opts...)
	if err != nil {
		return err
	}
	defer stop()
	reader := newRecordReader()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-renewed:
			return errRenewed
		case e, ok := <-watch.Updates():
			if !ok {
				return errWatchEnded
			}
			if e == nil { // the library's sign
				stands()
				continue
			}
			r := row{e.Key(), e.Value(), e.Revision(), e.Operation() != jetstream.KeyValuePut}
			if rec, ok := r.entry(reader); ok {
				f(rec)
			}
		}
	}
}

// watch begins a watch that lives until stop or the end of ctx. stop returns
// when the watch is over: its callback waits for a reader while it holds a lock.
func (l *Ledger) watch(ctx context.Context, keys string, opts ...jetstream.WatchOpt) (w jetstream.KeyWatcher, stop func(), err error) {
	ctx, cancel := context.WithCancel(ctx)
	w, err = l.kv.Watch(ctx, keys, opts...)
	if err != nil {
		cancel()
		return nil, nil, l.conn.fault(ctx, "watch "+keys, err)
	}
	return w, func() {
		cancel()
		_ = w.Stop()
		for range w.Updates() {
		}
	}, nil
}
