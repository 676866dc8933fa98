// Package cli is the command line: it reads the configuration, wires the parts
// to each other and turns errors into exit codes. Nothing else wires, and
// nothing below this package reads arguments, the environment or the terminal.
package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/failpoint"
	"oracle-focus-agent/internal/logging"
)

// An Env is what a command sees of the operating system.
type Env struct {
	Args           []string  // without the program's name
	Environ        []string  // name=value
	Stdin          io.Reader // may be nil
	Stdout, Stderr io.Writer
	// Alone tells that the command has the process to itself, and may set what is the whole
	// process's.
	Alone bool
}

// Main runs the command line of this process and ends it. A role is put before
// the arguments: cmd/scanner is "oracle-focus-agent scanner".
func Main(role ...string) {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		// The first signal ends the work in order; the second ends the process at once.
		<-signals
		failpoint.Reach(failpoint.Signalled)
		signal.Stop(signals)
		cancel()
	}()
	code := Run(ctx, Env{
		Args: append(role, os.Args[1:]...), Environ: os.Environ(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Alone: true,
	})
	failpoint.Reach(failpoint.Ending)
	os.Exit(code)
}

// Run executes one command and returns its exit code.
func Run(ctx context.Context, env Env) int {
	a := &app{}
	a.screen, _ = env.Stderr.(*os.File)
	a.console, _ = env.Stdout.(*os.File)
	// Names and the words of servers are of others: no output lets them drive a terminal.
	env.Stdout, env.Stderr = logging.Visible(env.Stdout), logging.Visible(env.Stderr)
	a.env = env
	root := a.root()
	root.SetArgs(env.Args)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	err := root.ExecuteContext(ctx)
	if err != nil && !a.began { // no command was found, or not what it takes
		err = &coded{exitConfig, err}
	}
	if _, said := errors.AsType[*silent](err); err != nil && !said {
		fmt.Fprintf(env.Stderr, "error: %v\n", err)
	}
	return exitCode(err)
}

// An app is one run of the command line.
type app struct {
	env    Env
	screen *os.File // what stderr is, where it is a file at all
	config string   // --config
	quiet  bool
	level  slog.LevelVar
	began  bool // a command was understood and does its work
	// logFile is that of the logger; nil without one.
	logFile *logging.File
	// console is stdout, where it is a file. What is written to it directly has to be printable.
	console *os.File
	// listening takes where http.listen came to be; nil: nobody asks.
	listening func(address string)
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "oracle-focus-agent",
		Short: "Bring Oracle's FOCUS cost reports to Umbrella, each once and byte for byte",
		Long: `oracle-focus-agent copies the FOCUS cost reports that Oracle writes to OCI Object
Storage into the S3 path that Umbrella assigned. Each report arrives once, byte
for byte, and is visible only after its bytes were verified.

` + exitTable(),
		Example: `  oracle-focus-agent config init                        # asks for what it needs, and writes config.yaml
  oracle-focus-agent test --config config.yaml          # what is wrong, and what to do about it
  oracle-focus-agent sync --config config.yaml          # everything once
  oracle-focus-agent start --config config.yaml         # from now on, in the background
  oracle-focus-agent status`,
		SilenceUsage: true, SilenceErrors: true,
	}
	root.PersistentFlags().StringVarP(&a.config, "config", "c", "", "configuration file (default $FOCUS_CONFIG, ./config.yaml, /etc/oracle-focus-agent/config.yaml)")
	root.PersistentFlags().BoolVarP(&a.quiet, "quiet", "q", false, "no progress, and log only warnings")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error {
		err := cmd.ValidateFlagGroups()
		a.began = err == nil
		return err
	}
	root.AddCommand(a.startCommand(), a.stopCommand(), a.runCommand(), a.scannerCommand(), a.copierCommand(), a.syncCommand(), a.testCommand(), a.configCommand(),
		a.statusCommand(), a.topCommand(), a.healthcheckCommand(), a.setupCommand(), a.failedCommand(), a.backfillCommand(), a.pauseCommand(), a.resumeCommand(), a.verifyCommand(), a.reportCommand(), a.auditCommand(), a.stateCommand(), a.alertsCommand(), a.demoCommand(), a.simulatorCommand(), a.versionCommand(), a.supportBundleCommand(), a.manCommand())
	if err := help(root); err != nil {
		panic(err) // unreachable: it is about flags that stand above
	}
	return root
}

func (a *app) getenv(name string) string {
	value := ""
	for _, entry := range a.env.Environ {
		if v, ok := cutName(entry, name); ok {
			value = v
		}
	}
	return value
}

func cutName(entry, name string) (value string, ok bool) {
	if len(entry) > len(name) && entry[:len(name)] == name && entry[len(name)] == '=' {
		return entry[len(name)+1:], true
	}
	return "", false
}

// printJSON writes one value to stdout.
func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.env.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
