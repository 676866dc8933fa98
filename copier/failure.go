package copier

import (
	"context"
	"errors"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// maxSideDelay bounds the rest of a file whose side failed, so that the first
	// copy follows the end of an outage within a minute.
	maxSideDelay = 30 * time.Second
	// maxMismatches is how often the bytes may differ from the declared checksum.
	maxMismatches = 3
	// recent is how fresh the last success must be for a file to die of age: while
	// nothing is copied at all, no single file is at fault.
	recent = time.Hour
)

// failed decides what becomes of a delivery whose attempt failed. nil leaves the
// message alone.
func (c *Copier) failed(j *job, err error) *Verdict {
	if cause := context.Cause(j.ctx); cause != nil {
		err = cause
	}
	class := messages.ClassOf(err)
	if j.again {
		c.owe(j)
	}
	switch {
	case errors.Is(err, errShutdown), errors.Is(err, errNoTurn):
		c.tell(Event{Kind: Returned, job: j})
		return &Verdict{Act: Nak}
	case class == messages.LeaseLost || j.lease.fresh() != nil:
		c.tell(Event{Kind: Returned, job: j, Err: &messages.Fault{Class: messages.LeaseLost, Op: "copy", Err: err}})
		return nil // a nak would take the message away from the one who has it now
	case errors.Is(err, messages.ErrNewer):
		c.violated(messages.NewerSchema)
		j.log.Error("a newer version of this program wrote this", "subject", j.delivery.Subject, "err", err)
		return &Verdict{Act: Nak, Delay: jitter(messages.MaxPause)}
	case class == messages.Queue || class == messages.Conflict:
		j.away = class == messages.Queue
		j.log.Warn("the ledger did not take part; trying again", "err", err)
		c.tell(Event{Kind: Returned, job: j, Err: err})
		return &Verdict{Act: Nak, Delay: c.Retry.delay(1)}
	case j.recordID == "": // not a message that any attempt could serve
		return c.bury(j, messages.Record{}, err)
	}
	side := messages.SideOf(err)
	if errors.Is(err, errBarred) || side != "" && class.OfSide() && c.Gate.failed(side, class, j.object.Name, err) {
		delay := max(jitter(min(maxSideDelay, c.Gate.Probe)), messages.PauseOf(err)) // it may be the next to be tried
		c.logFailure(j, err, 0, delay)
		c.tell(Event{Kind: Held, job: j, Err: err, Delay: delay})
		return &Verdict{Act: Nak, Delay: delay} // no attempt is counted
	}
	return c.retry(j, err)
}

// retry counts the attempt in the ledger and hands the message back with a
// delay, or gives the file up.
func (c *Copier) retry(j *job, err error) *Verdict {
	if j.isLate() {
		delay := c.Retry.delay(j.delivery.Deliveries)
		c.logFailure(j, err, 0, delay)
		c.tell(Event{Kind: Returned, job: j, Err: err})
		return &Verdict{Act: Nak, Delay: delay}
	}
	r := c.newRecord(j, messages.StatusRetrying)
	class := messages.ClassOf(err)
	r.Class, r.Error, r.Copy = class, cut(err.Error(), 1000), j.record.Copy
	r.Repeat, r.Attempts, r.FirstFailed = j.ordered(), 1, r.At
	if last := j.record; last.Status == messages.StatusRetrying && last.Object.SameVersion(j.object) {
		r.Attempts, r.FirstFailed, r.Mismatches = last.Attempts+1, last.FirstFailed, last.Mismatches
		if r.FirstFailed.Before(j.object.Created) { // a clock was wrong, and no file dies of that
			r.FirstFailed = r.At
		}
	}
	if class == messages.HashMismatch {
		r.Mismatches++
	}
	if c.isDead(r) {
		return c.bury(j, r, err)
	}
	delay := c.delay(r, err)
	if err := c.record(j, r); err != nil {
		j.log.Warn("the failed attempt could not be recorded", "err", err)
	}
	c.logFailure(j, err, r.Attempts, delay)
	c.tell(Event{Kind: Retrying, job: j, Record: r, Err: err, Delay: delay})
	return &Verdict{Act: Nak, Delay: delay}
}

// owe orders in the ledger that the present version is sent once more: an older one was
// committed late, behind a record of it, and the copy that was to mend that has failed. So
// it is mended whoever comes next, also where this worker has no message any more: then a
// scan queues the file again. A crash before this write leaves an older version behind a
// newer record, which a comparison of both sides finds.
func (c *Copier) owe(j *job) {
	ctx, cancel := outlive(j.ctx, settleTime)
	defer cancel()
	for ctx.Err() == nil {
		r, revision, err := c.recorded(ctx, j.recordID)
		if err == nil && (!r.Status.Final() || r.Epoch != c.Epoch) { // who is at it sends it, or it is ordered already
			return
		}
		if err == nil {
			r = r.Ordered(r.Object, c.Epoch, time.Now())
			r.Worker, r.Trace, r.TraceID = c.Worker, j.message.Trace, j.traceID()
			var raw []byte
			if raw, err = r.Encode(); err == nil {
				_, err = c.Ledger.Write(ctx, j.recordID, raw, revision)
			}
		}
		if err == nil {
			j.log.Warn("an older version was committed late, and could not be replaced at once; it is ordered again")
			return
		}
		c.rest(ctx, jitter(time.Second))
	}
	j.log.Error("an older version may stand at the destination behind a newer record; compare this day with the command verify")
}

// isLate reports whether the version at hand is older than one that is done: of a message
// that was queued by an earlier listing. What is done is not put in doubt by its failure,
// or the present version would be sent again.
func (j *job) isLate() bool {
	return j.record.Status.Final() && j.record.Object.Modified.After(j.object.Modified)
}

func (c *Copier) isDead(r messages.Record) bool {
	switch {
	case r.Class == messages.Refused || r.Class == messages.InvalidGzip || r.Class == messages.Held:
		return true
	case r.Mismatches >= maxMismatches:
		return true
	}
	return r.At.Sub(r.FirstFailed) >= c.DeadAfter && c.success.within(recent)
}

func (c *Copier) delay(r messages.Record, err error) time.Duration {
	delay := c.Retry.delay(r.Attempts)
	if r.Class.OfSide() {
		delay = min(delay, jitter(maxSideDelay))
	}
	return max(delay, messages.PauseOf(err))
}

// bury gives a file up: first the dead letter, then the ledger record, then the
// message. A crash in between repeats what follows; the dead letter of a file
// replaces its older one. An upload that could not be aborted keeps the file
// alive, because no later attempt would end it.
func (c *Copier) bury(j *job, r messages.Record, err error) *Verdict {
	class := messages.ClassOf(err)
	if j.recordID != "" {
		if err := c.clearUpload(j); err != nil {
			j.log.Warn("the upload of a file that is given up could not be ended; trying again", "err", err)
			return &Verdict{Act: Nak, Delay: c.Retry.delay(1)}
		}
	}
	ctx, cancel := outlive(j.ctx, settleTime)
	defer cancel()
	if err := c.Dead.Bury(ctx, messages.DeadLetter{
		Route: c.Route, Name: j.subjectName(), Object: j.object, Class: class, Error: cut(err.Error(), 1000),
		Subject: j.delivery.Subject, Message: cut(string(j.delivery.Data), 4096),
		Attempts: max(r.Attempts, 1), Worker: c.Worker, At: time.Now().UTC(),
	}); err != nil {
		j.away = true
		j.log.Warn("the dead letter could not be written; trying again", "err", err)
		return &Verdict{Act: Nak, Delay: c.Retry.delay(1)}
	}
	if j.recordID != "" {
		r.Status = messages.StatusFailed
		if err := c.record(j, r); err != nil {
			j.log.Warn("the failure could not be recorded; trying again", "err", err)
			return &Verdict{Act: Nak, Delay: c.Retry.delay(1)}
		}
	}
	j.log.Error("given up; see the dead letters", "subject", j.delivery.Subject, "class", class, "attempts", r.Attempts, "err", err)
	c.tell(Event{Kind: Died, job: j, Record: r, Err: err})
	return &Verdict{Act: Term, Reason: string(class) + ": " + cut(strings.ToValidUTF8(err.Error(), "?"), 200)}
}

// subjectName is the file that the subject names, which a broken message may not.
func (j *job) subjectName() string {
	token := j.delivery.Subject[strings.LastIndexByte(j.delivery.Subject, '.')+1:]
	name, err := messages.DecodeToken(token)
	if err != nil {
		return token
	}
	return name
}

func (c *Copier) record(j *job, r messages.Record) error {
	raw, err := r.Encode()
	if err != nil {
		return err
	}
	ctx, cancel := outlive(j.ctx, settleTime)
	defer cancel()
	_, err = c.Ledger.Write(ctx, j.recordID, raw, j.revision)
	if messages.ClassOf(err) == messages.Queue {
		j.away = true
	}
	return err
}

func (c *Copier) logFailure(j *job, err error, attempt int, delay time.Duration) {
	j.log.Warn("transfer failed", "attempt", attempt, "retry_in", delay.Round(time.Millisecond), "class", messages.ClassOf(err), "err", err)
}

// cut shortens s to at most n bytes of valid UTF-8.
func cut(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "")
}
