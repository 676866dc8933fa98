package systemd_test

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/systemd"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is long because the machine may be busy.
const patience = 60 * time.Second

// listen is the service manager's end of the socket, which the environment names.
func listen(t *testing.T, watchdog time.Duration) *net.UnixConn {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // its name leaves room for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "socket")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
	if watchdog > 0 {
		t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
	}
	return conn
}

func find(t *testing.T, log *slog.Logger) *systemd.Manager {
	t.Helper()
	m, err := systemd.Find(os.Getenv, log)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// next is the next thing that the manager is told; empty after the wait.
func next(t *testing.T, conn *net.UnixConn, wait time.Duration) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil && !os.IsTimeout(err) {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestTheManagerIsToldEachState(t *testing.T) {
	conn := listen(t, 0)
	m := find(t, slog.New(slog.DiscardHandler))
	m.Status("it waits\nfor the queue")
	m.Status("it waits\nfor the queue")
	m.Ready()
	m.Reloading()
	m.Stopping()
	var told []string
	for range 4 {
		told = append(told, next(t, conn, patience))
	}
	if want := []string{"STATUS=it waits; for the queue", "READY=1", "RELOADING=1", "STOPPING=1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

func TestWithoutAManagerNobodyIsTold(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	m := find(t, nil)
	m.Ready()
	m.Status("x")
	m.Pulse("scanner", time.Second)
	m.Watch(t.Context(), nil)
	m.Stopping()
}

// TestTheWatchdogHearsOfLivingLoopsOnly: it is pinged while all loops live, and not
// once one of them is silent for longer than it said.
func TestTheWatchdogHearsOfLivingLoopsOnly(t *testing.T) {
	conn := listen(t, 40*time.Millisecond)
	var log bytes.Buffer
	m := find(t, slog.New(slog.NewTextHandler(&log, nil)))
	m.Pulse("scanner", time.Hour)
	m.Pulse("copier 0", time.Hour)
	m.Pulse("copier 1", time.Nanosecond)
	m.Pulse("copier 1", 0) // it has ended
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var watching sync.WaitGroup
	watching.Go(func() { m.Watch(ctx, func() string { return "idle" }) })
	pings := 0
	for began := time.Now(); pings < 5 && time.Since(began) < patience; {
		if next(t, conn, patience) == "WATCHDOG=1" {
			pings++
		}
	}
	if pings < 5 {
		t.Fatalf("%d pings while all loops live", pings)
	}
	m.Pulse("copier 0", time.Nanosecond)
	for began := time.Now(); next(t, conn, 200*time.Millisecond) != ""; {
		if time.Since(began) > patience {
			t.Fatal("the watchdog is pinged although a loop hangs")
		}
	}
	m.Pulse("copier 0", time.Hour)
	if got := next(t, conn, patience); got != "WATCHDOG=1" {
		t.Errorf("%q after the loop moved again", got)
	}
	cancel()
	watching.Wait()
	if got := log.String(); strings.Count(got, "hangs") != 1 || !strings.Contains(got, "copier 0") || strings.Contains(got, "copier 1") {
		t.Errorf("the log tells of the loop not once:\n%s", got)
	}
}

func TestAWatchdogTimeThatIsNoneIsRefused(t *testing.T) {
	listen(t, 0)
	t.Setenv("WATCHDOG_USEC", "soon")
	if _, err := systemd.Find(os.Getenv, nil); err == nil || !strings.Contains(err.Error(), "WATCHDOG_USEC") {
		t.Errorf("err = %v", err)
	}
}

func TestAManagerThatIsGoneIsLoggedOnce(t *testing.T) {
	conn := listen(t, 0)
	conn.Close()
	var log bytes.Buffer
	m := find(t, slog.New(slog.NewTextHandler(&log, nil)))
	m.Ready()
	m.Stopping()
	if strings.Count(log.String(), "\n") != 1 {
		t.Errorf("logged %q", log.String())
	}
}
