package model_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

const (
	lookback  = 3 // days
	deadAfter = 72 * time.Hour
	// pause is every pause between two attempts. The program takes up to a quarter off
	// at random; the queue rounds it up again, so that a history can be repeated.
	pause = 30 * time.Second
	page  = 2 // objects of a listing
	// callTimeout is that of a call to the queue or the ledger.
	callTimeout = 5 * time.Second
)

// An outcome is what becomes of a call.
type outcome int

const (
	works   outcome = iota
	fails           // an error, and no effect
	obscure         // an error in spite of the effect
	dies            // the process dies before the effect
	dying           // it dies after it
	panics          // instead of an answer
)

func (o outcome) String() string {
	return [...]string{"works", "fails", "has its effect and fails", "is never made: a crash", "has its effect: a crash", "panics"}[o]
}

func (o outcome) effective() bool { return o == works || o == obscure || o == dying || o == panics }

// A call is a call of a port that waits until it is let go.
type call struct {
	op, name string // what is done, to which file
	number   int    // of a part; of a Next, anyLane or liveOnly
	effect   func() error
	answer   chan answer
}

type answer struct {
	err    error
	panics bool
}

// Which lanes a Next takes from. What takes from both comes first.
const (
	anyLane = iota
	liveOnly
)

// rank puts new work behind what is under way.
func (c *call) rank() int {
	if c.op == "next" {
		return 1
	}
	return 0
}

// A process is a scanner or a copier. Each call that it makes waits until the history
// lets it go on, but for renewals, which come from beside the work.
type process struct {
	*world
	id     string
	ctx    context.Context // ends with SIGTERM, or with the process
	stop   context.CancelFunc
	copier *copier.Copier
	slots  sync.WaitGroup
	scan   *scan // under way, or the last one

	local sync.Mutex
	calls []*call
	loans []*loan
	last  [2]*loan // of what takes from each lane
	ended bool
	dead  chan struct{}  // closed by a crash
	ice   chan struct{}  // closed when it is no longer frozen; nil: it is not
	dazed bool           // it freezes between the answer to its next question for a message and the look at it
	deaf  bool           // its renewals do not reach the queue
	class messages.Class // of its next faults
	how   mangling       // of the next body
}

var errDead = errors.New("this process is dead")

func (w *world) process(id string) *process {
	ctx, stop := context.WithCancel(context.Background())
	return &process{world: w, id: id, ctx: ctx, stop: stop, dead: make(chan struct{}), class: messages.Unavailable}
}

// call waits for its turn and tells what became of the call.
func (p *process) call(ctx context.Context, op, name string, number int, effect func() error) error {
	c := &call{op, name, number, effect, make(chan answer, 1)}
	p.local.Lock()
	if p.ended {
		p.local.Unlock()
		return errDead
	}
	p.calls = append(p.calls, c)
	p.local.Unlock()
	var late <-chan time.Time
	if sideOf(op) == queue && op != "next" {
		timer := time.NewTimer(callTimeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case a := <-c.answer:
		return a.get(op)
	case <-ctx.Done():
	case <-late:
	case <-p.dead:
		return errDead
	}
	if p.thawed() != nil {
		return errDead
	}
	p.local.Lock()
	i := slices.Index(p.calls, c)
	if i >= 0 {
		p.calls = slices.Delete(p.calls, i, i+1)
	}
	p.local.Unlock()
	if i < 0 {
		return (<-c.answer).get(op)
	}
	return cmp.Or(context.Cause(ctx), noAnswer(op))
}

func (a answer) get(op string) error {
	if a.panics {
		panic("a port panics in " + op)
	}
	return a.err
}

// thawed waits while the process is frozen, and fails where it dies meanwhile.
func (p *process) thawed() error {
	for {
		p.local.Lock()
		ice, ended := p.ice, p.ended
		p.local.Unlock()
		switch {
		case ended:
			return errDead
		case ice == nil:
			return nil
		}
		select {
		case <-ice:
		case <-p.dead:
		}
	}
}

func (p *process) freeze() {
	p.local.Lock()
	defer p.local.Unlock()
	if p.ice == nil {
		p.ice = make(chan struct{})
	}
}

func (p *process) isFrozen() bool {
	p.local.Lock()
	defer p.local.Unlock()
	return p.ice != nil
}

func (p *process) thaw() {
	p.local.Lock()
	defer p.local.Unlock()
	if p.ice != nil {
		close(p.ice)
		p.ice = nil
	}
}

// crash ends the process at this instant: nothing that it does has an effect any more.
func (p *process) crash() {
	p.local.Lock()
	defer p.local.Unlock()
	if !p.ended {
		p.ended = true
		close(p.dead)
		p.stop()
	}
}

// waiting are the calls that can go on, in an order that does not depend on that of
// goroutines.
func (p *process) waiting() []*call {
	p.local.Lock()
	defer p.local.Unlock()
	if p.ice != nil || p.ended {
		return nil
	}
	slices.SortStableFunc(p.calls, func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.op, b.op), cmp.Compare(a.name, b.name), cmp.Compare(a.number, b.number))
	})
	return slices.Clone(p.calls)
}

// let lets a call go on, and reports whether something came of it.
func (p *process) let(c *call, o outcome) bool {
	p.local.Lock()
	i := slices.Index(p.calls, c)
	if i >= 0 {
		p.calls = slices.Delete(p.calls, i, i+1)
	}
	p.local.Unlock()
	if i < 0 {
		return false // it was given up meanwhile
	}
	o = p.tolerable(c, o)
	var err error
	if o.effective() {
		if c.op == "next" {
			err = c.effect() // which may wait
		} else {
			p.mu.Lock()
			err = c.effect()
			p.mu.Unlock()
		}
	}
	p.mu.Lock()
	if c.op != "next" || err != errNothing {
		p.note(p.id, c.op, c.name, o, err)
	}
	if o != works {
		p.excuses[c.name]++
		p.failed(c.op)
	}
	p.mu.Unlock()
	switch o {
	case fails, obscure:
		err = p.fault(c.op)
	case dies, dying:
		p.crash()
		return true
	}
	if err != nil && p.scan != nil && o == works {
		p.failed(c.op)
	}
	c.answer <- answer{err, o == panics}
	return err != errNothing
}

// failed notes that a call of a scan failed, whatever became of it.
func (p *process) failed(op string) {
	if p.scan != nil && op != "write" {
		p.scan.failed = op
	}
}

// tolerable is the outcome as far as the product bears it. A worker that made an older
// version visible, which takes the loss of its loan in the very moment of the commit, mends
// that, or orders in the ledger that it be mended, whatever the source and the destination
// do: but it must live, and reach the ledger before it gives up. It must also learn of its
// commit. The rest is found by verify, as the documentation says.
func (p *process) tolerable(c *call, o outcome) outcome {
	mends := p.mending()
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.mends(c.name)
	switch {
	case o == works && p.out == sideOf(c.op) && p.out != none && !(late && p.out == queue):
		return fails
	case p.copier == nil && o == panics: // a scanner does not survive it, and that is a crash
		return dying
	case mends && (o == dies || o == dying):
		return works
	case p.copier == nil || c.name == "":
		return o
	case late && sideOf(c.op) == queue && o == panics:
		return works
	case (c.op == "put" || c.op == "complete") && !p.lent(p, c.name) && !late:
		switch o {
		case obscure, panics:
			return fails
		case dying:
			return dies
		}
	}
	return o
}

// noAnswer is what a queue or a ledger says that is away.
func noAnswer(op string) error {
	return &messages.Fault{Class: messages.Queue, Op: op, Err: errors.New("no answer")}
}

func (p *process) fault(op string) error {
	f := &messages.Fault{Class: p.class, Op: op, Err: errors.New("injected")}
	switch sideOf(op) {
	case source:
		f.Side = messages.Source
	case destination:
		f.Side = messages.Destination
	default:
		f.Class = messages.Queue
	}
	return f
}

// A side is what a call goes to.
type side string

const (
	none        side = ""
	source      side = "source"
	destination side = "destination"
	queue       side = "queue"
)

func sideOf(op string) side {
	switch op {
	case "open", "stat", "body", "list", "page":
		return source
	case "put", "head", "create", "abort", "part", "complete":
		return destination
	}
	return queue
}

// Source, as the scanner sees it.

// A scan is what a scanner does, with what it has seen.
type scan struct {
	begin  time.Time
	failed string          // the last call that failed
	judged map[string]bool // files that were queued, or found queued or done
	over   bool
	stats  scanner.Stats
	err    error
	plain  bool // it moves the marks
	// backfill: it queues only what the marks make the installation responsible for.
	backfill bool
	known    messages.Marks // as it read them first
	read     bool
}

func (p *process) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		op := "list"
		for {
			var objects []messages.Object
			err := p.call(ctx, op, "", 0, func() error {
				objects = p.list(max(from, prefix), page)
				return nil
			})
			if err != nil {
				yield(messages.Object{}, err)
				return
			}
			for _, o := range objects {
				if !yield(o, nil) {
					return
				}
			}
			if len(objects) < page {
				return
			}
			op, from = "page", objects[page-1].Name+"\x00"
		}
	}
}

func (p *process) Day(ctx context.Context, d messages.Day) (records map[string]messages.Record, err error) {
	err = p.call(ctx, "day", "", 0, func() (err error) {
		if records, err = p.broker.Day(p.ctx, d); err != nil {
			return err
		}
		for _, r := range records {
			if v := p.present[r.Object.Name]; v != nil && r.Done(v.object, p.epoch) {
				p.scan.judged[r.Object.Name] = true
			}
		}
		return nil
	})
	return records, err
}

func (p *process) Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (queued bool, err error) {
	err = p.call(ctx, "publish", m.Object.Name, 0, func() (err error) {
		if queued, err = p.broker.Publish(p.ctx, lane, m); err == nil {
			p.scan.judged[m.Object.Name] = true
		}
		if r, ok := p.report(m.Object.Name); p.scan.backfill && !(ok && (p.marks.Covers(r.Day) || p.since != "" && r.Day >= p.since)) {
			p.Errorf("I1: a backfill queues %s, and a crash would leave it to nobody: %+v", m.Object.Name, p.marks)
		}
		return err
	})
	return queued && err == nil, err
}

func (p *process) Forget(ctx context.Context, key string, r messages.Record) (erased bool, err error) {
	err = p.call(ctx, "forget", r.Object.Name, 0, func() (err error) {
		if p.present[r.Object.Name] != nil {
			// It may have come back since the listing; then it is a new version.
			if v := p.present[r.Object.Name]; r.Object.SameVersion(v.object) {
				p.Errorf("the record of %s is forgotten, which the source lists", r.Object.Name)
			}
		}
		if erased, err = p.broker.Forget(p.ctx, key, r); erased {
			delete(p.records, key)
			p.erased[key] = time.Now()
			p.excuses[r.Object.Name]++
		}
		return err
	})
	return erased && err == nil, err
}

// Source, as the copier sees it.

func gone(op, name string, side messages.Side) error {
	return &messages.Fault{Class: messages.Gone, Side: side, Op: op + " " + name}
}

func (p *process) inside(name string) {
	if !strings.HasPrefix(name, prefix) {
		p.Errorf("I14: %q is outside of the prefix", name)
	}
}

func (p *process) Open(ctx context.Context, name, etag string, r copier.Range) (o messages.Object, body io.ReadCloser, err error) {
	err = p.call(ctx, "open", name, 0, func() error {
		p.inside(name)
		v := p.present[name]
		switch {
		case v == nil:
			return gone("open", name, messages.Source)
		case etag != "" && etag != v.object.ETag:
			return &messages.Fault{Class: messages.Changed, Side: messages.Source, Op: "open " + name}
		}
		o = v.object
		o.CRC32C, o.Created, o.Modified = v.declared, time.Time{}, time.Time{}
		if r != (copier.Range{}) {
			o.MD5, o.CRC32C = "", ""
		}
		body = p.body(ctx, v, r, p.how)
		p.how = intact
		return nil
	})
	if err != nil {
		return messages.Object{}, nil, err
	}
	return o, body, nil
}

func (p *process) Stat(ctx context.Context, name string) (o messages.Object, err error) {
	err = p.call(ctx, "stat", name, 0, func() error {
		p.inside(name)
		if p.present[name] == nil {
			return gone("stat", name, messages.Source)
		}
		o = p.present[name].object
		return nil
	})
	if err != nil {
		return messages.Object{}, err
	}
	return o, nil
}

// Destination.

// at is the file that a destination key belongs to; none of a process that has ended, whose
// calls nobody hears, and which may speak of a destination that was given up since.
func (p *process) at(key string) string {
	if p.isEnded() {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.nameOf(key)
}

// commits makes sure that only whoever has the loan of a file begins to commit one, but
// for one who mends.
func (p *process) commits(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ghost := slices.ContainsFunc(p.loans, func(l *loan) bool { return l.message.Object.Name == name && !l.over && l.ghost })
	if !p.isEnded() && !p.lent(p, name) && !ghost && !p.refused(name) {
		p.Errorf("I5: %s begins to commit %s without its loan", p.id, name)
	}
}

// handsBack makes sure that nobody begins to hand back a message that may be another's.
func (p *process) handsBack(l *loan) {
	name := l.message.Object.Name
	p.mu.Lock()
	defer p.mu.Unlock()
	if holds := p.world.loans[name] == l && time.Now().Before(l.until); !p.isEnded() && !holds && !l.ghost {
		p.Errorf("I5: %s begins to hand back the message of %s without its loan", p.id, name)
	}
}

func (p *process) isEnded() bool {
	p.local.Lock()
	defer p.local.Unlock()
	return p.ended
}

func (p *process) Put(ctx context.Context, key string, body []byte, m copier.Meta) (etag string, err error) {
	name := p.at(key)
	p.commits(name)
	err = p.call(ctx, "put", name, 0, func() error {
		if m.CRC32C != crc(body) {
			p.Errorf("I2: the CRC32C that goes with %s is not that of its bytes", key)
		}
		etag, err = p.commit(p, key, body, m)
		return err
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

func (p *process) Head(ctx context.Context, key string) (s copier.Stored, err error) {
	err = p.call(ctx, "head", p.at(key), 0, func() error {
		o := p.visible[key]
		switch {
		case p.putOnly:
			return &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Op: "head"}
		case o.version == nil:
			return gone("head", key, messages.Destination)
		}
		s = copier.Stored{Size: o.object.Size, ETag: o.etag, SourceETag: o.object.ETag}
		if !p.noSums {
			s.CRC32C = o.crc32c
		}
		return nil
	})
	if err != nil {
		return copier.Stored{}, err
	}
	return s, nil
}

func (p *process) Create(ctx context.Context, key string, m copier.Meta) (id string, err error) {
	err = p.call(ctx, "create", p.at(key), 0, func() error {
		p.seq++
		id = fmt.Sprint("upload-", p.seq)
		p.uploads[id] = &upload{key: key, meta: m, parts: map[int32]part{}}
		return nil
	})
	if err != nil {
		return "", err
	}
	return id, nil
}

// open is an upload, or NoUpload.
func (p *process) open(op, key, id string) (*upload, error) {
	if u := p.uploads[id]; u != nil && u.key == key {
		return u, nil
	}
	return nil, &messages.Fault{Class: messages.NoUpload, Side: messages.Destination, Op: op}
}

func (p *process) Abort(ctx context.Context, key, id string) error {
	return p.call(ctx, "abort", p.at(key), 0, func() error {
		_, err := p.open("abort", key, id)
		delete(p.uploads, id)
		return err
	})
}

func (p *process) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (part copier.Part, err error) {
	err = p.call(ctx, "part", p.at(key), int(number), func() error {
		u, err := p.open("part", key, id)
		if err != nil {
			return err
		}
		if !p.noted[id] {
			p.Errorf("I10: a part was sent to %s, of which nobody could learn after a crash", id)
		}
		if crc32c != crc(body) {
			p.Errorf("I2: the CRC32C that goes with part %d is not that of its bytes", number)
		}
		stored := p.part(u, number, body)
		u.parts[number], u.sent = stored, u.sent+1
		part = copier.Part{Number: number, ETag: stored.etag(), CRC32C: stored.crc32c}
		return nil
	})
	if err != nil {
		return copier.Part{}, err
	}
	return part, nil
}

func (p *process) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (etag string, err error) {
	name := p.at(key)
	p.commits(name)
	err = p.call(ctx, "complete", name, 0, func() error {
		u, err := p.open("complete", key, id)
		if err != nil {
			return err
		}
		body, sum, err := p.whole(u, parts)
		if err == nil && (int64(len(body)) != size || sum != crc32c) {
			err = errors.New("BadDigest")
		}
		if err != nil {
			return &messages.Fault{Class: messages.Unknown, Side: messages.Destination, Op: "complete", Err: err}
		}
		delete(p.uploads, id)
		etag, err = p.commit(p, key, body, u.meta)
		return err
	})
	if err != nil {
		return "", err
	}
	return etag, nil
}

// Ledger.

// fileOf is the file that a ledger key is of; empty of the marks.
func (p *process) fileOf(key string) string {
	if token, ok := strings.CutPrefix(key, route+".upload."); ok {
		name, _ := messages.DecodeToken(token)
		return name
	}
	if _, d, base, ok := messages.ParseRecordKey(key); ok {
		return prefix + d.Folder() + base
	}
	return ""
}

func (p *process) Read(ctx context.Context, key string) (raw []byte, revision uint64, err error) {
	err = p.call(ctx, "read", p.fileOf(key), 0, func() (err error) {
		raw, revision, err = p.broker.Read(p.ctx, key)
		if p.scan != nil && !p.scan.read {
			p.scan.known, p.scan.read = p.marks, true
		}
		p.learn(key)
		return err
	})
	if err != nil {
		return nil, 0, err
	}
	return raw, revision, nil
}

func (p *process) Write(ctx context.Context, key string, raw []byte, revision uint64) (next uint64, err error) {
	name := p.fileOf(key)
	err = p.call(ctx, "write", name, 0, func() (err error) {
		next, err = p.broker.Write(context.WithoutCancel(p.ctx), key, raw, revision)
		_, _, _, record := messages.ParseRecordKey(key)
		switch {
		case errors.Is(err, messages.Conflict) && record && p.copier != nil:
			for _, l := range p.loans { // whichever it is of
				l.refused = l.refused || l.message.Object.Name == name && !l.over
			}
			p.excuses[name]++
		case err == nil:
			if name == "" && p.scan != nil && p.scan.plain {
				p.checkMarks(p.scan, raw)
			}
			if record && p.scan != nil {
				p.excuses[name]++ // a repeat was ordered
			}
			p.checkWrite(key, raw, p.isFirst(name))
			p.learn(key)
		}
		return err
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// isFirst reports whether a message of a file is at p for which it is the first holder.
func (p *process) isFirst(name string) bool {
	return slices.ContainsFunc(p.loans, func(l *loan) bool { return l.message.Object.Name == name && !l.over && l.number == 1 })
}

// learn notes which outcome of a file p has read or written while it works on it; where two
// slots of it do, it is not known which of them.
func (p *process) learn(key string) {
	r, ok := p.records[key]
	for _, l := range p.loans {
		if ok && r.Status.Final() && !l.over && l.message.Object.Name == r.Object.Name {
			l.knows = r
		}
	}
}

func (p *process) Bury(ctx context.Context, d messages.DeadLetter) error {
	return p.call(ctx, "bury", d.Name, 0, func() error {
		if d.Error == "" || d.Class == "" || d.Route != route || d.Attempts < 1 || d.At.IsZero() {
			p.Errorf("the dead letter of %s is not complete: %+v", d.Name, d)
		}
		p.buried[d.Name] = d
		return p.broker.Bury(p.ctx, d)
	})
}

// Queue.

// errNothing is the outcome of a Next that found nothing.
var errNothing = errors.New("nothing")

func (p *process) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	var d *copier.Delivery
	number := liveOnly
	if backfill {
		number = anyLane
	}
	err := p.call(ctx, "next", "", number, func() (err error) {
		if d, err = p.broker.Next(p.ctx, backfill); d == nil && err == nil {
			err = errNothing
		}
		if d != nil {
			d.Asked = time.Now()
			p.last[number] = p.borrow(d)
			if p.dazed {
				p.freeze()
			}
		}
		return err
	})
	if err == nil {
		err = p.thawed()
	}
	switch {
	case errors.Is(err, errNothing):
		return nil, nil
	case errors.Is(err, errDead):
		<-ctx.Done()
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// borrow notes the loan of d, and makes its calls those of the process.
func (p *process) borrow(d *copier.Delivery) *loan {
	m, err := messages.DecodeDiscovered(d.Data)
	if err != nil {
		p.Errorf("a message cannot be read: %v", err)
		return nil
	}
	name := m.Object.Name
	l := &loan{process: p, message: m, number: d.Deliveries, since: time.Now(), until: time.Now().Add(ackWait)}
	p.mu.Lock()
	if had := p.world.loans[name]; had != nil && !had.over && !had.ghost && time.Now().Before(had.until) {
		p.Errorf("the broker lends %s to %s while %s has it", name, p.id, had.process.id)
	}
	p.world.loans[name] = l
	if d.Deliveries > 1 {
		p.excuses[name]++
	}
	p.loans = append(p.loans, l)
	p.note(p.id, "has", name, works, nil)
	p.mu.Unlock()

	d.Trace = ending{l}
	renew, settle := d.Renew, d.Settle
	d.Renew = func(ctx context.Context) error {
		if err := p.thawed(); err != nil {
			return err
		}
		p.local.Lock()
		deaf := p.deaf
		p.local.Unlock()
		p.mu.Lock()
		defer p.mu.Unlock()
		if deaf || p.out == queue {
			return noAnswer("renew")
		}
		err := renew(ctx)
		// A loan that is over stays so, although the broker confirms it; and one that
		// has another holder by now grows by that, but not one of a later message.
		if now := p.world.loans[name]; err == nil && now.message == m && !now.over && time.Now().Before(now.until) {
			now.until = time.Now().Add(ackWait)
		}
		return err
	}
	d.Settle = func(ctx context.Context, v copier.Verdict) error {
		v.Delay = (v.Delay + pause - 1) / pause * pause
		if v.Act == copier.Nak {
			p.handsBack(l)
		}
		return p.call(ctx, "settle", name, int(v.Act), func() error {
			if !p.left[m] { // else it changes nothing
				p.checkSettle(l, v)
			}
			err := settle(ctx, v)
			if err == nil {
				l.over = true
				p.left[m] = p.left[m] || v.Act != copier.Nak
				if now := p.world.loans[name]; now != l && now.message == m {
					now.ghost = true
				}
			}
			return err
		})
	}
	return l
}

// An ending learns when the work on a loan is over, whether it was settled or left to
// another one.
type ending struct{ *loan }

func (ending) ID() string                                 { return "" }
func (ending) Within(ctx context.Context) context.Context { return ctx }
func (ending) Tell(copier.Event)                          {}

func (e ending) End(error) {
	e.process.mu.Lock()
	defer e.process.mu.Unlock()
	e.over = true
}

// away is which side does not answer from now on; renewals ask for it beside the history.
func (w *world) away(out side) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out = out
}

func (p *process) scanner() *scanner.Scanner {
	return &scanner.Scanner{
		Lister: p, Ledger: p, Marks: p, Publisher: p, Forgetter: p,
		Route: route, Rules: p.rules, Epoch: p.epoch, Since: p.since, Lookback: lookback, Retention: 60 * 24 * time.Hour,
		Interval: 10 * time.Minute, Log: slog.New(slog.DiscardHandler), Violated: p.violated,
	}
}

func (p *process) newCopier(slots int) *copier.Copier {
	return &copier.Copier{
		Queue: p, Ledger: p, Dead: p, Source: p, Objects: p, Uploads: p, Parts: p,
		Gate: &copier.Gate{Probe: pause}, Budget: copier.NewBudget(2, leastMPU),
		Route: route, Rules: p.rules, Epoch: p.epoch, Born: p.born, Worker: p.id, Slots: slots, AckWait: ackWait, Chunk: chunk, LeastPart: leastMPU,
		Retry:     copier.Retry{Initial: pause, Max: pause, Multiplier: 1},
		DeadAfter: deadAfter, Grace: 20 * time.Second, HoldChanged: p.hold,
		Log: slog.New(slog.DiscardHandler), Violated: p.violated,
	}
}

// violated: the program itself found something that must never happen.
func (p *process) violated(i messages.Invariant) {
	if i != messages.Panic {
		p.Errorf("%s tells of %s", p.id, i)
	}
}
