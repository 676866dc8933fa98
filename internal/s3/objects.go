package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

var (
	_ copier.Objects = (*Client)(nil)
	_ copier.Uploads = (*Client)(nil)
	_ copier.Parts   = (*Client)(nil)
	_ copier.Relays  = (*Client)(nil)
)

// Put implements copier.Objects. The CRC32C that S3 checks is the one of m,
// where it has one: the one that the bytes were verified against.
func (c *Client) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	if m.CRC32C == "" {
		m.CRC32C = sum(body)
	}
	limited, cancel := context.WithTimeout(ctx, putDeadline)
	defer cancel()
	in := &s3.PutObjectInput{
		Bucket: &c.bucket, Key: &key, Body: bytes.NewReader(body), ContentLength: new(int64(len(body))),
		ChecksumCRC32C: &m.CRC32C, ContentType: new(contentType), Metadata: metadata(m), ExpectedBucketOwner: c.owner,
	}
	c.extras.put(in)
	if m.MD5 != "" {
		in.ContentMD5 = &m.MD5
	}
	out, err := c.sdk.PutObject(hold(limited, body), in)
	op := c.op("put", key)
	if err != nil {
		return "", c.fault(ctx, op, err)
	}
	return confirmed(op, out.ETag)
}

// confirmed demands an etag: S3 has been seen to answer 200 without one, and
// without an object.
func confirmed(op string, etag *string) (string, error) {
	if e := unquote(etag); e != "" {
		return e, nil
	}
	return "", &messages.Fault{
		Class: messages.Unavailable, Side: messages.Destination, Op: op,
		Err: fmt.Errorf("not confirmed: %w", copier.ErrUnconfirmed),
	}
}

func unquote(etag *string) string { return strings.Trim(aws.ToString(etag), `"`) }

// Head implements copier.Objects. It needs s3:GetObject, and s3:ListBucket to
// tell that there is no object. A bucket that does not exist is Gone, too: the
// answer to a HEAD does not say which of both is missing.
func (c *Client) Head(ctx context.Context, key string) (copier.Stored, error) {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	out, err := c.sdk.HeadObject(limited, &s3.HeadObjectInput{
		Bucket: &c.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled, ExpectedBucketOwner: c.owner,
	})
	if err != nil {
		return copier.Stored{}, headFault(c.fault(ctx, c.op("head", key), err))
	}
	s := copier.Stored{
		Size: aws.ToInt64(out.ContentLength), ETag: unquote(out.ETag), SourceETag: original(out.Metadata[metaETag]),
	}
	if out.ChecksumType == types.ChecksumTypeFullObject {
		s.CRC32C = aws.ToString(out.ChecksumCRC32C)
	}
	return s, nil
}

// headFault has the rules of HEAD, whose answers explain nothing: 404 is about
// the object, and 403 only about looking at it.
func headFault(err error) error {
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok {
		return err
	}
	switch f.Class {
	case messages.NotFound:
		if status(f) == 404 {
			f.Class, f.Remedy = messages.Gone, ""
		}
	case messages.Forbidden:
		f.Remedy = "copying works without it; to adopt and verify what is there, allow s3:GetObject and s3:ListBucket"
	}
	return err
}
