package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/daemon"
)

// stopWait is how long stop waits for the end unless --timeout says otherwise. It
// is longer than an agent in order takes.
const stopWait = 30 * time.Second

func (a *app) stopCommand() *cobra.Command {
	var pidFile string
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "stop", Short: "End the agent of this host in order (exit 5: none runs)", Args: cobra.NoArgs,
		Long: `Tell the agent of this host to end, and wait until it has. It takes no new file,
finishes those in flight within ` + grace.String() + ` and hands the rest back.

An agent that does not answer is sent SIGTERM, for which the PID file must be held by
the very process that wrote it: no other is ever signalled.`,
		Example: "  oracle-focus-agent stop\n  oracle-focus-agent stop --config config.yaml --timeout 2m",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.stop(cmd.Context(), pidFile, wait) },
	}
	cmd.Flags().StringVar(&pidFile, "pid-file", "", "end the process that holds this PID file; no configuration is read")
	cmd.Flags().DurationVar(&wait, "timeout", stopWait, "how long to wait for the end")
	return cmd
}

func (a *app) stop(ctx context.Context, pidFile string, wait time.Duration) error {
	if wait <= 0 {
		return &coded{exitConfig, fmt.Errorf("--timeout %v: it must be more than 0", wait)}
	}
	w := whom{file: pidFile}
	if pidFile == "" {
		cfg, err := a.find()
		if err != nil {
			return err
		}
		w = whom{cfg, holderFile(cfg)}
	}
	pid, err := w.tellToStop(ctx)
	if err != nil {
		return err
	}
	if err := w.waitForEnd(ctx, pid, wait); err != nil {
		return err
	}
	fmt.Fprintf(a.env.Stdout, "the agent, PID %d, has ended\n", pid)
	return nil
}

// whom to stop: who answers at the state directory of cfg or holds the PID file. The
// file alone tells where cfg is nil, and no configuration is read.
type whom struct {
	cfg  *config.Config
	file string
}

// locate reads as much of the configuration as tells where the agent is. What is wrong
// elsewhere is a warning: an agent goes on with the values of before, and must be found.
func (a *app) locate() (*config.Config, error) {
	cfg, err := a.read(config.Options{Incomplete: true})
	if wrong, ok := errors.AsType[*config.Error](err); ok && wrong.Located() != nil {
		for _, p := range wrong.Problems {
			fmt.Fprintf(a.env.Stderr, "warning: %v\n", p)
		}
		return wrong.Located(), nil
	}
	return cfg, err
}

// find is locate for what there is on this host only.
func (a *app) find() (*config.Config, error) {
	cfg, err := a.locate()
	if err != nil {
		return nil, err
	}
	if cfg.State.Dir == "" {
		return nil, noStateDir()
	}
	return cfg, nil
}

// tellToStop asks at the socket. Where no answer comes, the process that holds the
// PID file is signalled.
func (w whom) tellToStop(ctx context.Context) (pid int, err error) {
	var s agent.Status
	var problem error
	if w.cfg != nil {
		if problem = askQuickly(ctx, w.cfg, "/v1/stop", struct{}{}, &s); problem == nil {
			return s.PID, nil
		}
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
	}
	pid, err = daemon.Signal(w.file, syscall.SIGTERM)
	switch {
	case err == nil:
		return pid, nil
	case !errors.Is(err, daemon.ErrNotHeld):
		return 0, fmt.Errorf("the PID file: %w", err)
	case problem != nil && !errors.Is(problem, agent.ErrNotRunning):
		return 0, problem
	}
	return 0, fmt.Errorf("%w: no process holds %s", agent.ErrNotRunning, w.file)
}

// waitForEnd returns when this process holds the PID file no more and does not
// answer any more.
func (w whom) waitForEnd(ctx context.Context, pid int, wait time.Duration) error {
	limit := time.NewTimer(wait)
	defer limit.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last agent.Status
	for {
		silent := w.cfg == nil
		if !silent {
			var s agent.Status
			err := askBriefly(ctx, w.cfg, &s)
			if err == nil && s.PID == pid {
				last = s
			}
			silent = errors.Is(err, agent.ErrNotRunning) || err == nil && s.PID != pid
		}
		if holder, err := daemon.Holder(w.file); silent && holder != pid && err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-limit.C:
			return &coded{exitError, fmt.Errorf("the agent, PID %d, has not ended within %v: %s. SIGKILL ends it and loses nothing: the next one goes on where this one stopped", pid, wait, unfinished(last))}
		case <-tick.C:
		}
	}
}

func askBriefly(ctx context.Context, cfg *config.Config, s *agent.Status) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	return agent.Ask(ctx, cfg.State.Dir, "/v1/status", struct{}{}, s)
}

// unfinished says what an agent still had to do when it was last asked.
func unfinished(s agent.Status) string {
	if len(s.InFlight) == 0 {
		return "it copies nothing, and does not say what it waits for"
	}
	var files []string
	for _, f := range s.InFlight {
		files = append(files, fmt.Sprintf("%s (%s of %s)", f.Key, humanize.IBytes(uint64(f.Bytes)), humanize.IBytes(uint64(f.Size))))
	}
	return fmt.Sprintf("%d files are in flight: %s", len(files), strings.Join(files, ", "))
}
