package copier

import (
	"context"
	"time"

	"oracle-focus-agent/messages"
)

// A Kind says what an Event tells.
type Kind string

// The kinds, in the order in which a file can go through them.
const (
	Started   Kind = "started"   // bytes begin to move
	Progress  Kind = "progress"  // some have moved
	Inspected Kind = "inspected" // read as a report, or given up; the copy may yet fail
	Finished  Kind = "finished"  // copied, adopted or recorded: see Record.Copy.How
	Skipped   Kind = "skipped"   // nothing was to be done
	Vanished  Kind = "vanished"  // the source no longer has it
	Retrying  Kind = "retrying"  // failed, tried again after Delay
	Held      Kind = "held"      // failed because a side is down; no attempt counted
	Died      Kind = "died"      // given up
	Returned  Kind = "returned"  // not decided here: left to the queue, or to the worker who has it now
)

// An Event is what happened to one file. It is given away while the work waits:
// an observer must be quick.
type Event struct {
	Kind   Kind
	Object messages.Object
	Report messages.Report
	// Discovered is when the scanner found the file.
	Discovered time.Time
	// Bytes have moved since the last Progress; the first one of a continued upload
	// tells of those that an earlier attempt sent.
	Bytes int64
	// Resumed is how many bytes of a Finished copy those were.
	Resumed int64
	Record  messages.Record // where the ledger was written
	// Replaced is set where Finished took the place of other bytes, which
	// Record.Copy.Replaced tells of; that stands in later records, too.
	Replaced bool
	Err      error
	Delay    time.Duration
	// Spent is what Inspected took of a processor.
	Spent time.Duration

	job *job
}

func (c *Copier) violated(i messages.Invariant) {
	if c.Violated != nil {
		c.Violated(i)
	}
}

func (c *Copier) tell(e Event) {
	t := e.job.trace()
	if c.Observe == nil && t == nil {
		return
	}
	e.Object, e.Report, e.Discovered, e.job = e.job.object, e.job.report, e.job.message.Discovered, nil
	if t != nil && e.Kind != Progress {
		t.Tell(e)
	}
	if c.Observe != nil {
		c.Observe(e)
	}
}

// trace is what follows the job; nil of nobody does.
func (j *job) trace() Trace { return j.delivery.Trace }

// traceID is empty where there is no trace that could be found.
func (j *job) traceID() string {
	if t := j.trace(); t != nil {
		return t.ID()
	}
	return ""
}

// follow returns the context of the job, and names its trace in the log.
func (j *job) follow(ctx context.Context) context.Context {
	t := j.trace()
	if t == nil {
		return ctx
	}
	if id := t.ID(); id != "" {
		j.log = j.log.With("trace_id", id)
	}
	return t.Within(ctx)
}

func (j *job) followed() {
	if t := j.trace(); t != nil {
		t.End(j.failure)
	}
}
