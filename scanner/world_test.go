package scanner_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	prefix = "FOCUS Reports/"
	route  = "main"
)

var errFault = &messages.Fault{Class: messages.Unavailable, Op: "fault", Err: errors.New("injected")}

// A world is the source, the ledger, the marks and the queue of one route, as
// their contracts promise them, with faults where a test asks for them.
type world struct {
	tb interface {
		Errorf(string, ...any)
		Helper()
	}
	// turn is asked before every port call: what happens to it.
	turn func(op string) verdict

	mu       sync.Mutex
	objects  map[string]messages.Object
	records  map[string]messages.Record // by record key
	queue    map[string]waiting         // by object name: in either lane
	marks    []byte
	revision uint64
	calls    []string
	// backfills may write marks before the first scan.
	backfills bool
}

type waiting struct {
	lane    messages.Lane
	message messages.FileDiscovered
}

// A verdict on a port call: its effect and its answer.
type verdict int

const (
	works      verdict = iota
	failsClean         // an error, and nothing was done
	failsDirty         // an error, although it was done
)

func newWorld(tb testing.TB) *world {
	return &world{tb: tb, turn: func(string) verdict { return works }, objects: map[string]messages.Object{}, records: map[string]messages.Record{}, queue: map[string]waiting{}}
}

// fail makes the n-th call (from 1) of op fail.
func (w *world) fail(op string, n int, v verdict) {
	var seen atomic.Int64
	w.turn = func(o string) verdict {
		if o == op && seen.Add(1) == int64(n) {
			return v
		}
		return works
	}
}

func (w *world) begin(op string) verdict {
	v := w.turn(op) // outside the lock: it may wait
	w.mu.Lock()
	w.calls = append(w.calls, op)
	return v
}

func name(d messages.Day, base string) string { return prefix + d.Folder() + base + ".csv.gz" }

func object(d messages.Day, base, etag string) messages.Object {
	return messages.Object{Name: name(d, base), ETag: etag, Size: 100}
}

func (w *world) add(objects ...messages.Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range objects {
		w.objects[o.Name] = o
	}
}

func (w *world) put(r messages.Record) {
	report, err := rules(w.tb).Report(r.Object)
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	w.records[messages.RecordKey(route, report)] = r
}

func (w *world) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		v := w.begin("list")
		var names []string
		for n := range w.objects {
			if n >= from && strings.HasPrefix(n, prefix) {
				names = append(names, n)
			}
		}
		w.mu.Unlock()
		slices.Sort(names)
		if v != works {
			yield(messages.Object{}, errFault)
			return
		}
		for i, n := range names {
			if i%2 == 0 && i > 0 { // pages of two
				v := w.begin("page")
				w.mu.Unlock()
				if v != works {
					yield(messages.Object{}, errFault)
					return
				}
			}
			w.mu.Lock()
			o := w.objects[n]
			w.mu.Unlock()
			if err := ctx.Err(); err != nil {
				yield(messages.Object{}, err)
				return
			}
			if !yield(o, nil) {
				return
			}
		}
	}
}

func (w *world) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	v := w.begin("day")
	defer w.mu.Unlock()
	if !d.Valid() {
		w.tb.Errorf("the ledger was asked for the day %q", d)
	}
	if v != works {
		return nil, errFault
	}
	out := map[string]messages.Record{}
	for k, r := range w.records {
		if _, day, base, ok := messages.ParseRecordKey(k); ok && day == d {
			out[base] = r
		}
	}
	return out, nil
}

func (w *world) Read(_ context.Context, key string) ([]byte, uint64, error) {
	v := w.begin("read")
	defer w.mu.Unlock()
	if _, _, _, ok := messages.ParseRecordKey(key); !ok && key != messages.MarksKey(route) {
		w.tb.Errorf("the marks were read at %q", key)
	} else if ok {
		return w.readRecord(key, v)
	}
	if v != works {
		return nil, 0, errFault
	}
	return slices.Clone(w.marks), w.revision, nil
}

func (w *world) Write(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	_, _, _, order := messages.ParseRecordKey(key)
	if order {
		v := w.begin("order")
		defer w.mu.Unlock()
		return w.writeRecord(key, value, revision, v)
	}
	v := w.begin("write")
	defer w.mu.Unlock()
	if key != messages.MarksKey(route) {
		w.tb.Errorf("the marks were written at %q", key)
	}
	if v == failsClean {
		return 0, errFault
	}
	if revision != w.revision {
		return 0, fmt.Errorf("write: %w", messages.Conflict)
	}
	w.checkMarks(value)
	w.marks, w.revision = slices.Clone(value), w.revision+1
	if v == failsDirty {
		return 0, errFault
	}
	return w.revision, nil
}

// readRecord and writeRecord are the ledger as those see it who order a repeat; the
// revision of a record is its generation and one.
func (w *world) readRecord(key string, v verdict) ([]byte, uint64, error) {
	if v != works {
		return nil, 0, errFault
	}
	r, ok := w.records[key]
	if !ok {
		return nil, 0, nil
	}
	raw, err := r.Encode()
	return raw, uint64(r.Generation) + 1, err
}

func (w *world) writeRecord(key string, value []byte, revision uint64, v verdict) (uint64, error) {
	if v == failsClean {
		return 0, errFault
	}
	had, ok := w.records[key]
	if ok && uint64(had.Generation)+1 != revision || !ok && revision != 0 {
		return 0, fmt.Errorf("write: %w", messages.Conflict)
	}
	r, err := messages.DecodeRecord(value)
	if err != nil {
		w.tb.Errorf("the record cannot be read: %v", err)
	}
	w.records[key] = r
	if v == failsDirty {
		return 0, errFault
	}
	return uint64(r.Generation) + 1, nil
}

// checkMarks: the marks never go back, and promise only what is true.
func (w *world) checkMarks(value []byte) {
	w.tb.Helper()
	next, err := messages.DecodeMarks(value)
	if err != nil {
		w.tb.Errorf("the marks cannot be read: %v", err)
		return
	}
	if w.marks != nil {
		last, _ := messages.DecodeMarks(w.marks) // empty where nobody can read them
		if last.Epoch == next.Epoch && (next.Scanned.Before(last.Scanned) || next.Swept.Before(last.Swept)) {
			w.tb.Errorf("the marks went back from %+v to %+v", last, next)
		}
	}
	if !w.backfills && (next.Scanned.IsZero() || !next.Since.Valid()) {
		w.tb.Errorf("a complete scan left the marks %+v", next)
	}
	last, _ := messages.DecodeMarks(w.marks) // empty as above
	for _, r := range last.Ranges {
		if !next.Covers(r.From) || !next.Covers(r.To) {
			w.tb.Errorf("the marks forgot %v: %+v, then %+v", r, last, next)
		}
	}
}

func (w *world) Publish(_ context.Context, lane messages.Lane, m messages.FileDiscovered) (bool, error) {
	v := w.begin("publish")
	defer w.mu.Unlock()
	if _, err := m.Encode(); err != nil || m.Route != route || m.Scan == "" || m.Trace == "" || m.Discovered.IsZero() {
		w.tb.Errorf("the message %+v is not complete: %v", m, err)
	}
	if v == failsClean {
		return false, errFault
	}
	_, there := w.queue[m.Object.Name]
	if !there {
		w.queue[m.Object.Name] = waiting{lane, m}
	}
	if v == failsDirty {
		return false, errFault
	}
	return !there, nil
}

// read returns the marks.
func (w *world) read() messages.Marks {
	w.tb.Helper()
	if w.marks == nil {
		return messages.Marks{}
	}
	m, err := messages.DecodeMarks(w.marks)
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return m
}

func (w *world) setMarks(m messages.Marks) {
	b, err := m.Encode()
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	w.marks, w.revision = b, w.revision+1
}

// queued lists the base names in the queue, sorted, with their lanes.
func (w *world) queued() []string {
	var out []string
	for n, q := range w.queue {
		out = append(out, strings.TrimSuffix(strings.TrimPrefix(n, prefix), ".csv.gz")+" "+string(q.lane))
	}
	slices.Sort(out)
	return out
}

// missing lists the reports of the days from the given one on that are neither
// queued nor done.
func (w *world) missing(from messages.Day, epoch int) []string {
	var out []string
	for n, o := range w.objects {
		report, err := rules(w.tb).Report(o)
		if err != nil || report.Day < from {
			continue
		}
		_, waits := w.queue[n]
		if !waits && !w.records[messages.RecordKey(route, report)].Done(o, epoch) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return out
}

func rules(tb interface{ Errorf(string, ...any) }) messages.Rules {
	n, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		tb.Errorf("%v", err)
	}
	return messages.Rules{Prefix: prefix, MaxSize: 1000, Naming: n}
}

func (w *world) scanner() *scanner.Scanner {
	return &scanner.Scanner{
		Lister: w, Ledger: w, Marks: w, Publisher: w, Route: route, Rules: rules(w.tb),
		Lookback: 35, Interval: 10 * time.Minute, Log: slog.New(slog.DiscardHandler),
	}
}

func today() messages.Day { return messages.DayOf(time.Now()) }

// sum is what the counts of a scan must add up to.
func sum(st scanner.Stats) int {
	n := st.Published + st.Queued + st.Done + st.Failed
	for _, i := range st.Ineligible {
		n += i
	}
	return n
}
