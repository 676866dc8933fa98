package copier_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	route   = "main"
	prefix  = "FOCUS Reports/"
	ackWait = 5 * time.Minute
)

// A version is one version of a source file.
type version struct {
	object messages.Object // as the listing declares it
	body   []byte
	crc32c string // what the answer declares, if anything
}

// stored is a visible object.
type stored struct {
	body []byte
	meta copier.Meta
	etag string
}

type upload struct {
	key   string
	meta  copier.Meta
	parts map[int32][]byte
	sent  int // parts ever sent
}

type entry struct {
	value    []byte
	revision uint64
	older    *entry
}

type letter struct {
	subject    string
	data       []byte
	deliveries int
	ready      time.Time // not handed out before
}

// A world is the source, the destination, the ledger and the queue as the ports
// promise them. It checks after every effect what must always hold.
type world struct {
	tb interface {
		Errorf(string, ...any)
		Helper()
	}
	// turn decides what happens to a call of a host; it is asked by one at a time.
	turn   func(h *host, op string) verdict
	asking sync.Mutex
	start  time.Time

	mu       sync.Mutex
	present  map[string]*version
	history  map[string][]*version
	visible  map[string]stored
	uploads  map[string]*upload
	ledger   map[string]*entry
	queue    map[string]*letter // by subject
	dead     map[string]messages.DeadLetter
	putOnly  bool
	noSums   bool // Head tells no CRC32C
	stale    bool // Read answers with the value before the newest
	gullible bool // the broker confirms a renewal by a former holder
	seq      int
	commits  []string // "<key> <source etag>"
	calls    []string // "<op>" of everyone
	settled  []copier.Verdict
	effects  []string // calls with effect, for orders
	quiet    chan struct{}
	idle     bool                                      // quiet was closed
	bodies   func(context.Context, *version) io.Reader // nil: the true bytes
	answer   func(*messages.Object)                    // changes what Open declares
	holding  int                                       // bytes of Put and Part calls in flight
	held     int                                       // the most of them
	relays   [2]int                                    // Relay calls in flight, and the most of them
	tainted  bool
	offsets  []int64                              // at which bodies were opened to their end
	ranges   []copier.Range                       // of bodies that were opened to another end
	served   int                                  // bytes of bodies
	streams  int                                  // bodies that are open
	noRange  func(copier.Range) bool              // which ranges the source does not heed; nil: it heeds all
	cut      func(copier.Range, []byte) io.Reader // the body of a range, which the bytes are; nil: as it is
	picky    bool                                 // a commit may name parts that are not there, and is refused
	least    int                                  // a part may have, but the last; 0: as in earnest
	// longETags are so many bytes long.
	longETags int
}

func newWorld(tb interface {
	Errorf(string, ...any)
	Helper()
},
) *world {
	return &world{
		tb: tb, start: time.Now(), turn: func(*host, string) verdict { return verdict{} },
		present: map[string]*version{}, history: map[string][]*version{}, visible: map[string]stored{}, uploads: map[string]*upload{},
		ledger: map[string]*entry{}, queue: map[string]*letter{}, dead: map[string]messages.DeadLetter{}, quiet: make(chan struct{}),
	}
}

// A verdict is what happens to a call.
type verdict struct {
	clean, dirty bool          // it fails, without or with its effect
	crash        bool          // and the host is never heard of again
	panics       bool          // and the port panics
	hangs        bool          // it does nothing until its context ends
	freeze       time.Duration // before all that
	err          error         // of clean and dirty; nil: unavailable
}

func (v verdict) fails() bool { return v.clean || v.dirty }

// A host is one process. After its crash nothing that it does has an effect.
type host struct {
	*world
	name    string
	crashed bool
}

var errCrashed = errors.New("this host has crashed")

func fault(op string) error {
	f := &messages.Fault{Class: messages.Unavailable, Op: op, Err: errors.New("injected")}
	switch op {
	case "open", "stat", "body":
		f.Side = messages.Source
	case "put", "head", "create", "abort", "part", "relay", "complete":
		f.Side = messages.Destination
	default:
		f.Class = messages.Queue
	}
	return f
}

// call runs the effect of a port call, or not.
func (h *host) call(ctx context.Context, op string, effect func() error) error {
	h.asking.Lock()
	v := h.turn(h, op)
	h.asking.Unlock()
	if v.freeze > 0 {
		time.Sleep(v.freeze)
	}
	if v.hangs {
		<-ctx.Done()
	}
	if v.err == nil {
		v.err = fault(op)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls = append(h.calls, op)
	switch {
	case h.crashed:
		return errCrashed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	var err error
	if !v.clean {
		if err = effect(); err == nil {
			h.effects = append(h.effects, op)
		}
		if op != "next" && op != "renew" && op != "read" {
			h.check()
		}
	}
	if v.crash {
		h.crashed = true
		h.rest()
		return errCrashed
	}
	if v.panics {
		panic("a port panics in " + op)
	}
	if v.fails() {
		return v.err
	}
	return err
}

// rest wakes the one that waits for the queue to be empty, or for a crash.
func (w *world) rest() {
	if !w.idle {
		w.idle = true
		close(w.quiet)
	}
}

// check holds after every effect.
func (w *world) check() {
	w.tb.Helper()
	for key, s := range w.visible {
		if w.origin(key, s) == nil {
			w.tb.Errorf("CORRUPT: %s holds %d bytes of no version of its source (%+v)", key, len(s.body), s.meta)
		}
	}
}

// origin returns the version that s is, or nil.
func (w *world) origin(key string, s stored) *version {
	for _, v := range w.history[s.meta.Name] {
		if s.meta.ETag == v.object.ETag && bytes.Equal(s.body, v.body) && w.key(v.object) == key {
			return v
		}
	}
	return nil
}

func (w *world) key(o messages.Object) string {
	r, err := rules(w.tb).Report(o)
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return r.Key
}

func (w *world) recordKey(name string) string {
	r, err := rules(w.tb).Report(messages.Object{Name: name})
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return messages.RecordKey(route, r)
}

func rules(tb interface{ Errorf(string, ...any) }) messages.Rules {
	n, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		tb.Errorf("%v", err)
	}
	return messages.Rules{Prefix: prefix, MaxSize: 1 << 40, KeyPrefix: "focus/", Naming: n}
}

func name(base string) string { return prefix + "2024/11/28/" + base + ".csv.gz" }

func crc(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func md5sum(b []byte) string {
	var sum [md5.Size]byte
	fips140.WithoutEnforcement(func() { sum = md5.Sum(b) }) // the source is not ours
	return base64.StdEncoding.EncodeToString(sum[:])
}

// write puts a new version of a file at the source and returns it.
func (w *world) write(base string, body []byte) *version {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	v := &version{body: body, crc32c: crc(body), object: messages.Object{
		Name: name(base), ETag: fmt.Sprintf("etag-%d", w.seq), Size: int64(len(body)), MD5: md5sum(body), Modified: time.Now().UTC(),
	}}
	w.present[v.object.Name] = v
	w.history[v.object.Name] = append(w.history[v.object.Name], v)
	return v
}

func (w *world) remove(base string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.present, name(base))
}

// publish queues a message about a version, as the scanner does.
func (w *world) publish(v *version) *letter { return w.publishTo(messages.Live, v) }

func (w *world) publishTo(lane messages.Lane, v *version) *letter {
	m := messages.FileDiscovered{Route: route, Object: v.object, Generation: w.record(v.object.Name).Generation, Discovered: time.Now(), Scan: "scan", Trace: "trace"}
	data, err := m.Encode()
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return w.send(messages.Subject("focus", lane, route, v.object.Name), data)
}

func (w *world) send(subject string, data []byte) *letter {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.idle {
		w.idle, w.quiet = false, make(chan struct{})
	}
	if l, ok := w.queue[subject]; ok {
		return l
	}
	w.queue[subject] = &letter{subject: subject, data: data, ready: time.Now()}
	return w.queue[subject]
}

// scan publishes whatever is not done, and reports how much that was.
func (w *world) scan() int {
	w.mu.Lock()
	present := maps.Clone(w.present)
	w.mu.Unlock()
	n := 0
	for _, name := range slices.Sorted(maps.Keys(present)) {
		if v := present[name]; !w.record(name).Done(v.object, 0) {
			w.publish(v)
			n++
		}
	}
	return n
}

// record returns the newest record of a file.
func (w *world) record(name string) messages.Record {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.locked(name)
}

func (w *world) locked(name string) messages.Record {
	e := w.ledger[w.recordKey(name)]
	if e == nil || e.value == nil {
		return messages.Record{}
	}
	r, err := messages.DecodeRecord(e.value)
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return r
}

// setRecord writes a record as someone else does.
func (w *world) setRecord(r messages.Record) {
	b, err := r.Encode()
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	w.set(w.recordKey(r.Object.Name), b)
}

func (w *world) set(key string, value []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	w.ledger[key] = &entry{value: value, revision: uint64(w.seq), older: w.ledger[key]}
}

// Source.

func (h *host) Open(ctx context.Context, name, etag string, r copier.Range) (o messages.Object, body io.ReadCloser, err error) {
	var opened io.ReadCloser
	defer func() {
		if opened != nil && body == nil { // its answer was lost
			opened.Close()
		}
	}()
	err = h.call(ctx, "open", func() error {
		v := h.present[name]
		switch {
		case v == nil:
			return &messages.Fault{Class: messages.Gone, Side: messages.Source, Op: "open " + name}
		case etag != "" && etag != v.object.ETag:
			return &messages.Fault{Class: messages.Changed, Side: messages.Source, Op: "open " + name}
		}
		o = v.object
		o.CRC32C, o.Created, o.Modified = v.crc32c, time.Time{}, time.Time{}
		ranged := r != copier.Range{}
		if ranged {
			if h.noRange != nil && h.noRange(r) {
				return &messages.Fault{Class: messages.Unknown, Side: messages.Source, Op: "open " + name, Err: copier.ErrNoRange}
			}
			if etag == "" || r.Offset >= o.Size || r.Offset+r.Length > o.Size {
				h.tb.Errorf("opened %+v of %d bytes of the version %q", r, o.Size, etag)
			}
			o.MD5, o.CRC32C = "", ""
		}
		if h.answer != nil {
			h.answer(&o)
		}
		if r.Length == 0 {
			h.offsets = append(h.offsets, r.Offset)
		} else {
			h.ranges = append(h.ranges, r)
		}
		opened = h.open(ctx, v, r)
		return nil
	})
	if err != nil {
		return messages.Object{}, nil, err
	}
	return o, opened, nil
}

// open is the body of a range of v.
func (h *host) open(ctx context.Context, v *version, r copier.Range) io.ReadCloser {
	h.streams++
	var from io.Reader
	end := r.Offset + r.Length
	if r.Length == 0 {
		end = int64(len(v.body))
	}
	if r.Length > 0 && h.cut != nil {
		from = h.cut(r, bytes.Clone(v.body[r.Offset:end]))
	}
	if from == nil && h.bodies != nil {
		if from = h.bodies(ctx, v); from != nil {
			io.CopyN(io.Discard, from, r.Offset)
			if r.Length > 0 {
				from = io.LimitReader(from, r.Length)
			}
		}
	}
	if from == nil {
		from = &reader{host: h, ctx: ctx, left: v.body[r.Offset:end]}
	}
	return &stream{Reader: from, world: h.world}
}

// A stream counts as open until it is closed.
type stream struct {
	io.Reader
	*world
	closed sync.Once
}

func (s *stream) Close() error {
	s.closed.Do(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.streams--
	})
	return nil
}

// A reader yields a body in small and large pieces.
type reader struct {
	host *host
	ctx  context.Context
	left []byte
	n    int
}

func (r *reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.n++
	if r.n == 2 { // one call of the world in the middle
		if err := r.host.call(r.ctx, "body", func() error { return nil }); err != nil {
			return 0, err
		}
	}
	if r.n == 1 {
		p = p[:(len(p)+1)/2]
	}
	n = copy(p, r.left)
	r.left = r.left[n:]
	r.host.serve(n)
	if len(r.left) == 0 {
		err = io.EOF
	}
	return n, err
}

// serve counts what the source gave away, but to the dead.
func (h *host) serve(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.crashed {
		h.served += n
	}
}

func (h *host) Stat(ctx context.Context, name string) (o messages.Object, err error) {
	err = h.call(ctx, "stat", func() error {
		v := h.present[name]
		if v == nil {
			return &messages.Fault{Class: messages.Gone, Side: messages.Source, Op: "stat " + name}
		}
		o = v.object
		return nil
	})
	if err != nil {
		return messages.Object{}, err
	}
	return o, nil
}

// Destination.

func (w *world) hold(body []byte) func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.holding += len(body)
	w.held = max(w.held, w.holding)
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.holding -= len(body)
	}
}

func (w *world) commit(key string, body []byte, m copier.Meta) string {
	w.tb.Helper()
	w.seq++
	etag := fmt.Sprintf("%q", fmt.Sprint("s3-", w.seq))
	if !strings.HasPrefix(key, "focus/") {
		w.tb.Errorf("the key %q is outside the destination", key)
	}
	w.visible[key] = stored{body: bytes.Clone(body), meta: m, etag: etag}
	w.commits = append(w.commits, key+" "+m.ETag)
	return etag
}

func (h *host) Put(ctx context.Context, key string, body []byte, m copier.Meta) (etag string, err error) {
	defer h.hold(body)()
	err = h.call(ctx, "put", func() error {
		if m.CRC32C != crc(body) {
			h.tb.Errorf("put %s: the declared CRC32C is not that of the body", key)
			return &messages.Fault{Class: messages.HashMismatch, Side: messages.Destination}
		}
		if m.MD5 != "" && m.MD5 != md5sum(body) {
			return &messages.Fault{Class: messages.HashMismatch, Side: messages.Destination, Op: "put", Err: errors.New("BadDigest")}
		}
		etag = h.commit(key, body, m)
		return nil
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

func (h *host) Head(ctx context.Context, key string) (s copier.Stored, err error) {
	err = h.call(ctx, "head", func() error {
		o, ok := h.visible[key]
		switch {
		case h.putOnly:
			return &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Op: "head"}
		case !ok:
			return &messages.Fault{Class: messages.Gone, Side: messages.Destination, Op: "head"}
		}
		s = copier.Stored{Size: int64(len(o.body)), ETag: o.etag, SourceETag: o.meta.ETag}
		if !h.noSums {
			s.CRC32C = crc(o.body)
		}
		return nil
	})
	return s, err
}

func (h *host) Create(ctx context.Context, key string, m copier.Meta) (id string, err error) {
	err = h.call(ctx, "create", func() error {
		h.seq++
		id = fmt.Sprint("upload-", h.seq)
		h.uploads[id] = &upload{key: key, meta: m, parts: map[int32][]byte{}}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

func noUpload(op string) error {
	return &messages.Fault{Class: messages.NoUpload, Side: messages.Destination, Op: op}
}

func (h *host) Abort(ctx context.Context, key, id string) error {
	return h.call(ctx, "abort", func() error {
		if u := h.uploads[id]; u == nil || u.key != key {
			return noUpload("abort")
		}
		delete(h.uploads, id)
		return nil
	})
}

func (h *host) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (p copier.Part, err error) {
	defer h.hold(body)()
	err = h.call(ctx, "part", func() error {
		p, err = h.store(key, id, number, body, crc32c)
		return err
	})
	return p, err
}

// store is the effect of Part and Relay.
func (h *host) store(key, id string, number int32, body []byte, crc32c string) (p copier.Part, err error) {
	u := h.uploads[id]
	if u == nil || u.key != key {
		return p, noUpload("part")
	}
	if number < 1 || number > 10_000 {
		h.tb.Errorf("part number %d", number)
	}
	if crc32c != crc(body) {
		h.tb.Errorf("part %d: the declared CRC32C is not that of the body", number)
		return p, &messages.Fault{Class: messages.HashMismatch, Side: messages.Destination}
	}
	h.mustBeNoted(id)
	u.parts[number], u.sent = bytes.Clone(body), u.sent+1
	return copier.Part{Number: number, ETag: fmt.Sprint("part-", number) + strings.Repeat("x", h.longETags), CRC32C: crc(body)}, nil
}

func (h *host) Relaying() bool { return true }

// relayed counts the parts that are relayed now.
func (w *world) relayed(n int) func(int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.relays[0] += n
	w.relays[1] = max(w.relays[1], w.relays[0])
	return func(n int) { w.relayed(n) }
}

func (w *world) most() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.relays[1]
}

// Relay reads all, as the library does, and perhaps a little more than was waited for.
func (h *host) Relay(ctx context.Context, key, id string, number int32, s copier.Stream) (p copier.Part, err error) {
	defer h.hold(s.Buffer)()
	defer h.relayed(1)(-1)
	body := make([]byte, s.Size)
	for n := 0; n < len(body); {
		m, err := s.Read(body[n:min(n+len(s.Buffer), len(body))])
		if n += m; err != nil {
			return p, &messages.Fault{Class: messages.Connection, Side: messages.Destination, Op: "relay", Err: err}
		}
	}
	err = h.call(ctx, "relay", func() error {
		p, err = h.store(key, id, number, body, s.CRC32C())
		return err
	})
	return p, err
}

// mustBeNoted: an upload stands in the ledger before its first part.
func (w *world) mustBeNoted(id string) {
	for key, e := range w.ledger {
		for ; e != nil; e = e.older {
			if strings.HasPrefix(key, route+".upload.") && bytes.Contains(e.value, []byte(`"`+id+`"`)) {
				return
			}
		}
	}
	w.tb.Errorf("a part was sent to %s, of which nobody could learn after a crash", id)
}

func (h *host) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (etag string, err error) {
	err = h.call(ctx, "complete", func() error {
		u := h.uploads[id]
		if u == nil || u.key != key {
			return noUpload("complete")
		}
		var body []byte
		for i, p := range parts {
			b, ok := u.parts[int32(i+1)]
			if h.picky && (!ok || p.CRC32C != crc(b) || p.ETag != fmt.Sprint("part-", p.Number)) {
				return &messages.Fault{Class: messages.Unknown, Side: messages.Destination, Op: "complete", Err: errors.New("InvalidPart")}
			}
			if !ok || p.Number != int32(i+1) || p.CRC32C != crc(b) || p.ETag == "" || i < len(parts)-1 && len(b) < cmp.Or(h.least, 5<<20) {
				h.tb.Errorf("complete %s: part %d is %+v of %d bytes", key, i+1, p, len(b))
			}
			body = append(body, b...)
		}
		if len(parts) == 0 || len(parts) != len(u.parts) || int64(len(body)) != size || crc(body) != crc32c {
			h.tb.Errorf("complete %s with %d of %d parts, %d of %d bytes", key, len(parts), len(u.parts), len(body), size)
			return &messages.Fault{Class: messages.HashMismatch, Side: messages.Destination}
		}
		delete(h.uploads, id)
		etag = h.commit(key, body, u.meta)
		return nil
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

// Ledger.

func (h *host) Read(ctx context.Context, key string) (value []byte, revision uint64, err error) {
	err = h.call(ctx, "read", func() error {
		e := h.ledger[key]
		if h.stale && e != nil {
			e = e.older
		}
		if e != nil && e.value != nil {
			value, revision = bytes.Clone(e.value), e.revision
		}
		return nil
	})
	return value, revision, err
}

func (h *host) Write(ctx context.Context, key string, value []byte, revision uint64) (next uint64, err error) {
	err = h.call(ctx, "write", func() error {
		e := h.ledger[key]
		now := uint64(0)
		if e != nil && e.value != nil {
			now = e.revision
		}
		if now != revision {
			return fmt.Errorf("write %s: %w", key, messages.Conflict)
		}
		h.seq++
		next = uint64(h.seq)
		h.ledger[key] = &entry{value: bytes.Clone(value), revision: next, older: e}
		if _, _, _, ok := messages.ParseRecordKey(key); ok {
			h.checkRecord(value)
		}
		return nil
	})
	return next, err
}

// checkRecord: recorded means durable.
func (w *world) checkRecord(value []byte) {
	w.tb.Helper()
	r, err := messages.DecodeRecord(value)
	if err != nil {
		w.tb.Errorf("the record cannot be read: %v", err)
		return
	}
	if r.Object.Name == "" || r.Object.ETag == "" || r.At.IsZero() || r.Worker == "" {
		w.tb.Errorf("the record does not say of what it speaks: %+v", r)
	}
	switch r.Status {
	case messages.StatusCopied:
		c := r.Copy
		if c == nil || c.ETag == "" || c.Size != r.Object.Size || c.Key != w.key(r.Object) || c.Verified == "" {
			w.tb.Errorf("the record of a copy is not complete: %+v, %+v", r, c)
			return
		}
		if !w.tainted && !w.durable(r) {
			w.tb.Errorf("LOST: %s is recorded as copied at %s, which holds %+v", r.Object.ETag, c.Key, w.visible[c.Key].meta)
		}
	case messages.StatusGone:
		if w.present[r.Object.Name] != nil {
			w.tb.Errorf("LOST: %s is recorded as gone, and is there", r.Object.Name)
		}
	case messages.StatusFailed:
		if _, ok := w.dead[r.Object.Name]; !ok {
			w.tb.Errorf("%s is recorded as failed without a dead letter", r.Object.Name)
		}
	}
}

// durable reports whether the bytes of the recorded version stand at its key.
func (w *world) durable(r messages.Record) bool {
	for _, v := range w.history[r.Object.Name] {
		if v.object.ETag == r.Object.ETag {
			return bytes.Equal(w.visible[w.key(r.Object)].body, v.body)
		}
	}
	return false
}

func (h *host) Bury(ctx context.Context, d messages.DeadLetter) error {
	return h.call(ctx, "bury", func() error {
		if b, err := d.Encode(); err != nil || d.Error == "" || d.Class == "" || d.Route != route || d.Attempts < 1 || d.At.IsZero() {
			h.tb.Errorf("the dead letter %s is not complete: %v", b, err)
		}
		h.dead[d.Name] = d
		return nil
	})
}

// Queue.

func (h *host) Next(ctx context.Context, backfill bool) (d *copier.Delivery, err error) {
	deadline := time.Now().Add(5 * time.Second)
	for d == nil && err == nil && ctx.Err() == nil && time.Now().Before(deadline) {
		wait := time.Until(deadline)
		err = h.call(ctx, "next", func() error {
			var found *letter
			for _, subject := range slices.Sorted(maps.Keys(h.queue)) {
				l := h.queue[subject]
				live := strings.Contains(subject, ".live.")
				switch rest := time.Until(l.ready); {
				case !live && !backfill:
				case rest > 0:
					wait = min(wait, rest)
				case found == nil, live && !strings.Contains(found.subject, ".live."):
					found = l
				case live == strings.Contains(found.subject, ".live.") && l.ready.Before(found.ready):
					found = l // it waits longer
				}
			}
			if found != nil {
				d = h.lend(found)
			}
			if len(h.queue) == 0 {
				h.rest()
			}
			return nil
		})
		if d == nil && err == nil {
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
			timer.Stop()
		}
	}
	if errors.Is(err, errCrashed) {
		<-ctx.Done()
	}
	if errors.Is(err, context.Canceled) {
		return nil, err
	}
	return d, err
}

func (h *host) lend(l *letter) *copier.Delivery {
	l.deliveries++
	mine := l.deliveries
	l.ready = time.Now().Add(ackWait)
	return &copier.Delivery{
		Subject: l.subject, Data: l.data, Deliveries: mine,
		Renew: func(ctx context.Context) error {
			return h.call(ctx, "renew", func() error {
				if h.gullible {
					return nil
				}
				if h.queue[l.subject] != l || l.deliveries != mine || !time.Now().Before(l.ready) {
					return errors.New("not yours any more")
				}
				l.ready = time.Now().Add(ackWait)
				return nil
			})
		},
		Settle: func(ctx context.Context, v copier.Verdict) error {
			return h.call(ctx, "settle", func() error {
				h.settled = append(h.settled, v)
				if h.queue[l.subject] != l {
					return errors.New("no such message")
				}
				switch v.Act {
				case copier.Ack:
					h.checkAck(l)
					delete(h.queue, l.subject)
				case copier.Term:
					if v.Reason == "" {
						h.tb.Errorf("terminated without a reason")
					}
					if len(h.dead) == 0 {
						h.tb.Errorf("terminated without a dead letter")
					}
					delete(h.queue, l.subject)
				case copier.Nak:
					l.ready = time.Now().Add(v.Delay)
				}
				if len(h.queue) == 0 {
					h.rest()
				}
				return nil
			})
		},
	}
}

// committed counts the commits.
func (w *world) committed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.commits)
}

// lent tells how often the message of a file was handed out.
func (w *world) lent(base string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l := w.queue[messages.Subject("focus", messages.Live, route, name(base))]; l != nil {
		return l.deliveries
	}
	return 0
}

// checkAck: what is removed from the queue is final in the ledger.
func (w *world) checkAck(l *letter) {
	w.tb.Helper()
	m, err := messages.DecodeDiscovered(l.data)
	if err != nil {
		w.tb.Errorf("a message was acked that cannot be read: %v", err)
		return
	}
	if r := w.locked(m.Object.Name); !r.Status.Final() || r.Generation < m.Generation {
		w.tb.Errorf("LOST: %s was acked with the record %+v", m.Object.Name, r)
	}
}

// host adds a process, and copier the copier in it, with one slot.
func (w *world) host(name string) *host { return &host{world: w, name: name} }

func (h *host) copier() *copier.Copier {
	return &copier.Copier{
		Queue: h, Ledger: h, Dead: h, Source: h, Objects: h, Uploads: h, Parts: h,
		Gate: &copier.Gate{Probe: 30 * time.Second}, Budget: copier.NewBudget(4, 16),
		Route: route, Rules: rules(h.tb), Worker: h.name, Slots: 1, AckWait: ackWait, Chunk: 16,
		Retry:     copier.Retry{Initial: 5 * time.Second, Max: 5 * time.Minute, Multiplier: 2},
		DeadAfter: 72 * time.Hour, Grace: 20 * time.Second, Log: slog.New(slog.DiscardHandler),
		Inspect: copier.NewInspection(inspector(count)),
	}
}

// An inspector is one made of a function.
type inspector func(io.Reader) messages.Statistics

func (i inspector) Inspect(r io.Reader) messages.Statistics { return i(r) }

// count takes each byte for a row, and everything for valid.
func count(r io.Reader) messages.Statistics {
	n, err := io.Copy(io.Discard, r)
	if err != nil {
		return messages.Statistics{Rows: n, Skipped: err.Error()}
	}
	return messages.Statistics{Gzip: messages.GzipValid, Bytes: n, Rows: n}
}

// run lets copiers work until the queue is empty, one of them has crashed, or
// the time is up; it returns how long that was and whether the queue is empty.
func (w *world) run(limit time.Duration, all ...*copier.Copier) (time.Duration, bool) {
	start := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var running sync.WaitGroup
	for _, c := range all {
		running.Go(func() { c.Run(ctx) })
	}
	w.mu.Lock()
	quiet := w.quiet
	w.mu.Unlock()
	timer := time.NewTimer(limit)
	select {
	case <-quiet:
	case <-timer.C:
	}
	timer.Stop()
	took := time.Since(start)
	cancel()
	running.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return took, len(w.queue) == 0
}

// wake makes run wait again after a crash.
func (w *world) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle, w.quiet = false, make(chan struct{})
}

// settle runs copiers and scans until nothing is left to do.
func (w *world) settle(all ...*copier.Copier) {
	w.tb.Helper()
	for range 20 {
		n := w.scan()
		w.mu.Lock()
		n += len(w.queue)
		w.mu.Unlock()
		if n == 0 {
			return
		}
		w.wake()
		if _, empty := w.run(200*time.Hour, all...); !empty {
			w.tb.Errorf("the queue did not empty: %v", slices.Collect(maps.Keys(w.queue)))
			return
		}
	}
	w.tb.Errorf("the scans never end")
}

// converged checks the end: every present version at its key and recorded, or
// in the dead letters; nothing queued; no upload open but empty ones.
func (w *world) converged(orphans bool) {
	w.tb.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(w.present)) {
		v, r := w.present[name], w.locked(name)
		switch {
		case r.Status == messages.StatusFailed && r.Done(v.object, 0):
		case r.Status != messages.StatusCopied || !r.Done(v.object, 0):
			w.tb.Errorf("%s is at version %s, and its record is %+v", name, v.object.ETag, r)
		case !bytes.Equal(w.visible[w.key(v.object)].body, v.body):
			w.tb.Errorf("LOST: %s is recorded, but its key holds %+v", name, w.visible[w.key(v.object)].meta)
		}
	}
	if len(w.queue) > 0 {
		w.tb.Errorf("still queued: %v", slices.Collect(maps.Keys(w.queue)))
	}
	if w.streams != 0 {
		w.tb.Errorf("%d bodies were left open", w.streams)
	}
	for id, u := range w.uploads {
		if !orphans || u.sent > 0 {
			w.tb.Errorf("the upload %s of %s with %d parts was left open", id, u.key, len(u.parts))
		}
	}
}

// count counts calls.
func (w *world) count(op string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, c := range w.calls {
		if c == op {
			n++
		}
	}
	return n
}

// body makes n bytes that differ from place to place.
func body(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7+i>>8*13+i>>16) ^ seed
	}
	return b
}

func meta(v *version) copier.Meta {
	return copier.Meta{Name: v.object.Name, ETag: v.object.ETag, CRC32C: crc(v.body)}
}
