package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"

	"oracle-focus-agent/internal/network"
	"oracle-focus-agent/messages"
)

// fault gives err its class. The end of ctx wins over all others, and stays
// visible to errors.Is. Credentials that are refused, or not allowed to do this, are
// forgotten, so that the next call looks for new ones.
func (c *Client) fault(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	f := &messages.Fault{Side: messages.Destination, Op: op}
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	missing, none := errors.AsType[noCredentials](err)
	away, confined := errors.AsType[outside](err)
	switch {
	case confined:
		f.Class, f.Err = messages.Refused, away
	case none:
		f.Class, f.Err, f.Remedy = messages.Unauthenticated, errors.New(network.OneLine(missing.Error())), credentialsRemedy
	case ok && resp.HTTPStatusCode() >= 300:
		c.answered(f, newAnswer(resp, err))
	case ok && resp.HTTPStatusCode() > 0 && !broken(err):
		f.Class, f.Err = messages.Unavailable, fmt.Errorf("not confirmed: the answer cannot be read: %s", network.OneLine(err.Error()))
		f.Remedy = "check s3.endpoint and the proxy"
	default:
		f.Class = messages.Connection
		f.Remedy, f.Err = network.Settings{
			CA: "SSL_CERT_FILE or AWS_CA_BUNDLE", Endpoint: "s3.endpoint", Host: "s3.region and the bucket in s3.bucket_path", Late: "no answer in time",
		}.Unanswered(err)
	}
	if f.Class == messages.Unauthenticated || f.Class == messages.Forbidden { // which HEAD cannot tell apart
		c.creds.Invalidate()
		c.signer.forget()
	}
	return f
}

// An answer is S3's error on one line.
type answer struct {
	status        int
	code, message string
	request       string
	header        http.Header
	cause         error
}

func newAnswer(resp *awshttp.ResponseError, err error) *answer {
	a := &answer{status: resp.HTTPStatusCode(), request: resp.ServiceRequestID(), header: resp.HTTPResponse().Header, cause: err}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		a.code, a.message = api.ErrorCode(), api.ErrorMessage()
	}
	return a
}

func (a *answer) Error() string {
	s := strings.TrimSpace(fmt.Sprintf("%d %s", a.status, network.OneLine(a.code)))
	if a.message != "" {
		s += ": " + network.OneLine(a.message)
	}
	if a.request != "" {
		s += " (request id " + network.OneLine(a.request) + ")"
	}
	return s
}

func (a *answer) Unwrap() error { return a.cause }

func status(f *messages.Fault) int {
	if a, ok := errors.AsType[*answer](f.Err); ok {
		return a.status
	}
	return 0
}

const credentialsRemedy = "check the access key of the destination (s3.access_key_id and s3.secret_access_key, or AWS's own variables, files and roles)"

// answered looks at the code first where one is known, then at the status.
func (c *Client) answered(f *messages.Fault, a *answer) {
	f.Err = a
	f.RetryAfter = network.RetryAfter(a.header)
	switch a.code {
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "TokenRefreshRequired", "RequestExpired":
		f.Class, f.Remedy = messages.Unauthenticated, credentialsRemedy
	case "RequestTimeTooSkewed":
		f.Class, f.Remedy = messages.ClockSkew, clockRemedy(a.header)
	case "NoSuchBucket", "NoSuchAccessPoint", "NoSuchAccessPointAlias":
		f.Class, f.Remedy = messages.NotFound, "check the bucket in s3.bucket_path: there is no "+c.bucket
	case "NoSuchUpload":
		f.Class = messages.NoUpload
	case "NoSuchKey":
		f.Class = messages.Gone
	case "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException":
		f.Class, f.Remedy = messages.NotFound, c.regionRemedy(a)
	case "SlowDown", "RequestLimitExceeded", "TooManyRequests", "Throttling", "ThrottlingException":
		f.Class = messages.Throttled
	case "RequestTimeout":
		f.Class = messages.Connection
	case "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch":
		f.Class = messages.HashMismatch
	case "KeyTooLongError":
		f.Class = messages.Refused
	case "AccessControlListNotSupported":
		f.Class, f.Remedy = messages.Forbidden, "the bucket takes no ACL: remove s3.acl"
	case "InvalidStorageClass":
		f.Class, f.Remedy = messages.Forbidden, "the bucket does not take this storage class: correct or remove s3.storage_class"
	case "InvalidTag":
		f.Class, f.Remedy = messages.Forbidden, "the bucket does not take these tags: correct or remove s3.tags"
	default:
		c.byStatus(f, a)
	}
}

func (c *Client) byStatus(f *messages.Fault, a *answer) {
	switch {
	case a.status == http.StatusUnauthorized:
		f.Class, f.Remedy = messages.Unauthenticated, credentialsRemedy
	case a.status == http.StatusForbidden, strings.HasPrefix(a.code, "KMS."):
		f.Class, f.Remedy = messages.Forbidden, c.policyRemedy()
	case a.status == http.StatusNotFound:
		f.Class, f.Remedy = messages.NotFound, "check s3.bucket_path and s3.endpoint"
	case a.status == http.StatusTooManyRequests:
		f.Class = messages.Throttled
	case a.status == http.StatusProxyAuthRequired:
		f.Class, f.Remedy = messages.Connection, network.ProxyRemedy
	case a.status >= 500, a.status == http.StatusTemporaryRedirect:
		f.Class = messages.Unavailable
	case a.status < 400:
		f.Class, f.Remedy = messages.NotFound, c.regionRemedy(a)
	case a.status == http.StatusBadRequest && a.header.Get("x-amz-bucket-region") != "" && a.header.Get("x-amz-bucket-region") != c.region:
		f.Class, f.Remedy = messages.NotFound, c.regionRemedy(a) // HEAD, which has no code
	default:
		f.Class = messages.Unknown
	}
}

// policyRemedy names the least that copying needs.
func (c *Client) policyRemedy() string {
	resource := "arn:aws:s3:::" + c.bucket + "/<path>/*"
	if strings.HasSuffix(c.bucket, "-s3alias") {
		resource = "arn:aws:s3:" + c.region + ":<account>:accesspoint/<name>/object/<path>/*"
	}
	rights := slices.Insert(c.extras.rights(), 1, "s3:AbortMultipartUpload")
	last := len(rights) - 1
	remedy := "the key must be allowed " + strings.Join(rights[:last], ", ") + " and " + rights[last] + " on " + resource +
		", by its own policy and by that of the bucket, and kms:GenerateDataKey and kms:Decrypt where the bucket encrypts with KMS"
	if strings.HasPrefix(c.extras.SSE, "aws:kms") {
		remedy = strings.Replace(remedy, "where the bucket encrypts with KMS", "on the key of s3.sse", 1)
	}
	if c.owner != nil {
		remedy += "; the bucket must belong to the account " + *c.owner + " (s3.expected_bucket_owner)"
	}
	return remedy
}

func (c *Client) regionRemedy(a *answer) string {
	region := a.header.Get("x-amz-bucket-region")
	if m := regexp.MustCompile(`expecting '([a-z0-9-]+)'`).FindStringSubmatch(a.message); region == "" && m != nil {
		region = m[1]
	}
	if region == "" {
		return fmt.Sprintf("the bucket is not in %s: set s3.region to its region", c.region)
	}
	return fmt.Sprintf("the bucket is not in %s: set s3.region to %s", c.region, network.OneLine(region))
}

func clockRemedy(h http.Header) string {
	local := "set the clock of this machine: it says " + time.Now().UTC().Format(time.RFC3339)
	if remote, err := http.ParseTime(h.Get("Date")); err == nil {
		return local + ", S3's says " + remote.UTC().Format(time.RFC3339)
	}
	return local
}

// broken reports whether an answer began and did not come to its end.
func broken(err error) bool {
	return errors.Is(err, io.ErrUnexpectedEOF) || isA[net.Error](err)
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}
