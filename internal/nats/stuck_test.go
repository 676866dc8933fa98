package nats_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// TestAMessageThatWasSettledAndStillStandsIsRemoved makes what a server leaves that was
// killed right after an acknowledgement: the consumer has noted it, the stream has not.
func TestAMessageThatWasSettledAndStillStandsIsRemoved(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, time.Minute, func(o *server.Options) { o.StoreDir = dir })
	w.mustPublish(messages.Live, "settled")
	w.mustPublish(messages.Backfill, "waits")
	files := filepath.Join(dir, "jetstream", "$G", "streams", "FOCUS_FILES", "msgs")
	w.srv.Stop()
	before := t.TempDir()
	if err := os.CopyFS(before, os.DirFS(files)); err != nil {
		t.Fatal(err)
	}
	w.srv.Restart(t)
	d := w.nextWithin(10 * time.Second)
	if err := d.Settle(t.Context(), copier.Verdict{Act: copier.Ack}); err != nil {
		t.Fatal(err)
	}
	w.srv.Stop()
	if err := os.RemoveAll(files); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(files, os.DirFS(before)); err != nil {
		t.Fatal(err)
	}
	w.srv.Restart(t)
	if err := natstest.Until(func() bool { s, err := w.conn.Status(t.Context(), w.assets); return err == nil && s.Messages == 2 }); err != nil {
		t.Fatal(err)
	}
	if d := w.next(false); d != nil {
		t.Fatalf("Next = %+v; the server mends this by itself now, and Unstick can go", d)
	}
	if w.publish(messages.Live, file("settled")) {
		t.Fatal("the file can be queued; the server mends this by itself now, and Unstick can go")
	}

	for _, want := range []int{1, 0} {
		if n, err := w.conn.Unstick(t.Context(), w.assets); n != want || err != nil {
			t.Errorf("Unstick = %d, %v, want %d", n, err, want)
		}
	}
	if s := w.status(); s.Messages != 1 || s.Backfill.Waiting != 1 {
		t.Errorf("the queue is %+v, want the one message that waits", s)
	}
	changed := file("settled")
	changed.Object.ETag = "e2"
	if !w.publish(messages.Live, changed) {
		t.Error("the file cannot be queued again")
	}
}

// nextWithin waits for a message over a restart of the server.
func (w *world) nextWithin(limit time.Duration) *copier.Delivery {
	w.Helper()
	q := w.conn.Queue(w.assets)
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if d, err := q.Next(w.Context(), false); err == nil && d != nil {
			return d
		}
	}
	w.Fatalf("no message came within %v", limit)
	return nil
}

// What is in flight, lent or resting, is behind no floor.
func TestUnstickLeavesWhatIsInFlight(t *testing.T) {
	w := newWorld(t, time.Minute)
	for _, name := range []string{"lent", "resting", "acked", "waits"} {
		w.mustPublish(messages.Live, name)
	}
	w.next(false)
	for _, v := range []copier.Verdict{{Act: copier.Nak, Delay: time.Hour}, {Act: copier.Ack}} {
		if err := w.next(false).Settle(t.Context(), v); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := w.conn.Unstick(t.Context(), w.assets); n != 0 || err != nil {
		t.Errorf("Unstick = %d, %v, want nothing", n, err)
	}
	if s := w.status(); s.Live.InFlight != 2 || s.Live.Waiting != 1 {
		t.Errorf("the queue is %+v, want 2 in flight and 1 waiting", s.Live)
	}
}

// TestAnAcknowledgementWithoutAnAnswerIsSentAgain cuts the line under it.
func TestAnAcknowledgementWithoutAnAnswerIsSentAgain(t *testing.T) {
	srv := natstest.New(t, natstest.Listen())
	natstest.Setup(t, srv.Connect(t), "focus", "main", time.Minute)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := nats.Connect(ctx, nats.Options{URLs: []string{"nats://" + cutsAt(t, strings.TrimPrefix(url(srv)[0], "nats://"), "+ACK")}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	w := &world{t, srv, conn, messages.Define("focus", "main", 1, time.Minute)}
	w.mustPublish(messages.Live, "a")
	begun := time.Now()
	if err := w.next(false).Settle(ctx, copier.Verdict{Act: copier.Ack}); err != nil {
		t.Fatalf("Settle: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("it took %v: the loss of the connection was not noticed", took)
	}
	// The answer may overtake the library's word that the connection is there again.
	if err := natstest.Until(func() bool { return conn.Health() == nil }); err != nil {
		t.Fatal(err)
	}
	if s := w.status(); s.Messages != 0 {
		t.Errorf("%d messages are left", s.Messages)
	}
}

// cutsAt relays to a server, and cuts the line once: before it passes on what contains a word.
func cutsAt(t *testing.T, addr, word string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	var once sync.Once
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer client.Close()
				upstream, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				defer upstream.Close()
				wg.Go(func() { io.Copy(client, upstream); client.Close() })
				buffer := make([]byte, 64<<10)
				for {
					n, err := client.Read(buffer)
					cut := false
					if bytes.Contains(buffer[:n], []byte(word)) {
						once.Do(func() { cut = true })
					}
					if cut || err != nil {
						return
					}
					if _, err := upstream.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	return l.Addr().String()
}
