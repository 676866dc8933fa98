package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kelseyhightower/envconfig"

	"oracle-focus-agent/internal/config"
)

func TestFlagsBeatEnvironmentBeatsFileBeatsDefaults(t *testing.T) {
	t.Parallel()
	const file, variable = "nats:\n  url: nats://file:1\n", "FOCUS_NATS_URL=nats://variable:1"
	flag := map[string]string{"nats.url": "nats://flag:1"}
	for _, tt := range []struct {
		name, yaml   string
		env          []string
		flags        map[string]string
		want, origin string
	}{
		{"nothing", "", nil, nil, "", "default"},
		{"provider's variable", "", []string{"NATS_URL=nats://provider:1"}, nil, "nats://provider:1", "NATS_URL"},
		{"provider's variable without a scheme", "", []string{"NATS_URL=provider:1, b"}, nil, "nats://provider:1,nats://b", "NATS_URL"},
		{"file", file, []string{"NATS_URL=nats://provider:1"}, nil, "nats://file:1", "config.yaml:2:3"},
		{"empty in the file", "nats:\n  url: \"\"\n", []string{"NATS_URL=nats://provider:1"}, nil, "nats://provider:1", "NATS_URL"},
		{"variable", file, []string{variable}, nil, "nats://variable:1", "FOCUS_NATS_URL"},
		{"empty variable", file, []string{"FOCUS_NATS_URL="}, nil, "nats://file:1", "config.yaml:2:3"},
		{"flag", file, []string{variable}, flag, "nats://flag:1", "--server"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := options(t, tt.yaml, append(append([]string{}, required...), tt.env...)...)
			opts.Overrides, opts.Flags = tt.flags, map[string]string{"nats.url": "server"}
			c, warnings, err := config.Load(opts)
			if err != nil || len(warnings) > 0 {
				t.Fatalf("Load = %v, warnings %v", err, warnings)
			}
			if got, origin := c.NATS.URL, c.Origin("nats.url"); got != tt.want || origin != tt.origin {
				t.Errorf("nats.url = %q from %s, want %q from %s", got, origin, tt.want, tt.origin)
			}
		})
	}
}

func TestFlagsAreJudgedLikeTheRest(t *testing.T) {
	t.Parallel()
	opts := options(t, "", required...)
	opts.Overrides = map[string]string{"agent.since": "tomorrow", "s3.secret_access_key": "hunter2", "agent.pol": "1", "oci.name": "a b"}
	_, _, err := config.Load(opts)
	wantProblems(t, err, `--pol: agent.pol: is not a key of the configuration; fix: did you mean agent.poll_interval?
--since: agent.since: "tomorrow" is not a date; fix: write it as YYYY-MM-DD
--secret-access-key: s3.secret_access_key: is a secret, and arguments are visible to every user; fix: leave it empty and use the AWS credential chain or s3.profile, or set FOCUS_S3_SECRET_ACCESS_KEY (in the file: ${FOCUS_S3_SECRET_ACCESS_KEY}), or name a file that holds it in FOCUS_S3_SECRET_ACCESS_KEY_FILE
--name: oci.name: "a b" is not a route name; fix: use 1 to 32 letters, digits, _ and -`)
}

func TestEnvironmentAloneSuffices(t *testing.T) {
	t.Parallel()
	opts := options(t, "", append(required[1:], // a container without HOME
		"NATS_URL=tls://a:4222,tls://b:4222", "NATS_CREDS=/run/secrets/nats.creds",
		"FOCUS_AGENT_POLL_INTERVAL=2m", "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=8",
		"FOCUS_S3_ACCESS_KEY_ID=id", "FOCUS_S3_SECRET_ACCESS_KEY=hunter2",
		"FOCUS_NATS_TLS_CA=/etc/ca.pem", "FOCUS_ADVANCED_DRY_RUN=1")...)
	opts.Path, opts.Dir = "", t.TempDir()
	c, warnings, err := config.Load(opts)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %v", err, warnings)
	}
	for key, want := range map[string]string{
		"oci.bucket": "ocid1.tenancy.oc1..aa", "oci.prefix": "FOCUS Reports/", "s3.bucket_path": "s3://bucket/organization/0/account",
		"nats.url": "tls://a:4222,tls://b:4222", "nats.creds": "/run/secrets/nats.creds", "nats.tls.ca": "/etc/ca.pem",
		"agent.poll_interval": "2m", "agent.max_concurrent_transfers": "8", "advanced.dry_run": "true",
		"s3.secret_access_key": "********", "s3.session_token": "", "state.dir": "",
	} {
		if got, ok := c.Value(key); got != want || !ok {
			t.Errorf("%s = %q, want %q", key, got, want)
		}
	}
	if got := c.S3.SecretAccessKey.Reveal(); got != "hunter2" {
		t.Errorf("s3.secret_access_key = %q", got)
	}
	if c.Embedded() || c.Manage() != "verify" {
		t.Errorf("Embedded = %v, Manage = %s", c.Embedded(), c.Manage())
	}
}

func TestSecretsComeFromFiles(t *testing.T) {
	t.Parallel()
	write := func(dir, name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opts := options(t, "", append(append([]string{}, required...), "FOCUS_S3_ACCESS_KEY_ID_FILE=id", "FOCUS_S3_SECRET_ACCESS_KEY_FILE=secret")...)
	write(opts.Dir, "id", "id\n")
	write(opts.Dir, "secret", " hunter2 \r\n")
	c, _, err := config.Load(opts)
	if err != nil {
		t.Fatal(err)
	}
	if id, secret := c.S3.AccessKeyID.Reveal(), c.S3.SecretAccessKey.Reveal(); id != "id" || secret != " hunter2 " {
		t.Errorf("keys = %q, %q", id, secret)
	}
	if got, want := c.Origin("s3.secret_access_key"), "FOCUS_S3_SECRET_ACCESS_KEY_FILE"; got != want {
		t.Errorf("Origin = %s, want %s", got, want)
	}

	write(opts.Dir, "empty", "\n")
	write(opts.Dir, "lines", "hunter2\nhunter2\n")
	opts.Environ = append(append([]string{}, required...), "FOCUS_S3_ACCESS_KEY_ID=id", "FOCUS_S3_ACCESS_KEY_ID_FILE=id",
		"FOCUS_S3_SECRET_ACCESS_KEY_FILE=empty", "FOCUS_S3_SESSION_TOKEN_FILE=lines")
	_, _, err = config.Load(opts)
	wantProblems(t, err, `FOCUS_S3_ACCESS_KEY_ID_FILE: s3.access_key_id: is set beside FOCUS_S3_ACCESS_KEY_ID; fix: unset one of them
FOCUS_S3_SECRET_ACCESS_KEY_FILE: s3.secret_access_key: the file "empty" cannot be used: it is empty; fix: name a file that holds the value and nothing else
FOCUS_S3_SESSION_TOKEN_FILE: s3.session_token: the value holds a control character or bytes that are not UTF-8; fix: remove it; a line break at the end is the usual cause`)

	opts.Environ = append(append([]string{}, required...), "FOCUS_S3_SECRET_ACCESS_KEY_FILE=none")
	_, _, err = config.Load(opts)
	wantProblems(t, err, `FOCUS_S3_SECRET_ACCESS_KEY_FILE: s3.secret_access_key: the file "none" cannot be used: no such file or directory; fix: name a file that holds the value and nothing else`)
}

func TestKeyBeatsTheFileSuffix(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "", "FOCUS_OCI_CONFIG_FILE=/x/config", "FOCUS_LOGGING_FILE=~/agent.log")
	if c.OCI.ConfigFile != "/x/config" || c.Logging.File != "/home/someone/agent.log" {
		t.Errorf("config_file = %q, logging.file = %q", c.OCI.ConfigFile, c.Logging.File)
	}
}

func TestUnknownVariablesAreNamed(t *testing.T) {
	t.Parallel()
	_, warnings, err := load(t, "", "FOCUS_AGENT_POLLINTERVAL=60", "FOCUS_LOGING_FILE=x", "FOCUS_EMPTY=", "FOCUSED=1",
		"FOCUS_PORT=tcp://10.0.0.1:80", "FOCUS_NATS_PORT=tcp://10.0.0.1:4222", "FOCUS_NATS_SERVICE_HOST=10.0.0.1", "FOCUS_SERVICE_PORT_HTTP=80",
		"FOCUS_NATS_PORT_4222_TCP=tcp://10.0.0.1:4222", "FOCUS_NATS_PORT_4222_TCP_ADDR=10.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	wantWarnings(t, warnings, `FOCUS_AGENT_POLLINTERVAL: is not a variable of this program and is ignored; fix: did you mean FOCUS_AGENT_POLL_INTERVAL?
FOCUS_LOGING_FILE: is not a variable of this program and is ignored; fix: did you mean FOCUS_LOGGING_FILE?`)
}

func wantWarnings(t *testing.T, warnings []config.Warning, want string) {
	t.Helper()
	var lines []string
	for _, w := range warnings {
		lines = append(lines, w.String())
	}
	if got := strings.Join(lines, "\n"); got != want {
		t.Errorf("warnings:\n got %s\nwant %s", got, want)
	}
}

// TestAgreesWithEnvconfig sets every variable in the environment of the
// process, where envconfig.Process reads it, and compares the two results. It
// is not parallel for that reason.
func TestAgreesWithEnvconfig(t *testing.T) {
	samples := map[string]string{
		"oci.bucket": "ocid1.tenancy.oc1..aa", "oci.prefix": "a/", "oci.auth": "api_key", "oci.endpoint": "https://oci.example.com", "oci.usage_endpoint": "https://usage.example.com",
		"s3.storage_class": "STANDARD", "s3.sse": "aws:kms", "s3.acl": "private", "s3.tags": "a=1,b=2", "s3.expected_bucket_owner": "012345678901",
		"s3.bucket_path": "s3://bucket/a", "s3.endpoint": "https://s3.example.com", "logging.level": "DEBUG", "logging.format": "json",
		"agent.since": "2025-01-02", "nats.url": "nats://a:1,nats://b:1", "nats.manage": "none", "nats.nkey_file": "", "nats.replicas": "3",
		"http.listen": "localhost:1", "http.token": "0123456789abcdef0123456789abcdef", "alerts.heartbeat_url": "https://a.example.com/b", "alerts.webhook_url": "https://a.example.com/c",
		"alerts.slack_url": "https://a.example.com/d", "alerts.teams_url": "https://a.example.com/e", "alerts.digest_at": "07:00",
		"alerts.email.from": "focus@example.com", "alerts.email.to": "a@example.com,b@example.com", "alerts.email.tls": "implicit",
		"naming.date_format": "%Y%m%d", "naming.template": "{date}/{basename}", "advanced.chunk_size_bytes": "6291456", "agent.poll_interval": "61.5", "s3.profile": "",
		"verify.absent": "ingested", "integrity.changed": "hold", "integrity.statistics": "true",
		"limits.bandwidth": "20MB", "limits.timetable": "",
	}
	for _, k := range config.Keys() {
		value, ok := samples[k.Path]
		switch {
		case ok:
		case k.Type == "number":
			value = "7"
		case k.Type == "duration":
			value = "2m"
		case k.Type == "true or false":
			value = map[string]string{"true": "false", "false": "true"}[k.Default]
		default:
			value = "a" + strings.ReplaceAll(k.Path[strings.LastIndex(k.Path, ".")+1:], "_", "-")
		}
		if value != "" {
			t.Setenv(k.Env, value)
		}
	}
	want := config.Default()
	if err := envconfig.Process("FOCUS", want); err != nil {
		t.Fatal(err)
	}
	got, _, err := config.Load(config.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range config.Keys() {
		g, _ := got.Value(k.Path)
		w, _ := want.Value(k.Path)
		if g != w || g == k.Default && k.Path != "oci.auth" && k.Path != "integrity.statistics" && g != "" {
			t.Errorf("%s = %q, envconfig says %q, the default is %q", k.Path, g, w, k.Default)
		}
	}
	if g, w := got.S3.SessionToken.Reveal(), want.S3.SessionToken.Reveal(); g != w || g == "" {
		t.Errorf("s3.session_token = %q, envconfig says %q", g, w)
	}
}
