package nats

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

const (
	// rowsPerRequest and bytesPerRequest bound a request for values: the server
	// answers at most 1024, and takes at most 1 MiB.
	rowsPerRequest  = 500
	bytesPerRequest = 512 << 10
	rowTries        = 3
)

// A row is the last entry of one key.
type row struct {
	key      string
	value    []byte
	revision uint64
	erased   bool
}

// rows yields the last entry of each key that matches filter, erased ones too,
// in the order of the keys; or it yields an error and ends.
//
// It first asks which keys there are and then for the values of exactly these,
// so that a key without an answer is an error. A watch would be simpler, but it
// cannot tell a part from the whole: what it counts as pending is wrong while
// records are written, and after a reconnect old revisions count as new keys.
func (l *Ledger) rows(ctx context.Context, filter string) iter.Seq2[row, error] {
	return func(yield func(row, error) bool) {
		for offset := 0; ; {
			keys, total, err := l.keys(ctx, filter, offset)
			if err != nil {
				yield(row{}, err)
				return
			}
			for chunk := range chunks(keys) {
				rows, err := l.values(ctx, chunk)
				if err != nil {
					yield(row{}, err)
					return
				}
				for _, r := range rows {
					if !yield(r, nil) {
						return
					}
				}
			}
			if offset += len(keys); offset >= total || len(keys) == 0 {
				return
			}
		}
	}
}

// keys returns the matching keys from offset on, in order, as many as the server
// lists at a time, and how many match in all.
func (l *Ledger) keys(ctx context.Context, filter string, offset int) (keys []string, total int, err error) {
	var answer struct {
		Error *jetstream.APIError `json:"error"`
		Total int                 `json:"total"`
		State struct {
			Subjects names `json:"subjects"`
		} `json:"state"`
	}
	err = l.conn.call(ctx, "list "+filter, func(ctx context.Context) error {
		request := fmt.Appendf(nil, `{"subjects_filter":%q,"offset":%d}`, l.subject(filter), offset)
		msg, err := l.conn.nc.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+l.stream(), request)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(msg.Data, &answer); err != nil {
			return err
		}
		if answer.Error != nil {
			return answer.Error
		}
		return nil
	})
	keys = answer.State.Subjects
	for i, subject := range keys {
		keys[i] = l.key(subject)
	}
	slices.Sort(keys)
	return keys, answer.Total, err
}

// names are those of a JSON object whose values are numbers.
type names []string

// UnmarshalJSON takes valid JSON, as encoding/json promises. What is not as plain as a list
// of subjects is, it leaves to the general decoder, which would make a map of a million.
func (n *names) UnmarshalJSON(b []byte) error {
	if plain, ok := plainNames(b); ok {
		*n = plain
		return nil
	}
	var all map[string]uint64
	err := json.Unmarshal(b, &all)
	*n = slices.Collect(maps.Keys(all))
	return err
}

// plainNames reads {"name":1,"name":2} with neither spaces nor escapes in it.
func plainNames(b []byte) (names, bool) {
	if len(b) < len(`{"":1}`) || b[0] != '{' || bytes.IndexByte(b, '\\') >= 0 {
		return nil, false
	}
	all := make(names, 0, bytes.Count(b, []byte(`,`))+1)
	for part := range bytes.SplitSeq(b[1:len(b)-1], []byte(`,`)) {
		name, number, ok := bytes.Cut(bytes.TrimPrefix(part, []byte(`"`)), []byte(`":`))
		if !ok || part[0] != '"' || bytes.IndexByte(name, '"') >= 0 || len(number) > 19 || len(bytes.Trim(number, "0123456789")) > 0 {
			return nil, false
		}
		all = append(all, string(name))
	}
	return all, true
}

// values returns the last entries of keys, all of them, in their order. A
// replica that lags may lack some: another one is asked then.
func (l *Ledger) values(ctx context.Context, keys []string) (rows []row, err error) {
	for range rowTries {
		rows, err = l.request(ctx, keys)
		if err == nil || !pause(ctx, 100*time.Millisecond) {
			break
		}
	}
	return rows, l.conn.fault(ctx, "read "+strconv.Itoa(len(keys))+" records from "+keys[0], err)
}

func (l *Ledger) request(ctx context.Context, keys []string) ([]row, error) {
	if err := l.conn.connected(); err != nil {
		return nil, err
	}
	subjects := make([]string, len(keys))
	for i, k := range keys {
		subjects[i] = l.subject(k)
	}
	request, err := json.Marshal(map[string]any{"multi_last": subjects, "batch": len(keys)})
	if err != nil {
		return nil, err // unreachable
	}
	nc, lost := l.conn.nc, l.conn.next(&l.conn.lost)
	inbox := make(chan *natsgo.Msg, len(keys)+8)
	sub, err := nc.ChanSubscribe(nc.NewInbox(), inbox)
	if err != nil {
		return nil, err
	}
	defer sub.Unsubscribe()
	if err := nc.PublishRequest("$JS.API.DIRECT.GET."+l.stream(), sub.Subject, request); err != nil {
		return nil, err
	}
	return l.collect(ctx, inbox, lost, keys)
}

// collect reads the answers up to the mark of the end, and checks that none is missing.
func (l *Ledger) collect(ctx context.Context, inbox <-chan *natsgo.Msg, lost <-chan struct{}, keys []string) ([]row, error) {
	place := make(map[string]int, len(keys)) // of the keys without an answer
	for i, k := range keys {
		place[k] = i
	}
	rows := make([]row, len(keys))
	for {
		msg, err := soon(ctx, inbox, lost)
		if err != nil {
			return nil, err
		}
		if isStatus(msg) {
			if code := msg.Header.Get("Status"); code != "204" {
				return nil, fmt.Errorf("the server answered %s %q", code, msg.Header.Get("Description"))
			}
			break
		}
		r, err := l.row(msg)
		if err != nil {
			return nil, err
		}
		if i, ok := place[r.key]; ok {
			rows[i] = r
			delete(place, r.key)
		}
	}
	for _, k := range keys {
		if _, missing := place[k]; missing {
			return nil, fmt.Errorf("%s was listed, but has no value (yet) on the replica that answered", k)
		}
	}
	return rows, nil
}

// soon is receive, without a timer where a message is there already.
func soon(ctx context.Context, inbox <-chan *natsgo.Msg, lost <-chan struct{}) (*natsgo.Msg, error) {
	select {
	case msg := <-inbox:
		return msg, nil
	default:
		return receive(ctx, inbox, callTimeout, lost)
	}
}

func (l *Ledger) row(msg *natsgo.Msg) (row, error) {
	h := msg.Header
	revision, err := strconv.ParseUint(h.Get("Nats-Sequence"), 10, 64)
	if err != nil || h.Get("Nats-Subject") == "" {
		return row{}, errors.New("the server answered a record without subject or sequence")
	}
	return row{
		key:   l.key(h.Get("Nats-Subject")),
		value: msg.Data, revision: revision,
		// DEL, PURGE, or the server's own marker of a limit.
		erased: h.Get("KV-Operation") != "" || h.Get("Nats-Marker-Reason") != "",
	}, nil
}

func (l *Ledger) stream() string            { return "KV_" + l.bucket }
func (l *Ledger) subject(key string) string { return l.prefix + key }
func (l *Ledger) key(subject string) string { return strings.TrimPrefix(subject, l.prefix) }

// chunks cuts keys into what one request can hold.
func chunks(keys []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		for len(keys) > 0 {
			n, size := 0, 0
			for n < len(keys) && n < rowsPerRequest && size < bytesPerRequest {
				size += len(keys[n])
				n++
			}
			if !yield(keys[:n]) {
				return
			}
			keys = keys[n:]
		}
	}
}

// entry reads a row; ok is false for a key that is no record's.
func (r row) entry(reader *recordReader) (e Entry, ok bool) {
	_, day, basename, ok := messages.ParseRecordKey(r.key)
	if !ok {
		return Entry{}, false
	}
	e = Entry{Key: r.key, Day: day, Basename: basename, Revision: r.revision, Erased: r.erased}
	if r.erased {
		return e, true
	}
	rec, err := reader.read(r.value)
	if err != nil {
		e.Err = fmt.Errorf("read %s: %w", r.key, err)
		return e, true
	}
	e.Record = rec
	return e, true
}
