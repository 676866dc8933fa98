package model_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

const (
	prefix   = "FOCUS Reports/"
	chunk    = 16  // the size up to which a file is sent whole
	leastMPU = 256 // the smallest part, but for the last: with S3's, most of a run would be sums of bytes
)

// A content is the bytes of a version, with their sums.
type content struct {
	bytes       []byte
	crc32c, md5 string
}

func newContent(size int, seed byte) *content {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7+i>>8*13+i>>16) ^ seed
	}
	sum := md5.Sum(b)
	return &content{b, crc(b), base64.StdEncoding.EncodeToString(sum[:])}
}

func crc(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

// A version is one version of a source file; number counts those of its name.
type version struct {
	*content
	number   int
	object   messages.Object // as the listing declares it
	declared string          // the CRC32C that the answer declares; empty of none
	since    time.Time
}

// stored is a visible object: the version that it is, and who made it visible.
type stored struct {
	*version
	etag string
	by   *process
}

// An upload is open. Its parts are slices of a version, or copies of what is of none.
type upload struct {
	key   string
	meta  copier.Meta
	parts map[int32]part
	sent  int // parts ever sent
}

// A part is of an upload.
type part struct {
	bytes  []byte
	crc32c string
}

func (p part) etag() string { return "part-" + p.crc32c }

// A loan is one delivery of a file's message, as the broker sees it.
type loan struct {
	process *process
	message messages.FileDiscovered
	number  int
	since   time.Time
	until   time.Time
	knows   messages.Record // the last outcome of the file that the holder read or wrote
	over    bool            // settled
	refused bool            // the ledger refused a record after what may have been a commit
	// ghost: a former holder of the same message has settled it, or handed it back. The
	// holder cannot know, since the broker goes on to confirm his renewals; the ledger will
	// tell him.
	ghost bool
}

// A tb takes failures. It is a *rapid.T.
type tb interface {
	Errorf(string, ...any)
	Helper()
}

// A world is the source, the destination and the broker, and what is known of them.
// It checks with every effect what must hold then. The names I… are those of the
// invariants in docs/reliability.md.
type world struct {
	tb
	broker broker
	rules  messages.Rules
	// reports are what the rules say of a name, or why it is none, under each destination.
	reports sync.Map
	epoch   int
	born    time.Time

	mu      sync.Mutex // held while a call has its effect
	present map[string]*version
	history map[string][]*version
	visible map[string]stored    // by key
	newest  map[string]int       // the highest version that was committed, by key
	foreign map[string]time.Time // when, if by a process that mended without having the loan
	uploads map[string]*upload
	noted   map[string]bool // the ids of uploads that ever stood in the ledger
	loans   map[string]*loan
	left    map[messages.FileDiscovered]bool // the queue, because somebody settled them
	commits map[*version]int
	excuses map[string]int // how often a file may be committed once more, by name
	buried  map[string]messages.DeadLetter
	records map[string]messages.Record // as last written, by ledger key
	erased  map[string]time.Time       // when retention erased one last, by ledger key
	done    map[string]*version        // recorded last as copied, by destination key
	told    map[string]bool            // the etags at the destination that ever stood in a record
	blind   map[string]bool            // by ledger key: see isBlind
	marks   messages.Marks
	seq     int

	putOnly bool         // HEAD is forbidden
	noSums  bool         // HEAD tells no CRC32C
	hold    bool         // delivered files are not replaced
	since   messages.Day // the configured begin of responsibility; empty of none
	out     side         // it fails as a whole
	diary
}

// diary is what happened, for whoever has to understand a failure.
type diary struct {
	start time.Time
	lines []line
}

type line struct {
	at              time.Duration
	who, what, name string
	outcome         outcome
	err             error
}

func (d *diary) String() string {
	var b strings.Builder
	for _, l := range d.lines {
		fmt.Fprintf(&b, "\n%12s %-10s %-8s %s", l.at, l.who, l.what, strings.TrimPrefix(l.name, prefix))
		if l.outcome != works {
			fmt.Fprintf(&b, " %s", l.outcome)
		}
		if l.err != nil {
			fmt.Fprintf(&b, " = %v", l.err)
		}
	}
	return b.String()
}

func (d *diary) note(who, what, name string, o outcome, err error) {
	d.lines = append(d.lines, line{time.Since(d.start), who, what, name, o, err})
}

func newWorld(t tb, b broker) *world {
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Errorf("%v", err)
	}
	return &world{
		tb: t, broker: b, born: time.Now(),
		rules:   messages.Rules{Prefix: prefix, MaxSize: 1 << 30, KeyPrefix: "focus0/", Naming: naming},
		present: map[string]*version{}, history: map[string][]*version{}, visible: map[string]stored{}, newest: map[string]int{}, foreign: map[string]time.Time{},
		uploads: map[string]*upload{}, noted: map[string]bool{}, loans: map[string]*loan{}, left: map[messages.FileDiscovered]bool{}, commits: map[*version]int{},
		excuses: map[string]int{}, buried: map[string]messages.DeadLetter{}, records: map[string]messages.Record{}, erased: map[string]time.Time{},
		done: map[string]*version{}, told: map[string]bool{}, blind: map[string]bool{},
		diary: diary{start: time.Now()},
	}
}

// write puts a new version of a file at the source.
func (w *world) write(name string, c *content, listsMD5, declaresCRC bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	v := &version{content: c, number: len(w.history[name]) + 1, since: time.Now()}
	v.object = messages.Object{Name: name, ETag: fmt.Sprintf("etag-%d", w.seq), Size: int64(len(c.bytes)), Created: v.since.UTC(), Modified: v.since.UTC()}
	if listsMD5 {
		v.object.MD5 = c.md5
	}
	if declaresCRC {
		v.declared = c.crc32c
	}
	w.present[name] = v
	w.history[name] = append(w.history[name], v)
	w.note("source", "write", name, works, nil)
}

func (w *world) erase(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.present, name)
	w.note("source", "remove", name, works, nil)
}

// report is where a file goes; ok is false of one that is no report.
func (w *world) report(name string) (messages.Report, bool) {
	id := [2]string{w.rules.KeyPrefix, name}
	if r, known := w.reports.Load(id); known {
		r, ok := r.(messages.Report)
		return r, ok
	}
	r, err := w.rules.Report(messages.Object{Name: name})
	if err != nil {
		w.reports.Store(id, err)
		return r, false
	}
	w.reports.Store(id, r)
	return r, true
}

func (w *world) key(name string) string {
	r, ok := w.report(name)
	if !ok {
		w.Errorf("%q is no report, and was to be copied", name)
	}
	return r.Key
}

// nameOf is the file that a destination key belongs to; a key of none is I14.
func (w *world) nameOf(key string) string {
	w.Helper()
	for name := range w.history {
		if r, ok := w.report(name); ok && r.Key == key {
			return name
		}
	}
	w.Errorf("I14: the key %q is that of no report", key)
	return ""
}

// stale reports whether an older version of a file is visible than was before. Only a
// worker that lost its loan can do that, and it has to mend it.
func (w *world) stale(name string) bool {
	r, ok := w.report(name)
	return ok && w.visible[r.Key].version != nil && w.visible[r.Key].number < w.newest[r.Key]
}

// mends reports whether p may have made an older version visible and still works on its
// file.
func (p *process) mends(name string) bool {
	r, ok := p.report(name)
	return p.refused(name) || ok && (p.stale(name) || p.behind(name)) && p.visible[r.Key].by == p && p.has(name)
}

// behind reports whether an older version is visible than is recorded, which had the bytes
// of one before it, so that it was not committed itself.
func (w *world) behind(name string) bool {
	r, _ := w.report(name)
	now, done := w.visible[r.Key].version, w.done[r.Key]
	return now != nil && done != nil && now.number < done.number && !bytes.Equal(now.bytes, done.bytes)
}

// refused reports whether the ledger refused p a record of a file that it works on still.
func (p *process) refused(name string) bool {
	return slices.ContainsFunc(p.loans, func(l *loan) bool { return l.message.Object.Name == name && !l.over && l.refused })
}

// lent reports whether p holds the loan of a file still, by the broker's clock.
func (w *world) lent(p *process, name string) bool {
	l := w.loans[name]
	return l != nil && l.process == p && !l.over && time.Now().Before(l.until)
}

// alone reports whether a commit of p to a file can only be of the loan that p holds still:
// where another slot of p had the message before, and is not done with it, it may be the
// late one of that.
func (w *world) alone(p *process, name string) bool {
	had := 0
	for _, l := range p.loans {
		if l.message.Object.Name == name && !l.over {
			had++
		}
	}
	return had == 1 && w.lent(p, name)
}

// crossed reports whether who has the loan of a file had it already when somebody without
// it mended with a newer version: each had looked at the source at another time, and the
// ledger, which refuses one of their records, brings the newer one back.
func (w *world) crossed(key, name string) bool {
	at, mended := w.foreign[key]
	return mended && w.loans[name].since.Before(at)
}

// commit makes a version visible.
func (w *world) commit(p *process, key string, body []byte, m copier.Meta) (etag string, err error) {
	w.Helper()
	var found *version
	for _, v := range w.history[m.Name] {
		if v.object.ETag == m.ETag && w.key(m.Name) == key && bytes.Equal(v.bytes, body) {
			found = v
		}
	}
	if found == nil {
		w.Errorf("I2, I3: %d bytes under %q are of no version of their source (%+v)", len(body), key, m)
		return "", errors.New("no version")
	}
	if found.number < w.newest[key] && w.alone(p, m.Name) && !w.crossed(key, m.Name) {
		w.Errorf("I5: %s commits version %d of %s after version %d", p.id, found.number, m.Name, w.newest[key])
	}
	if w.commits[found]++; w.commits[found] > 1+w.excuses[m.Name] {
		w.Errorf("I4: version %d of %s was committed %d times, after %d faults", found.number, m.Name, w.commits[found], w.excuses[m.Name])
	}
	w.seq++
	etag = fmt.Sprintf("s3-%d", w.seq)
	w.visible[key] = stored{found, etag, p}
	if found.number > w.newest[key] {
		w.newest[key] = found.number
		delete(w.foreign, key)
		if !w.lent(p, m.Name) {
			w.foreign[key] = time.Now()
		}
	}
	return etag, nil
}

// part is what a part of an upload holds: without a copy where it is of a version.
func (w *world) part(u *upload, number int32, body []byte) part {
	for _, v := range w.history[u.meta.Name] {
		from := min(int(number-1)*leastMPU, len(v.bytes))
		if to := min(from+len(body), len(v.bytes)); v.object.ETag == u.meta.ETag && bytes.Equal(v.bytes[from:to], body) {
			return part{v.bytes[from:to], crc(body)}
		}
	}
	return part{bytes.Clone(body), crc(body)}
}

// whole joins the parts that a Complete names, and sums them up.
func (w *world) whole(u *upload, parts []copier.Part) (body []byte, crc32c string, err error) {
	invalid := errors.New("InvalidPart")
	var found []*version
	for _, v := range w.history[u.meta.Name] {
		if v.object.ETag == u.meta.ETag {
			found = append(found, v)
		}
	}
	at := 0
	for i, p := range parts {
		has, ok := u.parts[int32(i+1)]
		b := has.bytes
		if !ok || p.Number != int32(i+1) || p.CRC32C != has.crc32c || p.ETag != has.etag() || i < len(parts)-1 && len(b) < leastMPU {
			return nil, "", invalid
		}
		if len(found) == 1 && len(b) > 0 && at+len(b) <= len(found[0].bytes) && &found[0].bytes[at] == &b[0] { // in place
			body = found[0].bytes[:at+len(b)]
		} else {
			body = append(body[:at:at], b...)
		}
		at += len(b)
	}
	if len(found) == 1 && at > 0 && at == len(found[0].bytes) && &found[0].bytes[0] == &body[0] {
		return body, found[0].crc32c, nil
	}
	return body, crc(body), nil
}

// checkWrite: I6, and that what is written of a file is true.
func (w *world) checkWrite(key string, raw []byte, first bool) {
	w.Helper()
	_, _, _, isRecord := messages.ParseRecordKey(key)
	switch {
	case key == messages.MarksKey(route):
		m, err := messages.DecodeMarks(raw)
		if err != nil {
			w.Errorf("the marks cannot be read: %v", err)
		}
		w.marks = m
	case strings.HasPrefix(key, route+".upload."):
		if u, err := messages.DecodeUpload(raw); raw != nil && err != nil {
			w.Errorf("the note of an upload cannot be read: %v", err)
		} else if u.ID != "" {
			w.noted[u.ID] = true
		}
	case isRecord && raw == nil:
		delete(w.records, key)
	case isRecord:
		r, err := messages.DecodeRecord(raw)
		if err != nil {
			w.Errorf("a record cannot be read: %v", err)
			return
		}
		had := w.records[key].Generation
		if r.Generation < had || r.Status == messages.StatusDue && r.Generation == had {
			w.Errorf("the generation of %s goes from %d to %d with the status %s", key, had, r.Generation, r.Status)
		}
		w.blind[key] = first && w.isBlind(w.records[key], r)
		w.records[key] = r
		w.checkRecord(key, r)
		if r.Status == messages.StatusCopied && r.Copy != nil {
			w.done[r.Copy.Key], w.told[r.Copy.ETag] = w.version(r.Object), true
		}
	default:
		w.Errorf("something was written to the ledger under %q", key)
	}
}

// isBlind reports whether who writes r could not know better: what stands at its key was
// committed and never recorded, the message that knew of it is gone, and the present version
// has the bytes of the one on record, so that they count as delivered. The documentation
// says so; verify finds it.
func (w *world) isBlind(had, r messages.Record) bool {
	return had.Status == messages.StatusCopied && r.Copy != nil && r.Copy.How == messages.HowRecorded && !w.told[w.visible[r.Copy.Key].etag]
}

func (w *world) checkRecord(key string, r messages.Record) {
	w.Helper()
	name := r.Object.Name
	switch r.Status {
	case messages.StatusCopied:
		c := r.Copy
		if c == nil || c.ETag == "" || c.Size != r.Object.Size || c.Key != w.key(name) || c.Verified == "" {
			w.Errorf("the record of a copy is not complete: %+v, %+v", r, c)
			return
		}
		v := w.version(r.Object)
		if v == nil {
			w.Errorf("I6: a version that never was is recorded: %+v", r.Object)
			return
		}
		now := w.visible[c.Key].version
		overtaken := now != nil && now.number > v.number && w.commits[v] > 0 // whoever did that finds this record in his way
		if !w.stale(name) && !overtaken && !w.blind[key] && (now == nil || !bytes.Equal(now.bytes, v.bytes)) {
			w.Errorf("I6: version %d of %s is recorded as copied, and %q holds %+v", v.number, name, c.Key, now)
		}
	case messages.StatusGone:
		if v := w.present[name]; v != nil && v.object.SameVersion(r.Object) {
			w.Errorf("I1: %s is recorded as gone, and is there", name)
		}
	case messages.StatusFailed:
		if _, ok := w.buried[name]; !ok || r.Class == "" || r.Error == "" {
			w.Errorf("I1: %s is recorded as failed, with a dead letter %t, for %q", name, ok, r.Class)
		}
		if !w.mayDie(r) {
			w.Errorf("%s was given up for no good reason: %+v", name, r)
		}
	}
}

// mayDie reports whether a file may be given up.
func (w *world) mayDie(r messages.Record) bool {
	return r.Mismatches >= 3 || r.Class == messages.Held && w.hold || r.At.Sub(r.FirstFailed) >= deadAfter
}

func (w *world) version(o messages.Object) *version {
	for _, v := range w.history[o.Name] {
		if v.object.ETag == o.ETag {
			return v
		}
	}
	return nil
}

// checkSettle: I8. What leaves the queue is done, or an order came since for which
// another message will be.
func (w *world) checkSettle(l *loan, v copier.Verdict) {
	w.Helper()
	if v.Act == copier.Nak {
		return
	}
	m, name := l.message, l.message.Object.Name
	report, ok := w.report(name)
	key := messages.RecordKey(route, report)
	r, recorded := w.records[key]
	if at := w.erased[key]; w.loans[name] != l || !recorded && !at.Before(l.since) {
		r = l.knows // somebody else has the message since, or retention erased the record of a file that was gone
	}
	present := w.present[name]
	superseded := present == nil || !present.object.SameVersion(m.Object)
	switch {
	case !ok:
		w.Errorf("I8: the message of %q was taken, which is no report", name)
	case r.Generation > m.Generation:
	case !r.Status.Final() || r.Generation < m.Generation || r.Epoch != w.epoch:
		w.Errorf("I8: the message of %s was settled as %+v with the record %+v", name, v, r)
	case !r.Object.SameVersion(m.Object) && !superseded:
		w.Errorf("I8: the message of version %s of %s was settled as %+v, and the record is of %s", m.Object.ETag, name, v, r.Object.ETag)
	case v.Act == copier.Term && (r.Status != messages.StatusFailed || v.Reason == ""):
		w.Errorf("I8: %s was given up with the record %+v and the reason %q", name, r, v.Reason)
	}
}

// checkMarks: a scan moves the marks only if it failed nowhere and found every file
// that was there from its begin on queued or done; and only forward. Of days that a
// backfill added meanwhile the next sweep takes care.
func (w *world) checkMarks(s *scan, raw []byte) {
	w.Helper()
	next, err := messages.DecodeMarks(raw)
	if err != nil {
		return // checkWrite tells
	}
	before := w.marks
	if before.Epoch == next.Epoch && (next.Scanned.Before(before.Scanned) || next.Swept.Before(before.Swept)) {
		w.Errorf("I5: the marks went back from %+v to %+v", before, next)
	}
	for _, r := range before.Ranges {
		if !next.Covers(r.From) || !next.Covers(r.To) {
			w.Errorf("the marks forgot %v: %+v, then %+v", r, before, next)
		}
	}
	if before.Since != "" && (next.Since == "" || next.Since > before.Since) {
		w.Errorf("the responsibility shrank from %+v to %+v", before, next)
	}
	if before.Epoch != next.Epoch {
		before.Scanned, before.Swept = time.Time{}, time.Time{}
	}
	swept := next.Swept.After(before.Swept)
	if !swept && !next.Scanned.After(before.Scanned) {
		return
	}
	if s.failed != "" {
		w.Errorf("I1: the marks move to %+v after a scan in which %s failed", next, s.failed)
	}
	from := messages.DayOf(s.begin).Add(-lookback)
	if !before.Scanned.IsZero() {
		from = min(from, messages.DayOf(before.Scanned).Add(-lookback))
	}
	for name, v := range w.present {
		r, ok := w.report(name)
		if !ok || !v.since.Before(s.begin) || r.Day < from && !(swept && s.known.Covers(r.Day)) || s.judged[name] {
			continue
		}
		w.Errorf("I1: the marks move to %+v, and the scan has neither queued %s nor found it done", next, name)
	}
}

// settled: I1, I7, I9. Whatever is there is at its key and on record, or given up.
func (w *world) settled() {
	w.Helper()
	for name, v := range w.present {
		report, ok := w.report(name)
		if !ok {
			continue
		}
		key := messages.RecordKey(route, report)
		r := w.records[key]
		switch {
		case !w.marks.Covers(report.Day): // it may have been copied before a first scan was complete
		case !r.Done(v.object, w.epoch):
			w.Errorf("I1, I7: version %d of %s is not done: %+v", v.number, name, r)
		case r.Status == messages.StatusFailed:
			if _, ok := w.buried[name]; !ok || !w.mayDie(r) {
				w.Errorf("I1: %s is given up with the record %+v and a dead letter %t", name, r, ok)
			}
		case r.Status != messages.StatusCopied:
			w.Errorf("I1: %s is there, and its record is %+v", name, r)
		case w.blind[key]:
		case w.visible[report.Key].version == nil || !bytes.Equal(w.visible[report.Key].bytes, v.bytes):
			w.Errorf("I1: version %d of %s is recorded as copied, and %q holds %+v", v.number, name, report.Key, w.visible[report.Key].version)
		}
	}
	if n := w.broker.waiting(); n > 0 {
		w.Errorf("I9: %d messages are left in the queue", n)
	}
}

// swept: I10. No upload is open but one of which nobody could learn, which has no parts.
func (w *world) swept() {
	w.Helper()
	for id, u := range w.uploads {
		if w.noted[id] || u.sent > 0 {
			w.Errorf("I10: the upload %s of %q with %d parts was left open", id, u.key, len(u.parts))
		}
	}
}

// list is a page of the source's listing.
func (w *world) list(from string, limit int) (page []messages.Object) {
	var names []string
	for name := range w.present {
		if name >= from {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names[:min(limit, len(names))] {
		page = append(page, w.present[name].object)
	}
	return page
}

// A mangling is what happens to a body on its way.
type mangling string

const (
	intact  mangling = ""
	flipped mangling = "a byte is flipped"
	short   mangling = "it ends early"
	long    mangling = "it ends late"
	reset   mangling = "the connection breaks"
)

// A reader yields a body, first a half of what is asked for.
type reader struct {
	process *process
	ctx     context.Context
	name    string
	left    []byte
	reads   int
	how     mangling
}

func (r *reader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	r.reads++
	if r.reads == 2 { // one call of the world in the middle
		if err := r.process.call(r.ctx, "body", r.name, 0, func() error { return nil }); err != nil {
			return 0, err
		}
	}
	if r.reads == 1 {
		p = p[:(len(p)+1)/2]
	} else if r.how == reset {
		return 0, &messages.Fault{Class: messages.Connection, Side: messages.Source, Op: "read", Err: io.ErrUnexpectedEOF}
	}
	n = copy(p, r.left)
	r.left = r.left[n:]
	if r.how == flipped && n > 0 {
		p[n-1] ^= 1
		r.how = intact
	}
	if len(r.left) == 0 {
		return n, io.EOF
	}
	return n, nil
}

func (r *reader) Close() error { return nil }

// body is a body of a range of v.
func (p *process) body(ctx context.Context, v *version, r copier.Range, how mangling) io.ReadCloser {
	left := v.bytes[r.Offset:]
	if r.Length > 0 {
		left = left[:r.Length:r.Length]
	}
	switch how {
	case flipped:
		if v.object.MD5 == "" && v.declared == "" {
			how = intact // nobody could know
		}
	case short:
		left = left[:len(left)/2]
	case long:
		left = append(bytes.Clone(left), 'x')
	}
	return &reader{process: p, ctx: ctx, name: v.object.Name, left: left, how: how}
}
