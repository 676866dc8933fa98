package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/simulator"
)

// A status is what scripts read of `status --json`.
type status struct {
	Running     bool   `json:"running"`
	PID         int    `json:"pid"`
	Route       string `json:"route"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	Ready       bool   `json:"ready"`
	Problem     string `json:"problem"`
	Since       string `json:"since"`
	LastScan    *struct {
		Discovered int    `json:"discovered"`
		Error      string `json:"error"`
	} `json:"last_scan"`
	NextScan    string           `json:"next_scan"`
	LastSuccess string           `json:"last_success"`
	InFlight    []map[string]any `json:"in_flight"`
	LastCopied  map[string]any   `json:"last_copied"`
	Queue       map[string]any   `json:"queue"`
	Totals      struct {
		Transferred int   `json:"transferred"`
		Failed      int   `json:"failed"`
		Bytes       int64 `json:"bytes"`
	} `json:"totals"`
}

func (w *world) status(t *testing.T) (s status, code int) {
	t.Helper()
	r := w.run(t, "status", "--json")
	if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
		t.Fatalf("status --json: %v in %q (%s)", err, r.stdout, r.stderr)
	}
	return s, r.code
}

// startAgent starts `run` and returns when it has copied n files.
func (w *world) startAgent(t *testing.T, n int) *background {
	t.Helper()
	b := w.start(t, "run")
	eventually(t, "the agent has copied its files", func() bool {
		s, code := w.status(t)
		return code == 0 && s.Totals.Transferred == n && s.LastScan != nil && s.LastSuccess != ""
	})
	return b
}

func TestARunningAgentAnswersOnItsSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3})
	if s, code := w.status(t); code != 5 || s.Running {
		t.Errorf("before the first run: status %d %+v, want 5 and not running", code, s)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("status has made the state directory: %v", err)
	}

	agent := w.startAgent(t, 3)
	s, code := w.status(t)
	if code != 0 || !s.Running || !s.Ready || s.PID != os.Getpid() || s.Route != "main" || s.LastScan.Discovered != 3 || s.Totals.Bytes == 0 || s.LastCopied == nil || s.NextScan == "" {
		t.Errorf("while it runs: status %d %+v", code, s)
	}
	if want := "s3://" + w.S3Bucket + "/" + w.prefix(); s.Destination != want {
		t.Errorf("destination = %q, want %q", s.Destination, want)
	}
	if text := w.run(t, "status").want(t, 0).stdout; !strings.Contains(text, "running, PID") || !strings.Contains(text, "ready") {
		t.Errorf("status prints %q", text)
	}

	// Only one agent works on a state directory; whatever needs the queue asks it.
	for _, args := range [][]string{{"run"}, {"setup"}} {
		if r := w.run(t, args...).want(t, 4); !strings.Contains(r.stderr, "already running") {
			t.Errorf("%q beside a running agent says %q", args, r.stderr)
		}
	}
	w.add(object(1, "new.csv.gz", 500))
	if plan := w.run(t, "sync", "--dry-run").want(t, 0).stdout; !strings.Contains(plan, "1 files of 1 days") {
		t.Errorf("the plan of the agent: %s", plan)
	}
	if sum := w.sync(t, 0); sum.Transferred != 1 || sum.Skipped != 3 {
		t.Errorf("sync beside the agent = %+v, want 1 transferred and 3 skipped", sum)
	}
	// The record, which ends the sync, is there a moment before the count.
	eventually(t, "the agent did the work of the sync", func() bool { s, _ := w.status(t); return s.Totals.Transferred == 4 })
	bad := object(1, "bad.csv.gz", 500)
	w.add(bad)
	end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "bad", Do: simulator.FlipBit(1)})
	if sum := w.sync(t, 1); len(sum.failed()) != 1 || sum.failed()[0] != bad.Name {
		t.Errorf("sync beside the agent = %+v, want %q failed", sum, bad.Name)
	}
	if list := w.run(t, "failed", "list").want(t, 0).stdout; !strings.Contains(list, bad.Name) || !strings.Contains(list, "1 failed") {
		t.Errorf("failed list = %q", list)
	}
	end()
	stuck := object(1, "stuck.csv.gz", 500)
	w.add(stuck)
	release := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "stuck", Do: simulator.Stall(0, nil)})
	r := w.run(t, "sync", "--json", "--timeout", "1s").want(t, 1)
	if names := decodeSummary(t, r.stdout).failed(); !slices.Contains(names, stuck.Name) || !strings.Contains(r.stderr, "not settled within 1s") {
		t.Errorf("sync with a timeout beside the agent: failed %q, %s", names, r.stderr)
	}
	release()
	if r := w.run(t, "failed", "retry", "unknown.csv.gz").want(t, 1); !strings.Contains(r.stderr, "unknown.csv.gz") {
		t.Errorf("failed retry of an unknown name says %q", r.stderr)
	}
	w.run(t, "failed", "retry", "bad.csv.gz", "--yes").want(t, 0)
	eventually(t, "the agent has copied the retried file", func() bool { s, _ := w.status(t); return s.Totals.Transferred == 6 })
	if r := w.run(t, "test").want(t, 0); !strings.Contains(r.stdout, "embedded in the running agent") {
		t.Errorf("test beside the agent prints %q", r.stdout)
	}
	w.check(t)

	r = agent.stop().want(t, 0)
	first, _ := w.keyOf(w.Source.Objects()[0].Name, 0)
	if !strings.Contains(r.stderr, "Plan: reports from") || !strings.Contains(r.stderr, first) {
		t.Errorf("the first run does not print the plan: %s", r.stderr)
	}
	if s, code := w.status(t); code != 5 || s.Running || s.Ready || s.Totals.Transferred != 6 || s.Route != "main" {
		t.Errorf("after the end: status %d %+v, want 5 and the last totals", code, s)
	}
	if text := w.run(t, "status").want(t, 5).stdout; !strings.Contains(text, "not running") || !strings.Contains(text, "last seen") {
		t.Errorf("status prints %q", text)
	}

	again := w.start(t, "run")
	eventually(t, "the agent runs again", func() bool { s, code := w.status(t); return code == 0 && s.LastScan != nil })
	if r := again.stop().want(t, 0); strings.Contains(r.stderr, "Plan:") {
		t.Errorf("the second run prints a plan: %s", r.stderr)
	}
}

// The path of a Unix socket has room for 107 bytes.
func TestAnAgentWithALongStateDirectoryAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3})
	w.dir = filepath.Join(w.dir, strings.Repeat("long/", 30))
	w.set("FOCUS_STATE_DIR", w.dir)
	w.startAgent(t, 3).stop().want(t, 0)
	w.check(t)
}

// Not parallel: it counts what is left in the process.
func TestCommandsLeaveNoGoroutines(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("commands", func(t *testing.T) {
		w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3})
		w.run(t, "setup").want(t, 0)
		w.add(object(1, "large.csv.gz", worldPart+1), object(1, "bad.csv.gz", 500))
		w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "bad", Do: simulator.Truncate(1, simulator.KeepLength)})
		w.sync(t, 1)
		w.run(t, "test").want(t, 0)
		agent := w.start(t, "run")
		eventually(t, "the agent runs", func() bool { s, code := w.status(t); return code == 0 && s.LastScan != nil })
		agent.stop().want(t, 0)
	})
	goleak.VerifyNone(t, before)
}

// A scan that fails is never an empty one: the agent goes on and is not ready.
func TestAnAgentWithoutAccessKeepsRunningAndIsNotReady(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3})
	end := w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Status(401, "NotAuthenticated")})
	agent := w.start(t, "run")
	eventually(t, "the status shows the failed scan", func() bool {
		s, code := w.status(t)
		return code == 0 && !s.Ready && strings.Contains(s.Problem, "401") && s.LastSuccess == ""
	})
	end()
	w.sync(t, 0)
	w.check(t)
	agent.stop().want(t, 0)
}

func TestStatusIsNotReadyWhileTheDestinationRefusesEveryFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1})
	end := w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(403, "AccessDenied")})
	agent := w.start(t, "run")
	eventually(t, "the status shows the closed destination", func() bool {
		s, code := w.status(t)
		return code == 0 && !s.Ready && strings.Contains(s.Problem, "destination") && s.Totals.Failed == 0
	})
	end()
	eventually(t, "all is copied", func() bool { s, _ := w.status(t); return s.Ready && s.Totals.Transferred == 7 })
	w.check(t)
	agent.stop().want(t, 0)
}

func TestTheTestCommandProvesAccessAndLeavesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1})
	r := w.run(t, "test").want(t, 0)
	for _, want := range []string{"ok    configuration", "ok    oci", "ok    s3", "ok    nats"} {
		if !strings.Contains(r.stdout, want) {
			t.Errorf("test does not print %q: %s", want, r.stdout)
		}
	}
	if strings.Contains(r.stdout, "FAIL") {
		t.Errorf("test prints a FAIL and ends with 0: %s", r.stdout)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("test has made the state directory: %v", err)
	}
	w.S3Faults.Add(simulator.Rule{Op: "CreateMultipartUpload", Times: 1, Do: simulator.Status(403, "AccessDenied")})
	if r := w.run(t, "test").want(t, 3); !strings.Contains(r.stdout, "FAIL  s3") || !strings.Contains(r.stdout, "s3:PutObject") {
		t.Errorf("test without the right to write prints %q", r.stdout)
	}
	end := w.S3Faults.Add(simulator.Rule{Op: "CreateMultipartUpload", Do: simulator.Status(503, "SlowDown")})
	w.run(t, "test").want(t, 1)
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Times: 1, Do: simulator.Status(401, "NotAuthenticated")})
	if r := w.run(t, "test").want(t, 3); !strings.Contains(r.stdout, "FAIL  oci") || !strings.Contains(r.stdout, "FAIL  s3") {
		t.Errorf("test of two broken sides prints %q", r.stdout)
	}
	end()
	w.set("FOCUS_S3_BUCKET_PATH", "gs://bucket/path")
	w.run(t, "test").want(t, 2)
	if got := len(w.S3.History()) + len(w.S3.OpenUploads()) + w.OCI.Requests()["GetObject"]; got != 0 {
		t.Errorf("test left %d traces, want 0", got)
	}
}

func TestSetupMayRunAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	first := w.run(t, "setup").want(t, 0).stdout
	again := w.run(t, "setup").want(t, 0).stdout
	for _, asset := range []string{"FOCUS_FILES", "FOCUS_DEAD", "focus_state", "copiers-live", "copiers-backfill"} {
		if !strings.Contains(first, asset) || !strings.Contains(again, asset) {
			t.Errorf("setup does not name %s: first %q, then %q", asset, first, again)
		}
	}
	if !strings.Contains(first, "created") || strings.Contains(again, "created") || !strings.Contains(again, "unchanged") {
		t.Errorf("setup prints %q, then %q", first, again)
	}
}

func TestVersionNamesTheProgramAndItsFormats(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	out := w.run(t, "version").want(t, 0).stdout
	for _, want := range []string{"oracle-focus-agent ", "go1.", "nats-server", "formats: messages and records 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("version does not print %q: %s", want, out)
		}
	}
}

func TestAConfigurationErrorIsTwoAndSaysWhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.unset("FOCUS_S3_BUCKET_PATH")
	file := filepath.Join(t.TempDir(), "agent.yaml")
	text := "s3:\n  bucket_path: https://example.com/x\nagent:\n  poll_interval: 5\n  lookbak_days: 10\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"sync", "--json"}, {"sync", "--dry-run"}, {"run"}, {"test"}, {"status"}, {"setup"}, {"failed", "list"}, {"scanner"}, {"copier"}} {
		r := w.run(t, append(args, "--config", file)...).want(t, 2)
		for _, want := range []string{"agent.yaml:2:3: s3.bucket_path", "agent.yaml:4:3: agent.poll_interval", "agent.yaml:5:3: agent.lookbak_days", "lookback_days?"} {
			if !strings.Contains(r.stderr, want) {
				t.Errorf("%q does not say %q: %s", args, want, r.stderr)
			}
		}
		if r.stdout != "" {
			t.Errorf("%q prints %q beside the error", args, r.stdout)
		}
	}
	w.set("FOCUS_OCI_BUCKET", "my-bucket")
	if r := w.run(t, "sync").want(t, 2); !strings.Contains(r.stderr, "FOCUS_OCI_BUCKET") || !strings.Contains(r.stderr, "s3.bucket_path") {
		t.Errorf("the error of the environment is %q", r.stderr)
	}
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("the state directory was made: %v", err)
	}
}

func TestARoleWithoutAQueueThatOthersReachIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	for _, role := range []string{"scanner", "copier"} {
		if r := w.run(t, role).want(t, 2); !strings.Contains(r.stderr, "nats.url") || !strings.Contains(r.stderr, "FOCUS_NATS_URL") {
			t.Errorf("%s says %q", role, r.stderr)
		}
	}
}

func TestWrongUsageIsTwo(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	for _, args := range [][]string{
		{"snyc"}, {"sync", "now"}, {"sync", "--jsn"}, {"sync", "--timeout", "soon"}, {"sync", "--moved", "--accept-new-destination"},
		{"failed", "retry"}, {"failed", "retry", "--all", "x"}, {"failed", "lst"},
	} {
		if r := w.run(t, args...); r.code != 2 || r.stderr == "" || r.stdout != "" {
			t.Errorf("%q = %+v, want 2 and an error", args, r)
		}
	}
}

func TestNoSecretIsEverPrinted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, SecretAccessKey: "the-secret-of-this-test"}, "FOCUS_LOGGING_LEVEL=DEBUG")
	end := w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 3, Do: simulator.Status(500, "InternalError")})
	for _, args := range [][]string{{"sync", "--dry-run"}, {"sync", "--json"}, {"test"}, {"status"}, {"failed", "list"}} {
		r := w.run(t, args...)
		if out := r.stdout + r.stderr; strings.Contains(out, "the-secret") || strings.Contains(out, "PRIVATE KEY") || strings.Contains(out, "Signature=") {
			t.Errorf("%q prints a secret: %s", args, out)
		}
	}
	end()
}
