package copier

import (
	"fmt"
	"time"

	"oracle-focus-agent/messages"
)

// delivered is the copy by this program that stands under the key of j, as far as the
// ledger knows; nil of none.
func (j *job) delivered() *messages.FileCopied {
	if j.record.Copy == nil || j.record.Inherited() || j.record.Copy.Key != j.report.Key {
		return nil
	}
	return j.record.Copy
}

// compare holds what is known of two files' bytes against each other. Neither is known
// where both have no checksum in common.
func compare(a, b messages.Object) (same, differ bool) {
	common := a.CRC32C != "" && b.CRC32C != "" || a.MD5 != "" && b.MD5 != ""
	same = a.SameBytes(b)
	return same, a.Size != b.Size || common && !same
}

func bytesOf(f *messages.FileCopied) messages.Object {
	return messages.Object{Size: f.Size, CRC32C: f.CRC32C, MD5: f.MD5}
}

// hold is Held where a delivered file has other bytes now, of the given CRC32C where
// that is known, and the configuration wants an operator to decide. What somebody
// ordered is sent; and so is what mends a commit that the ledger did not accept.
func (c *Copier) hold(j *job, crc32c string) error {
	had := j.delivered()
	if !c.HoldChanged || had == nil || j.again || j.ordered() {
		return nil
	}
	now := j.object
	if crc32c != "" {
		now.CRC32C = crc32c
	}
	if _, differ := compare(bytesOf(had), now); !differ {
		return nil
	}
	return &messages.Fault{Class: messages.Held, Op: "replace " + j.report.Key,
		Err:    fmt.Errorf("other bytes were delivered at %s: %d then, %d now", had.At.UTC().Format(time.RFC3339), had.Size, now.Size),
		Remedy: "`failed retry` sends the present ones, `failed discard` keeps what was delivered"}
}

// succeed gives a new copy what is known of the one before it: of the same bytes their
// statistics, and of others what they were, so that both sums are kept.
func (j *job) succeed(f *messages.FileCopied) {
	j.replaced = false
	had := j.delivered()
	if had == nil {
		return
	}
	same, differ := compare(bytesOf(had), bytesOf(f))
	j.replaced = differ
	switch {
	case differ:
		f.Replaced = &messages.Earlier{Size: had.Size, CRC32C: had.CRC32C, At: had.At, Statistics: had.Statistics}
		if j.record.Status == messages.StatusCopied { // else the record speaks of a later version
			f.Replaced.ETag = j.record.Object.ETag
		}
	case same && !f.Statistics.Complete() && had.Statistics.Complete():
		f.Statistics = had.Statistics
		fallthrough
	default:
		f.Replaced = had.Replaced
	}
}
