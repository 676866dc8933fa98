package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"

	"oracle-focus-agent/copier"
)

// Queue is q with a trace for each delivery.
func (t *Traces) Queue(q copier.Queue) copier.Queue {
	if t == nil {
		return q
	}
	return queue{q, t}
}

type queue struct {
	copier.Queue
	traces *Traces
}

func (q queue) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	d, err := q.Queue.Next(ctx, backfill)
	if d != nil && err == nil {
		d.Trace = q.traces.process(d)
	}
	return d, err
}

// process begins a trace of its own, since a message can wait for days and be handed out
// many times: who sent it is linked.
func (t *Traces) process(d *copier.Delivery) copier.Trace {
	options := []api.SpanStartOption{
		api.WithNewRoot(), api.WithSpanKind(api.SpanKindConsumer), api.WithAttributes(t.messaging(d.Subject)...),
		api.WithAttributes(
			semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
			semconv.MessagingMessageBodySize(len(d.Data)), attribute.Int(attrDeliveries, d.Deliveries),
		),
	}
	if sender := sender(d.Headers); sender.IsValid() {
		options = append(options, api.WithLinks(api.Link{SpanContext: sender}))
	}
	_, span := t.tracer.Start(context.Background(), "process "+template(d.Subject), options...)
	return &delivery{span}
}

// sender is the span that the message was sent in; invalid where the message does not
// say, or says anything but what W3C allows. Only traceparent is looked at, whose length
// is fixed: nothing else of the sender's gets into a trace.
func sender(headers map[string][]string) api.SpanContext {
	carrier := propagation.MapCarrier{}
	if values := headers["traceparent"]; len(values) == 1 {
		carrier["traceparent"] = values[0]
	}
	return api.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), carrier))
}

// A delivery implements copier.Trace.
type delivery struct{ span api.Span }

func (d *delivery) ID() string { return idOf(d.span) }

func (d *delivery) Within(ctx context.Context) context.Context {
	return api.ContextWithSpan(ctx, d.span)
}

func (d *delivery) Tell(e copier.Event) {
	d.span.SetAttributes(attribute.String(attrObject, clean(e.Object.Name, 1024)), attribute.Int64(attrSize, e.Object.Size))
	switch e.Kind {
	case copier.Started, copier.Inspected: // an outcome follows
		d.span.AddEvent(string(e.Kind))
		return
	case copier.Finished:
		d.span.SetAttributes(attribute.String(attrKey, clean(e.Record.Copy.Key, 1024)), attribute.String(attrHow, e.Record.Copy.How), attribute.String(attrVerified, e.Record.Copy.Verified))
	case copier.Retrying, copier.Died:
		d.span.SetAttributes(attribute.Int(attrAttempts, e.Record.Attempts))
	}
	d.span.SetAttributes(attribute.String(attrOutcome, string(e.Kind)))
}

func (d *delivery) End(err error) { end(d.span, err) }
