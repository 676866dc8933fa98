package s3

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"oracle-focus-agent/copier"
)

// List yields the objects below a prefix by key, with size and etag only. It needs
// s3:ListBucket. An error ends it.
func (c *Client) List(ctx context.Context, prefix string) iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		pages := s3.NewListObjectsV2Paginator(c.sdk, &s3.ListObjectsV2Input{Bucket: &c.bucket, Prefix: &prefix, ExpectedBucketOwner: c.owner})
		for pages.HasMorePages() {
			page, err := c.listPage(ctx, pages)
			if err != nil {
				yield(Listed{}, c.fault(ctx, c.op("list", prefix), err))
				return
			}
			for _, o := range page.Contents {
				l := Listed{aws.ToString(o.Key), copier.Stored{Size: aws.ToInt64(o.Size), ETag: unquote(o.ETag)}}
				if !yield(l, nil) {
					return
				}
			}
		}
	}
}

func (c *Client) listPage(ctx context.Context, pages *s3.ListObjectsV2Paginator) (*s3.ListObjectsV2Output, error) {
	limited, cancel := context.WithTimeout(ctx, shortDeadline)
	defer cancel()
	return pages.NextPage(limited)
}

// Listed is one object of a listing.
type Listed struct {
	Key string
	copier.Stored
}
