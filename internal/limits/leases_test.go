package limits_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/limits"
	"oracle-focus-agent/internal/natstest"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// mortal are leases whose worker may die.
type mortal struct {
	limits.Leases
	dead sync.Once
	end  chan struct{}
}

func (m *mortal) die() { m.dead.Do(func() { close(m.end) }) }

func (m *mortal) Hold(ctx context.Context) (int, error) {
	select {
	case <-m.end:
		return 0, context.Canceled
	default:
		return m.Leases.Hold(ctx)
	}
}

// Release of a dead worker ends nothing.
func (m *mortal) Release(ctx context.Context) error {
	select {
	case <-m.end:
		return nil
	default:
		return m.Leases.Release(ctx)
	}
}

// TestWorkersShare what is allowed, over a server: a newcomer takes his part once the
// other has made room; what a dead one had goes to the other within half a minute; without
// the server each keeps what it had.
func TestWorkersShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := natstest.New(t)
		ledger, err := server.Connect(t).Ledger(t.Context(), natstest.Setup(t, server.Connect(t), "focus", "main", time.Minute).State, "main")
		if err != nil {
			t.Fatal(err)
		}
		begin := func(name string) (*limits.Worker, *mortal) {
			w := limits.New(limits.Options{Slots: 1, Log: slog.New(slog.DiscardHandler), Allowed: func(time.Time) (limits.Rates, bool) {
				return limits.Rates{Bytes: 1600}, true
			}})
			l := &mortal{Leases: ledger.Lease(name, limits.LeaseLife), end: make(chan struct{})}
			t.Cleanup(w.Share(t.Context(), l))
			return w, l
		}
		after := func(d time.Duration, what string, want float64, all ...*limits.Worker) {
			t.Helper()
			time.Sleep(d)
			for i, w := range all {
				if got := w.Rates().Bytes; got != want {
					t.Errorf("%s: worker %d has %v of 1600", what, i+1, got)
				}
			}
		}
		one, _ := begin("host/1")
		after(time.Second, "alone", 1600, one)
		two, dying := begin("host/2")
		after(time.Second, "a newcomer", 100, two)
		after(2*limits.RenewEvery, "both", 800, one, two)
		dying.die()
		after(10*time.Second, "just after a death", 800, one)
		after(20*time.Second, "half a minute after a death", 1600, one)
		three, _ := begin("host/3")
		after(3*limits.RenewEvery, "both again", 800, one, three)
		server.Stop()
		after(10*time.Minute, "without a server", 800, one, three)
		four, _ := begin("host/4")
		after(time.Minute, "a stranger without a server", 100, four)
	})
}

// TestAWorkerThatStopsGivesItsPartBack at once.
func TestAWorkerThatStopsGivesItsPartBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := natstest.New(t)
		conn := server.Connect(t)
		ledger, err := conn.Ledger(t.Context(), natstest.Setup(t, conn, "focus", "main", time.Minute).State, "main")
		if err != nil {
			t.Fatal(err)
		}
		w := limits.New(limits.Options{Slots: 1, Log: slog.New(slog.DiscardHandler), Allowed: func(time.Time) (limits.Rates, bool) {
			return limits.Rates{Requests: 8}, true
		}})
		stop := w.Share(t.Context(), ledger.Lease("host/1", limits.LeaseLife))
		time.Sleep(time.Second)
		stop()
		if n, err := ledger.Lease("host/2", limits.LeaseLife).Hold(t.Context()); err != nil || n != 1 {
			t.Errorf("Hold = %d, %v, want to be alone", n, err)
		}
	})
}
