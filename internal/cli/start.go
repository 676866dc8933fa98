package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/daemon"
)

// startWait is how long start waits for the agent unless --timeout says otherwise.
const startWait = 30 * time.Second

// runOptions are those of run, which start passes on.
type runOptions struct {
	change
	pidFile string
	// reports is set by start: the process is in the background, logs to its file
	// alone, and tells its parent how the start went.
	reports bool
}

func addPIDFile(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "pid-file", "", "PID file (default /run/oracle-focus-agent.pid for root with the default state.dir, else agent.pid in state.dir)")
}

func (a *app) startCommand() *cobra.Command {
	var o runOptions
	var wait time.Duration
	cmd := &cobra.Command{
		Use: "start", Short: "Scan and copy in the background (exit 4: an agent runs already)", Args: cobra.NoArgs,
		Long: `Start the agent in the background, in a session of its own, and return once it is
at work; what keeps it from that is told here. It logs to logging.file or, where none
is set, to agent.log in state.dir.

A service manager or a container wants the program in the foreground: use run there.`,
		Example: "  oracle-focus-agent start --config config.yaml\n  oracle-focus-agent status\n  oracle-focus-agent stop",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.start(cmd.Context(), o, wait) },
	}
	addChange(cmd, &o.change)
	addPIDFile(cmd, &o.pidFile)
	cmd.Flags().DurationVar(&wait, "timeout", startWait, "how long to wait until the agent is at work; it goes on all the same")
	return cmd
}

func (a *app) start(ctx context.Context, o runOptions, wait time.Duration) error {
	if by := supervisor(a.getenv, os.Getpid(), os.Getppid()); by != "" {
		return &coded{exitConfig, fmt.Errorf("%s watches this process and would take the end of `start` for the end of the agent: use `run` here", by)}
	}
	if wait <= 0 {
		return &coded{exitConfig, fmt.Errorf("--timeout %v: it must be more than 0", wait)}
	}
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if !cfg.Agent.DaemonMode || cfg.Advanced.DryRun {
		return &coded{exitConfig, errors.New("agent.daemon_mode is false, or advanced.dry_run is true: there is nothing to do in the background; use `sync`, or change the key")}
	}
	log, err := openLog(cfg)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := a.background(o, log)
	if err != nil {
		return err
	}
	child, err := daemon.Spawn(cmd)
	if err != nil {
		return fmt.Errorf("start the agent: %w", err)
	}
	late, cancel := context.WithTimeoutCause(ctx, wait, errLate)
	defer cancel()
	report, err := child.Wait(late)
	return a.started(ctx, cfg, child, report, err, log, wait)
}

var errLate = errors.New("it took too long")

// started tells how the start of the child went.
func (a *app) started(ctx context.Context, cfg *config.Config, child *daemon.Child, report daemon.Report, err error, log *startLog, wait time.Duration) error {
	ended, dead := errors.AsType[*daemon.EndedError](err)
	switch {
	case err == nil && report.Ready:
		fmt.Fprintf(a.env.Stdout, "the agent runs in the background, PID %d; log: %s\n", child.PID, log.Name())
		return nil
	case err == nil:
		return &coded{known(report.Exit), errors.New(report.Error)}
	case dead:
		return &coded{exitError, fmt.Errorf("the agent: %w; its last words are in %s%s", ended, log.Name(), log.tail())}
	case ctx.Err() != nil: // whoever asked for it does not want it any more
		return errors.Join(context.Cause(ctx), child.Terminate())
	case errors.Is(err, errLate):
		doing := "it does not say what it is doing"
		var s agent.Status
		if askQuickly(ctx, cfg, "/v1/status", struct{}{}, &s) == nil && s.Problem != "" {
			doing = s.Problem
		}
		return &coded{exitError, fmt.Errorf("the agent, PID %d, is not at work after %v: %s. It goes on trying; its log is %s, and `oracle-focus-agent stop` ends it", child.PID, wait, doing, log.Name())}
	}
	return err
}

// background prepares this program as the agent in the background.
func (a *app) background(o runOptions, log *startLog) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{os.Args[0], "run", "--report"}
	if a.config != "" {
		args = append(args, "--config="+a.config)
	}
	if a.quiet {
		args = append(args, "--quiet")
	}
	if o.pidFile != "" {
		args = append(args, "--pid-file="+o.pidFile)
	}
	args = append(args, o.flags()...)
	return &exec.Cmd{Path: self, Args: args, Env: a.env.Environ, Stdout: log.File, Stderr: log.File}, nil
}

// flags are those of the command line that c was made from.
func (c change) flags() (flags []string) {
	add := func(flag string, set bool) {
		if set {
			flags = append(flags, flag)
		}
	}
	add("--accept-new-destination", c.accept)
	add("--moved", c.moved)
	add("--resend", c.resend)
	return flags
}

// supervisor names who waits for the end of this very process; empty where nobody
// does. The variables of systemd are inherited by all that a service starts, a shell
// too, so that they alone prove nothing.
func supervisor(getenv func(string) string, pid, parent int) string {
	switch {
	case getenv("NOTIFY_SOCKET") != "", getenv("SYSTEMD_EXEC_PID") == fmt.Sprint(pid), getenv("INVOCATION_ID") != "" && parent == 1:
		return "systemd"
	case pid == 1:
		return "the container"
	}
	return ""
}

// logFile is where an agent in the background logs.
func logFile(cfg *config.Config) string {
	return cmp.Or(cfg.Logging.File, filepath.Join(cfg.State.Dir, "agent.log"))
}

// A startLog is the log of an agent in the background, as of its start. What the
// process prints without its logger goes there, too.
type startLog struct {
	*os.File
	begin int64
}

func openLog(cfg *config.Config) (*startLog, error) {
	path := logFile(cfg)
	refused := func(err error) error {
		return &coded{exitConfig, fmt.Errorf("the log of the agent: %w; set logging.file or state.dir to what this user can write", err)}
	}
	if cfg.State.Dir == "" {
		return nil, noStateDir()
	}
	for _, dir := range []string{cfg.State.Dir, filepath.Dir(path)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, refused(err)
		}
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, refused(err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, errors.Join(refused(err), f.Close())
	}
	return &startLog{f, info.Size()}, nil
}

// tail is the end of what was logged since the start, on lines of its own.
func (l *startLog) tail() string {
	const most = 2 << 10
	f, err := os.Open(l.Name())
	if err != nil {
		return ""
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(l.begin, info.Size()-most)
	text, _ := io.ReadAll(io.NewSectionReader(f, from, most))
	if len(text) == 0 {
		return ""
	}
	return ":\n" + strings.TrimRight(string(text), "\n")
}

// parent is whom a process in the background reports to.
func (o runOptions) parent() (*daemon.Parent, error) {
	if !o.reports {
		return &daemon.Parent{}, nil
	}
	p, err := daemon.OpenParent()
	if err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("--report: %w; it is for `start` alone", err)}
	}
	return &p, nil
}

// endReport is what a parent hears of a process that ends before it was ready.
func endReport(err error) daemon.Report {
	if err == nil {
		return daemon.Report{Error: "the agent was stopped before it was at work", Exit: exitError}
	}
	return daemon.Report{Error: err.Error(), Exit: exitCode(err)}
}
