package copier

import (
	"bytes"
	"cmp"
	"context"
	"encoding"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

// The note of an upload is written again when so much more of it stands, or when so
// much time has passed. A crash costs at most that much of a download again; the note
// costs a millisecond or so of the ledger, which at 64 MiB is less than a thousandth of
// the time that a network of 1 Gbit/s takes. On slow networks the time decides.
const (
	noteBytes = 64 << 20
	noteTime  = 10 * time.Second
)

// sentBefore is why the statistics of a file are not complete that was sent in two attempts.
const sentBefore = "its first part was sent before"

// A kept upload is one that an earlier attempt left, as noted in the ledger at revision.
type kept struct {
	messages.Upload
	revision uint64
}

// resumes returns from which byte on the upload in j.kept can be continued with the
// present version, and the sums up to there; 0 where it cannot. It must be the same
// version, proven by etag and size, in the same parts. What the note says of sums is
// believed only as far as the sums of the whole file and of each part, which the source
// and the destination check, bear it out.
func (c *Copier) resumes(j *job) (offset int64, s sums) {
	u, o := j.kept, j.object
	if u == nil || !c.mayResume(o) || u.ETag != o.ETag || u.Size != o.Size || u.Sums == nil {
		return 0, s
	}
	if o.MD5 != "" && u.MD5 != "" && o.MD5 != u.MD5 || u.PartSize != c.partSize(o.Size) || len(u.Parts) >= c.parts(o.Size) {
		return 0, s
	}
	for _, p := range u.Parts {
		if p.ETag == "" || p.CRC32C == "" {
			return 0, s
		}
	}
	s, err := restored(declaredBy(u.Upload, o), *u.Sums)
	if err != nil {
		j.log.Warn("the note of an upload cannot be used; it is begun anew", "err", err)
		return 0, s
	}
	return int64(len(u.Parts)) * u.PartSize, s
}

// mayResume reports whether a copy of o can be continued by another attempt at all. A
// source without etags cannot prove a version, and an inspection that a commit depends on
// must see the file from its first byte on.
func (c *Copier) mayResume(o messages.Object) bool {
	return o.ETag != "" && (c.Inspect == nil || !c.Inspect.Required)
}

// declaredBy is o with the sums that the source declared when it was opened at its
// begin, since the answer to a range does not have them for certain.
func declaredBy(u messages.Upload, o messages.Object) messages.Object {
	o.MD5, o.CRC32C = cmp.Or(o.MD5, u.MD5), cmp.Or(u.CRC32C, o.CRC32C)
	return o
}

// openPresent opens the version in j.object, behind what stands of it already. What
// does not stand behind this version ends here, before anything is done with it.
func (c *Copier) openPresent(j *job) (got messages.Object, body io.ReadCloser, err error) {
	name := j.object.Name
	j.offset, j.sums = c.resumes(j)
	got, body, err = c.Source.Open(j.ctx, name, j.object.ETag, Range{Offset: j.offset})
	if errors.Is(err, ErrNoRange) {
		j.log.Warn("the source does not send the rest of a file; all of it is copied again", "err", err)
		c.noRange.set()
		j.offset = 0
		got, body, err = c.Source.Open(j.ctx, name, j.object.ETag, Range{})
	}
	if err != nil {
		return got, nil, err
	}
	if j.listed = j.object; j.offset > 0 {
		j.object = declaredBy(j.kept.Upload, j.object)
		return got, body, nil
	}
	if err := c.dropUpload(j); err != nil {
		body.Close()
		return got, nil, err
	}
	return got, body, nil
}

// An openUpload is the upload of one copy.
type openUpload struct {
	messages.Upload        // as last noted in the ledger,
	revision        uint64 // at this revision
	mayResume       bool   // by another attempt
	// seen is set where not the answer to Complete but a look at the destination tells of
	// the commit. It may be of an earlier one of the same version: then this upload is open.
	seen bool

	mu    sync.Mutex            // guards what follows, and the note while parts are sent
	parts []Part                // with an etag where the destination has confirmed them
	sums  []messages.PrefixSums // at the end of each part
	whole int                   // so many parts stand without a gap, but for the last one
	busy  bool                  // the note is being written
	tried time.Time             // when that last began
	doubt []byte                // a note of which it is not known whether it was written
	full  bool                  // the note has room for no more parts
}

func (c *Copier) newOpenUpload(u messages.Upload) *openUpload {
	n := c.parts(u.Size)
	return &openUpload{
		Upload: u, mayResume: c.mayResume(messages.Object{ETag: u.ETag}), tried: time.Now(),
		parts: make([]Part, n), sums: make([]messages.PrefixSums, n),
	}
}

// continueUpload takes over what an earlier attempt left, by a write to the note that
// its owner, should he still be at work, collides with.
func (c *Copier) continueUpload(j *job) (*openUpload, error) {
	before := *j.kept
	id, parts, state := before.ID, before.Parts, before.Sums
	before.ID = ""
	u, err := c.abortAll(j.ctx, j.log, before.Upload) // what was abandoned
	if err != nil {
		return nil, err
	}
	u.ID, u.Parts, u.Sums, u.Worker, u.Updated = id, parts, state, c.Worker, time.Now().UTC()
	up := c.newOpenUpload(u)
	up.whole = len(parts)
	for i, p := range parts {
		up.parts[i] = Part{Number: int32(i + 1), ETag: p.ETag, CRC32C: p.CRC32C}
	}
	up.sums[up.whole-1] = *state
	if err := c.noteUpload(j.ctx, j, up, before.revision); err != nil {
		return nil, err
	}
	j.log.Info("going on with the upload that an earlier attempt left", "sent", j.offset, "bytes", j.object.Size, "worker", before.Worker)
	return up, nil
}

// confirmPart takes a part that stands at the destination, with the sums at its end, and
// notes now and then how far the upload has come. Conflict means that the upload is
// another worker's by now.
func (c *Copier) confirmPart(j *job, up *openUpload, i int, p Part, after messages.PrefixSums) error {
	if !up.take(i, p, after) {
		return nil
	}
	return c.noteProgress(j.ctx, j, up)
}

// take reports whether it is time for a note.
func (up *openUpload) take(i int, p Part, after messages.PrefixSums) bool {
	up.mu.Lock()
	defer up.mu.Unlock()
	up.parts[i], up.sums[i] = p, after
	for up.mayResume && up.whole < len(up.parts)-1 && up.parts[up.whole].ETag != "" {
		up.whole++
	}
	more := int64(up.whole-len(up.Parts)) * up.PartSize
	if more <= 0 || up.busy || up.full || more < noteBytes && time.Since(up.tried) < noteTime || up.doubt != nil && time.Since(up.tried) < noteTime {
		return false
	}
	up.busy, up.tried = true, time.Now()
	return true
}

// stands is how many parts another attempt would not have to send.
func (up *openUpload) stands() int {
	up.mu.Lock()
	defer up.mu.Unlock()
	return up.whole
}

// progress is the note as it should be now.
func (up *openUpload) progress() messages.Upload {
	up.mu.Lock()
	defer up.mu.Unlock()
	u := up.Upload
	u.Parts = make([]messages.UploadPart, up.whole)
	for i, p := range up.parts[:up.whole] {
		u.Parts[i] = messages.UploadPart{ETag: p.ETag, CRC32C: p.CRC32C}
	}
	state := up.sums[up.whole-1]
	u.Sums, u.Updated = &state, time.Now().UTC()
	return u
}

// noteProgress writes it. That it cannot be written is no reason to end a copy; that
// somebody else wrote is one. A file of more parts than a note has room for, which is
// about 900, is continued from the last one that was noted.
func (c *Copier) noteProgress(ctx context.Context, j *job, up *openUpload) error {
	u := up.progress()
	raw, err := u.Encode()
	if err != nil {
		up.mu.Lock()
		defer up.mu.Unlock()
		up.full, up.busy = true, false
		return nil
	}
	revision, err := c.Ledger.Write(ctx, messages.UploadKey(c.Route, j.object.Name), raw, c.noteRevision(ctx, j, up))
	up.mu.Lock()
	defer up.mu.Unlock()
	up.busy = false
	switch {
	case err == nil:
		up.Parts, up.Sums, up.Updated = u.Parts, u.Sums, u.Updated // the rest never changes, and is read meanwhile
		up.revision, up.doubt = revision, nil
	case errors.Is(err, messages.Conflict):
		return &messages.Fault{Class: messages.Conflict, Op: "note the upload to " + u.Key, Err: errors.New("another worker has it by now")}
	default:
		up.doubt = raw
		j.log.Debug("how far the upload has come could not be noted", "err", err)
	}
	return nil
}

// noteRevision is that of the note as this worker wrote it last: of a write whose answer
// was lost, only the ledger knows whether it was applied.
func (c *Copier) noteRevision(ctx context.Context, j *job, up *openUpload) uint64 {
	if up.doubt == nil {
		return up.revision
	}
	now, at, err := c.Ledger.Read(ctx, messages.UploadKey(c.Route, j.object.Name))
	if err == nil && bytes.Equal(now, up.doubt) {
		return at
	}
	return up.revision
}

// noteWhatStands leaves the upload to the next attempt, with a note of all that stands.
// Its error is that the upload is another worker's.
func (c *Copier) noteWhatStands(ctx context.Context, j *job, up *openUpload) error {
	if up.stands() > len(up.Parts) && !up.full {
		if err := c.noteProgress(ctx, j, up); err != nil {
			return err
		}
	}
	j.log.Info("the upload is left to the next attempt", "sent", int64(len(up.Parts))*up.PartSize, "bytes", up.Size)
	return nil
}

// keeps reports whether a failure says nothing against the bytes that were sent: then
// the next attempt may go on behind them. A panic, which has no error, does.
func keeps(failure error) bool {
	class := messages.ClassOf(failure)
	return errors.Is(failure, errShutdown) || class.OfSide() || class == messages.LeaseLost || class == messages.Queue || class == messages.Conflict
}

// errAnew means that a continued upload came to nothing, and was ended: the whole file
// is sent once more, in the same attempt.
var errAnew = errors.New("the upload of an earlier attempt could not be continued")

// anew makes errAnew of a failure that may be the fault of what was continued: a note
// that is wrong, parts that are gone or were replaced. No attempt is counted for it.
func (c *Copier) anew(j *job, err error) error {
	if err == nil || keeps(err) || context.Cause(j.ctx) != nil || errors.Is(err, messages.Held) {
		return err
	}
	j.log.Warn("the upload of an earlier attempt could not be continued; all of it is sent again", "err", err)
	j.object, j.resumed = j.listed, 0 // without what the note said of it
	return errAnew
}

// state is what sums can be restored from.
func (s *sums) state() messages.PrefixSums {
	p := messages.PrefixSums{CRC32C: base64CRC(s.crc)}
	if s.md5 != nil {
		p.MD5, _ = s.md5.(encoding.BinaryMarshaler).MarshalBinary() // an empty one is refused by restored
	}
	return p
}

// restored are the sums of a file of which the first part was read before.
func restored(o messages.Object, p messages.PrefixSums) (s sums, err error) {
	b, err := base64.StdEncoding.DecodeString(p.CRC32C)
	if err != nil || len(b) != 4 {
		return s, fmt.Errorf("%q is no CRC32C", p.CRC32C)
	}
	s = newSums(o)
	s.crc = binary.BigEndian.Uint32(b)
	if s.md5 != nil {
		err = s.md5.(encoding.BinaryUnmarshaler).UnmarshalBinary(p.MD5)
	}
	return s, err
}
