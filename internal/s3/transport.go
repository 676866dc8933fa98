package s3

import (
	"context"
	"net"
	"net/http"
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
// stall bounds each write of a body: the other end takes nothing for that long
// when it is gone without a word.
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

// A writer is a connection on which a write that stalls is an error.
type writer struct {
	net.Conn
	stall time.Duration
}

func (w writer) Write(p []byte) (int, error) {
	if err := w.SetWriteDeadline(time.Now().Add(w.stall)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}
