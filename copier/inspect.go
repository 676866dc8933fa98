package copier

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// StatisticsTime is how long a finished copy usually waits for its statistics. A
	// processor reads in it more than there can be to read when the last byte has passed:
	// all of the largest file that is sent whole, or all that is kept of larger ones. What
	// takes longer shares the processor with too much else, and the slot has better to do.
	StatisticsTime = 2 * time.Second
	// blockSize and maxBlocks bound what of larger files is kept until it is read, over
	// all slots, to 32 MiB: a network is faster than a parser, but reports are not long.
	blockSize = 64 << 10
	maxBlocks = 512
	// oddRest is how long the same oddity is not a warning again: where one report has
	// another column, all of them have.
	oddRest = time.Hour
)

// Why statistics are not complete, in the words that stand in them.
var (
	errBehind = errors.New("reading it fell behind the copy, which does not wait")
	errLate   = errors.New("reading it took longer than the copy, which waits no longer")
	errUnread = errors.New("the copy failed")
)

// An Inspection looks at the bytes of reports while they pass. The copies do not wait
// for it, but for a moment at their end and where a setting wants to know before the
// commit: it leaves a processor to them, has a bounded memory, and what it cannot keep up
// with it lets go by, which the statistics then say.
type Inspection struct {
	Inspector Inspector
	// Required lets nothing become visible that is not shown to be valid gzip.
	Required bool
	// Metadata sends the statistics of a file that is sent whole along with it.
	Metadata bool
	// Wait is how long a finished copy waits for its statistics at most; where it is
	// zero, what is not read by then is skipped.
	Wait time.Duration

	turns  turns         // to compute
	blocks chan struct{} // to hold bytes of larger files
	spare  sync.Pool     // of *[]byte of blockSize
	odd    stamps
}

// NewInspection makes one for all copies of a process.
func NewInspection(i Inspector) *Inspection {
	return &Inspection{
		Inspector: i, Wait: StatisticsTime,
		turns:  turns{limit: max(1, runtime.GOMAXPROCS(0)-1)},
		blocks: make(chan struct{}, maxBlocks),
	}
}

// A look is the inspection of one file. It is used by the goroutine of the copy, but
// for what the reading goroutine has, which ends before end returns.
type look struct {
	*Inspection
	ctx    context.Context // ends where the rest is not to be read
	cancel context.CancelCauseFunc
	done   chan struct{}       // closed when stats, spent and err are set
	gone   sync.WaitGroup      // of the reading goroutine
	stats  messages.Statistics // what was found
	spent  time.Duration       // computing
	err    error               // of a panic
	ended  func(spent time.Duration)

	// A file that is sent whole is read where it arrives.
	whole   []byte
	news    chan struct{} // that arrived or all has changed
	mu      sync.Mutex    // guards the next two
	arrived int           // bytes of whole
	all     bool          // of it that will

	// Of one that is sent in parts, the blocks wait to be read; nil of others.
	queue   chan *[]byte
	filling *[]byte // not yet in the queue
	passed  bool    // the queue is closed

	// Of the reading goroutine:
	read   int // of whole
	rest   []byte
	block  *[]byte // that rest is of
	turn   turn
	inside bool // it has its turn
	since  time.Time
}

// look begins to inspect the file of j, as its bytes pass: into whole, or, where that is
// nil, into the parts of an upload. It is nil, which is fit for every call, where nobody
// wants to know.
func (c *Copier) look(j *job, whole []byte) *look {
	if c.Inspect == nil {
		return nil
	}
	l := &look{Inspection: c.Inspect, done: make(chan struct{}), whole: whole, news: make(chan struct{}, 1)}
	l.turn.granted = make(chan struct{}, 1)
	l.ctx, l.cancel = context.WithCancelCause(j.ctx)
	l.ended = func(spent time.Duration) { c.tell(Event{Kind: Inspected, job: j, Spent: spent}) }
	if whole == nil {
		l.queue = make(chan *[]byte, maxBlocks+1)
	}
	l.gone.Go(func() {
		l.err = c.guard(j.log, func() error {
			defer l.leave()
			if err := l.enter(); err != nil {
				l.stats.Skipped = err.Error()
				return nil
			}
			l.stats = l.Inspector.Inspect(l)
			return nil
		})
		if l.err != nil {
			l.stats = messages.Statistics{Skipped: "reading it failed by a fault of this program"}
		}
		l.cancel(nil) // what still passes is of no interest
		close(l.done)
		l.drain()
	})
	return l
}

// enter waits for a turn.
func (l *look) enter() error {
	err := l.turns.take(l.ctx, &l.turn)
	if err == nil {
		l.inside, l.since = true, time.Now()
	}
	return err
}

// leave gives the turn back.
func (l *look) leave() {
	if l.inside {
		l.turns.give()
		l.inside, l.spent = false, l.spent+time.Since(l.since)
	}
}

// Read is for the inspector. Each time another file has its turn, but where a copy waits
// for this one, of which nothing more has to arrive then; and so has whoever else waits
// for the processor: on a machine with only one, the copies.
func (l *look) Read(p []byte) (int, error) {
	if !l.turn.urgent.Load() {
		l.leave()
	}
	runtime.Gosched()
	err := l.more()
	if err == nil && !l.inside {
		err = l.enter()
	}
	if err != nil {
		return 0, err
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

// more makes sure that there is something in rest.
func (l *look) more() error {
	switch {
	case l.ctx.Err() != nil:
		return context.Cause(l.ctx)
	case len(l.rest) > 0:
		return nil
	case l.queue == nil:
		return l.moreOfWhole()
	}
	l.release()
	select {
	case block, ok := <-l.queue:
		if !ok {
			return io.EOF
		}
		l.block, l.rest = block, *block
		return nil
	case <-l.ctx.Done():
		return context.Cause(l.ctx)
	}
}

func (l *look) moreOfWhole() error {
	for {
		l.mu.Lock()
		arrived, all := l.arrived, l.all
		l.mu.Unlock()
		if arrived > l.read {
			l.rest, l.read = l.whole[l.read:arrived], arrived
			return nil
		}
		if all {
			return io.EOF
		}
		select {
		case <-l.news:
		case <-l.ctx.Done():
			return context.Cause(l.ctx)
		}
	}
}

// release gives the present block back.
func (l *look) release() {
	if l.block != nil {
		l.spare.Put(l.block)
		l.block, l.rest = nil, nil
		<-l.blocks
	}
}

// drain gives back what was not read, until nothing more passes.
func (l *look) drain() {
	l.release()
	if l.queue != nil {
		for l.block = range l.queue {
			l.release()
		}
	}
}

// pass shows the next bytes of the file. Those of a part have until sent is closed to find
// room, since until then they are needed anyway; where they do not, none of the rest are
// kept, so that the copy goes on. But where the commit depends on them, it waits.
func (l *look) pass(b []byte, sent <-chan struct{}) {
	switch {
	case l == nil:
	case l.queue == nil:
		l.arrive(len(b), false)
	case l.Required:
		l.offer(b, l.ctx.Done())
	case l.offer(b, sent) < len(b):
		l.cancel(errBehind)
	}
}

// offer shows the next bytes of a part and returns how many found room, until then or, where
// that is nil, at once.
func (l *look) offer(b []byte, until <-chan struct{}) (taken int) {
	if l == nil {
		return 0
	}
	for taken < len(b) && l.ctx.Err() == nil && (l.filling != nil || l.take(until)) {
		was := len(*l.filling)
		n := copy((*l.filling)[was:blockSize], b[taken:])
		*l.filling, taken = (*l.filling)[:was+n], taken+n
		if was+n == blockSize {
			l.flush()
		}
	}
	return taken
}

// arrive says that n more bytes of whole are there, and whether these are all.
func (l *look) arrive(n int, all bool) {
	l.mu.Lock()
	l.arrived, l.all = l.arrived+n, l.all || all
	l.mu.Unlock()
	select {
	case l.news <- struct{}{}:
	default: // it will be looked at
	}
}

// take gets room for a block, until then or, where that is nil, at once.
func (l *look) take(until <-chan struct{}) bool {
	select {
	case l.blocks <- struct{}{}:
	default:
		if until == nil {
			return false
		}
		select {
		case l.blocks <- struct{}{}:
		case <-until:
			return false
		case <-l.ctx.Done():
			return false
		}
	}
	if block, ok := l.spare.Get().(*[]byte); ok {
		*block = (*block)[:0]
		l.filling = block
	} else {
		l.filling = new(make([]byte, 0, blockSize))
	}
	return true
}

// flush never waits: the queue has room for every block that there is.
func (l *look) flush() {
	if l.filling != nil {
		l.queue <- l.filling
		l.filling = nil
	}
}

// pastAll says that every byte of the file has passed, or that no more will.
func (l *look) pastAll() {
	switch {
	case l == nil:
	case l.queue == nil:
		l.arrive(0, true)
	case !l.passed:
		l.flush()
		l.passed = true
		close(l.queue)
	}
}

// outcome waits for what was found, until the copy is over.
func (l *look) outcome() *messages.Statistics {
	l.pastAll()
	l.turn.urgent.Store(true)
	<-l.done
	return &l.stats
}

// soon waits no longer for it than is wanted.
func (l *look) soon() *messages.Statistics {
	if l == nil {
		return nil
	}
	late := time.AfterFunc(l.Wait, func() { l.cancel(errLate) }) // the end is at the next read
	defer late.Stop()
	return l.outcome()
}

// end ends the inspection, finished or not, and returns when nothing uses the bytes any more.
func (l *look) end() {
	if l == nil {
		return
	}
	l.cancel(errUnread)
	l.pastAll()
	l.gone.Wait()
	l.ended(l.spent)
}

// before is what is to be known of a file before its commit: whether it may be
// committed, and the statistics that go with it, if any.
func (l *look) before(j *job) (*messages.Statistics, error) {
	switch {
	case l == nil:
		return nil, nil
	case l.Required:
		s := l.outcome()
		if err := l.valid(j, s); err != nil {
			return nil, err
		}
	case l.Metadata && l.queue == nil:
		l.soon()
	}
	if !l.Metadata || l.queue != nil || !l.stats.Complete() {
		return nil, nil
	}
	return &l.stats, nil
}

func (l *look) valid(j *job, s *messages.Statistics) error {
	switch {
	case j.ctx.Err() != nil: // it was not read to its end
		return context.Cause(j.ctx)
	case l.err != nil:
		return l.err
	case s.Gzip == messages.GzipValid:
		return nil
	}
	return &messages.Fault{Class: messages.InvalidGzip, Side: messages.Source, Op: "inspect " + j.object.Name,
		Err:    fmt.Errorf("it is not shown to be a valid gzip file: %s", cmp.Or(s.Gzip, s.Skipped)),
		Remedy: "see what the source holds; integrity.require_valid_gzip false and `failed retry` deliver it as it is"}
}

// stamps are when each kind of oddity was last a warning.
type stamps struct{ gzip, skipped, columns stamp }

// remark logs what is odd about a report, in one line. What is wrong with its rows is a
// warning each time; of what all reports are likely to share, one an hour is.
func (c *Copier) remark(j *job, s *messages.Statistics) {
	if s == nil || c.Inspect == nil {
		return
	}
	level, args := slog.LevelDebug-1, []any{}
	add := func(at *stamp, odd bool, more ...any) {
		if !odd {
			return
		}
		args = append(args, more...)
		if at != nil && at.within(oddRest) {
			level = max(level, slog.LevelDebug)
			return
		}
		level = slog.LevelWarn
		if at != nil {
			at.set()
		}
	}
	odd := &c.Inspect.odd
	add(&odd.gzip, s.Gzip != "" && s.Gzip != messages.GzipValid, "gzip", s.Gzip)
	add(&odd.skipped, s.Skipped != "", "skipped", s.Skipped)
	if s.Gzip == "" || s.Gzip == messages.GzipValid {
		add(&odd.columns, len(s.Missing)+len(s.Unknown) > 0, "missing", s.Missing, "unknown", s.Unknown)
		add(nil, len(s.Problems) > 0, "problems", s.Problems)
	}
	if level >= slog.LevelDebug {
		j.log.Log(j.ctx, level, "the report is odd, and was copied as it is", args...)
	}
}
