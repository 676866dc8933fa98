package trace

import (
	"net/http"
	"net/url"
	"slices"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"
)

// Around returns what puts a span around each request that belongs to a trace; nil of
// none. The span of a GET lasts as long as its body is read. Nothing about the trace is
// sent to the server, which is not ours.
func (t *Traces) Around() func(http.RoundTripper) http.RoundTripper {
	if t == nil {
		return nil
	}
	return func(base http.RoundTripper) http.RoundTripper {
		return transport{otelhttp.NewTransport(harmless{base},
			otelhttp.WithTracerProvider(t.provider), otelhttp.WithMeterProvider(noop.NewMeterProvider()),
			otelhttp.WithPropagators(propagation.NewCompositeTextMapPropagator()),
			otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string { return r.Method }),
			otelhttp.WithFilter(func(r *http.Request) bool { return api.SpanContextFromContext(r.Context()).IsValid() }),
		), base}
	}
}

// A transport can be asked to close its idle connections, which otelhttp's cannot.
type transport struct {
	*otelhttp.Transport
	base http.RoundTripper
}

func (t transport) CloseIdleConnections() {
	if idle, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		idle.CloseIdleConnections()
	}
}

// harmless stands below otelhttp and tells the URL anew, without what could be secret.
type harmless struct{ http.RoundTripper }

func (h harmless) RoundTrip(r *http.Request) (*http.Response, error) {
	if span := api.SpanFromContext(r.Context()); span.IsRecording() {
		span.SetAttributes(semconv.URLFull(clean(shown(*r.URL), 4096)))
	}
	return h.RoundTripper.RoundTrip(r)
}

// shown is a URL whose parameters are hidden, but for those that say what is asked for.
func shown(u url.URL) string {
	query := u.Query()
	for name := range query {
		if !slices.Contains([]string{"x-id", "uploads", "partNumber", "prefix", "start", "limit", "fields"}, name) {
			query.Set(name, "REDACTED")
		}
	}
	u.User, u.RawQuery = nil, query.Encode()
	return u.String()
}
