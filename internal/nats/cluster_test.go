package nats_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// What one server promises by its locks, three promise by agreement: the guards
// against a second message and a second writer are tried on both.
func TestTheGuardsHoldOnThreeReplicas(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	servers := natstest.Cluster(t)
	var conns []*nats.Conn
	for _, s := range servers {
		conns = append(conns, s.Connect(t))
	}
	a := messages.Define("focus", "main", 3, time.Minute)
	if _, err := nats.Setup(t.Context(), conns[0], a, nats.Create); err != nil {
		t.Fatal(err)
	}
	if r, err := nats.Setup(t.Context(), conns[1], a, nats.Verify); err != nil || len(r.Unchanged) != 5 {
		t.Errorf("Setup again = %+v, %v, want nothing to do", r, err)
	}
	w := &world{t, servers[0], conns[0], a}

	for range 10 {
		won := race(t, func(i int) (bool, error) {
			m := file("raced")
			m.Generation = i
			lane := messages.Live
			if i%2 == 1 {
				lane = messages.Backfill
			}
			return conns[i%3].Publisher("focus").Publish(t.Context(), lane, m)
		})
		if won != 1 {
			t.Errorf("queued %d times, want once", won)
		}
		d := w.take()
		for _, lane := range []messages.Lane{messages.Live, messages.Backfill} {
			m := file("raced")
			m.Generation = 99
			if w.publish(lane, m) {
				t.Errorf("queued in %s while in flight", lane)
			}
		}
		w.settle(d, copier.Verdict{Act: copier.Term})
		waitEmpty(t, w)
	}
	l := w.ledger()
	var created atomic.Uint64 // not what a read says: a replica may be behind
	for _, over := range []string{"nothing", "a tombstone"} {
		if over == "a tombstone" {
			write(t, l, "main.scan", nil, created.Load())
		}
		won := race(t, func(i int) (bool, error) {
			l, err := conns[i%3].Ledger(t.Context(), a.State, "main")
			if err != nil {
				return false, err
			}
			rev, err := l.Write(t.Context(), "main.scan", []byte("x"), 0)
			if messages.ClassOf(err) == messages.Conflict {
				return false, nil
			}
			if err == nil {
				created.Store(rev)
			}
			return err == nil, err
		})
		if won != 1 {
			t.Errorf("over %s: %d created it, want one", over, won)
		}
	}
	fill(t, w, "2024-11-28", 700)
	records := 0
	if err := natstest.Until(func() bool {
		day, err := l.Day(t.Context(), "2024-11-28")
		records = len(day)
		return err == nil && records == 700
	}); err != nil {
		t.Errorf("Day has %d records, want 700", records)
	}
}

// Who looks at the queue of a cluster learns that a server is away.
func TestAServerOfTheClusterThatIsAwayIsNamed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	servers := natstest.Cluster(t)
	conn := servers[0].Connect(t)
	a := messages.Define("focus", "main", 3, time.Minute)
	if _, err := nats.Setup(t.Context(), conn, a, nats.Create); err != nil {
		t.Fatal(err)
	}
	w := &world{t, servers[0], conn, a}
	is := func(lagging ...string) func() bool {
		return func() bool {
			s, err := conn.Status(t.Context(), a)
			return err == nil && s.Leader != "" && slices.Equal(s.Lagging, lagging)
		}
	}
	if err := natstest.Until(is()); err != nil {
		t.Fatalf("all three are there: %+v", w.status())
	}
	servers[2].Stop()
	if err := natstest.Until(is("natstest-2")); err != nil {
		t.Fatalf("natstest-2 is away: %+v", w.status())
	}
}

// race calls f 16 times at once and counts how often it is true.
func race(t *testing.T, f func(i int) (bool, error)) int {
	t.Helper()
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			ok, err := f(i)
			if err != nil {
				t.Error(err)
			}
			if ok {
				won.Add(1)
			}
		})
	}
	wg.Wait()
	return int(won.Load())
}

// waitEmpty waits until the removal by an ack has reached the stream.
func waitEmpty(t *testing.T, w *world) {
	t.Helper()
	if err := natstest.Until(func() bool { return w.status().Messages == 0 }); err != nil {
		t.Fatal(err)
	}
}
