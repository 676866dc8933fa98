package daemon_test

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/daemon"
)

// TestMain makes this binary the process that tests start, too: the variable PART
// says which.
func TestMain(m *testing.M) {
	switch part := os.Getenv("PART"); part {
	case "":
		goleak.VerifyTestMain(m)
	case "hold":
		hold(os.Getenv("PID_FILE"))
	default:
		report(part)
	}
}

// hold writes the PID file, says so, and ends with its input or by a signal.
func hold(path string) {
	p, err := daemon.WritePIDFile(path)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("held")
	io.Copy(io.Discard, os.Stdin)
	if err := p.Remove(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func report(part string) {
	parent, err := daemon.OpenParent()
	if err != nil {
		fmt.Println(err)
		os.Exit(9)
	}
	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM)
	switch part {
	case "ready":
		parent.Tell(daemon.Report{Ready: true})
		parent.Tell(daemon.Report{Error: "too late"})
	case "fail":
		parent.Tell(daemon.Report{Error: "no such bucket", Exit: 2})
	case "die":
		os.Exit(7)
	}
	<-term
}

// part prepares this binary as another process.
func part(t *testing.T, name string, environ ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(environ, "PART="+name, "GOCOVERDIR="+os.Getenv("GOCOVERDIR"))
	return cmd
}

// A holder is a process that holds a PID file.
type holder struct {
	*exec.Cmd
	stdin io.WriteCloser
}

// startHolder returns when the process has printed a line, which is "held" or why not.
func startHolder(t *testing.T, path string) (h holder, said string) {
	t.Helper()
	h.Cmd = part(t, "hold", "PID_FILE="+path)
	var err error
	if h.stdin, err = h.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := h.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.end() })
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	return h, lines.Text()
}

func (h holder) end() error {
	h.stdin.Close()
	return h.Wait()
}

// alive tells whether a child of this process runs.
func alive(pid int) bool {
	var st syscall.WaitStatus
	got, err := syscall.Wait4(pid, &st, syscall.WNOHANG, nil)
	return err == nil && got == 0
}

// until polls a condition and fails when it does not hold in time.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not in time:", what)
		}
	}
}
