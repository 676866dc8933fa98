package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"oracle-focus-agent/internal/simulator"
)

// A probe asks an agent over HTTP, as Kubernetes and Prometheus do.
type probe struct {
	t   *testing.T
	url string
}

var addressPattern = regexp.MustCompile(`health and metrics are served.* address=(\S+)`)

// listen starts a role with a listener on a free port and waits for it. Later
// healthcheck commands ask that port.
func (w *world) listen(t *testing.T, role string) (*background, probe) {
	t.Helper()
	file := filepath.Join(t.TempDir(), role+".log")
	w.set("FOCUS_LOGGING_FILE", file)
	w.set("FOCUS_HTTP_LISTEN", "127.0.0.1:0")
	agent := w.start(t, role)
	address := ""
	eventually(t, role+" names its address", func() bool {
		text, _ := os.ReadFile(file) // made by the role
		if m := addressPattern.FindSubmatch(text); m != nil {
			address = string(m[1])
		}
		return address != ""
	})
	w.unset("FOCUS_LOGGING_FILE")
	w.set("FOCUS_HTTP_LISTEN", address)
	return agent, probe{t, "http://" + address}
}

func (p probe) get(path string) (code int, body string) {
	p.t.Helper()
	resp, err := http.Get(p.url + path)
	if err != nil {
		p.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// ready is the answer of readyz: the status of each dependency by its name.
func (p probe) ready() (code int, checks map[string]string, body string) {
	p.t.Helper()
	code, body = p.get("/readyz")
	var r struct {
		Ready  bool
		Checks []struct {
			Name, Status string
			Age          float64 `json:"age_seconds"`
		}
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil || r.Ready != (code == http.StatusOK) {
		p.t.Fatalf("readyz = %d %s (%v)", code, body, err)
	}
	checks = map[string]string{}
	for _, c := range r.Checks {
		checks[c.Name] = c.Status
	}
	return code, checks, body
}

// metrics is a scrape: the samples by their series.
func (p probe) metrics() map[string]float64 {
	p.t.Helper()
	code, body := p.get("/metrics")
	if code != http.StatusOK {
		p.t.Fatalf("metrics: %d %s", code, body)
	}
	problems, err := promlint.New(strings.NewReader(body)).Lint()
	// A report day is what is counted, and no unit of time.
	problems = slices.DeleteFunc(problems, func(p promlint.Problem) bool { return p.Metric == "focus_report_days" })
	if err != nil || len(problems) > 0 {
		p.t.Errorf("the metrics break rules: %v %v", problems, err)
	}
	samples := map[string]float64{}
	for line := range strings.Lines(body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if name += "}"; value == "" {
			name, value, _ = strings.Cut(strings.TrimSpace(line), " ")
		}
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			samples[name] = n
		}
	}
	return samples
}

// wants waits for the samples: an event is told after its effect can be seen.
func (p probe) wants(want map[string]float64) {
	p.t.Helper()
	var wrong []string
	defer func() {
		for _, text := range wrong {
			p.t.Error(text)
		}
	}()
	eventually(p.t, "the metrics add up", func() bool {
		wrong = nil
		m := p.metrics()
		for series, n := range want {
			if got, ok := m[series]; got != n || !ok {
				wrong = append(wrong, fmt.Sprintf("%s = %v (%t), want %v", series, got, ok, n))
			}
		}
		return len(wrong) == 0
	})
}

func TestReadinessTurnsRedWhileTheDestinationRefusesAndGreenAfterwards(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	for n := range 4 {
		w.add(object(1, fmt.Sprintf("%d.csv.gz", n), 1000))
	}
	end := w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(403, "AccessDenied")})
	agent, p := w.listen(t, "run")
	eventually(t, "readiness is red for the destination", func() bool {
		code, checks, _ := p.ready()
		return code == http.StatusServiceUnavailable && checks["queue"] == "ok" && checks["source"] == "ok" && checks["destination"] == "failing"
	})
	if code, _ := p.get("/livez"); code != http.StatusOK {
		t.Errorf("livez = %d, want 200 whatever fails", code)
	}
	if _, _, body := p.ready(); !strings.Contains(body, "forbidden") || strings.Contains(body, w.dir) || strings.Contains(body, "umbrella") {
		t.Errorf("readyz does not name the class, or too much: %s", body)
	}
	if r := w.run(t, "healthcheck").want(t, 1); !strings.Contains(r.stderr, "destination failing") || strings.Count(r.stderr, "\n") != 1 || r.stdout != "" {
		t.Errorf("healthcheck says %q", r.stdout+r.stderr)
	}
	w.run(t, "healthcheck", "--live").want(t, 0)
	p.wants(map[string]float64{`focus_gate_open{side="destination"}`: 1, `focus_gate_open{side="source"}`: 0, `focus_copies_total{how="copied"}`: 0})
	eventually(t, "the failures are counted", func() bool { return p.metrics()[`focus_failures_total{class="forbidden"}`] >= 3 })
	if _, known := p.metrics()["focus_last_copy_timestamp_seconds"]; known {
		t.Error("a last copy is shown, and there was none")
	}

	end()
	eventually(t, "readiness is green again", func() bool {
		code, checks, _ := p.ready()
		return code == http.StatusOK && checks["destination"] == "ok"
	})
	if r := w.run(t, "healthcheck").want(t, 0); r.stdout != "ready: queue ok, source ok, destination ok\n" {
		t.Errorf("healthcheck says %q", r.stdout+r.stderr)
	}
	p.wants(map[string]float64{`focus_copies_total{how="copied"}`: 4, "focus_copied_bytes_total": 4000, `focus_gate_open{side="destination"}`: 0})
	agent.stop().want(t, 0)
	w.run(t, "healthcheck", "--live").want(t, 1)
	w.check(t)
}

// A sync beside the agent counts as the agent's own work.
func TestMetricsAddUpAfterASync(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	agent, p := w.listen(t, "run")
	eventually(t, "the first scan", func() bool { return p.metrics()[`focus_scans_total{result="ok"}`] == 1 })
	w.add(object(1, "a.csv.gz", 1000), object(2, "b.csv.gz", 2000), object(2, "large.csv.gz", worldPart+1), object(1, "readme.txt", 10))
	if s := w.sync(t, 0); s.Transferred != 3 || s.Ineligible != 1 {
		t.Fatalf("sync = %+v", s)
	}
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Times: 1, Do: simulator.FlipBit(500)})
	w.add(object(3, "c.csv.gz", 1000))
	w.sync(t, 0)
	newest := float64(time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1).Unix())
	p.wants(map[string]float64{
		`focus_scans_total{result="ok"}`: 3, `focus_scans_total{result="failed"}`: 0, "focus_scan_duration_seconds_count": 3,
		"focus_scan_discovered_total": 9, "focus_scan_published_total": 4, "focus_scan_queued_total": 0, "focus_scan_done_total": 3, "focus_scan_failed_total": 0,
		`focus_scan_ineligible_total{reason="not-a-report"}`: 2, `focus_scan_ineligible_total{reason="bad-date"}`: 0,
		`focus_copies_total{how="copied"}`: 4, "focus_copied_bytes_total": 4000 + worldPart + 1, "focus_copy_duration_seconds_count": 4,
		"focus_discovery_to_delivery_seconds_count": 4, "focus_newest_delivered_report_day_timestamp_seconds": newest,
		`focus_failures_total{class="hash-mismatch"}`: 1, `focus_retries_total{class="hash-mismatch"}`: 1, `focus_dead_total{class="hash-mismatch"}`: 0,
		"focus_in_flight": 0, "focus_part_buffers_in_use": 0, "focus_part_buffers_limit": 12,
		`focus_gate_open{side="source"}`: 0,
		"focus_queue_up":                 1, `focus_queue_waiting{lane="live"}`: 0, `focus_queue_waiting{lane="backfill"}`: 0, "focus_queue_in_flight": 0, "focus_dead_letters": 0,
	})
	for series := range p.metrics() {
		if strings.Contains(series, "csv") || strings.Contains(series, "umbrella") {
			t.Errorf("the series %s names an object", series)
		}
	}
	// The first probe of all knows since when.
	asked := time.Now()
	_, _, body := p.ready()
	var r struct{ Checks []struct{ Since time.Time } }
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		if c.Since.IsZero() || c.Since.After(asked) {
			t.Errorf("readyz does not know since when: %s", body)
		}
	}
	agent.stop().want(t, 0)
	w.check(t)
}

func TestAProcessIsAliveAndNotReadyWithoutItsQueue(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_NATS_URL=nats://127.0.0.1:1")
	for _, role := range []string{"scanner", "copier"} {
		agent, p := w.listen(t, role)
		if code, body := p.get("/livez"); code != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: livez = %d %q", role, code, body)
		}
		if code, checks, _ := p.ready(); code != http.StatusServiceUnavailable || checks["queue"] != "failing" || checks["source"] != "pending" {
			t.Errorf("%s: readyz = %d %v", role, code, checks)
		}
		if got, ok := p.metrics()["focus_queue_up"]; got != 0 || !ok {
			t.Errorf("%s: focus_queue_up = %v (%t), want 0", role, got, ok)
		}
		w.run(t, "healthcheck", "--live").want(t, 0)
		w.run(t, "healthcheck").want(t, 1)
		agent.stop().want(t, 0)
	}
}

func TestRolesOfManyHostsAreReadyEachForItself(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	scanner, s := w.listen(t, "scanner")
	copier, c := w.listen(t, "copier")
	eventually(t, "both are ready", func() bool {
		code, checks, _ := s.ready()
		other, others, _ := c.ready()
		_, sees := checks["destination"]
		return code == 200 && checks["source"] == "ok" && !sees && other == 200 && others["queue"] == "ok" && others["destination"] == "pending"
	})
	server.Stop()
	for role, p := range map[string]probe{"scanner": s, "copier": c} {
		eventually(t, role+" misses the queue", func() bool {
			code, checks, _ := p.ready()
			return code == http.StatusServiceUnavailable && checks["queue"] == "failing"
		})
	}
	copier.stop().want(t, 0)
	scanner.stop().want(t, 0)
}

func TestAPortThatIsTakenIsAConfigurationError(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	if r := w.run(t, "healthcheck").want(t, 1); !strings.Contains(r.stderr, "http.listen") {
		t.Errorf("healthcheck without a listener says %q", r.stderr)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.set("FOCUS_HTTP_LISTEN", l.Addr().String())
	if r := w.run(t, "run").want(t, 2); !strings.Contains(r.stderr, "http.listen") || !strings.Contains(r.stderr, l.Addr().String()) {
		t.Errorf("run says %q", r.stderr)
	}
	w.set("FOCUS_NATS_URL", "nats://127.0.0.1:1")
	for _, role := range []string{"scanner", "copier"} {
		w.run(t, role).want(t, 2)
	}
}

// A container of another server is probed by the same program.
func TestHealthcheckAsksAnyAddress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	well := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery != "js-enabled-only=true" {
			rw.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(rw, `{"status":"ok"}`)
	}))
	defer well.Close()
	if r := w.run(t, "healthcheck", "--url", well.URL+"/healthz?js-enabled-only=true").want(t, 0); r.stdout != "{\"status\":\"ok\"}\n" {
		t.Errorf("healthcheck says %q", r.stdout+r.stderr)
	}
	w.run(t, "healthcheck", "--url", well.URL+"/healthz").want(t, 1)
}
