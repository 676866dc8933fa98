package oci_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestF05PagesOfProxies are no answers of Oracle: what counts is the status, and a 404
// without Oracle's own code says nothing about an object.
func TestF05PagesOfProxies(t *testing.T) {
	for status, class := range map[int]messages.Class{
		401: messages.Unauthenticated, 403: messages.Forbidden, 404: messages.NotFound, 407: messages.Connection,
		429: messages.Throttled, 500: messages.Unavailable, 502: messages.Unavailable, 503: messages.Unavailable, 504: messages.Unavailable,
	} {
		for kind, page := range map[string]string{"HTML": "<html><body><h1>no</h1></body></html>", "nothing": "", "another JSON": `{"error":["no"]}`, "broken JSON": `{"code":`} {
			t.Run(fmt.Sprint("F05 ", status, " with ", kind), func(t *testing.T) {
				c := at(t, func(w http.ResponseWriter, _ *http.Request) {
					w.WriteHeader(status)
					io.WriteString(w, page)
				})
				_, err := fetch(t.Context(), c, name, "")
				wantFault(t, err, class)
				_, err = c.Check(t.Context())
				wantFault(t, err, class)
				_, err = c.Stat(t.Context(), name)
				wantFault(t, err, class)
			})
		}
	}
}

// A drop is a body that yields some bytes after each pause, for ever.
type drop struct {
	bytes int
	pause time.Duration
}

func (d drop) Read(p []byte) (int, error) {
	time.Sleep(d.pause)
	return min(d.bytes, len(p)), nil
}

func (d drop) Close() error { return nil }

// TestF10ATrickleIsGivenUp: bytes come, so that no stall is seen, and the end never does.
func TestF10ATrickleIsGivenUp(t *testing.T) {
	const stall = 30 * time.Second
	for _, c := range []struct {
		name string
		drop
		rests time.Duration // of the reader, between two reads
		ends  bool
	}{
		{"a byte a second", drop{1, time.Second}, 0, true},
		{"a byte just before each stall", drop{1, 29 * time.Second}, 0, true},
		{"two hundred bytes a second", drop{200, time.Second}, 0, true},
		{"a slow line", drop{300, time.Second}, 0, false},
		{"a fast line and a slow reader", drop{1000, time.Millisecond}, time.Minute, false},
	} {
		t.Run("F10 "+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := oci.TestingOnlyBody(c.drop, stall, func() {})
				defer b.Close()
				start, buf := time.Now(), make([]byte, 1<<10)
				var err error
				for err == nil && time.Since(start) < 3*time.Hour {
					_, err = b.Read(buf)
					time.Sleep(c.rests)
				}
				if took := time.Since(start); c.ends != (err != nil) || c.ends && (took < 5*time.Minute || took > 6*time.Minute || !strings.Contains(err.Error(), "bytes came in")) {
					t.Errorf("after %s: %v, want it given up: %t", took, err, c.ends)
				}
			})
		})
	}
}

// TestF35ATokenThatCannotBeRenewedOnce is asked for again with the next request.
func TestF35ATokenThatCannotBeRenewedOnce(t *testing.T) {
	p := newPrincipals(t, oci.InstancePrincipal)
	p.prepare(t)
	c := open(t, p.options)
	if _, err := c.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.OCI.Withdraw()
	p.services.Refuse(true)
	for range 2 {
		_, err := c.Check(t.Context())
		wantFault(t, err, messages.Unauthenticated)
	}
	p.services.Refuse(false)
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("once tokens are given again: %v", err)
	}
}

// TestF39CertificatesThatProveNothing are refused before any request is sent, whatever
// is wrong with them.
func TestF39CertificatesThatProveNothing(t *testing.T) {
	now := time.Now()
	for what, c := range map[string]struct {
		from, to time.Time
		host     string
		says     string
	}{
		"expired":                           {now.Add(-2 * time.Hour), now.Add(-time.Hour), "127.0.0.1", "expired"},
		"not valid yet":                     {now.Add(time.Hour), now.Add(2 * time.Hour), "127.0.0.1", "not yet valid"},
		"of another host":                   {now.Add(-time.Hour), now.Add(time.Hour), "10.0.0.1", "10.0.0.1"},
		"of an authority that nobody knows": {now.Add(-time.Hour), now.Add(time.Hour), "127.0.0.1", "unknown authority"},
	} {
		t.Run("F39 "+what, func(t *testing.T) {
			asked := 0
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
			server.Config.ErrorLog = log.New(io.Discard, "", 0)
			server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate(t, c.host, c.from, c.to)}}
			server.StartTLS()
			defer server.Close()
			_, err := open(t, options(t, server.URL)).Check(t.Context())
			wantFault(t, err, messages.Connection, "certificate is not trusted", "SSL_CERT_FILE", "clock")
			if !strings.Contains(err.Error(), c.says) || asked > 0 {
				t.Errorf("%d requests, error %v, want %q in it", asked, err, c.says)
			}
		})
	}
}

func certificate(t *testing.T, host string, from, to time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: host}, IPAddresses: []net.IP{net.ParseIP(host)}, NotBefore: from, NotAfter: to,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// proxiedEnv makes the test binary a process that works behind a proxy: Go reads the
// variables once, and never uses a proxy for loopback addresses.
const proxiedEnv = "OCI_TEST_PROXIED"

// TestF40Proxies are used as the environment says, and named where they refuse.
func TestF40Proxies(t *testing.T) {
	if os.Getenv(proxiedEnv) != "" {
		behindAProxy(t)
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]int{}
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		seen[r.Method+" "+r.URL.Host]++
		switch {
		case r.Method == http.MethodConnect && r.URL.Host == "auth.focus.invalid:443":
			w.Header().Set("Proxy-Authenticate", "Basic")
			w.WriteHeader(http.StatusProxyAuthRequired)
		case r.Method == http.MethodConnect:
			w.WriteHeader(http.StatusBadGateway)
		default:
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, listing("", name))
		}
	}))
	defer proxy.Close()
	cmd := exec.CommandContext(t.Context(), self, "-test.run=^TestF40Proxies$", "-test.count=1")
	cmd.Env = append(os.Environ(), proxiedEnv+"=1", "HTTP_PROXY="+proxy.URL, "HTTPS_PROXY="+proxy.URL, "NO_PROXY=", "http_proxy=", "https_proxy=", "no_proxy=")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	for request, want := range map[string]int{"GET plain.focus.invalid": 1, "CONNECT auth.focus.invalid:443": 1, "CONNECT down.focus.invalid:443": 1} {
		if seen[request] != want {
			t.Errorf("the proxy saw %v, want %s", seen, request)
		}
	}
}

func behindAProxy(t *testing.T) {
	p, err := open(t, options(t, "http://plain.focus.invalid")).Check(t.Context())
	if err != nil || p.First.Name != name {
		t.Errorf("through the proxy: %+v, %v", p, err)
	}
	for _, endpoint := range []string{"https://auth.focus.invalid", "https://down.focus.invalid"} {
		_, err := open(t, options(t, endpoint)).Check(t.Context())
		wantFault(t, err, messages.Connection, "HTTPS_PROXY")
	}
}
