package oci

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"oracle-focus-agent/internal/network"
)

// errRedirect: a signed request must not go to a host that an answer names.
var errRedirect = errors.New("the answer is a redirect, which is not followed")

// maxErrorBody bounds what is read of an error's explanation.
const maxErrorBody = 64 << 10

// newTransport has a timeout for each step up to the answer's header and none
// for the body, whose length is not known: the dispatcher watches that.
func newTransport(connections int) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		OnProxyConnectResponse: network.ProxyAnswered,
		DialContext:            (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:    10 * time.Second,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		ResponseHeaderTimeout:  30 * time.Second,
		IdleConnTimeout:        90 * time.Second,
		MaxIdleConnsPerHost:    max(connections, 2) + 2, // the listing's, too
		// Go would otherwise ask for gzip and silently decode objects that carry
		// Content-Encoding: the copy would not hold the stored bytes.
		DisableCompression: true,
	}
}

// A dispatcher sends the SDK's requests. It guarantees that no read of an
// answer waits longer than stall for a byte, and that the request ends with
// the context of its call.
type dispatcher struct {
	client *http.Client
	stall  time.Duration
}

// newDispatcher puts around, where that is not nil, around its transport.
func newDispatcher(connections int, stall time.Duration, around func(http.RoundTripper) http.RoundTripper) *dispatcher {
	d := &dispatcher{
		client: &http.Client{
			Transport:     newTransport(connections),
			CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect },
		},
		stall: stall,
	}
	if around != nil {
		d.client.Transport = around(d.client.Transport)
	}
	return d
}

type callKey struct{}

// detach hides the cancellation of ctx from the SDK, and keeps it for Do. The
// SDK's own answer to a cancellation is to return while its goroutine still
// works on the same variables, and to lose an answer that comes then, unclosed.
func detach(ctx context.Context) context.Context {
	return context.WithValue(context.WithoutCancel(ctx), callKey{}, ctx)
}

// callOf is the context of the call that ctx was detached from.
func callOf(ctx context.Context) context.Context {
	if call, ok := ctx.Value(callKey{}).(context.Context); ok {
		return call
	}
	return ctx
}

// Do implements common.HTTPRequestDispatcher.
func (d *dispatcher) Do(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(callOf(req.Context()))
	resp, err := d.client.Do(req.WithContext(ctx))
	if err != nil {
		cancel()
		return resp, err
	}
	b := newBody(resp.Body, d.stall, cancel)
	resp.Body = b
	if resp.StatusCode >= 400 {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(b, maxErrorBody), b}
	}
	return resp, nil
}

// A body that brings less than leastPace bytes a second is judged after paceStalls
// times the stall time of waiting: a new connection is worth more than its slot.
const (
	leastPace  = 256
	paceStalls = 10
)

// A body cancels its request when a read waits longer than stall for a byte, and
// fails when it only trickles. Only the waiting counts: a slow reader is fine, and a
// sender may be slow as long as the end comes within sight.
type body struct {
	rc      io.ReadCloser
	stall   time.Duration
	cancel  context.CancelFunc
	watch   *time.Timer
	stalled atomic.Bool
	waited  time.Duration // since the pace was judged last
	came    int           // bytes, since then
}

func newBody(rc io.ReadCloser, stall time.Duration, cancel context.CancelFunc) *body {
	b := &body{rc: rc, stall: stall, cancel: cancel}
	b.watch = time.AfterFunc(stall, func() {
		b.stalled.Store(true)
		cancel()
	})
	b.watch.Stop()
	return b
}

func (b *body) Read(p []byte) (int, error) {
	b.watch.Reset(b.stall)
	asked := time.Now()
	n, err := b.rc.Read(p)
	b.watch.Stop()
	switch {
	case err == nil:
		err = b.pace(n, time.Since(asked))
	case err != io.EOF && b.stalled.Load():
		err = stalledError(b.stall)
	}
	return n, err
}

func (b *body) pace(came int, waited time.Duration) error {
	b.came, b.waited = b.came+came, b.waited+waited
	if b.waited < paceStalls*b.stall {
		return nil
	}
	if float64(b.came) < leastPace*b.waited.Seconds() {
		return fmt.Errorf("only %d bytes came in %v", b.came, b.waited.Round(time.Second))
	}
	b.came, b.waited = 0, 0
	return nil
}

func (b *body) Close() error {
	b.watch.Stop()
	err := b.rc.Close()
	b.cancel()
	return err
}

type stalledError time.Duration

func (e stalledError) Error() string {
	return fmt.Sprintf("no byte came for %v", time.Duration(e))
}
