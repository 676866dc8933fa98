package trace

import (
	"context"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	api "go.opentelemetry.io/otel/trace"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// The attributes that no convention has a name for.
const (
	attrRole       = "focus.role"
	attrRoute      = "focus.route"
	attrScan       = "focus.scan"
	attrObject     = "focus.object"
	attrSize       = "focus.size"
	attrKey        = "focus.key"
	attrHow        = "focus.how"
	attrVerified   = "focus.verified"
	attrOutcome    = "focus.outcome"
	attrAttempts   = "focus.attempts"
	attrDeliveries = "focus.deliveries"
	attrQueued     = "focus.queued"
	attrDiscovered = "focus.discovered"
	attrPublished  = "focus.published"
	attrDone       = "focus.done"
	attrFailed     = "focus.failed"
)

// Scan follows scans, as scanner.Scanner asks; nil of none.
func (t *Traces) Scan() func(ctx context.Context, what string) (context.Context, string, func(scanner.Stats, error)) {
	if t == nil {
		return nil
	}
	return func(ctx context.Context, what string) (context.Context, string, func(scanner.Stats, error)) {
		ctx, span := t.tracer.Start(ctx, what, api.WithNewRoot())
		return ctx, idOf(span), func(st scanner.Stats, err error) {
			span.SetAttributes(
				attribute.String(attrScan, st.Scan), attribute.Int(attrDiscovered, st.Discovered), attribute.Int(attrPublished, st.Published),
				attribute.Int(attrQueued, st.Queued), attribute.Int(attrDone, st.Done), attribute.Int(attrFailed, st.Failed),
			)
			end(span, err)
		}
	}
}

// end ends a span as what it is about ended.
func end(span api.Span, err error) {
	if err != nil {
		class := string(messages.ClassOf(err))
		if class == "" {
			class = semconv.ErrorTypeOther.Value.AsString()
		}
		span.SetAttributes(semconv.ErrorTypeKey.String(class))
		span.SetStatus(codes.Error, clean(err.Error(), 1000))
	}
	span.End()
}

// Headers are what goes along with a message: the trace context of W3C, of which only
// traceparent is used. Nil of none.
func (t *Traces) Headers() func(context.Context) map[string]string {
	if t == nil {
		return nil
	}
	return func(ctx context.Context) map[string]string {
		carrier := propagation.MapCarrier{}
		propagation.TraceContext{}.Inject(ctx, carrier)
		delete(carrier, "tracestate")
		return carrier
	}
}

// Publisher is p with a span for each message, which the message carries if it has the
// Headers of t.
func (t *Traces) Publisher(prefix string, p scanner.Publisher) scanner.Publisher {
	if t == nil {
		return p
	}
	return publisher{p, t, prefix}
}

type publisher struct {
	scanner.Publisher
	traces *Traces
	prefix string
}

func (p publisher) Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (queued bool, err error) {
	subject := messages.Subject(p.prefix, lane, m.Route, m.Object.Name)
	ctx, span := p.traces.tracer.Start(ctx, "send "+template(subject), api.WithSpanKind(api.SpanKindProducer), api.WithAttributes(p.traces.messaging(subject)...),
		api.WithAttributes(
			semconv.MessagingOperationTypeSend, semconv.MessagingOperationName("send"), semconv.MessagingMessageID(clean(m.MsgID(), 2048)),
			attribute.String(attrObject, clean(m.Object.Name, 1024)), attribute.Int64(attrSize, m.Object.Size),
		))
	queued, err = p.Publisher.Publish(ctx, lane, m)
	span.SetAttributes(attribute.Bool(attrQueued, queued))
	end(span, err)
	return queued, err
}

// messaging is what all spans about messages have.
func (t *Traces) messaging(subject string) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingClientID(t.instance),
		semconv.MessagingDestinationName(clean(subject, 4096)), semconv.MessagingDestinationTemplate(template(subject)),
	}
}

// template is a subject without the name of the file, so that the spans of all files
// have one name.
func template(subject string) string {
	return clean(subject[:strings.LastIndexByte(subject, '.')+1], 200) + "{file}"
}
