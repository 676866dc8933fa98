package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/network"
	"oracle-focus-agent/messages"
)

const (
	// maxSkew is how far a clock may be off before Oracle refuses signatures.
	maxSkew = 5 * time.Minute
)

// notOracle is an answer that Object Storage does not give.
type notOracle struct{ error }

// foreign marks an error as notOracle when an answer came as a whole and the
// SDK could not read it. On some it panics, and reports its stack.
func foreign(err error) error {
	var answer common.ServiceError
	transport := isA[tokenError](err) || isA[*url.Error](err) || isA[stalledError](err) || isA[net.Error](err) ||
		errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.Canceled)
	if err == nil || transport || errors.As(err, &answer) {
		return err
	}
	text, _, _ := strings.Cut(err.Error(), "\nStack:")
	return notOracle{errors.New("the answer cannot be read: " + network.OneLine(text))}
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
	case errors.Is(err, copier.ErrNoRange):
		f.Class = messages.Unknown
	case isA[otherVersion](err):
		f.Class = messages.Changed
	case isA[tokenError](err):
		token, _ := errors.AsType[tokenError](err)
		f.Class, f.Err, f.Remedy = messages.Unauthenticated, token, token.remedy
	case isA[notOracle](err):
		f.Class, f.Remedy = messages.Unavailable, "this is not an answer of Oracle's: check oci.endpoint and the proxy"
	default:
		f.Class = messages.Connection
		f.Remedy, f.Err = unanswered(err)
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
		c.keys.renew()
	case status == http.StatusNotFound && answer.GetCode() == "ObjectNotFound":
		f.Class = messages.Gone
	case status == http.StatusNotFound: // so Oracle hides a 403
		f.Class, f.Remedy = messages.NotFound, c.policyRemedy()
		c.keys.renew()
	case status == http.StatusPreconditionFailed:
		f.Class = messages.Changed
	case status == http.StatusTooManyRequests:
		f.Class, f.RetryAfter = messages.Throttled, network.RetryAfter(headerOf(resp))
	case status == http.StatusProxyAuthRequired:
		f.Class, f.Remedy = messages.Connection, network.ProxyRemedy
	case status >= 500:
		f.Class, f.RetryAfter = messages.Unavailable, network.RetryAfter(headerOf(resp))
	default:
		f.Class = messages.Unknown
	}
}

// unauthenticated tells a wrong clock from a wrong key, and has the key read or
// the token asked for again, so that a new one is used from the next request on.
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
	f.Class, f.Remedy = messages.Unauthenticated, c.keys.identity().refused()
	c.keys.renew()
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
	tenancy := "the identity's tenancy is " + id.Tenancy
	if id.Profile != "" {
		tenancy = "the profile's tenancy is " + id.Tenancy
	}
	return fmt.Sprintf("OCI answers 404 where the policy is missing or the region is not the tenancy's home region: "+
		"define tenancy usage-report and endorse %s to read objects in tenancy usage-report; "+
		"oci.bucket must be the OCID of your tenancy (it is %s, %s), "+
		"oci.namespace %s, oci.region the home region (%s)",
		id.subject(), c.options.Bucket, tenancy, c.options.Namespace, region)
}

// An answerError is the SDK's error on one line instead of its ten.
type answerError struct{ common.ServiceError }

func (e answerError) Error() string {
	s := fmt.Sprintf("%d %s: %s", e.GetHTTPStatusCode(), network.OneLine(e.GetCode()), network.OneLine(e.GetMessage()))
	if id := e.GetOpcRequestID(); id != "" {
		s += " (opc-request-id " + network.OneLine(id) + ")"
	}
	return s
}

// unanswered explains why no answer came.
func unanswered(err error) (remedy string, cause error) {
	remedy, cause = network.Settings{
		CA: "SSL_CERT_FILE", Endpoint: "oci.endpoint", Host: "oci.region", Late: fmt.Sprintf("no answer within %v", listDeadline),
	}.Unanswered(err)
	if errors.Is(err, errRedirect) {
		remedy = "check oci.endpoint and the proxy: Object Storage does not redirect"
	}
	return remedy, cause
}

func headerOf(resp *http.Response) http.Header {
	if resp == nil {
		return nil
	}
	return resp.Header
}
