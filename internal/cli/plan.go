package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A plan is what a sync would do.
type plan struct {
	From       messages.Day            `json:"from"`
	Days       int                     `json:"days"`
	Files      int                     `json:"files"`
	Bytes      int64                   `json:"bytes"`
	FirstKey   string                  `json:"first_key,omitempty"`
	LastKey    string                  `json:"last_key,omitempty"`
	Done       int                     `json:"already_done"`
	Inherited  int                     `json:"inherited,omitempty"`
	Failed     []agent.Failure         `json:"failed"`
	Ineligible map[messages.Reason]int `json:"ineligible,omitempty"`

	days   map[messages.Day]bool
	force  bool // --force
	forced int  // those that are done and would be copied again
}

// makePlan scans with a publisher and marks that change nothing.
func makePlan(ctx context.Context, s scanner.Scanner, force bool) (*plan, error) {
	p := &plan{force: force, days: map[messages.Day]bool{}, Failed: []agent.Failure{}}
	s.Publisher, s.Marks, s.Observe, s.Log, s.Forgetter, s.Trace = nothing{}, readOnly{s.Marks}, p.add, quietLog(), nil, nil
	st, err := s.Scan(ctx)
	p.From, p.Days, p.Done, p.Inherited, p.Ineligible = st.From, len(p.days), st.Done-p.forced, st.Inherited, st.Ineligible
	return p, err
}

type nothing struct{}

func (nothing) Publish(context.Context, messages.Lane, messages.FileDiscovered) (bool, error) {
	return true, nil
}

type readOnly struct{ scanner.Marks }

func (readOnly) Write(context.Context, string, []byte, uint64) (uint64, error) { return 0, nil }

func (p *plan) add(o scanner.Outcome) {
	finding := o.Finding
	if p.force && again(o) {
		if finding == scanner.Done {
			p.forced++
		}
		finding = scanner.Published
	}
	switch finding {
	case scanner.Failed:
		p.Failed = append(p.Failed, agent.Failure{Object: o.Object.Name, Reason: o.Err.Error(), Class: messages.ClassOf(o.Err)})
	case scanner.Published:
		p.days[o.Report.Day] = true
		p.Files++
		p.Bytes += o.Object.Size
		p.FirstKey, p.LastKey = cmp.Or(p.FirstKey, o.Report.Key), o.Report.Key
	}
}

func (p *plan) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Plan: reports from %s on\n", p.From)
	fmt.Fprintf(&b, "  to copy    %d files of %d days, %s\n", p.Files, p.Days, humanize.IBytes(uint64(p.Bytes)))
	if p.Files > 0 {
		fmt.Fprintf(&b, "  first key  %s\n  last key   %s\n", printable(p.FirstKey), printable(p.LastKey))
	}
	fmt.Fprintf(&b, "  done       %d files%s\n", p.Done, inherited(p.Inherited))
	for _, reason := range slices.Sorted(maps.Keys(p.Ineligible)) {
		fmt.Fprintf(&b, "  ineligible %d objects: %s\n", p.Ineligible[reason], reason)
	}
	for _, f := range p.Failed {
		fmt.Fprintf(&b, "  failed     %s: %s\n", printable(f.Object), printable(f.Reason))
	}
	return b.String()
}

// inherited says how many of the files that are done the Python agent delivered.
func inherited(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", %d of them by the Python agent", n)
}

// plan prints what a sync would do. It changes nothing: where the embedded queue
// was never started, it plans against an empty ledger instead of making one.
func (a *app) plan(ctx context.Context, cfg *config.Config, naming messages.Naming, o syncOptions) error {
	p := &plan{}
	err := agent.ErrNotRunning
	if cfg.State.Dir != "" {
		err = agent.Ask(ctx, cfg.State.Dir, "/v1/sync", syncRequest{DryRun: true, Force: o.force, Identity: identityOf(cfg, naming)}, p)
	}
	if errors.Is(err, agent.ErrNotRunning) {
		p, err = a.planAlone(ctx, cfg, naming, o)
	}
	if err != nil {
		return err
	}
	if !o.json {
		fmt.Fprint(a.env.Stdout, p.text())
		return nil
	}
	return a.printJSON(p)
}

func (a *app) planAlone(ctx context.Context, cfg *config.Config, naming messages.Naming, o syncOptions) (_ *plan, err error) {
	log, closeLog, err := a.logger(cfg, a.env.Stderr)
	if err != nil {
		return nil, err
	}
	defer closeLog()
	r := &route{cfg: cfg, naming: naming, log: log}
	defer func() { err = errors.Join(err, r.close()) }()
	if cfg.Embedded() {
		if _, missing := os.Stat(cfg.StoreDir()); missing != nil {
			if err := r.expectLedger(ctx, &o.change); err != nil {
				return nil, err
			}
			return r.planFresh(ctx)
		}
		if r.unlock, err = lockState(cfg); err != nil {
			return nil, err
		}
	}
	o.change.dryRun = true
	if err := r.open(ctx, "sync", o.change); err != nil {
		return nil, err
	}
	return makePlan(ctx, r.resuming(r.scanner()), o.force)
}

func (r *route) planFresh(ctx context.Context) (*plan, error) {
	if err := r.openSides(ctx); err != nil {
		return nil, err
	}
	return makePlan(ctx, r.resuming(scanner.Scanner{
		Lister: r.source, Ledger: empty{}, Marks: empty{}, Route: r.cfg.OCI.Name, Rules: r.rules(),
		Since: messages.Day(r.cfg.Agent.Since), Lookback: r.cfg.Agent.LookbackDays, Log: quietLog(),
	}), false)
}

// resuming is s as it will be once the responsibility of a ledger that is gone was
// taken over.
func (r *route) resuming(s scanner.Scanner) scanner.Scanner {
	if r.known != nil && r.known.Since != "" && s.Since == "" {
		s.Since = min(r.known.Since, r.windowStart())
	}
	return s
}

// empty is the ledger of an installation that has not run yet.
type empty struct{}

func (empty) Day(context.Context, messages.Day) (map[string]messages.Record, error) { return nil, nil }
func (empty) Read(context.Context, string) ([]byte, uint64, error)                  { return nil, 0, nil }
func (empty) Write(context.Context, string, []byte, uint64) (uint64, error)         { return 0, nil }
