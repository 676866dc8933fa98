package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
)

// A pauseRequest travels to the running agent.
type pauseRequest struct {
	Reason string `json:"reason,omitempty"`
	By     string `json:"by"`
}

// A pauseAnswer is what pause and resume print.
type pauseAnswer struct {
	// Paused is how it is now, nil of a route that is at work; Was how it was before.
	Paused *messages.Pause `json:"paused,omitempty"`
	Was    *messages.Pause `json:"was,omitempty"`
	// InFlight counts the files that are being copied still, as far as instances tell.
	InFlight int `json:"in_flight"`
}

func (a *app) pauseCommand() *cobra.Command {
	var reason string
	var wait, asJSON bool
	cmd := &cobra.Command{
		Use: "pause --reason TEXT", Short: "Stop copying on every host, until resume; scans go on, so nothing is lost", Args: cobra.NoArgs,
		Long: `Stop copying, on every host that copies for this route, until "resume". What is in
flight is finished, which --wait waits for. Scans go on and queue what they find, so that
nothing is lost and the queue grows. A restart does not end it. status, readyz, metrics
and the log show who paused, when and why.

Pausing again keeps the reason that was given first, unless there is a new one.`,
		Example: "  oracle-focus-agent pause --reason 'Umbrella moves the bucket until Friday' --wait\n  oracle-focus-agent resume",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("reason") {
				if err := checkReason(reason, "say why"); err != nil {
					return err
				}
			}
			return a.pause(cmd.Context(), reason, wait, asJSON)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, in your words: whoever finds the route paused reads it")
	cmd.Flags().BoolVar(&wait, "wait", false, "wait until the files in flight are finished")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	return cmd
}

func (a *app) resumeCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "resume", Short: "End a pause: copy again", Args: cobra.NoArgs,
		Long:    "End a pause, on every host. Where nothing is paused, it changes nothing.",
		Example: "  oracle-focus-agent resume",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.resume(cmd.Context(), asJSON) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as one JSON object")
	return cmd
}

func (a *app) pause(ctx context.Context, reason string, wait, asJSON bool) error {
	request := pauseRequest{Reason: reason, By: operator()}
	var answer pauseAnswer
	err := a.ask(ctx, "/v1/pause", request, &answer, func(r *route) (err error) {
		answer, err = r.pause(ctx, request)
		return err
	})
	if err != nil {
		return err
	}
	if answer.InFlight, err = a.settled(ctx, wait); err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(answer)
	}
	fmt.Fprintln(a.env.Stdout, pausedText(answer.Paused))
	if answer.InFlight > 0 {
		fmt.Fprintf(a.env.Stdout, "%s in flight will be finished; --wait waits for that\n", counted(answer.InFlight, "file"))
	}
	fmt.Fprintln(a.env.Stdout, "scans go on and queue what they find; `oracle-focus-agent resume` ends the pause")
	return nil
}

func (a *app) resume(ctx context.Context, asJSON bool) error {
	request := pauseRequest{By: operator()}
	var answer pauseAnswer
	err := a.ask(ctx, "/v1/resume", request, &answer, func(r *route) (err error) {
		answer, err = r.resume(ctx, request)
		return err
	})
	switch {
	case err != nil:
		return err
	case asJSON:
		return a.printJSON(answer)
	case answer.Was == nil:
		fmt.Fprintln(a.env.Stdout, "it was not paused")
	default:
		fmt.Fprintf(a.env.Stdout, "resumed; it was %s\n", pausedText(answer.Was))
	}
	return nil
}

// settled counts the files in flight, and with wait returns when there are none. It looks
// twice: the queue may have lent a message a moment before the pause.
func (a *app) settled(ctx context.Context, wait bool) (int, error) {
	cfg, err := a.read(config.Options{Incomplete: true})
	if err != nil {
		return 0, err
	}
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for said, idle := 0, 0; ; {
		n, err := filesInFlight(ctx, cfg)
		if n > 0 {
			idle = 0
		}
		if idle++; err != nil || n == 0 && idle > 1 || !wait {
			return n, err
		}
		if n > 0 && n != said && !a.quiet {
			fmt.Fprintf(a.env.Stderr, "%s in flight\n", counted(n, "file"))
			said = n
		}
		select {
		case <-ctx.Done():
			return n, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// filesInFlight asks the agent of this host or, with a queue that others share, every
// instance.
func filesInFlight(ctx context.Context, cfg *config.Config) (n int, err error) {
	all, err := askInstances(ctx, cfg)
	if err != nil {
		return 0, err
	}
	if all == nil {
		here, err := statusHere(ctx, cfg)
		if err != nil && !errors.Is(err, agent.ErrNotRunning) {
			return 0, err
		}
		all = []agent.Status{here}
	}
	for _, s := range all {
		if s.Running && (s.Route == cfg.OCI.Name || s.Route == "") {
			n += max(s.AtWork, len(s.InFlight))
		}
	}
	return n, nil
}

// pausedText says who paused, when and why, on one line.
func pausedText(p *messages.Pause) string {
	if p == nil {
		return "not paused"
	}
	return fmt.Sprintf("paused by %s since %s: %s", printable(p.By), when(p.At), printable(p.Reason))
}

func (r *route) pause(ctx context.Context, o pauseRequest) (pauseAnswer, error) {
	return r.decide(ctx, "pause", func(was *messages.Pause) (*messages.Pause, messages.Action, error) {
		next, err := o.over(was)
		if err != nil {
			return was, messages.Action{}, err
		}
		return next, messages.Action{By: o.By, Reason: next.Reason}, nil
	})
}

func (r *route) resume(ctx context.Context, o pauseRequest) (pauseAnswer, error) {
	return r.decide(ctx, "resume", func(was *messages.Pause) (*messages.Pause, messages.Action, error) {
		if was == nil {
			return nil, messages.Action{}, nil
		}
		return nil, messages.Action{By: o.By, Detail: "paused by " + was.By + ": " + was.Reason}, nil
	})
}

// decide puts another decision in the place of the present one, where it is another, and
// lets the consumers follow: see nats.ApplyPause for what a crash between leaves.
func (r *route) decide(ctx context.Context, what string, judge func(was *messages.Pause) (*messages.Pause, messages.Action, error)) (answer pauseAnswer, err error) {
	for range 5 {
		was, revision, err := r.ledger.Pause(ctx)
		if err != nil {
			return answer, err
		}
		answer = pauseAnswer{Paused: was, Was: was}
		next, act, err := judge(was)
		if err != nil {
			return answer, err
		}
		if (next == nil) != (was == nil) || next != nil && *next != *was {
			act.Action = what
			err = r.writePause(ctx, next, act, revision)
		}
		if errors.Is(err, messages.Conflict) { // somebody else decided
			continue
		}
		if err == nil {
			answer.Paused, err = r.conn.ApplyPause(ctx, r.assets, r.ledger)
		}
		return answer, err
	}
	return answer, fmt.Errorf("%s route %s: %w", what, r.cfg.OCI.Name, messages.Conflict)
}

// writePause writes the decision after the record of who made it; nil erases it.
func (r *route) writePause(ctx context.Context, p *messages.Pause, act messages.Action, revision uint64) (err error) {
	var raw []byte
	if p != nil {
		if raw, err = p.Encode(); err != nil {
			return err
		}
	}
	if err := r.audit(ctx, act); err != nil {
		return err
	}
	_, err = r.ledger.Write(ctx, messages.PauseKey(r.cfg.OCI.Name), raw, revision)
	return err
}

// over is the pause that the request makes of one that may be there. Whoever gives a new
// reason answers for it; the pause began when it began.
func (o pauseRequest) over(was *messages.Pause) (*messages.Pause, error) {
	switch {
	case was == nil && o.Reason == "":
		return nil, &agent.Refusal{Text: "--reason is missing: whoever finds the route paused must be able to read why", Exit: exitConfig}
	case was == nil:
		return &messages.Pause{Schema: messages.Schema, Reason: o.Reason, By: o.By, At: time.Now().UTC()}, nil
	case o.Reason == "" || o.Reason == was.Reason:
		return was, nil
	}
	return &messages.Pause{Schema: messages.Schema, Reason: o.Reason, By: o.By, At: was.At}, nil
}

// pausedError says why nothing is copied; nil while nobody has paused the route.
func (r *route) pausedError(ctx context.Context) error {
	p, _, err := r.ledger.Pause(ctx)
	if err != nil || p == nil { // a queue that is away says so elsewhere
		return nil
	}
	return &coded{exitError, fmt.Errorf("nothing is copied, because the route is %s; `oracle-focus-agent resume` ends that, and what was found stays queued", pausedText(p))}
}

// pauseEvery is how often each process looks whether the route is paused.
const pauseEvery = 5 * time.Second

// followPause shows and logs a pause that another process made or ended. Those who scan
// also let the consumers follow what a crash kept from them; a copier has no right to.
func (g *running) followPause(ctx context.Context, role string) {
	tick := time.NewTicker(pauseEvery)
	defer tick.Stop()
	for said := ""; ; {
		err := g.lookAtPause(ctx, role)
		if text := errText(err); text != said && ctx.Err() == nil {
			if said = text; err != nil {
				g.log.Warn("whether the route is paused cannot be seen, or the consumers do not follow", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *running) lookAtPause(ctx context.Context, role string) error {
	var p *messages.Pause
	var err error
	if role == "copier" {
		p, _, err = g.ledger.Pause(ctx)
	} else {
		p, err = g.conn.ApplyPause(ctx, g.assets, g.ledger)
	}
	if err == nil {
		g.paused(p)
	}
	return err
}

// paused takes how it is.
func (g *running) paused(p *messages.Pause) {
	if !g.board.Paused(p) {
		return
	}
	if p == nil {
		g.log.Info("resumed: files are taken from the queue again")
		return
	}
	g.log.Warn("paused: no file is taken from the queue; scans go on", "by", p.By, "since", p.At, "reason", p.Reason)
}

func (g *running) answerPause(ctx context.Context, o pauseRequest) (any, error) {
	return g.changePause(ctx, o, g.pause)
}

func (g *running) answerResume(ctx context.Context, o pauseRequest) (any, error) {
	return g.changePause(ctx, o, g.resume)
}

func (g *running) changePause(ctx context.Context, o pauseRequest, change func(context.Context, pauseRequest) (pauseAnswer, error)) (any, error) {
	answer, err := change(ctx, o)
	if err == nil {
		g.paused(answer.Paused)
	}
	return answer, err
}
