package cli

import (
	"errors"
	"log/slog"
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
)

// A scanner tries after each scan to note that there is a ledger; it says once that it
// cannot, and again only after it could.
func TestANoteThatCannotBeWrittenIsToldOnce(t *testing.T) {
	t.Parallel()
	cfg := config.Default()
	cfg.State.Dir = t.TempDir()
	var log strings.Builder
	r := &route{cfg: cfg, log: slog.New(slog.NewTextHandler(&log, nil))}
	inTheWay := r.noteFile() + ".new"
	for range 2 {
		if err := errors.Join(os.RemoveAll(r.noteFile()), os.Mkdir(inTheWay, 0o700)); err != nil {
			t.Fatal(err)
		}
		log.Reset()
		for range 3 {
			r.noteSince("2026-01-01")
		}
		if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), "let this user write to state.dir") {
			t.Errorf("three scans say:\n%s", &log)
		}
		if err := os.RemoveAll(inTheWay); err != nil {
			t.Fatal(err)
		}
		r.noteSince("2026-01-01")
		if _, err := os.Stat(r.noteFile()); err != nil {
			t.Error(err)
		}
	}
}
