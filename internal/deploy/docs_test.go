package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
)

// TestEveryClassIsExplained: what a failure can be called stands in
// docs/troubleshooting.md, and nothing else does.
func TestEveryClassIsExplained(t *testing.T) {
	classes := matches(t, "messages/errors.go", `(?m)^\t[A-Z]\w+ +Class = "([a-z-]+)"`)
	rows := matches(t, "docs/troubleshooting.md", "(?m)^\\| `([a-z-]+)` \\|")
	slices.Sort(classes)
	slices.Sort(rows)
	if len(classes) == 0 || !slices.Equal(classes, rows) {
		t.Errorf("classes %q, rows %q", classes, rows)
	}
}

// TestLinksLead: every link of a document to a file of the project.
func TestLinksLead(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob(filepath.Join(root, "docs", "*", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	files = append(append(files, more...), filepath.Join(root, "README.md"), filepath.Join(root, "CONTRIBUTING.md"), filepath.Join(root, "CHANGELOG.md"))
	for _, file := range files {
		name, err := filepath.Rel(root, file)
		if err != nil {
			t.Fatal(err)
		}
		for _, link := range matches(t, name, `\]\(([^)#: ]+)[^): ]*\)`) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), link)); err != nil {
				t.Errorf("%s links to %s: %v", name, link, err)
			}
		}
	}
}

// matches are the first groups of what a file has of a pattern.
func matches(t *testing.T, file, pattern string) (found []string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(raw), -1) {
		found = append(found, m[1])
	}
	return found
}
