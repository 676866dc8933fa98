package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/daemon"
	"oracle-focus-agent/messages"
)

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "Tell what the agent of this host is doing, and with nats.url those of all hosts (exit 5: none runs)", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent status --config config.yaml\n  oracle-focus-agent status --json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// A fleet is what `status` prints: the agent of this host and, with an external
// queue, every instance that answers there.
type fleet struct {
	agent.Status
	Instances []agent.Status `json:"instances,omitempty"`
}

// status asks the running agent; where none answers it shows what the last one
// wrote. It never starts anything.
func (a *app) status(ctx context.Context, asJSON bool) error {
	cfg, err := a.locate()
	if err != nil {
		return err
	}
	var s fleet
	s.Status, err = statusHere(ctx, cfg)
	stopped := errors.Is(err, agent.ErrNotRunning)
	if err != nil && !stopped {
		return err
	}
	err = nil
	if s.Phase != agent.Starting { // else it waits for that very queue
		s.Instances, err = askInstances(ctx, cfg)
	}
	if err != nil && stopped && len(s.Instances) == 0 {
		return err
	}
	if err != nil {
		fmt.Fprintf(a.env.Stderr, "warning: not every instance is shown: %v\n", err)
	}
	if asJSON {
		err = a.printJSON(s)
	} else {
		err = printReport(a.env.Stdout, s, stopped)
	}
	if err == nil && stopped && len(s.Instances) == 0 {
		err = quietly(exitNotRunning)
	}
	return err
}

// statusHere asks the agent of this host. Where none runs, which is
// agent.ErrNotRunning, the status is what the last one wrote.
func statusHere(ctx context.Context, cfg *config.Config) (s agent.Status, err error) {
	none := agent.Status{Phase: agent.Stopped, InFlight: []agent.Transfer{}}
	if cfg.State.Dir == "" {
		return none, agent.ErrNotRunning
	}
	err = askQuickly(ctx, cfg, "/v1/status", struct{}{}, &s)
	if errors.Is(err, agent.ErrEnded) { // so what is true now?
		err = askQuickly(ctx, cfg, "/v1/status", struct{}{}, &s)
	}
	if !errors.Is(err, agent.ErrNotRunning) {
		return s, err
	}
	if pid, held := daemon.Holder(holderFile(cfg)); held == nil && pid != 0 && pid != os.Getpid() {
		return s, fmt.Errorf("an agent, PID %d, holds %s, but its socket %s is not there or closed; `oracle-focus-agent stop` ends it", pid, cfg.State.Dir, agent.SocketPath(cfg.State.Dir))
	}
	s, bad := agent.ReadStatus(cfg.State.Dir)
	switch {
	case errors.Is(bad, os.ErrNotExist):
		return none, err
	case bad != nil:
		return s, fmt.Errorf("read the last status: %w", bad)
	}
	return s, err
}

func printReport(out io.Writer, s fleet, stopped bool) error {
	if len(s.Instances) == 0 {
		return printStatus(out, s.Status)
	}
	if err := printInstances(out, s.Instances); err != nil || stopped {
		return err
	}
	fmt.Fprintln(out)
	return printStatus(out, s.Status)
}

func printStatus(out io.Writer, s agent.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	if !s.Running {
		row("agent", "not running")
		if s.At.IsZero() {
			return w.Flush()
		}
		row("last seen", "%s", when(s.At))
	} else {
		row("agent", "%s, PID %d, up %s, version %s", s.Phase, s.PID, time.Since(s.Started).Round(time.Second), s.Version)
		if s.Ready {
			row("ready", "yes")
		} else {
			row("ready", "NO: %s", s.Problem)
		}
	}
	if s.Paused != nil {
		row("PAUSED", "%s", strings.TrimPrefix(pausedText(s.Paused), "paused "))
	}
	row("route", "%s: %s -> %s", s.Route, s.Source, s.Destination)
	if s.Phase == agent.Starting { // nothing has happened yet
		return w.Flush()
	}
	if s.Since != "" {
		row("responsible", "from %s on%s", s.Since, unknownHistory(s))
	}
	for _, r := range s.Ranges {
		row("", "and, by backfill, %s", r)
	}
	if sc := s.LastScan; sc != nil {
		row("last scan", "%s: %d discovered, %d queued, %d done%s, %d failed", when(sc.Started), sc.Discovered, sc.Published+sc.Queued, sc.Done, inherited(sc.Inherited), sc.Failed)
		if sc.Error != "" {
			row("", "FAILED: %s", sc.Error)
		}
		if sc.Dead+sc.TooLarge > 0 {
			row("failed", "%d given up (`failed list` says why), %d too large", sc.Dead, sc.TooLarge)
		}
	}
	if s.Expiring > 0 {
		row("expiring", "%d not delivered and nearly a year old, from %s on; Oracle deletes reports after a year", s.Expiring, s.ExpiringOldest.UTC().Format(time.DateOnly))
	}
	if v := s.Verification; v != nil {
		row("verified", "%s", verifiedLine(*v))
	}
	if s.Running {
		if s.NextScan.IsZero() {
			row("next scan", "the first is not at its end")
		} else {
			row("next scan", "%s", when(s.NextScan))
		}
		row("queue", "%d waiting, %d backfill, %d in flight%s", s.Queue.Live, s.Queue.Backfill, s.Queue.InFlight, heldBack(s.Paused))
		if len(s.Queue.Lagging) > 0 {
			row("", "kept by %s; DEGRADED: away or behind: %s", s.Queue.Leader, strings.Join(s.Queue.Lagging, ", "))
		}
	}
	row("last success", "%s", when(s.LastSuccess))
	row("since start", "%s", totals(s.Totals))
	if s.At.Sub(s.Started) > 24*time.Hour { // before that it is the same
		row("last 24 hours", "%s", totals(s.Recent))
	}
	if c := s.LastCopied; c != nil {
		row("last copied", "%s, %s", c.Key, when(c.Ended))
	}
	if d := s.ReportDays; d != nil {
		row("report days", "since %s: %s", d.From, daysText(d))
	}
	if n := s.Newest; n != nil {
		row("newest report", "of %s: %s, delivered %s", n.Day, n.Key, when(n.At))
	}
	for _, f := range s.InFlight {
		row("in flight", "%s  %s of %s  %s/s", f.Key, humanize.IBytes(uint64(f.Bytes)), humanize.IBytes(uint64(f.Size)),
			humanize.IBytes(uint64(float64(f.Bytes)/max(time.Since(f.Started).Seconds(), 0.001))))
	}
	return w.Flush()
}

func heldBack(p *messages.Pause) string {
	if p == nil {
		return ""
	}
	return "; PAUSED: nothing is taken, scans go on and queue"
}

func totals(t agent.Totals) string {
	return fmt.Sprintf("%d transferred (%s), %d adopted, %d recorded, %d retries, %d failed", t.Transferred, humanize.IBytes(uint64(t.Bytes)), t.Adopted, t.Recorded, t.Retried, t.Failed)
}

func unknownHistory(s agent.Status) string {
	if s.SinceSet {
		return ""
	}
	return "; history unknown before (set agent.since to take older reports too)"
}

func when(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05 UTC") + " (" + humanize.Time(t) + ")"
}
