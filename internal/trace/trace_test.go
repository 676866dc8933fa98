package trace

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	api "go.opentelemetry.io/otel/trace"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// TestWhatTheEnvironmentAsksFor: unasked there are no traces, and what would keep them
// from arriving is said without the value.
func TestWhatTheEnvironmentAsksFor(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318"
	for name, c := range map[string]struct {
		set   []string
		on    bool
		wrong string
	}{
		"nothing":                 {},
		"an endpoint":             {set: []string{endpoint}, on: true},
		"one for traces":          {set: []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=https://there/v1/traces"}, on: true},
		"the exporter alone":      {set: []string{"OTEL_TRACES_EXPORTER=otlp"}, on: true},
		"the SDK is disabled":     {set: []string{endpoint, "OTEL_SDK_DISABLED=TRUE"}},
		"no exporter":             {set: []string{endpoint, "OTEL_TRACES_EXPORTER=none"}},
		"a name alone":            {set: []string{"OTEL_SERVICE_NAME=agent", "OTEL_TRACES_SAMPLER=always_on"}},
		"JSON":                    {set: []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, on: true},
		"another exporter":        {set: []string{"OTEL_TRACES_EXPORTER=zipkin"}, wrong: `OTEL_TRACES_EXPORTER is "zipkin"`},
		"gRPC":                    {set: []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, wrong: "http/protobuf"},
		"gRPC, but not of traces": {set: []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=http/protobuf"}, on: true},
		"a host alone":            {set: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=secret:4318"}, wrong: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"no URL":                  {set: []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://secret\x7f"}, wrong: "OTEL_EXPORTER_OTLP_ENDPOINT"},
		"headers":                 {set: []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=a=1,b=x%20y"}, on: true},
		"a bad header":            {set: []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=a=secret%zz"}, wrong: "OTEL_EXPORTER_OTLP_HEADERS"},
		"a header without a name": {set: []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_HEADERS=secret"}, wrong: "OTEL_EXPORTER_OTLP_TRACES_HEADERS"},
	} {
		t.Run(name, func(t *testing.T) {
			values := map[string]string{}
			for _, s := range c.set {
				key, value, _ := strings.Cut(s, "=")
				values[key] = value
			}
			on, err := wanted(func(name string) string { return values[name] })
			if c.wrong == "" && (err != nil || on != c.on) {
				t.Errorf("on = %t, %v", on, err)
			}
			if c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong) || strings.Contains(err.Error(), "secret")) {
				t.Errorf("error %v, want one with %q and without a secret", err, c.wrong)
			}
		})
	}
}

// TestNobodyWhoDoesNotAskPays: where nobody asked for traces there is no goroutine, no allocation,
// and each port is what it was.
func TestNobodyWhoDoesNotAskPays(t *testing.T) {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_EXPORTER"} {
		t.Setenv(name, "")
	}
	before := runtime.NumGoroutine()
	none := Open(Options{Log: slog.New(slog.DiscardHandler)})
	if n := runtime.NumGoroutine(); none != nil || n > before {
		t.Fatalf("traces %v, %d goroutines more", none, n-before)
	}
	q, p := copier.Queue(new(lane)), scanner.Publisher(new(lane))
	if n := testing.AllocsPerRun(100, func() {
		if none.Queue(q) != q || none.Publisher("focus", p) != p || none.Scan() != nil || none.Headers() != nil || none.Around() != nil {
			t.Error("something was put around a port")
		}
		none.Close()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A lane hands out one message again and again, and takes all.
type lane struct{ headers map[string][]string }

func (l *lane) Next(context.Context, bool) (*copier.Delivery, error) {
	return &copier.Delivery{Subject: "focus.files.live.main.a", Headers: l.headers, Deliveries: 1}, nil
}

func (*lane) Publish(context.Context, messages.Lane, messages.FileDiscovered) (bool, error) {
	return true, nil
}

// TestAHostileHeaderIsHarmless: what is not a traceparent as W3C has it is no link, and
// nothing of it gets any further.
func TestAHostileHeaderIsHarmless(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	if s := sender(map[string][]string{"traceparent": {good}}); s.TraceID().String() != "4bf92f3577b34da6a3ce929d0e0e4736" || !s.IsRemote() {
		t.Fatalf("a good one is %v", s)
	}
	for _, bad := range [][]string{
		nil, {}, {""}, {good, good}, {good + "-00"}, {strings.ToUpper(good)}, {strings.Repeat("0", 1<<20)}, {strings.Repeat("-", 1<<20)},
		{"00-00000000000000000000000000000000-00f067aa0ba902b7-01"}, {"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01"},
		{"ff" + good[2:]}, {"00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01"}, {" " + good}, {good + "\r\nX: y"}, {"\x00\xff"},
	} {
		if s := sender(map[string][]string{"traceparent": bad, "Traceparent": {good}, "tracestate": {"x=y"}}); s.IsValid() {
			t.Errorf("%.80q is taken for %v", bad, s)
		}
	}
	if s := sender(map[string][]string{"traceparent": {good}, "tracestate": {strings.Repeat("x=y,", 1<<10)}, "baggage": {"a=b"}}); s.TraceState().Len() > 0 {
		t.Errorf("the state of a sender was taken: %v", s)
	}
}

func FuzzSender(f *testing.F) {
	f.Add("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what the future adds")
	f.Fuzz(func(t *testing.T, header string) {
		s := sender(map[string][]string{"traceparent": {header}})
		if s.IsValid() && (!strings.Contains(header, s.TraceID().String()) || !strings.Contains(header, s.SpanID().String())) {
			t.Errorf("%q is taken for %v", header, s)
		}
	})
}

func TestWhatIsShownOfAURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://user:pass@host/bucket/key":                                "https://host/bucket/key",
		"https://host/key?x-id=PutObject&partNumber=2&uploadId=abc":        "https://host/key?partNumber=2&uploadId=REDACTED&x-id=PutObject",
		"https://host/key?X-Amz-Signature=abc&X-Amz-Credential=def":        "https://host/key?X-Amz-Credential=REDACTED&X-Amz-Signature=REDACTED",
		"https://host/o?prefix=FOCUS+Reports%2F&start=FOCUS%20&limit=1000": "https://host/o?limit=1000&prefix=FOCUS+Reports%2F&start=FOCUS+",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(*u); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}

func TestAnErrorDoesNotNameTheCollector(t *testing.T) {
	_, refused := http.Post("http://127.0.0.1:1/the-token", "", nil)
	for _, err := range []error{refused, errors.New("failed to send to https://user:the-token@host/the-token?the-token: 401 Unauthorized (body: \xff)")} {
		if text := plain(err); strings.Contains(text, "the-token") || text == "" || strings.ToValidUTF8(text, "") != text {
			t.Errorf("%q", text)
		}
	}
}

// TestTheEndIsBounded, however long the collector takes: what waits is lost.
func TestTheEndIsBounded(t *testing.T) {
	blocked := make(chan struct{})
	defer close(blocked)
	silent := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-blocked }))
	t.Cleanup(silent.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", silent.URL)
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "600000")
	var log strings.Builder
	traces := Open(Options{Role: "copier", Log: slog.New(slog.NewTextHandler(&log, nil))})
	q := traces.Queue(new(lane))
	for range 10_000 { // more than the queue holds
		d, err := q.Next(t.Context(), false)
		if err != nil {
			t.Fatal(err)
		}
		if id := api.SpanContextFromContext(d.Trace.Within(t.Context())).TraceID().String(); id != d.Trace.ID() {
			t.Fatalf("the trace %s has the id %s", id, d.Trace.ID())
		}
		d.Trace.End(nil)
	}
	started := time.Now()
	traces.Close()
	if took := time.Since(started); took > time.Minute {
		t.Errorf("the end took %v", took)
	}
	if n := strings.Count(log.String(), "spans=10000 of=10000"); n != 1 {
		t.Errorf("the loss is not said: %s", log.String())
	}
}
