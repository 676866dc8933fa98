package s3

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
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

// noCredentials marks errors that came before any request to S3.
type noCredentials struct{ err error }

func (e noCredentials) Error() string { return "no AWS credentials: " + e.err.Error() }
func (e noCredentials) Unwrap() error { return e.err }

func (o Options) static() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, o.SessionToken)
}
