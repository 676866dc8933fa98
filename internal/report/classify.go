package report

import (
	"cmp"
	"fmt"
	"time"

	"oracle-focus-agent/messages"
)

// classify says which section a file stands in, and why.
func (b *Builder) classify(e Evidence) File {
	f := File{Day: e.Day, Object: e.Object.Name, Key: e.Key, Size: e.Object.Size, Listed: e.Listed, Appeared: e.appeared()}
	r := e.Record
	switch {
	case e.Reason == messages.TooLarge:
		f.Section, f.Reason, f.Why = Failed, string(e.Reason), e.Rule
	case e.Reason != "":
		f.Section, f.Reason, f.Why = Skipped, IsIneligible, e.Rule
	case r == nil && b.beforeUs(e.Day):
		f.Section, f.Reason, f.Why = Skipped, IsBeforeUs, "this installation is responsible from "+string(b.Marks.Since)+" on; `backfill` brings earlier days"
	case r == nil:
		f.Section, f.Reason, f.Why = Pending, "waiting", "not copied yet"
	case !r.Done(e.Object, b.Epoch) && (e.Listed || !r.Status.Final() || r.Epoch != b.Epoch): // what is not listed is the version of the record
		f.pending(*r, b.Epoch)
	default:
		f.done(*r)
	}
	return f
}

// done fills in what a final record says.
func (f *File) done(r messages.Record) {
	f.Attempts = r.Attempts
	switch r.Status {
	case messages.StatusFailed:
		f.Section, f.Reason, f.Why = Failed, cmp.Or(string(r.Class), string(messages.Unknown)), r.Error
	case messages.StatusDiscarded:
		f.Section, f.Reason, f.Why = Skipped, IsDiscarded, r.Error
	case messages.StatusGone:
		f.Section, f.Reason = Skipped, IsGone
	default:
		f.delivered(r)
	}
}

func (f *File) delivered(r messages.Record) {
	c := r.Copy
	if c == nil { // of no version of this program; proven names it
		f.Section, f.Reason = Transferred, "unknown"
		return
	}
	f.Key, f.Delivered, f.Verified, f.CRC32C = cmp.Or(c.Key, f.Key), c.At, c.Verified, c.CRC32C
	switch {
	case r.Inherited():
		f.Section, f.Reason = Skipped, IsInherited
	case c.How == messages.HowRecorded:
		f.Section, f.Reason, f.Why = Skipped, IsRecorded, "the same bytes were delivered as an earlier version"
	default:
		f.Section, f.Reason = Transferred, c.How
	}
	if s := c.Statistics; s.Complete() {
		own := purse{}
		if err := own.put(s.Sums, every); err == nil {
			f.Counted, f.Rows, f.Corrections, f.Cost = true, s.Rows, s.Corrections, own.costs()
		}
	}
}

// pending fills in why a file that has a record is not done.
func (f *File) pending(r messages.Record, epoch int) {
	f.Section, f.Attempts = Pending, r.Attempts
	switch {
	case r.Epoch != epoch:
		f.Reason, f.Why = "waiting", "delivered only to the destination of before"
	case r.Status == messages.StatusRetrying:
		f.Reason, f.Why = "retrying", fmt.Sprintf("%s failed, the last with %s: %s", some(int64(r.Attempts), "attempt"), cmp.Or(r.Class, messages.Unknown), r.Error)
	case r.Status == messages.StatusDue:
		f.Reason, f.Why = "ordered", "another copy was ordered"
	case r.Copy != nil:
		f.Reason, f.Why = "waiting", "an earlier version was delivered "+shortTime(r.Copy.At)
	default:
		f.Reason, f.Why = "waiting", "a newer version than the ledger knows"
	}
}

// atDestination reports whether the bytes of the present version are delivered,
// whoever brought them.
func (f File) atDestination() bool {
	return f.Section == Transferred || f.Section == Skipped && (f.Reason == IsRecorded || f.Reason == IsInherited)
}

// difference says in what the listing and the ledger contradict each other; empty
// where they do not.
func difference(e Evidence, f File, listing bool, now time.Time) string {
	r := e.Record
	if r == nil || e.Reason != "" || e.Listed && f.Section == Pending {
		return ""
	}
	switch c := r.Copy; {
	case r.Status == messages.StatusGone && e.Listed:
		return "the source lists it, and the ledger says that the source no longer has it"
	case e.Listed && r.Object.Size != e.Object.Size:
		return fmt.Sprintf("the source lists %d bytes, and the ledger has %d of the same version", e.Object.Size, r.Object.Size)
	case r.Status == messages.StatusCopied && c == nil:
		return "the ledger says that it was copied, and not how"
	case r.Status == messages.StatusCopied && !r.Inherited() && c.Size != r.Object.Size:
		return fmt.Sprintf("%d bytes were delivered of %d", c.Size, r.Object.Size)
	case listing && !e.Listed && r.Status != messages.StatusGone && now.Sub(e.appeared()) < kept:
		return "the ledger knows it, and the source no longer lists it, although Oracle keeps reports for a year"
	}
	return ""
}

// kept is how long Oracle keeps a report, and a little less.
const kept = 360 * 24 * time.Hour
