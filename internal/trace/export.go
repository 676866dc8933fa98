package trace

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

var errNoAnswer = errors.New("it gave no answer before the end")

// An export sends spans and keeps its failures to itself: the first of an outage is
// logged, and its end. The SDK calls it from one goroutine at a time.
type export struct {
	sdk.SpanExporter
	ended   context.Context // when nothing is sent any more
	abort   context.CancelFunc
	sent    atomic.Int64
	failing bool
	log     *slog.Logger
}

func newExport(to sdk.SpanExporter, log *slog.Logger) *export {
	e := &export{SpanExporter: to, log: log}
	e.ended, e.abort = context.WithCancel(context.Background())
	return e
}

func (e *export) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	if e.ended.Err() != nil {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.ended, cancel)()
	err := e.SpanExporter.ExportSpans(ctx, spans)
	if err != nil && e.ended.Err() != nil {
		err = errNoAnswer
	}
	if err == nil {
		e.sent.Add(int64(len(spans)))
	}
	switch {
	case err != nil && !e.failing:
		e.log.Warn("traces do not reach the collector and are lost meanwhile; everything else goes on", "err", plain(err))
	case err == nil && e.failing:
		e.log.Info("traces reach the collector again")
	}
	e.failing = err != nil
	return nil
}

// plain is err without the address of the collector, which can hold a token.
func plain(err error) string {
	text := err.Error()
	if at, ok := errors.AsType[*url.Error](err); ok {
		text = at.Err.Error()
	}
	text = regexp.MustCompile(`https?://\S+`).ReplaceAllString(text, "the collector")
	return clean(text, 500)
}

// clean is s in valid UTF-8 and at most n bytes of it: one bad byte would cost all the
// spans that are sent together with it.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n]
	}
	return strings.ToValidUTF8(s, "?")
}
