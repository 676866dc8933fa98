// Package s3 writes reports to Amazon S3, as copier.Objects, copier.Uploads and
// copier.Parts ask. It needs no more than s3:PutObject and
// s3:AbortMultipartUpload, and s3:PutObjectTagging and s3:PutObjectAcl where
// objects are to have tags or an ACL; only Head asks for more.
//
// Every body is in memory and goes out with its length and CRC32C, so that S3
// refuses any other bytes; nothing becomes visible in part, whenever this
// process dies. Every error is a *messages.Fault of the destination, or the
// context's own.
//
// There is one retry policy: three attempts for what may be repeated without a
// trace (Put, Part, Complete, Abort, Head), a short pause with jitter between
// them, all within the deadline of the call, and one attempt for Create, since
// an answer that is lost there leaves an upload behind that nobody knows. A pause that
// S3 asks for is kept; one of more than five seconds ends the call, and is the caller's.
package s3

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/network"
)

const (
	attempts = 3
	// maxPause is the longest pause within a call, which holds a buffer and a slot.
	maxPause = 5 * time.Second

	putDeadline      = 5 * time.Minute // Put and Part
	completeDeadline = 10 * time.Minute
	shortDeadline    = 30 * time.Second // the calls without a body
)

// Options say which bucket is written, and as whom.
type Options struct {
	// Bucket is the name of a bucket or the alias of an access point.
	Bucket string
	// Region, where empty, is that of the environment or the profile, then us-east-1.
	Region string
	// Endpoint, https://host[:port], replaces Amazon's.
	Endpoint string
	// Prefix is what every key begins with that is written, aborted or deleted; empty
	// or ending in a slash. A call about another one is refused and not sent.
	Prefix string
	// PathStyle puts the bucket into the path of the URL instead of the host name.
	PathStyle bool
	// UnsignedPayload leaves the SHA-256 of a body out of the signature over http, too,
	// as always over https: S3 then checks it by its CRC32C alone, which is signed.
	// Computing the SHA-256 takes more than anything else that is done to a large body.
	UnsignedPayload bool
	// Profile of the AWS configuration files.
	Profile string
	// AccessKeyID, with SecretAccessKey and perhaps SessionToken, replaces AWS's
	// own search for credentials.
	AccessKeyID, SecretAccessKey, SessionToken string
	// Renewed reads these three again where S3 did not accept them; nil, or an error: they
	// stay.
	Renewed func() (accessKeyID, secretAccessKey, sessionToken string, err error)
	// Extras are what each object is given beside its bytes.
	Extras Extras
	// ExpectedBucketOwner is the account that the bucket must belong to; S3 refuses
	// every call where it belongs to another. Empty: any.
	ExpectedBucketOwner string
	// Connections is how many requests run at the same time.
	Connections int
	// Stall is how long S3 may take no byte of a body, and give none of the answer
	// once it has all of it; zero means 30 s. For the answer to Complete S3 may
	// take its time.
	Stall time.Duration
	// Around, where set, is put around the transport of the requests.
	Around func(http.RoundTripper) http.RoundTripper
}

// A ConfigError says what is wrong with the settings of the destination.
type ConfigError struct {
	Err    error
	Remedy string
}

func (e *ConfigError) Error() string { return e.Err.Error() + "; " + e.Remedy }
func (e *ConfigError) Unwrap() error { return e.Err }

// A Client writes one bucket. One is enough for a process: it is safe for
// concurrent use and holds the connections.
type Client struct {
	sdk    *s3.Client
	creds  *aws.CredentialsCache
	signer *signer
	bucket string
	region string
	extras Extras
	owner  *string // nil: any
	// relays is set where the SHA-256 of a body need not be known before it is sent.
	relays bool
	http   *http.Client
	// patient waits for the first byte of an answer as long as the call lasts.
	patient *http.Client
	// pauses are those between the attempts of a call.
	pauses []time.Duration
}

// Open reads the AWS configuration and prepares a client; it does not connect.
// Its errors are *ConfigError, or the context's.
func Open(ctx context.Context, o Options) (*Client, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	load := o.loader()
	cfg, err := load(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &ConfigError{fmt.Errorf("read the AWS configuration: %w", err), "check s3.profile, AWS_PROFILE and the files in ~/.aws"}
	}
	c := &Client{
		bucket: o.Bucket, region: cfg.Region, extras: o.Extras, owner: given(o.ExpectedBucketOwner),
		creds: aws.NewCredentialsCache(reloading{load}), signer: newSigner(),
		http: newHTTP(cfg, o.Connections, o.Stall, o.Stall), patient: newHTTP(cfg, o.Connections, o.Stall, 0),
		pauses: []time.Duration{200 * time.Millisecond, time.Second},
	}
	if o.Around != nil {
		c.http.Transport, c.patient.Transport = o.Around(c.http.Transport), o.Around(c.patient.Transport)
	}
	c.http.Transport = holding{c.http.Transport}
	c.sdk = s3.NewFromConfig(cfg, func(s *s3.Options) {
		s.Credentials = c.creds
		s.HTTPSignerV4 = c.signer
		s.Logger = logging.Nop{} // all that it says comes back as an error, too
		s.HTTPClient = c.http
		s.APIOptions = append(s.APIOptions, confine(o.Prefix))
		if o.UnsignedPayload {
			s.APIOptions = append(s.APIOptions, unsigned)
		}
		s.UsePathStyle = o.PathStyle
		s.Retryer = retry.NewStandard(func(r *retry.StandardOptions) {
			r.MaxAttempts = attempts
			r.RateLimiter = ratelimit.None // three attempts, whatever other calls meet
			r.Backoff = retry.BackoffDelayerFunc(c.pause)
			r.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(patience)}, r.Retryables...)
		})
		if o.Endpoint != "" {
			s.BaseEndpoint = new(strings.TrimSuffix(o.Endpoint, "/"))
		}
		c.relays = o.UnsignedPayload || !strings.HasPrefix(aws.ToString(s.BaseEndpoint), "http://")
	})
	return c, nil
}

// pause is the one after the given attempt, which counts from 1: with jitter, and not
// shorter than S3 asks for.
func (c *Client) pause(attempt int, err error) (time.Duration, error) {
	d := c.pauses[min(attempt, len(c.pauses))-1]
	return max(d/2+rand.N(d/2+1), asked(err)), nil
}

// patience ends a call whose answer asks for a long pause.
func patience(err error) aws.Ternary {
	if asked(err) > maxPause {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
}

// asked is the pause that the answer of a failed attempt asks for.
func asked(err error) time.Duration {
	resp, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || resp.HTTPStatusCode() == 0 {
		return 0
	}
	return network.RetryAfter(resp.HTTPResponse().Header)
}

func (o Options) check() error {
	if o.Bucket == "" {
		return &ConfigError{errors.New("the name of the bucket is empty"), "set s3.bucket_path to s3://bucket/path"}
	}
	if (o.AccessKeyID == "") != (o.SecretAccessKey == "") {
		return &ConfigError{errors.New("an access key without its secret, or the reverse"), "set both s3.access_key_id and s3.secret_access_key, or neither"}
	}
	if o.Endpoint == "" {
		return nil
	}
	if u, err := url.Parse(o.Endpoint); err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return &ConfigError{fmt.Errorf("the endpoint %q is not of the form https://host[:port]", o.Endpoint), "correct s3.endpoint, or leave it empty for Amazon's own"}
	}
	return nil
}

// loader returns a function that reads the AWS configuration as it is now.
func (o Options) loader() func(context.Context) (aws.Config, error) {
	var with []func(*config.LoadOptions) error
	if o.Region != "" {
		with = append(with, config.WithRegion(o.Region))
	}
	if o.Profile != "" {
		with = append(with, config.WithSharedConfigProfile(o.Profile))
	}
	if o.AccessKeyID != "" {
		with = append(with, config.WithCredentialsProvider(o.keys()))
	}
	return func(ctx context.Context) (aws.Config, error) {
		cfg, err := config.LoadDefaultConfig(ctx, with...)
		if cfg.Region == "" {
			cfg.Region = "us-east-1"
		}
		return cfg, err
	}
}

// Region is the region that requests are signed for.
func (c *Client) Region() string { return c.region }

// Close drops the idle connections. The client stays usable.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.patient.CloseIdleConnections()
}

// Check proves the right to write under key by beginning an upload there and
// giving it up: nothing becomes visible, and nothing stays. The error names the
// step that failed, and the right that is missing where that can be told. The
// upload is given up even if ctx ends in between.
func (c *Client) Check(ctx context.Context, key string) error {
	id, err := c.Create(ctx, key, copier.Meta{})
	if err != nil {
		if right := c.lacking(ctx, key, err); right != "" {
			return fmt.Errorf("check %s: the key lacks %s: %w", strings.Join(c.extras.rights(), ", "), right, err)
		}
		return fmt.Errorf("check %s: %w", strings.Join(c.extras.rights(), ", "), err)
	}
	if err := c.Abort(context.WithoutCancel(ctx), key, id); err != nil {
		return fmt.Errorf("check s3:AbortMultipartUpload (the empty upload %s stays behind): %w", id, err)
	}
	return nil
}

// op names a call in errors.
func (c *Client) op(verb, key string) string {
	return fmt.Sprintf("%s s3://%s/%s", verb, c.bucket, key)
}
