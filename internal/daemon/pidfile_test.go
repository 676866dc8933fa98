package daemon_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"oracle-focus-agent/internal/daemon"
)

func mustHold(t *testing.T, path string, want int) {
	t.Helper()
	if pid, err := daemon.Holder(path); err != nil || pid != want {
		t.Errorf("Holder = %d, %v, want %d", pid, err, want)
	}
}

func TestThePIDFileNamesWhoHoldsIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.pid")
	mustHold(t, path, 0)
	h, said := startHolder(t, path)
	if said != "held" {
		t.Fatal(said)
	}
	mustHold(t, path, h.Process.Pid)
	if text, err := os.ReadFile(path); err != nil || string(text) != strconv.Itoa(h.Process.Pid)+"\n" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("mode %v, %v, want that all can read it", info.Mode(), err)
	}
	if _, said := startHolder(t, path); !strings.Contains(said, daemon.ErrHeld.Error()) || !strings.Contains(said, fmt.Sprint(h.Process.Pid)) {
		t.Errorf("a second holder says %q", said)
	}
	mustHold(t, path, h.Process.Pid)
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*")); err != nil || len(left) > 0 {
		t.Errorf("after the end there are %v, %v", left, err)
	}
}

func TestAPIDFileOfADeadProcessIsHeldByNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.pid")
	h, _ := startHolder(t, path)
	if err := h.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	h.Wait()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the test expects that a crash leaves the file: %v", err)
	}
	mustHold(t, path, 0)
	if _, said := startHolder(t, path); said != "held" {
		t.Errorf("the next one says %q", said)
	}
}

// The PID of a stale file can be that of any process by now; here it is ours.
func TestNobodyButTheHolderIsSignalled(t *testing.T) {
	got := make(chan os.Signal, 1)
	signal.Notify(got, syscall.SIGTERM)
	defer signal.Stop(got)
	path := filepath.Join(t.TempDir(), "agent.pid")
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	mustHold(t, path, 0)
	if pid, err := daemon.Signal(path, syscall.SIGTERM); !errors.Is(err, daemon.ErrNotHeld) || pid != 0 {
		t.Errorf("Signal = %d, %v, want ErrNotHeld", pid, err)
	}
	os.Remove(path)
	h, _ := startHolder(t, path)
	// Whoever can write the file could name another process in it.
	if err := os.WriteFile(path, fmt.Append(nil, os.Getpid()), 0o644); err != nil {
		t.Fatal(err)
	}
	if pid, err := daemon.Signal(path, syscall.SIGTERM); err == nil || !strings.Contains(err.Error(), "tampered") {
		t.Errorf("Signal = %d, %v, want that the file was tampered with", pid, err)
	}
	if len(got) > 0 || !alive(h.Process.Pid) {
		t.Error("a process was signalled")
	}
}

func TestTheHolderIsSignalled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.pid")
	h, _ := startHolder(t, path)
	if pid, err := daemon.Signal(path, syscall.SIGTERM); err != nil || pid != h.Process.Pid {
		t.Errorf("Signal = %d, %v", pid, err)
	}
	h.Wait()
	if st := h.ProcessState.Sys().(syscall.WaitStatus); !st.Signaled() || st.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want by the signal", h.ProcessState)
	}
}

func TestALinkIsReplacedAndNotFollowed(t *testing.T) {
	dir := t.TempDir()
	path, target := filepath.Join(dir, "agent.pid"), filepath.Join(dir, "precious")
	if err := errors.Join(os.WriteFile(target, []byte("data"), 0o644), os.Symlink(target, path)); err != nil {
		t.Fatal(err)
	}
	if pid, err := daemon.Holder(path); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("Holder = %d, %v", pid, err)
	}
	if _, err := daemon.Signal(path, syscall.SIGTERM); err == nil {
		t.Error("Signal follows a link")
	}
	h, said := startHolder(t, path)
	if said != "held" {
		t.Fatal(said)
	}
	mustHold(t, path, h.Process.Pid)
	if text, err := os.ReadFile(target); err != nil || string(text) != "data" {
		t.Errorf("the target of the link holds %q, %v", text, err)
	}
}

func TestOtherThingsInPlaceOfThePIDFile(t *testing.T) {
	dir := t.TempDir()
	pipe, folder, text := filepath.Join(dir, "pipe"), filepath.Join(dir, "folder"), filepath.Join(dir, "text")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o644), os.Mkdir(folder, 0o755), os.WriteFile(text, []byte("hello"), 0o644)); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "socket")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, what := range map[string]string{pipe: "a pipe", folder: "a directory", socket: "a socket"} {
		if pid, err := daemon.Holder(path); err == nil || pid != 0 || !strings.Contains(err.Error(), what) || !strings.Contains(err.Error(), "remove it") {
			t.Errorf("Holder(%s) = %d, %v, want at once that it is %s, to be removed", path, pid, err, what)
		}
	}
	mustHold(t, text, 0)
	if _, said := startHolder(t, folder); said != folder+" is a directory, which no agent makes; remove it" {
		t.Errorf("in place of a directory: %q", said)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".*")); err != nil || len(left) > 0 {
		t.Errorf("a failure leaves %v, %v", left, err)
	}
}

func TestADirectoryThatOthersCanWriteToIsRefused(t *testing.T) {
	for _, c := range []struct {
		mode os.FileMode
		want bool
	}{{0o755, true}, {0o777 | os.ModeSticky, true}, {0o777, false}, {0o775, false}} {
		dir := filepath.Join(t.TempDir(), "run")
		if err := errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, c.mode)); err != nil {
			t.Fatal(err)
		}
		if _, said := startHolder(t, filepath.Join(dir, "agent.pid")); (said == "held") != c.want || !c.want && !strings.Contains(said, "others can write") {
			t.Errorf("mode %v: %q, want held %t", c.mode, said, c.want)
		}
	}
	if _, err := daemon.WritePIDFile(filepath.Join(t.TempDir(), "none", "agent.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in no directory: %v", err)
	}
}

func TestThePIDFileOfAnotherIsNotRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.pid")
	h, _ := startHolder(t, path)
	if err := errors.Join(os.Remove(path), os.WriteFile(path, []byte("1\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := h.end(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
}
