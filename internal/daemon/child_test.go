package daemon_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"oracle-focus-agent/internal/daemon"
)

func spawn(t *testing.T, what string) *daemon.Child {
	t.Helper()
	cmd := part(t, what)
	var out bytes.Buffer
	cmd.Stderr = &out
	c, err := daemon.Spawn(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		t.Log(what, cmd.ProcessState, out.String())
	})
	return c
}

func TestTheChildReportsOnce(t *testing.T) {
	for what, want := range map[string]daemon.Report{
		"ready": {Ready: true}, "fail": {Error: "no such bucket", Exit: 2},
	} {
		c := spawn(t, what)
		if got, err := c.Wait(t.Context()); err != nil || got != want {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
}

func TestTheChildHasASessionOfItsOwn(t *testing.T) {
	c := spawn(t, "ready")
	if _, err := c.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if sid, err := unix.Getsid(c.PID); err != nil || sid != c.PID {
		t.Errorf("session %d of PID %d, %v", sid, c.PID, err)
	}
	if !alive(c.PID) {
		t.Error("it ended with the report")
	}
}

func TestAChildThatDiesIsNotWaitedFor(t *testing.T) {
	_, err := spawn(t, "die").Wait(t.Context())
	if e, ok := errors.AsType[*daemon.EndedError](err); !ok || e.State.ExitCode() != 7 {
		t.Errorf("Wait = %v, want that it ended with 7", err)
	}
}

func TestAChildThatTakesLongGoesOn(t *testing.T) {
	c := spawn(t, "silent")
	late := errors.New("late")
	ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, late)
	defer cancel()
	if r, err := c.Wait(ctx); !errors.Is(err, late) {
		t.Errorf("Wait = %+v, %v", r, err)
	}
	if !alive(c.PID) {
		t.Error("it ended")
	}
	until(t, "it takes SIGTERM", func() bool {
		if err := c.Terminate(); err != nil {
			return true // it has ended
		}
		return !alive(c.PID)
	})
}

func TestWithoutAParentThereIsNoReport(t *testing.T) {
	var none daemon.Parent
	none.Tell(daemon.Report{Ready: true})
	cmd := part(t, "ready")
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd.ExtraFiles = []*os.File{f}
	out, err := cmd.Output()
	if cmd.ProcessState.ExitCode() != 9 || !strings.Contains(string(out), "no pipe") {
		t.Errorf("%v, %q: a descriptor that is no pipe was taken for a parent", err, out)
	}
}
