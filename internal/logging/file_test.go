package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/logging"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A desk is a log on a console and in a file.
type desk struct {
	*slog.Logger
	file    *logging.File
	path    string
	console bytes.Buffer
}

// openDesk logs into logs/agent.log of dir.
func openDesk(t *testing.T, dir string) *desk {
	t.Helper()
	d := &desk{path: filepath.Join(dir, "logs", "agent.log")}
	var err error
	d.Logger, d.file, err = logging.New(logging.Options{
		Level: slog.LevelInfo, Style: "text", Stream: &d.console, File: d.path, MaxSizeMB: 1, Backups: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) close(t *testing.T) {
	t.Helper()
	if err := d.file.Close(); err != nil {
		t.Error(err)
	}
}

func (d *desk) mustHold(t *testing.T, path string, want ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want {
		if strings.Count(string(text), w) != 1 {
			t.Errorf("%s holds not once %q:\n%s", filepath.Base(path), w, text)
		}
	}
}

// dropsAndComesBack logs while the file cannot be written and after mend.
func (d *desk) dropsAndComesBack(t *testing.T, mend func()) {
	t.Helper()
	d.Info("one")
	d.Info("two")
	time.Sleep(2 * time.Second)
	d.Info("three")
	if got := strings.Count(d.console.String(), "the log file cannot be written"); got != 1 {
		t.Errorf("the failure is told %d times, want once:\n%s", got, d.console.String())
	}
	mend()
	time.Sleep(2 * time.Second)
	d.Info("four")
	d.Info("five")
	d.mustHold(t, d.path, "msg=four", "msg=five", `msg="the log file can be written again"`, "dropped=3")
	for _, want := range []string{"msg=one", "msg=three", "msg=five", "dropped=3"} {
		if !strings.Contains(d.console.String(), want) {
			t.Errorf("the console lacks %s:\n%s", want, d.console.String())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFullDiskDropsLinesAndIsToldOnce(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full here, a file that is always full")
	}
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "logs"), 0o700))
	must(t, os.Symlink("/dev/full", filepath.Join(dir, "logs", "agent.log")))
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, dir)
		defer d.close(t)
		d.dropsAndComesBack(t, func() { must(t, os.Remove(d.path)) })
	})
}

func TestADirectoryThatIsGoneIsMadeAgain(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, dir)
		defer d.close(t)
		d.Info("before")
		must(t, os.RemoveAll(filepath.Dir(d.path)))
		time.Sleep(2 * time.Second)
		d.Info("after")
		d.mustHold(t, d.path, "msg=after")
		if info, err := os.Stat(filepath.Dir(d.path)); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("the directory is %v, %v: others may look into it", info.Mode(), err)
		}
	})
}

func TestADirectoryThatCannotBeMadeDropsLines(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, dir)
		defer d.close(t)
		d.Info("before")
		logs := filepath.Dir(d.path)
		must(t, os.RemoveAll(logs))
		must(t, os.WriteFile(logs, nil, 0o600)) // a file where the directory was
		time.Sleep(2 * time.Second)
		d.dropsAndComesBack(t, func() { must(t, os.Remove(logs)) })
	})
}

func TestAFileThatWasRenamedIsFollowed(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d := openDesk(t, dir)
		defer d.close(t)
		d.Info("before")
		must(t, os.Rename(d.path, d.path+".1"))
		d.Info("meanwhile")
		d.file.Reopen() // SIGHUP after logrotate: no line later than that is in the old file
		d.Info("after")
		d.mustHold(t, d.path+".1", "msg=before", "msg=meanwhile")
		d.mustHold(t, d.path, "msg=after")
		must(t, os.Rename(d.path, d.path+".2"))
		time.Sleep(2 * time.Second)
		d.Info("unasked")
		d.mustHold(t, d.path, "msg=unasked")
	})
}

func TestOnlyItsOwnerReadsALog(t *testing.T) {
	dir := t.TempDir()
	d := openDesk(t, dir)
	defer d.close(t)
	for range 12 { // more than a MiB: the file rotates
		d.Info(strings.Repeat("x", 100_000))
	}
	files, err := filepath.Glob(filepath.Join(dir, "logs", "*"))
	if err != nil || len(files) < 2 {
		t.Fatalf("files %v, %v: nothing was rotated", files, err)
	}
	for _, f := range append(files, filepath.Dir(d.path)) {
		info, err := os.Stat(f)
		must(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v: others may read it", filepath.Base(f), info.Mode())
		}
	}
}

func TestADurationHasItsUnit(t *testing.T) {
	say := func(log *slog.Logger) {
		log.Info("done", "elapsed", 4719*time.Millisecond, slog.Group("g", "wait", time.Minute), "err", errors.New("no"))
	}
	var line struct {
		Elapsed string
		G       struct{ Wait string }
		Err     string
	}
	if err := json.Unmarshal([]byte(lines(t, "json", say)), &line); err != nil || line.Elapsed != "4.719s" || line.G.Wait != "1m0s" || line.Err != "no" {
		t.Errorf("%+v, %v", line, err)
	}
	for _, style := range []string{"text", "classic"} {
		if got := lines(t, style, say); !strings.Contains(got, "elapsed=4.719s g.wait=1m0s err=no") {
			t.Errorf("%s: %s", style, got)
		}
	}
}
