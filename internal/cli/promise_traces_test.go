package cli_test

import (
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"oracle-focus-agent/internal/simulator"
)

// A collector takes traces as an OpenTelemetry collector does.
type collector struct {
	*httptest.Server

	mu    sync.Mutex
	spans []*spans.Span
	from  map[string]string // who sent them
	raw   strings.Builder   // all that came, readable
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{from: map[string]string{}}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var request collect.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &request)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "these are no traces", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.WriteString(request.String())
	for _, r := range request.ResourceSpans {
		maps.Copy(c.from, attributes(r.Resource.Attributes))
		for _, s := range r.ScopeSpans {
			c.spans = append(c.spans, s.Spans...)
		}
	}
}

// attributes are those of a span, as text.
func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		value := a.Value.GetStringValue()
		if _, ok := a.Value.Value.(*common.AnyValue_StringValue); !ok {
			value = a.Value.String()
			value = value[strings.IndexByte(value, ':')+1:]
		}
		all[a.Key] = value
	}
	return all
}

// named are the spans of a name.
func (c *collector) named(name string) (found []*spans.Span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			found = append(found, s)
		}
	}
	return found
}

// below are the spans whose parent is s, by name.
func (c *collector) below(s *spans.Span) map[string][]*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	children := map[string][]*spans.Span{}
	for _, child := range c.spans {
		if string(child.ParentSpanId) == string(s.SpanId) && string(child.TraceId) == string(s.TraceId) {
			children[child.Name] = append(children[child.Name], child)
		}
	}
	return children
}

// traced lets the processes of a test tell a collector. The variables are also those of
// this process, since the SDK reads them there.
func (w *world) traced(t *testing.T, endpoint string, more ...string) {
	t.Helper()
	for _, s := range append(more, "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint) {
		name, value, _ := strings.Cut(s, "=")
		t.Setenv(name, value)
		w.set(name, value)
	}
}

const sendSpan, processSpan = "send focus.files.live.main.{file}", "process focus.files.live.main.{file}"

// TestASyncCanBeFollowed from the scan over the messages to the requests of each copy;
// and the trace of a copy is named in the log, in the ledger and at the destination.
func TestASyncCanBeFollowed(t *testing.T) {
	c := newCollector(t)
	w := newWorld(t, simulator.Options{})
	w.traced(t, c.URL, "OTEL_RESOURCE_ATTRIBUTES=deployment.environment.name=test", "OTEL_EXPORTER_OTLP_HEADERS=x-token=the-token")
	small, large := object(1, "small.csv.gz", 400), object(0, "large.csv.gz", 6<<20)
	w.add(small, large)
	done := w.run(t, "sync", "--json").want(t, 0)
	w.check(t)

	scans := c.named("scan")
	if len(scans) == 0 || len(scans[0].ParentSpanId) > 0 {
		t.Fatalf("%d scans, or the first has a parent", len(scans))
	}
	scan := scans[0]
	children := c.below(scan)
	sent := map[string]*spans.Span{}
	for _, s := range children[sendSpan] {
		sent[attributes(s.Attributes)["focus.object"]] = s
	}
	if len(sent) != 2 || len(children["GET"]) == 0 {
		t.Errorf("below the scan are %v; want two messages and the requests of the listing", children)
	}
	records, ids, listed := w.records(t), map[string]string{}, 0
	for _, s := range c.named(processSpan) {
		a := attributes(s.Attributes)
		name := a["focus.object"]
		ids[a["focus.key"]] = hex.EncodeToString(s.TraceId)
		from := sent[name]
		if len(s.ParentSpanId) > 0 || len(s.Links) != 1 || from == nil ||
			string(s.Links[0].SpanId) != string(from.SpanId) || string(s.Links[0].TraceId) != string(scan.TraceId) {
			t.Errorf("the copy of %s is not a trace of its own that is linked to its message: %v", name, s)
		}
		if s.Kind != spans.Span_SPAN_KIND_CONSUMER || from.Kind != spans.Span_SPAN_KIND_PRODUCER {
			t.Errorf("the kinds are %v and %v", from.Kind, s.Kind)
		}
		if r := records[name]; r.TraceID != hex.EncodeToString(s.TraceId) || r.Trace == r.TraceID {
			t.Errorf("the record of %s has trace %q, id %q; the trace is %x", name, r.Trace, r.TraceID, s.TraceId)
		}
		for key, want := range map[string]string{
			"messaging.system": "nats", "messaging.operation.type": "process", "messaging.operation.name": "process",
			"messaging.destination.template": "focus.files.live.main.{file}", "focus.outcome": "finished", "focus.how": "copied", "focus.deliveries": "1",
		} {
			if a[key] != want {
				t.Errorf("%s of the copy is %q, want %q", key, a[key], want)
			}
		}
		calls := c.below(s)
		puts := map[string]int{small.Name: 1, large.Name: 2}[name]
		reads := 0
		for _, call := range calls["GET"] {
			if strings.Contains(attributes(call.Attributes)["url.full"], "list-type=") {
				listed++
			} else {
				reads++
			}
		}
		if reads != 1 || len(calls["PUT"]) != puts {
			t.Errorf("%s was read by %d and written by %d requests, want 1 and %d", name, reads, len(calls["PUT"]), puts)
		}
		for _, call := range append(calls["GET"], calls["PUT"]...) {
			if a := attributes(call.Attributes); a["http.response.status_code"] != "200" || a["server.address"] != "127.0.0.1" || !strings.Contains(a["url.full"], "http://127.0.0.1:") || call.Kind != spans.Span_SPAN_KIND_CLIENT {
				t.Errorf("a request is %v, %v", call.Kind, a)
			}
		}
		if line := lineWith(done.stderr, "transfer complete", name); !strings.Contains(line, "trace_id="+hex.EncodeToString(s.TraceId)) {
			t.Errorf("the line of the copy does not name its trace: %s", line)
		}
	}
	if listed != 1 {
		t.Errorf("the destination was listed %d times, want once, below the first file that is older than the ledger", listed)
	}
	for _, o := range w.S3.Objects() {
		if o.Metadata["trace-id"] == "" || o.Metadata["trace-id"] != ids[o.Key] {
			t.Errorf("%s has the metadata %v, and was copied in %s", o.Key, o.Metadata, ids[o.Key])
		}
	}
	if line := lineWith(done.stderr, "sync started", ""); !strings.Contains(line, "trace_id=") {
		t.Errorf("the line of the scan does not name its trace: %s", line)
	}
	for key, want := range map[string]string{"service.name": "oracle-focus-agent", "focus.role": "sync", "focus.route": "main", "deployment.environment.name": "test"} {
		if c.from[key] != want {
			t.Errorf("%s is %q, want %q", key, c.from[key], want)
		}
	}
	for _, secret := range []string{"the-token", "uthorization", "ignature", w.env["AWS_SECRET_ACCESS_KEY"], w.env["FOCUS_S3_SECRET_ACCESS_KEY"], w.env["AWS_ACCESS_KEY_ID"], w.env["FOCUS_S3_ACCESS_KEY_ID"]} {
		if secret != "" && strings.Contains(c.raw.String(), secret) {
			t.Errorf("the traces hold %q", secret)
		}
	}
	if strings.Contains(done.stderr, "were lost") || !strings.Contains(done.stderr, "traces are sent") {
		t.Errorf("what the log says of the traces is not so: %s", done.stderr)
	}
	if !strings.Contains(c.raw.String(), "uploadId=REDACTED") {
		t.Error("the parameters of the URLs are told")
	}
	// What shows a file names its trace, too.
	id := records[small.Name].TraceID
	if shown := w.run(t, "failed", "show", small.Name); !strings.Contains(shown.stdout, id) {
		t.Errorf("the trace %s is not shown: %s", id, shown.stdout)
	}
}

// TestABackfillCanBeFollowed as well, and what only looks is not told.
func TestABackfillCanBeFollowed(t *testing.T) {
	c := newCollector(t)
	w := newWorld(t, simulator.Options{})
	w.traced(t, c.URL)
	w.add(object(20, "old.csv.gz", 400))
	w.run(t, "sync", "--dry-run").want(t, 0)
	w.run(t, "backfill", "--from", daysAgo(20), "--to", daysAgo(20), "--dry-run").want(t, 0)
	if len(c.spans) > 0 {
		t.Errorf("a preview was told: %v", c.spans)
	}
	w.run(t, "backfill", "--from", daysAgo(20), "--to", daysAgo(20), "--yes").want(t, 0)
	w.check(t)
	all := c.named("backfill")
	if len(all) == 0 {
		t.Fatal("the backfill was not told")
	}
	sent, copies := c.below(all[0])["send focus.files.backfill.main.{file}"], c.named("process focus.files.backfill.main.{file}")
	if len(sent) != 1 || len(copies) != 1 || len(copies[0].Links) != 1 || string(copies[0].Links[0].SpanId) != string(sent[0].SpanId) {
		t.Errorf("sent were %v, copied %v", sent, copies)
	}
	if a := attributes(all[0].Attributes); a["focus.discovered"] != "1" || a["focus.published"] != "1" {
		t.Errorf("the backfill is %v", a)
	}
}

// lineWith is the line of a log that has both texts.
func lineWith(log, one, other string) string {
	for line := range strings.Lines(log) {
		if strings.Contains(line, one) && strings.Contains(line, other) {
			return line
		}
	}
	return ""
}

// TestAFailedAttemptIsSeenInItsTrace, and the one that succeeds is another, linked to the
// same message.
func TestAFailedAttemptIsSeenInItsTrace(t *testing.T) {
	c := newCollector(t)
	w := newWorld(t, simulator.Options{})
	w.traced(t, c.URL)
	w.add(object(1, "one.csv.gz", 400))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Times: 1, Do: simulator.FlipBit(100)})
	w.sync(t, 0)
	copies := c.named(processSpan)
	if len(copies) < 2 {
		t.Fatalf("%d attempts were told, want 2", len(copies))
	}
	outcomes := map[string]*spans.Span{}
	for _, s := range copies {
		outcomes[attributes(s.Attributes)["focus.outcome"]] = s
	}
	bad, good := outcomes["retrying"], outcomes["finished"]
	if bad == nil {
		bad = outcomes["held"]
	}
	if bad == nil || good == nil || bad.Status.GetCode() != spans.Status_STATUS_CODE_ERROR || attributes(bad.Attributes)["error.type"] == "" ||
		string(bad.Links[0].SpanId) != string(good.Links[0].SpanId) || string(bad.TraceId) == string(good.TraceId) {
		t.Errorf("the attempts are %v", copies)
	}
}

// TestNothingWaitsForACollector that is away, or that takes the connection and is silent;
// and what was lost is said once.
func TestNothingWaitsForACollector(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	away := httptest.NewServer(nil)
	away.Close()
	for name, endpoint := range map[string]string{"away": away.URL + "/the-token", "silent": "http://" + silent.Addr().String()} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulator.Options{})
			w.traced(t, endpoint, "OTEL_BSP_SCHEDULE_DELAY=10", "OTEL_BSP_MAX_QUEUE_SIZE=4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=2")
			for _, n := range []string{"a", "b", "c"} {
				w.add(object(1, n+".csv.gz", 400))
			}
			done := w.run(t, "sync", "--json").want(t, 0)
			ended := time.Now()
			w.check(t)
			if s := decodeSummary(t, done.stdout); s.Transferred != 3 || time.Since(ended) > time.Minute {
				t.Errorf("sync = %+v", s)
			}
			if n := strings.Count(done.stderr, "spans of traces were lost"); n != 1 {
				t.Errorf("the loss was said %d times: %s", n, done.stderr)
			}
			if n := strings.Count(done.stderr, "traces do not reach the collector"); n > 1 || strings.Contains(done.stderr, "the-token") {
				t.Errorf("the outage was said %d times: %s", n, done.stderr)
			}
		})
	}
}

// TestNobodyIsToldUnasked: without the variables, or where they say no, nothing is sent,
// and nothing about traces is written anywhere.
func TestNobodyIsToldUnasked(t *testing.T) {
	c := newCollector(t)
	for name, settings := range map[string][]string{
		"disabled": {"OTEL_SDK_DISABLED=true"}, "none": {"OTEL_TRACES_EXPORTER=none"}, "unset": {"OTEL_EXPORTER_OTLP_ENDPOINT="},
		"unsampled": {"OTEL_TRACES_SAMPLER=always_off"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulator.Options{})
			w.traced(t, c.URL)
			for _, s := range settings {
				key, value, _ := strings.Cut(s, "=")
				t.Setenv(key, value)
			}
			w.add(object(1, "one.csv.gz", 400))
			done := w.run(t, "sync").want(t, 0)
			if len(c.spans) > 0 || strings.Contains(done.stderr, "trace_id") {
				t.Errorf("%d spans were sent, and the log is %s", len(c.spans), done.stderr)
			}
			for _, o := range w.S3.Objects() {
				if _, ok := o.Metadata["trace-id"]; ok {
					t.Errorf("%s has the metadata %v", o.Key, o.Metadata)
				}
			}
			raw, err := json.Marshal(w.records(t))
			if err != nil || strings.Contains(string(raw), "trace_id") {
				t.Errorf("the ledger is %s, %v", raw, err)
			}
		})
	}
}
