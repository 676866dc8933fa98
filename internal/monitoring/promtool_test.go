package monitoring

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"
)

// promtool finds Prometheus's own judge, or skips the test.
func promtool(t *testing.T) func(args ...string) {
	t.Helper()
	path := os.Getenv("PROMTOOL")
	if _, err := os.Stat(path); err != nil {
		if path, err = exec.LookPath("promtool"); err != nil {
			t.Skip("promtool is not here, so that nobody but Prometheus will try the rules: put it on the PATH, or run `make bin/promtool` where apt is")
		}
	}
	return func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir = root + "deploy/monitoring"
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

func TestPromtoolAcceptsRulesAndConfiguration(t *testing.T) {
	run := promtool(t)
	run("check", "config", "prometheus.yml") // and the rules that it names
	run(append([]string{"test", "rules"}, unitFiles()...)...)
}

func TestPromtoolAcceptsTheDashboard(t *testing.T) {
	run := promtool(t)
	type entry struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var all []entry
	expressions := readDashboard(t).expressions()
	for _, title := range slices.Sorted(maps.Keys(expressions)) {
		for _, expr := range expressions[title] {
			all = append(all, entry{"panel:expression", expr})
		}
	}
	if len(all) < 20 {
		t.Fatalf("%d expressions were found", len(all))
	}
	b, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "dashboard.yml")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	run("check", "rules", "--lint=none", file)
}
