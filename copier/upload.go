package copier

import (
	"context"
	"errors"
	"time"

	"oracle-focus-agent/messages"
)

// maxAbandoned bounds the list of uploads that could not be aborted.
const maxAbandoned = 64

// clearUpload ends what an earlier attempt on this file left open. It makes the
// redelivery the one that cleans up, with no need to list uploads; and a frozen
// worker that wakes up finds its upload gone instead of completing it late.
func (c *Copier) clearUpload(j *job) error {
	u, revision, err := c.readUpload(j)
	if err != nil || revision == 0 {
		return err
	}
	ctx, cancel := cleanup(j)
	defer cancel()
	u, err = c.abortAll(ctx, j, u)
	if err != nil {
		return err
	}
	return c.writeUpload(ctx, j, u, revision)
}

// readUpload returns the note of an upload. Its key is always the one of this
// copier's configuration. A note that nobody can read is as good as none.
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
	u.Key = j.report.Key
	return u, revision, err
}

// writeUpload keeps u as far as it still names an upload, and else erases it. A
// conflict is fine: whoever wrote has the newer knowledge.
func (c *Copier) writeUpload(ctx context.Context, j *job, u messages.Upload, revision uint64) error {
	var raw []byte
	if u.ID != "" || len(u.Abandoned) > 0 {
		var err error
		if raw, err = u.Encode(); err != nil {
			return err
		}
	}
	_, err := c.Ledger.Write(ctx, messages.UploadKey(c.Route, j.object.Name), raw, revision)
	if errors.Is(err, messages.Conflict) {
		return nil
	}
	return err
}

// abortAll aborts every upload that u names. One that the destination forbids to
// abort is kept as abandoned, to be tried again with the next attempt; any other
// trouble is an error.
func (c *Copier) abortAll(ctx context.Context, j *job, u messages.Upload) (messages.Upload, error) {
	ids := u.Abandoned
	if u.ID != "" {
		ids = append(ids, u.ID)
	}
	u.ID, u.Abandoned = "", nil
	for _, id := range ids {
		err := c.Uploads.Abort(ctx, u.Key, id)
		switch {
		case err == nil || errors.Is(err, messages.NoUpload):
		case errors.Is(err, messages.Forbidden):
			j.log.Error("an unfinished multipart upload could not be aborted; allow s3:AbortMultipartUpload", "upload", id, "err", err)
			u.Abandoned = append(u.Abandoned, id)
		default:
			return u, err
		}
	}
	u.Abandoned = u.Abandoned[max(0, len(u.Abandoned)-maxAbandoned):]
	return u, nil
}

// An openUpload is the upload of one copy, as noted in the ledger at revision.
type openUpload struct {
	messages.Upload
	revision uint64
}

// beginUpload creates the multipart upload and notes its id in the ledger before
// any part is sent. A crash between the two leaves one upload without parts; a
// crash after them leaves an upload that the redelivery aborts. An upload that
// another worker began in the meantime ends here like any earlier one: the note
// must not lose it.
func (c *Copier) beginUpload(j *job, partSize int64) (up openUpload, err error) {
	u, revision, err := c.readUpload(j)
	if err != nil {
		return up, err
	}
	if u, err = c.abortAll(j.ctx, j, u); err != nil {
		return up, err
	}
	id, err := c.Uploads.Create(j.ctx, j.report.Key, c.meta(j, j.object.CRC32C))
	if err != nil {
		return up, err
	}
	u.Key, u.ID, u.ETag, u.PartSize = j.report.Key, id, j.object.ETag, partSize
	u.Worker, u.Started = c.Worker, time.Now().UTC()
	raw, err := u.Encode()
	if err == nil {
		revision, err = c.Ledger.Write(j.ctx, messages.UploadKey(c.Route, j.object.Name), raw, revision)
	}
	if err != nil { // another worker is at this file, or the ledger is out of reach
		ctx, cancel := cleanup(j)
		defer cancel()
		return up, errors.Join(err, c.Uploads.Abort(ctx, j.report.Key, id))
	}
	return openUpload{u, revision}, nil
}

// endUpload aborts the upload of a copy that failed, and strikes it from the
// ledger. It works on after a shutdown and after the loss of the lease. What it
// cannot end stays in the ledger for the redelivery; what another worker noted
// since is left to that one.
func (c *Copier) endUpload(j *job, up openUpload, completed bool) error {
	ctx, cancel := cleanup(j)
	defer cancel()
	u := up.Upload
	if completed {
		u.ID = ""
	} else {
		var err error
		if u, err = c.abortAll(ctx, j, u); err != nil {
			j.log.Warn("the upload could not be aborted; the next attempt does it", "upload", up.ID, "err", err)
			return err
		}
	}
	return c.writeUpload(ctx, j, u, up.revision)
}

// cleanup is a context for what must be done although the copy is over.
func cleanup(j *job) (context.Context, context.CancelFunc) {
	return outlive(j.ctx, 3*settleTime)
}
