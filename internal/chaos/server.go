package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nats-io/nkeys"
)

// A natsServer is a nats-server as a process, which keeps its port and its files over
// restarts.
type natsServer struct {
	program, config, log string
	port                 int
	seedFile             string // of the key that all users have
	seed                 []byte
	cmd                  *exec.Cmd
	ended                chan struct{}
	frozen               bool
}

// newServer writes the configuration: every answer waits for the disk, and users have a
// key.
func newServer(program, dir, store string) (*natsServer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return nil, err
	}
	key, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	public, err := key.PublicKey()
	if err != nil {
		return nil, err
	}
	s := &natsServer{program: program, port: port, config: filepath.Join(dir, "nats.conf"), log: filepath.Join(dir, "nats.log"), seedFile: filepath.Join(dir, "home", "user.nk")}
	if s.seed, err = key.Seed(); err != nil {
		return nil, err
	}
	if err := os.WriteFile(s.seedFile, s.seed, 0o600); err != nil {
		return nil, err
	}
	text := fmt.Sprintf("server_name: chaos\nhost: 127.0.0.1\nport: %d\nauthorization { users: [ { nkey: %s } ] }\n"+
		"jetstream { store_dir: %q, sync_interval: always, max_file_store: 4G, max_memory_store: 64M }\n", port, public, store)
	return s, os.WriteFile(s.config, []byte(text), 0o600)
}

func (s *natsServer) address() string { return fmt.Sprint("127.0.0.1:", s.port) }

// start returns when the server takes connections.
func (s *natsServer) start(ctx context.Context) error {
	log, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	s.cmd = exec.Command(s.program, "--config", s.config)
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		return fmt.Errorf("start nats-server: %w", err)
	}
	s.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		defer close(ended)
		cmd.Wait()
	}(s.cmd, s.ended)
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("it takes no connections after 30 s"))
	defer cancel()
	for {
		if conn, err := net.Dial("tcp", s.address()); err == nil {
			return conn.Close()
		}
		select {
		case <-s.ended:
			text, _ := os.ReadFile(s.log)
			return fmt.Errorf("nats-server has ended: %s", lastLines(string(text), 5))
		case <-ctx.Done():
			return fmt.Errorf("start nats-server: %w", context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// kill is SIGKILL, and returns when the process is gone. Repeating it is harmless.
func (s *natsServer) kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill()
	<-s.ended
	s.cmd, s.frozen = nil, false
}

// freeze is SIGSTOP or SIGCONT; it reports whether that changed anything.
func (s *natsServer) freeze(frozen bool) bool {
	if s.cmd == nil || s.frozen == frozen {
		return false
	}
	s.frozen = frozen
	signal := syscall.SIGCONT
	if frozen {
		signal = syscall.SIGSTOP
	}
	s.cmd.Process.Signal(signal)
	return true
}
