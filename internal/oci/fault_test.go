package oci_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestAnswersHaveAClass(t *testing.T) {
	w := newWorld(t)
	add(w, simulator.Object{Content: simulator.Bytes([]byte("x"))})
	for _, c := range []struct {
		status    int
		code      string
		list, get messages.Class
	}{
		{400, "InvalidParameter", messages.Unknown, messages.Unknown},
		{401, "NotAuthenticated", messages.Unauthenticated, messages.Unauthenticated},
		{403, "NotAllowed", messages.Forbidden, messages.Forbidden},
		{404, "BucketNotFound", messages.NotFound, messages.NotFound},
		{404, "NamespaceNotFound", messages.NotFound, messages.NotFound},
		{404, "NotAuthorizedOrNotFound", messages.NotFound, messages.NotFound},
		{404, "SomethingNew", messages.NotFound, messages.NotFound},
		{404, "ObjectNotFound", messages.NotFound, messages.Gone},
		{407, "ProxyAuthenticationRequired", messages.Connection, messages.Connection},
		{409, "IncorrectState", messages.Unknown, messages.Unknown},
		{412, "IfMatchFailed", messages.Changed, messages.Changed},
		{429, "TooManyRequests", messages.Throttled, messages.Throttled},
		{429, "SomethingElse", messages.Throttled, messages.Throttled},
		{500, "InternalServerError", messages.Unavailable, messages.Unavailable},
		{501, "NotImplemented", messages.Unavailable, messages.Unavailable},
		{503, "ServiceUnavailable", messages.Unavailable, messages.Unavailable},
	} {
		remove := w.OCIFaults.Add(simulator.Rule{Do: simulator.Status(c.status, c.code, 7*time.Second)})
		_, err := w.client.Check(t.Context())
		wantFault(t, err, c.list)
		_, err = fetch(t.Context(), w.client, name, "")
		wantFault(t, err, c.get)
		f, _ := errors.AsType[*messages.Fault](err)
		if waits := c.status == 429 || c.status >= 500; waits != (f.RetryAfter == 7*time.Second) {
			t.Errorf("%d: RetryAfter = %v", c.status, f.RetryAfter)
		}
		if want := fmt.Sprintf("%d %s: simulated %s", c.status, c.code, c.code); !strings.Contains(err.Error(), want) {
			t.Errorf("error = %q, want %q in it", err, want)
		}
		remove()
	}
}

func TestNoBreakerKeepsRequestsBack(t *testing.T) {
	w := newWorld(t)
	remove := w.OCIFaults.Add(simulator.Rule{Do: simulator.Status(503, "ServiceUnavailable")})
	for range 20 {
		_, err := w.client.Check(t.Context())
		wantFault(t, err, messages.Unavailable)
	}
	remove()
	if _, err := w.client.Check(t.Context()); err != nil {
		t.Errorf("after the outage: %v", err)
	}
}

func TestRetryAfterHasALimit(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"86400": 5 * time.Minute, "-1": 0, "soon": 0, "": 0, "Mon, 02 Jan 2006 15:04:05 GMT": 0, "Fri, 01 Jan 2100 00:00:00 GMT": 5 * time.Minute,
	} {
		c := at(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
		})
		_, err := c.Check(t.Context())
		if f, _ := errors.AsType[*messages.Fault](err); f == nil || f.RetryAfter != want {
			t.Errorf("Retry-After %q: %#v, want %v", header, f, want)
		}
	}
}

func TestMissingPolicyOrWrongRegionIsExplained(t *testing.T) {
	w := newWorld(t, func(o *oci.Options) { o.Bucket = "ocid1.tenancy.oc1..other" })
	_, err := list(t.Context(), w.client, "")
	wantFault(t, err, messages.NotFound,
		"OCI answers 404 where the policy is missing or the region is not the tenancy's home region",
		"endorse", "ocid1.tenancy.oc1..other", w.OCIBucket, w.OCIURL)
}

func TestWrongKeyIsUnauthenticated(t *testing.T) {
	w := newWorld(t)
	_, err := open(t, options(t, w.OCIURL, stranger(t))).Check(t.Context())
	wantFault(t, err, messages.Unauthenticated, "API key", "[DEFAULT]")
}

func TestRenewedKeyIsUsedWithoutARestart(t *testing.T) {
	w := newWorld(t)
	o := options(t, w.OCIURL, stranger(t))
	c := open(t, o)
	_, err := c.Check(t.Context())
	wantFault(t, err, messages.Unauthenticated)
	right, err := os.ReadFile(w.options.ConfigFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(o.ConfigFile, right, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = c.Check(t.Context())
	wantFault(t, err, messages.Unauthenticated) // this one finds the new key
	if _, err := c.Check(t.Context()); err != nil {
		t.Errorf("with the new key: %v", err)
	}
}

func TestWrongClockIsToldFromAWrongKey(t *testing.T) {
	t.Run("by the message", func(t *testing.T) {
		w := worldOf(t, simulator.Options{Clock: func() time.Time { return time.Now().Add(-6 * time.Minute) }})
		_, err := w.client.Check(t.Context())
		wantFault(t, err, messages.ClockSkew, "set the clock")
	})
	t.Run("by the date of the answer", func(t *testing.T) {
		remote := time.Now().Add(-6 * time.Minute).UTC()
		c := at(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Date", remote.Format(http.TimeFormat))
			w.WriteHeader(http.StatusUnauthorized)
		})
		_, err := fetch(t.Context(), c, name, "")
		wantFault(t, err, messages.ClockSkew, "it says "+time.Now().UTC().Format("2006-01-02T"), remote.Format(time.RFC3339))
	})
}

func TestPageOfAProxyIsShortened(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, strings.Repeat("<p>\nno\n</p>", 100_000))
	})
	_, err := c.Check(t.Context())
	wantFault(t, err, messages.Unavailable)
	if len(err.Error()) > 1000 {
		t.Errorf("the error has %d bytes", len(err.Error()))
	}
}

func TestUnreachableIsConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	_, err = open(t, options(t, "http://"+address)).Check(t.Context())
	wantFault(t, err, messages.Connection)
	if strings.Contains(err.Error(), "GET") {
		t.Errorf("error repeats the URL: %v", err)
	}
}

func TestCertificatesAreChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	_, err := open(t, options(t, server.URL)).Check(t.Context())
	wantFault(t, err, messages.Connection, "SSL_CERT_FILE")
}

func TestOldTLSIsRefused(t *testing.T) {
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	server.StartTLS()
	defer server.Close()
	_, err := open(t, options(t, server.URL)).Check(t.Context())
	wantFault(t, err, messages.Connection, "TLS 1.2")
}

func TestPlainHTTPBehindHTTPSIsExplained(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	_, err := open(t, options(t, strings.Replace(server.URL, "http:", "https:", 1))).Check(t.Context())
	wantFault(t, err, messages.Connection, "oci.endpoint")
}

func TestRemediesWithoutAnAnswer(t *testing.T) {
	for want, cause := range map[string]error{
		"DNS":         &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "objectstorage.example"}},
		"HTTPS_PROXY": &net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")},
	} {
		if remedy, _ := oci.TestingOnlyUnanswered(&url.Error{Op: "Get", URL: "https://x", Err: cause}); !strings.Contains(remedy, want) {
			t.Errorf("remedy of %v = %q, want %q in it", cause, remedy, want)
		}
	}
}
