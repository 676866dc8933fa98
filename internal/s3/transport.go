package s3

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"

	"oracle-focus-agent/internal/network"
)

// newHTTP begins with the SDK's transport, which knows AWS_CA_BUNDLE and the
// proxies of the environment. first bounds the wait for an answer once the
// request is sent; 0 leaves that to the deadline of the call.
//
// stall bounds how long the other end may take nothing of a body: it does that when it
// is gone without a word.
func newHTTP(cfg aws.Config, connections int, stall, first time.Duration) *http.Client {
	buildable, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		buildable = awshttp.NewBuildableClient()
	}
	t := buildable.GetTransport()
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	t.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dialer.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return writer{conn, stall}, nil
	}
	t.OnProxyConnectResponse = network.ProxyAnswered
	t.TLSHandshakeTimeout = 10 * time.Second
	t.ResponseHeaderTimeout = first
	t.MaxIdleConnsPerHost = max(connections, 2) + 2
	t.MaxIdleConns = 0 // no bound beside that
	t.ForceAttemptHTTP2 = false
	return &http.Client{
		Transport: http11{t},
		// A signed request must not go to a host that an answer names; the
		// redirect itself becomes an error that says which region is right.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// unsigned has the bodies of objects and parts signed as UNSIGNED-PAYLOAD. The small bodies
// of other calls have no CRC32C that S3 would check, and stay signed.
func unsigned(stack *middleware.Stack) error {
	switch stack.ID() {
	case "PutObject", "UploadPart":
		return v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware(stack)
	}
	return nil
}

// http11 names the protocol in each request. The SDK leaves it out, and then
// Go sends "Expect: 100-continue" but does not wait: S3 refuses in the middle
// of the body, and the reason is lost in a reset connection.
type http11 struct{ *http.Transport }

func (t http11) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.WithContext(req.Context()) // a copy: it is not ours to change
	req.Proto, req.ProtoMajor, req.ProtoMinor = "HTTP/1.1", 1, 1
	return t.Transport.RoundTrip(req)
}

// holding puts a body back into the request as it was given. The SDK wraps every one in what
// can only be read, from buffer to buffer.
type holding struct{ http.RoundTripper }

func (h holding) RoundTrip(req *http.Request) (*http.Response, error) {
	switch body := req.Context().Value(heldKey{}).(type) {
	case []byte:
		if req.Body != nil && req.ContentLength == int64(len(body)) {
			req = with(req, held{bytes.NewReader(body), req.Body})
		}
	case *relayed:
		req = with(req, body)
	}
	return h.RoundTripper.RoundTrip(req)
}

// with is a request with another body: the one that came is not ours to change.
func with(req *http.Request, body io.ReadCloser) *http.Request {
	req = req.WithContext(req.Context())
	req.Body = body
	return req
}

// CloseIdleConnections is that of http.Client.
func (h holding) CloseIdleConnections() {
	(&http.Client{Transport: h.RoundTripper}).CloseIdleConnections()
}

// A held body is in memory, so that it can go to the kernel from where it is.
type held struct {
	*bytes.Reader
	io.Closer // of the SDK's
}

// A sender writes itself better than in the pieces of net/http. Len is what it has left.
type sender interface {
	io.WriterTo
	Len() int
}

type heldKey struct{}

// hold names the body of the one call that is made with the context: bytes, or a *relayed.
func hold(ctx context.Context, body any) context.Context {
	return context.WithValue(ctx, heldKey{}, body)
}

// A writer is a connection on which it is an error that the other end takes nothing for the
// stall time. It is told after one stall time at the earliest, and two at the latest.
type writer struct {
	net.Conn
	stall time.Duration
}

// Write goes on as long as anything is taken, however little.
func (w writer) Write(p []byte) (n int, err error) {
	for {
		if err := w.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
			return n, err
		}
		taken, err := w.Conn.Write(p[n:])
		n += taken
		if taken == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
	}
}

// ReadFrom implements io.ReaderFrom, by which net/http sends a body where there is no TLS.
func (w writer) ReadFrom(r io.Reader) (n int64, err error) {
	if limited, ok := r.(*io.LimitedReader); ok {
		if body, ok := limited.R.(sender); ok && limited.N == int64(body.Len()) {
			n, err = body.WriteTo(struct{ io.Writer }{w}) // and nothing that would copy in pieces again
			limited.N -= n
			return n, err
		}
	}
	return io.Copy(struct{ io.Writer }{w}, struct{ io.Reader }{r})
}
