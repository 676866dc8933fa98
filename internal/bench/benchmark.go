package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// A benchmark is everything that is measured in one go.
type benchmark struct {
	programs    programs
	contestants []contestant
	workloads   []workload
	pairs       int
	short, tls  bool
	dir         string
}

// A run is one way through a workload. One that took no time does not count.
type run struct {
	usage
	nats time.Duration // CPU of a NATS server of its own
}

// runs are all of each contestant, the first of every one in the first round and so on.
type runs map[string][]run

// run prints a table for each workload. What is void or fails is named there and at the
// end, and the rest goes on.
func (b *benchmark) run(ctx context.Context, out, progress io.Writer) error {
	dir, err := os.MkdirTemp(b.dir, "bench-")
	if err != nil {
		return err
	}
	where, err := machine(dir)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, where)
	var failures error
	for _, w := range b.workloads {
		t, err := b.workload(ctx, w, dir, progress)
		fmt.Fprint(out, t)
		failures = errors.Join(failures, err)
	}
	if failures != nil {
		return fmt.Errorf("%w\nsee %s", failures, dir)
	}
	return os.RemoveAll(dir)
}

// workload measures one workload.
func (b *benchmark) workload(ctx context.Context, w workload, dir string, progress io.Writer) (t table, err error) {
	ways := b.ways(w)
	t = table{workload: w, short: b.short, load: load(), ways: slices.Clone(ways), all: runs{}}
	at := filepath.Join(dir, w.Name)
	if err := os.Mkdir(at, 0o700); err != nil {
		return t, err
	}
	to, err := newWorld(ctx, w, at, b.tls)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, to.close()) }()
	for round := range b.pairs {
		t.rounds++
		for i, way := range ways {
			r, failure := measure(ctx, way, to, filepath.Join(at, fmt.Sprintf("%d-%d", t.rounds, i)))
			if ctx.Err() != nil {
				return t, context.Cause(ctx)
			}
			if failure != nil {
				err = errors.Join(err, fmt.Errorf("%s, round %d: %w", w.Name, round+1, failure))
				t.void++
			}
			say(progress, "%s, round %d: %s: %.2f s", w.Name, round+1, way.name, r.wall.Seconds())
			t.all[way.name] = append(t.all[way.name], r)
		}
		slices.Reverse(ways) // so that nobody is always the first, or after the same one
	}
	return t, err
}

// A way is what is measured: it copies a whole workload.
type way struct {
	name string
	run  func(ctx context.Context, to *world, dir string) (run, error)
}

// ways are those of a workload: contestants, or fleets.
func (b *benchmark) ways(w workload) (all []way) {
	for _, n := range w.Fleets {
		name := fmt.Sprint(n, " copiers")
		if n == 1 {
			name = oneCopier
		}
		all = append(all, way{name, func(ctx context.Context, to *world, dir string) (run, error) {
			return b.programs.copyAll(ctx, to, n, dir)
		}})
	}
	if len(w.Fleets) > 0 {
		return all
	}
	for _, c := range b.contestants {
		all = append(all, way{c.name, func(ctx context.Context, to *world, dir string) (run, error) {
			p, err := c.begin(w, to.sides, dir)
			if err != nil {
				return run{}, err
			}
			u, err := p.run(ctx)
			return run{usage: u}, err
		}})
	}
	return all
}

// measure runs one way into an empty destination, and looks at what came of it; a run
// that fails or is void has no time. The directory is there for it alone.
func measure(ctx context.Context, way way, to *world, dir string) (run, error) {
	if err := errors.Join(to.reset(), os.Mkdir(dir, 0o700)); err != nil {
		return run{}, err
	}
	r, err := way.run(ctx, to, dir)
	if err == nil {
		var came outcome
		if came, err = to.outcome(); err == nil {
			err = came.fault()
		}
	}
	if err != nil {
		return run{}, fmt.Errorf("%s: %w", way.name, err)
	}
	return r, os.RemoveAll(dir)
}
