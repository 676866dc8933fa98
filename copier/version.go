package copier

import (
	"errors"
	"fmt"
	"io"
	"time"

	"oracle-focus-agent/messages"
)

// open starts reading the present version of the object and sets j.object to
// what the listing and the answer declare of it. body is nil where that version
// turns out to be done. Gone means that a listing proved the object's absence.
func (c *Copier) open(j *job) (body io.ReadCloser, err error) {
	name := j.message.Object.Name
	if j.again {
		if err := c.refresh(j); err != nil {
			return nil, err
		}
	}
	got, body, err := c.openPresent(j)
	if errors.Is(err, messages.Changed) || errors.Is(err, messages.Gone) {
		// The version of the message is no more. The listing tells the present one,
		// with a size that does not depend on the answer that carries the bytes.
		if err := c.refresh(j); err != nil {
			return nil, err
		}
		if c.isDone(j) {
			return nil, nil
		}
		if got, body, err = c.openPresent(j); errors.Is(err, messages.Gone) {
			err = &messages.Fault{Class: messages.Unknown, Side: messages.Source, Op: "open " + name, Err: errors.New("it is listed, but cannot be read")}
		}
	}
	if err != nil {
		return nil, err
	}
	if err := c.reconcile(j, got); err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// refresh sets j.object to what the listing tells of the file now. Where it tells
// nothing, j.object stays the version that was last known of.
func (c *Copier) refresh(j *job) error {
	o, err := c.Source.Stat(j.ctx, j.message.Object.Name)
	if err == nil {
		j.object = o
	}
	return err
}

// reconcile holds the answer against the listing and takes the checksums that
// only the answer has.
func (c *Copier) reconcile(j *job, got messages.Object) error {
	o := &j.object
	if err := agree(*o, got); err != nil {
		return err
	}
	if o.ETag == "" {
		o.ETag = got.ETag
	}
	if got.CRC32C != "" {
		o.CRC32C = got.CRC32C
	}
	if o.MD5 == "" {
		o.MD5 = got.MD5
	}
	_, err := c.Rules.Report(*o) // the size may have changed
	return err
}

// agree holds what an answer declares against the version that is known.
func agree(o, got messages.Object) error {
	fault := func(class messages.Class, format string, args ...any) error {
		return &messages.Fault{Class: class, Side: messages.Source, Op: "open " + o.Name, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case o.ETag != "" && got.ETag != "" && o.ETag != got.ETag:
		return fault(messages.Changed, "etag %s was asked for, %s was sent", o.ETag, got.ETag)
	case got.Size >= 0 && got.Size != o.Size:
		return fault(messages.Length, "the listing declares %d bytes, the answer %d", o.Size, got.Size)
	}
	return nil
}

// ordered reports whether a repeat was ordered and has not succeeded yet.
func (j *job) ordered() bool { return j.record.Status == messages.StatusDue || j.record.Repeat }

// known returns the earlier copy where its bytes are those of the present
// version: they were only given a new etag, and sending them again could count
// their costs twice. An attempt in between may have put another version there
// without recording it; then the destination must still show the earlier copy.
func (c *Copier) known(j *job) (*messages.FileCopied, error) {
	had := j.record.Copy
	if j.again || j.ordered() || had == nil || had.Key != j.report.Key {
		return nil, nil
	}
	if !(messages.Object{Size: had.Size, CRC32C: had.CRC32C, MD5: had.MD5}).SameBytes(j.object) {
		return nil, nil
	}
	if j.record.Status != messages.StatusCopied || j.delivery.Deliveries > 1 {
		if s, ok, err := c.head(j); err != nil || !ok || s.ETag != had.ETag {
			return nil, err
		}
	}
	again := *had
	again.How, again.At = messages.HowRecorded, time.Now().UTC()
	return &again, nil
}

// headRest is how long HEAD is not asked again after the destination forbade it.
const headRest = time.Hour

// head looks at the object at the destination. ok is false where there is none,
// and where the destination does not tell: sending the copy is right in any case.
func (c *Copier) head(j *job) (s Stored, ok bool, err error) {
	if c.denied.within(headRest) {
		return Stored{}, false, nil
	}
	s, err = c.Objects.Head(j.ctx, j.report.Key)
	switch class := messages.ClassOf(err); {
	case err == nil:
		return s, true, nil
	case class == messages.Forbidden:
		c.denied.set()
	case class.OfSide():
		return Stored{}, false, err
	}
	return Stored{}, false, nil
}

// adopt returns the copy that already stands at the destination where the object
// there is provably this version. It looks only where there is a reason to: the
// message came before, or the object is older than the ledger, which then may
// have been lost, and something stands under its key; and never where a repeat was ordered.
func (c *Copier) adopt(j *job) (*messages.FileCopied, error) {
	if j.again || j.ordered() || !(j.delivery.Deliveries > 1 || c.isElder(j)) {
		return nil, nil
	}
	s, ok, err := c.head(j)
	if err != nil || !ok || !c.isOurs(j, s) {
		return nil, err
	}
	return c.receipt(j, s.ETag, s.CRC32C, adoptedBy(j.object, s), messages.HowAdopted), nil
}

// isElder reports whether an earlier ledger may have known of the file, and have had it
// copied.
func (c *Copier) isElder(j *job) bool {
	if !c.isOld(j) {
		return false
	}
	j.moving(moveTime)
	return c.mayStand(j, j.report.Key)
}

func (c *Copier) isOld(j *job) bool {
	return !j.object.Modified.IsZero() && j.object.Modified.Before(c.Born)
}

func adoptedBy(o messages.Object, s Stored) string {
	if o.CRC32C != "" && s.CRC32C != "" {
		return messages.ByCRC32C
	}
	return messages.BySize
}

// isOurs reports whether what is stored is the present version: its origin in
// the metadata, its size, and its checksum as far as both sides tell one.
func (c *Copier) isOurs(j *job, s Stored) bool {
	return j.object.ETag != "" && s.SourceETag == j.object.ETag && s.Size == j.object.Size &&
		(s.CRC32C == "" || j.object.CRC32C == "" || s.CRC32C == j.object.CRC32C)
}

func (c *Copier) receipt(j *job, etag, crc32c, verified, how string) *messages.FileCopied {
	return &messages.FileCopied{
		Key: j.report.Key, ETag: etag, Size: j.object.Size, CRC32C: crc32c, MD5: j.object.MD5,
		Verified: verified, How: how, At: time.Now().UTC(), Seconds: j.spent().Seconds(),
	}
}
