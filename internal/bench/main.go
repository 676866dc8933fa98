// Command bench copies the same files with the agent, with rclone and through a bare
// pipe, in turns on one machine, and prints what each took: docs/performance.md. It is
// what `make bench` runs.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := begin(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

// begin is the benchmark, or one of the processes that it starts of itself.
func begin(ctx context.Context, args []string) error {
	if len(args) == 2 {
		switch args[0] {
		case "serve":
			return serve(ctx, args[1], os.Stdin, os.Stdout)
		case "pipe":
			return runPipe(ctx, args[1])
		}
	}
	b, err := parse(args)
	if err != nil {
		return err
	}
	return b.run(ctx, os.Stdout, os.Stderr)
}

// parse reads the flags.
func parse(args []string) (*benchmark, error) {
	b := &benchmark{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	names := f.String("workloads", "", "some of A,B,C,D,E,G,H; empty: all")
	only := f.String("only", "", "one contestant, such as agent; empty: all")
	f.IntVar(&b.pairs, "pairs", 5, "how often everybody copies")
	f.BoolVar(&b.short, "short", false, "small sizes, of which only the ratios mean anything")
	f.BoolVar(&b.tls, "tls", false, "https on both sides")
	f.StringVar(&b.dir, "dir", os.TempDir(), "directory, on the disk that the queue is to be on")
	f.StringVar(&b.programs.agent, "agent", "bin/oracle-focus-agent", "program of the agent")
	f.StringVar(&b.programs.rclone, "rclone", "bin/rclone", "program of rclone")
	f.StringVar(&b.programs.nats, "nats-server", "bin/nats-server", "program of the NATS server")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || b.pairs < 1 {
		return nil, fmt.Errorf("%q, %d pairs: give flags only, and at least one pair", f.Args(), b.pairs)
	}
	var err error
	if b.workloads, err = chosen(workloads(b.short), *names); err != nil {
		return nil, err
	}
	if b.programs.self, err = os.Executable(); err != nil {
		return nil, err
	}
	for _, program := range []*string{&b.programs.agent, &b.programs.rclone, &b.programs.nats, &b.dir} {
		if *program, err = filepath.Abs(*program); err != nil { // each runs in a directory of its own
			return nil, err
		}
	}
	b.contestants, err = b.programs.named(*only)
	return b, err
}

// say writes a line of progress.
func say(to io.Writer, format string, args ...any) { fmt.Fprintf(to, format+"\n", args...) }
