package nats_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
)

// A door stands before a server. It counts who comes, and can shut them out.
type door struct {
	url   string
	came  atomic.Int32
	after atomic.Int64 // how long it lets each one in, in nanoseconds; 0: not at all

	mu     sync.Mutex
	inside []net.Conn
}

func newDoor(t *testing.T, srv *natstest.Server) *door {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &door{url: "nats://" + l.Addr().String()}
	d.after.Store(int64(time.Hour))
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); d.empty(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			d.came.Add(1)
			stay := time.Duration(d.after.Load())
			if stay == 0 {
				client.Close()
				continue
			}
			d.mu.Lock()
			d.inside = append(d.inside, client)
			d.mu.Unlock()
			timer := time.AfterFunc(stay, func() { client.Close() })
			wg.Go(func() {
				defer timer.Stop()
				relay(client, strings.TrimPrefix(url(srv)[0], "nats://"), "2.99.0")
			})
		}
	})
	return d
}

// empty puts everybody out.
func (d *door) empty() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, c := range d.inside {
		c.Close()
	}
	d.inside = nil
}

// TestConnectionsAreNotTriedInAHurry: a server that hangs up at once, or as soon as it has
// accepted, is asked about twice a second, at the start as well as later.
func TestConnectionsAreNotTriedInAHurry(t *testing.T) {
	t.Parallel()
	const watched = 4 * time.Second
	srv := natstest.New(t, natstest.Listen())
	for name, stay := range map[string]time.Duration{"hangs up": 0, "hangs up once it has accepted": 20 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := newDoor(t, srv)
			conn, err := nats.Connect(t.Context(), nats.Options{URLs: []string{d.url}, Name: "test"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			before := d.came.Load()
			d.after.Store(int64(stay))
			d.empty()
			time.Sleep(watched) // what is counted needs time
			if n := d.came.Load() - before; n < 2 || n > 10 {
				t.Errorf("%d connections in %s, want about two a second", n, watched)
			}
			d.after.Store(int64(time.Hour))
			for late := time.Now().Add(time.Minute); conn.Health() != nil; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(late) {
					t.Fatal(conn.Health())
				}
			}
		})
	}
	t.Run("at the start", func(t *testing.T) {
		t.Parallel()
		d := newDoor(t, srv)
		d.after.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), watched)
		defer cancel()
		if _, err := nats.Connect(ctx, nats.Options{URLs: []string{d.url}, Name: "test"}); err == nil {
			t.Error("connected to nobody")
		}
		if n := d.came.Load(); n < 2 || n > 17 { // a quarter of a second at least
			t.Errorf("%d connections in %s", n, watched)
		}
	})
}
