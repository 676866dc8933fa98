package nats

import (
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
)

// bridge carries the log lines of the embedded server to slog: what it notes is
// for debugging, what it warns about is a warning of ours. It keeps the first
// fatal line, since the server reports a failed start in no other way.
type bridge struct {
	log *slog.Logger

	mu    sync.Mutex
	first error
}

func (b *bridge) Noticef(format string, v ...any) { b.debug(format, v) }
func (b *bridge) Debugf(format string, v ...any)  { b.debug(format, v) }
func (b *bridge) Tracef(format string, v ...any)  { b.debug(format, v) }
func (b *bridge) Warnf(format string, v ...any)   { b.warn(format, v) }
func (b *bridge) Errorf(format string, v ...any)  { b.warn(format, v) }

// Fatalf must not end the process, which is not the server's.
func (b *bridge) Fatalf(format string, v ...any) {
	b.warn(format, v)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.first == nil {
		b.first = fmt.Errorf(format, v...)
	}
}

func (b *bridge) fatal() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.first
}

func (b *bridge) debug(format string, v []any) {
	b.log.Debug("embedded nats", "line", fmt.Sprintf(format, v...))
}

func (b *bridge) warn(format string, v []any) {
	b.log.Warn("embedded nats", "line", fmt.Sprintf(format, v...))
}

// readPID returns what the holder of a lock wrote into it, if it is a number.
func readPID(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	pid := strings.TrimSpace(string(b))
	if _, err := strconv.Atoi(pid); err != nil {
		return ""
	}
	return pid
}
