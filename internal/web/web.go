// Package web is the HTTP listener of an agent: probes, which tell whether the
// process lives and whether it can work, and metrics. It takes no orders and
// names no object. It keeps counts in memory only: after a crash they begin at
// zero, which is what a scraper expects.
package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
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
}

// A Server listens until it is closed.
type Server struct {
	listener net.Listener
	server   *http.Server
	served   chan struct{}
}

// Listen opens the port and serves. An error means that the port cannot be had.
func Listen(o Options) (*Server, error) {
	listener, err := net.Listen("tcp", o.Listen)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+LivePath, live)
	mux.HandleFunc("GET "+healthPath, live)
	mux.Handle("GET "+ReadyPath, ready(o.Ready))
	mux.Handle("GET "+metricsPath, o.Metrics)
	s := &Server{listener: listener, served: make(chan struct{}), server: &http.Server{
		Handler: mux, ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 16 << 10,
	}}
	go func() {
		defer close(s.served)
		_ = s.server.Serve(listener) // ends with Close
	}()
	return s, nil
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
