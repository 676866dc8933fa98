package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/daemon"
)

// A desk is where an agent is asked from the moment on that it has its state
// directory to itself. While the agent still waits for its queue, the desk tells so
// and takes the order to stop; all else has to wait.
type desk struct {
	began agent.Status
	stop  context.CancelFunc
	agent atomic.Pointer[running] // nil until everything is open
}

// openDesk listens at the socket. stop is what `stop` calls.
func openDesk(cfg *config.Config, stop context.CancelFunc) (d *desk, closeDesk func(), err error) {
	d = &desk{began: initialStatus(cfg, "agent"), stop: stop}
	d.began.Running, d.began.Phase, d.began.Started = true, agent.Starting, time.Now().UTC()
	d.began.InFlight = []agent.Transfer{}
	d.began.Problem = stillOpening(cfg)
	closeDesk, err = agent.Listen(cfg.State.Dir, d.answers())
	if err != nil {
		return nil, nil, &coded{exitConfig, err}
	}
	return d, closeDesk, nil
}

// stillOpening is what an agent does before it can work.
func stillOpening(cfg *config.Config) string {
	if cfg.Embedded() {
		return "it opens its queue"
	}
	return "it waits for the queue at nats.url; the log says what it met there"
}

func (d *desk) answers() map[string]agent.Answer {
	answers := map[string]agent.Answer{
		"/v1/status": func(ctx context.Context, _ []byte) (any, error) { return d.status(ctx), nil },
		"/v1/stop": func(ctx context.Context, _ []byte) (any, error) {
			s := d.status(ctx)
			d.stop()
			return s, nil
		},
	}
	for path, answer := range requests() {
		answers[path] = func(ctx context.Context, body []byte) (any, error) {
			g := d.atWork(ctx)
			if g == nil {
				return nil, &agent.Refusal{Text: "the agent is still starting: " + d.began.Problem + "; try again once `oracle-focus-agent status` says that it runs", Exit: exitError}
			}
			return answer(g, ctx, body)
		}
	}
	return answers
}

// startTime is how long a request waits for an agent that has just begun to start.
const startTime = 5 * time.Second

// atWork waits a moment for the agent; nil where it is still not at work.
func (d *desk) atWork(ctx context.Context) *running {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(startTime); d.agent.Load() == nil && ctx.Err() == nil && time.Now().Before(late); {
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	return d.agent.Load()
}

func (d *desk) status(ctx context.Context) agent.Status {
	if g := d.agent.Load(); g != nil {
		return g.status(ctx)
	}
	s := d.began
	s.At = time.Now().UTC()
	return s
}

// holderFile is the PID file by which the commands of this program find the agent
// that holds a state directory.
func holderFile(cfg *config.Config) string { return filepath.Join(cfg.State.Dir, "agent.pid") }

// writePIDFiles writes the one of the state directory and, where that is another,
// the one that other programs read: asked, or where cfg has it. unlock gives up the
// state directory after them, so that whoever finds none held finds the directory
// free.
func writePIDFiles(cfg *config.Config, asked string, unlock func() error, warn func(error)) (release func() error, err error) {
	own, err := daemon.WritePIDFile(holderFile(cfg))
	if err != nil {
		return unlock, pidFileError(err, "make "+cfg.State.Dir+" a directory that only this user can write to")
	}
	release = func() error { return errors.Join(own.Remove(), unlock()) }
	path := asked
	if path == "" {
		path = cfg.PIDFile(os.Geteuid())
	}
	if same(path, holderFile(cfg)) {
		return release, nil
	}
	public, err := daemon.WritePIDFile(path)
	switch {
	case err != nil && asked != "":
		return release, pidFileError(err, "choose another --pid-file")
	case err != nil:
		warn(fmt.Errorf("the PID file could not be written, and all else goes on: %w; --pid-file chooses another", err))
		return release, nil
	}
	return func() error { return errors.Join(public.Remove(), own.Remove(), unlock()) }, nil
}

func pidFileError(err error, remedy string) error {
	code := exitConfig
	if alien, ok := errors.AsType[*daemon.AlienError](err); ok { // it says what to do
		return &coded{code, fmt.Errorf("PID file: %w", alien)}
	}
	if errors.Is(err, daemon.ErrHeld) {
		code, remedy = exitRunning, "see `oracle-focus-agent status`"
	}
	return &coded{code, fmt.Errorf("PID file: %w; %s", err, remedy)}
}

// same tells whether two names are of one file, also where it is not there.
func same(x, y string) bool {
	ax, errX := filepath.Abs(x)
	ay, errY := filepath.Abs(y)
	return errX == nil && errY == nil && ax == ay
}
