package nats

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"

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
// part of them. A record that nobody can read is as good as none; one of a newer
// version is an error.
func (l *Ledger) Day(ctx context.Context, day messages.Day) (map[string]messages.Record, error) {
	prefix := messages.DayPrefix(l.route, day) + "."
	out, reader := map[string]messages.Record{}, newRecordReader()
	for r, err := range l.rows(ctx, prefix+"*") {
		if err != nil {
			return nil, err
		}
		basename, err := messages.DecodeToken(strings.TrimPrefix(r.key, prefix))
		if err != nil || r.erased { // a key that is no record's
			continue
		}
		rec, err := reader.read(r.value)
		switch {
		case errors.Is(err, messages.Refused): // the ledger is a cache: what cannot be read is not there
			l.conn.log.Error("a ledger record cannot be read; its file is looked at again", "key", r.key, "err", err)
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", r.key, err)
		default:
			out[basename] = rec
		}
	}
	return out, nil
}

// Records yields all records of the route, by day and name. A record that cannot
// be read is yielded with its key and its error, and the iteration goes on; any
// other error has an empty key and ends it.
func (l *Ledger) Records(ctx context.Context) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		reader := newRecordReader()
		for r, err := range l.rows(ctx, l.route+".*.*.*.*") {
			if err != nil {
				yield(Entry{}, err)
				return
			}
			e, ok := r.entry(reader)
			if !ok || e.Erased {
				continue
			}
			if !yield(e, e.Err) {
				return
			}
		}
	}
}

// Named returns the records of all files of a file name, of whatever day.
func (l *Ledger) Named(ctx context.Context, basename string) (all []Entry, err error) {
	reader := newRecordReader()
	for r, err := range l.rows(ctx, l.route+".*.*.*."+messages.EncodeToken(basename)) {
		if err != nil {
			return nil, err
		}
		e, ok := r.entry(reader)
		if !ok || e.Erased {
			continue
		}
		if e.Err != nil {
			return nil, e.Err
		}
		all = append(all, e)
	}
	return all, nil
}

// An OpenUpload is the ledger's note of a multipart upload in progress.
type OpenUpload struct {
	Key      string
	Name     string // of the source object
	Upload   messages.Upload
	Revision uint64
}

// Uploads lists the multipart uploads that were begun and neither completed nor
// aborted. A note that nobody can read is passed over, as copiers do.
func (l *Ledger) Uploads(ctx context.Context) ([]OpenUpload, error) {
	prefix := messages.UploadKey(l.route, "")
	prefix = prefix[:len(prefix)-1] // the empty name is written "="
	var out []OpenUpload
	for r, err := range l.rows(ctx, prefix+"*") {
		if err != nil {
			return nil, err
		}
		if r.erased {
			continue
		}
		u := OpenUpload{Key: r.key, Revision: r.revision}
		if u.Name, err = messages.DecodeToken(r.key[len(prefix):]); err != nil {
			return nil, fmt.Errorf("read %s: %w", r.key, err)
		}
		u.Upload, err = messages.DecodeUpload(r.value)
		if errors.Is(err, messages.Refused) {
			l.conn.log.Error("the note of a multipart upload cannot be read", "key", r.key, "err", err)
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", r.key, err)
		}
		out = append(out, u)
	}
	return out, nil
}
