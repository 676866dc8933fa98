package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

const (
	// maxFiles bounds what an answer lists, and maxRepairs what one repair orders.
	maxFiles   = 100_000
	maxRepairs = 100_000
	// lookers is how many objects are looked at at the same time; copies go on beside it.
	lookers = 4
)

// A destination is the client in use as a verify.Destination.
type destination struct{ *sides }

func (d destination) Head(ctx context.Context, key string) (verify.Stored, error) {
	s, err := d.now.Load().dest.Head(ctx, key)
	return verify.Stored(s), err
}

func (d destination) List(ctx context.Context, prefix string) iter.Seq2[verify.Listed, error] {
	return func(yield func(verify.Listed, error) bool) {
		for l, err := range d.now.Load().dest.List(ctx, prefix) {
			if !yield(verify.Listed{Key: l.Key, Stored: verify.Stored(l.Stored)}, err) {
				return
			}
		}
	}
}

// verifyAlone does the whole work in this process. It makes no ledger where there is
// none, and settles nothing that a start of the agent has to settle.
func (a *app) verifyAlone(ctx context.Context, cfg *config.Config, naming messages.Naming, q verifyRequest) (v verified, err error) {
	ctx, cancel := within(ctx, q.Timeout)
	defer cancel()
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	r.restrain()
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.openToFill(ctx, true); err != nil {
		return v, err
	}
	if r.ledger == nil {
		return v, &coded{exitError, errors.New("there is no ledger to compare with yet; `run` or `sync` begin one")}
	}
	copies := func(ctx context.Context, s *agent.Sync) (agent.Summary, error) {
		p := a.progress()
		defer p.end()
		return r.syncObserved(ctx, s, p, func(copier.Event) {})
	}
	return r.verify(ctx, q, copies)
}

// answerVerify is verify through the agent, whose copiers and those of other hosts copy
// what is ordered.
func (g *running) answerVerify(ctx context.Context, q verifyRequest) (any, error) {
	if err := g.sameRoute(q.Identity); err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, q.Timeout)
	defer cancel()
	v, err := g.verify(ctx, q, func(ctx context.Context, s *agent.Sync) (agent.Summary, error) {
		defer g.follow(s)()
		return s.Run(ctx)
	})
	if errors.Is(err, context.Canceled) { // whoever asked would not be there to read it
		err = errors.New("the agent was stopped before the comparison ended")
	}
	if err != nil {
		return nil, &agent.Refusal{Text: err.Error(), Exit: exitCode(err)}
	}
	g.showVerification(ctx)
	return v, nil
}

// follow shows the copier's events to a sync until the returned function is called.
func (g *running) follow(s *agent.Sync) (stop func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.syncs[s] = true
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.syncs, s)
	}
}

// verify compares and, where it is asked for, repairs and compares again.
func (r *route) verify(ctx context.Context, q verifyRequest, copies func(context.Context, *agent.Sync) (agent.Summary, error)) (verified, error) {
	m, _, err := r.readMarks(ctx)
	if err != nil {
		return verified{}, err
	}
	if q.Repair && m == nil {
		return verified{}, &coded{exitConfig, errors.New("nothing can be repaired before a first scan was complete; `run` or `sync` copy what is missing")}
	}
	last, _, err := r.lastVerification(ctx)
	if err != nil {
		return verified{}, err
	}
	days := r.duties(m)
	ranges := days.withDoubtful(last.Differences)
	switch {
	case q.chosen():
		ranges = []messages.Range{{From: q.From, To: q.To}}
	case q.Full:
		ranges = days.all()
	}
	v, broken, err := r.compare(ctx, days, ranges, q.All)
	if err != nil || !q.Repair {
		return v, r.keepVerified(ctx, q, v, err)
	}
	if !q.DryRun && !q.chosen() && emptied(v.Verification) {
		return v, errors.Join(r.keepVerified(ctx, q, v, nil), &coded{exitConfig, fmt.Errorf("%d files are missing and %d are there: "+
			"%s; nothing was ordered. Where they shall be sent again, name their days: --from, --to", v.Missing, v.Equal, emptiedText)})
	}
	before := v.Verification
	repair := &repaired{DryRun: q.DryRun, Files: []messages.Deviation{}, Left: before.Differ() - len(broken), Before: before}
	v.Repair = repair
	if q.DryRun || len(broken) == 0 {
		for _, f := range broken {
			repair.Files = append(repair.Files, f.Deviation())
		}
		return v, r.keepVerified(ctx, q, v, nil)
	}
	ordered, err := r.repair(ctx, q, broken, repair)
	if err != nil {
		return v, err
	}
	s := r.sync()
	s.Find = r.await(ordered)
	sum, problem := copies(ctx, s)
	if ctx.Err() != nil {
		return v, context.Cause(ctx)
	}
	repair.Copied, repair.Problem, repair.Exit = &sum, errText(problem), exitOf(sum, problem)
	if v, _, err = r.compare(ctx, days, ranges, q.All); err == nil {
		v.Repair, v.Ordered = repair, len(ordered)
	}
	return v, r.keepVerified(ctx, q, v, err)
}

// emptied reports whether so much is missing that somebody takes the files away rather
// than that copies went wrong.
func emptied(v messages.Verification) bool { return v.Missing >= 20 && v.Missing > v.Equal }

const emptiedText = "a destination that deletes what it has read would count its costs twice; for one, set verify.absent to ingested"

// keepVerified keeps a result that speaks of all that a scan covers. What was asked of
// some days says nothing about the others.
func (r *route) keepVerified(ctx context.Context, q verifyRequest, v verified, err error) error {
	if err != nil || q.chosen() || q.DryRun {
		return err
	}
	if last, _, err := r.lastVerification(ctx); err != nil || !q.Full && last.Differ() > len(last.Differences) {
		return err // of more days than these it is known that something differs
	}
	return r.recordVerification(ctx, v.Verification, q.Full)
}

// compare returns also the files that another copy may mend.
func (r *route) compare(ctx context.Context, days duties, ranges []messages.Range, all bool) (v verified, broken []verify.Finding, err error) {
	v.Files = []messages.Deviation{}
	c := r.verifier(days, ranges)
	c.Found = func(f verify.Finding) {
		if f.Repairable && len(broken) < maxRepairs {
			broken = append(broken, f)
		}
		switch {
		case !all && !f.Result.Differs():
		case len(v.Files) == maxFiles:
			v.More++
		default:
			v.Files = append(v.Files, f.Deviation())
		}
	}
	v.Verification, err = c.Run(ctx)
	v.Worker = instance()
	sorted(v.Files)
	return v, broken, err
}

func (r *route) verifier(days duties, ranges []messages.Range) *verify.Verifier {
	return &verify.Verifier{
		Source: &r.sides, Ledger: r.ledger, Destination: destination{&r.sides}, Rules: r.rules(), Epoch: r.identity.Epoch,
		Ranges: ranges, Responsible: days.cover, Ingests: r.cfg.Verify.Absent == "ingested",
		Concurrency: min(lookers, r.settings().Agent.MaxConcurrentTransfers),
	}
}

// Duties are the days that an installation is responsible for.
type duties struct {
	since  messages.Day
	scan   messages.Day // the first day of a scan
	ranges []messages.Range
}

// duties reads them as the scanner does.
func (r *route) duties(m *messages.Marks) duties {
	scan := messages.DayOf(time.Now())
	if m != nil && !m.Scanned.IsZero() {
		scan = min(scan, messages.DayOf(m.Scanned))
	}
	scan = scan.Add(-max(r.settings().Agent.LookbackDays, scanner.MinLookback))
	d := duties{since: scan, scan: scan}
	if m != nil {
		d.ranges = m.Ranges
		if m.Since != "" {
			d.since = min(m.Since, scan)
		}
	}
	if s := messages.Day(r.cfg.Agent.Since); s != "" {
		d.since, d.scan = s, max(s, scan)
	}
	return d
}

func (d duties) window() []messages.Range { return []messages.Range{{From: d.scan}} }

// all is every range, in order; those of backfills end before since.
func (d duties) all() (out []messages.Range) {
	for _, r := range d.ranges {
		if r.From >= d.since {
			continue
		}
		if r.To >= d.since {
			r.To = d.since.Add(-1)
		}
		out = append(out, r)
	}
	return append(out, messages.Range{From: d.since})
}

func (d duties) cover(day messages.Day) bool {
	for _, r := range d.all() {
		if day >= r.From && (r.To == "" || day <= r.To) {
			return true
		}
	}
	return false
}

// repair orders another copy of the broken files. The audit record comes first; then
// each order is written to the ledger and published. A crash in between leaves files
// that are due, which the next scan or sweep queues, or files that nobody ordered,
// which the next verification finds again.
func (r *route) repair(ctx context.Context, q verifyRequest, broken []verify.Finding, out *repaired) (ordered []nats.Entry, err error) {
	action := messages.Action{Action: "verify --repair", By: q.By, Count: len(broken)}
	action.Detail = fmt.Sprintf("%s to %s", out.Before.From, out.Before.To)
	for _, f := range broken {
		action.Files = append(action.Files, f.Object.Name)
	}
	if err := r.audit(ctx, action); err != nil {
		return nil, err
	}
	publisher := r.publisher()
	for _, f := range broken {
		e, ok, err := r.stillAs(ctx, f)
		if err == nil && ok {
			if err = r.order(ctx, e, publisher); errors.Is(err, messages.Conflict) {
				continue // somebody was faster: what was found is history
			}
		}
		if err != nil {
			return ordered, fmt.Errorf("order %s: %w", f.Object.Name, err)
		}
		if ok {
			ordered = append(ordered, e)
			out.Files = append(out.Files, f.Deviation())
		}
	}
	return ordered, nil
}

// stillAs reads the record of a file again, as the one of the version that is listed;
// ok is false where it is not the one any more that the finding is about.
func (r *route) stillAs(ctx context.Context, f verify.Finding) (e nats.Entry, ok bool, err error) {
	e = nats.Entry{Key: messages.RecordKey(r.cfg.OCI.Name, f.Report), Day: f.Report.Day, Basename: f.Report.Basename}
	var raw []byte
	if raw, e.Revision, err = r.ledger.Read(ctx, e.Key); err != nil {
		return e, false, err
	}
	if raw != nil {
		if e.Record, err = messages.DecodeRecord(raw); err != nil && !errors.Is(err, messages.Refused) {
			return e, false, err
		}
	}
	had := e.Record
	if had.Epoch != r.identity.Epoch { // as good as none
		had, e.Record.Copy = messages.Record{}, nil
	}
	ok = had.Status == f.Record.Status && had.Generation == f.Record.Generation && had.At.Equal(f.Record.At)
	e.Record.Object, e.Record.Epoch = f.Object, r.identity.Epoch
	return e, ok, nil
}
