package nats

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// An Entry is one record of the ledger.
type Entry struct {
	Key      string
	Day      messages.Day
	Basename string
	Record   messages.Record
	Revision uint64
	// Erased: there is no record any more. Only Watch tells.
	Erased bool
	// Err says why the value could not be read; Record is then empty.
	Err error
}

// Day returns the records of one report day by file name, or an error: never a
// part of them.
func (l *Ledger) Day(ctx context.Context, day messages.Day) (map[string]messages.Record, error) {
	out := map[string]messages.Record{}
	for e, err := range l.load(ctx, messages.DayPrefix(l.route, day)+".*") {
		if err != nil {
			return nil, err
		}
		rec, ok := record(e)
		switch {
		case !ok:
			continue
		case rec.Err != nil:
			return nil, rec.Err
		case rec.Erased:
			delete(out, rec.Basename)
		default:
			out[rec.Basename] = rec.Record
		}
	}
	return out, nil
}

// Records yields all records of the route, oldest write first. One that is
// written meanwhile may come twice, the newer one later. A record that cannot be
// read is yielded with its key and its error, and the iteration goes on; any
// other error has an empty key and ends it.
func (l *Ledger) Records(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for e, err := range l.load(ctx, l.route+".*.*.*.*") {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			rec, ok := record(e)
			if !ok || rec.Erased {
				continue
			}
			if !yield(rec, rec.Err) {
				return
			}
		}
	}
}

// An OpenUpload is the ledger's note of a multipart upload in progress.
type OpenUpload struct {
	Key      string
	Name     string // of the source object
	Upload   messages.Upload
	Revision uint64
}

// Uploads lists the multipart uploads that were begun and neither completed nor aborted.
func (l *Ledger) Uploads(ctx context.Context) ([]OpenUpload, error) {
	prefix := l.route + ".upload."
	found := map[string]OpenUpload{}
	for e, err := range l.load(ctx, prefix+"*") {
		if err != nil {
			return nil, err
		}
		if e.Operation() != jetstream.KeyValuePut {
			delete(found, e.Key())
			continue
		}
		u := OpenUpload{Key: e.Key(), Revision: e.Revision()}
		if u.Name, err = messages.DecodeToken(e.Key()[len(prefix):]); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Key(), err)
		}
		if u.Upload, err = messages.DecodeUpload(e.Value()); err != nil {
			return nil, fmt.Errorf("read %s: %w", e.Key(), err)
		}
		found[e.Key()] = u
	}
	return inOrder(found), nil
}

// record reads an entry of the bucket; ok is false for a key that is no record's.
func record(e jetstream.KeyValueEntry) (out Entry, ok bool) {
	_, day, basename, ok := messages.ParseRecordKey(e.Key())
	if !ok {
		return Entry{}, false
	}
	out = Entry{Key: e.Key(), Day: day, Basename: basename, Revision: e.Revision()}
	if e.Operation() != jetstream.KeyValuePut {
		out.Erased = true
		return out, true
	}
	var err error
	if out.Record, err = messages.DecodeRecord(e.Value()); err != nil {
		out.Record, out.Err = messages.Record{}, fmt.Errorf("read %s: %w", e.Key(), err)
	}
	return out, true
}

// load yields the last entry of each key that matches, erased ones too, and then
// ends; or it yields an error and ends.
//
// It is complete when the server said that nothing follows the last entry. The
// watch's own mark of completeness counts messages instead, and after a
// reconnect, when older revisions come again, it would stand before the end.
func (l *Ledger) load(ctx context.Context, keys string) iter.Seq2[jetstream.KeyValueEntry, error] {
	return func(yield func(jetstream.KeyValueEntry, error) bool) {
		watch, stop, err := l.watch(ctx, keys)
		if err != nil {
			yield(nil, err)
			return
		}
		defer stop()
		some := false
		for {
			e, err := next(ctx, watch)
			switch {
			case err != nil:
				yield(nil, l.conn.fault(ctx, "read "+keys, err))
				return
			case e == nil && some:
				continue
			case e == nil:
				return
			}
			some = true
			if !yield(e, nil) || e.Delta() == 0 {
				return
			}
		}
	}
}

// next waits for an entry; nil is the mark after the initial values.
func next(ctx context.Context, w jetstream.KeyWatcher) (jetstream.KeyValueEntry, error) {
	timer := time.NewTimer(callTimeout)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
		return nil, fmt.Errorf("nothing came for %v before the end", callTimeout)
	case e, ok := <-w.Updates():
		if !ok {
			return nil, errWatchEnded
		}
		return e, nil
	}
}
