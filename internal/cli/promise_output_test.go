package cli_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// What a name, or a word of whoever may write to the queue or the ledger, may hold to
// forge a line, to drive a terminal, to turn the reading direction, to hide, or to
// become a part of a page.
const hostileText = "MARK\nFORGED line\r\x1b[2J\x1b]0;x\x07\u009b31m\u202egpj\u200b\u2066\ufeff\u2028FORGED too<img src=x onerror=alert(1)>\"'"

// spoils is what is wrong with an output, empty if nothing. Tabs and line ends are its own.
func spoils(output string) string {
	for _, r := range output {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return fmt.Sprintf("has a raw %U", r)
		}
	}
	if regexp.MustCompile(`(?m)^\s*FORGED`).MatchString(output) {
		return "has a line that a name forged"
	}
	if strings.Contains(output, "<html") && strings.Contains(output, "<img") {
		return "is a page with an element of a name"
	}
	return ""
}

// poison puts the text wherever others than this program can put it: names of the
// source, eligible as far as they can be, and every field of the ledger and the queue.
func (w *world) poison(t *testing.T) {
	t.Helper()
	w.add(
		simulator.Object{Name: nameOf(1, hostileText+".csv.gz"), Content: simulator.Random(1, 10)},
		object(1, `MARK<b>&"'|=cmd()%0a\x1b;$(id).csv.gz`, 500), // is a report, and is copied
	)
	conn := w.external(t).Connect(t)
	w.run(t, "setup").want(t, 0)
	w.run(t, "sync", "--quiet").want(t, 0)
	ledger, now := ledgerOf(t, conn), time.Now().UTC()
	o := messages.Object{Name: hostileText, ETag: hostileText, Size: 1, MD5: hostileText, CRC32C: hostileText}
	copied := &messages.FileCopied{Key: hostileText, ETag: hostileText, Size: 1, CRC32C: hostileText, MD5: hostileText, Verified: hostileText, How: hostileText,
		At: now, Statistics: &messages.Statistics{Skipped: hostileText, Problems: []string{hostileText}, Sums: []messages.Sum{{Period: hostileText, Currency: hostileText, Billed: hostileText, Effective: "1"}}}}
	for base, status := range map[string]messages.Status{"forged.csv.gz": messages.StatusFailed, "copied.csv.gz": messages.StatusCopied, "other.csv.gz": messages.Status(hostileText)} {
		raw, err := messages.Record{Status: status, Object: o, Copy: copied, Class: hostileText, Error: hostileText, Worker: hostileText, Trace: hostileText, At: now, FirstFailed: now}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Write(t.Context(), messages.RecordKey("main", messages.Report{Day: messages.DayOf(now), Basename: base}), raw, 0); err != nil {
			t.Fatal(err)
		}
	}
	if err := ledger.Audit(t.Context(), messages.Action{Action: hostileText, By: hostileText, At: now, Reason: hostileText, Detail: hostileText, Count: 1, Files: []string{hostileText}}, "x"); err != nil {
		t.Fatal(err)
	}
	if err := conn.DeadLetters("focus").Bury(t.Context(), messages.DeadLetter{Route: "main", Name: hostileText, Object: o, Class: hostileText, Error: hostileText, Subject: hostileText, Message: hostileText, Worker: hostileText, At: now}); err != nil {
		t.Fatal(err)
	}
	body, err := messages.FileDiscovered{Route: "main", Object: o, Discovered: now, Scan: hostileText, Trace: hostileText}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.NATS().Request(messages.Subject("focus", messages.Live, "main", hostileText), body, 10*time.Second); err != nil {
		t.Fatal(err)
	}
	raw, err := messages.Pause{Reason: hostileText, By: hostileText, At: now}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Write(t.Context(), messages.PauseKey("main"), raw, 0); err != nil {
		t.Fatal(err)
	}
}

func TestNoOutputLetsANameForgeALineOrDriveATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2, FilesPerDay: 2}, "FOCUS_LOGGING_LEVEL=DEBUG")
	w.poison(t)
	marked := 0
	hold := func(what, output string) {
		t.Helper()
		if bad := spoils(output); bad != "" {
			t.Errorf("%s %s:\n%q", what, bad, output)
		}
		if strings.Contains(output, "MARK") {
			marked++
		}
	}
	for _, args := range [][]string{
		{"sync", "--dry-run"}, {"sync", "--dry-run", "--json"}, {"status"}, {"status", "--json"}, {"failed", "list"}, {"failed", "list", "--json"},
		{"failed", "show", hostileText}, {"failed", "show", "forged.csv.gz"}, {"failed", "show", "copied.csv.gz"}, {"failed", "show", "forged.csv.gz", "--json"}, {"failed", "retry", "--all", "--dry-run"}, {"failed", "retry", hostileText, "--dry-run"},
		{"failed", "discard", "x" + hostileText, "--yes", "--reason", "x"}, {"audit"}, {"audit", "--json"},
		{"verify"}, {"verify", "--json"}, {"verify", "--full"}, {"report"}, {"report", "-o", "csv"}, {"report", "-o", "json"}, {"report", "-o", "html"},
		{"report", "--month", time.Now().UTC().Format("2006-01")}, {"report", "--month", time.Now().UTC().Format("2006-01"), "-o", "html"},
		{"state", "export", "-o", "-"}, {"state", "export", "--format", "python", "-o", "-"}, {"version", "--check"}, {"test"},
		{"backfill", "--from", daysAgo(3), "--to", daysAgo(0), "--dry-run"}, {"setup", "--dry-run"}, {hostileText}, {"report", "--from", hostileText},
	} {
		r := w.run(t, args...)
		hold(strings.ToValidUTF8(fmt.Sprintf("stdout of %.60q", args), ""), r.stdout)
		hold(strings.ToValidUTF8(fmt.Sprintf("stderr of %.60q", args), ""), r.stderr)
		if strings.HasSuffix(r.stdout, "}\n") && r.code == 0 && strings.Contains(fmt.Sprint(args), "json") && !json.Valid([]byte(r.stdout)) {
			t.Errorf("%.60q prints no JSON: %q", args, r.stdout)
		}
	}
	w.holdAgents(t, hold)
	if marked < 20 {
		t.Errorf("only %d outputs name what others wrote: the test looks in the wrong places", marked)
	}
}

// holdAgents looks at what running agents show, with each style of the log; the last one
// has been resumed, and copies.
func (w *world) holdAgents(t *testing.T, hold func(what, output string)) {
	t.Helper()
	w.set("FOCUS_HTTP_LISTEN", "127.0.0.1:0")
	for _, style := range []string{"text", "json", "classic"} {
		file := filepath.Join(filepath.Dir(w.dir), style+".log")
		w.set("FOCUS_LOGGING_FORMAT", style)
		w.set("FOCUS_LOGGING_FILE", file)
		agent := w.start(t, "run")
		eventually(t, "the agent has scanned", func() bool {
			log, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(log), "sync complete")
		})
		if address := regexp.MustCompile(`address[^0-9]+(127\.0\.0\.1:\d+)`).FindStringSubmatch(read(t, file)); address == nil {
			t.Error("the log does not say where the agent listens")
		} else {
			for _, path := range []string{"/metrics", "/health/ready", "/healthz", "/" + "%1b%0aFORGED"} {
				hold("GET "+path, get(t, "http://"+address[1]+path))
			}
		}
		if style == "classic" {
			hold("status of a running agent", w.run(t, "status").stdout)
			hold("status of a running agent as JSON", w.run(t, "status", "--json").stdout)
			bundle := filepath.Join(filepath.Dir(w.dir), "bundle.tar.gz")
			hold("support-bundle", w.run(t, "support-bundle", "-o", bundle).stdout)
			for name, content := range unpack(t, bundle) {
				hold("the bundle's "+name, content)
			}
			w.run(t, "resume").want(t, 0)
			eventually(t, "the hostile message is dead", func() bool { // perhaps before the pause was seen
				logs, err := filepath.Glob(filepath.Join(filepath.Dir(w.dir), "*.log"))
				return err == nil && slices.ContainsFunc(logs, func(f string) bool { return strings.Contains(read(t, f), "given up") })
			})
		}
		r := agent.stop()
		hold("stderr with the log style "+style, r.stderr)
		hold("the log file in the style "+style, read(t, file))
	}
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func unpack(t *testing.T, path string) map[string]string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(b)
	}
}
