package cli_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/internal/simulator"
)

// TestLiveTestNamesNobody: whatever the test meets, what it prints and writes holds no
// name of the customer; and it writes nothing without consent.
func TestLiveTestNamesNobody(t *testing.T) {
	w := newWorld(t, simulator.Options{Days: 2, FilesPerDay: 2, Policy: simulator.PutOnly, S3Bucket: "canary-bucket", LastDay: time.Now().AddDate(0, 0, -1)},
		"FOCUS_S3_BUCKET_PATH=s3://canary-bucket/canary-organization/0/canary-account", "FOCUS_S3_EXPECTED_BUCKET_OWNER=111122223333")
	dir := t.TempDir()
	text, raw := filepath.Join(dir, "live.txt"), filepath.Join(dir, "live.json")

	looked := w.run(t, "test", "--live", "--report", text).want(t, 0)
	if n := len(w.S3.History()) + w.S3.Requests()["CreateMultipartUpload"]; n != 0 {
		t.Errorf("%d writes without consent", n)
	}
	for _, step := range []string{"upload", "object", "complete"} {
		if !strings.Contains(looked.stderr, "step "+step+" is left out") {
			t.Errorf("stderr says nothing of the step %s", step)
		}
	}
	wrote := w.run(t, "test", "--live", "--json", "--yes-to", "upload,object,complete", "--report", raw).want(t, 0)
	if left := "s3://canary-bucket/canary-organization/0/canary-account/oracle-focus-agent-live-test: LEFT BEHIND (DELETE: 403 AccessDenied)"; !strings.Contains(wrote.stderr, left) {
		t.Errorf("stderr does not name what was left behind")
	}
	var report live.Report
	if err := json.Unmarshal([]byte(wrote.stdout), &report); err != nil || !report.Complete || len(report.Steps) != 5 {
		t.Fatalf("%v: %s", err, wrote.stdout)
	}
	if got := len(report.LeftBehind()); got != 2 {
		t.Errorf("%d things left behind, want 2", got)
	}
	canaries := []string{
		"canary", w.OCIBucket, w.Key.User, w.Key.Fingerprint, w.Key.ID(), w.AccessKeyID, w.SecretAccessKey, "111122223333", "ocid1",
		strings.TrimPrefix(w.OCIURL, "http://"), strings.TrimPrefix(w.S3URL, "http://"), simulator.Prefix, w.dir,
	}
	for _, o := range w.Source.Reports() {
		canaries = append(canaries, filepath.Base(o.Name), o.ETag, o.MD5, o.CRC32C)
	}
	for _, c := range w.S3.History() {
		canaries = append(canaries, c.ETag, c.CRC32C)
	}
	for place, s := range map[string]string{"stdout": looked.stdout, "stdout as JSON": wrote.stdout, "text": read(t, text), "JSON": read(t, raw)} {
		for _, c := range canaries {
			if c == "" || strings.Contains(s, c) {
				t.Errorf("%s holds %q", place, c)
			}
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestLiveTestSaysWhatTheAgentCannotWorkWith(t *testing.T) {
	w := newWorld(t, simulator.Options{Policy: simulator.Policy(simulator.PutOnly).Deny("PutObject")})
	r := w.run(t, "test", "--live", "--yes-to", "object").want(t, 3)
	if !strings.Contains(r.stdout, "The agent cannot work with: s3.put") {
		t.Errorf("stdout: %s", r.stdout)
	}
	// Keys that may write, and a source that lies about its reports.
	other := newWorld(t, simulator.Options{})
	o := object(1, "a.csv.gz", 100)
	o.CRC32C = "AAAAAA=="
	other.Source.Add(o)
	r = other.run(t, "test", "--live").want(t, 1)
	if !strings.Contains(r.stdout, "The agent cannot work with: oci.sums") {
		t.Errorf("stdout: %s", r.stdout)
	}
	w.unset("FOCUS_S3_BUCKET_PATH")
	w.run(t, "test", "--live").want(t, 2)
}

func TestLiveTestRefusesWhatItDoesNotUnderstand(t *testing.T) {
	w := newWorld(t, simulator.Options{})
	there := filepath.Join(t.TempDir(), "there")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"test", "--json"}, {"test", "--yes-to", "object"}, {"test", "--live", "--yes-to", "source"}, {"test", "--live", "--yes-to", "everything"},
		{"test", "--live", "--report", there}, {"test", "--live", "--report", filepath.Join(there, "no", "directory")},
	} {
		w.run(t, args...).want(t, 2)
	}
	if n := len(w.OCI.Requests()) + len(w.S3.Requests()); n > 0 || read(t, there) != "mine" {
		t.Errorf("%d requests, the file holds %q", n, read(t, there))
	}
}

// TestAnEndedLiveTestStillReports, with exit code 130 and what it knows.
func TestAnEndedLiveTestStillReports(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := newWorld(t, simulator.Options{Policy: func(op string) bool {
		if op == "CreateMultipartUpload" {
			cancel()
		}
		return true
	}})
	r := w.runContext(ctx, t, "test", "--live", "--yes-to", "upload,object").want(t, 130)
	if !strings.Contains(r.stdout, "ended before its last step") || len(w.S3.OpenUploads()) > 0 || len(w.S3.History()) > 0 {
		t.Errorf("%d uploads are open, stdout: %s", len(w.S3.OpenUploads()), r.stdout)
	}
	if !slices.Contains(strings.Fields(r.stderr), "removed") {
		t.Errorf("stderr: %s", r.stderr)
	}
}
