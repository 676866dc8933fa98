package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// A reportRequest asks for the evidence of a range of report days.
type reportRequest struct {
	From messages.Day `json:"from"`
	// To is the last day; empty: whatever is listed from From on.
	To messages.Day `json:"to,omitempty"`
	// LedgerOnly leaves the source alone.
	LedgerOnly bool `json:"ledger_only,omitempty"`
}

// A reportPage is a part of the evidence: that of whole days, in their order.
type reportPage struct {
	Head  reportHead        `json:"head"`
	Files []report.Evidence `json:"files"`
	// Next is the day that the next page begins with; empty at the end.
	Next messages.Day `json:"next,omitempty"`
	// Unlisted says why the source cannot be listed; then there are no files.
	Unlisted string `json:"unlisted,omitempty"`
}

// A reportHead is what is known of the route.
type reportHead struct {
	Route        string                 `json:"route"`
	Source       string                 `json:"source"`
	Destination  string                 `json:"destination"`
	Identity     messages.Identity      `json:"identity"`
	Marks        messages.Marks         `json:"marks"`
	Verification *messages.Verification `json:"verification,omitempty"`
	Warnings     []string               `json:"warnings,omitempty"`
}

func (h reportHead) head(problem string) report.Head {
	out := report.Head{
		Schema: report.Schema, Route: h.Route, Source: h.Source, Destination: h.Destination,
		Made: time.Now().UTC().Truncate(time.Second), Basis: report.FromListing, Notes: slices.Clone(h.Warnings),
	}
	if problem != "" {
		out.Basis = report.FromLedger
		out.Notes = append(out.Notes, "OCI could not be listed, so this is made of the ledger alone, which knows nothing of files that no scan has found: "+problem)
	}
	return out
}

func (h reportHead) builder(listing bool) *report.Builder {
	return &report.Builder{Now: time.Now().UTC(), Epoch: h.Identity.Epoch, Born: h.Identity.Created, Marks: h.Marks, Listing: listing}
}

// reportPages gives the evidence page by page.
type reportPages func(context.Context, reportRequest) (reportPage, error)

// answerReport gives a page of evidence.
func (g *running) answerReport(ctx context.Context, q reportRequest) (any, error) {
	if !q.From.Valid() || q.To != "" && !q.To.Valid() {
		return nil, &agent.Refusal{Text: "the request names no day of the calendar", Exit: exitConfig}
	}
	e := &reportSource{route: g.route, lister: &g.sides, ledger: g.ledger, marks: g.ledger}
	return e.page(ctx, q)
}

func (e *reportSource) page(ctx context.Context, q reportRequest) (reportPage, error) {
	h, err := e.head(ctx)
	if err != nil {
		return reportPage{}, err
	}
	p := &pager{reportSource: e, reportPage: reportPage{Head: h, Files: []report.Evidence{}}, next: q.From, end: q.To}
	if p.end == "" {
		p.end = max(messages.DayOf(time.Now()), q.From)
	}
	switch {
	case q.LedgerOnly:
		err = p.recorded(ctx)
	case e.lister == nil:
		p.Unlisted = e.problem.Error()
	default:
		err = p.listed(ctx, q)
	}
	if p.Unlisted != "" {
		p.Files, p.Next = nil, ""
	}
	return p.reportPage, err
}

// head reads what the ledger says of the route. What nobody can read is as good as
// none; what a newer version wrote is an error.
func (e *reportSource) head(ctx context.Context) (h reportHead, err error) {
	own := initialStatus(e.cfg, "")
	h = reportHead{Route: own.Route, Source: own.Source, Destination: own.Destination}
	if err := readValue(ctx, e.marks, messages.MarksKey(h.Route), messages.DecodeMarks, &h.Marks); err != nil {
		return h, err
	}
	if err := readValue(ctx, e.marks, messages.IdentityKey(h.Route), messages.DecodeIdentity, &h.Identity); err != nil {
		return h, err
	}
	var v messages.Verification
	if err := readValue(ctx, e.marks, messages.VerificationKey(h.Route), messages.DecodeVerification, &v); err != nil {
		return h, err
	}
	if !v.Started.IsZero() {
		h.Verification = &v
	}
	var pause messages.Pause
	if err := readValue(ctx, e.marks, messages.PauseKey(h.Route), messages.DecodePause, &pause); err != nil {
		return h, err
	}
	if !pause.At.IsZero() {
		h.Warnings = append(h.Warnings, fmt.Sprintf("the route is paused since %s by %s: %s", pause.At.UTC().Format(time.DateTime+" UTC"), pause.By, pause.Reason))
	}
	if h.Identity.Schema > 0 {
		for _, d := range h.Identity.Differences(identityOf(e.cfg, e.naming)) {
			h.Warnings = append(h.Warnings, fmt.Sprintf("the ledger is of another %s: %q, and the configuration has %q", d.Field, d.Old, d.New))
		}
	}
	return h, nil
}

func readValue[T any](ctx context.Context, from reader, key string, decode func([]byte) (T, error), into *T) error {
	raw, _, err := from.Read(ctx, key)
	if err != nil || raw == nil {
		return err
	}
	v, err := decode(raw)
	if errors.Is(err, messages.Refused) {
		return nil
	}
	*into = v
	return err
}

// A pager makes one page.
type pager struct {
	*reportSource
	reportPage
	next messages.Day // the first day of which nothing was read
	end  messages.Day // the last one, if no later one is listed

	day     messages.Day // whose files are being listed
	records map[string]messages.Record
}

func (p *pager) full() bool { return len(p.Files) >= cmp.Or(p.limit, pageSize) }

// recorded takes what the ledger has.
func (p *pager) recorded(ctx context.Context) error {
	for p.next <= p.end {
		if err := p.enter(ctx, p.next); err != nil {
			return err
		}
		p.leave()
		if p.full() && p.next <= p.end {
			p.Next = p.next
			break
		}
	}
	return nil
}

// listed takes what the source lists, and of each day what only the ledger has.
func (p *pager) listed(ctx context.Context, q reportRequest) error {
	beyond := ""
	if q.To != "" {
		beyond = p.cfg.OCI.Prefix + q.To.Add(1).Folder()
	}
	for o, err := range p.lister.List(ctx, p.cfg.OCI.Prefix+q.From.Folder()) {
		if err != nil {
			p.Unlisted = err.Error()
			return ctx.Err()
		}
		if beyond != "" && o.Name >= beyond {
			break
		}
		e, basename := p.eligible(o)
		if e.Day >= p.next { // a day that was not entered yet
			full := p.full()
			if err := p.until(ctx, e.Day); err != nil {
				return err
			}
			if full {
				p.Next = e.Day
				return nil
			}
			if err := p.enter(ctx, e.Day); err != nil {
				return err
			}
		}
		if r, ok := p.records[basename]; ok && e.Day == p.day {
			e.Record = &r
			delete(p.records, basename)
		}
		p.Files = append(p.Files, e)
	}
	return p.until(ctx, p.end.Add(1))
}

// until takes what the ledger has of the days before one, as far as days have begun,
// and leaves the present one.
func (p *pager) until(ctx context.Context, d messages.Day) error {
	for p.next < d && p.next <= p.end {
		if err := p.enter(ctx, p.next); err != nil {
			return err
		}
	}
	p.leave()
	return nil
}

// enter leaves the present day and reads the records of another.
func (p *pager) enter(ctx context.Context, d messages.Day) (err error) {
	p.leave()
	p.day, p.next = d, d.Add(1)
	p.records, err = p.ledger.Day(ctx, d)
	if err != nil {
		return fmt.Errorf("read the ledger of %s: %w", d, err)
	}
	return nil
}

// leave adds the records whose files were not listed.
func (p *pager) leave() {
	for _, basename := range slices.Sorted(maps.Keys(p.records)) {
		r := p.records[basename]
		e := report.Evidence{Object: r.Object, Day: p.day, Record: &r}
		if rep, err := p.rules().Report(r.Object); err == nil {
			e.Key = rep.Key
		}
		p.Files = append(p.Files, e)
	}
	p.records = nil
}

// eligible applies the rules. A report that is too large belongs to its day all the same.
func (r *route) eligible(o messages.Object) (e report.Evidence, basename string) {
	e = report.Evidence{Object: o, Listed: true}
	rules := r.rules()
	rep, err := rules.Report(o)
	if bad, ok := errors.AsType[*messages.Ineligible](err); ok {
		e.Reason, e.Rule = bad.Reason, bad.Rule
		rules.MaxSize = 0
		if rep, err = rules.Report(o); err != nil {
			return e, ""
		}
	}
	e.Day, e.Key = rep.Day, rep.Key
	return e, rep.Basename
}
