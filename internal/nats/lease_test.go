package nats_test

import (
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// wantHeld fails where the lease is not one of so many.
func wantHeld(t *testing.T, s *nats.Lease, want int) {
	t.Helper()
	if n, err := s.Hold(t.Context()); err != nil || n != want {
		t.Errorf("Hold = %d, %v, want %d", n, err, want)
	}
}

// TestWorkersAreCounted: one more at once, one fewer when he says so or when his life is
// over; not those of other routes.
func TestWorkersAreCounted(t *testing.T) {
	w := newWorld(t, time.Minute)
	other, err := w.srv.Connect(t).Ledger(t.Context(), w.assets.State, "other")
	if err != nil {
		t.Fatal(err)
	}
	const life = 2 * time.Second
	one, two, three := w.ledger().Lease("host/1", life), w.ledger().Lease("host/2", life), w.ledger().Lease("host/3", life)
	wantHeld(t, one, 1)
	wantHeld(t, other.Lease("host/1", life), 1)
	wantHeld(t, two, 2)
	wantHeld(t, three, 3)
	wantHeld(t, one, 3)
	if err := three.Release(t.Context()); err != nil {
		t.Errorf("Release: %v", err)
	}
	wantHeld(t, one, 2)
	died := time.Now()
	if err := natstest.Until(func() bool { n, err := one.Hold(t.Context()); return err == nil && n == 1 }); err != nil {
		t.Error("a dead worker still holds its lease: ", err)
	}
	if after := time.Since(died); after > 2*life {
		t.Errorf("it held it for %v, want %v", after, life)
	}
	wantHeld(t, three, 2) // again
	if err := two.Release(t.Context()); err != nil {
		t.Errorf("the release of a lease that has ended: %v", err)
	}
}

// TestNothingStaysOfDeadWorkers, nor goes into an export.
func TestNothingStaysOfDeadWorkers(t *testing.T) {
	w := newWorld(t, time.Minute)
	l := w.ledger()
	const life = time.Millisecond
	wantHeld(t, l.Lease("host/1", life), 1)
	if values, _, err := l.Raw(t.Context(), "", 100); err != nil || len(values) != 0 {
		t.Errorf("Raw = %v, %v, want no lease", values, err)
	}
	two := l.Lease("host/2", life)
	if err := natstest.Until(func() bool {
		_, err := two.Hold(t.Context())
		value, _, readErr := l.Read(t.Context(), messages.LimitKey("main", "host/1"))
		return err == nil && readErr == nil && value == nil
	}); err != nil {
		t.Error("the note of a worker that died long ago is still there: ", err)
	}
}

// TestALeaseOfAServerThatIsAway tells no number.
func TestALeaseOfAServerThatIsAway(t *testing.T) {
	w := newWorld(t, time.Minute)
	s := w.ledger().Lease("host/1", time.Minute)
	wantHeld(t, s, 1)
	w.srv.Stop()
	if n, err := s.Hold(t.Context()); messages.ClassOf(err) != messages.Queue {
		t.Errorf("Hold = %d, %v, want a fault of the queue", n, err)
	}
	if err := s.Release(t.Context()); err == nil {
		t.Error("Release = nil")
	}
}
