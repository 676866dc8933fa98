// Package systemd tells the service manager how the process is: that it is ready,
// what it does, that it reloads or stops, and, while its loops live, that it lives.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// lookEvery is how often the status is looked at where no watchdog asks for more.
const lookEvery = 30 * time.Second

// A Manager is the service manager that started this process. A nil Manager is none,
// and its methods do nothing.
type Manager struct {
	log      *slog.Logger
	watchdog time.Duration // within which it wants a sign of life; 0: none wanted

	mu     sync.Mutex
	status string
	deaf   bool // it did not take what it was told, which was logged
	// pulses are the loops of the process, each with the time until which it is
	// expected to be heard of again.
	pulses map[string]time.Time
}

// Find returns the manager that the environment of this process names; nil where
// there is none. The error is that of a watchdog time that cannot be read.
func Find(getenv func(string) string, log *slog.Logger) (*Manager, error) {
	if getenv("NOTIFY_SOCKET") == "" {
		return nil, nil
	}
	watchdog, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		return nil, fmt.Errorf("the service manager: %w; unset WATCHDOG_USEC, or start this program by a unit with WatchdogSec=", err)
	}
	return &Manager{log: log, watchdog: watchdog, pulses: map[string]time.Time{}}, nil
}

// Ready tells that the process is at work, or again so after Reloading.
func (m *Manager) Ready() { m.tell(daemon.SdNotifyReady) }

// Reloading tells that the process reads its configuration again, until Ready.
func (m *Manager) Reloading() { m.tell(daemon.SdNotifyReloading) }

// Stopping tells that the process ends its work.
func (m *Manager) Stopping() { m.tell(daemon.SdNotifyStopping) }

// Status tells in one line what the process does. It is told once while it is the same.
func (m *Manager) Status(text string) {
	if m == nil {
		return
	}
	text = strings.ReplaceAll(text, "\n", "; ") // a newline would begin another assignment
	m.mu.Lock()
	same := text == m.status
	m.status = text
	m.mu.Unlock()
	if !same {
		m.tell("STATUS=" + text)
	}
}

// tell reaches the manager or is logged once: work does not depend on it.
func (m *Manager) tell(state string) {
	if m == nil {
		return
	}
	_, err := daemon.SdNotify(false, state)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil && !m.deaf {
		m.log.Warn("the service manager cannot be told how this process is; all else goes on, but its watchdog may end it", "err", err)
	}
	m.deaf = err != nil
}

// Pulse notes that a loop lives and is heard of again within that time. With 0 the
// loop has ended, and nothing is expected of it.
func (m *Manager) Pulse(loop string, within time.Duration) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if within <= 0 {
		delete(m.pulses, loop)
		return
	}
	m.pulses[loop] = time.Now().Add(within)
}

// silent lists the loops that were not heard of in their time.
func (m *Manager) silent() (loops []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for loop, until := range m.pulses {
		if now.After(until) {
			loops = append(loops, loop)
		}
	}
	slices.Sort(loops)
	return loops
}

// Watch tells the status, and twice within the time of the watchdog that the process
// lives, until ctx ends. While a loop hangs it does not, so that the manager starts
// the process anew.
func (m *Manager) Watch(ctx context.Context, status func() string) {
	if m == nil {
		return
	}
	every := lookEvery
	if m.watchdog > 0 {
		every = min(every, m.watchdog/2)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	hung := false
	for {
		loops := m.silent()
		if len(loops) > 0 && !hung {
			m.log.Error("a loop of this process hangs: the service manager is no longer told that the process lives, and starts it anew; report this as a fault of the program", "loops", loops)
		}
		if hung = len(loops) > 0; !hung && m.watchdog > 0 {
			m.tell(daemon.SdNotifyWatchdog)
		}
		m.Status(status())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
