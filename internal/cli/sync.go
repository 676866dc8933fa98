package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
)

type syncOptions struct {
	change
	force   bool
	dryRun  bool
	json    bool
	timeout time.Duration
}

// syncRequest and syncAnswer travel over the agent's socket.
type syncRequest struct {
	DryRun  bool          `json:"dry_run"`
	Force   bool          `json:"force,omitempty"`
	Timeout time.Duration `json:"timeout"`
	// Identity is what the caller is configured for; the agent may have been
	// started with another configuration.
	Identity messages.Identity `json:"identity"`
}

type syncAnswer struct {
	Summary agent.Summary `json:"summary"`
	Error   string        `json:"error,omitempty"`
	Exit    int           `json:"exit"`
}

func (a *app) syncCommand() *cobra.Command {
	var o syncOptions
	cmd := &cobra.Command{
		Use: "sync", Short: "Scan once, copy until every file found is settled, and end", Args: cobra.NoArgs,
		Long: `Scan once, copy until every file of this scan is settled, print a summary and end.
Beside a running agent, the agent does the work and this command waits for it.`,
		Example: "  oracle-focus-agent sync --config config.yaml\n  oracle-focus-agent sync --dry-run\n  oracle-focus-agent sync --force",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.sync(cmd.Context(), o) },
	}
	addChange(cmd, &o.change)
	cmd.Flags().BoolVarP(&o.force, "force", "f", false, "copy again what is at the destination already or was given up, as far as agent.lookback_days reaches")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would be copied and change nothing")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the summary as one JSON object")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up after this time and name the files that are not settled")
	return cmd
}

func (a *app) sync(ctx context.Context, o syncOptions) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if o.timeout < 0 {
		return &coded{exitConfig, fmt.Errorf("--timeout %v: it must not be negative", o.timeout)}
	}
	if o.dryRun || cfg.Advanced.DryRun {
		ctx, cancel := within(ctx, o.timeout)
		defer cancel()
		return a.plan(ctx, cfg, naming, o)
	}
	if !o.accept && !o.moved && !o.resend && cfg.State.Dir != "" {
		var answer syncAnswer
		request := syncRequest{Force: o.force, Timeout: o.timeout, Identity: identityOf(cfg, naming)}
		var alive agent.Status // one that hangs should not be waited for without a word
		err := askQuickly(ctx, cfg, "/v1/status", struct{}{}, &alive)
		if err == nil {
			err = agent.Ask(ctx, cfg.State.Dir, "/v1/sync", request, &answer)
		}
		switch {
		case err == nil:
			return a.closeSync(o, answer.Summary, answer.Error, answer.Exit)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case !errors.Is(err, agent.ErrNotRunning):
			return err
		}
	}
	ctx, cancel := within(ctx, o.timeout)
	defer cancel()
	return a.syncAlone(ctx, cfg, naming, o)
}

// within bounds a sync by --timeout, where it is given.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeoutCause(ctx, timeout, &coded{exitError, fmt.Errorf("not settled within %v", timeout)})
}

// syncAlone does the whole work in this process.
func (a *app) syncAlone(ctx context.Context, cfg *config.Config, naming messages.Naming, o syncOptions) error {
	return a.alone(ctx, cfg, naming, "sync", o.change, func(r *route, begin func() *progress) error {
		if o.force {
			if err := r.orderAgain(ctx); err != nil {
				return err
			}
		}
		p := begin()
		sum, err := r.syncObserved(ctx, r.sync(), p, func(copier.Event) {})
		if err == nil {
			r.keep(ctx)
		}
		p.end()
		if ctx.Err() != nil && err == nil {
			err = context.Cause(ctx)
		}
		return a.closeSync(o, sum, errText(err), exitOf(sum, err))
	})
}

// alone opens a route, in this process and without an agent, for a command that ends by
// itself. work calls begin where the copying begins and nothing is asked any more: from
// there on the progress is shown.
func (a *app) alone(ctx context.Context, cfg *config.Config, naming messages.Naming, role string, c change, work func(r *route, begin func() *progress) error) (err error) {
	out := &outlet{to: a.env.Stderr}
	log, closeLog, err := a.logger(cfg, out)
	if err != nil {
		return err
	}
	defer closeLog()
	r := &route{cfg: cfg, naming: naming, log: log}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.lockEmbedded(); err != nil {
		return err
	}
	if err := r.open(ctx, role, c); err != nil {
		return err
	}
	return work(r, func() *progress {
		p := a.progress()
		out.through(p.logs())
		if p.bars != nil { // bars and a line per file tear each other
			a.quiet = true
			a.setLevel(cfg)
		}
		return p
	})
}

// An outlet is a writer that can be put in front of another one.
type outlet struct {
	mu sync.Mutex
	to io.Writer
}

func (r *outlet) through(to io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.to = to
}

func (r *outlet) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.to.Write(p)
}

// syncObserved runs the copier for the time of one sync.
func (r *route) syncObserved(ctx context.Context, s *agent.Sync, p *progress, observe func(copier.Event)) (agent.Summary, error) {
	work, stop := context.WithCancel(ctx)
	c := r.copier()
	c.Observe = func(e copier.Event) {
		p.event(e)
		observe(e)
		if e.Kind != copier.Progress {
			s.Event(e)
		}
	}
	defer r.share(ctx)()
	var copying sync.WaitGroup
	copying.Go(func() { c.Run(work) })
	sum, err := s.Run(ctx)
	stop()
	copying.Wait()
	return sum, err
}

// exitOf a sync: 130 beats 2 beats 3 beats 1.
func exitOf(sum agent.Summary, err error) int {
	if err != nil {
		return exitCode(err)
	}
	code := exitOK
	for _, f := range sum.Failures {
		if code = max(code, exitError); f.Class.Credentials() {
			code = exitAuth
		}
	}
	return code
}

// closeSync prints the result of a sync and turns it into the command's error.
func (a *app) closeSync(o syncOptions, sum agent.Summary, problem string, exit int) error {
	return a.closeWork(work{title: "Sync", json: o.json, value: sum}, sum, problem, exit)
}

// A work is how a command that copied ends: value is what --json prints.
type work struct {
	title string
	json  bool
	value any
}

// closeWork prints the result of work and turns it into the command's error.
func (a *app) closeWork(w work, sum agent.Summary, problem string, exit int) error {
	if w.json {
		if err := a.printJSON(w.value); err != nil {
			return err
		}
	} else {
		verdict := "complete"
		if problem != "" {
			verdict = "INCOMPLETE"
		}
		fmt.Fprintf(a.env.Stdout, "%s %s: %d transferred, %d adopted, %d skipped, %d ineligible, %d failed of %d discovered; %s in %.1f s\n",
			w.title, verdict, sum.Transferred, sum.Adopted, sum.Skipped, sum.Ineligible, sum.Failed, sum.Discovered, humanize.IBytes(uint64(sum.Bytes)), sum.Seconds)
	}
	printFailures(a.env.Stderr, sum)
	if problem != "" {
		fmt.Fprintf(a.env.Stderr, "error: %s\n", problem)
	}
	return quietly(known(exit))
}

func printFailures(w io.Writer, sum agent.Summary) {
	const most = 50
	for i, f := range sum.Failures {
		if i == most {
			fmt.Fprintf(w, "… and %d more\n", len(sum.Failures)-most)
			return
		}
		fmt.Fprintf(w, "failed: %s: %s\n", printable(f.Object), printable(f.Reason))
	}
}
