package oci

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/common/auth"

	"oracle-focus-agent/internal/network"
)

const (
	// metadataWait is long for a service on the same host, and short for somebody
	// who waits for the news that there is none.
	metadataWait = 3 * time.Second
	authWait     = 10 * time.Second
	regionPath   = "/instance/region"
)

// metadataBase is where an instance asks who it is; the variable is the SDK's.
func metadataBase() string {
	if base := os.Getenv("OCI_METADATA_BASE_URL"); base != "" {
		return strings.TrimSuffix(base, "/")
	}
	return "http://169.254.169.254/opc/v2"
}

// openInstance asks for the region first: the SDK would repeat that question for
// two minutes where nobody answers.
func openInstance() (common.ConfigurationProvider, error) {
	c := &courier{base: metadataBase(), metadata: newMetadataClient(), auth: newAuthClient()}
	if err := c.learnRegion(); err != nil {
		return nil, tokenError{
			fmt.Errorf("no instance metadata service answers: %w", err),
			"this host is not an OCI instance, use api_key; on an instance, a firewall or the network of a container may keep " + c.base + " from this process",
		}
	}
	return auth.InstancePrincipalConfigurationProviderWithCustomClient(func(common.HTTPRequestDispatcher) (common.HTTPRequestDispatcher, error) {
		return c, nil
	})
}

// A courier sends the SDK's requests to the metadata service, which no proxy
// knows, and those to Oracle's auth service, each with a timeout.
type courier struct {
	base           string
	region         []byte
	metadata, auth *http.Client
}

func newMetadataClient() *http.Client {
	return &http.Client{
		Timeout: metadataWait,
		Transport: &http.Transport{
			DialContext:       (&net.Dialer{Timeout: metadataWait}).DialContext,
			DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
}

func newAuthClient() *http.Client {
	t := newTransport(0)
	t.DisableKeepAlives = true // a token lasts longer than a connection
	return &http.Client{
		Timeout: authWait, Transport: t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
	}
}

func (c *courier) learnRegion() error {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, c.base+regionPath, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer Oracle")
	resp, err := c.metadata.Do(req)
	if err != nil {
		_, err = network.Settings{Late: fmt.Sprintf("no answer within %v", metadataWait)}.Unanswered(err)
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	if err != nil || resp.StatusCode != http.StatusOK || len(bytes.TrimSpace(text)) == 0 {
		return fmt.Errorf("%s answers %s", c.base+regionPath, resp.Status)
	}
	c.region = bytes.TrimSpace(text)
	return nil
}

// Do implements common.HTTPRequestDispatcher.
func (c *courier) Do(req *http.Request) (*http.Response, error) {
	switch url := req.URL.String(); {
	case strings.HasPrefix(url, c.base+"/") && strings.HasSuffix(url, regionPath): // known by now
		return &http.Response{StatusCode: http.StatusOK, Status: "200 OK", Request: req, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(c.region))}, nil
	case strings.HasPrefix(url, c.base+"/"):
		return limited(c.metadata.Do(req))
	}
	return limited(c.auth.Do(req))
}

// limited bounds what an answer may hold.
func limited(resp *http.Response, err error) (*http.Response, error) {
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxErrorBody), resp.Body}
	}
	return resp, err
}
