package cli_test

import (
	"testing"
	"time"

	"oracle-focus-agent/internal/limits"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// What is allowed is shared with workers of other hosts, holds what is read, is told in
// the metrics, and leaves nothing behind.
func TestTheLimitsAreShared(t *testing.T) {
	t.Parallel()
	const bytes, requests = 64 << 10, 100
	w := newWorld(t, simulator.Options{}, "FOCUS_LIMITS_BANDWIDTH=64KiB", "FOCUS_LIMITS_REQUESTS=100")
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	agent, p := w.listen(t, "run")
	p.wants(map[string]float64{
		"focus_limit_share_bytes": bytes, "focus_limit_share_requests": requests, "focus_slots_allowed": 3, "focus_slots_configured": 3,
	})
	ledger, err := server.Connect(t).Ledger(t.Context(), messages.Define("focus", "main", 1, time.Minute).State, "main")
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := ledger.Lease("elsewhere/1", limits.LeaseLife)
	if n, err := elsewhere.Hold(t.Context()); err != nil || n != 2 {
		t.Errorf("Hold = %d, %v, want the agent and this", n, err)
	}
	p.wants(map[string]float64{"focus_limit_share_bytes": bytes / 2, "focus_limit_share_requests": requests / 2})
	if err := elsewhere.Release(t.Context()); err != nil {
		t.Error(err)
	}
	p.wants(map[string]float64{"focus_limit_share_bytes": bytes, "focus_limit_share_requests": requests})
	const size = 2 * bytes
	w.add(object(1, "a.csv.gz", size), object(2, "b.csv.gz", size))
	began := time.Now()
	w.sync(t, 0)
	if took, least := time.Since(began), time.Duration(2*size/bytes-1)*time.Second; took < least {
		t.Errorf("%d bytes came within %v, want at least %v", 2*size, took, least)
	}
	agent.stop().want(t, 0)
	if n, err := elsewhere.Hold(t.Context()); err != nil || n != 1 {
		t.Errorf("Hold = %d, %v, want nobody else after the end of the agent", n, err)
	}
	w.check(t)
}
