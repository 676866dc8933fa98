package oci

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/messages"
)

const (
	maxRetryAfter = 5 * time.Minute
	// maxSkew is how far a clock may be off before Oracle refuses signatures.
	maxSkew = 5 * time.Minute
)

// notOracle is an answer that Object Storage does not give.
type notOracle struct{ error }

// foreign marks an error as notOracle when an answer came as a whole and the
// SDK could not read it. On some it panics, and reports its stack.
func foreign(err error) error {
	var answer common.ServiceError
	transport := isA[*url.Error](err) || isA[stalledError](err) || isA[net.Error](err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
	if err == nil || transport || errors.As(err, &answer) {
		return err
	}
	text, _, _ := strings.Cut(err.Error(), "\nStack:")
	return notOracle{errors.New("the answer cannot be read: " + oneLine(text))}
}

// otherVersion is an answer with another version than the one asked for.
type otherVersion struct{ etag string }

func (e otherVersion) Error() string { return fmt.Sprintf("the object now has the etag %s", e.etag) }

// fault gives err its class. The end of ctx wins over all others, and stays
// visible to errors.Is; resp may be nil.
func (c *Client) fault(ctx context.Context, op string, err error, resp *http.Response) error {
	if ctx.Err() != nil {
		return fmt.Errorf("%s: %w", op, ctx.Err())
	}
	f := &messages.Fault{Side: messages.Source, Op: op, Err: err}
	var answer common.ServiceError // has no method Error, so AsType does not take it
	switch {
	case errors.As(err, &answer):
		c.answered(f, answerError{answer}, resp)
	case isA[otherVersion](err):
		f.Class = messages.Changed
	case isA[notOracle](err):
		f.Class, f.Remedy = messages.Unavailable, "this is not an answer of Oracle's: check oci.endpoint and the proxy"
	default:
		f.Class = messages.Connection
		f.Err, f.Remedy = unreached(err)
	}
	return f
}

func isA[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// answered looks at the status first: the codes are an open set.
func (c *Client) answered(f *messages.Fault, answer answerError, resp *http.Response) {
	f.Err = answer
	switch status := answer.GetHTTPStatusCode(); {
	case status == http.StatusUnauthorized:
		c.unauthenticated(f, answer, resp)
	case status == http.StatusForbidden:
		f.Class, f.Remedy = messages.Forbidden, c.policyRemedy()
	case status == http.StatusNotFound && answer.GetCode() == "ObjectNotFound":
		f.Class = messages.Gone
	case status == http.StatusNotFound:
		f.Class, f.Remedy = messages.NotFound, c.policyRemedy()
	case status == http.StatusPreconditionFailed:
		f.Class = messages.Changed
	case status == http.StatusTooManyRequests:
		f.Class, f.RetryAfter = messages.Throttled, retryAfter(resp)
	case status == http.StatusProxyAuthRequired:
		f.Class, f.Remedy = messages.Connection, proxyRemedy
	case status >= 500:
		f.Class, f.RetryAfter = messages.Unavailable, retryAfter(resp)
	default:
		f.Class = messages.Unknown
	}
}

// unauthenticated tells a wrong clock from a wrong key, and has the key read
// again, so that a renewed one is used from the next request on.
func (c *Client) unauthenticated(f *messages.Fault, answer answerError, resp *http.Response) {
	local := time.Now().UTC()
	remote := dateOf(resp)
	if skew := local.Sub(remote); !remote.IsZero() && skew.Abs() > maxSkew {
		f.Class = messages.ClockSkew
		f.Remedy = fmt.Sprintf("set the clock of this machine: it says %s, Oracle's says %s", local.Format(time.RFC3339), remote.Format(time.RFC3339))
		return
	}
	if strings.Contains(strings.ToLower(answer.GetMessage()), "clock skew") {
		f.Class = messages.ClockSkew
		f.Remedy = fmt.Sprintf("set the clock of this machine: it says %s", local.Format(time.RFC3339))
		return
	}
	id := c.keys.identity()
	f.Class = messages.Unauthenticated
	f.Remedy = fmt.Sprintf("check that the API key %s is still registered for the user %s and belongs to the key_file of profile [%s] in %s", id.Fingerprint, id.User, id.Profile, id.ConfigFile)
	_ = c.keys.read() // the old key stays where the file cannot be read
}

func dateOf(resp *http.Response) time.Time {
	if resp == nil {
		return time.Time{}
	}
	t, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// policyRemedy exists because Oracle hides a missing permission behind a 404.
func (c *Client) policyRemedy() string {
	id := c.keys.identity()
	region := "the region is " + id.Region
	if c.options.Endpoint != "" {
		region = "the endpoint is " + c.options.Endpoint
	}
	return fmt.Sprintf("OCI answers 404 where the policy is missing or the region is not the tenancy's home region: "+
		"define tenancy usage-report and endorse the group of user %s to read objects in tenancy usage-report; "+
		"oci.bucket must be the OCID of your tenancy (it is %s, the profile's tenancy is %s), "+
		"oci.namespace %s, oci.region the home region (%s)",
		id.User, c.options.Bucket, id.Tenancy, c.options.Namespace, region)
}

// retryAfter reads both forms of the header; zero where there is none.
func retryAfter(resp *http.Response) time.Duration {
	if resp == nil {
		return 0
	}
	header := resp.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryAfter)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(time.Until(at), 0), maxRetryAfter)
	}
	return 0
}

// An answerError is the SDK's error on one line instead of its ten.
type answerError struct{ common.ServiceError }

func (e answerError) Error() string {
	s := fmt.Sprintf("%d %s: %s", e.GetHTTPStatusCode(), e.GetCode(), oneLine(e.GetMessage()))
	if id := e.GetOpcRequestID(); id != "" {
		s += " (opc-request-id " + oneLine(id) + ")"
	}
	return s
}

// oneLine keeps the page of some proxy from filling the log.
func oneLine(s string) string {
	const most = 300
	s = strings.ToValidUTF8(strings.Join(strings.Fields(s), " "), "?")
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "..."
	}
	return s
}

const proxyRemedy = "check the proxy in HTTPS_PROXY, HTTP_PROXY and NO_PROXY"

// unreached explains why no answer came. The context errors of our own
// deadlines are cut from the chain: only the caller's may be seen there.
func unreached(err error) (error, string) {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // the URL says nothing that the operation does not
	}
	remedy := ""
	switch {
	case errors.Is(err, errRedirect):
		remedy = "check oci.endpoint and the proxy: Object Storage does not redirect"
	case isA[*tls.CertificateVerificationError](err), isA[x509.UnknownAuthorityError](err), isA[x509.HostnameError](err), isA[x509.CertificateInvalidError](err):
		remedy = "the certificate is not trusted: name the CA of your proxy in SSL_CERT_FILE, and check the clock and oci.endpoint"
	case isA[tls.RecordHeaderError](err), errors.Is(err, http.ErrSchemeMismatch), failedIn(err, "remote error"):
		remedy = "TLS 1.2 or newer is needed: check oci.endpoint and the proxy"
	case isA[*net.DNSError](err):
		remedy = "the name of the host cannot be resolved: check DNS and oci.region"
	case failedIn(err, "proxyconnect"):
		remedy = proxyRemedy
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		err = errors.New(strings.Replace(err.Error(), context.DeadlineExceeded.Error(), fmt.Sprintf("no answer within %v", listDeadline), 1))
	}
	return err, remedy
}

func failedIn(err error, op string) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == op
}
