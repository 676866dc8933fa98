package cli

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"oracle-focus-agent/internal/agent"
)

// Who does not answer any more is shown as such, and what it copied is not shown at all;
// those of other routes are nobody's business here.
func TestAProcessThatIsSilentIsStale(t *testing.T) {
	t.Parallel()
	now := time.Now()
	status := func(role, instance, route, version string) agent.Status {
		return agent.Status{Role: role, Instance: instance, Route: route, Version: version, Ready: true,
			InFlight: []agent.Transfer{{Object: instance + ".csv.gz", Size: 100, Bytes: 25, Started: now.Add(-5 * time.Second)}}}
	}
	own := status("agent", "a/1", "main", "v2")
	var answers []json.RawMessage
	for _, s := range []agent.Status{own, status("copier", "b/2", "main", "v1"), status("copier", "c/3", "other", "v2")} {
		raw, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		answers = append(answers, raw)
	}
	var b fleetBook
	b.take(append(answers, json.RawMessage(`{"instance":7}`)), nil, "main")
	workers, moving := b.seen(own, now)
	if len(workers) != 2 || !workers[0].Self || workers[0].Skew || workers[1].Instance != "b/2" || workers[1].Stale || !workers[1].Skew {
		t.Errorf("workers = %+v", workers)
	}
	if len(moving) != 2 || moving[1].Worker != "b/2" || moving[1].Percent != 25 || moving[1].Rate < 4 || moving[1].Rate > 6 || moving[1].Left < 10 || moving[1].Left > 20 {
		t.Errorf("moving = %+v", moving)
	}
	workers, moving = b.seen(own, now.Add(staleAfter+time.Minute))
	if !workers[1].Stale || workers[0].Stale || len(moving) != 1 || moving[0].Worker != "a/1" {
		t.Errorf("later: workers = %+v, moving = %+v", workers, moving)
	}
	b.take(nil, errors.New("denied"), "main")
	if b.problem() != "denied" {
		t.Errorf("problem = %q", b.problem())
	}
	if workers, _ := b.seen(own, now); len(workers) != 2 {
		t.Errorf("what was known is gone: %+v", workers)
	}
}
