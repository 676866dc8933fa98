package s3

import (
	"bytes"
	"context"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/middleware"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/live"
)

// liveMeta are the metadata of what the live test writes.
func liveMeta(body []byte) copier.Meta {
	return copier.Meta{Name: LiveObject, ETag: LiveObject, CRC32C: sum(body)}
}

// put writes the test's object as Put would, but for what change makes otherwise.
func (t *trial) put(ctx context.Context, call string, body []byte, change func(*s3.PutObjectInput)) live.Exchange {
	if ctx.Err() != nil {
		return ended(call)
	}
	m := liveMeta(body)
	in := &s3.PutObjectInput{
		Bucket: &t.c.bucket, Key: new(t.key(LiveObject)), Body: bytes.NewReader(body), ContentLength: new(int64(len(body))),
		ChecksumCRC32C: &m.CRC32C, ContentType: new("text/plain"), Metadata: metadata(m), ExpectedBucketOwner: t.c.owner,
	}
	t.c.extras.put(in)
	if change != nil {
		change(in)
	}
	limited, cancel := t.write(ctx)
	defer cancel()
	out, err := t.c.sdk.PutObject(limited, in, once, onlyNamedSums)
	if err != nil {
		return t.wrote(t.exchange(call, middleware.Metadata{}, err))
	}
	return t.wrote(t.exchange(call, out.ResultMetadata, nil))
}

// onlyNamedSums keeps the SDK from adding a checksum of its own beside a Content-MD5.
func onlyNamedSums(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
}

// object writes an object rightly before it writes it wrongly: where the right way is
// refused, a refusal of the wrong one would prove nothing.
func (t *trial) object(ctx context.Context) {
	first, second := body("first"), body("the second, which is longer")
	e := t.put(ctx, "PUT", first, nil)
	t.n.Answer("s3.put", e.Allowed(), e.String())
	t.owner(ctx, e, first)
	if t.unsure || e.OK() {
		// From here on there may be an object: an answer that was lost is no proof that
		// nothing was written. A crash leaves it behind under the name that the consent told.
		defer func() {
			e := t.delete(ctx, LiveObject)
			t.n.Answer("s3.delete", e.Allowed(), e.String())
		}()
	}
	if !e.OK() {
		return
	}
	t.n.Answer("s3.versions", live.Of(len(t.versions) > 0), e.With("x-amz-version-id"))
	t.look(ctx, first)
	t.overwrite(ctx, second)
	t.wrong(ctx, second)
	t.encryption(ctx, e, second)
}

// owner tells whether the header is why an object was refused.
func (t *trial) owner(ctx context.Context, e live.Exchange, body []byte) {
	switch {
	case t.c.owner == nil:
		t.n.Answer("s3.owner", live.Unknown, "s3.expected_bucket_owner is not set")
	case e.OK():
		t.n.Answer("s3.owner", live.Yes, e.String())
	default:
		less := t.put(ctx, "PUT without it", body, func(in *s3.PutObjectInput) { in.ExpectedBucketOwner = nil })
		if less.OK() {
			t.n.Answer("s3.owner", live.No, e.String()+"; "+less.String())
			t.deleteUnowned(ctx)
		}
	}
}

// deleteUnowned removes what was written without the header of the expected owner.
func (t *trial) deleteUnowned(ctx context.Context) {
	c := *t.c
	c.owner = nil
	(&trial{c: &c, n: t.n, at: t.at, versions: t.versions}).delete(ctx, LiveObject)
	t.versions = nil
}

// look reads the object in each way.
func (t *trial) look(ctx context.Context, body []byte) {
	h := t.head(ctx, "HEAD", LiveObject)
	t.n.Answer("s3.head", h.Allowed(), h.String())
	if h.OK() {
		t.n.Answer("s3.head.crc32c", live.Of(h.crc32c == sum(body)), h.With("x-amz-checksum-crc32c", "x-amz-checksum-type"))
		t.n.Answer("s3.head.metadata", live.Of(h.metadata[metaETag] == LiveObject), h.With("x-amz-meta-"+metaETag))
	}
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := t.c.sdk.GetObject(limited, &s3.GetObjectInput{Bucket: &t.c.bucket, Key: new(t.key(LiveObject)), ExpectedBucketOwner: t.c.owner}, once)
	if err != nil {
		e := t.exchange("GET", middleware.Metadata{}, err)
		t.n.Answer("s3.get", e.Allowed(), e.String())
		return
	}
	same := bytes.Equal(read(out.Body), body)
	e := t.exchange("GET", out.ResultMetadata, nil)
	if t.n.Answer("s3.get", live.Yes, e.String()); !same {
		t.n.Answer("s3.get", live.Unknown, e.String()+", with other bytes than were written")
	}
}

// overwrite writes other bytes under the name, and looks where it may.
func (t *trial) overwrite(ctx context.Context, second []byte) {
	e := t.put(ctx, "PUT again", second, nil)
	h := t.head(ctx, "HEAD", LiveObject)
	switch {
	case !e.OK() && e.Status < 500 && e.Status > 0:
		t.n.Answer("s3.overwrite", live.No, e.String())
	case e.OK() && h.OK() && h.size != int64(len(second)):
		t.n.Answer("s3.overwrite", live.No, e.String()+", but HEAD shows the first bytes")
	case e.OK():
		t.n.Answer("s3.overwrite", live.Yes, e.String())
	}
	e = t.put(ctx, "PUT with If-None-Match", second, func(in *s3.PutObjectInput) { in.IfNoneMatch = new("*") })
	switch {
	case e.Status == http.StatusPreconditionFailed:
		t.n.Answer("s3.ifnonematch", live.Yes, e.String())
	case e.OK(), e.Status == http.StatusNotImplemented, e.Status == http.StatusBadRequest:
		t.n.Answer("s3.ifnonematch", live.No, e.String())
	}
}

// wrong sends bytes with the sum of others.
func (t *trial) wrong(ctx context.Context, body []byte) {
	e := t.put(ctx, "PUT with a wrong CRC32C", body, func(in *s3.PutObjectInput) { in.ChecksumCRC32C = wrongSum() })
	t.n.Answer("s3.put.crc32c", e.Refused(), e.String())
	e = t.put(ctx, "PUT with a wrong Content-MD5", body, func(in *s3.PutObjectInput) { in.ContentMD5 = wrongMD5() })
	verdict := e.Refused()
	if verdict == live.Yes && e.Code != "BadDigest" { // perhaps for having both sums
		verdict = live.Unknown
	}
	t.n.Answer("s3.put.md5", verdict, e.String())
}

// encryption asks for AES256, unless the configuration does by itself.
func (t *trial) encryption(ctx context.Context, configured live.Exchange, body []byte) {
	const header = "x-amz-server-side-encryption"
	if t.c.extras.SSE != "" {
		t.n.Answer("s3.sse", live.Yes, configured.With(header)+", as s3.sse asks for it")
		return
	}
	e := t.put(ctx, "PUT with AES256", body, func(in *s3.PutObjectInput) { in.ServerSideEncryption = types.ServerSideEncryptionAes256 })
	switch {
	case e.OK():
		t.n.Answer("s3.sse", live.Yes, e.With(header))
	case e.Status >= 400 && e.Status <= 501:
		t.n.Answer("s3.sse", live.No, e.String())
	}
}

// begin begins an upload as Create would.
func (t *trial) begin(ctx context.Context) (string, live.Exchange) {
	if ctx.Err() != nil {
		return "", ended("POST upload")
	}
	limited, cancel := t.write(ctx)
	defer cancel()
	in := &s3.CreateMultipartUploadInput{
		Bucket: &t.c.bucket, Key: new(t.key(LiveUpload)), ContentType: new("text/plain"), Metadata: metadata(liveMeta(nil)), ExpectedBucketOwner: t.c.owner,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
	}
	t.c.extras.create(in)
	out, err := t.c.sdk.CreateMultipartUpload(limited, in, once)
	if err != nil {
		e := t.exchange("POST upload", middleware.Metadata{}, err)
		if uncertain(e) {
			t.n.Wrote("an upload to "+LiveUpload, live.Unclear, "no certain answer came: it may have begun, and its id is not known")
		}
		return "", e
	}
	return aws.ToString(out.UploadId), t.exchange("POST upload", out.ResultMetadata, nil)
}

// part sends a part as Part would, but for what change makes otherwise.
func (t *trial) part(ctx context.Context, call, id string, number int32, body []byte, change func(*s3.UploadPartInput)) (string, live.Exchange) {
	if ctx.Err() != nil {
		return "", ended(call)
	}
	limited, cancel := t.write(ctx)
	defer cancel()
	in := &s3.UploadPartInput{
		Bucket: &t.c.bucket, Key: new(t.key(LiveUpload)), UploadId: &id, PartNumber: &number, ExpectedBucketOwner: t.c.owner,
		Body: bytes.NewReader(body), ContentLength: new(int64(len(body))), ChecksumCRC32C: new(sum(body)),
	}
	if change != nil {
		change(in)
	}
	out, err := t.c.sdk.UploadPart(limited, in, once, onlyNamedSums)
	if err != nil {
		return "", t.exchange(call, middleware.Metadata{}, err)
	}
	return aws.ToString(out.ETag), t.exchange(call, out.ResultMetadata, nil)
}

// abort gives an upload up, also after the end of ctx.
func (t *trial) abort(ctx context.Context, id string) live.Exchange {
	limited, cancel := t.write(ctx)
	defer cancel()
	out, err := t.c.sdk.AbortMultipartUpload(limited, &s3.AbortMultipartUploadInput{Bucket: &t.c.bucket, Key: new(t.key(LiveUpload)), UploadId: &id, ExpectedBucketOwner: t.c.owner}, once)
	var e live.Exchange
	if err != nil {
		e = t.exchange("DELETE upload", middleware.Metadata{}, err)
	} else {
		e = t.exchange("DELETE upload", out.ResultMetadata, nil)
	}
	if e.OK() || e.Status == http.StatusNotFound { // completed after all, or never there
		t.n.Wrote("an upload to "+LiveUpload, live.Removed, "")
	} else {
		t.n.Wrote("an upload to "+LiveUpload, live.LeftBehind, e.String())
	}
	return e
}

// upload sends a right part before wrong ones, as object does.
func (t *trial) upload(ctx context.Context) {
	id, e := t.begin(ctx)
	t.n.Answer("s3.create", e.Allowed(), e.String())
	if !e.OK() {
		return
	}
	defer func() {
		e := t.abort(ctx, id)
		t.n.Answer("s3.abort", e.Allowed(), e.String())
	}()
	text := body("a part")
	_, e = t.part(ctx, "PUT part", id, 1, text, nil)
	t.n.Answer("s3.part", e.Allowed(), e.String())
	if !e.OK() {
		return
	}
	_, e = t.part(ctx, "PUT part with a wrong CRC32C", id, 2, text, func(in *s3.UploadPartInput) { in.ChecksumCRC32C = wrongSum() })
	t.n.Answer("s3.part.crc32c", e.Refused(), e.String())
	_, e = t.part(ctx, "PUT part with a wrong Content-MD5", id, 3, text, func(in *s3.UploadPartInput) { in.ChecksumCRC32C, in.ContentMD5 = nil, wrongMD5() })
	t.n.Answer("s3.part.md5", e.Refused(), e.String())
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := t.c.sdk.ListParts(limited, &s3.ListPartsInput{Bucket: &t.c.bucket, Key: new(t.key(LiveUpload)), UploadId: &id, ExpectedBucketOwner: t.c.owner}, once)
	if err != nil {
		e = t.exchange("GET parts", middleware.Metadata{}, err)
	} else {
		e = t.exchange("GET parts", out.ResultMetadata, nil)
	}
	t.n.Answer("s3.parts", e.Allowed(), e.String())
}

// complete does the right thing before the wrong ones, as object does. Each is an
// upload of its own.
func (t *trial) complete(ctx context.Context) {
	text := body("an upload")
	e := t.finish(ctx, "POST complete", text, nil)
	t.n.Answer("s3.complete", e.Allowed(), e.String())
	if t.unsure || e.OK() {
		defer func() { t.delete(ctx, LiveUpload) }()
	}
	if !e.OK() {
		return
	}
	if h := t.head(ctx, "HEAD", LiveUpload); h.OK() {
		t.n.Answer("s3.complete.head", live.Of(h.crc32c == sum(text)), h.With("x-amz-checksum-crc32c", "x-amz-checksum-type"))
	}
	for _, wrong := range []struct {
		id, call string
		change   func(*s3.CompleteMultipartUploadInput)
	}{
		{"s3.complete.part", "POST complete with a wrong part", func(in *s3.CompleteMultipartUploadInput) {
			in.MultipartUpload.Parts[0].ETag = new(`"d41d8cd98f00b204e9800998ecf8427e"`) // of no bytes
		}},
		{"s3.complete.crc32c", "POST complete with a wrong CRC32C", func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC32C = wrongSum() }},
		{"s3.complete.size", "POST complete with a wrong size", func(in *s3.CompleteMultipartUploadInput) { in.MpuObjectSize = new(int64(1)) }},
	} {
		e := t.finish(ctx, wrong.call, text, wrong.change)
		t.n.Answer(wrong.id, e.Refused(), e.String())
	}
}

// finish begins an upload of one part and completes it as Complete would, but for what
// change makes otherwise. An upload that was refused is given up.
func (t *trial) finish(ctx context.Context, call string, text []byte, change func(*s3.CompleteMultipartUploadInput)) live.Exchange {
	id, e := t.begin(ctx)
	if !e.OK() {
		return e
	}
	etag, e := t.part(ctx, "PUT part", id, 1, text, nil)
	if ctx.Err() != nil {
		e = ended(call)
	}
	if !e.OK() {
		t.abort(ctx, id)
		return e
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &t.c.bucket, Key: new(t.key(LiveUpload)), UploadId: &id, ExpectedBucketOwner: t.c.owner,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: &etag, ChecksumCRC32C: new(sum(text))}}},
		ChecksumCRC32C:  new(sum(text)), ChecksumType: types.ChecksumTypeFullObject, MpuObjectSize: new(int64(len(text))),
	}
	if change != nil {
		change(in)
	}
	limited, cancel := t.write(ctx)
	defer cancel()
	out, err := t.c.sdk.CompleteMultipartUpload(limited, in, once)
	if err != nil {
		e = t.wrote(t.exchange(call, middleware.Metadata{}, err))
		t.abort(ctx, id)
		return e
	}
	return t.wrote(t.exchange(call, out.ResultMetadata, nil))
}
