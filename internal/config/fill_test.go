package config_test

import (
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
)

func TestFillChangesNothingButTheValues(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../config.template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"oci.bucket": "ocid1.tenancy.oc1..aa", "s3.bucket_path": "s3://bucket/a", "oci.profile": `a "b" ${HOME} $$ \ # é`,
		"nats.tls.ca": "/ca: x", "agent.since": "2026-01-01",
	}
	filled, err := config.Fill(string(text), values)
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(options(t, filled, "HOME=/h"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, %v", err, warnings)
	}
	for _, k := range config.Keys() {
		want, ok := values[k.Path]
		if !ok {
			want = k.Default
		}
		if got, _ := c.Value(k.Path); got != want && k.Path != "state.dir" {
			t.Errorf("%s = %q, want %q", k.Path, got, want)
		}
	}
	before, after := strings.Split(string(text), "\n"), strings.Split(filled, "\n")
	changed := 0
	for i := range before {
		if before[i] != after[i] {
			changed++
		}
	}
	if changed != len(values) || len(before) != len(after) {
		t.Errorf("%d lines changed, want %d", changed, len(values))
	}
	for _, key := range []string{"oci.none", "none.x", "oci", "x"} {
		if _, err := config.Fill(string(text), map[string]string{key: "a"}); err == nil {
			t.Errorf("Fill of %s, which has no line", key)
		}
	}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ key, value, want string }{
		{"oci.bucket", "ocid1.tenancy.oc1..aa", ""},
		{"oci.bucket", "ocid1.tenancy.oc2.us-langley-1.future.aa", ""},
		{"oci.bucket", "", "is required"},
		{"oci.bucket", "mine", `"mine" is not a tenancy OCID`},
		{"agent.since", "", ""},
		{"agent.since", "yesterday", `"yesterday" is not a date`},
		{"oci.region", "us east", `"us east" is not a region`},
		{"s3.secret_access_key", "hunter2", "is a secret, and arguments are visible to every user"},
		{"no.key", "x", "is not a key of the configuration"},
	} {
		got := ""
		if p := config.Judge(tt.key, tt.value); p != nil {
			got = p.Text
		}
		if got != tt.want {
			t.Errorf("Judge(%s, %q) = %q, want %q", tt.key, tt.value, got, tt.want)
		}
	}
}

func TestSettingsShowWhatIsInEffect(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "oci: {region: \"${R}\"}\nstate: {dir: /d}\n", "R=us-ashburn-1", "FOCUS_S3_ACCESS_KEY_ID=hunter2", "FOCUS_S3_SECRET_ACCESS_KEY=hunter2")
	got := map[string]config.Setting{}
	for _, s := range c.Settings() {
		got[s.Key] = s
	}
	for _, want := range []config.Setting{
		{Key: "oci.region", Value: "us-ashburn-1", Origin: "config.yaml:1:7 (${R})"},
		{Key: "oci.bucket", Value: "ocid1.tenancy.oc1..aa", Origin: "FOCUS_OCI_BUCKET"},
		{Key: "s3.access_key_id", Secret: true, Set: true, Origin: "FOCUS_S3_ACCESS_KEY_ID"},
		{Key: "s3.session_token", Secret: true, Origin: "default"},
		{Key: "agent.poll_interval", Value: "10m", Origin: "default"},
		{Key: "nats.manage", Value: "create", Origin: "default"},
		{Key: "nats.store_dir", Value: "/d/nats", Origin: "default"},
	} {
		if got[want.Key] != want {
			t.Errorf("%+v, want %+v", got[want.Key], want)
		}
	}
	if len(got) != len(config.Keys()) {
		t.Errorf("%d settings of %d keys", len(got), len(config.Keys()))
	}
}
