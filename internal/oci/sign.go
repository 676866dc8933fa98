package oci

import (
	"context"
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/internal/network"
)

// credentials are what requests are signed with. They are safe for concurrent use.
type credentials interface {
	// current is the key for one request. It ends with ctx; other errors are a
	// tokenError.
	current(ctx context.Context) (pair, error)
	// renew has what was read or asked for before replaced, before the next
	// request, since Oracle did not accept it, or does not allow it enough.
	renew()
	identity() Identity
}

// openCredentials reads files and variables. It does not connect.
func openCredentials(o Options) (credentials, error) {
	switch o.Auth {
	case "", APIKey, SessionToken:
		return openKeyring(o)
	case InstancePrincipal, ResourcePrincipal, WorkloadIdentity:
		return openPrincipal(o)
	}
	return nil, &ConfigError{Err: fmt.Errorf("oci.auth: %q is no way to authenticate", o.Auth), Remedy: "use " + string(APIKey)}
}

// A pair is a key and what it is called: that of an API key, or a token that
// holds the public half. Both are taken at once, so that none is renewed in
// between; the SDK's own signer asks for one after the other.
type pair struct {
	id  string
	key *rsa.PrivateKey
}

func (p pair) KeyID() (string, error)                  { return p.id, nil }
func (p pair) PrivateRSAKey() (*rsa.PrivateKey, error) { return p.key, nil }

// A signer signs each request with the credentials of its moment.
type signer struct{ credentials }

// Sign implements common.HTTPRequestSigner.
func (s signer) Sign(req *http.Request) error {
	p, err := s.current(callOf(req.Context()))
	if err != nil {
		return err
	}
	return common.DefaultRequestSigner(p).Sign(req)
}

// A tokenError is that there is nothing to sign with. No request was sent.
type tokenError struct {
	err    error
	remedy string
}

func (e tokenError) Error() string { return e.err.Error() }

// tokenText matches what the SDK repeats of a token that it cannot read.
var tokenText = regexp.MustCompile(`(?s)token string ".*?"`)

// toldBy is an error of the SDK on one line, without the token that some hold
// and without the advice that follows the first line.
func toldBy(err error) error {
	text := tokenText.ReplaceAllString(err.Error(), "token")
	text, _, _ = strings.Cut(text, "\n")
	return errors.New(network.OneLine(text))
}

// placed tells the SDK the region, and nothing else: requests are signed by a
// signer. Without it the SDK would ask for a token before the first request.
type placed struct{ region string }

func (p placed) PrivateRSAKey() (*rsa.PrivateKey, error) { return nil, nil }
func (p placed) KeyID() (string, error)                  { return "", nil }
func (p placed) TenancyOCID() (string, error)            { return "", nil }
func (p placed) UserOCID() (string, error)               { return "", nil }
func (p placed) KeyFingerprint() (string, error)         { return "", nil }
func (p placed) Region() (string, error)                 { return p.region, nil }
func (p placed) AuthType() (common.AuthConfig, error) {
	return common.AuthConfig{AuthType: common.UnknownAuthenticationType}, nil
}
