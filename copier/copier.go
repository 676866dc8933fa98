// Package copier brings discovered reports to the destination.
//
// A message is a hint to look at an object. The copier looks at its present
// version, checks every byte against what the source declares before anything
// becomes visible, and records the copy in the ledger by compare-and-swap before
// it settles the message. At any instant the process may die: the message comes
// back, and the work is found done, adopted, or done again with the same bytes
// under the same key.
package copier

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oracle-focus-agent/messages"
)

// A Copier works on one route with a number of slots.
type Copier struct {
	Queue   Queue
	Ledger  Ledger
	Dead    DeadLetters
	Source  Source
	Objects Objects
	Uploads Uploads
	Parts   Parts
	// Relays may be nil: then every part is in memory before it is sent.
	Relays Relays
	// Keys yields the keys at the destination below a prefix, in any order, or an error; it
	// may be nil. It spares the copier a HEAD for each file that is older than the ledger.
	Keys func(ctx context.Context, prefix string) iter.Seq2[string, error]
	// Gate is shared by all that use the same source and destination.
	Gate *Gate
	// Budget bounds the bytes that are held in memory, over all slots.
	Budget *Budget

	Route string
	Rules messages.Rules
	// Epoch and Born are those of the route's identity.
	Epoch int
	Born  time.Time
	// Worker names this process in the ledger.
	Worker string
	// Slots is how many files are read at once, and as many are written at once; at least
	// one. A slot reads the next file while it writes the last one, so that up to twice as
	// many messages are held. Resize, which may be nil, brings other numbers while Run
	// works: a slot that is one too many ends the copies that it is at and takes no other.
	Slots  int
	Resize <-chan int
	// AckWait is that of the consumers.
	AckWait time.Duration
	// Chunk is the part size in bytes, and the size up to which a file is sent whole.
	Chunk int64
	// LeastPart is the smallest part that the destination takes, but for the last; 0 is
	// that of S3.
	LeastPart int64
	Retry     Retry
	// DeadAfter is the age of the first failure after which a file is given up,
	// while other files are being copied.
	DeadAfter time.Duration
	// Grace is how long copies in flight may go on after the end of Run's context.
	Grace time.Duration
	// Inspect looks at the reports that pass; nil of nobody does, which costs nothing.
	Inspect *Inspection
	// HandMD5 has the destination verify the MD5 of a file that is sent whole, where the source
	// declares that and no CRC32C, instead of computing it here. It is only for one that is
	// proven to refuse a body with another Content-MD5.
	HandMD5 bool
	// HoldChanged lets an operator decide before a delivered file is replaced by other
	// bytes, instead of replacing it.
	HoldChanged bool
	// Observe is told what happens, from any goroutine; may be nil.
	Observe func(Event)
	// Violated is told of what must never happen, from any goroutine; may be nil.
	Violated func(messages.Invariant)
	// Alive is told by each hand, of which 2n and 2n+1 are those of slot n, that it works or
	// waits, and within what time it tells that again; 0 means that it has ended, or waits for
	// the other one. A hand that is silent for longer hangs. May be nil.
	Alive func(hand int, within time.Duration)
	Log   *slog.Logger

	success stamp // of the last commit
	denied  stamp // HEAD was refused: it is not asked again for a while
	elders  elders
	noRange stamp // the source sent no range: none is asked of it for a while
	noRelay stamp // the destination did not take a relayed part: none is sent for a while
	atWork  atomic.Int64
	convoys atomic.Int64 // large files that are under way
}

// Retry says how long a failed file rests before its next attempt.
type Retry struct {
	Initial, Max time.Duration
	Multiplier   float64
}

// delay returns the rest after the given number of failed attempts, with up to a
// quarter of jitter.
func (r Retry) delay(attempts int) time.Duration {
	d := float64(r.Initial)
	for range attempts - 1 {
		if d *= max(r.Multiplier, 1); d >= float64(r.Max) {
			break
		}
	}
	return jitter(time.Duration(min(d, float64(r.Max))))
}

func jitter(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// errShutdown is the cause of the end of copies that outlived the grace.
var errShutdown = errors.New("shutting down")

// settleTime bounds what is done after a copy, whatever became of its context.
const settleTime = 10 * time.Second

// awayRest is the rest of a slot for which the queue or the ledger did not take part, so
// that it does not run through a backlog in a hurry.
const awayRest = 2 * time.Second

// lastTime bounds it after the grace of a shutdown: a queue that is away must not
// hold up the end of the process.
const lastTime = 3 * time.Second

// A shutdown is the end of the grace, at its time.
type shutdown struct {
	error
	at time.Time
}

func (s *shutdown) Unwrap() error { return s.error }

// outlive returns a context for what must be done although ctx is over.
func outlive(ctx context.Context, limit time.Duration) (context.Context, context.CancelFunc) {
	out, cancel := context.WithTimeout(context.WithoutCancel(ctx), limit)
	stop := context.AfterFunc(ctx, func() {
		if s, ok := errors.AsType[*shutdown](context.Cause(ctx)); ok {
			timer := time.AfterFunc(lastTime-time.Since(s.at), cancel)
			context.AfterFunc(out, func() { timer.Stop() })
		}
	})
	return out, func() {
		stop()
		cancel()
	}
}

// Run works until ctx ends, lets the copies in flight finish within the grace,
// hands the rest back to the queue and returns.
func (c *Copier) Run(ctx context.Context) {
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(nil)
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(c.Grace, func() { cancel(&shutdown{errShutdown, time.Now()}) })
		context.AfterFunc(work, func() { timer.Stop() })
	})
	defer stop()
	c.tellFIPS()
	c.crew(ctx, work)
}

// crew keeps the wanted number of slots at work until ctx ends, and waits for them.
func (c *Copier) crew(ctx, work context.Context) {
	var crew crew
	var hands sync.WaitGroup
	defer hands.Wait()
	for size := c.Slots; ; {
		for _, h := range crew.resize(max(size, 1)) {
			hands.Go(func() { c.hand(ctx, work, &crew, h) })
		}
		select {
		case <-ctx.Done():
			return
		case size = <-c.Resize:
		}
	}
}

// AtWork is how many messages are held now, also of files of which no byte moves yet.
func (c *Copier) AtWork() int { return int(c.atWork.Load()) }

// hand handles one message after the other, in turns with the other hand of its slot.
func (c *Copier) hand(ctx, work context.Context, crew *crew, h *hand) {
	alive := c.pulse(h.id())
	defer alive(0)
	for stays := true; stays; {
		stays = h.toAsk(ctx, alive) && c.next(ctx, work, crew, h, alive)
		h.giveBack()
	}
}

// next takes a message, if there is one, and handles it. stays is false where the hand is
// to end.
func (c *Copier) next(ctx, work context.Context, crew *crew, h *hand, alive func(time.Duration)) (stays bool) {
	var backfill bool
	pass, ok := c.Gate.enter(ctx, func() (_, stays bool) {
		backfill, stays = crew.ask(h)
		return backfill, stays
	}, alive)
	if !ok {
		return false
	}
	var d *Delivery
	alive(settleTime)
	err := c.guard(c.Log, func() (err error) {
		d, err = c.Queue.Next(ctx, backfill)
		return err
	})
	switch {
	case err != nil && ctx.Err() == nil:
		c.Log.Warn("the queue does not answer; trying again", "err", err)
		c.rest(ctx, jitter(awayRest))
	case d != nil:
		pass.used, h.probes = true, pass.probe
		c.atWork.Add(1)
		away := c.handle(work, h, d, alive)
		c.atWork.Add(-1)
		if away { // the next message would fare no better, nor what the other hand has to write
			c.rest(ctx, jitter(awayRest))
		}
	}
	c.Gate.leave(pass)
	return true
}

// pulse returns what tells that a hand is alive. Beyond the present step, a hand may
// take what the end of a copy and the ledger take.
func (c *Copier) pulse(hand int) (alive func(within time.Duration)) {
	if c.Alive == nil {
		return func(time.Duration) {}
	}
	return func(within time.Duration) {
		if within > 0 {
			within += c.AckWait + time.Minute
		}
		c.Alive(hand, within)
	}
}

func (c *Copier) rest(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// A job is one delivery in work.
type job struct {
	*lease
	hand     *hand
	delivery *Delivery
	message  messages.FileDiscovered
	report   messages.Report
	recordID string // key in the ledger
	started  time.Time
	waited   time.Duration // since then, for the other hand
	log      *slog.Logger

	// record is what the ledger held when it was last read, at revision.
	record   messages.Record
	revision uint64
	// object is the present version of the source.
	object messages.Object
	// listed is the same without what only the answer to Open told.
	listed messages.Object
	// kept is the upload of an earlier attempt until it is continued or ended; nil of none.
	kept *kept
	// offset is from which byte on it is continued, with these sums up to there; 0 where
	// the file is read from its begin.
	offset int64
	sums   sums
	// resumed is how many bytes were not sent again for the same reason.
	resumed int64
	// again is set after a commit that the ledger did not accept: the present
	// version must be sent once more, whatever the ledger says.
	again bool
	// replaced is set when other bytes than the delivered ones took their place.
	replaced bool
	// away is set when the queue or the ledger did not take part.
	away bool
	// failure is why the attempt failed, if it did.
	failure error
}

// guard makes of a panic of f a failure like any other: one broken call of a
// port must not end the other copies of the process.
func (c *Copier) guard(log *slog.Logger, f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			c.violated(messages.Panic)
			log.Error("panic", "panic", fmt.Sprint(r), "stack", string(debug.Stack()))
			err = &messages.Fault{Class: messages.Unknown, Op: "copy", Err: fmt.Errorf("panic: %v", r)}
		}
	}()
	return f()
}

// handle works on one delivery and settles it. away tells that the queue or the ledger
// did not take part.
func (c *Copier) handle(ctx context.Context, h *hand, d *Delivery, alive func(time.Duration)) (away bool) {
	j := &job{hand: h, delivery: d, started: time.Now(), log: c.Log}
	ctx = j.follow(ctx)
	defer j.followed()
	renew := func(ctx context.Context) error { return c.guard(c.Log, func() error { return d.Renew(ctx) }) }
	j.lease = newLease(ctx, renew, c.AckWait, d.Asked, alive)
	defer j.lease.end()
	var verdict *Verdict
	err := c.guard(j.log, func() (err error) {
		verdict, err = c.attempt(j)
		return err
	})
	if j.failure = err; err != nil {
		err = c.guard(j.log, func() error {
			verdict = c.failed(j, err)
			return nil
		})
	}
	if err != nil { // not even the failure could be recorded
		verdict = &Verdict{Act: Nak, Delay: c.Retry.delay(1)}
	}
	if verdict != nil && verdict.Act == Nak && j.lease.fresh() != nil { // it took too long to record the failure
		verdict = nil
	}
	if verdict == nil { // the message may be another worker's by now: hands off
		j.log.Warn("the lease was lost; another worker has or gets this file", "subject", d.Subject)
		return j.away
	}
	ctx, cancel := outlive(ctx, settleTime)
	defer cancel()
	if err := c.guard(j.log, func() error { return d.Settle(ctx, *verdict) }); err != nil {
		j.log.Warn("the message could not be settled and will come again", "subject", d.Subject, "err", err)
		return true
	}
	return j.away
}

func (c *Copier) attempt(j *job) (*Verdict, error) {
	if err := c.accept(j); err != nil {
		return nil, err
	}
	if err := c.meetUpload(j); err != nil {
		return nil, err
	}
	for range 5 {
		done, err := c.copyPresent(j)
		if done || err != nil {
			return &Verdict{Act: Ack}, err
		}
	}
	return nil, &messages.Fault{Class: messages.Conflict, Op: "record " + j.object.Name, Err: errors.New("the ledger record changed five times during the copy")}
}

// accept decodes and checks the message: its subject, route and name must agree
// with each other and with the rules of this copier. Nothing in a message can
// name another bucket, endpoint or key.
func (c *Copier) accept(j *job) error {
	m, err := c.decode(j.delivery)
	if err != nil {
		if errors.Is(err, messages.Refused) {
			c.violated(messages.MessageContract)
		}
		return err
	}
	if m.Epoch > c.Epoch { // for a copier of the new destination, which this one does not know
		return &messages.Fault{Class: messages.Queue, Op: "accept message", Err: fmt.Errorf("route %q has another destination by now; start this copier again", m.Route)}
	}
	if j.report, err = c.Rules.Report(m.Object); err != nil {
		if m.Epoch == c.Epoch && !isTooLarge(err) { // a scanner of this epoch has the same rules, but for the size
			c.violated(messages.MessageContract)
		}
		return err
	}
	j.message, j.object = m, m.Object
	j.recordID = messages.RecordKey(c.Route, j.report)
	j.log = j.log.With("scan", m.Scan, "trace", m.Trace, "object", m.Object.Name)
	return nil
}

func (c *Copier) decode(d *Delivery) (messages.FileDiscovered, error) {
	m, err := messages.DecodeDiscovered(d.Data)
	if err != nil {
		return m, err
	}
	if tail := "." + m.Route + "." + messages.EncodeToken(m.Object.Name); m.Route != c.Route || !strings.HasSuffix(d.Subject, tail) {
		return m, &messages.Fault{Class: messages.Refused, Op: "accept message", Err: fmt.Errorf("route %q and object %q do not belong on subject %s", m.Route, m.Object.Name, d.Subject)}
	}
	return m, nil
}

func isTooLarge(err error) bool {
	bad, ok := errors.AsType[*messages.Ineligible](err)
	return ok && bad.Reason == messages.TooLarge
}

// copyPresent brings the present version to the destination and records it.
// done is false where the ledger refused the record: then an older version may
// stand behind a newer record, and the present one must be sent again.
//
// The commit point is the Put or Complete inside send. A crash before it leaves
// nothing visible; a crash between it and the ledger's write leaves the object
// without a record: the redelivery sends the same bytes to the same key, or
// adopts them. A crash after the write leaves only the message, whose redelivery
// finds the record and acks.
func (c *Copier) copyPresent(j *job) (done bool, err error) {
	if err := j.toRead(); err != nil {
		return false, err
	}
	if err := c.readRecord(j); err != nil {
		return false, err
	}
	if c.isDone(j) {
		if err := c.dropUpload(j); err != nil {
			return false, err
		}
		j.log.Debug("skipping, already transferred")
		c.tell(Event{Kind: Skipped, job: j})
		return true, nil
	}
	if j.object.Size > c.Chunk { // its body would wait for that, once it is opened
		if err := c.toSend(j); err != nil {
			return false, err
		}
		c.convoys.Add(1) // from here on, so that the first of several does not take all connections
		defer c.convoys.Add(-1)
	}
	c.askAhead(j)
	body, err := c.open(j)
	switch {
	case errors.Is(err, messages.Gone):
		if err := c.dropUpload(j); err != nil {
			return false, err
		}
		r := c.newRecord(j, messages.StatusGone)
		r.Copy = j.record.Copy
		return c.conclude(j, r)
	case err != nil:
		return false, err
	case body == nil: // the present version is done
		if err := c.dropUpload(j); err != nil {
			return false, err
		}
		c.tell(Event{Kind: Skipped, job: j})
		return true, nil
	}
	defer body.Close()
	r := c.newRecord(j, messages.StatusCopied)
	r.Copy, err = c.known(j)
	if r.Copy == nil && err == nil {
		r.Copy, err = c.adopt(j)
	}
	switch {
	case err != nil:
	case r.Copy != nil:
		err = c.dropUpload(j)
	default:
		r.Copy, err = c.send(j, body)
	}
	if errors.Is(err, errAnew) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	j.succeed(r.Copy)
	return c.conclude(j, r)
}

func (c *Copier) readRecord(j *job) error {
	raw, revision, err := c.Ledger.Read(j.ctx, j.recordID)
	if err != nil {
		return err
	}
	j.record, j.revision = messages.Record{}, revision
	if raw == nil {
		return nil
	}
	j.record, err = messages.DecodeRecord(raw)
	if errors.Is(err, messages.Refused) { // the ledger is a cache: what cannot be read is not there
		c.violated(messages.UnreadableRecord)
		j.log.Error("the ledger record cannot be read and is written anew", "key", j.recordID, "err", err)
		err = nil
	}
	if j.record.Epoch != c.Epoch { // it speaks of a destination that was given up
		j.record = messages.Record{Generation: j.record.Generation}
	}
	return err
}

// isDone reports whether the ledger needs nothing more for the version at hand.
func (c *Copier) isDone(j *job) bool {
	return !j.again && j.record.Done(j.object, c.Epoch) && j.record.Generation >= j.message.Generation
}

func (c *Copier) newRecord(j *job, s messages.Status) messages.Record {
	return messages.Record{
		Status: s, Epoch: c.Epoch, Object: j.object,
		Generation: max(j.record.Generation, j.message.Generation),
		Worker:     c.Worker, Trace: j.message.Trace, TraceID: j.traceID(), At: time.Now().UTC(),
	}
}

// conclude records the outcome. Where somebody else had the message before, or has it
// since, he may have left an upload to the next one, of whom there is none any more once
// the outcome is on record: so it ends here. Who comes back later finds the record.
func (c *Copier) conclude(j *job, r messages.Record) (done bool, err error) {
	done, err = c.write(j, r)
	if done && err == nil && (j.delivery.Deliveries > 1 || j.lease.fresh() != nil) {
		err = c.clearUpload(j)
	}
	return done, err
}

// write records the outcome by compare-and-swap. It outlives a shutdown, because
// what was committed should be recorded; and a ledger that is away for less than
// the ack wait, because nobody else gets the message meanwhile, and the copy would
// be made again.
func (c *Copier) write(j *job, r messages.Record) (done bool, err error) {
	raw, err := r.Encode()
	if err != nil && r.Copy != nil { // for the statistics alone no copy is made again
		slim := *r.Copy
		slim.Statistics, slim.Replaced, r.Copy = nil, nil, &slim
		raw, err = r.Encode()
	}
	if err != nil {
		return false, err
	}
	for deadline := time.Now().Add(c.AckWait / 2); ; {
		done, err = c.writeOnce(j, r, raw)
		if messages.ClassOf(err) != messages.Queue || j.ctx.Err() != nil || time.Now().After(deadline) {
			return done, err
		}
		j.log.Warn("the ledger does not answer; trying again to record the copy", "err", err)
		c.rest(j.ctx, jitter(time.Second))
	}
}

func (c *Copier) writeOnce(j *job, r messages.Record, raw []byte) (done bool, err error) {
	ctx, cancel := outlive(j.ctx, settleTime)
	defer cancel()
	_, err = c.Ledger.Write(ctx, j.recordID, raw, j.revision)
	if errors.Is(err, messages.Conflict) {
		return c.lost(j, r)
	}
	if err != nil {
		return false, err
	}
	c.finished(j, r)
	return true, nil
}

// lost is the race for the record: someone else wrote it since it was read. The
// same version in it is as good as ours.
func (c *Copier) lost(j *job, r messages.Record) (done bool, err error) {
	if err := c.readRecord(j); err != nil {
		return false, err
	}
	if j.record.Done(r.Object, c.Epoch) && j.record.Generation >= r.Generation {
		switch {
		case j.record.Worker == r.Worker && j.record.At.Equal(r.At): // ours; only the answer was lost
			c.finished(j, r)
			return true, nil
		case committed(r):
			// Ours came after the one on record, and perhaps over a newer version whose worker
			// has yet to record it: he is to collide, too, and to send his once more.
			r.Generation = j.record.Generation
			return c.write(j, r)
		}
		c.tell(Event{Kind: Skipped, job: j})
		return true, nil
	}
	j.log.Warn("another worker recorded another version; copying the present one again")
	j.again = committed(r)
	return false, nil
}

// committed reports whether a record tells of bytes that its own attempt made visible.
func committed(r messages.Record) bool { return r.Copy != nil && r.Copy.How == messages.HowCopied }

func (c *Copier) finished(j *job, r messages.Record) {
	if r.Status == messages.StatusCopied && r.Copy.How != messages.HowRecorded {
		// Only these prove that both sides work.
		c.success.set()
		c.Gate.succeeded()
	}
	if r.Status == messages.StatusGone {
		j.log.Warn("the source no longer has this file; nothing was copied")
		c.tell(Event{Kind: Vanished, job: j, Record: r})
		return
	}
	elapsed := j.spent()
	j.log.Info("transfer complete", "key", r.Copy.Key, "bytes", r.Object.Size, "how", r.Copy.How,
		"verified", r.Copy.Verified, "elapsed", elapsed.Round(time.Millisecond), "bytes_per_second", int64(float64(r.Object.Size)/elapsed.Seconds()))
	if committed(r) {
		c.remark(j, r.Copy.Statistics)
	}
	c.tell(Event{Kind: Finished, job: j, Record: r, Replaced: j.replaced, Resumed: j.resumed})
}
