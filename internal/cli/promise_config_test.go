package cli_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"oracle-focus-agent/internal/cli"
)

// A terminal is a pseudo-terminal: what is typed into it reaches program.
type terminal struct{ typed, program *os.File }

func newTerminal(t *testing.T) terminal {
	t.Helper()
	typed, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { typed.Close() })
	n, err := unix.IoctlGetInt(int(typed.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(typed.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { program.Close() })
	return terminal{typed, program}
}

// Whoever thinks better of it in the middle of the questions leaves no file.
func TestConfigInitThatIsLeftWritesNothing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		leave func(typed *os.File, cancel func())
		code  int
		says  string
	}{
		{"Ctrl-C", func(_ *os.File, cancel func()) { cancel() }, 130, "error: interrupted; nothing was written"},
		{"Ctrl-D", func(typed *os.File, _ func()) { fmt.Fprint(typed, "\x04") }, 1, "nothing was written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			term := newTerminal(t)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			out, done := &transcript{}, make(chan int, 1)
			go func() {
				done <- cli.Run(ctx, cli.Env{
					Args: []string{"config", "init", "--config", filepath.Join(dir, "config.yaml")}, Stdin: term.program, Stdout: out, Stderr: out,
				})
			}()
			fmt.Fprintln(term.typed, "ocid1.tenancy.oc1..aa")
			until(t, "the second question", patience, func() bool { return strings.Contains(out.String(), "S3 path") })
			tt.leave(term.typed, cancel)
			if code := <-done; code != tt.code || !strings.Contains(out.String(), tt.says) {
				t.Errorf("exit code %d, want %d and %q: %s", code, tt.code, tt.says, out)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
				t.Errorf("left behind: %v, %v", files, err)
			}
		})
	}
}
