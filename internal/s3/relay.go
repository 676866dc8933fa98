package s3

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

const (
	// trailer is the header that comes behind the bytes, in the form that S3 calls aws-chunked.
	trailer = "x-amz-checksum-crc32c"
	// trailed is what stands for the SHA-256 of such a body.
	trailed = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	// noCRC is as long as every CRC32C.
	noCRC = "AAAAAA=="
)

// Relaying implements copier.Relays: over http the SHA-256 of a body is signed, unless it is
// given up, and then it must be known before the body is sent.
func (c *Client) Relaying() bool { return c.relays }

// Relay implements copier.Relays.
func (c *Client) Relay(ctx context.Context, key, id string, number int32, s copier.Stream) (copier.Part, error) {
	body := newRelayed(s)
	limited, cancel := context.WithTimeout(hold(ctx, body), putDeadline)
	defer cancel()
	out, err := c.sdk.UploadPart(limited, &s3.UploadPartInput{
		Bucket: &c.bucket, Key: &key, UploadId: &id, PartNumber: &number, ExpectedBucketOwner: c.owner,
		Body: body, ContentLength: new(int64(body.Len())),
	}, func(o *s3.Options) {
		o.Retryer = aws.NopRetryer{}
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired // not the SDK's own
		o.APIOptions = append(o.APIOptions, trails(s.Size))
	})
	op := c.op(fmt.Sprintf("relay part %d of", number), key)
	if err != nil {
		return copier.Part{}, c.fault(ctx, op, err)
	}
	if _, err := confirmed(op, out.ETag); err != nil {
		return copier.Part{}, err
	}
	crc := s.CRC32C()
	if told := aws.ToString(out.ChecksumCRC32C); told != crc {
		return copier.Part{}, &messages.Fault{
			Class: messages.Unknown, Side: messages.Destination, Op: op,
			Err: fmt.Errorf("%w: it tells the CRC32C %q of bytes that have %s", copier.ErrNoRelay, told, crc),
		}
	}
	return copier.Part{Number: number, ETag: *out.ETag, CRC32C: crc}, nil
}

// trails announces a body of so many bytes with a CRC32C behind them.
func trails(size int64) func(*middleware.Stack) error {
	announce := func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
		if req, ok := in.Request.(*smithyhttp.Request); ok {
			req.Header.Set("Content-Encoding", "aws-chunked")
			req.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(size, 10))
			req.Header.Set("X-Amz-Sdk-Checksum-Algorithm", "CRC32C")
			req.Header.Set("X-Amz-Trailer", trailer)
		}
		return next.HandleBuild(v4.SetPayloadHash(ctx, trailed), in)
	}
	return func(stack *middleware.Stack) error {
		return stack.Build.Add(middleware.BuildMiddlewareFunc("trails", announce), middleware.After)
	}
}

// A relayed body is a stream as one chunk, with its CRC32C behind it. Its fields are what is
// left to be read.
type relayed struct {
	copier.Stream
	head string
	left int64  // of the stream
	tail string // as long as it will be, and right when nothing is left of the stream
}

func newRelayed(s copier.Stream) *relayed {
	return &relayed{Stream: s, head: strconv.FormatInt(s.Size, 16) + "\r\n", left: s.Size, tail: tailOf(noCRC)}
}

func tailOf(crc32c string) string { return "\r\n0\r\n" + trailer + ":" + crc32c + "\r\n\r\n" }

// Len is how many bytes are left.
func (b *relayed) Len() int { return len(b.head) + int(b.left) + len(b.tail) }

func (b *relayed) Read(p []byte) (n int, err error) {
	switch {
	case b.head != "":
		n = copy(p, b.head)
		b.head = b.head[n:]
		return n, nil
	case b.left > 0:
		n, err = b.Stream.Read(p[:min(int64(len(p)), b.left)])
		if b.left -= int64(n); b.left == 0 {
			b.tail, err = tailOf(b.CRC32C()), nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return n, err
	case b.tail == "":
		return 0, io.EOF
	}
	n = copy(p, b.tail)
	b.tail = b.tail[n:]
	return n, nil
}

// WriteTo moves through the buffer of the stream what came at once.
func (b *relayed) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{b}, b.Buffer)
}

// Close leaves the stream to whoever gave it.
func (b *relayed) Close() error { return nil }
