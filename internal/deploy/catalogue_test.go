package deploy

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestCatalogueNamesTestsThatExist holds docs/reliability.md against the code: each row
// stands once, each test that it names exists, a table of rows has the one that names it,
// and each test that is called after a row stands there.
func TestCatalogueNamesTestsThatExist(t *testing.T) {
	tests := testsByPackage(t)
	page := text(t, "docs/reliability.md")
	rows := map[string]string{} // what a row names
	for _, m := range regexp.MustCompile(`(?m)^\| (F\d+) \| [^|]+ \| ([^|]+) \| ([^|]+) \| [^|]+ \|$`).FindAllStringSubmatch(page, -1) {
		row, happens, names := m[1], m[2], m[3]
		if _, twice := rows[row]; twice {
			t.Errorf("%s stands twice", row)
		}
		rows[row] = names
		named := regexp.MustCompile("`([a-z0-9]+)\\.((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(names, -1)
		if len(named) == 0 && !regexp.MustCompile(`Does not apply|not a fault|Not a fault|no test`).MatchString(happens) {
			t.Errorf("%s names no test and does not say why", row)
		}
		if strings.Count(names, "`") != 2*len(named) {
			t.Errorf("%s names something that is no test: %s", row, names)
		}
		for _, n := range named {
			source, ok := tests[n[1]][n[2]]
			switch {
			case !ok:
				t.Errorf("%s names %s.%s, which is no test", row, n[1], n[2])
			case strings.HasPrefix(n[2], "TestFAnswers") && !regexp.MustCompile(`\{"[F0-9 ]*`+row+` `).MatchString(source):
				t.Errorf("%s names the table %s.%s, which has no such row", row, n[1], n[2])
			}
		}
	}
	for n := 1; n <= 121; n++ {
		if row := fmt.Sprintf("F%02d", n); rows[row] == "" {
			t.Errorf("%s is missing", row)
		}
	}
	if len(rows) != 121 {
		t.Errorf("the page has %d rows, want 121", len(rows))
	}
	called := 0
	for pkg, all := range tests {
		for name := range all {
			if m := regexp.MustCompile(`^Test(F\d+)[A-Z]`).FindStringSubmatch(name); m != nil {
				called++
				if !strings.Contains(rows[m[1]], "`"+pkg+"."+name+"`") {
					t.Errorf("%s.%s does not stand in row %s", pkg, name, m[1])
				}
			}
		}
	}
	if called < 20 {
		t.Errorf("only %d tests are called after a row: is the pattern still right?", called)
	}
}

// testsByPackage has the text of the file of each test, by the package's directory.
func testsByPackage(t *testing.T) map[string]map[string]string {
	t.Helper()
	found := map[string]map[string]string{}
	for _, pattern := range []string{"*/*_test.go", "internal/*/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			pkg := filepath.Base(filepath.Dir(file))
			if found[pkg] == nil {
				found[pkg] = map[string]string{}
			}
			for _, m := range regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`).FindAllStringSubmatch(string(raw), -1) {
				found[pkg][m[1]] = string(raw)
			}
		}
	}
	return found
}
