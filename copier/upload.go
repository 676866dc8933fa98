package copier

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"oracle-focus-agent/messages"
)

// maxAbandoned bounds the list of uploads that could not be aborted.
const maxAbandoned = 64

// meetUpload looks at what an earlier attempt on this file left open. An upload that
// perhaps can be continued waits in j.kept until the present version is known; of
// others nothing is of use, and they end here.
func (c *Copier) meetUpload(j *job) error {
	u, revision, err := c.readUpload(j)
	if err != nil || revision == 0 {
		return err
	}
	if u.ID == "" || len(u.Parts) == 0 {
		return c.endNoted(j, u, revision)
	}
	j.kept = &kept{u, revision}
	return nil
}

// dropUpload ends the upload that waited to be continued, if any. It comes before any
// commit of another version, and before the message is acked: so no frozen worker can
// complete it late, and it is not left without an owner.
func (c *Copier) dropUpload(j *job) error {
	if j.kept == nil {
		return nil
	}
	err := c.clearUpload(j)
	if err == nil {
		j.kept, j.offset = nil, 0
	}
	return err
}

// clearUpload ends whatever upload of this file is noted. It makes the redelivery the
// one that cleans up, with no need to list uploads; and a frozen worker that wakes up
// finds its upload gone instead of completing it late.
func (c *Copier) clearUpload(j *job) error {
	u, revision, err := c.readUpload(j)
	if err != nil || revision == 0 {
		return err
	}
	return c.endNoted(j, u, revision)
}

func (c *Copier) endNoted(j *job, u messages.Upload, revision uint64) error {
	ctx, cancel := cleanup(j)
	defer cancel()
	u, err := c.abortAll(ctx, j.log, u)
	if err != nil {
		return err
	}
	return c.writeUpload(ctx, j.object.Name, u, revision)
}

// readUpload returns the note of an upload. Its key is always the one of this
// copier's configuration: parts below another key or of another epoch are no parts. A
// note that nobody can read is as good as none.
func (c *Copier) readUpload(j *job) (u messages.Upload, revision uint64, err error) {
	raw, revision, err := c.Ledger.Read(j.ctx, messages.UploadKey(c.Route, j.object.Name))
	if err != nil || raw == nil {
		return u, 0, err
	}
	u, err = messages.DecodeUpload(raw)
	if errors.Is(err, messages.Refused) {
		c.violated(messages.UnreadableRecord)
		j.log.Error("the note of a multipart upload cannot be read", "err", err)
		err = nil
	}
	if u.Key != j.report.Key || u.Epoch != c.Epoch {
		u.Parts, u.Sums = nil, nil
	}
	u.Key = j.report.Key
	return u, revision, err
}

// writeUpload keeps u as far as it still names an upload, and else erases it. A
// conflict is fine: whoever wrote has the newer knowledge.
func (c *Copier) writeUpload(ctx context.Context, name string, u messages.Upload, revision uint64) error {
	var raw []byte
	if u.ID != "" || len(u.Abandoned) > 0 {
		var err error
		if raw, err = u.Encode(); err != nil {
			return err
		}
	}
	_, err := c.Ledger.Write(ctx, messages.UploadKey(c.Route, name), raw, revision)
	if errors.Is(err, messages.Conflict) {
		return nil
	}
	return err
}

// abortAll aborts every upload that u names. One that the destination forbids to
// abort is kept as abandoned, to be tried again with the next attempt; any other
// trouble is an error.
func (c *Copier) abortAll(ctx context.Context, log *slog.Logger, u messages.Upload) (messages.Upload, error) {
	ids := u.Abandoned
	if u.ID != "" {
		ids = append(ids, u.ID)
	}
	u.ID, u.Abandoned, u.Parts, u.Sums = "", nil, nil, nil
	for _, id := range ids {
		err := c.Uploads.Abort(ctx, u.Key, id)
		switch {
		case err == nil || errors.Is(err, messages.NoUpload):
		case errors.Is(err, messages.Forbidden):
			log.Error("an unfinished multipart upload could not be aborted; allow s3:AbortMultipartUpload", "upload", id, "err", err)
			u.Abandoned = append(u.Abandoned, id)
		default:
			return u, err
		}
	}
	u.Abandoned = u.Abandoned[max(0, len(u.Abandoned)-maxAbandoned):]
	return u, nil
}

// abandon ends the upload of u, unless somebody else has written the note since: then
// it is his. A crash or an error in between leaves an id in the note, which the next
// attempt or a sweep ends.
func (c *Copier) abandon(ctx context.Context, log *slog.Logger, name string, u messages.Upload, revision uint64) error {
	if u.ID != "" {
		u.Abandoned = append(u.Abandoned[:len(u.Abandoned):len(u.Abandoned)], u.ID)
		u.ID, u.Parts, u.Sums = "", nil, nil
		raw, err := u.Encode()
		if err != nil {
			return err
		}
		revision, err = c.Ledger.Write(ctx, messages.UploadKey(c.Route, name), raw, revision)
		if errors.Is(err, messages.Conflict) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	u, err := c.abortAll(ctx, log, u)
	if err != nil {
		return err
	}
	return c.writeUpload(ctx, name, u, revision)
}

// beginUpload creates the multipart upload and notes its id in the ledger before
// any part is sent. A crash between the two leaves one upload without parts; a
// crash after them leaves an upload that the redelivery ends. An upload that
// another worker began in the meantime ends here like any earlier one: the note
// must not lose it.
func (c *Copier) beginUpload(j *job) (*openUpload, error) {
	u, revision, err := c.readUpload(j)
	if err != nil {
		return nil, err
	}
	if u, err = c.abortAll(j.ctx, j.log, u); err != nil {
		return nil, err
	}
	if err := j.fresh(); err != nil { // nobody would complete it
		return nil, err
	}
	id, err := c.Uploads.Create(j.ctx, j.report.Key, c.meta(j, j.object.CRC32C))
	if err != nil {
		return nil, err
	}
	u.Key, u.ID, u.PartSize, u.Epoch = j.report.Key, id, c.partSize(j.object.Size), c.Epoch
	u.ETag, u.Size, u.MD5, u.CRC32C = j.object.ETag, j.object.Size, j.object.MD5, j.object.CRC32C
	u.Worker, u.Started, u.Updated = c.Worker, time.Now().UTC(), time.Time{}
	up := c.newOpenUpload(u)
	if err := c.noteUpload(j.ctx, j, up, revision); err != nil { // another worker is at this file, or the ledger is out of reach
		ctx, cancel := cleanup(j)
		defer cancel()
		return nil, errors.Join(err, c.Uploads.Abort(ctx, j.report.Key, id))
	}
	return up, nil
}

func (c *Copier) noteUpload(ctx context.Context, j *job, up *openUpload, revision uint64) error {
	raw, err := up.Encode()
	if err == nil {
		up.revision, err = c.Ledger.Write(ctx, messages.UploadKey(c.Route, j.object.Name), raw, revision)
	}
	return err
}

// endUpload ends the upload of a copy that is over, and strikes it from the ledger; or
// leaves it to the next attempt, where the failure says nothing against what was sent.
// It works on after a shutdown and after the loss of the lease. What it cannot end
// stays in the ledger for the redelivery; what another worker noted since is left to
// that one.
func (c *Copier) endUpload(j *job, up *openUpload, completed bool, failure error) error {
	ctx, cancel := cleanup(j)
	defer cancel()
	if cause := context.Cause(j.ctx); cause != nil && failure != nil {
		failure = cause
	}
	switch {
	case completed && !up.seen:
		u := up.Upload
		u.ID = ""
		return c.writeUpload(ctx, j.object.Name, u, c.noteRevision(ctx, j, up))
	case !completed && up.stands() > 0 && keeps(failure):
		// The note comes before the question: where it was taken, the ledger answers, and
		// nothing is left behind only because it was away a moment ago.
		if c.noteWhatStands(ctx, j, up) != nil || !c.isDoneByAnother(ctx, j) {
			return nil
		}
	}
	err := c.abandon(ctx, j.log, j.object.Name, up.Upload, c.noteRevision(ctx, j, up))
	if err != nil {
		j.log.Warn("the upload could not be aborted; the next attempt does it", "upload", up.ID, "err", err)
	}
	return err
}

// cleanup is a context for what must be done although the copy is over.
func cleanup(j *job) (context.Context, context.CancelFunc) {
	return outlive(j.ctx, 3*settleTime)
}
