package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// A process is a program that runs, with its output in a file.
type process struct {
	name    string
	args    []string // the program first
	environ []string
	dir     string // where it runs and its output goes

	cmd   *exec.Cmd
	ended chan struct{}
	// wall and err are those of one that has ended.
	wall time.Duration
	err  error
}

// usage is what a process took, by the account that the kernel gives of it at its end.
// The peak of memory is not less than that of this process when it began the other one,
// which is why this one stays small.
type usage struct {
	wall time.Duration // from its start to its end
	cpu  time.Duration // in user and system mode
	peak int64         // bytes of resident memory
}

// run runs it to its end.
func (p *process) run(ctx context.Context) (usage, error) {
	if err := p.start(ctx); err != nil {
		return usage{}, err
	}
	err := p.wait()
	return p.usage(), err
}

func (p *process) start(ctx context.Context) error {
	p.prepare(ctx)
	log, err := os.Create(p.log())
	if err != nil {
		return err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	return p.begin()
}

// startPiped starts it with its standard input and output in the caller's hands.
func (p *process) startPiped(ctx context.Context) (io.WriteCloser, io.Reader, error) {
	p.prepare(ctx)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	log, err := os.Create(p.log())
	if err != nil {
		return nil, nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	return in, out, p.begin()
}

func (p *process) log() string { return filepath.Join(p.dir, p.name+".log") }

// prepare makes a command that is told to end in order where the benchmark is broken off.
func (p *process) prepare(ctx context.Context) {
	p.cmd = exec.CommandContext(ctx, p.args[0], p.args[1:]...)
	p.cmd.Env, p.cmd.Dir = p.environ, p.dir
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
}

func (p *process) begin() error {
	from := time.Now()
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.ended = make(chan struct{})
	go func() {
		defer close(p.ended)
		err := p.cmd.Wait()
		p.wall = time.Since(from)
		if err != nil {
			p.err = fmt.Errorf("%s: %w\n%s", p.name, err, p.lastWords())
		}
	}()
	return nil
}

// wait waits for its end.
func (p *process) wait() error {
	<-p.ended
	return p.err
}

// stop tells it to end in order, and waits for that.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return p.wait()
}

// usage is that of a process that has ended.
func (p *process) usage() usage {
	r, ok := p.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return usage{}
	}
	return usage{
		wall: p.wall,
		cpu:  p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime(),
		peak: r.Maxrss * kib,
	}
}

func (p *process) output() string {
	text, err := os.ReadFile(p.log())
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func (p *process) lastWords() string {
	lines := strings.Split(strings.TrimSpace(p.output()), "\n")
	return strings.Join(lines[max(0, len(lines)-10):], "\n")
}
