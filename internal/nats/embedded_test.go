package nats_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func embedded(t testing.TB, dir string) (*nats.Server, *nats.Conn) {
	t.Helper()
	srv, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c, err := nats.Connect(t.Context(), nats.Options{InProcess: srv, Name: "test"})
	if err != nil {
		t.Fatal(err)
	}
	return srv, c
}

func TestTwoServersNeverShareADirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state", "nats")
	srv, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has mode %v, %v, want 0700", info.Mode(), err)
	}
	_, err = nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
	locked, ok := errors.AsType[*nats.LockedError](err)
	if !ok || !errors.Is(err, nats.ErrLocked) || locked.PID != fmt.Sprint(os.Getpid()) {
		t.Errorf("a second server in the process = %v, want ErrLocked with our pid", err)
	}
	if out := openElsewhere(t, dir); !strings.Contains(out, fmt.Sprintf("process %d has it", os.Getpid())) {
		t.Errorf("a second server in another process says %q, want who has it", out)
	}
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}
	if out := openElsewhere(t, dir); out != "<nil>" {
		t.Errorf("after shutdown another process says %q, want no error", out)
	}
}

// openElsewhere starts a server on dir in another process, which then ends
// without any cleanup: as good as a crash.
func openElsewhere(t *testing.T, dir string) string {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = append(os.Environ(), lockDirEnv+"="+dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestRecreatedConsumersDeliverAtOnce(t *testing.T) {
	dir := t.TempDir()
	srv, c := embedded(t, dir)
	a := natstest.Setup(t, c, "focus", "main", time.Hour)
	for _, lane := range []messages.Lane{messages.Live, messages.Backfill} {
		if ok, err := c.Publisher("focus").Publish(t.Context(), lane, file("in "+string(lane))); !ok || err != nil {
			t.Fatal(ok, err)
		}
		// The consumer learns of a message a moment after the stream has stored it.
		if err := natstest.Until(func() bool {
			s, err := c.Status(t.Context(), a)
			return err == nil && s.Live.Waiting+s.Backfill.Waiting == 1
		}); err != nil {
			t.Fatal(err)
		}
		if d, err := c.Queue(a).Next(t.Context(), true); d == nil || err != nil {
			t.Fatal(d, err)
		}
	}
	l, err := c.Ledger(t.Context(), a.State, "main")
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "main.scan", []byte("kept"), 0)
	c.Close()
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}

	srv, c = embedded(t, dir)
	defer func() {
		c.Close()
		_ = srv.Shutdown()
	}()
	if s, err := c.Status(t.Context(), a); err != nil || s.Live.InFlight != 1 || s.Backfill.InFlight != 1 {
		t.Fatalf("Status after the restart = %+v, %v, want both still lent", s, err)
	}
	if err := nats.RecreateConsumers(t.Context(), c, a, nil); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	for range 2 {
		d, err := c.Queue(a).Next(t.Context(), true)
		if d == nil || err != nil {
			t.Fatalf("Next = %v, %v, want a message", d, err)
		}
		// The server counts from 1 again, but it may have been worked on before.
		if d.Deliveries != 2 {
			t.Errorf("Deliveries = %d, want 2", d.Deliveries)
		}
		if err := d.Settle(t.Context(), copier.Verdict{Act: copier.Ack}); err != nil {
			t.Fatal(err)
		}
	}
	if got := time.Since(begin); got > 2*time.Second {
		t.Errorf("delivered after %v, want at once", got)
	}
	if ok, err := c.Publisher("focus").Publish(t.Context(), messages.Live, file("later")); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if d, err := c.Queue(a).Next(t.Context(), true); err != nil || d.Deliveries != 1 {
		t.Errorf("Next = %+v, %v, want a first delivery", d, err)
	}
	if l, err = c.Ledger(t.Context(), a.State, "main"); err != nil {
		t.Fatal(err)
	}
	if v, _, err := l.Read(t.Context(), "main.scan"); string(v) != "kept" || err != nil {
		t.Errorf("Read = %q, %v, want what was written", v, err)
	}
	if r, err := nats.Setup(t.Context(), c, a, nats.Create); err != nil || len(r.Unchanged) != 5 {
		t.Errorf("Setup = %+v, %v, want nothing to do", r, err)
	}
}

func TestRecreateConsumersAfterACrashBetween(t *testing.T) {
	w := newWorld(t, time.Minute)
	if err := jetstreamOf(t, w.conn).DeleteConsumer(t.Context(), "FOCUS_FILES", "copiers-live"); err != nil {
		t.Fatal(err)
	}
	if err := nats.RecreateConsumers(t.Context(), w.conn, w.assets, nil); err != nil {
		t.Errorf("RecreateConsumers where one is missing = %v", err)
	}
}

func TestEmbeddedErrorsSayWhatToDo(t *testing.T) {
	if _, err := nats.StartEmbedded(nats.EmbeddedOptions{}); !containsAll(err, "nats.store_dir") {
		t.Errorf("without a directory: %v", err)
	}
	dir := t.TempDir()
	notADir := filepath.Join(dir, "file")
	if err := os.WriteFile(notADir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: notADir}); !containsAll(err, "nats.store_dir") {
		t.Errorf("on a file: %v", err)
	}
	// JetStream cannot start: its own directory is a file.
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
	if messages.ClassOf(err) != messages.Queue || !containsAll(err, dir) {
		t.Errorf("where jetstream cannot start: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "jetstream")); err != nil {
		t.Fatal(err)
	}
	srv, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
	if err != nil {
		t.Fatalf("the failed start kept its lock: %v", err)
	}
	_ = srv.Shutdown()
}

func TestAHealthyStartWarnsOfNothing(t *testing.T) {
	var log bytes.Buffer
	dir := t.TempDir()
	for range 2 {
		srv, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("it logs %s", log.String())
	}
}

func TestConnectToAStoppedServerEndsWithItsContext(t *testing.T) {
	srv, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.Shutdown(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := nats.Connect(ctx, nats.Options{InProcess: srv}); messages.ClassOf(err) != messages.Queue {
		t.Errorf("Connect = %v, want class queue", err)
	}
}
