package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// A configFile is one that a test changes under a running agent.
type configFile struct {
	t    *testing.T
	path string
}

func newConfigFile(t *testing.T, text string) configFile {
	f := configFile{t, filepath.Join(t.TempDir(), "config.yaml")}
	f.write(text)
	return f
}

func (f configFile) write(text string) {
	f.t.Helper()
	if err := os.WriteFile(f.path, []byte(text), 0o600); err != nil {
		f.t.Fatal(err)
	}
}

// reload is SIGHUP, and waits until the process has answered it in its log, which
// is what it returns.
func (p *process) reload() (said string) {
	p.t.Helper()
	before := len(p.stderr.String())
	p.signal(syscall.SIGHUP)
	until(p.t, p.name+" answers SIGHUP", patience, func() bool {
		said = p.stderr.String()[before:]
		return strings.Contains(said, "was reloaded;") || strings.Contains(said, "was not reloaded")
	})
	return said
}

// inFlight is how many files the agent copies, by its status.
func (l *lab) inFlight() int {
	code, stdout, _ := l.run("status", "--json")
	var s struct {
		InFlight []any `json:"in_flight"`
	}
	if err := json.Unmarshal([]byte(stdout), &s); code != 0 || err != nil {
		return -1
	}
	return len(s.InFlight)
}

func TestAReloadChangesTheNumberOfSlotsAndLosesNoCopy(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{})
	file := newConfigFile(t, "agent: {max_concurrent_transfers: 1}\n")
	for id := range 6 {
		l.add(1, id+1, 2*labPart)
	}
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", Times: 100}, 0)
	p := l.start("run", "--config", file.path)
	h.mustBeReached(t)
	p.says("sync complete")
	if n := l.inFlight(); n != 1 {
		t.Errorf("%d files are in flight with one slot", n)
	}
	file.write("agent: {max_concurrent_transfers: 4}\n")
	if said := p.reload(); !strings.Contains(said, "agent.max_concurrent_transfers") {
		t.Errorf("the agent says %q, want the key that changed", said)
	}
	until(t, "four files are in flight", patience, func() bool { return l.inFlight() == 4 })
	file.write("agent: {max_concurrent_transfers: 2}\n")
	p.reload()
	if n := l.inFlight(); n != 4 {
		t.Errorf("%d files are in flight after a reload with fewer slots, want the four to go on", n)
	}
	h.letGo()
	until(t, "all is copied", patience, func() bool { return len(l.wrong()) == 0 })
	l.mustBeRight()
	l.mustHaveCommittedOnce()
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d", code)
	}
}

func TestAReloadChangesTheIntervalAndTheLogLevel(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"run", "scanner"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 1})
			if role != "run" {
				l, _ = l.newBroker(5 * time.Minute)
			}
			file := newConfigFile(t, "agent: {poll_interval: 3600}\n")
			p := l.start(role, "--config", file.path)
			p.says("sync complete")
			if strings.Contains(p.stderr.String(), "level=DEBUG") {
				t.Error("the level INFO shows DEBUG")
			}
			file.write("agent: {poll_interval: 60}\nlogging: {level: DEBUG}\n")
			said := p.reload()
			if !strings.Contains(said, "agent.poll_interval") || !strings.Contains(said, "logging.level") {
				t.Errorf("the agent says %q, want the keys that changed", said)
			}
			until(t, "a scan follows at once", patience, func() bool { return strings.Count(p.stderr.String(), "sync complete") > 1 })
			if role == "run" {
				p.says("level=DEBUG")
				_, stdout, _ := l.run("status", "--json")
				var s struct {
					NextScan    time.Time `json:"next_scan"`
					LastSuccess time.Time `json:"last_success"`
				}
				if err := json.Unmarshal([]byte(stdout), &s); err != nil {
					t.Fatal(err)
				}
				until(t, "the next scan is due within a minute", patience, func() bool {
					_, stdout, _ := l.run("status", "--json")
					return json.Unmarshal([]byte(stdout), &s) == nil && time.Until(s.NextScan) <= time.Minute
				})
			}
			if code := p.stop(); code != 0 {
				t.Errorf("exit %d", code)
			}
		})
	}
}

// The secret is wrong at first, as after a rotation. The copier learns of the new
// one without a restart.
func TestAReloadReadsCredentialsAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 2}, "FOCUS_RETRY_PROBE_INTERVAL=1", "FOCUS_RETRY_MAX_DELAY=1")
	var right string
	for _, v := range l.environ {
		if value, ok := strings.CutPrefix(v, "FOCUS_S3_SECRET_ACCESS_KEY="); ok {
			right = value
		}
	}
	if right == "" {
		t.Fatalf("the simulator names no secret in %v", l.environ)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong")
	l = l.with("FOCUS_S3_SECRET_ACCESS_KEY=", "FOCUS_S3_SECRET_ACCESS_KEY_FILE="+secret)
	for _, role := range []string{"copier"} {
		l, _ := l.newBroker(5 * time.Minute)
		l.start("scanner").says("sync complete")
		p := l.start(role)
		p.says("SignatureDoesNotMatch")
		write(right)
		if said := p.reload(); !strings.Contains(said, "s3.secret_access_key") || strings.Contains(said, right) {
			t.Errorf("the copier says %q, want the key that changed and not its value", said)
		}
		until(t, "the files are copied", patience, func() bool { return len(l.wrong()) == 0 })
		l.mustHaveCommittedOnce()
	}
}

// A secret that is renewed in its file is found once S3 has refused the old one, without a
// signal and without a restart.
func TestARenewedSecretFileNeedsNoReload(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 2}, "FOCUS_RETRY_PROBE_INTERVAL=1", "FOCUS_RETRY_MAX_DELAY=1")
	secret := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(secret, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("wrong")
	l = l.with("FOCUS_S3_SECRET_ACCESS_KEY=", "FOCUS_S3_SECRET_ACCESS_KEY_FILE="+secret)
	l.start("run").says("SignatureDoesNotMatch")
	write(l.sim.SecretAccessKey + "\n")
	until(t, "the files are copied", patience, func() bool { return len(l.wrong()) == 0 })
	l.mustHaveCommittedOnce()
}

func TestAReloadOfAWrongFileChangesNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 1})
	file := newConfigFile(t, "agent: {poll_interval: 3600}\n")
	p := l.start("run", "--config", file.path)
	p.says("sync complete")
	for text, want := range map[string]string{
		"agent: {poll_interval: 5}\nlogging: {level: DEBUG}\n": "agent.poll_interval",
		"agent: [\n": "is not valid YAML",
		"logging: {level: DEBUG}\noci: {profile: NOBODY}\n": "NOBODY",
	} {
		file.write(text)
		var refused []string
		for line := range strings.Lines(p.reload()) {
			if strings.Contains(line, "level=ERROR") || !strings.Contains(line, "level=") {
				refused = append(refused, line)
			}
		}
		if len(refused) != 1 || !strings.Contains(refused[0], want) {
			t.Errorf("the agent says %q, want one line with %s", refused, want)
		}
	}
	l.add(1, 77, 100)
	if code, stdout, stderr := l.run("sync"); code != 0 || len(l.wrong()) > 0 {
		t.Errorf("a sync by the agent: %d\n%s%s", code, stdout, stderr)
	}
	if strings.Contains(p.stderr.String(), "level=DEBUG") {
		t.Error("the level of a file that was refused is in force")
	}
}

func TestAReloadNamesWhatOnlyARestartChanges(t *testing.T) {
	t.Parallel()
	l := newLab(t, simulator.Options{Days: 1, FilesPerDay: 1})
	file := newConfigFile(t, "agent: {poll_interval: 3600}\n")
	p := l.start("run", "--config", file.path)
	p.says("sync complete")
	file.write("agent: {poll_interval: 1800}\nretry: {dead_after: 100h}\nnats: {prefix: other}\nnaming: {separator: '-'}\n")
	said := p.reload()
	p.says("only with a restart")
	said = p.stderr.String()[strings.Index(p.stderr.String(), said):]
	for _, key := range []string{"retry.dead_after", "nats.prefix", "naming.separator"} {
		if !strings.Contains(said, key) {
			t.Errorf("the agent says %q, want %s among the keys that only a restart changes", said, key)
		}
	}
	l.add(1, 77, 100)
	if code, _, stderr := l.run("sync"); code != 0 || len(l.wrong()) > 0 {
		t.Errorf("a sync after the reload: %d\n%s", code, stderr)
	}
}

// While the agent waits for its queue, SIGHUP does not end it.
func TestSIGHUPBeforeTheStartIsOver(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"run", "scanner", "copier"} {
		p := newLab(t, simulator.Options{}, "NATS_URL=nats://127.0.0.1:1").start(role)
		p.says("level=WARN")
		p.signal(syscall.SIGHUP)
		p.signal(syscall.SIGTERM)
		if code := p.exit(stopWithin); code != 0 {
			t.Errorf("%s ends with %d, want 0 by SIGTERM", role, code)
		}
	}
}
