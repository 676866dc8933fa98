// Package network says in an operator's words why an HTTP request was not
// answered as it should have been. Both cloud adapters use it.
package network

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// ProxyRemedy is for whatever a proxy refuses.
const ProxyRemedy = "check the proxy in HTTPS_PROXY, HTTP_PROXY and NO_PROXY"

// Settings are the names that the remedies speak of.
type Settings struct {
	CA       string // variables that name a CA file
	Endpoint string // key of the endpoint
	Host     string // keys that decide on the host's name
	// Late is what a call that ran out of time is said to have met.
	Late string
}

// Unanswered returns the cause of err and what an operator can do about it. The
// context errors of the adapter's own deadlines are cut from the chain: only the
// caller's may be seen there.
func (s Settings) Unanswered(err error) (remedy string, cause error) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL says nothing that the operation does not
	}
	switch {
	case isA[*tls.CertificateVerificationError](err), isA[x509.UnknownAuthorityError](err), isA[x509.HostnameError](err), isA[x509.CertificateInvalidError](err):
		remedy = "the certificate is not trusted: name the CA of your proxy in " + s.CA + ", and check the clock and " + s.Endpoint
	case isA[tls.RecordHeaderError](err), errors.Is(err, http.ErrSchemeMismatch), failedIn(err, "remote error"):
		remedy = "TLS 1.2 or newer is needed: check " + s.Endpoint + " and the proxy"
	case isA[*net.DNSError](err):
		remedy = "the name of the host cannot be resolved: check DNS, " + s.Host
	case failedIn(err, "proxyconnect"):
		remedy = ProxyRemedy
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errors.New(strings.Replace(err.Error(), context.DeadlineExceeded.Error(), s.Late, 1))
	}
	return remedy, err
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func failedIn(err error, op string) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == op
}

// ProxyAnswered gives the refusal of a proxy the form of one that cannot be reached, for
// Transport.OnProxyConnectResponse. Else nothing would tell that it was the proxy that
// said "Forbidden".
func ProxyAnswered(_ context.Context, _ *url.URL, _ *http.Request, r *http.Response) error {
	if r.StatusCode == http.StatusOK {
		return nil
	}
	return &net.OpError{Op: "proxyconnect", Net: "tcp", Err: errors.New("the proxy answers " + OneLine(r.Status))}
}

// maxRetryAfter bounds the pause that an answer can ask for.
const maxRetryAfter = 5 * time.Minute

// RetryAfter reads both forms of the header; zero where there is none.
func RetryAfter(h http.Header) time.Duration {
	header := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}

// OneLine keeps the page of some proxy from filling the log, and what is invisible in
// it from driving a terminal or disguising a name.
func OneLine(s string) string {
	const most = 300
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return utf8.RuneError
		}
		return r
	}, s)
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}
