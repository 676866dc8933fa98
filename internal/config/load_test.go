package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
)

// required is an environment that is enough to load.
var required = []string{
	"HOME=/home/someone",
	"FOCUS_OCI_BUCKET=ocid1.tenancy.oc1..aa",
	"FOCUS_S3_BUCKET_PATH=s3://bucket/organization/0/account",
}

const minimal = "oci: {bucket: ocid1.tenancy.oc1..aa}\ns3: {bucket_path: s3://bucket/organization/0/account}\n"

func options(t testing.TB, yaml string, env ...string) config.Options {
	t.Helper()
	dir := t.TempDir()
	if yaml == "" {
		yaml = "# nothing\n" // an empty file is warned about
	}
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	return config.Options{
		Path: "config.yaml", Dir: dir, Environ: append([]string{}, env...), UID: new(1000),
		Now: func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) },
	}
}

// load reads yaml with the required keys in the environment.
func load(t testing.TB, yaml string, env ...string) (*config.Config, []config.Warning, error) {
	t.Helper()
	return config.Load(options(t, yaml, append(append([]string{}, required...), env...)...))
}

func mustLoad(t testing.TB, yaml string, env ...string) *config.Config {
	t.Helper()
	c, _, err := load(t, yaml, env...)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	return c
}

func TestFileIsRefusedWhereItIsWrong(t *testing.T) {
	t.Parallel()
	for _, tt := range badFiles {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			env := required
			if strings.Contains(tt.yaml, "bucket:") || strings.Contains(tt.yaml, "bucket_path") {
				env = required[:1]
			}
			_, _, err := config.Load(options(t, tt.yaml, append(append([]string{}, env...), tt.env...)...))
			wantProblems(t, err, tt.want)
		})
	}
}

func wantProblems(t *testing.T, err error, want string) {
	t.Helper()
	e, ok := errors.AsType[*config.Error](err)
	if !ok || len(e.Problems) == 0 {
		t.Fatalf("Load = %v, want a *config.Error with problems", err)
	}
	if got := e.Error(); got != want {
		t.Errorf("Load:\n got %s\nwant %s", got, want)
	}
}
