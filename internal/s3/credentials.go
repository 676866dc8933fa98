package s3

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// reloading reads the AWS configuration each time it is asked, where the SDK
// keeps what it read at the start. Behind a cache it is asked when credentials
// have run out or S3 has refused them: so renewed ones in a file or a profile
// are found without a restart.
type reloading struct {
	load func(context.Context) (aws.Config, error)
}

// Retrieve implements aws.CredentialsProvider.
func (r reloading) Retrieve(ctx context.Context) (aws.Credentials, error) {
	cfg, err := r.load(ctx)
	if err != nil {
		return aws.Credentials{}, noCredentials{err}
	}
	c, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, noCredentials{err}
	}
	return c, nil
}

// A signer signs with AWS's own, which keeps a key that it once derived from a
// secret for as long as the access key's id and the day stay the same. Where
// only the secret was wrong, a correction would so have no effect.
type signer struct{ current atomic.Pointer[v4.Signer] }

func newSigner() *signer {
	s := &signer{}
	s.forget()
	return s
}

func (s *signer) forget() {
	s.current.Store(v4.NewSigner(func(o *v4.SignerOptions) {
		o.DisableURIPathEscaping = true // keys are escaped once, as everywhere in S3
	}))
}

// SignHTTP implements s3.HTTPSignerV4.
func (s *signer) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, payloadHash, service, region string, at time.Time, with ...func(*v4.SignerOptions)) error {
	return s.current.Load().SignHTTP(ctx, c, r, payloadHash, service, region, at, with...)
}

// noCredentials marks errors that came before any request to S3.
type noCredentials struct{ err error }

func (e noCredentials) Error() string { return "no AWS credentials: " + e.err.Error() }
func (e noCredentials) Unwrap() error { return e.err }

// keys are the credentials of the options, and from the second question on, which comes
// after S3 has refused them, what they are then.
func (o Options) keys() aws.CredentialsProvider {
	var mu sync.Mutex
	refused := false
	return aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		mu.Lock()
		defer mu.Unlock()
		if refused && o.Renewed != nil {
			if id, secret, token, err := o.Renewed(); err == nil {
				o.AccessKeyID, o.SecretAccessKey, o.SessionToken = id, secret, token
			}
		}
		refused = true
		return credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken).Retrieve(ctx)
	})
}
