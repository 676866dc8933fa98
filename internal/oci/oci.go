// Package oci reads FOCUS reports from Oracle's Object Storage: it lists the
// bucket and opens objects, as scanner.Lister and copier.Source ask.
//
// It only reads, and keeps nothing between calls but connections: a crash
// leaves nothing behind. Every error is a *messages.Fault of the source, or the
// context's own. There is one retry policy in here, for listings and sums (see again);
// opening an object is tried once, since the copier decides about repeats. The
// SDK's retries and its circuit breaker are off.
package oci

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/messages"
)

// Options say which bucket is read, and as whom.
type Options struct {
	// Auth is the way to authenticate; empty means APIKey.
	Auth Kind
	// ConfigFile, of an API key and a session token, is the OCI configuration file.
	// In it ~ stands for the home directory; empty means $OCI_CONFIG_FILE, then
	// ~/.oci/config.
	ConfigFile string
	// Profile is a section of that file; empty means DEFAULT.
	Profile string
	// Origin says who named ConfigFile and Profile, for error messages only.
	Origin string
	// ServiceAccountToken, of a workload identity, is the file with the token of
	// the service account; empty means where Kubernetes puts it.
	ServiceAccountToken string

	Namespace string
	Bucket    string
	// Prefix bounds what is listed, and which names Open and Stat accept.
	Prefix string
	// Region beats the region of the profile.
	Region string
	// Endpoint, https://host[:port], beats the endpoint of the region.
	Endpoint string
	// UsageEndpoint does so for the Usage API, which is another service.
	UsageEndpoint string

	// Stall is how long a read waits for the next byte; zero means 30 s.
	Stall time.Duration
	// Connections is how many objects are open at the same time.
	Connections int
	// Around, where set, is put around the transport of the requests.
	Around func(http.RoundTripper) http.RoundTripper
}

// A Client reads one bucket. One is enough for a process: it is safe for
// concurrent use and holds the connections.
type Client struct {
	sdk     objectstorage.ObjectStorageClient
	keys    credentials
	http    *dispatcher
	options Options
	// pauses are those between the attempts of a listing call.
	pauses []time.Duration
}

// Open reads the credentials and prepares a client; it does not connect. Its
// errors are *ConfigError.
func Open(o Options) (*Client, error) {
	if o.Stall <= 0 {
		o.Stall = 30 * time.Second
	}
	endpoint, err := checkEndpoint("oci.endpoint", o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.UsageEndpoint, err = checkEndpoint("oci.usage_endpoint", o.UsageEndpoint); err != nil {
		return nil, err
	}
	keys, err := openCredentials(o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		keys: keys, options: o, http: newDispatcher(o.Connections, o.Stall, o.Around),
		pauses: []time.Duration{200 * time.Millisecond, time.Second},
	}
	if c.sdk, err = objectstorage.NewObjectStorageClientWithConfigurationProvider(placed{keys.identity().Region}); err != nil {
		return nil, &ConfigError{Err: err, Remedy: "set oci.region to the home region of the tenancy"}
	}
	c.sdk.Signer = signer{keys}
	c.sdk.HTTPClient = c.http
	c.sdk.Configuration.CircuitBreaker = nil
	c.sdk.Configuration.RetryPolicy = new(common.NoRetryPolicy())
	c.setHost(endpoint)
	return c, nil
}

// setHost comes last: other settings of the SDK put the host back.
func (c *Client) setHost(endpoint string) {
	if endpoint != "" {
		c.sdk.Host = endpoint
		return
	}
	// The SDK would fill in the template at each call, and until then show it raw.
	base := c.sdk.BaseClient
	common.UpdateEndpointTemplateForOptions(&base)
	c.sdk.Host = strings.ReplaceAll(base.Host, "{namespaceName+Dot}", c.options.Namespace+".")
}

func checkEndpoint(key, s string) (string, error) {
	s = strings.TrimSuffix(s, "/")
	if s == "" {
		return "", nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.Scheme+"://"+u.Host != s {
		return "", &ConfigError{
			Err:    fmt.Errorf("the endpoint %q is not of the form https://host[:port]", s),
			Remedy: "correct " + key + ", or leave it empty for Oracle's own",
		}
	}
	return s, nil
}

// Endpoint is where requests go, https://host[:port].
func (c *Client) Endpoint() string { return c.sdk.Host }

// Identity says as whom requests are signed.
func (c *Client) Identity() Identity { return c.keys.identity() }

// Close drops the idle connections. The client stays usable.
func (c *Client) Close() { c.http.client.CloseIdleConnections() }

// A Probe is what Check found.
type Probe struct {
	// Found is false where the listing worked and is empty.
	Found bool
	// First is the first object below the prefix.
	First messages.Object
	// Elapsed is the time of the request.
	Elapsed time.Duration
}

// Check lists one object: it proves the endpoint, the credentials, the policy
// and the region. It does not retry.
func (c *Client) Check(ctx context.Context) (Probe, error) {
	start := time.Now()
	page, err := c.list(ctx, c.listOp(), c.request("", 1))
	p := Probe{Elapsed: time.Since(start)}
	if err == nil && len(page.objects) > 0 {
		p.Found, p.First = true, page.objects[0]
	}
	return p, err
}
