package web

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"oracle-focus-agent/messages"
)

// apiPath is what the paths of the API begin with.
const apiPath = "/api/v1/"

// description is the OpenAPI description of the API. It is made of the types: see the test.
//
//go:embed openapi.json
var description []byte

// An endpoint is one operation of the API.
type endpoint struct {
	method, path string // below apiPath
	handle       func(*api, *http.Request) (any, error)
}

// endpoints are those that answer with one JSON value. Beside them are events, report
// and the description.
func endpoints() []endpoint {
	return []endpoint{
		{"GET", "summary", func(a *api, r *http.Request) (any, error) { return a.view.Summary(r.Context()) }},
		{"GET", "days", (*api).days},
		{"GET", "days/{day}", func(a *api, r *http.Request) (any, error) {
			return a.view.Day(r.Context(), messages.Day(r.PathValue("day")))
		}},
		{"GET", "files", (*api).files},
		{"GET", "file", func(a *api, r *http.Request) (any, error) { return a.view.File(r.Context(), r.FormValue("name")) }},
		{"GET", "charts", func(a *api, r *http.Request) (any, error) {
			return a.view.Charts(r.Context(), Window(r.FormValue("window")))
		}},
		{"GET", "audit", func(a *api, r *http.Request) (any, error) { return a.view.Trail(r.Context()) }},
		{"GET", "jobs", (*api).jobs},
		{"GET", "jobs/{id}", (*api).job},
		{"POST", "sync", reads(func(ctx context.Context, a *api, by Actor, _ struct{}) (any, error) { return a.actions.Scan(ctx, by) })},
		{"POST", "failed/preview", reads(func(ctx context.Context, a *api, _ Actor, s Selection) (any, error) {
			return a.actions.FailedPreview(ctx, s)
		})},
		{"POST", "failed/retry", reads(func(ctx context.Context, a *api, by Actor, o FailedOrder) (any, error) {
			return a.actions.Retry(ctx, by, o)
		})},
		{"POST", "failed/discard", reads(func(ctx context.Context, a *api, by Actor, o FailedOrder) (any, error) {
			return a.actions.Discard(ctx, by, o)
		})},
		{"POST", "backfill/preview", reads(func(ctx context.Context, a *api, _ Actor, o BackfillOrder) (any, error) {
			return a.actions.BackfillPreview(ctx, o)
		})},
		{"POST", "backfill", reads(func(ctx context.Context, a *api, by Actor, o BackfillOrder) (any, error) {
			return a.actions.Backfill(ctx, by, o)
		})},
		{"POST", "pause", reads(func(ctx context.Context, a *api, by Actor, _ struct{}) (any, error) { return a.actions.Pause(ctx, by) })},
		{"POST", "resume", reads(func(ctx context.Context, a *api, by Actor, _ struct{}) (any, error) { return a.actions.Resume(ctx, by) })},
		{"POST", "verify", reads(func(ctx context.Context, a *api, by Actor, o VerifyOrder) (any, error) {
			return a.actions.Verify(ctx, by, o)
		})},
		{"POST", "alerts/test", reads(func(ctx context.Context, a *api, by Actor, _ struct{}) (any, error) {
			return a.actions.TestAlert(ctx, by)
		})},
	}
}

// An api serves a view and its actions as JSON.
type api struct {
	view    View
	actions Actions
	ending  <-chan struct{} // closed when the server begins to end
	slots   chan struct{}   // of listeners to events
}

func newAPI(v View, a Actions, ending <-chan struct{}) http.Handler {
	s := &api{view: v, actions: a, ending: ending, slots: make(chan struct{}, maxListeners)}
	mux := http.NewServeMux()
	for _, e := range endpoints() {
		mux.HandleFunc(e.method+" "+apiPath+e.path, func(w http.ResponseWriter, r *http.Request) {
			value, err := e.handle(s, r)
			answer(w, r, value, err)
		})
		mux.Handle(apiPath+e.path, otherMethod(e.method))
	}
	for path, serve := range map[string]http.HandlerFunc{"events": s.events, "report": s.report, "openapi.json": showDescription} {
		mux.HandleFunc("GET "+apiPath+path, serve)
		mux.Handle(apiPath+path, otherMethod(http.MethodGet))
	}
	mux.HandleFunc(apiPath, func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, r, NewProblem(http.StatusNotFound, "the API has no "+r.Method+" "+r.URL.Path, apiPath+"openapi.json names what it has"))
	})
	return mux
}

// showDescription serves the description.
func showDescription(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(description) // a caller that left needs no answer
}

// otherMethod answers where there is such a path, and it takes another method: that is no
// 404, from which a program would learn that this version lacks it.
func otherMethod(method string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		allow := method
		if method == http.MethodGet {
			allow += ", " + http.MethodHead
		}
		w.Header().Set("Allow", allow)
		writeProblem(w, r, NewProblem(http.StatusMethodNotAllowed, "the API takes no "+r.Method+" at "+r.URL.Path, "use "+method))
	})
}

// answer writes a value, or the problem.
func answer(w http.ResponseWriter, r *http.Request, value any, err error) {
	if err != nil {
		writeProblem(w, r, asProblem(err))
		return
	}
	status := http.StatusOK
	if j, ok := value.(Job); ok && j.State == JobRunning {
		status = http.StatusAccepted
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetIndent("", "  ")
	if err := enc.Encode(value); err != nil {
		writeProblem(w, r, asProblem(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(buf.Bytes()) // a caller that left needs no answer
}

// reads takes an order from the body of a request, with the reason beside it.
func reads[Order any](do func(context.Context, *api, Actor, Order) (any, error)) func(*api, *http.Request) (any, error) {
	return func(a *api, r *http.Request) (any, error) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return nil, NewProblem(http.StatusUnsupportedMediaType, "an order is JSON", "send Content-Type: application/json")
		}
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, bodyProblem(err)
		}
		var order Order
		by := ActorOf(r)
		rest, err := cutReason(raw, &by.Reason)
		if err == nil {
			err = strictly(rest, &order)
		}
		if err != nil {
			return nil, NewProblem(http.StatusBadRequest, "the order cannot be read: "+err.Error(), apiPath+"openapi.json says what it may hold")
		}
		return do(r.Context(), a, by, order)
	}
}

// cutReason takes the reason out of an object.
func cutReason(raw []byte, reason *string) (rest []byte, err error) {
	var fields map[string]json.RawMessage
	if err := strictly(raw, &fields); err != nil {
		return nil, err
	}
	if fields == nil {
		return nil, errors.New("it is no object")
	}
	if text, ok := fields["reason"]; ok {
		if err := json.Unmarshal(text, reason); err != nil {
			return nil, err
		}
		delete(fields, "reason")
	}
	return json.Marshal(fields)
}

// strictly reads one JSON value that has no field too many.
func strictly(raw []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("something follows the JSON value")
	}
	return nil
}

func (a *api) days(r *http.Request) (any, error) {
	return a.view.Days(r.Context(), messages.Day(r.FormValue("from")), messages.Day(r.FormValue("to")))
}

func (a *api) files(r *http.Request) (any, error) {
	limit, err := limitOf(r.FormValue("limit"))
	if err != nil {
		return nil, NewProblem(http.StatusBadRequest, "limit is no number", "leave it out for 50 files")
	}
	return a.view.Files(r.Context(), Filter{
		State: FileState(r.FormValue("state")), Day: messages.Day(r.FormValue("day")), Cause: messages.Class(r.FormValue("cause")),
		Text: r.FormValue("text"), After: r.FormValue("after"), Limit: limit,
	})
}

func limitOf(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	return strconv.Atoi(s)
}

// A JobList is what was ordered here.
type JobList struct {
	Jobs []Job `json:"jobs"`
}

func (a *api) jobs(r *http.Request) (any, error) {
	jobs, err := a.view.Jobs(r.Context())
	return JobList{jobs}, err
}

func (a *api) job(r *http.Request) (any, error) {
	jobs, err := a.view.Jobs(r.Context())
	if err != nil {
		return nil, err
	}
	for _, j := range jobs {
		if strconv.Itoa(j.ID) == r.PathValue("id") {
			return j, nil
		}
	}
	return nil, NewProblem(http.StatusNotFound, fmt.Sprintf("there is no job %q", r.PathValue("id")), "only the last jobs since the start of the process are kept; the audit trail has all orders")
}

// report is a download. What goes wrong before the first byte is a problem; after that the
// answer breaks off, so that nobody takes a part for the whole.
func (a *api) report(w http.ResponseWriter, r *http.Request) {
	order := ReportOrder{
		From: messages.Day(r.FormValue("from")), To: messages.Day(r.FormValue("to")), Month: r.FormValue("month"),
		Format: r.FormValue("format"), Section: r.FormValue("section"), ErrorsOnly: r.FormValue("errors_only") == "true",
	}
	if order.Format == "" {
		order.Format = "csv"
	}
	kind, err := reportKind(order.Format)
	if err != nil {
		writeProblem(w, r, asProblem(err))
		return
	}
	var file bytes.Buffer
	if err := a.actions.Report(r.Context(), order, &file); err != nil {
		writeProblem(w, r, asProblem(err))
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="focus-report-`+time.Now().UTC().Format("20060102T150405")+"."+order.Format+`"`)
	_, _ = w.Write(file.Bytes()) // a caller that left needs no answer
}

// reportKind is the media type of a report in a format.
func reportKind(format string) (string, error) {
	kind, ok := map[string]string{"csv": "text/csv; charset=utf-8", "json": "application/json", "html": "text/html; charset=utf-8"}[format]
	if !ok {
		return "", NewProblem(http.StatusBadRequest, fmt.Sprintf("%q is no format", format), "use csv, json or html")
	}
	return kind, nil
}
