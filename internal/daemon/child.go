package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// ReportFD is the descriptor on which a child of Spawn reports.
const ReportFD = 3

// A Report is what a child tells its parent once: that it is ready, or why it ends.
type Report struct {
	Ready bool   `json:"ready"`
	Error string `json:"error,omitempty"`
	Exit  int    `json:"exit,omitempty"`
}

// A Child is a process in the background that has not reported yet.
type Child struct {
	PID     int
	process *os.Process
	reports *os.File
}

// Spawn starts cmd in a session of its own, so that no terminal reaches it any
// more. The caller sets its output; its input is empty.
func Spawn(cmd *exec.Cmd) (*Child, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	cmd.Stdin, cmd.ExtraFiles = nil, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(err, read.Close())
	}
	return &Child{cmd.Process.Pid, cmd.Process, read}, nil
}

// An EndedError tells that the child ended without a report.
type EndedError struct{ State *os.ProcessState }

func (e *EndedError) Error() string {
	return "it ended before it was ready: " + e.State.String()
}

// Wait returns the report of the child, an *EndedError, or the context's cause,
// with which the child goes on.
func (c *Child) Wait(ctx context.Context) (r Report, err error) {
	stop := context.AfterFunc(ctx, func() { _ = c.reports.SetReadDeadline(time.Unix(1, 0)) })
	defer c.reports.Close()
	defer stop()
	err = json.NewDecoder(c.reports).Decode(&r)
	switch {
	case err == nil:
		return r, nil
	case ctx.Err() != nil:
		return r, context.Cause(ctx)
	case !errors.Is(err, io.EOF):
		return r, fmt.Errorf("read the report of PID %d: %w", c.PID, err)
	}
	state, err := c.process.Wait()
	if err != nil {
		return r, err
	}
	return r, &EndedError{state}
}

// Terminate asks the child to end, in order.
func (c *Child) Terminate() error { return c.process.Signal(syscall.SIGTERM) }

// A Parent waits for the report of this process. The zero Parent is none.
type Parent struct{ reports *os.File }

// OpenParent takes the descriptor that Spawn has passed. What this process starts
// does not inherit it.
func OpenParent() (Parent, error) {
	var st syscall.Stat_t
	if err := syscall.Fstat(ReportFD, &st); err != nil || st.Mode&syscall.S_IFMT != syscall.S_IFIFO {
		return Parent{}, fmt.Errorf("descriptor %d is no pipe to a parent", ReportFD)
	}
	syscall.CloseOnExec(ReportFD)
	return Parent{os.NewFile(ReportFD, "parent")}, nil
}

// Tell reports and lets the parent go; only the first report counts. A parent that
// has left needs none.
func (p *Parent) Tell(r Report) {
	if p.reports == nil {
		return
	}
	_ = json.NewEncoder(p.reports).Encode(r)
	_ = p.reports.Close()
}
