package s3

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// Extras are what an object is given beside its bytes. The zero value gives
// nothing: the defaults of the bucket hold.
type Extras struct {
	// StorageClass is S3's name of one, such as STANDARD_IA.
	StorageClass string
	// SSE is AES256, aws:kms or aws:kms:dsse.
	SSE string
	// KMSKeyID is the key for the latter two; empty means the one of the account.
	KMSKeyID string
	// ACL is the name of a canned one, such as bucket-owner-full-control.
	ACL string
	// Tags are encoded as a query: a=1&b=2.
	Tags string
}

func (e Extras) put(in *s3.PutObjectInput) {
	in.StorageClass, in.ServerSideEncryption = types.StorageClass(e.StorageClass), types.ServerSideEncryption(e.SSE)
	in.ACL, in.SSEKMSKeyId, in.Tagging = types.ObjectCannedACL(e.ACL), given(e.KMSKeyID), given(e.Tags)
}

func (e Extras) create(in *s3.CreateMultipartUploadInput) {
	in.StorageClass, in.ServerSideEncryption = types.StorageClass(e.StorageClass), types.ServerSideEncryption(e.SSE)
	in.ACL, in.SSEKMSKeyId, in.Tagging = types.ObjectCannedACL(e.ACL), given(e.KMSKeyID), given(e.Tags)
}

// given is nil for what is left out.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// rights are the actions that writing an object, or beginning to, needs.
func (e Extras) rights() []string {
	rights := []string{"s3:PutObject"}
	if e.Tags != "" {
		rights = append(rights, "s3:PutObjectTagging")
	}
	if e.ACL != "" {
		rights = append(rights, "s3:PutObjectAcl")
	}
	return rights
}

// without names each extra that needs a right of its own, with that right, and
// leaves it out.
func (e Extras) without() []lesser {
	var all []lesser
	if e.Tags != "" {
		less := e
		less.Tags = ""
		all = append(all, lesser{"s3:PutObjectTagging, which s3.tags needs", less})
	}
	if e.ACL != "" {
		less := e
		less.ACL = ""
		all = append(all, lesser{"s3:PutObjectAcl, which s3.acl needs", less})
	}
	if strings.HasPrefix(e.SSE, "aws:kms") {
		less := e
		less.SSE, less.KMSKeyID = "", ""
		all = append(all, lesser{"kms:GenerateDataKey or kms:Decrypt on the key of s3.sse", less})
	}
	return all
}

type lesser struct {
	right  string
	extras Extras
}

var deniedAction = regexp.MustCompile(`not authorized to perform: ([a-z0-9]+:[A-Za-z]+)`)

// lacking is the right that a refused key lacks: the one that S3 names, or the
// one of the extra without which S3 does not refuse. Empty where neither tells.
func (c *Client) lacking(ctx context.Context, key string, err error) string {
	if !errors.Is(err, messages.Forbidden) {
		return ""
	}
	if m := deniedAction.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	for _, l := range c.extras.without() {
		if id, err := c.create(ctx, key, copier.Meta{}, l.extras); err == nil {
			_ = c.Abort(context.WithoutCancel(ctx), key, id) // what stays is without parts, as after any failed check
			return l.right
		}
	}
	return ""
}
