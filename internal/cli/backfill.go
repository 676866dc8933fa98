package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

type backfillOptions struct {
	days                       messages.Range
	from, to                   string
	all, onlyMissing           bool
	dryRun, yes, json, waitNot bool
	timeout                    time.Duration
}

// A backfillRequest travels to the running agent, and its answer back.
type backfillRequest struct {
	Days    messages.Range `json:"days"`
	All     bool           `json:"all,omitempty"`
	NoWait  bool           `json:"no_wait,omitempty"`
	Timeout time.Duration  `json:"timeout,omitempty"`
	By      string         `json:"by"`
	// Reason is in the words of the operator, where there are some.
	Reason string `json:"reason,omitempty"`
	// Files is how many files the operator was shown.
	Files    int               `json:"files"`
	Identity messages.Identity `json:"identity"`
}

type backfillAnswer struct {
	syncAnswer
	// Queued: the copies are not waited for.
	Queued *scanner.Stats `json:"queued,omitempty"`
}

// A backfilled is what `backfill` prints.
type backfilled struct {
	Preview *preview       `json:"preview"`
	DryRun  bool           `json:"dry_run,omitempty"`
	Queued  *scanner.Stats `json:"queued,omitempty"`
	Copied  *agent.Summary `json:"copied,omitempty"`
}

func (a *app) backfillCommand() *cobra.Command {
	var o backfillOptions
	cmd := &cobra.Command{
		Use: "backfill --from DAY --to DAY", Short: "Bring the reports of past days, without delaying fresh ones", Args: cobra.NoArgs,
		Long: `Bring the reports of past days that are not at the destination; or, with --all, each of
them once more, but for those that an operator discarded. It lists the days at Oracle,
compares them with the ledger, shows what is to be copied, asks, and queues it in a lane
of its own: a copier takes of it only when no fresh file waits.

From then on the installation is responsible for these days, too: each daily sweep looks
after them, so that nothing is lost however this command ends. Beside a running agent the
agent does the work and this command waits for the end, unless --no-wait; else this
command does the whole work and ends like sync.`,
		Example: "  oracle-focus-agent backfill --from 2026-01-01 --to 2026-03-31 --dry-run\n  oracle-focus-agent backfill --from 2026-01-01 --to 2026-03-31 --yes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return &coded{exitConfig, err}
			}
			return a.backfill(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.from, "from", "", "first report day, YYYY-MM-DD")
	cmd.Flags().StringVar(&o.to, "to", "", "last report day, YYYY-MM-DD")
	cmd.Flags().BoolVar(&o.onlyMissing, "only-missing", false, "copy what is not delivered yet (the default)")
	cmd.Flags().BoolVar(&o.all, "all", false, "copy again what is delivered or was given up, too")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would be copied and change nothing")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.waitNot, "no-wait", false, "only queue the files")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up waiting after this time and name the files that are not settled; they stay queued")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as one JSON object")
	cmd.MarkFlagsMutuallyExclusive("all", "only-missing")
	cmd.MarkFlagsMutuallyExclusive("no-wait", "timeout")
	return cmd
}

func (o *backfillOptions) check() error {
	o.days = messages.Range{From: messages.Day(o.from), To: messages.Day(o.to)}
	tomorrow := messages.DayOf(time.Now()).Add(1)
	switch {
	case o.from == "" || o.to == "":
		return errors.New("--from and --to are needed: the first and the last report day")
	case !o.days.From.Valid() || !o.days.To.Valid():
		return fmt.Errorf("--from %q --to %q: use days of the calendar, YYYY-MM-DD", o.from, o.to)
	case o.days.To < o.days.From:
		return fmt.Errorf("--to %s is before --from %s", o.to, o.from)
	case o.days.To > tomorrow:
		return fmt.Errorf("--to %s is in the future; there are no reports of it", o.to)
	case o.timeout < 0:
		return fmt.Errorf("--timeout %v: it must not be negative", o.timeout)
	}
	return nil
}

func (o backfillOptions) request(cfg *config.Config, naming messages.Naming) backfillRequest {
	return backfillRequest{
		Days: o.days, All: o.all, NoWait: o.waitNot, Timeout: o.timeout, By: operator(), Identity: identityOf(cfg, naming),
	}
}

func (a *app) backfill(ctx context.Context, o backfillOptions) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	request := o.request(cfg, naming)
	p := &preview{}
	err = agent.ErrNotRunning
	if cfg.State.Dir != "" {
		err = agent.Ask(ctx, cfg.State.Dir, "/v1/backfill/preview", request, p)
	}
	if errors.Is(err, agent.ErrNotRunning) {
		return a.backfillAlone(ctx, cfg, naming, o, request)
	}
	if err != nil {
		return err
	}
	if goOn, err := a.agree(ctx, o, p); !goOn || err != nil {
		return err
	}
	request.Files = p.Files
	var answer backfillAnswer
	watched := a.watchQueue(cfg, o, p.Files)
	err = agent.Ask(ctx, cfg.State.Dir, "/v1/backfill", request, &answer)
	watched()
	if err != nil {
		return err
	}
	return a.closeBackfill(o, backfilled{Preview: p, Queued: answer.Queued, Copied: &answer.Summary}, answer.Error, answer.Exit)
}

// agree shows what a backfill would do and asks.
func (a *app) agree(ctx context.Context, o backfillOptions, p *preview) (goOn bool, err error) {
	if o.dryRun && o.json {
		return false, a.printJSON(backfilled{Preview: p, DryRun: true})
	}
	if !o.json {
		fmt.Fprint(a.env.Stdout, p.text())
	}
	if o.dryRun {
		return false, nil
	}
	return true, a.confirm(ctx, o.yes, fmt.Sprintf("Copy %s, %s, and be responsible for %s from now on?", counted(p.Files, "file"), humanize.IBytes(uint64(p.Bytes)), o.days))
}

// watchQueue shows how much of a number of files is left, while an agent works.
func (a *app) watchQueue(cfg *config.Config, o backfillOptions, files int) (end func()) {
	if o.json || o.waitNot {
		return func() {}
	}
	begun, done := false, int64(0)
	return a.watch(int64(files), func(ctx context.Context) (int64, string) {
		var s agent.Status
		if err := askQuickly(ctx, cfg, "/v1/status", struct{}{}, &s); err != nil {
			return done, ""
		}
		if begun = begun || s.Queue.Backfill > 0; begun { // before it is queued, none waits either
			done = max(done, int64(files)-int64(s.Queue.Backfill)-int64(s.Queue.InFlight))
		}
		return done, fmt.Sprintf("%d wait in the backfill lane, %d in flight; %d transferred since the start of the agent", s.Queue.Backfill, len(s.InFlight), s.Totals.Transferred)
	})
}

func (a *app) backfillAlone(ctx context.Context, cfg *config.Config, naming messages.Naming, o backfillOptions, request backfillRequest) error {
	if _, missing := os.Stat(cfg.StoreDir()); o.dryRun && cfg.Embedded() && missing != nil {
		return a.backfillFresh(ctx, cfg, naming, o, request)
	}
	c := change{dryRun: o.dryRun}
	return a.alone(ctx, cfg, naming, "backfill", c, func(r *route, begin func() *progress) error {
		p, err := r.preview(ctx, request)
		if err != nil {
			return err
		}
		if goOn, err := a.agree(ctx, o, p); !goOn || err != nil {
			return err
		}
		ctx, cancel := within(ctx, o.timeout)
		defer cancel()
		request.Files = p.Files
		done := backfilled{Preview: p}
		if o.waitNot {
			if done.Queued, err = r.queueBackfill(ctx, request); err != nil {
				return err
			}
			r.note(ctx)
			return a.closeBackfill(o, done, "", exitOK)
		}
		if err := r.audit(ctx, request.action()); err != nil {
			return err
		}
		s := r.backfillSync(request)
		shown := begin()
		sum, err := r.syncObserved(ctx, s, shown, func(copier.Event) {})
		if err == nil {
			r.keep(ctx)
		}
		shown.end()
		if ctx.Err() != nil && err == nil {
			err = context.Cause(ctx)
		}
		done.Copied = &sum
		return a.closeBackfill(o, done, errText(err), exitOf(sum, err))
	})
}

// backfillFresh previews where the embedded queue was never started: against an empty
// ledger, instead of making one.
func (a *app) backfillFresh(ctx context.Context, cfg *config.Config, naming messages.Naming, o backfillOptions, request backfillRequest) (err error) {
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.expectLedger(ctx, &change{}); err != nil {
		return err
	}
	if err := r.openSides(ctx); err != nil {
		return err
	}
	s := scanner.Scanner{Lister: r.source, Ledger: empty{}, Marks: empty{}, Route: cfg.OCI.Name, Rules: r.rules()}
	p, err := previewOf(ctx, s, request, cfg.Agent.MaxConcurrentTransfers)
	if err != nil {
		return err
	}
	_, err = a.agree(ctx, o, p)
	return err
}

func (a *app) closeBackfill(o backfillOptions, done backfilled, problem string, exit int) error {
	if done.Queued != nil {
		done.Copied = nil
		if o.json {
			return a.printJSON(done)
		}
		fmt.Fprintf(a.env.Stdout, "Backfill queued: %d files, and %d were queued already; `oracle-focus-agent status` shows how many are left\n", done.Queued.Published, done.Queued.Queued)
		return nil
	}
	return a.closeWork(work{title: "Backfill", json: o.json, value: done}, *done.Copied, problem, exit)
}

func (b backfillRequest) action() messages.Action {
	what := "only missing"
	if b.All {
		what = "all"
	}
	return messages.Action{Action: "backfill", By: b.By, Reason: b.Reason, Detail: b.Days.String() + ", " + what, Count: b.Files}
}

// backfillSync is a sync over the days of a request instead of a scan.
func (r *route) backfillSync(b backfillRequest) *agent.Sync {
	s := r.sync()
	all := b.All
	s.Find = func(ctx context.Context, found func(scanner.Outcome)) (scanner.Stats, error) {
		s.Scanner.Observe = found
		st, err := s.Scanner.Backfill(ctx, b.Days, all)
		if err == nil {
			all = false // what was ordered is due, and is queued again where its message was lost
		}
		return st, err
	}
	return s
}

// queueBackfill queues the files and waits for none.
func (r *route) queueBackfill(ctx context.Context, b backfillRequest) (*scanner.Stats, error) {
	if err := r.audit(ctx, b.action()); err != nil {
		return nil, err
	}
	s := r.scanner()
	st, err := s.Backfill(ctx, b.Days, b.All)
	return &st, err
}

func (r *route) preview(ctx context.Context, b backfillRequest) (*preview, error) {
	return previewOf(ctx, r.scanner(), b, r.cfg.Agent.MaxConcurrentTransfers)
}

// previewOf tells what a backfill would do. It goes through the same code with a
// publisher and marks that change nothing.
func previewOf(ctx context.Context, s scanner.Scanner, b backfillRequest, slots int) (*preview, error) {
	p := newPreview(b, slots)
	s.Publisher, s.Marks, s.Observe, s.Log, s.Forgetter, s.Trace = nothing{}, readOnly{s.Marks}, p.add, quietLog(), nil, nil
	if _, err := s.Backfill(ctx, b.Days, b.All); err != nil {
		return nil, err
	}
	return p, p.learn(ctx, s.Ledger)
}

func (g *running) answerPreview(ctx context.Context, b backfillRequest) (any, error) {
	if err := g.sameRoute(b.Identity); err != nil {
		return nil, err
	}
	return g.preview(ctx, b)
}

func (g *running) answerBackfill(ctx context.Context, b backfillRequest) (any, error) {
	if err := g.sameRoute(b.Identity); err != nil {
		return nil, err
	}
	if b.NoWait {
		st, err := g.queueBackfill(ctx, b)
		if err != nil {
			return nil, err
		}
		g.note(ctx)
		g.learn(ctx)
		return backfillAnswer{Queued: st}, nil
	}
	if err := g.audit(ctx, b.action()); err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, b.Timeout)
	defer cancel()
	s := g.backfillSync(b)
	defer g.follow(s)()
	sum, err := s.Run(ctx)
	g.note(context.WithoutCancel(ctx))
	g.learn(context.WithoutCancel(ctx))
	if errors.Is(err, context.Canceled) { // whoever asked would not be there to read it
		err = errors.New("the agent was stopped before the backfill ended; what was found stays queued")
	}
	return backfillAnswer{syncAnswer: syncAnswer{sum, errText(err), exitOf(sum, err)}}, nil
}
