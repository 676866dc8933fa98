package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A fleet is a NATS server, a scanner and copiers, each a process of its own.
type fleet struct {
	programs
	to      *sides
	dir     string
	nats    *process
	natsURL string
}

// copyAll lets so many copiers copy everything. What is measured begins when the first
// copier starts and all files are queued, and ends with the last file at the destination.
func (p programs) copyAll(ctx context.Context, w *world, copiers int, dir string) (r run, err error) {
	f := &fleet{programs: p, to: w.sides, dir: dir}
	if err := f.serve(ctx); err != nil {
		return r, err
	}
	defer func() {
		err = errors.Join(err, f.nats.stop())
		r.nats = f.nats.usage().cpu
	}()
	if err := f.queueAll(ctx); err != nil {
		return r, err
	}
	begun := time.Now()
	var all []*process
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.stop())
			r.cpu += c.usage().cpu
			r.peak = max(r.peak, c.usage().peak)
		}
	}()
	for i := range copiers {
		c := f.role(fmt.Sprint("copier-", i+1), "copier")
		if err := c.start(ctx); err != nil {
			return r, err
		}
		all = append(all, c)
	}
	err = w.filled(ctx, all[0])
	r.wall = time.Since(begun)
	return r, err
}

// serve starts a NATS server that calls fsync before each answer, and makes the queue.
func (f *fleet) serve(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		return err
	}
	config := filepath.Join(f.dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always, max_file_store: 8G }\n", address, filepath.Join(f.dir, "nats"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	f.natsURL = "nats://" + address
	f.nats = &process{name: "nats-server", args: []string{f.programs.nats, "--config", config}, environ: environ(f.to, f.dir), dir: f.dir}
	if err := f.nats.start(ctx); err != nil {
		return err
	}
	if err := f.nats.reachable(ctx, address); err != nil {
		return errors.Join(err, f.nats.stop())
	}
	if _, err := f.role("setup", "setup").run(ctx); err != nil {
		return errors.Join(err, f.nats.stop())
	}
	return nil
}

func (f *fleet) role(name, role string) *process {
	return &process{name: name, args: []string{f.agent, role}, environ: append(agentEnviron(f.to, f.dir), "NATS_URL="+f.natsURL), dir: f.dir}
}

// queueAll has a scanner find and queue all files.
func (f *fleet) queueAll(ctx context.Context) error {
	s := f.role("scanner", "scanner")
	if err := s.start(ctx); err != nil {
		return err
	}
	err := s.until(ctx, "the first scan is over", func() (bool, error) { return strings.Contains(s.output(), "sync complete"), nil })
	return errors.Join(err, s.stop())
}

func (p *process) reachable(ctx context.Context, address string) error {
	return p.until(ctx, address+" takes connections", func() (bool, error) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false, nil
		}
		return true, conn.Close()
	})
}

// filled waits until everything is at the destination, as long as a process lives.
func (w *world) filled(ctx context.Context, p *process) error {
	return p.until(ctx, "every file is at the destination", func() (bool, error) {
		n, err := w.count()
		return n >= w.files, err
	})
}

// until asks fifty times a second, for ten minutes and as long as the process lives.
func (p *process) until(ctx context.Context, what string, ask func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, fmt.Errorf("after 10 minutes it is still not so that %s", what))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if done, err := ask(); done || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("%s has ended before %s", p.name, what)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
