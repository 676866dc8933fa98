// Package trace tells an OpenTelemetry collector what a scan, a publisher and a copier
// do: scan → send, and linked to that process → GET, PUT. docs/traces.md has the names.
//
// It stands around the ports of the core and around the transports of both sides, and
// the core knows no more of it than copier.Trace. Where the standard variables OTEL_*
// ask for no traces, Open returns nil: whatever a nil *Traces is put around stays as it
// is, so that nothing of this costs anything.
//
// What is told never holds a credential: no header, and of a URL only those parameters
// that are known to be harmless. A collector that is away, slow or hostile costs spans
// and nothing else: they wait in a bounded queue, and what does not fit is dropped.
package trace

import (
	"context"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"
)

// flushTime bounds the end: with the grace of the copies and what follows it, it stays
// within the time that service managers leave a process.
const flushTime = 2 * time.Second

// Options say who tells.
type Options struct {
	Role, Route, Version, Instance string
	Log                            *slog.Logger
}

// Traces are those of one process on one route. Nil is none.
type Traces struct {
	provider *sdk.TracerProvider
	tracer   api.Tracer
	export   *export
	count    *counter
	instance string
	log      *slog.Logger
}

// Open begins to tell where the environment asks for it, else it returns nil. It does
// not connect. What is wrong with the variables is logged, and there are no traces then:
// reports are not held up for them. The variables are those of the process, since the
// SDK reads most of them itself.
func Open(o Options) *Traces {
	on, err := wanted(os.Getenv)
	if err != nil {
		o.Log.Warn("there are no traces, and everything else goes on", "err", err)
	}
	if !on || err != nil {
		return nil
	}
	// Both are of the whole process. They are told of what is wrong with the rest of the
	// variables; what comes of an export does not get that far.
	otel.SetLogger(logr.FromSlogHandler(o.Log.Handler()))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { o.Log.Warn("traces", "err", plain(err)) }))
	client, err := otlptracehttp.New(context.Background())
	if err != nil {
		o.Log.Warn("there are no traces, and everything else goes on", "err", plain(err))
		return nil
	}
	t := &Traces{export: newExport(client, o.Log), count: &counter{}, instance: o.Instance, log: o.Log}
	t.provider = sdk.NewTracerProvider(
		sdk.WithResource(describe(o)), sdk.WithSpanProcessor(t.count), sdk.WithBatcher(t.export),
	)
	t.tracer = t.provider.Tracer("oracle-focus-agent", api.WithInstrumentationVersion(o.Version), api.WithSchemaURL(semconv.SchemaURL))
	o.Log.Info("traces are sent as the variables OTEL_* say")
	return t
}

// describe is who tells. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES beat the rest.
func describe(o Options) *resource.Resource {
	r, err := resource.New(context.Background(),
		resource.WithTelemetrySDK(),
		resource.WithAttributes(
			semconv.ServiceName("oracle-focus-agent"), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Instance),
			attribute.String(attrRole, o.Role), attribute.String(attrRoute, o.Route),
		),
		resource.WithFromEnv(),
	)
	if err != nil {
		o.Log.Warn("OTEL_RESOURCE_ATTRIBUTES cannot be read in whole; write it as key=value,key=value")
	}
	return r
}

// Close sends what waits, for two seconds at most, and says how much was lost in all.
func (t *Traces) Close() {
	if t == nil {
		return
	}
	stop := time.AfterFunc(flushTime, t.export.abort) // with which each export ends at once
	defer stop.Stop()
	_ = t.provider.Shutdown(context.Background()) // what it would tell stands in the count
	if lost := t.count.spans.Load() - t.export.sent.Load(); lost > 0 {
		t.log.Warn("spans of traces were lost; the work itself was not", "spans", lost, "of", t.count.spans.Load())
	}
}

// A counter knows how many spans were to be sent.
type counter struct{ spans atomic.Int64 }

func (*counter) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (*counter) Shutdown(context.Context) error             { return nil }
func (*counter) ForceFlush(context.Context) error           { return nil }

func (c *counter) OnEnd(s sdk.ReadOnlySpan) {
	if s.SpanContext().IsSampled() {
		c.spans.Add(1)
	}
}

// idOf is empty for a trace that is not kept, since nobody would find it.
func idOf(s api.Span) string {
	if c := s.SpanContext(); c.IsSampled() {
		return c.TraceID().String()
	}
	return ""
}
