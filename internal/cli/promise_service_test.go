package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"oracle-focus-agent/internal/simulator"
)

// An instance is what one process says of itself over NATS.
type instance struct {
	Running     bool             `json:"running"`
	Role        string           `json:"role"`
	Instance    string           `json:"instance"`
	Route       string           `json:"route"`
	LastSuccess string           `json:"last_success"`
	InFlight    []map[string]any `json:"in_flight"`
	Totals      struct {
		Transferred int `json:"transferred"`
		Scans       int `json:"scans"`
	} `json:"totals"`
}

func request[T any](t *testing.T, nc *natsgo.Conn, subject string) (v T) {
	t.Helper()
	m, err := nc.Request(subject, nil, 10*time.Second)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	if err := json.Unmarshal(m.Data, &v); err != nil {
		t.Fatalf("%s: %v in %q", subject, err, m.Data)
	}
	return v
}

// Whoever may ask over NATS sees each instance of each host; `status` is one of them.
func TestEveryRoleTellsItsStatusOverNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3})
	nc := w.external(t).Connect(t).NATS()
	if r := w.run(t, "status").want(t, 5); !strings.Contains(r.stdout, "not running") {
		t.Errorf("before the start status prints %q", r.stdout)
	}
	scanner, copier := w.start(t, "scanner"), w.start(t, "copier")
	eventually(t, "the copier says that it has copied the files", func() bool {
		m, err := nc.Request("focus.copier.status", nil, time.Second)
		var c instance
		return err == nil && json.Unmarshal(m.Data, &c) == nil && c.Totals.Transferred == 3
	})
	eventually(t, "the scanner says that its scan is complete", func() bool {
		return request[instance](t, nc, "focus.scanner.status").Totals.Scans == 1
	})
	c, s := request[instance](t, nc, "focus.copier.status"), request[instance](t, nc, "focus.scanner.status")
	if c.Role != "copier" || c.Instance == "" || c.Route != "main" || !c.Running || c.InFlight == nil {
		t.Errorf("the copier says %+v", c)
	}
	if s.Role != "scanner" || s.Totals.Scans != 1 || s.LastSuccess == "" {
		t.Errorf("the scanner says %+v", s)
	}
	info := request[micro.Info](t, nc, "$SRV.INFO.focus-copier")
	for _, key := range []string{"host", "pid", "route", "slots", "started"} {
		if info.Metadata[key] == "" {
			t.Errorf("the metadata lack %s: %v", key, info.Metadata)
		}
	}
	stats := request[micro.Stats](t, nc, "$SRV.STATS.focus-copier")
	if len(stats.Endpoints) != 1 || !strings.Contains(string(stats.Endpoints[0].Data), `"transferred":3`) {
		t.Errorf("the statistics are %+v", stats)
	}

	text := w.run(t, "status").want(t, 0).stdout
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 3 || !strings.HasPrefix(lines[1], "copier ") || !strings.HasPrefix(lines[2], "scanner ") || !strings.Contains(lines[1], c.Instance) {
		t.Errorf("status prints %q, want a line for each instance", text)
	}
	var all struct {
		Running   bool       `json:"running"`
		Instances []instance `json:"instances"`
	}
	if err := json.Unmarshal([]byte(w.run(t, "status", "--json").want(t, 0).stdout), &all); err != nil || len(all.Instances) != 2 || all.Running {
		t.Errorf("status --json: %+v, %v", all, err)
	}

	copier.stop().want(t, 0)
	if _, err := nc.Request("focus.copier.status", nil, 5*time.Second); err != natsgo.ErrNoResponders {
		t.Errorf("after the end of the copier its status is %v, want nobody to answer", err)
	}
	w.set("FOCUS_NATS_SERVICE", "false")
	w.add(object(1, "quiet.csv.gz", 500))
	quiet, rescan := w.start(t, "copier"), w.start(t, "scanner")
	eventually(t, "the copier has copied one more file", func() bool { return len(w.S3.Objects()) == 4 })
	if _, err := nc.Request("focus.copier.status", nil, 5*time.Second); err != natsgo.ErrNoResponders {
		t.Errorf("with nats.service off the status is %v, want nobody to answer", err)
	}
	quiet.stop().want(t, 0)
	rescan.stop().want(t, 0)
	scanner.stop().want(t, 0)
}

// `run` over an external queue answers on its socket and over NATS alike.
func TestAnAgentTellsItsStatusOverNATS(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 2})
	nc := w.external(t).Connect(t).NATS()
	agent := w.startAgent(t, 2)
	if s := request[instance](t, nc, "focus.agent.status"); s.Role != "agent" || s.Totals.Transferred != 2 || s.Totals.Scans != 1 {
		t.Errorf("the agent says %+v", s)
	}
	text := w.run(t, "status").want(t, 0).stdout
	if !strings.HasPrefix(text, "ROLE ") || !strings.Contains(text, "\nagent ") || !strings.Contains(text, "running, PID") {
		t.Errorf("status prints %q, want the instances and the agent of this host", text)
	}
	agent.stop().want(t, 0)
}
