package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
)

// update rewrites what is generated: go test ./internal/config -run Generated -update
var update = flag.Bool("update", false, "rewrite the generated part of docs/configuration.md and .env.example")

// TestGeneratedPages holds docs/configuration.md and .env.example to the struct.
// What stands before the first line of the generated part is written by hand.
func TestGeneratedPages(t *testing.T) {
	t.Parallel()
	for path, tt := range map[string]struct{ first, want string }{
		"../../docs/configuration.md": {"## Reference", "## Reference\n\n" + config.Reference()},
		"../../.env.example":          {config.DotenvHead, config.Dotenv()},
	} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		head, rest, found := strings.Cut(string(text), "\n"+tt.first+"\n")
		if !found {
			t.Errorf("%s lacks the line %q", path, tt.first)
			continue
		}
		want := strings.TrimRight(tt.want, "\n") + "\n"
		if tt.first+"\n"+rest == want {
			continue
		}
		if !*update {
			t.Errorf("%s is not what the struct says; run: go test ./internal/config -run Generated -update", path)
			continue
		}
		if err := os.WriteFile(path, []byte(head+"\n"+want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDotenvIsTheDefault loads the file that Dotenv makes, with each comment
// taken for a line.
func TestDotenvIsTheDefault(t *testing.T) {
	t.Parallel()
	opts := options(t, "", "HOME=/home/someone")
	seen := 0
	for line := range strings.Lines(config.Dotenv()) {
		line = strings.TrimPrefix(strings.TrimSpace(line), "#")
		if strings.HasPrefix(line, "FOCUS_") {
			seen++
			opts.Environ = append(opts.Environ, line)
		}
	}
	opts.Environ = append(opts.Environ, required...)
	c, warnings, err := config.Load(opts)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Load = %v, warnings %v", err, warnings)
	}
	for _, k := range config.Keys() {
		seen--
		if k.EnvFile != "" {
			seen--
		}
		if got, _ := c.Value(k.Path); got != k.Default && !k.Required && k.Path != "state.dir" {
			t.Errorf("%s = %q, want %q", k.Path, got, k.Default)
		}
	}
	if seen != 0 {
		t.Errorf("%d variables more than keys", seen)
	}
}

func TestReferenceNamesEveryKey(t *testing.T) {
	t.Parallel()
	text := config.Reference()
	for _, k := range config.Keys() {
		if n := strings.Count(text, "| `"+k.Path+"` |"); n != 1 {
			t.Errorf("%s stands there %d times", k.Path, n)
		}
		for _, word := range append(k.Choices, k.Range) {
			if !strings.Contains(text, word) {
				t.Errorf("%s lacks %s", k.Path, word)
			}
		}
	}
	if strings.Contains(text, "\n\n.\n") || strings.Contains(config.Dotenv(), ": \n") {
		t.Error("a section says nothing about itself")
	}
}
