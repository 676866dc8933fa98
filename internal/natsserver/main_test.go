package natsserver_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natsserver"
	"oracle-focus-agent/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

func options(dir string) natsserver.Options {
	return natsserver.Options{
		Dir: dir, Hosts: []string{"nats", "localhost", "127.0.0.1"},
		Prefix: "focus", Route: "main", StoreDir: "/data",
	}
}

func write(t *testing.T, o natsserver.Options) nats.Report {
	t.Helper()
	r, err := natsserver.Write(o)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return r
}

// A site is a folder and a server that runs on what stands in it.
type site struct {
	*testing.T
	dir, url string
}

func newSite(t *testing.T, o natsserver.Options, change ...natstest.Option) *site {
	t.Helper()
	write(t, o)
	return &site{t, o.Dir, serve(t, o.Dir, change...)}
}

// serve starts a server from nats.conf, on a free port and with files of the test,
// and returns its URL.
func serve(t *testing.T, dir string, change ...natstest.Option) (url string) {
	t.Helper()
	config := natstest.ConfigFile(t, filepath.Join(dir, "server", "nats.conf"))
	return natstest.New(t, append([]natstest.Option{config}, change...)...).Running().ClientURL()
}

func (s *site) options(role string) nats.Options {
	return nats.Options{
		URLs: []string{s.url}, Name: role, InboxPrefix: "_INBOX_" + role,
		NKeyFile: filepath.Join(s.dir, role, "user.nk"), CA: filepath.Join(s.dir, role, "ca.pem"),
		Log: slog.New(slog.NewTextHandler(s.Output(), nil)),
	}
}

func (s *site) connect(role string) *nats.Conn {
	s.Helper()
	c, err := s.try(s.options(role))
	if err != nil {
		s.Fatalf("connect as %s: %v", role, err)
	}
	return c
}

func (s *site) try(o nats.Options) (*nats.Conn, error) {
	ctx, cancel := context.WithTimeout(s.Context(), 10*time.Second)
	defer cancel()
	c, err := nats.Connect(ctx, o)
	if c != nil {
		s.Cleanup(c.Close)
	}
	return c, err
}
