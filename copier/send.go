package copier

import (
	"cmp"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

// The longest that one step may take before the copy is given up. They are
// longer than the deadlines of the adapters, which give the better error.
const (
	moveTime     = 2 * time.Minute  // between two reads
	waitTime     = 30 * time.Minute // for a part buffer
	partTime     = 16 * time.Minute // for Put or Part, with their repetitions
	completeTime = 31 * time.Minute // for Complete, with its repetitions
)

const (
	minPart  = 5 << 20 // S3's smallest part, but for the last
	maxParts = 10_000  // S3's most parts
)

// send copies the bytes and returns the receipt of the commit.
func (c *Copier) send(j *job, body io.ReadCloser) (*messages.FileCopied, error) {
	if err := c.guardKey(j); err != nil {
		return nil, err
	}
	if err := c.hold(j, ""); err != nil { // by what is declared
		return nil, err
	}
	j.log.Info("transferring", "key", j.report.Key, "bytes", j.object.Size)
	c.tell(Event{Kind: Started, job: j})
	in := &intake{body: body, sums: c.sums(j.object), moved: func(n int) {
		j.moving(moveTime)
		c.tell(Event{Kind: Progress, job: j, Bytes: int64(n)})
	}}
	if j.offset > 0 {
		in.sums = j.sums
		c.tell(Event{Kind: Progress, job: j, Bytes: j.offset})
	}
	if j.object.Size <= c.Chunk {
		return c.sendWhole(j, in)
	}
	if err := c.toSend(j); err != nil { // it has grown since it was listed
		return nil, err
	}
	return c.sendParts(j, in)
}

// guardKey is the last look at the key before anything is written under it.
func (c *Copier) guardKey(j *job) error {
	if rest, ok := strings.CutPrefix(j.report.Key, c.Rules.KeyPrefix); ok && rest != "" {
		return nil
	}
	c.violated(messages.KeyOutsidePrefix)
	return &messages.Fault{Class: messages.Refused, Op: "send " + j.object.Name, Err: fmt.Errorf("its key %q is outside of the destination path %q", j.report.Key, c.Rules.KeyPrefix)}
}

// confirmed is the outcome of a commit: without an etag it proves nothing.
func (c *Copier) confirmed(j *job, etag string, err error) (string, error) {
	if err == nil && etag == "" {
		err = &messages.Fault{Class: messages.Unavailable, Side: messages.Destination, Op: "commit " + j.report.Key, Err: ErrUnconfirmed}
	}
	if errors.Is(err, ErrUnconfirmed) {
		c.violated(messages.CommitWithoutETag)
	}
	return etag, err
}

// sendWhole reads a small file into one buffer, verifies it, and puts it once the other
// hand has written its file, which then may read.
func (c *Copier) sendWhole(j *job, in *intake) (copied *messages.FileCopied, err error) {
	j.moving(waitTime)
	buf, err := c.Budget.take(j.ctx, j.object.Size)
	if err != nil {
		return nil, err
	}
	defer func() { c.Budget.give(buf, copied == nil) }()
	in.look = c.look(j, buf)
	defer in.look.end() // before the buffer is given back
	if err := in.fill(buf); err != nil {
		return nil, err
	}
	crc, verified, err := in.finish(j.object)
	if err != nil {
		return nil, err
	}
	if err := c.hold(j, crc); err != nil {
		return nil, err
	}
	in.look.pastAll()
	if err := c.toSend(j); err != nil {
		return nil, err
	}
	j.hand.hasRead()
	j.moving(partTime)
	meta := c.meta(j, crc)
	if in.sums.handed {
		meta.MD5 = j.object.MD5
	}
	if meta.Statistics, err = in.look.before(j); err != nil {
		return nil, err
	}
	if err := j.fresh(); err != nil {
		return nil, err
	}
	j.moving(partTime)
	etag, err := c.Objects.Put(j.ctx, j.report.Key, buf, meta) // the commit
	if in.sums.handed && errors.Is(err, messages.HashMismatch) {
		err = cmp.Or(blame(j.object, buf), err)
	}
	if etag, err = c.confirmed(j, etag, err); err != nil {
		return nil, err
	}
	copied = c.receipt(j, etag, crc, verified, messages.HowCopied)
	copied.Statistics = in.look.soon()
	return copied, nil
}

func (c *Copier) meta(j *job, crc32c string) Meta {
	return Meta{Name: j.object.Name, ETag: j.object.ETag, CRC32C: crc32c, TraceID: j.traceID()}
}

// sendParts sends a large file as a multipart upload that completes only after
// every byte was verified. Where an earlier attempt left one of the same version it
// goes on behind its parts, and where that comes to nothing the file is sent anew.
func (c *Copier) sendParts(j *job, in *intake) (copied *messages.FileCopied, err error) {
	resumed := j.offset > 0
	begin := c.beginUpload
	if resumed {
		begin = c.continueUpload
	}
	up, err := begin(j)
	if err != nil {
		return nil, err
	}
	j.kept, j.resumed, j.offset = nil, j.offset, 0
	defer func() { // also after a panic
		endErr := c.endUpload(j, up, copied != nil, err)
		switch {
		case copied != nil && endErr != nil:
			j.log.Warn("the finished upload could not be struck from the ledger", "err", endErr)
		case resumed && copied == nil:
			err = cmp.Or(endErr, c.anew(j, err))
		}
	}()
	if !resumed {
		in.look = c.look(j, nil)
	}
	defer in.look.end()
	if copied, err = c.complete(j, in, up); err != nil {
		return nil, err
	}
	if copied.Statistics = in.look.soon(); resumed && c.Inspect != nil {
		copied.Statistics = &messages.Statistics{Skipped: sentBefore}
	}
	return copied, nil
}

// complete sends what is missing of an upload, and completes it.
//
// The commit point is Complete. A crash before it leaves the upload, with a note of its
// first parts, and the redelivery goes on from there; a crash behind it leaves the
// object, which that adopts, and a note of an upload that is no more.
//
// A worker that was frozen and is not the owner any more may hold the same upload. It
// cannot mix anything into the object: it sends the same parts of the same version,
// which the source sends it under the condition of the etag, and the parts stand in the
// request of the commit with their etags and CRC32Cs, so that the destination refuses
// one that was replaced by other bytes, as it refuses a whole with another CRC32C.
// Its notes fail, since the new owner began with a write to the note: then it lets go,
// without an abort. It does not commit without a lease; and where it froze just before
// Complete, it commits this version. Nothing else can stand there by then: whoever
// sends another version aborts this upload before his commit.
func (c *Copier) complete(j *job, in *intake, up *openUpload) (*messages.FileCopied, error) {
	parts, err := c.sendAll(j, in, up)
	if err != nil {
		return nil, err
	}
	crc, verified, err := in.finish(j.object)
	if err != nil {
		return nil, err
	}
	j.hand.hasRead()
	if err := c.hold(j, crc); err != nil {
		return nil, err
	}
	in.look.pastAll()
	j.moving(partTime)
	if _, err := in.look.before(j); err != nil {
		return nil, err
	}
	if err := j.fresh(); err != nil {
		return nil, err
	}
	j.moving(completeTime)
	etag, err := c.Parts.Complete(j.ctx, j.report.Key, up.ID, parts, j.object.Size, crc) // the commit
	if etag, err = c.confirmed(j, etag, err); err != nil {
		if etag = c.confirm(j, crc); etag == "" {
			return nil, err
		}
		up.seen = true
	}
	return c.receipt(j, etag, crc, verified, messages.HowCopied), nil
}

// confirm asks, after a Complete whose answer was lost or unclear, whether the
// object is there all the same. Where HEAD is not allowed it is sent again.
func (c *Copier) confirm(j *job, crc32c string) (etag string) {
	s, ok, err := c.head(j)
	if err != nil || !ok || !c.isOurs(j, s) || s.CRC32C != "" && s.CRC32C != crc32c {
		return ""
	}
	j.log.Info("the answer to the commit was lost, but the object is there")
	return s.ETag
}

// partSize is the chunk, or whole MiB above it where S3's number of parts asks
// for more.
func (c *Copier) partSize(size int64) int64 {
	n := max(c.Chunk, cmp.Or(c.LeastPart, minPart))
	if least := (size + maxParts - 1) / maxParts; least > n {
		n = (least + 1<<20 - 1) >> 20 << 20
	}
	return n
}

// parts is how many of them a file of this size has.
func (c *Copier) parts(size int64) int {
	n := c.partSize(size)
	return int((size + n - 1) / n)
}

// sums computes what the ladder needs: CRC32C always, MD5 where wantsMD5 says so.
type sums struct {
	crc    uint32
	md5    hash.Hash // nil where not needed
	handed bool      // the destination verifies the MD5: nothing is committed with another one
}

func newSums(o messages.Object) (s sums) {
	if wantsMD5(o) {
		s.md5 = md5.New()
	}
	return s
}

// sums are those for a copy of o.
func (c *Copier) sums(o messages.Object) sums {
	if c.HandMD5 && o.Size <= c.Chunk && handsMD5(o) {
		return sums{handed: true}
	}
	return newSums(o)
}

// blame computes the MD5 that the destination refused, to tell whose bytes were others: those
// of the source, or those that arrived; nil of the latter.
func blame(o messages.Object, body []byte) error {
	s := newSums(o)
	s.add(0, body)
	_, _, err := s.verify(o)
	return err
}

// add takes the next bytes, whose CRC32C was computed as they were read.
func (s *sums) add(crc uint32, b []byte) {
	s.crc = join(s.crc, crc, int64(len(b)))
	if s.md5 != nil {
		s.md5.Write(b)
	}
}

// verify climbs the ladder from its best rung that the source declares.
func (s *sums) verify(o messages.Object) (crc32c, verified string, err error) {
	crc32c = base64CRC(s.crc)
	switch {
	case o.CRC32C != "":
		return crc32c, messages.ByCRC32C, same("CRC32C", o.CRC32C, crc32c)
	case s.md5 != nil:
		return crc32c, messages.ByMD5, same("MD5", o.MD5, base64.StdEncoding.EncodeToString(s.md5.Sum(nil)))
	case s.handed:
		return crc32c, messages.ByMD5, nil
	}
	return crc32c, messages.BySize, nil
}

func base64CRC(sum uint32) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, sum))
}

func same(sum, declared, computed string) error {
	if declared == computed {
		return nil
	}
	return &messages.Fault{Class: messages.HashMismatch, Side: messages.Source, Op: "verify",
		Err: fmt.Errorf("the source declares %s %s, the bytes have %s", sum, declared, computed)}
}
