package cli_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"oracle-focus-agent/internal/cli"
	"oracle-focus-agent/internal/simulator"
)

// screenOf is a terminal of a size, and what is shown on it.
func screenOf(t *testing.T, columns, rows uint16) (terminal, *transcript) {
	t.Helper()
	x, seen := newTerminal(t), &transcript{}
	if err := unix.IoctlSetWinsize(int(x.program.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(seen, x.typed) }() // ends with the terminal
	return x, seen
}

// top shows itself over and over, gives the terminal back as it was, and ends with q.
func TestTopIsLiveUntilQ(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 1})
	x, seen := screenOf(t, 60, 12)
	w.set("TERM", "xterm")
	ended := make(chan int, 1)
	go func() {
		ended <- cli.Run(context.Background(), cli.Env{Args: []string{"top", "--interval", "500ms"}, Environ: w.environ(), Stdin: x.program, Stdout: x.program, Stderr: io.Discard})
	}()
	until(t, "top shows itself twice", patience, func() bool { return strings.Count(seen.String(), "FOCUS agent") >= 2 })
	begun := time.Now()
	if _, err := x.typed.Write([]byte("q")); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != 0 {
		t.Errorf("exit %d", code)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("q took %v", took)
	}
	const begin, end = "\x1b[?1049h", "\x1b[?1049l"
	until(t, "the screen is given back", patience, func() bool { return strings.HasSuffix(seen.String(), end) })
	if text := seen.String(); !strings.HasPrefix(text, begin) || !strings.Contains(text, "no agent runs on this host") {
		t.Errorf("top showed %q", text)
	}
}

// Where stdout is no terminal, top is one picture, for scripts and for pagers.
func TestTopIsOnePictureWithoutATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 1})
	none := w.run(t, "top").want(t, 5)
	if !strings.Contains(none.stdout, "no agent runs on this host") {
		t.Errorf("top without an agent: %q", none.stdout)
	}
	agent := w.start(t, "run")
	until(t, "the file is there", patience, func() bool { return len(w.S3.Objects()) == 1 })
	got := w.run(t, "top").want(t, 0)
	if strings.Contains(got.stdout, "\x1b") || !strings.Contains(got.stdout, "FOCUS agent, route main") || !strings.Contains(got.stdout, "WORKER") {
		t.Errorf("a picture: %q", got.stdout)
	}
	agent.stop().want(t, 0)
}

// A comparison that takes long tells so on a terminal, and leaves nothing of that behind.
func TestVerifyShowsThatItIsAtWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 1})
	w.run(t, "sync").want(t, 0)
	w.S3Faults.Add(simulator.Rule{Op: "HeadObject", Times: 1, Do: simulator.Latency(3 * time.Second)})
	x, seen := screenOf(t, 80, 24)
	if code := cli.Run(t.Context(), cli.Env{Args: []string{"verify"}, Environ: w.environ(), Stdout: io.Discard, Stderr: x.program}); code != 0 {
		t.Errorf("exit %d: %s", code, seen)
	}
	until(t, "the time is shown", 5*time.Second, func() bool { return strings.Contains(seen.String(), "comparing for 2s") })
}
