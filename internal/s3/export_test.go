package s3

import (
	"context"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// TestingOnlyPauses shortens the pauses between the attempts of a call.
func (c *Client) TestingOnlyPauses(d ...time.Duration) { c.pauses = d }

// TestingOnlyTransport takes the place of the network.
func (c *Client) TestingOnlyTransport(t http.RoundTripper) {
	c.http.Transport, c.patient.Transport = holding{t}, t
}

// TestingOnlyConn is how the client writes to a connection.
func TestingOnlyConn(conn net.Conn, stall time.Duration) net.Conn {
	return writer{conn, stall}
}

// Sum is the CRC32C of b as S3 writes it.
var Sum = sum

// TestingOnlyUnknown makes calls that no part of the product makes, about a key.
func (c *Client) TestingOnlyUnknown(ctx context.Context, key string) []error {
	_, copied := c.sdk.CopyObject(ctx, &s3.CopyObjectInput{Bucket: &c.bucket, Key: &key, CopySource: &key})
	_, deleted := c.sdk.DeleteObjects(ctx, &s3.DeleteObjectsInput{Bucket: &c.bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: &key}}}})
	_, tagged := c.sdk.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{Bucket: &c.bucket, Key: &key, Tagging: &types.Tagging{TagSet: []types.Tag{}}})
	_, policy := c.sdk.DeleteBucket(ctx, &s3.DeleteBucketInput{Bucket: &c.bucket})
	return []error{copied, deleted, tagged, policy}
}
