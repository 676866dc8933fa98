package config_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
)

func TestAdoptTakesWhatMayChangeAndNothingElse(t *testing.T) {
	load := func(environ ...string) *config.Config {
		t.Helper()
		c, _, err := config.Load(config.Options{Path: "/dev/null", Environ: append(environ, "HOME=/home/x",
			"FOCUS_OCI_BUCKET=ocid1.tenancy.oc1..aa", "FOCUS_S3_ACCESS_KEY_ID=id")})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	old := load("FOCUS_S3_BUCKET_PATH=s3://one/a", "FOCUS_S3_SECRET_ACCESS_KEY=before", "FOCUS_AGENT_LOOKBACK_DAYS=7")
	next := load("FOCUS_S3_BUCKET_PATH=s3://two/a", "FOCUS_S3_SECRET_ACCESS_KEY=after", "FOCUS_AGENT_POLL_INTERVAL=90")
	got, changed, kept := old.Adopt(next, func(key string) bool { return key != "s3.bucket_path" })
	if want := []string{"s3.secret_access_key", "agent.poll_interval", "agent.lookback_days"}; !slices.Equal(changed, want) {
		t.Errorf("changed %v, want %v", changed, want)
	}
	if want := []string{"s3.bucket_path"}; !slices.Equal(kept, want) {
		t.Errorf("kept %v, want %v", kept, want)
	}
	if got.S3.BucketPath != "s3://one/a" || got.S3.SecretAccessKey.Reveal() != "after" || got.Agent.PollInterval != next.Agent.PollInterval || got.Agent.LookbackDays != 35 {
		t.Errorf("adopted %+v", got)
	}
	if o := got.Origin("agent.lookback_days"); o != "default" {
		t.Errorf("the origin of a value that went back to the default is %q", o)
	}
	if o := got.Origin("agent.poll_interval"); !strings.Contains(o, "FOCUS_AGENT_POLL_INTERVAL") {
		t.Errorf("the origin of a new value is %q", o)
	}
	if old.S3.SecretAccessKey.Reveal() != "before" || old.Agent.LookbackDays != 7 || old.Origin("agent.lookback_days") == "default" {
		t.Errorf("the old configuration changed: %+v", old)
	}
	if _, changed, kept := old.Adopt(load("FOCUS_S3_BUCKET_PATH=s3://one/a", "FOCUS_S3_SECRET_ACCESS_KEY=before", "FOCUS_AGENT_LOOKBACK_DAYS=7"), nil); changed != nil || kept != nil {
		t.Errorf("two equal configurations differ in %v and %v", changed, kept)
	}
}

// Again reads the files as they are, and the variables of the start.
func TestAgainReadsTheSecretOfNow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	cfg, _, err := config.Load(config.Options{Path: "/dev/null", Environ: []string{
		"HOME=/home/x", "FOCUS_OCI_BUCKET=ocid1.tenancy.oc1..aa", "FOCUS_S3_BUCKET_PATH=s3://one/a",
		"FOCUS_S3_ACCESS_KEY_ID=id", "FOCUS_S3_SECRET_ACCESS_KEY_FILE=" + file,
	}})
	if err != nil {
		t.Fatal(err)
	}
	write("after")
	now, err := cfg.Again()
	if err != nil || now.S3.SecretAccessKey.Reveal() != "after" || cfg.S3.SecretAccessKey.Reveal() != "before" {
		t.Errorf("Again is %+v, %v", now, err)
	}
	write("")
	if _, err := cfg.Again(); err == nil {
		t.Error("an empty file is taken for a secret")
	}
}
