package cli_test

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

// bundle writes a support bundle and returns its files, and what it printed.
func (w *world) bundle(t *testing.T) (files map[string]string, printed string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "b.tar.gz")
	printed = w.run(t, "support-bundle", "-o", name).want(t, 0).stdout
	info, err := os.Stat(name)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("%v, %v, want a file for its owner only", info, err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for archive := tar.NewReader(z); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files, printed
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "oracle-focus-agent-support/")] = string(text)
	}
}

// problems are what the list of contents says of the parts that lack something.
func problems(t *testing.T, files map[string]string) map[string]string {
	t.Helper()
	var list struct {
		Parts []struct{ Name, Problem string }
	}
	if err := json.Unmarshal([]byte(files["contents.json"]), &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, p := range list.Parts {
		if _, ok := files[p.Name]; !ok {
			t.Errorf("%s is listed and not there", p.Name)
		}
		if p.Problem != "" {
			out[p.Name] = p.Problem
		}
	}
	if len(list.Parts) != len(files)-1 {
		t.Errorf("%d parts are listed, of %d files", len(list.Parts), len(files))
	}
	return out
}

func contains(t *testing.T, what, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("%s has no %q:\n%s", what, word, text)
		}
	}
}

// The same is in the bundle with the agent running and stopped: what failed and why,
// the ledger by status and day, the queue, and the end of the log.
func TestASupportBundleHoldsWhatHelps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2, FilesPerDay: 2})
	w.set("FOCUS_LOGGING_FILE", filepath.Join(t.TempDir(), "agent.log"))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: path.Base(w.Source.Reports()[0].Name), Do: simulator.FlipBit(1)})
	w.sync(t, 1)
	complete := func(files map[string]string) {
		t.Helper()
		contains(t, "ledger.json", files["ledger.json"], `"copied": 3`, `"failed": 1`, `"main.scan"`, `"main.meta"`, `"newest"`)
		contains(t, "failures.json", files["failures.json"], "hash-mismatch", "CRC32C", `"attempts": 3`)
		contains(t, "versions.json", files["versions.json"], `"asset": "stream FOCUS_FILES"`, `"asset_schema"`)
		contains(t, "queue.json", files["queue.json"], `"Connected": true`)
		contains(t, "host.json", files["host.json"], `"disk_free_bytes"`)
		contains(t, "config.json", files["config.json"], `"oci.bucket"`)
		contains(t, "log.txt", files["log.txt"], "sync started")
		contains(t, "log-problems.txt", files["log-problems.txt"], "ERROR")
		if strings.Contains(files["log-problems.txt"], "INFO") {
			t.Error("log-problems.txt has more than problems")
		}
	}
	files, printed := w.bundle(t)
	complete(files)
	contains(t, "the terminal", printed, "ledger.json", "log.txt", "wrote ")
	if p := problems(t, files); len(p) > 0 {
		t.Errorf("with the agent stopped: %q", p)
	}

	agent := w.start(t, "run")
	eventually(t, "the agent is at work", func() bool { s, code := w.status(t); return code == 0 && s.LastScan != nil })
	files, _ = w.bundle(t)
	complete(files)
	contains(t, "agent.json", files["agent.json"], `"running": true`)
	if p := problems(t, files); len(p) > 0 {
		t.Errorf("with the agent running: %q", p)
	}
	agent.stop().want(t, 0)
}

// What cannot be had is named, in the bundle and on the terminal, and the rest is there.
func TestASupportBundleSaysWhatItLacks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 1})
	w.set("FOCUS_NATS_URL", "nats://127.0.0.1:1")
	files, printed := w.bundle(t)
	p := problems(t, files)
	for _, name := range []string{"versions.json", "queue.json", "ledger.json", "failures.json"} {
		contains(t, name, p[name], "connect to nats at nats://127.0.0.1:1")
	}
	contains(t, "the terminal", printed, "INCOMPLETE", "journalctl")
	contains(t, "config.json", files["config.json"], `"nats.url"`)

	w.set("FOCUS_OCI_BUCKET", "rubbish")
	files, _ = w.bundle(t)
	contains(t, "the list", problems(t, files)["config.json"], "oci.bucket")
	contains(t, "versions.json", files["versions.json"], `"asset_schema"`)
	w.run(t, "support-bundle", "-o", "/nowhere/b.tar.gz").want(t, 1)
}

// No secret is in it, whoever wrote it into the log or a record.
func TestASupportBundleHoldsNoSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 2})
	log := filepath.Join(t.TempDir(), "agent.log")
	seed := "SUAM7QYPVN3CYVZ2PBCW7BXZ7UZFQSP2V6N4ZQ6J7T4XJ2WQ5LZP3NTD7E"
	secrets := map[string]string{
		"FOCUS_ALERTS_WEBHOOK_URL": "https://hooks.example.com/services/MARKED-WEBHOOK", "FOCUS_ALERTS_HEARTBEAT_URL": "https://hc.example.com/MARKED-HEARTBEAT",
		"FOCUS_S3_SESSION_TOKEN": "MARKED-SESSION-TOKEN", "FOCUS_S3_SECRET_ACCESS_KEY": "MARKED-SECRET-KEY", "FOCUS_S3_ACCESS_KEY_ID": "MARKEDACCESSKEY",
	}
	var text strings.Builder
	text.WriteString("level=ERROR nkey=" + seed + "\nlevel=WARN url=nats://user:MARKED-PASSWORD@nats.example.com\n" +
		"level=ERROR put=https://b.s3.amazonaws.com/k?X-Amz-Credential=MARKED-CREDENTIAL&X-Amz-Signature=MARKED-SIGNATURE\n" +
		"level=ERROR -----BEGIN RSA PRIVATE KEY-----\nMARKED-KEY\n-----END RSA PRIVATE KEY-----\n")
	for name, value := range secrets {
		text.WriteString("level=ERROR leaked=" + value + "\n")
		w.set(name, value)
	}
	text.WriteString("level=INFO msg=\"the last line\"\n")
	if err := os.WriteFile(log, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	w.set("FOCUS_LOGGING_FILE", log)
	files, printed := w.bundle(t)
	contains(t, "log.txt", files["log.txt"], "the last line", "nats.example.com", "leaked=***")
	for name, text := range files {
		if strings.Contains(text, "MARKED") || strings.Contains(text, seed) {
			t.Errorf("%s holds a secret:\n%s", name, text)
		}
	}
	if strings.Contains(printed, "MARKED") {
		t.Error("the terminal shows a secret")
	}
}
