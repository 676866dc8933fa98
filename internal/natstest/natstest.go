// Package natstest runs a real JetStream server for a test, in the process and
// on a directory of the test.
//
// Servers that do not listen work inside synctest bubbles, where hours of ack
// wait pass in milliseconds. For that TestMain must be Main, or call it: the
// server's access-time ticker has to start outside every bubble.
package natstest

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"go.uber.org/goleak"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// Main runs the tests of a package and then fails if goroutines are left.
func Main(m *testing.M) {
	ats.Register()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

// An Option changes the options of the server.
type Option func(*server.Options)

// Listen makes the server listen on a free port of 127.0.0.1; not for bubbles.
func Listen() Option {
	return func(o *server.Options) { o.DontListen, o.Host, o.Port = false, "127.0.0.1", server.RANDOM_PORT }
}

// SyncAlways makes every answer wait for the disk, as in production.
func SyncAlways() Option { return func(o *server.Options) { o.SyncAlways = true } }

// ConfigFile makes the server that of a configuration file, but for a free port of
// 127.0.0.1 and a directory of the test.
func ConfigFile(t testing.TB, path string) Option {
	t.Helper()
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
	opts.StoreDir, opts.NoSigs, opts.NoLog = t.TempDir(), true, true
	return func(o *server.Options) { *o = *opts }
}

// A Server is a running server. It ends with the test.
type Server struct {
	opts server.Options

	mu  sync.Mutex
	srv *server.Server
}

// Running is the server that runs at the moment.
func (s *Server) Running() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// New starts a server for t.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	// nats.go keeps used timers in a pool, and a timer of one bubble must not be
	// used in another: two collections empty the pool. Do not run bubbles in parallel.
	runtime.GC()
	runtime.GC()
	s := &Server{opts: server.Options{
		ServerName: "natstest", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: t.TempDir(),
		JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
	}}
	for _, o := range opts {
		o(&s.opts)
	}
	s.start(t)
	t.Cleanup(s.Stop)
	return s
}

func (s *Server) start(t testing.TB) {
	t.Helper()
	opts := s.opts // the server changes its options
	srv, err := server.NewServer(&opts)
	if err != nil {
		t.Fatalf("new server: %v", err)
	}
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server is not ready after 10 s")
	}
	if s.opts.Port == server.RANDOM_PORT && !s.opts.DontListen {
		s.opts.Port = srv.Addr().(*net.TCPAddr).Port // a restart keeps it
	}
}

// Stop ends the server and waits until its files are closed.
func (s *Server) Stop() {
	srv := s.Running()
	srv.Shutdown()
	srv.WaitForShutdown()
}

// Restart stops the server and starts it on the same directory and port, with
// opts changed.
func (s *Server) Restart(t testing.TB, opts ...Option) {
	t.Helper()
	s.Stop()
	for _, o := range opts {
		o(&s.opts)
	}
	s.start(t)
}

// InProcessConn connects to the server that runs at the moment, so that clients
// find the new one after a restart.
func (s *Server) InProcessConn() (net.Conn, error) { return s.Running().InProcessConn() }

// Connect returns a connection that ends with the test: in the process, or over
// TCP where the server listens.
func (s *Server) Connect(t testing.TB) *nats.Conn {
	t.Helper()
	o := nats.Options{Name: t.Name(), Log: slog.New(slog.NewTextHandler(t.Output(), nil)), InProcess: s}
	if !s.opts.DontListen {
		o.InProcess, o.URLs = nil, []string{s.Running().ClientURL()}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, err := nats.Connect(ctx, o)
	if err != nil {
		t.Fatalf("connect: %v", err)
	}
	t.Cleanup(c.Close)
	return c
}

// Setup creates the assets of one route and returns their definition.
func Setup(t testing.TB, c *nats.Conn, prefix, route string, ackWait time.Duration) messages.Assets {
	t.Helper()
	a := messages.Define(prefix, route, 1, ackWait)
	if _, err := nats.Setup(t.Context(), c, a, nats.Create); err != nil {
		t.Fatalf("set up: %v", err)
	}
	return a
}

// Until waits for a condition, ten seconds at most. In a bubble the time is fake.
func Until(ok func() bool) error {
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			return errors.New("the condition did not come true in 10s")
		}
		<-tick.C
	}
	return nil
}
