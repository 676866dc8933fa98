package oci

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"
)

// A principal is what Oracle's own services vouch for: they give it a token that
// holds the public half of a key. The SDK gets that token and renews it before
// it ends; nothing is asked for before the first request.
//
// The SDK's calls know no context, so they run beside the request that waits for
// them, one at a time. Each is bound by the timeouts of its HTTP requests: under
// a minute in all.
type principal struct {
	id     Identity // without the tenancy
	open   func() (common.ConfigurationProvider, error)
	remedy string

	turn     chan struct{}                // holds one: whoever asks the SDK
	provider common.ConfigurationProvider // of whoever has the turn
	refused  atomic.Bool                  // Oracle did not accept the last token, or not for this

	mu      sync.Mutex
	tenancy string
}

// openPrincipal checks the variables that Oracle's services set.
func openPrincipal(o Options) (*principal, error) {
	p := &principal{id: Identity{Kind: o.Auth}, turn: make(chan struct{}, 1)}
	var err error
	if p.id.Region, err = principalRegion(o); err != nil {
		return nil, err
	}
	switch o.Auth {
	case InstancePrincipal:
		p.open, p.remedy = openInstance, "check that this instance may connect to Oracle's auth service of its region, directly or through HTTPS_PROXY, and that its clock is right"
	case ResourcePrincipal:
		p.open, p.remedy = openResource(p.id.Region), "Oracle's service renews the token; start this process anew where it does not"
		err = checkResource()
	case WorkloadIdentity:
		p.open, p.remedy = openWorkload(o.ServiceAccountToken), "the cluster must be an enhanced one, and the pod needs a service account with its token mounted and a way to port 12250 of the API server"
		err = checkWorkload(o.ServiceAccountToken)
	}
	return p, err
}

// principalRegion is where requests go. A principal may work in another region
// than the home region, so an instance must be told.
func principalRegion(o Options) (string, error) {
	names := []string{"OCI_REGION"}
	if o.Auth != InstancePrincipal {
		names = []string{auth.ResourcePrincipalRegionEnvVar, "OCI_REGION"}
	}
	region := o.Region
	for _, name := range names {
		if region == "" {
			region = os.Getenv(name)
		}
	}
	if region == "" || strings.ContainsAny(region, " \t/") {
		return "", &ConfigError{
			Err:    fmt.Errorf("region %q is none", region),
			Remedy: fmt.Sprintf("set oci.region to the home region of the tenancy, since no profile names it with oci.auth %s", o.Auth),
		}
	}
	return string(common.StringToRegion(region)), nil
}

// checkResource demands the variables of a resource principal, and its files.
func checkResource() error {
	const fix = "leave them to the OCI service that starts this process, such as a container instance, or use another oci.auth"
	if err := demand(ResourcePrincipal, fix, auth.ResourcePrincipalVersionEnvVar, auth.ResourcePrincipalRPSTEnvVar, auth.ResourcePrincipalPrivatePEMEnvVar); err != nil {
		return err
	}
	if v := os.Getenv(auth.ResourcePrincipalVersionEnvVar); v != auth.ResourcePrincipalVersion2_2 {
		return &ConfigError{
			Err:    fmt.Errorf("%s is %q", auth.ResourcePrincipalVersionEnvVar, v),
			Remedy: "this program knows version 2.2; use another oci.auth",
		}
	}
	return readable(ResourcePrincipal, fix, os.Getenv(auth.ResourcePrincipalRPSTEnvVar), os.Getenv(auth.ResourcePrincipalPrivatePEMEnvVar))
}

// checkWorkload demands the variables of a pod in OKE, and its files.
func checkWorkload(token string) error {
	const fix = "set OCI_RESOURCE_PRINCIPAL_VERSION to 2.2 and OCI_RESOURCE_PRINCIPAL_REGION to the cluster's region in the pod; Kubernetes sets the rest"
	if err := demand(WorkloadIdentity, fix, auth.ResourcePrincipalVersionEnvVar, auth.ResourcePrincipalRegionEnvVar, auth.KubernetesServiceHostEnvVar); err != nil {
		return err
	}
	ca := os.Getenv(auth.OciKubernetesServiceAccountCertPath)
	if ca == "" {
		ca = auth.DefaultKubernetesServiceAccountCertPath
	}
	return readable(WorkloadIdentity, "mount the token of a service account into the pod (automountServiceAccountToken)", tokenPath(token), ca)
}

// demand names all variables that are missing.
func demand(kind Kind, fix string, names ...string) error {
	var missing []string
	for _, name := range names {
		if os.Getenv(name) == "" {
			missing = append(missing, name)
		}
	}
	if missing == nil {
		return nil
	}
	return &ConfigError{Err: fmt.Errorf("oci.auth %s needs %s, not set here", kind, strings.Join(missing, ", ")), Remedy: fix}
}

// readable judges the values that are paths: Oracle's services may give a value
// itself instead.
func readable(kind Kind, fix string, values ...string) error {
	for _, path := range values {
		if !strings.HasPrefix(path, "/") {
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return &ConfigError{Err: fmt.Errorf("oci.auth %s needs the file %s: %w", kind, path, plain(err)), Remedy: fix}
		}
		f.Close()
	}
	return nil
}

func openResource(region string) func() (common.ConfigurationProvider, error) {
	return func() (common.ConfigurationProvider, error) {
		return auth.ResourcePrincipalConfigurationProviderForRegion(common.Region(region))
	}
}

func tokenPath(path string) string {
	if path == "" {
		return auth.KubernetesServiceAccountTokenPath
	}
	return path
}

func openWorkload(token string) func() (common.ConfigurationProvider, error) {
	return func() (common.ConfigurationProvider, error) {
		source := auth.NewDefaultServiceAccountTokenProvider().WithSaTokenPath(tokenPath(token))
		return auth.OkeWorkloadIdentityConfigurationProviderWithServiceAccountTokenProvider(source)
	}
}

// current implements credentials.
func (p *principal) current(ctx context.Context) (pair, error) {
	select {
	case p.turn <- struct{}{}:
	case <-ctx.Done():
		return pair{}, ctx.Err()
	}
	type answer struct {
		pair
		err error
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-p.turn }()
		k, err := p.ask()
		answers <- answer{k, err}
	}()
	select {
	case a := <-answers:
		return a.pair, p.explain(a.err)
	case <-ctx.Done():
		return pair{}, ctx.Err()
	}
}

// ask asks the SDK. The caller has the turn. After a failure the next request
// begins anew, so that no circuit breaker of the SDK outlasts an outage.
func (p *principal) ask() (k pair, err error) {
	defer func() {
		if r := recover(); r != nil { // it takes the claims of a token for granted
			err = errors.New("the token lacks what every token has")
		}
		if err != nil {
			p.provider = nil
		}
	}()
	if p.refused.Swap(false) {
		p.provider = nil
	}
	if p.provider == nil {
		if p.provider, err = p.open(); err != nil {
			return pair{}, err
		}
	}
	if k, err = both(p.provider); err == nil {
		p.learn()
	}
	return k, err
}

// both asks again where the token was renewed between the two questions. A token
// that is renewed at each question, in its last five minutes from the start, can
// never be paired with its key.
func both(provider common.ConfigurationProvider) (pair, error) {
	for range 3 {
		id, err := provider.KeyID()
		if err != nil {
			return pair{}, err
		}
		key, err := provider.PrivateRSAKey()
		if err != nil {
			return pair{}, err
		}
		after, err := provider.KeyID()
		if err != nil || after == id {
			return pair{strings.TrimSpace(id), key}, err
		}
	}
	return pair{}, errors.New("the token ends within five minutes of its issue")
}

// learn takes the tenancy from the token, for messages.
func (p *principal) learn() {
	tenancy, err := p.provider.TenancyOCID()
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tenancy = tenancy
}

func (p *principal) explain(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[tokenError](err); ok {
		return e
	}
	return tokenError{fmt.Errorf("no token for %s: %w", p.id, toldBy(err)), p.remedy}
}

// renew implements credentials.
func (p *principal) renew() { p.refused.Store(true) }

func (p *principal) identity() Identity {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.id
	id.Tenancy = p.tenancy
	return id
}
