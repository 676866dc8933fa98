package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"oracle-focus-agent/internal/daemon"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/simulator"
)

// Each script is one promise, told as an operator would try it. It runs beside a
// simulated OCI with six reports of three days and a simulated S3, to which its
// environment points, as the commands below show.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			l := newLab(env.T().(testing.TB), simulator.Options{Days: 3, FilesPerDay: 2, Rows: 3})
			since := time.Now().UTC().AddDate(0, 0, -2).Format(time.DateOnly)
			for _, v := range append(l.environ, "FOCUS_AGENT_SINCE="+since, "FOCUS_RETRY_MAX_DELAY=0.5") {
				name, value, _ := strings.Cut(v, "=")
				env.Setenv(name, value)
			}
			env.Setenv("SINCE", since)
			env.Values["lab"] = l
			env.Defer(func() { endAgents(env.WorkDir, l.state) })
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "long" {
				return false, fmt.Errorf("the condition %q is not known", name)
			}
			return os.Getenv("LONG") != "", nil // make long
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":      cmdExits,
			"eventually": cmdEventually,
			"term":       cmdTerm,
			"interrupt":  cmdInterrupt,
			"fault":      cmdFault,
			"arrived":    cmdArrived,
			"nats":       cmdNATS,
			"loadenv":    cmdLoadEnv,
			"delivered":  cmdDelivered,
		},
	})
}

// endAgents ends what a script that failed has left in the background.
func endAgents(dirs ...string) {
	for _, dir := range dirs {
		_ = filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".pid") {
				_, _ = daemon.Signal(path, syscall.SIGKILL)
			}
			return nil
		})
	}
}

func labOf(ts *testscript.TestScript) *lab { return ts.Value("lab").(*lab) }

// exits CODE COMMAND [ARG ...] runs a command that must end with just this code.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND [ARG ...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	if got := codeOf(ts, err); strconv.Itoa(got) != args[0] {
		ts.Fatalf("exit %d, want %s", got, args[0])
	}
}

func codeOf(ts *testscript.TestScript, err error) int {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		ts.Check(err)
	}
	if ok {
		return exit.ExitCode()
	}
	return 0
}

// eventually COMMAND [ARG ...] repeats a command until it succeeds.
func cmdEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: eventually COMMAND [ARG ...]")
	}
	deadline := time.Now().Add(patience)
	for ts.Exec(args[0], args[1:]...) != nil {
		if time.Now().After(deadline) {
			ts.Fatalf("it did not succeed within %v", patience)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// term sends SIGTERM to all that runs in the background.
func cmdTerm(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: term")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}

// interrupt SIGNAL CODE COMMAND [ARG ...] sends a signal to a command while it
// puts an object, and wants this exit code.
func cmdInterrupt(ts *testscript.TestScript, neg bool, args []string) {
	signals := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM}
	if neg || len(args) < 3 || signals[args[0]] == 0 {
		ts.Fatalf("usage: interrupt INT|TERM CODE COMMAND [ARG ...]")
	}
	l := labOf(ts)
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "PutObject", Times: 1}, 0)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[2], args[3:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environ(ts, l), ts.Getenv("WORK"), ts.Stdout(), ts.Stderr()
	ts.Check(cmd.Start())
	select {
	case <-h.reached:
	case <-ctx.Done():
		ts.Fatalf("nothing was put")
	}
	ts.Check(cmd.Process.Signal(signals[args[0]]))
	h.letGo()
	if got := codeOf(ts, cmd.Wait()); strconv.Itoa(got) != args[1] {
		ts.Fatalf("exit %d, want %s", got, args[1])
	}
}

// environ is the environment of the script, as far as the product looks at it.
func environ(ts *testscript.TestScript, l *lab) (environ []string) {
	for _, v := range l.environ {
		name, _, _ := strings.Cut(v, "=")
		environ = append(environ, name+"="+ts.Getenv(name))
	}
	return environ
}

// fault oci|s3 OPERATION STATUS CODE, or flip, makes each such request fail;
// fault none ends it.
func cmdFault(ts *testscript.TestScript, neg bool, args []string) {
	l := labOf(ts)
	sides := map[string]*simulator.Faults{"oci": l.sim.OCIFaults, "s3": l.sim.S3Faults}
	switch {
	case neg:
	case len(args) == 1 && args[0] == "none":
		l.sim.OCIFaults.Clear()
		l.sim.S3Faults.Clear()
		return
	case len(args) == 3 && args[2] == "flip":
		sides[args[0]].Add(simulator.Rule{Op: args[1], Do: simulator.FlipBit(10)})
		return
	case len(args) == 4:
		status, err := strconv.Atoi(args[2])
		ts.Check(err)
		sides[args[0]].Add(simulator.Rule{Op: args[1], Do: simulator.Status(status, args[3])})
		return
	}
	ts.Fatalf("usage: fault none | oci|s3 OPERATION flip | oci|s3 OPERATION STATUS CODE")
}

// arrived N wants N files at the destination, each once, and where that is all
// of them, every byte right.
func cmdArrived(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: arrived N")
	}
	l := labOf(ts)
	history, wrong := l.sim.S3.History(), l.wrong()
	if want := len(l.sim.Source.Objects()) - len(wrong); strconv.Itoa(want) != args[0] || len(history) != want {
		ts.Fatalf("%d files arrived with %d commits, want %s; missing: %v", want, len(history), args[0], wrong)
	}
	if open := l.sim.S3.OpenUploads(); len(open) > 0 {
		ts.Fatalf("uploads left open: %v", open)
	}
}

// nats starts an external server and sets NATS_URL; nats config FILE starts it with
// that configuration; nats names prints what is on it: streams, consumers, keys of
// the ledger.
func cmdNATS(ts *testscript.TestScript, neg bool, args []string) {
	l := labOf(ts)
	switch {
	case !neg && len(args) == 0:
		ts.Setenv("NATS_URL", natstest.New(l.t, natstest.Listen()).Running().ClientURL())
		l.environ = append(l.environ, "NATS_URL=")
	case !neg && len(args) == 2 && args[0] == "config":
		opts, err := server.ProcessConfigFile(ts.MkAbs(args[1]))
		ts.Check(err)
		opts.Host, opts.Port, opts.HTTPPort = "127.0.0.1", server.RANDOM_PORT, 0
		opts.StoreDir, opts.NoSigs, opts.NoLog = l.t.TempDir(), true, true
		ts.Setenv("NATS_URL", natstest.New(l.t, func(o *server.Options) { *o = *opts }).Running().ClientURL())
		l.environ = append(l.environ, "NATS_URL=")
	case !neg && slices.Equal(args, []string{"names"}):
		names, err := namesOn(ts.Getenv("NATS_URL"))
		ts.Check(err)
		slices.Sort(names)
		fmt.Fprintln(ts.Stdout(), strings.Join(names, "\n"))
	default:
		ts.Fatalf("usage: nats [names | config FILE]")
	}
}

func namesOn(url string) (names []string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := nats.Connect(ctx, nats.Options{URLs: []string{url}, Name: "script"})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	js, err := jetstream.New(conn.NATS())
	if err != nil {
		return nil, err
	}
	streams := js.ListStreams(ctx)
	for info := range streams.Info() {
		names = append(names, "stream "+info.Config.Name)
		stream, err := js.Stream(ctx, info.Config.Name)
		if err != nil {
			return nil, err
		}
		for name := range stream.ConsumerNames(ctx).Name() {
			names = append(names, "consumer "+name)
		}
	}
	kv, err := js.KeyValue(ctx, "focus_state")
	if err != nil {
		return nil, err
	}
	keys, err := kv.ListKeys(ctx)
	if err != nil {
		return nil, err
	}
	for key := range keys.Keys() {
		names = append(names, "key "+key)
	}
	return names, streams.Err()
}

// loadenv FILE waits for a file of NAME=value lines and sets them.
func cmdLoadEnv(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: loadenv FILE")
	}
	path := ts.MkAbs(args[0])
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s was not written within %v", filepath.Base(path), patience)
		}
	}
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		ts.Setenv(name, value)
	}
}

// delivered puts the program without the race detector on the PATH.
func cmdDelivered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: delivered")
	}
	ts.Setenv("PATH", filepath.Dir(build(labOf(ts).t))+string(os.PathListSeparator)+ts.Getenv("PATH"))
}
