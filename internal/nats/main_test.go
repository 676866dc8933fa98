package nats_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// lockDirEnv makes the test binary a process that only tries to open a directory.
const lockDirEnv = "NATS_TEST_OPEN_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(lockDirEnv); dir != "" {
		_, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: dir})
		fmt.Println(err)
		os.Exit(0)
	}
	if order := os.Getenv(scanEnv); order != "" {
		if err := scanProcess(order); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	natstest.Main(m)
}

// A world is one route on a server of its own.
type world struct {
	*testing.T
	srv    *natstest.Server
	conn   *nats.Conn
	assets messages.Assets
}

func newWorld(t *testing.T, ackWait time.Duration, opts ...natstest.Option) *world {
	t.Helper()
	srv := natstest.New(t, opts...)
	conn := srv.Connect(t)
	return &world{t, srv, conn, natstest.Setup(t, conn, "focus", "main", ackWait)}
}

func file(name string) messages.FileDiscovered {
	return messages.FileDiscovered{Route: "main", Object: messages.Object{Name: name, ETag: "e1", Size: 1}}
}

func (w *world) publish(lane messages.Lane, m messages.FileDiscovered) bool {
	w.Helper()
	queued, err := w.conn.Publisher("focus").Publish(w.Context(), lane, m)
	if err != nil {
		w.Fatalf("Publish(%s, %s): %v", lane, m.Object.Name, err)
	}
	return queued
}

func (w *world) mustPublish(lane messages.Lane, name string) {
	w.Helper()
	if !w.publish(lane, file(name)) {
		w.Fatalf("Publish(%s, %s) = false, want true", lane, name)
	}
}

// next returns the next message, or nil when none came.
func (w *world) next(backfill bool) *copier.Delivery {
	w.Helper()
	d, err := w.conn.Queue(w.assets).Next(w.Context(), backfill)
	if err != nil {
		w.Fatalf("Next: %v", err)
	}
	return d
}

// take returns the next message and fails where none comes.
func (w *world) take() *copier.Delivery {
	w.Helper()
	for range 300 {
		if d := w.next(true); d != nil {
			return d
		}
	}
	w.Fatal("Next gave nothing for ten minutes, want a message")
	return nil
}

func (w *world) settle(d *copier.Delivery, v copier.Verdict) {
	w.Helper()
	if err := d.Settle(w.Context(), v); err != nil {
		w.Fatalf("Settle(%+v): %v", v, err)
	}
}

func (w *world) status() nats.Status {
	w.Helper()
	s, err := w.conn.Status(w.Context(), w.assets)
	if err != nil {
		w.Fatalf("Status: %v", err)
	}
	return s
}

func (w *world) ledger() *nats.Ledger {
	w.Helper()
	l, err := w.conn.Ledger(w.Context(), w.assets.State, "main")
	if err != nil {
		w.Fatalf("Ledger: %v", err)
	}
	return l
}

// containsAll reports whether err is an error that says all of these.
func containsAll(err error, texts ...string) bool {
	for _, text := range texts {
		if err == nil || !strings.Contains(err.Error(), text) {
			return false
		}
	}
	return err != nil
}
