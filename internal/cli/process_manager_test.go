package cli_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// A manager is the service manager's end of NOTIFY_SOCKET.
type manager struct {
	path string

	mu   sync.Mutex
	told []string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{path: filepath.Join(shortDir(t), "notify")}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.mu.Lock()
			m.told = append(m.told, string(buf[:n]))
			m.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		conn.Close()
		reading.Wait()
	})
	return m
}

// sequence is what it was told, without the status and the signs of life.
func (m *manager) sequence() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var kept []string
	for _, s := range m.told {
		if s != "WATCHDOG=1" && !strings.HasPrefix(s, "STATUS=") {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, " ")
}

// count is how often it was told what begins so.
func (m *manager) count(prefix string) (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.told {
		if strings.HasPrefix(s, prefix) {
			n++
		}
	}
	return n
}

func TestAServiceManagerHearsOfTheAgent(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 2, Rows: 3}, "NOTIFY_SOCKET="+m.path, "WATCHDOG_USEC=200000")
	p := l.start("run")
	until(t, "ready, with signs of life and a status", patience, func() bool {
		return m.sequence() == "READY=1" && m.count("WATCHDOG=1") > 3 && m.count("STATUS=running; ") > 0
	})
	p.reload()
	until(t, "the reload is told", patience, func() bool { return m.sequence() == "READY=1 RELOADING=1 READY=1" })
	p.signal(syscall.SIGTERM)
	if code := p.exit(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	until(t, "the end is told", patience, func() bool { return m.sequence() == "READY=1 RELOADING=1 READY=1 STOPPING=1" })
}

// TestTheRolesAreReadyOnceTheirQueueIs: until then the service manager waits, and
// shows for what.
func TestTheRolesAreReadyOnceTheirQueueIs(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	l := newLab(t, simulator.Options{Days: 1}, "NOTIFY_SOCKET="+m.path, "NATS_URL=nats://127.0.0.1:1")
	l.start("scanner").says("waiting for nats")
	until(t, "the manager is told why", patience, func() bool { return m.count("STATUS=it waits for the queue at nats.url") == 1 })
	if got := m.sequence(); got != "" {
		t.Errorf("without a queue it tells %q", got)
	}
	m = newManager(t)
	ext, _ := l.with("NOTIFY_SOCKET=" + m.path).newBroker(time.Minute)
	ext.start("copier")
	until(t, "the copier is ready", patience, func() bool { return m.sequence() == "READY=1" })
}

// TestALogThatIsGoneStopsNoCopy: the directory of the log is replaced by what none
// can be made in; then it comes back.
func TestALogThatIsGoneStopsNoCopy(t *testing.T) {
	t.Parallel()
	logs := filepath.Join(t.TempDir(), "logs")
	file := filepath.Join(logs, "agent.log")
	l := newLab(t, simulator.Options{}, "FOCUS_LOGGING_FILE="+file)
	p := l.start("run")
	p.says("sync complete")
	must(t, os.RemoveAll(logs))
	must(t, os.WriteFile(logs, nil, 0o600))
	l.add(0, 1, 1000)
	p.reload()
	p.says("the log file cannot be written")
	until(t, "the file is copied all the same", patience, func() bool { return len(l.wrong()) == 0 })
	must(t, os.Remove(logs))
	p.reload()
	until(t, "the log file is there again", patience, func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), "can be written again")
	})
	must(t, os.Rename(file, file+".1")) // as logrotate does
	p.reload()
	text, err := os.ReadFile(file)
	if err != nil || !strings.Contains(string(text), "was reloaded") {
		t.Errorf("after SIGHUP the log is not in a new file: %v, %q", err, text)
	}
	p.signal(syscall.SIGTERM)
	p.exit(patience)
	l.mustBeRight()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
