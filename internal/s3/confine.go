package s3

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
)

// outside is a call that must not leave this process.
type outside struct{ key, prefix string }

func (o outside) Error() string {
	return fmt.Sprintf("the key %q is outside of the destination path %q, and nothing was sent", o.key, o.prefix)
}

// confine is the last look at what each call is about, behind every way that leads to
// one: a call that changes something below another path than prefix is refused before
// anything is sent, and so is one that this list does not know. Looking is free.
func confine(prefix string) func(*middleware.Stack) error {
	guard := middleware.InitializeMiddlewareFunc("Confine", func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
		middleware.InitializeOutput, middleware.Metadata, error,
	) {
		var key *string
		switch call := in.Parameters.(type) {
		case *s3.HeadObjectInput, *s3.GetObjectInput, *s3.ListObjectsV2Input, *s3.ListPartsInput, *s3.ListMultipartUploadsInput:
			return next.HandleInitialize(ctx, in)
		case *s3.PutObjectInput:
			key = call.Key
		case *s3.CreateMultipartUploadInput:
			key = call.Key
		case *s3.UploadPartInput:
			key = call.Key
		case *s3.CompleteMultipartUploadInput:
			key = call.Key
		case *s3.AbortMultipartUploadInput:
			key = call.Key
		case *s3.DeleteObjectInput:
			key = call.Key
		}
		if !below(prefix, aws.ToString(key)) {
			return middleware.InitializeOutput{}, middleware.Metadata{}, outside{aws.ToString(key), prefix}
		}
		return next.HandleInitialize(ctx, in)
	})
	return func(stack *middleware.Stack) error { return stack.Initialize.Add(guard, middleware.Before) }
}

// below is strict, since what is between here and S3 may take dots for directions.
func below(prefix, key string) bool {
	rest, ok := strings.CutPrefix(key, prefix)
	return ok && rest != "" && !slices.ContainsFunc(strings.Split(key, "/"), func(s string) bool { return s == "." || s == ".." })
}
