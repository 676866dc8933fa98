package simulator

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
)

// Server is an HTTP server on a loopback address.
type Server struct {
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	done     chan struct{} // closed when serving has ended
}

// Start serves h on a free port of 127.0.0.1.
func Start(h http.Handler) (*Server, error) { return StartOn("127.0.0.1:0", h) }

// StartOn serves h on a loopback address, host and port. Any other address is
// refused: the simulator must not be reachable from outside.
func StartOn(address string, h http.Handler) (*Server, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("resolve simulator address %q: %w", address, err)
	}
	if !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("listen on %q: not a loopback address; use 127.0.0.1 or [::1]", address)
	}
	listener, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{listener: listener, cancel: cancel, done: make(chan struct{})}
	s.http = &http.Server{
		Handler:     h,
		ErrorLog:    log.New(io.Discard, "", 0), // faults make net/http complain
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(s.done)
		s.http.Serve(listener)
	}()
	return s, nil
}

// URL is the server's address without a trailing slash.
func (s *Server) URL() string { return "http://" + s.listener.Addr().String() }

// Close ends the server and all its connections at once.
func (s *Server) Close() error {
	s.cancel()
	err := s.http.Close()
	<-s.done
	return err
}
