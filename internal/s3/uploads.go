package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// Create implements copier.Uploads. It is tried once: repeating it after a lost
// answer would leave an upload behind whose id nobody knows.
func (c *Client) Create(ctx context.Context, key string, m copier.Meta) (string, error) {
	return c.create(ctx, key, m, c.extras)
}

func (c *Client) create(ctx context.Context, key string, m copier.Meta, e Extras) (string, error) {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	in := &s3.CreateMultipartUploadInput{
		Bucket: &c.bucket, Key: &key, ContentType: new(contentType), Metadata: metadata(m), ExpectedBucketOwner: c.owner,
		// Without the type S3 would keep a checksum of checksums.
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, ChecksumType: types.ChecksumTypeFullObject,
	}
	e.create(in)
	out, err := c.sdk.CreateMultipartUpload(limited, in, func(o *s3.Options) { o.Retryer = aws.NopRetryer{} })
	op := c.op("begin an upload to", key)
	if err != nil {
		return "", c.fault(ctx, op, err)
	}
	if aws.ToString(out.UploadId) == "" {
		return "", &messages.Fault{
			Class: messages.Unavailable, Side: messages.Destination, Op: op,
			Err: errors.New("not confirmed: the answer is a success without an upload id"),
		}
	}
	return *out.UploadId, nil
}

// Abort implements copier.Uploads.
func (c *Client) Abort(ctx context.Context, key, id string) error {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	_, err := c.sdk.AbortMultipartUpload(limited, &s3.AbortMultipartUploadInput{Bucket: &c.bucket, Key: &key, UploadId: &id, ExpectedBucketOwner: c.owner})
	if err != nil {
		return c.fault(ctx, c.op("abort the upload to", key), err)
	}
	return nil
}

// Unfinished is one multipart upload of a listing.
type Unfinished struct {
	Key, ID string
	Begun   time.Time
}

// Unfinished yields the multipart uploads below a prefix that are neither completed nor
// aborted, whoever began them. It needs s3:ListBucketMultipartUploads. An error ends it.
func (c *Client) Unfinished(ctx context.Context, prefix string) iter.Seq2[Unfinished, error] {
	return func(yield func(Unfinished, error) bool) {
		pages := s3.NewListMultipartUploadsPaginator(c.sdk, &s3.ListMultipartUploadsInput{Bucket: &c.bucket, Prefix: &prefix, ExpectedBucketOwner: c.owner})
		for pages.HasMorePages() {
			limited, cancel := context.WithTimeout(ctx, shortDeadline)
			page, err := pages.NextPage(limited)
			cancel()
			if err != nil {
				yield(Unfinished{}, c.fault(ctx, c.op("list the uploads below", prefix), err))
				return
			}
			for _, u := range page.Uploads {
				one := Unfinished{aws.ToString(u.Key), aws.ToString(u.UploadId), aws.ToTime(u.Initiated)}
				if strings.HasPrefix(one.Key, prefix) && !yield(one, nil) {
					return
				}
			}
		}
	}
}

// Part implements copier.Parts.
func (c *Client) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (copier.Part, error) {
	limited, cancel := context.WithTimeout(ctx, putDeadline)
	defer cancel()
	out, err := c.sdk.UploadPart(hold(limited, body), &s3.UploadPartInput{
		Bucket: &c.bucket, Key: &key, UploadId: &id, PartNumber: &number, ExpectedBucketOwner: c.owner,
		Body: bytes.NewReader(body), ContentLength: new(int64(len(body))), ChecksumCRC32C: &crc32c,
	})
	op := c.op(fmt.Sprintf("upload part %d of", number), key)
	if err != nil {
		return copier.Part{}, c.fault(ctx, op, err)
	}
	if _, err := confirmed(op, out.ETag); err != nil {
		return copier.Part{}, err
	}
	return copier.Part{Number: number, ETag: *out.ETag, CRC32C: crc32c}, nil
}

// Complete implements copier.Parts. S3 may work for minutes before it answers.
func (c *Client) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	done := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		done[i] = types.CompletedPart{PartNumber: new(p.Number), ETag: new(p.ETag), ChecksumCRC32C: new(p.CRC32C)}
	}
	limited, cancel := context.WithTimeout(ctx, completeDeadline)
	defer cancel()
	out, err := c.sdk.CompleteMultipartUpload(limited, &s3.CompleteMultipartUploadInput{
		Bucket: &c.bucket, Key: &key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: done},
		ChecksumCRC32C: &crc32c, ChecksumType: types.ChecksumTypeFullObject, MpuObjectSize: &size, ExpectedBucketOwner: c.owner,
	}, func(o *s3.Options) { o.HTTPClient = c.patient })
	op := c.op("complete the upload to", key)
	if err != nil {
		return "", c.fault(ctx, op, err)
	}
	return confirmed(op, out.ETag)
}
