package config_test

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
)

func TestPythonFileIsAcceptedUnchanged(t *testing.T) {
	t.Parallel()
	c, warnings, err := config.Load(config.Options{Path: "testdata/python.yaml", Environ: required[:1], UID: new(0)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %v", err, warnings)
	}
	for key, want := range map[string]string{
		"oci.config_file": "/home/someone/.oci/config", "agent.poll_interval": "10m", "retry.max_delay": "5m", "logging.level": "WARNING",
		"logging.file": "./logs/agent.log", "state.file": "./state/state.json", "state.dir": "/var/lib/oracle-focus-agent",
	} {
		if got, _ := c.Value(key); got != want {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if c.Logging.Style() != "classic" || c.Logging.SlogLevel() != slog.LevelWarn {
		t.Errorf("Style = %s, SlogLevel = %v", c.Logging.Style(), c.Logging.SlogLevel())
	}
}

// TestTemplateShowsEveryDefault loads config.template.yaml: it refuses to run
// as it is, and shows each key with its default.
func TestTemplateShowsEveryDefault(t *testing.T) {
	t.Parallel()
	const template = "../../config.template.yaml"
	_, _, err := config.Load(config.Options{Path: template, Environ: required[:1]})
	e, ok := errors.AsType[*config.Error](err)
	if !ok || len(e.Problems) != 2 || strings.Count(e.Error(), "<PLACEHOLDER>") != 2 {
		t.Errorf("Load of the template = %v, want two placeholders", err)
	}
	c, warnings, err := config.Load(config.Options{Path: template, Environ: required, UID: new(0)})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %v", err, warnings)
	}
	text, err := os.ReadFile(template)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Keys() {
		got, _ := c.Value(k.Path)
		if got != k.Default && !k.Required && k.Path != "state.dir" {
			t.Errorf("%s = %q in the template, the default is %q", k.Path, got, k.Default)
		}
		if name := k.Path[strings.LastIndex(k.Path, ".")+1:]; !strings.Contains(string(text), " "+name+":") {
			t.Errorf("the template lacks %s", k.Path)
		}
	}
}

func TestTestingFileStaysOnThisHost(t *testing.T) {
	t.Parallel()
	c, warnings, err := config.Load(config.Options{Path: "../../config.testing.yaml", Environ: required[:1]})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %v", err, warnings)
	}
	if !strings.HasPrefix(c.OCI.Endpoint, "http://127.0.0.1:") || !strings.HasPrefix(c.S3.Endpoint, "http://127.0.0.1:") || !c.Embedded() {
		t.Errorf("endpoints %s, %s, embedded %v", c.OCI.Endpoint, c.S3.Endpoint, c.Embedded())
	}
}

// acceptedValues are values in a file and what Load makes of them.
var acceptedValues = []struct{ yaml, key, want string }{
	{"oci: {prefix: FOCUS Reports}", "oci.prefix", "FOCUS Reports/"},
	{`oci: {prefix: ""}`, "oci.prefix", ""},
	{`oci: {profile: ""}`, "oci.profile", "DEFAULT"},
	{`oci: {profile: no}`, "oci.profile", "no"},
	{`oci: {namespace: 0123}`, "oci.namespace", "0123"},
	{`naming: {separator: ""}`, "naming.separator", ""},
	{`naming: {date_format: "%Y/%m-%d%%"}`, "naming.date_format", "%Y/%m-%d%%"},
	{"agent: {poll_interval: 90.5}", "agent.poll_interval", "1m30.5s"},
	{"agent: {poll_interval: 1h30m}", "agent.poll_interval", "1h30m"},
	{"agent: {poll_interval: \"600\"}", "agent.poll_interval", "10m"},
	{"agent: {since: 2026-03-01}", "agent.since", "2026-03-01"},
	{"agent: {since: \"\"}", "agent.since", ""},
	{"agent: {daemon_mode: Off}", "agent.daemon_mode", "false"},
	{"agent: {lookback_days: &d 12}\nstate: {retention_days: *d}", "state.retention_days", "12"},
	{"advanced: {chunk_size_bytes: 8_388_608}", "advanced.chunk_size_bytes", "8388608"},
	{"advanced: {max_file_size_gb: 1.5}", "advanced.max_file_size_gb", "1.5"},
	{"s3: {tags: {team: fin ops, \"cost/center\": 42, empty: \"\"}}", "s3.tags", "team=fin ops,cost/center=42,empty="},
	{"s3: {tags: [team=a=b, \"env=é\"]}", "s3.tags", "team=a=b,env=é"},
	{"s3: {tags: 'team=a, env=b'}", "s3.tags", "team=a,env=b"},
	{"s3: {tags: \"\"}", "s3.tags", ""},
	{"s3: {tags: []}", "s3.tags", ""},
	{"s3: {expected_bucket_owner: 012345678901}", "s3.expected_bucket_owner", "012345678901"},
	{"s3: {sse: 'aws:kms:dsse', kms_key_id: 'arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab'}", "s3.kms_key_id", "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab"},
	{"oci: {auth: security_token}", "oci.auth", "session_token"},
	{"oci: {auth: InstancePrincipal}", "oci.auth", "instance_principal"},
	{"oci: {auth: resource_principal}", "oci.auth", "resource_principal"},
	{"oci: {auth: oke_workload_identity}", "oci.auth", "workload_identity"},
	{"s3: {endpoint: 'https://s3.example.com:9000/'}", "s3.endpoint", "https://s3.example.com:9000"},
	{"s3: {endpoint: 'http://localhost:9000'}", "s3.endpoint", "http://localhost:9000"},
	{"s3: {endpoint: 'http://[::1]:9000'}", "s3.endpoint", "http://[::1]:9000"},
	{"s3: {endpoint: 'http://minio:9000'}\nadvanced: {allow_insecure_endpoint: true}", "s3.endpoint", "http://minio:9000"},
	{"nats: {url: 'wss://a, wss://b:443'}", "nats.url", "wss://a,wss://b:443"},
	{"nats: {inbox_prefix: _INBOX_copier.a}", "nats.inbox_prefix", "_INBOX_copier.a"},
	{"http: {listen: 'localhost:0'}", "http.listen", "localhost:0"},
	{"http: {listen: ':9464'}", "http.listen", ":9464"},
	{"http: {listen: '[::]:9464'}", "http.listen", "[::]:9464"},
	{"http: {listen: '127.0.0.1:9464', page: true}", "http.page", "true"},
	{"http: {listen: 'localhost:0', page: true}", "http.page", "true"},
	{"http: {listen: '[::1]:9464', page: true, read_only: true}", "http.page", "true"},
	{"http: {listen: '0.0.0.0:9464', page: true, basic_auth_file: /a/b}", "http.page", "true"},
	{"alerts: {webhook_after: 0}", "alerts.webhook_after", "0s"},
	{"limits: {bandwidth: 20MB}", "limits.bandwidth", "20MB"},
	{"limits: {bandwidth: 0.5 gib}", "limits.bandwidth", "512MiB"},
	{"limits: {bandwidth: 65537}", "limits.bandwidth", "65537"},
	{"limits: {bandwidth: \"1048576\"}", "limits.bandwidth", "1MiB"},
	{"limits: {bandwidth: 0, timetable: \"\"}", "limits.bandwidth", "0"},
	{"limits: {timetable: '08:00 20MB, Sat-18:30  off'}", "limits.timetable", "08:00 20MB,Sat-18:30 off"},
	{"limits: {timetable: [08:00 1000000, Mon-08:00 64KiB]}", "limits.timetable", "08:00 1MB,Mon-08:00 64KiB"},
	{"limits: {timetable: []}", "limits.timetable", ""},
	{"logging: {level: info+2}", "logging.level", "info+2"},
	{"logging: {level: critical}", "logging.level", "critical"},
	{"{}", "oci.name", "main"},
	{"", "oci.name", "main"},
	{"# nothing", "oci.name", "main"},
	{"\ufeffoci: {name: bom}", "oci.name", "bom"},
}

func TestAcceptedValues(t *testing.T) {
	t.Parallel()
	for _, tt := range acceptedValues {
		c := mustLoad(t, tt.yaml)
		if got, ok := c.Value(tt.key); got != tt.want || !ok {
			t.Errorf("%s: %s = %q, want %q", tt.yaml, tt.key, got, tt.want)
		}
	}
}

func TestAddressesOfAlerts(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"https://hooks.example.com/services/T0/B0/x?y=z", "http://127.0.0.1:8080/x", "http://[::1]/x", "https://user:word@example.com"} {
		c := mustLoad(t, `alerts: {webhook_url: "${HOOK}"}`, "HOOK="+address, "FOCUS_ALERTS_HEARTBEAT_URL="+address)
		if hook, beat := c.Alerts.WebhookURL.Reveal(), c.Alerts.HeartbeatURL.Reveal(); hook != address || beat != address {
			t.Errorf("%s was read as %q and %q", address, hook, beat)
		}
	}
	c := mustLoad(t, "advanced: {allow_insecure_endpoint: true}", "FOCUS_ALERTS_WEBHOOK_URL=http://hooks.internal/x")
	if !c.Alerts.WebhookURL.IsSet() || c.Alerts.HeartbeatURL.IsSet() {
		t.Error("an address in a trusted network was not taken")
	}
}

func TestMailOfAlerts(t *testing.T) {
	t.Parallel()
	const mail = "alerts:\n  digest_at: 07:00\n  email:\n    host: smtp.example.com\n    from: Focus <focus@example.com>\n    to: [ops@example.com, \"${WHO}\"]\n"
	c := mustLoad(t, mail, "WHO=b@example.com", "FOCUS_ALERTS_EMAIL_USERNAME=focus", "FOCUS_ALERTS_EMAIL_PASSWORD=hunter2")
	if to := c.Alerts.Email.To.List(); !slices.Equal(to, []string{"ops@example.com", "b@example.com"}) || c.Alerts.DigestAt != "07:00" || !c.Alerts.Tells() {
		t.Errorf("alerts are %+v", c.Alerts)
	}
	if s := c.Secrets(); !slices.Equal(s, []string{"hunter2"}) {
		t.Errorf("the secrets are %q", s)
	}
	c = mustLoad(t, "alerts: {email: {host: 127.0.0.1, tls: none}}", "FOCUS_ALERTS_EMAIL_TO= a@example.com , b@example.com", "FOCUS_ALERTS_EMAIL_FROM=c@example.com", "FOCUS_ALERTS_EMAIL_USERNAME=u", "FOCUS_ALERTS_EMAIL_PASSWORD=p")
	if c.Alerts.Email.To != "a@example.com,b@example.com" {
		t.Errorf("recipients are %q", c.Alerts.Email.To)
	}
	mustLoad(t, "advanced: {allow_insecure_endpoint: true}\nalerts: {email: {host: mail, tls: none, from: a@example.com, to: b@example.com}}")
	if _, warnings, err := load(t, "alerts: {digest_at: 07:00}"); err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].String(), "nobody is told") {
		t.Errorf("a digest for nobody: %v, %v", warnings, err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	c, warnings, err := load(t, `
advanced: {validate_checksum: false, chunk_size_bytes: 1024}
agent:
  lookback_days: 0
s3: {profile: p, access_key_id: "${X}", secret_access_key: "${X}"}
nats: {manage: none}
`, "X=y")
	if err != nil {
		t.Fatal(err)
	}
	wantWarnings(t, warnings, `config.yaml:2:38: advanced.chunk_size_bytes: 1024 is below 5 MiB, the least that S3 takes, and is raised to it; fix: write 5242880 or more
config.yaml:5:6: s3.profile: is ignored, because s3.access_key_id is set; fix: keep one of them
config.yaml:2:12: advanced.validate_checksum: false is ignored: every copy is verified before it is visible; fix: remove it
config.yaml:4:3: agent.lookback_days: fewer than 3 count as 3, because reports come up to a day late; fix: use 3 or more
config.yaml:6:8: nats.manage: a queue inside the agent is made by nobody else, and will not work before setup; fix: remove it or set nats.url`)
	if got := c.Advanced.ChunkSizeBytes; got != 5<<20 {
		t.Errorf("chunk = %d, want 5 MiB", got)
	}
}

func TestDerivedValues(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ path, bucket, prefix string }{
		{"s3://bucket", "bucket", ""},
		{"s3://bucket/", "bucket", ""},
		{"s3://bucket/a", "bucket", "a/"},
		{"s3://bucket/a/0/b/", "bucket", "a/0/b/"},
	} {
		s := config.S3{BucketPath: tt.path}
		if s.Bucket() != tt.bucket || s.KeyPrefix() != tt.prefix {
			t.Errorf("%s = %q, %q, want %q, %q", tt.path, s.Bucket(), s.KeyPrefix(), tt.bucket, tt.prefix)
		}
	}
	c := config.Default()
	if got := c.Advanced.MaxFileSize(); got != 5<<30 {
		t.Errorf("MaxFileSize = %d", got)
	}
	c.Advanced.ValidateFileSize = false
	if got := c.Advanced.MaxFileSize(); got != 0 {
		t.Errorf("MaxFileSize without validation = %d", got)
	}
	if !c.Embedded() || c.Manage() != "create" || c.Logging.Style() != "text" {
		t.Errorf("Embedded %v, Manage %s, Style %s", c.Embedded(), c.Manage(), c.Logging.Style())
	}
	if at, ok := config.Day("2026-03-01").Time(); !ok || !at.Equal(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)) {
		t.Errorf("Time = %v, %v", at, ok)
	}
	if _, ok := config.Day("").Time(); ok {
		t.Error("an empty day has a time")
	}
}

func TestStateDir(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		uid             int
		dir, xdg, home  string
		want, wantStore string
	}{
		{0, "", "/x", "/root", "/var/lib/oracle-focus-agent", "/var/lib/oracle-focus-agent/nats"},
		{1000, "", "/x", "/h", "/x/oracle-focus-agent", "/x/oracle-focus-agent/nats"},
		{1000, "", "relative", "/h", "/h/.local/state/oracle-focus-agent", "/h/.local/state/oracle-focus-agent/nats"},
		{1000, "", "", "/h", "/h/.local/state/oracle-focus-agent", "/h/.local/state/oracle-focus-agent/nats"},
		{1000, "~/s", "/x", "/h", "/h/s", "/h/s/nats"},
	} {
		opts := options(t, "", append(required[1:], "XDG_STATE_HOME="+tt.xdg, "HOME="+tt.home, "FOCUS_STATE_DIR="+tt.dir)...)
		opts.UID = new(tt.uid)
		c, _, err := config.Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		if c.State.Dir != tt.want || c.StoreDir() != tt.wantStore {
			t.Errorf("%+v: state.dir = %s, store %s", tt, c.State.Dir, c.StoreDir())
		}
		if got, want := c.Origin("state.dir") == "default", tt.dir == ""; got != want {
			t.Errorf("%+v: origin of state.dir = %s", tt, c.Origin("state.dir"))
		}
	}
	_, _, err := config.Load(options(t, "", required[1:]...))
	wantProblems(t, err, "config.yaml: state.dir: has no default, because HOME is not set; fix: set it in the file or set FOCUS_STATE_DIR")
}

func TestWhichFile(t *testing.T) {
	t.Parallel()
	opts := options(t, minimal+"oci2: {}", required[0])
	opts.Path = ""
	_, _, err := config.Load(opts)
	wantProblems(t, err, "config.yaml:3:1: oci2: is not a key of the configuration; fix: did you mean oci?")

	opts.Environ = []string{"HOME=" + opts.Dir, "FOCUS_CONFIG=~/other.yaml"}
	_, _, err = config.Load(opts)
	wantProblems(t, err, "~/other.yaml: cannot be read: no such file or directory; fix: name a readable file with --config or FOCUS_CONFIG")

	opts.Path = "."
	_, _, err = config.Load(opts)
	wantProblems(t, err, ".: cannot be read: is a directory; fix: name a readable file with --config or FOCUS_CONFIG")

	opts.Path = "big.yaml"
	big := []byte(minimal + strings.Repeat("#", 1<<20))
	if err := os.WriteFile(filepath.Join(opts.Dir, opts.Path), big, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err = config.Load(opts)
	wantProblems(t, err, "big.yaml: is larger than 1 MiB; fix: name a configuration file with --config or FOCUS_CONFIG")
	if err := os.WriteFile(filepath.Join(opts.Dir, opts.Path), big[:1<<20], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err = config.Load(opts); err != nil {
		t.Errorf("Load of 1 MiB = %v", err)
	}
}

// TestOnlyFilesAreRead holds that no command waits for a pipe and that a broken
// mount does not read as a missing file, which would be fine.
func TestOnlyFilesAreRead(t *testing.T) {
	t.Parallel()
	opts := options(t, minimal, required[0])
	at := func(name string) string { return filepath.Join(opts.Dir, name) }
	err := errors.Join(syscall.Mkfifo(at("pipe"), 0o600), os.Symlink("config.yaml", at("link")),
		os.Mkdir(at("sub"), 0o700), os.Symlink("../none", at("sub/config.yaml")), os.WriteFile(at("empty"), []byte(" \n"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	opts.Path = "pipe"
	_, _, err = config.Load(opts)
	wantProblems(t, err, "pipe: cannot be read: is a pipe, a socket or a device; fix: name a readable file with --config or FOCUS_CONFIG")

	opts.Path = "link"
	if c, _, err := config.Load(opts); err != nil || c.File() != "link" {
		t.Errorf("Load of a link = %v", err)
	}

	opts.Path, opts.Environ = "empty", required
	c, warnings, err := config.Load(opts)
	if err != nil || c.File() != "empty" {
		t.Fatal(err)
	}
	wantWarnings(t, warnings, "empty: is empty: every value is a default or comes from a variable; fix: write the configuration into it, or remove it")

	opts.Path = os.DevNull
	if c, warnings, err := config.Load(opts); err != nil || len(warnings) > 0 || c.File() != "" {
		t.Errorf("Load of no file = %v, %v", err, warnings)
	}

	opts.Path, opts.Dir = "", at("sub")
	_, _, err = config.Load(opts)
	wantProblems(t, err, "config.yaml: cannot be read: is a link to nothing; fix: name a readable file with --config or FOCUS_CONFIG")
}

// TestFilesWithSecretsAreForTheirOwner tries each file that holds a secret.
func TestFilesWithSecretsAreForTheirOwner(t *testing.T) {
	t.Parallel()
	opts := options(t, "nats: {url: \"tls://a\", nkey_file: nkey, tls: {cert: cert, key: key}}", append(append([]string{}, required...),
		"FOCUS_S3_ACCESS_KEY_ID_FILE=id", "FOCUS_S3_SECRET_ACCESS_KEY_FILE=secret")...)
	for _, name := range []string{"nkey", "cert", "key", "id", "secret"} {
		path := filepath.Join(opts.Dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("x"), 0o600), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := config.Load(opts)
	want := `config.yaml:1:24: nats.nkey_file: the file "DIR/nkey" cannot be used: it is open to other users (mode 0644); fix: chmod 600 DIR/nkey
config.yaml:1:59: nats.tls.key: the file "DIR/key" cannot be used: it is open to other users (mode 0644); fix: chmod 600 DIR/key
FOCUS_S3_ACCESS_KEY_ID_FILE: s3.access_key_id: the file "DIR/id" cannot be used: it is open to other users (mode 0644); fix: chmod 600 DIR/id
FOCUS_S3_SECRET_ACCESS_KEY_FILE: s3.secret_access_key: the file "DIR/secret" cannot be used: it is open to other users (mode 0644); fix: chmod 600 DIR/secret`
	wantProblems(t, err, strings.ReplaceAll(want, "DIR", opts.Dir))

	// systemd's credentials, named by the file and by a variable, have modes of their own.
	opts.Environ = append(opts.Environ, "CREDENTIALS_DIRECTORY="+opts.Dir, "FOCUS_NATS_NKEY_FILE="+opts.Dir+"/nkey")
	if _, _, err := config.Load(opts); err != nil {
		t.Errorf("Load with credentials = %v", err)
	}
	yaml := "nats: {url: \"tls://a\", nkey_file: \"${CREDENTIALS_DIRECTORY}/nkey\"}"
	if err := os.WriteFile(filepath.Join(opts.Dir, "config.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	opts.Environ = slices.DeleteFunc(opts.Environ, func(s string) bool { return strings.HasPrefix(s, "FOCUS_NATS") })
	c, _, err := config.Load(opts)
	if err != nil || c.NATS.NkeyFile != opts.Dir+"/nkey" || c.S3.SecretAccessKey.Reveal() != "x" {
		t.Errorf("Load with ${CREDENTIALS_DIRECTORY} = %v", err)
	}
	if got, want := c.Origin("nats.nkey_file"), "config.yaml:1:24 (${CREDENTIALS_DIRECTORY})"; got != want {
		t.Errorf("Origin = %s, want %s", got, want)
	}
}

// The files of the providers' tools are not ours to refuse.
func TestOpenFilesOfOtherToolsAreNamed(t *testing.T) {
	t.Parallel()
	opts := options(t, "", required[1:]...)
	for _, dir := range []string{".oci", ".aws"} {
		if err := os.Mkdir(filepath.Join(opts.Dir, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{".oci/config", ".aws/credentials", "other"} {
		path := filepath.Join(opts.Dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	opts.Environ = append(opts.Environ, "HOME="+opts.Dir)
	for _, tt := range []struct {
		env  []string
		want string
	}{
		{nil, `the file "DIR/.oci/config" is open to other users; fix: chmod 600 DIR/.oci/config
the file "DIR/.aws/credentials" is open to other users; fix: chmod 600 DIR/.aws/credentials`},
		{[]string{"FOCUS_OCI_CONFIG_FILE=~/other", "FOCUS_S3_ACCESS_KEY_ID=a", "FOCUS_S3_SECRET_ACCESS_KEY=b"},
			`FOCUS_OCI_CONFIG_FILE: oci.config_file: the file "DIR/other" is open to other users; fix: chmod 600 DIR/other`},
		{[]string{"OCI_CONFIG_FILE=" + opts.Dir + "/none", "AWS_SHARED_CREDENTIALS_FILE=" + opts.Dir + "/other"},
			`AWS_SHARED_CREDENTIALS_FILE: the file "DIR/other" is open to other users; fix: chmod 600 DIR/other`},
	} {
		opts := opts
		opts.Environ = append(append([]string{}, opts.Environ...), tt.env...)
		_, warnings, err := config.Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		wantWarnings(t, warnings, strings.ReplaceAll(tt.want, "DIR", opts.Dir))
	}
}

// Whoever can change the file says where the reports go.
func TestAConfigurationThatOthersCanChangeIsNamed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		file, dir os.FileMode
		want      string
	}{
		{0o644, 0o755, ""},
		{0o600, 0o777 | os.ModeSticky, ""},
		{0o620, 0o755, `"DIR/config.yaml" (mode 0620); fix: chmod go-w DIR/config.yaml`},
		{0o602, 0o777 | os.ModeSticky, `"DIR/config.yaml" (mode 0602); fix: chmod go-w DIR/config.yaml`},
		{0o600, 0o770, `"DIR" (mode 0770); fix: chmod go-w DIR`},
	} {
		opts := options(t, minimal, required[0])
		dir, err := filepath.EvalSymlinks(opts.Dir)
		if err := errors.Join(err, os.Chmod(filepath.Join(dir, "config.yaml"), tt.file), os.Chmod(dir, tt.dir)); err != nil {
			t.Fatal(err)
		}
		_, warnings, err := config.Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		if tt.want != "" {
			tt.want = "config.yaml: other users can change it, and so send the cost data elsewhere: they can write to " + strings.ReplaceAll(tt.want, "DIR", dir)
		}
		wantWarnings(t, warnings, tt.want)
	}
}

func TestWithoutAnyFileTheVariablesAreNamed(t *testing.T) {
	t.Parallel()
	_, _, err := config.Load(config.Options{Dir: t.TempDir(), Environ: required[:1]})
	where := "is required; fix: there is neither config.yaml nor /etc/oracle-focus-agent/config.yaml: name a file with --config, let `config init` write one, or set "
	wantProblems(t, err, "oci.bucket: "+where+"FOCUS_OCI_BUCKET\ns3.bucket_path: "+where+"FOCUS_S3_BUCKET_PATH")
}

func TestKeysAreNamedAfterTheirPlace(t *testing.T) {
	t.Parallel()
	keys := config.Keys()
	for _, k := range keys {
		if want := "FOCUS_" + strings.ToUpper(strings.ReplaceAll(k.Path, ".", "_")); k.Env != want {
			t.Errorf("%s has the variable %s, want %s", k.Path, k.Env, want)
		}
		if k.Doc == "" || (k.EnvFile != "") != (k.Type == "secret") {
			t.Errorf("%+v lacks its documentation or the variable of its file", k)
		}
		for _, word := range []string{"secret", "token", "password", "passphrase"} {
			if strings.Contains(k.Path, word) && k.Type != "secret" {
				t.Errorf("%s is no Secret", k.Path)
			}
		}
	}
	if _, ok := config.Default().Value("no.key"); ok {
		t.Error("a key that is none has a value")
	}
}

func TestHostileFilesAreReadInTime(t *testing.T) {
	t.Parallel()
	many := func(line string) string { return strings.Repeat(line, (1<<20)/len(line)) }
	var keys strings.Builder
	for i := range 60000 {
		fmt.Fprintf(&keys, "agent%d: 1\n", i)
	}
	for name, yaml := range map[string]string{
		"brackets": many("["), "braces": many("{a: "), "keys": keys.String(), "duplicates": many("agent:\n"),
		"references": "oci:\n  region: " + many("${")[:1<<19], "indentation": many("- "),
		"itself": "agent: &a {agent: *a}\nnats: &n {tls: *n}\n",
		"laughs": "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nagent: *c\n",
	} {
		start := time.Now()
		_, _, err := load(t, yaml)
		if e, ok := errors.AsType[*config.Error](err); !ok || len(e.Problems) > 201 {
			t.Errorf("%s: Load accepted it or says too much", name)
		}
		if took := time.Since(start); took > time.Minute { // on a busy machine; else about a second
			t.Errorf("%s: Load took %v", name, took)
		}
	}
}

// FuzzLoad holds that no file makes Load panic or fail without saying where
// and what, and that no message holds a secret.
func FuzzLoad(f *testing.F) {
	for _, tt := range badFiles {
		f.Add(tt.yaml)
	}
	for _, path := range []string{"testdata/python.yaml", "../../config.template.yaml", "../../config.testing.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("s3: {secret_access_key: \"${CANARY}\", access_key_id: \"${CANARY}\"}\nagent: {poll_interval: \"${CANARY}\"}")
	opts := options(f, "", append(append([]string{}, required...), "CANARY=hunter2-canary")...)
	f.Fuzz(func(t *testing.T, yaml string) {
		if err := os.WriteFile(filepath.Join(opts.Dir, opts.Path), []byte(yaml), 0o600); err != nil {
			t.Fatal(err)
		}
		c, warnings, err := config.Load(opts)
		var all strings.Builder
		for _, w := range warnings {
			all.WriteString(w.String())
		}
		if err == nil {
			if c == nil || c.OCI.Bucket == "" || c.S3.Bucket() == "" || c.State.Dir == "" {
				t.Errorf("Load = %+v without an error", c)
			}
			return
		}
		e, ok := errors.AsType[*config.Error](err)
		if !ok || len(e.Problems) == 0 || c != nil {
			t.Fatalf("Load = %v, %v", c, err)
		}
		for _, p := range e.Problems {
			if p.Text == "" || p.Fix == "" || strings.ContainsAny(p.String(), "\n\x00") {
				t.Errorf("problem %q", p)
			}
			if p.Line < 0 || p.Line > len(yaml)+2 || p.Line > 0 && p.Column < 1 {
				t.Errorf("problem at no place: %+v", p)
			}
		}
		all.WriteString(err.Error())
		if strings.Contains(all.String(), "hunter2-canary") && !strings.Contains(yaml, "hunter2-canary") {
			t.Errorf("a secret in %s", all.String())
		}
	})
}

func TestIncompleteMayLackWhatIsRequiredAndNothingElse(t *testing.T) {
	t.Parallel()
	o := options(t, "nats: {prefix: billing}\n")
	o.Incomplete = true
	c, warnings, err := config.Load(o)
	if err != nil || len(warnings) > 0 || c.NATS.Prefix != "billing" || c.OCI.Name != "main" {
		t.Errorf("Load = %+v, %v, warnings %v, want only the prefix", c, err, warnings)
	}
	o = options(t, "nats: {prefix: Billing}\n")
	o.Incomplete = true
	_, _, err = config.Load(o)
	wantProblems(t, err, "config.yaml:1:8: nats.prefix: \"Billing\" is not a prefix; fix: use 1 to 32 lower-case letters, digits, _ and -")
}
