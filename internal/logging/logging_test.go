package logging_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"oracle-focus-agent/internal/logging"
)

func lines(t *testing.T, style string, say func(*slog.Logger)) string {
	t.Helper()
	var out bytes.Buffer
	log, file, err := logging.New(logging.Options{Level: slog.LevelInfo, Style: style, Stream: &out})
	if err != nil {
		t.Fatal(err)
	}
	say(log)
	if err := file.Close(); err != nil {
		t.Error(err)
	}
	return out.String()
}

func TestClassicLinesHaveTheOriginalShape(t *testing.T) {
	got := lines(t, "classic", func(log *slog.Logger) {
		log.Debug("unheard")
		log.With("scan", "AB12").Warn("transfer failed", "object", "a b.csv.gz", "attempt", 2)
		log.WithGroup("g").Info("plain", "k", "v")
		log.Info("alone")
	})
	stamp := `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - `
	want := "^" + stamp + `WARNING - transfer failed scan=AB12 object="a b.csv.gz" attempt=2` + "\n" +
		stamp + `INFO - plain g.k=v` + "\n" + stamp + `INFO - alone` + "\n$"
	if !regexp.MustCompile(want).MatchString(got) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// hostile is what a name, or the answer of some server, may hold to forge a line, to
// drive a terminal or to disguise itself; and it is readable again in JSON.
const hostile = "name\n2026-01-01 00:00:00 - ERROR - forged\r\x1b[31m\x00\x7f\u009b31m\u0085\u2028\u2029\u202egpj\u200b\u2066\ufeff\U000e0041\xff\"=' ü東"

func TestOneRecordIsOneLine(t *testing.T) {
	for _, style := range []string{"classic", "text", "json"} {
		got := lines(t, style, func(log *slog.Logger) {
			log.With(hostile, hostile).WithGroup(hostile).Info(hostile, "err", errors.New(hostile), "object", hostile, "all", []string{hostile})
		})
		if strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
			t.Errorf("%s: not one line: %q", style, got)
		}
		for _, r := range strings.TrimSuffix(got, "\n") {
			if !unicode.IsPrint(r) {
				t.Errorf("%s: %U stands in %q", style, r, got)
			}
		}
	}
}

func TestJSONKeepsWhatItEscapes(t *testing.T) {
	got := lines(t, "json", func(log *slog.Logger) { log.Info("hello", "object", hostile) })
	var line struct{ Object string }
	if err := json.Unmarshal([]byte(got), &line); err != nil || line.Object != strings.ToValidUTF8(hostile, "\ufffd") {
		t.Errorf("%q: %q, %v", got, line.Object, err)
	}
}

func TestVisibleWorksOnBytesInAnyPieces(t *testing.T) {
	for size := 1; size <= len(hostile); size++ {
		var out strings.Builder
		w := logging.Visible(&out)
		for piece := range slices.Chunk([]byte("a\tb\n"+hostile), size) {
			if n, err := w.Write(piece); n != len(piece) || err != nil {
				t.Fatalf("Write = %d, %v", n, err)
			}
		}
		const want = "a\tb\nname\n2026-01-01 00:00:00 - ERROR - forged" + `\u000d\u001b[31m\u0000\u007f\u009b31m\u0085\u2028\u2029\u202egpj\u200b\u2066\ufeff\udb40\udc41` + "\ufffd\"=' ü東"
		if out.String() != want {
			t.Fatalf("in pieces of %d:\n%q, want\n%q", size, out.String(), want)
		}
	}
}

func TestJSONLinesAreJSON(t *testing.T) {
	got := lines(t, "json", func(log *slog.Logger) { log.Info("hello", "n", 1) })
	var line struct {
		Msg string `json:"msg"`
		N   int    `json:"n"`
	}
	if err := json.Unmarshal([]byte(got), &line); err != nil || line.Msg != "hello" || line.N != 1 {
		t.Errorf("%q: %+v, %v", got, line, err)
	}
}

func TestTheFileRotatesAndKeepsItsBackups(t *testing.T) {
	dir := t.TempDir()
	log, file, err := logging.New(logging.Options{
		Level: slog.LevelInfo, Style: "text", File: filepath.Join(dir, "agent.log"), MaxSizeMB: 1, Backups: 2,
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 40 {
		log.Info(strings.Repeat("x", 100_000))
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 2 {
		t.Errorf("%d files, %v: nothing was rotated", len(files), err)
	}
}

func TestAFileThatCannotBeWrittenIsSaid(t *testing.T) {
	dir := t.TempDir()
	if _, _, err := logging.New(logging.Options{Level: slog.LevelInfo, File: dir}); err == nil {
		t.Error("a directory is taken for a log file")
	}
}
