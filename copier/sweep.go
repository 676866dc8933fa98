package copier

import (
	"context"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// sweepAge is how old the last word of an upload is that a sweep ends where nothing
	// is left to do for its file. A worker that is at it writes more often.
	sweepAge = 24 * time.Hour
	// uselessAge is the same for any file. By then its redelivery should have come, and
	// if it comes it sends the file from its begin: nothing but parts is lost.
	uselessAge = 7 * 24 * time.Hour
)

// Sweep ends the upload that the ledger notes for the file of a name, at a revision,
// where nobody is going to, and reports whether it did. Redeliveries end almost all of
// them; what is left is of workers that lost their file to another one, of files whose
// message was lost, and what could not be aborted before. A worker that is at such an
// upload all the same collides with the write to the note, or finds the upload gone and
// begins anew: a sweep costs time at worst.
//
// The key is the one that the configuration gives the name, as in every other request.
func (c *Copier) Sweep(ctx context.Context, name string, u messages.Upload, revision uint64) (bool, error) {
	report, err := c.Rules.Report(messages.Object{Name: name})
	if err != nil {
		return false, nil // of a source that is not this one any more
	}
	if u.ID != "" {
		idle, err := c.isIdle(ctx, report, u)
		if err != nil || !idle {
			return false, err
		}
	}
	u.Key = report.Key
	return true, c.abandon(ctx, c.Log, name, u, revision)
}

func (c *Copier) isIdle(ctx context.Context, report messages.Report, u messages.Upload) (bool, error) {
	age := time.Since(u.Last())
	if age < sweepAge || age >= uselessAge {
		return age >= uselessAge, nil
	}
	r, _, err := c.recorded(ctx, messages.RecordKey(c.Route, report))
	return r.Status.Final() && r.Epoch == c.Epoch, err
}

// recorded is what the ledger says now, at a revision; what cannot be read says nothing.
func (c *Copier) recorded(ctx context.Context, key string) (r messages.Record, revision uint64, err error) {
	raw, revision, err := c.Ledger.Read(ctx, key)
	if err != nil || raw == nil {
		return r, revision, err
	}
	if r, err = messages.DecodeRecord(raw); err != nil {
		return messages.Record{}, revision, nil
	}
	return r, revision, nil
}

// isDoneByAnother reports whether a worker that has lost its lease need not leave
// anything to the next one: the file is done, or somebody who had the message since has
// done the version that he found, and nobody comes for this one.
func (c *Copier) isDoneByAnother(ctx context.Context, j *job) bool {
	if j.lease.fresh() == nil {
		return false
	}
	r, revision, err := c.recorded(ctx, j.recordID)
	final := r.Status.Final() && r.Epoch == c.Epoch
	return err == nil && final && (r.Object.SameVersion(j.object) || revision != j.revision)
}
