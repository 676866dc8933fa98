package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

// atWork is the agent, or why nothing can be ordered.
func (o *overview) atWork() (*running, error) {
	if w := o.watched.Load(); w != nil {
		return w.agent, nil
	}
	return nil, o.errStarting()
}

// reasoned checks the words of an operator; need says what they are needed for, empty
// where they are not.
func reasoned(by web.Actor, need string) error {
	if by.Reason == "" && need == "" {
		return nil
	}
	if err := checkReason(by.Reason, need); err != nil {
		return web.NewProblem(http.StatusBadRequest, "the reason cannot be taken: "+strings.ReplaceAll(err.Error(), "--reason", "it"), "write one line of at most 500 bytes")
	}
	return nil
}

// refusal turns an error into one that tells a caller what to do.
func refusal(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := errors.AsType[*web.Problem](err); ok {
		return p
	}
	switch r, ok := errors.AsType[*agent.Refusal](err); {
	case ok:
		return web.NewProblem(http.StatusConflict, r.Text, "")
	case exitCode(err) == exitConfig:
		return web.NewProblem(http.StatusBadRequest, err.Error(), "")
	case messages.ClassOf(err) == messages.Queue, errors.Is(err, context.DeadlineExceeded):
		return web.NewProblem(http.StatusServiceUnavailable, err.Error(), "try again once the queue answers")
	}
	return web.NewProblem(http.StatusInternalServerError, err.Error(), "the log of the agent may say more")
}

// Scan looks for new files at once, beside the loop: two scans at once are harmless.
func (o *overview) Scan(ctx context.Context, by web.Actor) (web.Job, error) {
	g, err := o.atWork()
	if err = cmp.Or(err, reasoned(by, "")); err != nil {
		return web.Job{}, err
	}
	return o.work(ctx, "sync", by, func(ctx context.Context) (web.Job, error) {
		if err := g.audit(ctx, messages.Action{Action: "sync", By: actorText(by), Reason: by.Reason}); err != nil {
			return web.Job{}, err
		}
		s := g.scanner()
		st, err := s.Scan(ctx)
		g.monitor.count(st, err)
		if err != nil {
			return web.Job{}, err
		}
		return web.Job{Count: st.Published, Text: fmt.Sprintf("%s found: %d queued, %d waited already, %d done, %d failed",
			counted(st.Discovered, "file"), st.Published, st.Queued, st.Done, st.Failed)}, nil
	})
}

// selected is a selection as the commands have it.
func selected(s web.Selection) (selection, error) {
	out := selection{Names: s.Files, Causes: s.Causes, From: s.From, To: s.To, Until: s.Until}
	for _, d := range []messages.Day{s.From, s.To} {
		if d != "" && !d.Valid() {
			return out, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("%q is no day", d), "write it as YYYY-MM-DD")
		}
	}
	if s.From != "" && s.To != "" && s.To < s.From {
		return out, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("%s is before %s", s.To, s.From), "exchange the days")
	}
	return out, nil
}

// FailedPreview tells what an order about failed files would be about.
func (o *overview) FailedPreview(ctx context.Context, s web.Selection) (web.FailedPreview, error) {
	const shown = 100
	g, err := o.atWork()
	if err != nil {
		return web.FailedPreview{}, err
	}
	chosen, err := selected(s)
	if err != nil {
		return web.FailedPreview{}, err
	}
	files, err := g.listFailed(ctx, chosen)
	if err != nil {
		return web.FailedPreview{}, refusal(err)
	}
	p := web.FailedPreview{Count: len(files), Bytes: sizeOf(files), Until: s.Until, Files: []web.FileRow{}}
	for _, f := range files {
		if f.At.After(p.Until) {
			p.Until = f.At
		}
		if len(p.Files) < shown {
			p.Files = append(p.Files, failedRow(f))
		}
	}
	return p, nil
}

func failedRow(f failedFile) web.FileRow {
	row := web.FileRow{
		Object: f.Object, Name: path.Base(f.Object), Day: f.Day, State: web.FileFailed, Size: f.Size, At: f.At, Class: f.Class, Error: f.Error, Attempts: f.Attempts,
	}
	if f.Discarded {
		row.State = web.FileDiscarded
	}
	return row
}

// Retry orders another copy of files that were given up.
func (o *overview) Retry(ctx context.Context, by web.Actor, order web.FailedOrder) (web.Job, error) {
	return o.changeFailed(ctx, "failed retry", by, order, "", func(ctx context.Context, g *running, c failedChange) (int, string, error) {
		ordered, err := g.retryFailed(ctx, c)
		return len(ordered), counted(len(ordered), "file") + " will be copied again", err
	})
}

// Discard gives files up for good.
func (o *overview) Discard(ctx context.Context, by web.Actor, order web.FailedOrder) (web.Job, error) {
	return o.changeFailed(ctx, "failed discard", by, order, "say why these files may be missing at the destination",
		func(ctx context.Context, g *running, c failedChange) (int, string, error) {
			done, err := g.discardFailed(ctx, c)
			return len(done), counted(len(done), "file") + " discarded; `failed retry` takes it back", err
		})
}

// changeFailed does an order about failed files, where it confirms as many as it is about.
func (o *overview) changeFailed(ctx context.Context, action string, by web.Actor, order web.FailedOrder, need string, do func(context.Context, *running, failedChange) (int, string, error)) (web.Job, error) {
	if err := reasoned(by, need); err != nil {
		return web.Job{}, err
	}
	g, err := o.atWork()
	if err != nil {
		return web.Job{}, err
	}
	p, err := o.FailedPreview(ctx, order.Selection)
	if err != nil {
		return web.Job{}, err
	}
	if p.Count != order.Confirm {
		return web.Job{}, web.MiscountProblem(order.Confirm, p.Count)
	}
	if p.Count == 0 {
		return web.Job{}, web.NewProblem(http.StatusConflict, "no file that was given up is chosen; nothing was done", "look at the list of failed files again")
	}
	order.Until = p.Until // what fails from now on is not of it
	chosen, err := selected(order.Selection)
	if err != nil {
		return web.Job{}, err
	}
	return o.work(ctx, action, by, func(ctx context.Context) (web.Job, error) {
		n, text, err := do(ctx, g, failedChange{selection: chosen, By: actorText(by), Reason: by.Reason})
		return web.Job{Count: n, Text: text}, err
	})
}

// maxBackfill bounds the days of one order: Oracle keeps reports for a year.
const maxBackfill = 400

func (g *running) backfillRequest(b web.BackfillOrder, by web.Actor) (backfillRequest, error) {
	o := backfillOptions{from: string(b.From), to: string(b.To), all: b.All}
	if err := o.check(); err != nil {
		return backfillRequest{}, web.NewProblem(http.StatusBadRequest, err.Error(), "name the first and the last report day")
	}
	if b.From.Add(maxBackfill) < b.To {
		return backfillRequest{}, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("these are more than %d days", maxBackfill), "Oracle keeps reports for a year: choose fewer days")
	}
	return backfillRequest{Days: messages.Range{From: b.From, To: b.To}, All: b.All, NoWait: true, By: actorText(by)}, nil
}

// BackfillPreview tells what a backfill would do.
func (o *overview) BackfillPreview(ctx context.Context, b web.BackfillOrder) (web.BackfillPreview, error) {
	g, err := o.atWork()
	if err != nil {
		return web.BackfillPreview{}, err
	}
	request, err := g.backfillRequest(b, web.Actor{})
	if err != nil {
		return web.BackfillPreview{}, err
	}
	p, err := g.preview(ctx, request)
	if err != nil {
		return web.BackfillPreview{}, refusal(err)
	}
	out := web.BackfillPreview{
		From: b.From, To: b.To, All: b.All, Files: p.Files, Bytes: p.Bytes, Again: p.Again, Done: p.Done, Discarded: p.Discarded,
		Failed: []web.Unfit{}, Days: []web.BackfillDay{}, Seconds: p.Seconds,
	}
	for _, f := range p.Failed {
		out.Failed = append(out.Failed, web.Unfit(f))
	}
	for _, d := range p.PerDay {
		out.Days = append(out.Days, web.BackfillDay(d))
	}
	return out, nil
}

// Backfill queues the reports of past days, where the order confirms as many as there are.
func (o *overview) Backfill(ctx context.Context, by web.Actor, b web.BackfillOrder) (web.Job, error) {
	if err := reasoned(by, ""); err != nil {
		return web.Job{}, err
	}
	g, err := o.atWork()
	if err != nil {
		return web.Job{}, err
	}
	p, err := o.BackfillPreview(ctx, b)
	if err != nil {
		return web.Job{}, err
	}
	if p.Files != b.Confirm {
		return web.Job{}, web.MiscountProblem(b.Confirm, p.Files)
	}
	request, err := g.backfillRequest(b, by)
	if err != nil {
		return web.Job{}, err
	}
	request.Files, request.Reason = p.Files, by.Reason
	return o.work(ctx, "backfill", by, func(ctx context.Context) (web.Job, error) {
		st, err := g.queueBackfill(ctx, request)
		if err != nil {
			return web.Job{}, err
		}
		g.note(ctx)
		g.learn(ctx)
		o.scanned(1, b.From)
		return web.Job{Count: st.Published, Text: fmt.Sprintf("%s queued, and %d waited already", counted(st.Published, "file"), st.Queued)}, nil
	})
}

// Pause stops the copies on all hosts.
func (o *overview) Pause(ctx context.Context, by web.Actor) (web.Job, error) {
	return o.changePause(ctx, "pause", by, "whoever finds the route paused must be able to read why", func(ctx context.Context, g *running, r pauseRequest) (string, error) {
		answer, err := g.changePause(ctx, r, g.pause)
		if err != nil {
			return "", err
		}
		return pausedText(answer.(pauseAnswer).Paused) + "; what is in flight is finished, and scans go on", nil
	})
}

// Resume ends a pause.
func (o *overview) Resume(ctx context.Context, by web.Actor) (web.Job, error) {
	return o.changePause(ctx, "resume", by, "", func(ctx context.Context, g *running, r pauseRequest) (string, error) {
		answer, err := g.changePause(ctx, r, g.resume)
		if err != nil {
			return "", err
		}
		if was := answer.(pauseAnswer).Was; was != nil {
			return "resumed; it was " + pausedText(was), nil
		}
		return "it was not paused", nil
	})
}

func (o *overview) changePause(ctx context.Context, action string, by web.Actor, need string, do func(context.Context, *running, pauseRequest) (string, error)) (web.Job, error) {
	if err := reasoned(by, need); err != nil {
		return web.Job{}, err
	}
	g, err := o.atWork()
	if err != nil {
		return web.Job{}, err
	}
	return o.work(ctx, action, by, func(ctx context.Context) (web.Job, error) {
		text, err := do(ctx, g, pauseRequest{Reason: by.Reason, By: actorText(by)})
		return web.Job{Text: text}, err
	})
}

// Verify compares source, ledger and destination.
func (o *overview) Verify(ctx context.Context, by web.Actor, v web.VerifyOrder) (web.Job, error) {
	if err := reasoned(by, ""); err != nil {
		return web.Job{}, err
	}
	g, err := o.atWork()
	if err != nil {
		return web.Job{}, err
	}
	q, err := verifyOptions{from: string(v.From), to: string(v.To), full: v.Full, quietEqual: true}.request()
	if err == nil && v.Full && v.From != "" {
		err = errors.New("full means all days: leave the days out")
	}
	if err != nil {
		return web.Job{}, web.NewProblem(http.StatusBadRequest, err.Error(), "")
	}
	return o.work(ctx, "verify", by, func(ctx context.Context) (web.Job, error) {
		if err := g.audit(ctx, messages.Action{Action: "verify", By: actorText(by), Reason: by.Reason, Detail: daysOf(v)}); err != nil {
			return web.Job{}, err
		}
		found, err := g.verify(ctx, q, nil)
		if err != nil {
			return web.Job{}, err
		}
		g.showVerification(ctx)
		word := "equal"
		if found.Differ() > 0 {
			word = "DIFFERENT"
		}
		return web.Job{Count: found.Differ(), Verification: &found.Verification,
			Text: fmt.Sprintf("%s to %s: %s; %s", found.From, found.To, word, counts(found.Verification))}, nil
	})
}

func daysOf(v web.VerifyOrder) string {
	switch {
	case v.Full:
		return "all days"
	case v.From == "":
		return "the days of a scan"
	case v.To == "":
		return "from " + string(v.From) + " on"
	}
	return string(v.From) + " to " + string(v.To)
}

// TestAlert sends a test message by every channel.
func (o *overview) TestAlert(ctx context.Context, by web.Actor) (web.Job, error) {
	if err := reasoned(by, ""); err != nil {
		return web.Job{}, err
	}
	g, err := o.atWork()
	if err != nil {
		return web.Job{}, err
	}
	if !o.cfg.Alerts.Tells() {
		return web.Job{}, web.NewProblem(http.StatusConflict, "there is nobody to tell", "set alerts.webhook_url, slack_url, teams_url or alerts.email, and start the agent again")
	}
	return o.work(ctx, "alerts test", by, func(ctx context.Context) (web.Job, error) {
		if err := g.audit(ctx, messages.Action{Action: "alerts test", By: actorText(by), Reason: by.Reason}); err != nil {
			return web.Job{}, err
		}
		tried, err := tryAlerts(ctx, o.cfg, func(triedChannel) {})
		if err != nil {
			return web.Job{}, err
		}
		out := web.Job{Count: len(tried)}
		failed := 0
		for _, t := range tried {
			if t.Error != "" {
				failed++
			}
			out.Alerts = append(out.Alerts, web.TriedAlert{Channel: string(t.Channel), Host: t.Host, Status: t.Status, Text: t.Text, Error: t.Error})
		}
		out.Text = fmt.Sprintf("%s tried, %d did not take the message", counted(len(tried), "channel"), failed)
		return out, nil
	})
}

const (
	// reportTime bounds the making of a report, for which the source is listed.
	reportTime = 5 * time.Minute
	maxWebDays = 400
)

// Report writes what `report` prints.
func (o *overview) Report(ctx context.Context, q web.ReportOrder, w io.Writer) error {
	g, err := o.atWork()
	if err != nil {
		return err
	}
	opts := reportOptions{from: string(q.From), to: string(q.To), month: q.Month, section: q.Section, output: cmp.Or(q.Format, "csv"), errorsOnly: q.ErrorsOnly}
	if err := opts.check(); err != nil {
		return refusal(err)
	}
	if opts.output == "table" {
		return web.NewProblem(http.StatusBadRequest, "a table is for a terminal", "use csv, json or html")
	}
	if !o.reporting.TryLock() {
		return web.NewProblem(http.StatusConflict, "another report is being made", "try again in a moment")
	}
	defer o.reporting.Unlock()
	ctx, cancel := context.WithTimeout(ctx, reportTime)
	defer cancel()
	evidence := &reportSource{route: g.route, lister: &g.sides, ledger: g.ledger, marks: g.ledger}
	if q.Month != "" {
		return o.writeStatement(ctx, evidence.page, opts, w)
	}
	return o.writeReport(ctx, evidence.page, opts, w)
}

func (o *overview) writeReport(ctx context.Context, pages reportPages, opts reportOptions, w io.Writer) error {
	s, err := opts.span(time.Now().UTC())
	if err != nil {
		return refusal(err)
	}
	if s.from.Add(maxWebDays) < s.to {
		return web.NewProblem(http.StatusBadRequest, fmt.Sprintf("a report here is about at most %d days", maxWebDays), "`oracle-focus-agent report` has no such limit")
	}
	m, err := makeReport(ctx, s, func(ctx context.Context, q reportRequest, begin beginReport) error {
		return evidenceFrom(ctx, pages, q, begin)
	})
	if err != nil {
		return refusal(err)
	}
	r, v := m.Report(), report.View{Section: opts.section, ErrorsOnly: opts.errorsOnly}
	switch opts.output {
	case "html":
		return r.WriteHTML(w, v)
	case "json":
		return writeJSON(w, r.Reduced(v))
	}
	return r.WriteCSV(w, v)
}

func (o *overview) writeStatement(ctx context.Context, pages reportPages, opts reportOptions, w io.Writer) error {
	m, err := makeStatement(ctx, opts.month, func(ctx context.Context, q reportRequest, begin beginReport) error {
		return evidenceFrom(ctx, pages, q, begin)
	})
	if err != nil {
		return refusal(err)
	}
	switch s := m.Statement(); opts.output {
	case "html":
		return s.WriteHTML(w)
	case "json":
		return writeJSON(w, s)
	default:
		return s.WriteCSV(w)
	}
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
