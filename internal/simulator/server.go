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

// Server is an HTTP server.
type Server struct {
	listener net.Listener
	url      string
	http     *http.Server
	cancel   context.CancelFunc
	requests inFlight
	done     chan struct{} // closed when serving has ended
}

// Start serves h on a free port of 127.0.0.1.
func Start(h http.Handler) (*Server, error) { return StartOn("", "", h) }

// StartOn serves h on an address, host and port; empty means a free port of
// 127.0.0.1. Only loopback is allowed, unless advertise names the host under
// which others reach the server: nobody opens the simulator to a network by
// accident, and no URL names a host that is nobody's.
func StartOn(address, advertise string, h http.Handler) (*Server, error) {
	tcp, err := resolve(address, advertise)
	if err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, fmt.Errorf("start simulator: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{listener: listener, url: urlOf(listener.Addr(), advertise), cancel: cancel, done: make(chan struct{})}
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
func (s *Server) URL() string { return s.url }

func resolve(address, advertise string) (*net.TCPAddr, error) {
	if address == "" {
		address = "127.0.0.1:0"
	}
	tcp, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("resolve simulator address %q: %w", address, err)
	}
	if advertise == "" && !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("listen on %q: not a loopback address; use 127.0.0.1 or [::1], or advertise the host under which others reach it", address)
	}
	return tcp, nil
}

func urlOf(address net.Addr, advertise string) string {
	if advertise == "" {
		return "http://" + address.String()
	}
	_, port, _ := net.SplitHostPort(address.String()) // a TCP address has both
	return "http://" + net.JoinHostPort(advertise, port)
}

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
