package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
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

// TestWhatTestSaysIsExplained: each message of the table stands in the program, each
// code that the S3 client tells apart stands in the table, and each line of `test` does.
func TestWhatTestSaysIsExplained(t *testing.T) {
	source := text(t, "internal/cli/probe.go", "internal/cli/wire.go", "internal/network/network.go",
		"internal/oci/*.go", "internal/s3/*.go", "internal/nats/*.go")
	var explained []string
	for _, row := range matches(t, "docs/troubleshooting.md", "(?m)^\\| (`[^|]+`) \\| `(?:credentials|oci|s3|nats)`[^|]* \\|") {
		for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(row, -1) {
			explained = append(explained, m[1])
		}
	}
	for _, message := range explained {
		said := strings.Contains(source, message) || strings.Contains(source, strings.Replace(message, minNATS(t), "%s", 1))
		if !said {
			t.Errorf("no line of the program says %q", message)
		}
	}
	tells := regexp.MustCompile(`(?s)func \(c \*Client\) answered.*?\n}\n`).FindString(text(t, "internal/s3/fault.go"))
	// What only a copy can meet.
	elsewhere := []string{"NoSuchUpload", "NoSuchKey", "RequestTimeout", "BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch", "XAmzContentSHA256Mismatch", "KeyTooLongError"}
	codes := regexp.MustCompile(`"([A-Z][A-Za-z0-9]+)"`).FindAllStringSubmatch(tells, -1)
	for _, m := range codes {
		if !slices.Contains(explained, m[1]) && !slices.Contains(elsewhere, m[1]) {
			t.Errorf("the table has no %s", m[1])
		}
	}
	lines := matches(t, "internal/cli/probe.go", `(?:"(?:ok|FAIL)", |\{)"([a-z0-9]+)", (?:probe|err\.)`)
	for _, line := range lines {
		if !strings.Contains(text(t, "docs/troubleshooting.md"), "`"+line+"`") {
			t.Errorf("the page has no line %s", line)
		}
	}
	if len(explained) < 30 || len(codes) < 20 || len(lines) != 4 {
		t.Errorf("found %d messages, %d codes and the lines %q", len(explained), len(codes), lines)
	}
}

// minNATS is the oldest server that the program takes.
func minNATS(t *testing.T) string {
	t.Helper()
	return matches(t, "internal/nats/dial.go", `MinVersion = "([0-9.]+)"`)[0]
}

// text is that of the files that the patterns find.
func text(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(files) == 0 {
			t.Fatal(pattern, err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(raw)
		}
	}
	return all.String()
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
