package cli_test

import (
	"fmt"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// The whole program against a side that fails, with 40 files to be copied: `run`, and
// `sync` until it gives up, ask for nothing oftener than the back-off says, which is one
// second here. A call is tried three times within, but a body once.
func TestCallsDuringAnOutage(t *testing.T) {
	t.Parallel()
	const watched = 4 * time.Second
	for _, c := range []struct {
		op, command string
		exit, most  int // calls
	}{
		{"ListObjects", "run", 0, 3 + 3}, // a scan that failed rests for half a minute, and so does the page
		{"ListObjects", "sync", 1, 3},
		{"GetObject", "run", 0, 3 + 2 + 5}, // what opens the gate, what is in flight, probes
		{"GetObject", "sync", 1, 3 + 2 + 5},
		{"PutObject", "run", 0, 3 * (3 + 2 + 5)},
		{"PutObject", "sync", 1, 3 * (3 + 2 + 5)},
	} {
		t.Run(c.op+"/"+c.command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Options{}, "FOCUS_RETRY_PROBE_INTERVAL=1", "FOCUS_RETRY_INITIAL_DELAY=1", "FOCUS_RETRY_MAX_DELAY=5", "FOCUS_RETRY_MAX_RETRIES=3")
			for n := range 40 {
				w.add(object(1, fmt.Sprintf("%02d.csv.gz", n), 1000))
			}
			faults, count := w.OCIFaults, w.OCI.Requests
			if c.op == "PutObject" {
				faults, count = w.S3Faults, w.S3.Requests
			}
			faults.Add(simulator.Rule{Op: c.op, Do: simulator.Status(503, "ServiceUnavailable")})
			if c.command == "sync" {
				w.run(t, "sync").want(t, c.exit)
			} else {
				agent := w.start(t, "run")
				eventually(t, "the first call was made", func() bool { return count()[c.op] > 0 })
				time.Sleep(watched) // what is counted needs time
				defer func() { agent.stop().want(t, c.exit) }()
			}
			if n := count()[c.op]; n < 3 || n > c.most {
				t.Errorf("%d calls of %s, want 3 to %d", n, c.op, c.most)
			}
		})
	}
}
