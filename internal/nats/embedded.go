package nats

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"

	"oracle-focus-agent/messages"
)

const (
	// maxStore and maxMemory replace defaults taken from the machine at start: a
	// disk that was nearly full then would keep refusing messages after it was
	// cleared. Nothing of ours is kept in memory but short-lived consumers.
	maxStore  = 16 << 30
	maxMemory = 64 << 20
	// startTimeout covers the recovery of millions of records.
	startTimeout = 2 * time.Minute
)

// EmbeddedOptions configure the server in the process.
type EmbeddedOptions struct {
	// StoreDir holds the server's files; it is created with mode 0700.
	StoreDir string
	Log      *slog.Logger
}

// A Server is a NATS server in this process, reached by Options.InProcess. It
// listens nowhere.
type Server struct {
	srv  *server.Server
	lock *flock.Flock
}

// StartEmbedded returns when the server has recovered its streams. Its lock on
// the directory is taken first, since two servers on one directory destroy what
// both acknowledged: the error is then a *LockedError.
//
// Whatever it confirms is on the disk: it calls fsync before each answer.
func StartEmbedded(o EmbeddedOptions) (*Server, error) {
	if o.StoreDir == "" {
		return nil, errors.New("start the embedded nats: it needs a directory; set nats.store_dir or state.dir")
	}
	if err := os.MkdirAll(o.StoreDir, 0o700); err != nil {
		return nil, fmt.Errorf("start the embedded nats: %w; set nats.store_dir to a directory that can be written", err)
	}
	lock, err := lockDir(o.StoreDir)
	if err != nil {
		return nil, err
	}
	srv, err := start(o)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return &Server{srv, lock}, nil
}

func start(o EmbeddedOptions) (*server.Server, error) {
	bridge := &bridge{log: o.Log}
	if bridge.log == nil {
		bridge.log = slog.New(slog.DiscardHandler)
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "embedded", DontListen: true, NoSigs: true,
		JetStream: true, StoreDir: o.StoreDir, SyncAlways: true,
		JetStreamMaxStore: maxStore, JetStreamMaxMemory: maxMemory,
		DisableJetStreamBanner: true,
	})
	if err != nil {
		return nil, embeddedFault(o.StoreDir, err)
	}
	srv.SetLoggerV2(bridge, false, false, false)
	srv.Start() // recovers the streams before it returns
	if err := awaitHealthy(srv, bridge); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, embeddedFault(o.StoreDir, err)
	}
	return srv, nil
}

func awaitHealthy(srv *server.Server, b *bridge) error {
	deadline := time.Now().Add(startTimeout)
	for {
		if err := b.fatal(); err != nil {
			return err
		}
		status := srv.Healthz(&server.HealthzOptions{})
		if status.StatusCode == 200 || status.Status == "ok" {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not healthy after %v: %s", startTimeout, status.Error)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func embeddedFault(dir string, err error) error {
	return &messages.Fault{
		Class: messages.Queue, Op: "start the embedded nats in " + dir, Err: err,
		Remedy: "check space and permissions there; as a last resort move the directory away; `oracle-focus-agent state import` of an export or `state rebuild` then tells what was sent",
	}
}

// InProcessConn makes the server usable as Options.InProcess.
func (s *Server) InProcessConn() (net.Conn, error) { return s.srv.InProcessConn() }

// Shutdown stops the server, waits until its files are closed, and releases the directory.
func (s *Server) Shutdown() error {
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	return s.lock.Unlock()
}

// ErrLocked means that another server has the directory. The error that wraps
// it is a *LockedError.
var ErrLocked = errors.New("in use by another process")

// LockedError says who holds the directory.
type LockedError struct {
	Dir string
	PID string // as the holder wrote it; empty where unknown
}

func (e *LockedError) Error() string {
	who := "another process"
	if e.PID != "" {
		who = "process " + e.PID
	}
	return fmt.Sprintf("open the queue in %s: %s has it; stop that one first, or use another state.dir", e.Dir, who)
}

// Unwrap yields ErrLocked.
func (e *LockedError) Unwrap() error { return ErrLocked }

// lockDir takes the lock that the kernel frees with the process, however it ends.
// The file stays: removing it would let two processes lock two files of one name.
func lockDir(dir string) (*flock.Flock, error) {
	path := filepath.Join(dir, "LOCK")
	lock := flock.New(path, flock.SetPermissions(0o600))
	ok, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if !ok {
		return nil, &LockedError{Dir: dir, PID: readPID(path)}
	}
	// Only for the message of whoever comes second; without it the lock still holds.
	_ = os.WriteFile(path, fmt.Appendf(nil, "%d\n", os.Getpid()), 0o600)
	return lock, nil
}
