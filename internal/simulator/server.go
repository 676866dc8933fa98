package simulator

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
)

// Server is an HTTP server on a loopback address.
type Server struct {
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	requests inFlight
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
		Handler:     s.tracked(h),
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

// tracked lets Close wait for the requests in progress.
func (s *Server) tracked(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.requests.enter() {
			panic(http.ErrAbortHandler)
		}
		defer s.requests.leave()
		h.ServeHTTP(w, r)
	})
}

// inFlight counts requests until it is closed. The zero value is open.
type inFlight struct {
	mu     sync.Mutex
	n      int
	closed bool
	idle   chan struct{} // made by close, closed when n is 0
}

func (f *inFlight) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.n++
	return true
}

func (f *inFlight) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n--
	if f.closed && f.n == 0 {
		close(f.idle)
	}
}

// close lets nobody in any more and returns when all have left.
func (f *inFlight) close() {
	f.mu.Lock()
	if !f.closed {
		f.closed, f.idle = true, make(chan struct{})
		if f.n == 0 {
			close(f.idle)
		}
	}
	f.mu.Unlock()
	<-f.idle
}

// Close breaks all connections and returns when no request is being handled
// any more. A Hook must not call it: it would wait for itself.
func (s *Server) Close() error {
	s.cancel()
	err := s.http.Close()
	<-s.done
	s.requests.close()
	return err
}
