package deploy

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWhatGuardsIsThere: every test that SECURITY.md names exists, every fuzz target is
// named there, and its links and files lead somewhere.
func TestWhatGuardsIsThere(t *testing.T) {
	exists := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range declared.FindAllStringSubmatch(string(text), -1) {
			exists[m[1]] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := matches(t, "SECURITY.md", "`((?:Test|Fuzz)\\w+)`")
	for _, name := range named {
		if !exists[name] {
			t.Errorf("SECURITY.md names %s, which does not exist", name)
		}
	}
	for name := range exists {
		if strings.HasPrefix(name, "Fuzz") && !slices.Contains(named, name) {
			t.Errorf("SECURITY.md does not name %s", name)
		}
	}
	if len(named) < 50 {
		t.Errorf("only %d tests are named", len(named))
	}
	for _, file := range matches(t, "SECURITY.md", "`(docs/[a-z-]+\\.md)`") {
		if _, err := os.Stat(filepath.Join(root, file)); err != nil {
			t.Error(err)
		}
	}
}
