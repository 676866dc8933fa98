package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A Process is one of the product.
type Process struct {
	Name string // role and number, unique in its world
	Role string
	// Log is the file of all that it wrote to stdout and stderr.
	Log string

	world   *World
	number  int
	environ []string // beside that of the world
	cmd     *exec.Cmd
	proxy   *proxy // between it and the queue; nil with an embedded one
	ended   chan struct{}

	mu     sync.Mutex
	meant  bool // its end is wanted,
	told   bool // and it was told so by SIGTERM
	frozen bool
	// looked is how far the log was read for scans, resting whether the last one is over.
	looked  int64
	resting bool
}

// Start begins a process of the product: role is "scanner", "copier" or "run", or any
// other command with its arguments. The process lives until it is told to end, or the
// world does.
func (w *World) Start(role string, environ ...string) (*Process, error) {
	args := strings.Fields(role)
	w.mu.Lock()
	w.count++
	number := w.count
	w.mu.Unlock()
	p := &Process{Name: fmt.Sprintf("%s-%d", args[0], number), Role: args[0], world: w, number: number, environ: environ, ended: make(chan struct{})}
	p.Log = filepath.Join(w.options.Dir, p.Name+".log")
	log, err := os.Create(p.Log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	env := append([]string{}, w.environ...)
	env = append(env, "FOCUS_S3_ACCESS_KEY_ID="+accessKey(number))
	if !w.options.Embedded {
		if p.proxy, err = w.newProxy(p.Name); err != nil {
			return nil, err
		}
		env = append(env, "NATS_URL=nats://"+p.proxy.address(), "FOCUS_NATS_NKEY_FILE="+w.server.seedFile)
	}
	p.cmd = exec.Command(w.options.Program, args...)
	p.cmd.Env, p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = append(env, environ...), w.options.Dir, log, log
	if err := p.cmd.Start(); err != nil {
		p.proxy.close()
		return nil, err
	}
	w.History.note(Event{Kind: Began, Process: p.Name})
	w.mu.Lock()
	w.processes = append(w.processes, p)
	w.mu.Unlock()
	go func() {
		defer close(p.ended)
		p.cmd.Wait() // the outcome is in ProcessState
		p.proxy.close()
		w.History.note(Event{Kind: Ended, Process: p.Name, Text: p.cmd.ProcessState.String()})
	}()
	return p, nil
}

// Kill is SIGKILL, and waits until the process is gone.
func (p *Process) Kill() {
	p.want()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// Term is SIGTERM, without waiting. It is sent once: a second one would end the process
// at once.
func (p *Process) Term() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.told {
		p.meant, p.told = true, true
		p.signal(syscall.SIGTERM)
	}
}

// Stop freezes the process, and Cont lets it go on.
func (p *Process) Stop() { p.freeze(true, syscall.SIGSTOP) }

// Cont ends a Stop.
func (p *Process) Cont() { p.freeze(false, syscall.SIGCONT) }

func (p *Process) freeze(frozen bool, s syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.frozen == frozen {
		return
	}
	p.frozen = frozen
	p.signal(s)
	e := Event{Kind: Healed, Process: p.Name, Text: "goes on"}
	if frozen {
		e.Kind, e.Text = Fault, "frozen"
	}
	p.world.History.note(e)
}

// Scan makes a process that scans do so at once, unless it is at that already or has
// not begun to work.
func (p *Process) Scan() {
	if p.rests() {
		p.signal(syscall.SIGHUP)
	}
}

// rests reports whether the last scan is over, by what is new in the log.
func (p *Process) rests() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	log, err := os.Open(p.Log)
	if err != nil {
		return false
	}
	defer log.Close()
	text, err := io.ReadAll(io.NewSectionReader(log, p.looked, 1<<30))
	if err != nil {
		return false
	}
	if end := bytes.LastIndexByte(text, '\n'); end >= 0 {
		p.looked += int64(end) + 1
		begun, over := bytes.LastIndex(text, []byte("sync started")), max(bytes.LastIndex(text, []byte("sync complete")), bytes.LastIndex(text, []byte("scan failed")))
		if begun >= 0 || over >= 0 {
			p.resting = over > begun
		}
	}
	resting := p.resting
	p.resting = false // a scan follows
	return resting
}

// Says reports whether the process wrote a text.
func (p *Process) Says(text string) bool { return strings.Contains(p.Output(), text) }

// Output is all that the process wrote so far.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.Log)
	if err != nil {
		return ""
	}
	return string(text)
}

// Sent reports whether a request to the destination is this process's.
func (p *Process) Sent(r *http.Request) bool { return accessKeyOf(r) == accessKey(p.number) }

// Running reports whether the process lives.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.ended }

// Wait waits for the end and returns the exit code, -1 where a signal ended it.
func (p *Process) Wait(ctx context.Context) (code int, err error) {
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.Name, context.Cause(ctx))
	}
}

func (p *Process) want() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.meant = true
}

// died reports whether a process ended that nobody had told to.
func (p *Process) died() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.meant && !p.Running()
}

func (p *Process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// end waits for the end of a process that was told to end in order: a second signal
// would end it at once.
func (p *Process) end(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 25*time.Second, errors.New("it was told to end 25 s ago"))
	defer cancel()
	code, err := p.Wait(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("%s ends with exit code %d: %s", p.Name, code, lastLines(p.Output(), 5))
	}
	return err
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
