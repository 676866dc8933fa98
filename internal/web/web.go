// Package web is the HTTP listener of an agent: probes, which tell whether the
// process lives and whether it can work, and metrics. These take no orders and
// name no object. Counts are kept in memory only: after a crash they begin at
// zero, which is what a scraper expects.
//
// Where it is asked for, it serves the status page and its API as well, which show
// names and take orders: see [View], [Actions] and [Access].
package web

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// Paths that are served.
const (
	LivePath    = "/livez"
	ReadyPath   = "/readyz"
	healthPath  = "/healthz" // LivePath under the name that others use
	metricsPath = "/metrics"
)

// Options say what is served where.
type Options struct {
	// Listen is host:port.
	Listen string
	// Ready is asked on every request of ReadyPath.
	Ready   func(context.Context) Readiness
	Metrics http.Handler
	Log     *slog.Logger
	// View and Actions are what page and API show and order; nil: there is neither.
	View    View
	Actions Actions
	Access  Access
}

// A Server listens until it is closed.
type Server struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
	ending   chan struct{} // closed when the end begins
}

// An AccessError says that page and API cannot be served, and why.
type AccessError struct{ Err error }

func (e *AccessError) Error() string { return e.Err.Error() }
func (e *AccessError) Unwrap() error { return e.Err }

// Listen opens the port and serves. An error means that the port cannot be had, or, as an
// *[AccessError], that page and API cannot be served there.
func Listen(o Options) (*Server, error) {
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	ending := make(chan struct{})
	if o.View != nil {
		guarded, err := o.guarded(listener.Addr(), ending)
		if err != nil {
			return nil, errors.Join(&AccessError{err}, listener.Close())
		}
		mux.Handle("/", guarded)
	}
	mux.HandleFunc("GET "+LivePath, live)
	mux.HandleFunc("GET "+healthPath, live)
	mux.Handle("GET "+ReadyPath, ready(o.Ready))
	mux.Handle("GET "+metricsPath, o.Metrics)
	s := &Server{listener: listener, served: make(chan struct{}), ending: ending, server: &http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	s.server.RegisterOnShutdown(sync.OnceFunc(func() { close(ending) }))
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with Close
	}()
	return s, nil
}

// guarded are page and API behind the gate.
func (o Options) guarded(at net.Addr, ending <-chan struct{}) (http.Handler, error) {
	if tcp, ok := at.(*net.TCPAddr); !o.Access.proves() && (!ok || !tcp.IP.IsLoopback()) {
		return nil, fmt.Errorf("nobody would prove who they are at %v, which others reach", at)
	}
	actions := o.Actions
	if o.Access.ReadOnly {
		actions = readOnly{actions}
	}
	inner := http.NewServeMux()
	inner.Handle(apiPath, newAPI(o.View, actions, ending))
	inner.Handle("/", newPage(o.View, actions))
	return newGate(o.Access, inner, o.Log)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close lets the answers that are under way finish for a second and returns
// when nothing runs any more.
func (s *Server) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = s.server.Shutdown(ctx)
	_ = s.server.Close()
	<-s.served
}

// live answers as long as the process can answer at all: a restart heals
// nothing that it depends on.
func live(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	fmt.Fprintln(w, "ok")
}
