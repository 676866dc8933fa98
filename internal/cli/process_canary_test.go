package cli_test

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/youmark/pkcs8"

	"oracle-focus-agent/internal/cli"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/simulator"
)

// A canary is an installation whose secrets are known to the test, which collects all
// that comes out of it and searches that for them.
type canary struct {
	*lab
	t       *testing.T
	dir     string            // of the files that hold secrets; they are no output
	out     string            // of files that commands write
	secrets map[string]string // by what they are
	hooks   *hooks

	mu   sync.Mutex
	seen map[string][]byte // what came out, by where
	ran  map[string]bool   // commands
}

// hooks is the receiver of the webhook and of the heartbeat. It refuses both, so that
// the program has something to say about them.
type hooks struct {
	*httptest.Server
	mu    sync.Mutex
	paths map[string]bool
	body  bytes.Buffer
}

func newHooks(t *testing.T) *hooks {
	h := &hooks{paths: map[string]bool{}}
	h.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.paths[r.URL.Path] = true
		io.Copy(&h.body, r.Body)
		http.Error(w, "no such hook: "+r.URL.Path, http.StatusForbidden)
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hooks) called(path string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.paths[path]
}

// newCanary makes an installation whose settings do not hold its secrets yet. The keys
// of OCI and its pass phrase are in place.
func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{t: t, dir: t.TempDir(), out: t.TempDir(), hooks: newHooks(t), seen: map[string][]byte{}, ran: map[string]bool{}}
	c.secrets = map[string]string{
		"S3 access key": "AKIACANARY7Q2ZP4WXRT", "S3 secret": "CanaryS3SecretHq8dVZ1nTbLwKe5RyXuGp0",
		"S3 session token": "CanarySessionTokenJf3MzTc9QaWd6RvBnUs2", "pass phrase": "CanaryPassPhraseXk4Lm8PzYw1Ne",
		"webhook": "CanaryWebhookPathT7uQcVb2Sx", "heartbeat": "CanaryHeartbeatPathR5oJdKg9Hy",
		"Slack": "CanarySlackPathN3yHfWm6Lq", "Teams": "CanaryTeamsPathB8vKsRt1Zd", "mail password": "CanaryMailPasswordG6pXjCe4Ua",
	}
	c.lab = newLab(t, simulator.Options{Days: 1, FilesPerDay: 3, Rows: 3, AccessKeyID: c.secrets["S3 access key"], SecretAccessKey: c.secrets["S3 secret"]})
	der, err := pkcs8.MarshalPrivateKey(c.sim.Key.Private, []byte(c.secrets["pass phrase"]), nil)
	must(t, err)
	key := c.file("key.pem", string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})))
	c.secrets["OCI key"] = base64.StdEncoding.EncodeToString(der)[:64]
	plain, err := pkcs8.MarshalPrivateKey(c.sim.Key.Private, nil, nil)
	must(t, err)
	c.secrets["OCI key, decrypted"] = string(plain[len(plain)-40:])
	k := c.sim.Key
	profile := fmt.Sprintf("[DEFAULT]\nuser=%s\nfingerprint=%s\ntenancy=%s\nregion=us-ashburn-1\nkey_file=%s\npass_phrase=%s\n", k.User, k.Fingerprint, k.Tenancy, key, c.secrets["pass phrase"])
	listen := freePort(t)
	c.lab = c.with("FOCUS_OCI_CONFIG_FILE="+c.file("oci_config", profile), "FOCUS_HTTP_LISTEN="+listen, "FOCUS_STATE_DIR="+c.state,
		"FOCUS_LOGGING_LEVEL=DEBUG", "FOCUS_LOGGING_FORMAT=json", "FOCUS_LOGGING_FILE="+filepath.Join(c.out, "agent.log"), "FOCUS_RETRY_INITIAL_DELAY=0.1",
		"HTTP_LISTEN="+listen, "FOCUS_ALERTS_EMAIL_HOST=127.0.0.1", "FOCUS_ALERTS_EMAIL_PORT=1", "FOCUS_ALERTS_EMAIL_TLS=none",
		"FOCUS_ALERTS_EMAIL_USERNAME=focus", "FOCUS_ALERTS_EMAIL_FROM=focus@example.com", "FOCUS_ALERTS_EMAIL_TO=ops@example.com")
	c.lab.environ = slices.DeleteFunc(c.lab.environ, func(v string) bool {
		return strings.HasPrefix(v, "FOCUS_S3_SECRET") || strings.HasPrefix(v, "FOCUS_S3_ACCESS")
	})
	return c
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	return l.Addr().String()
}

func (c *canary) file(name, text string) (path string) {
	c.t.Helper()
	path = filepath.Join(c.dir, name)
	must(c.t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

// settings are the keys of the configuration that hold secrets, with their values.
func (c *canary) settings() map[string]string {
	return map[string]string{
		"s3.access_key_id": c.secrets["S3 access key"], "s3.secret_access_key": c.secrets["S3 secret"], "s3.session_token": c.secrets["S3 session token"],
		"alerts.webhook_url": c.hooks.URL + "/" + c.secrets["webhook"], "alerts.heartbeat_url": c.hooks.URL + "/" + c.secrets["heartbeat"],
		"alerts.slack_url": c.hooks.URL + "/" + c.secrets["Slack"], "alerts.teams_url": c.hooks.URL + "/" + c.secrets["Teams"],
		"alerts.email.password": c.secrets["mail password"],
	}
}

func variable(key string) string {
	return "FOCUS_" + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// bySelf gives the secrets in the environment, byFile in files that it names, and
// byReference in variables that the configuration file names.
func (c *canary) bySelf() {
	for key, value := range c.settings() {
		c.environ = append(c.environ, variable(key)+"="+value)
	}
}

func (c *canary) byFile() {
	for key, value := range c.settings() {
		c.environ = append(c.environ, variable(key)+"_FILE="+c.file(key, value))
	}
}

func (c *canary) byReference() {
	sections := map[string]string{}
	for key, value := range c.settings() {
		section, name, _ := strings.Cut(key, ".")
		v := "SECRET_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
		name = strings.Replace(name, ".", ":\n    ", 1) // a section in a section
		sections[section] += fmt.Sprintf("  %s: ${%s}\n", name, v)
		c.environ = append(c.environ, v+"="+value)
	}
	var text strings.Builder
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		text.WriteString(section + ":\n" + sections[section])
	}
	c.environ = append(c.environ, "FOCUS_CONFIG="+c.file("config.yaml", text.String()))
}

func (c *canary) saw(where string, text []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[where] = append(c.seen[where], text...)
}

// run runs a command to its end, whatever that is.
func (c *canary) run(args ...string) (code int) {
	c.t.Helper()
	p := c.begin(args...)
	code = p.exit(patience)
	c.ended(p)
	return code
}

// begin starts a command; ended collects what it said.
func (c *canary) begin(args ...string) *process {
	c.t.Helper()
	words := len(args)
	for i, a := range args {
		if strings.HasPrefix(a, "-") {
			words = i
			break
		}
	}
	for n := words; n > 0; n-- {
		if path := strings.Join(args[:n], " "); slices.Contains(cli.CommandPaths(), path) {
			c.ran[path] = true
			break
		}
	}
	return c.start(args...)
}

func (c *canary) ended(p *process) {
	c.t.Helper()
	c.saw("the output of "+p.name, []byte(p.stdout.String()+p.stderr.String()))
}

// terminate ends a command in order.
func (c *canary) terminate(p *process) {
	c.t.Helper()
	p.signal(syscall.SIGTERM)
	p.exit(patience)
	c.ended(p)
}

// files collects every file below a directory.
func (c *canary) files(dir string) {
	c.t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		c.saw("the file "+path, text)
		if err == nil && strings.HasSuffix(path, ".gz") {
			text, err = unzip(text)
			c.saw("what is packed in "+path, text)
		}
		return err
	})
	must(c.t, err)
}

func unzip(text []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// http collects what the port answers.
func (c *canary) http() {
	c.t.Helper()
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/nothing"} {
		address := ""
		for _, v := range c.environ {
			if a, ok := strings.CutPrefix(v, "HTTP_LISTEN="); ok {
				address = a
			}
		}
		r, err := http.Get("http://" + address + path)
		must(c.t, err)
		body, err := io.ReadAll(r.Body)
		must(c.t, errors.Join(err, r.Body.Close()))
		c.saw("the answer to "+path, body)
	}
}

// search fails for each secret that came out, plain or encoded. What was stored at the
// destination and what the hooks were told comes out as well.
func (c *canary) search() {
	c.t.Helper()
	c.files(c.state)
	c.files(c.out)
	stored, err := json.Marshal(c.sim.S3.Objects())
	must(c.t, err)
	c.saw("the destination", stored)
	c.saw("what the hooks were told", c.hooks.body.Bytes())
	total := 0
	for _, where := range slices.Sorted(maps.Keys(c.seen)) {
		total += len(c.seen[where])
		for name, secret := range c.secrets {
			for _, n := range needles(secret) {
				if bytes.Contains(c.seen[where], []byte(n)) {
					c.t.Errorf("%s holds the %s (as %q)", where, name, n)
				}
			}
		}
	}
	c.t.Logf("searched %d bytes of %d places for %d secrets", total, len(c.seen), len(c.secrets))
}

// needles are the forms of a secret: itself, hexadecimal, and base64 at each alignment.
func needles(secret string) []string {
	all := []string{secret, hex.EncodeToString([]byte(secret)), strings.ToUpper(hex.EncodeToString([]byte(secret)))}
	for off := range 3 {
		text := base64.RawStdEncoding.EncodeToString([]byte("\x00\x00\x00"[:off] + secret))
		begin, end := (off*8+5)/6, (off+len(secret))*8/6 // characters that stand for the secret alone
		all = append(all, text[begin:end], strings.NewReplacer("+", "-", "/", "_").Replace(text[begin:end]))
	}
	return all
}

func TestNeedlesAreFound(t *testing.T) {
	for _, before := range []string{"", "a", "ab", "abc"} {
		for _, after := range []string{"", "z", "zy"} {
			const secret = "CanarySecret+/=?"
			for _, enc := range []string{
				before + secret + after, hex.EncodeToString([]byte(before + secret + after)),
				base64.StdEncoding.EncodeToString([]byte(before + secret + after)), base64.RawURLEncoding.EncodeToString([]byte(before + secret + after)),
			} {
				if !slices.ContainsFunc(needles(secret), func(n string) bool { return strings.Contains(enc, n) }) {
					t.Errorf("nothing is found in %q", enc)
				}
			}
		}
	}
}

// mustHaveBeenUsed fails where the secrets were none: what nobody uses nobody betrays.
func (c *canary) mustHaveBeenUsed() {
	c.t.Helper()
	if len(c.wrong()) > 0 {
		c.t.Errorf("files did not arrive, so that the keys of OCI and S3 were not in use: %v", c.wrong())
	}
	for _, s := range []string{"webhook", "heartbeat", "Slack", "Teams"} {
		if !c.hooks.called("/" + c.secrets[s]) {
			c.t.Errorf("the %s was not called", s)
		}
	}
}

// TestNoCommandTellsASecret runs every command that there is, in good days and bad ones.
func TestNoCommandTellsASecret(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	c.bySelf()
	export, python := filepath.Join(c.out, "ledger.jsonl"), filepath.Join(c.out, "state.json")
	if code := c.run("start"); code != 0 {
		t.Fatalf("start: exit code %d: %s", code, c.seen["the output of start"])
	}
	until(t, "all files are copied", patience, func() bool { return len(c.wrong()) == 0 })
	c.http()
	for _, args := range [][]string{
		{"status"}, {"status", "--json"}, {"top"}, {"sync", "--json"}, {"failed", "list", "--json"}, {"failed", "retry", "--all", "--yes", "--no-wait"}, {"failed", "show", "x"}, {"audit"}, {"healthcheck"},
		{"verify", "--json", "--repair"}, {"report"}, {"report", "-o", "html"}, {"pause", "--reason", "x"}, {"status"}, {"resume"},
		{"backfill", "--from", "2026-01-01", "--to", "2026-01-02", "--dry-run"}, {"failed", "discard", "--all", "--reason", "x", "--yes"},
		{"state", "export", "-o", export}, {"state", "export", "--format", "python", "-o", python},
		{"version", "--check"}, {"support-bundle", "-o", filepath.Join(c.out, "running.tar.gz")}, {"start"}, {"run"}, {"stop"},
	} {
		c.run(args...)
	}
	c.sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(403, "SignatureDoesNotMatch")})
	c.sim.OCIFaults.Add(simulator.Rule{Op: "HeadObject", Do: simulator.Status(401, "NotAuthenticated")})
	c.add(0, 1, 1000)
	p := c.begin("run")
	until(t, "the destination fails", patience, func() bool { return strings.Contains(p.stderr.String(), "SignatureDoesNotMatch") })
	p.reload()
	c.run("status", "--json")
	c.run("test")
	c.sim.S3Faults.Clear()
	c.sim.OCIFaults.Clear()
	c.terminate(p)
	for _, args := range [][]string{
		{"sync"}, {"sync", "--dry-run", "--json"}, {"test"}, {"alerts", "test"}, {"config", "check"}, {"config", "show"}, {"config", "show", "--json"},
		{"config", "env"}, {"config", "env", "--dotenv"}, {"config", "env", "--json"}, {"config", "schema"}, {"config", "init", "--oci-bucket", "x", "--s3-bucket-path", "s3://x/y", "--config", filepath.Join(c.out, "config.yaml")},
		{"state", "import", export, "--dry-run"}, {"state", "import", python, "--yes"}, {"state", "rebuild", "--yes"},
		{"setup", "--nats-config", filepath.Join(c.out, "nats")}, {"setup"}, {"scanner"}, {"copier"}, {"status"}, {"stop"}, {"healthcheck"},
		{"verify"}, {"report", "--json"}, {"completion"},
		{"completion", "bash"}, {"completion", "zsh"}, {"completion", "fish"}, {"completion", "powershell"}, {"help"}, {"help", "run"}, {"version"}, {"support-bundle", "-o", filepath.Join(c.out, "stopped.tar.gz")}, {"man", filepath.Join(c.out, "man")},
		{"alerts"}, {"config"}, {"failed"}, {"state"}, {"simulator", "add"}, {"simulator", "check"}, {"simulator", "--identity-only", "--dir", filepath.Join(c.out, "simulator")},
	} {
		c.run(args...)
	}
	p = c.begin("demo")
	until(t, "the demo begins", patience, func() bool { return strings.Contains(p.stdout.String(), "1. First sync") })
	c.terminate(p)
	c.mustHaveBeenUsed()
	for _, path := range cli.CommandPaths() {
		if !c.ran[path] {
			t.Errorf("the command %q was not tried: add it to this test", path)
		}
	}
	c.search()
}

// TestNoRoleTellsASecret: scanner and copier with an nkey, then with credentials, of a
// NATS server that asks for them.
func TestNoRoleTellsASecret(t *testing.T) {
	t.Parallel()
	for name, give := range map[string]func(*canary){"files": (*canary).byFile, "references": (*canary).byReference} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCanary(t)
			give(c)
			user, err := nkeys.CreateUser()
			must(t, err)
			seed, err := user.Seed()
			must(t, err)
			public, err := user.PublicKey()
			must(t, err)
			c.secrets["nkey seed"] = string(seed)
			srv := natstest.New(t, natstest.Listen(), func(o *natsserver.Options) { o.Nkeys = []*natsserver.NkeyUser{{Nkey: public}} })
			c.environ = append(c.environ, "NATS_URL="+srv.Running().ClientURL(), "FOCUS_NATS_NKEY_FILE="+c.file("user.nk", string(seed)))
			if code := c.run("setup"); code != 0 {
				t.Fatalf("setup: exit code %d: %s", code, c.seen["the output of setup"])
			}
			scanner := c.begin("scanner")
			scanner.says("sync complete")
			copier := c.lab.with("FOCUS_HTTP_LISTEN=").start("copier")
			until(t, "all files are copied", patience, func() bool { return len(c.wrong()) == 0 })
			c.http()
			nc, err := natsgo.Connect(srv.Running().ClientURL(), must2(natsgo.NkeyOptionFromSeed(filepath.Join(c.dir, "user.nk"))))
			must(t, err)
			defer nc.Close()
			for _, subject := range []string{"$SRV.INFO", "$SRV.STATS", "focus.scanner.status", "focus.copier.status"} {
				m, err := nc.Request(subject, nil, 10*time.Second)
				must(t, err)
				c.saw("the answer to "+subject, m.Data)
			}
			for _, args := range [][]string{{"status"}, {"status", "--json"}, {"config", "show"}, {"config", "env", "--json"}, {"config", "check"}, {"test"}, {"alerts", "test"}, {"failed", "list"}, {"sync", "--json"}} {
				c.run(args...)
			}
			c.terminate(scanner)
			c.terminate(copier)
			other, err := nkeys.CreateUser()
			must(t, err)
			otherSeed, err := other.Seed()
			must(t, err)
			c.secrets["seed of credentials"], c.secrets["JWT of credentials"] = string(otherSeed), "eyJCanaryJWT0aVb4Xc8Wd2Ye6"
			creds := fmt.Sprintf("-----BEGIN NATS USER JWT-----\n%s\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n%s\n------END USER NKEY SEED------\n", c.secrets["JWT of credentials"], otherSeed)
			c.environ = append(c.environ, "FOCUS_NATS_NKEY_FILE=", "FOCUS_NATS_CREDS="+c.file("user.creds", creds))
			for _, args := range [][]string{{"test"}, {"setup"}, {"copier"}, {"config", "show"}} {
				c.run(args...)
			}
			c.mustHaveBeenUsed()
			c.files(srv.Running().StoreDir())
			c.search()
		})
	}
}

func must2[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestNoErrorTellsASecret: secrets that stand where they must not, and those that are
// broken, are refused without being repeated.
func TestNoErrorTellsASecret(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	c.bySelf()
	text := "s3:\n  secret_access_key: " + c.secrets["S3 secret"] + "\n  session_token: [" + c.secrets["S3 session token"] + "]\n" +
		"alerts:\n  webhook_url: ht!tp://" + c.secrets["webhook"] + "\n  heartbeat_url: " + c.secrets["heartbeat"] + "\n"
	literal := c.file("literal.yaml", text)
	broken := c.lab.with("FOCUS_ALERTS_WEBHOOK_URL=ht tp://"+c.secrets["webhook"], "FOCUS_ALERTS_HEARTBEAT_URL="+c.secrets["heartbeat"]+"://[",
		"FOCUS_S3_SECRET_ACCESS_KEY="+c.secrets["S3 secret"]+"\n")
	seedless := c.lab.with("NATS_URL=nats://127.0.0.1:1", "FOCUS_NATS_NKEY_FILE="+c.file("bad.nk", "SU"+c.secrets["S3 secret"]))
	for _, args := range [][]string{{"config", "check"}, {"config", "show"}, {"run"}, {"test"}, {"sync"}, {"alerts", "test"}, {"status"}} {
		for kind, l := range map[string]*lab{"literal": c.lab, "broken": broken, "seedless": seedless} {
			if kind == "seedless" && args[0] != "test" && args[0] != "config" {
				continue // it would wait for a server
			}
			given := args
			if kind == "literal" {
				given = append(slices.Clone(args), "--config", literal)
			}
			code, stdout, stderr := l.run(given...)
			if kind != "seedless" && args[0] != "status" && code == 0 {
				t.Errorf("%s: %v succeeds", kind, args)
			}
			c.saw(kind+" "+strings.Join(args, " "), []byte(stdout+stderr))
		}
	}
	c.search()
}
