package messages_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/messages"
)

// Each class that errors.go declares is listed and explained, and the table of the
// documentation says the same: meaning, rule of trying again, whether it stops a side, exit
// code, remedy. internal/cli holds the exit codes against what sync ends with.
func TestEveryClassIsExplained(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	declared := 0
	for _, d := range file.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, s := range g.Specs {
			if v := s.(*ast.ValueSpec); v.Type != nil && v.Type.(*ast.Ident).Name == "Class" {
				declared++
			}
		}
	}
	if got := len(messages.Classes()); got != declared {
		t.Errorf("%d classes are listed, %d are declared", got, declared)
	}
	page, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	link := regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
	lines := strings.Split(link.ReplaceAllString(string(page), "$1"), "\n")
	for _, c := range messages.Classes() {
		e := c.Explain()
		side, exit := "no", "1"
		if c.OfSide() {
			side = "yes"
		}
		switch {
		case c.Credentials():
			exit = "3"
		case c == messages.Gone: // nobody's failure
			exit = "0"
		}
		row := "| " + strings.Join([]string{"`" + string(c) + "`", e.Meaning, e.Does, side, exit, e.Remedy}, " | ") + " |"
		if !slices.Contains(lines, row) {
			t.Errorf("docs/troubleshooting.md lacks the row\n%s", row)
		}
		if e.Meaning == "" || e.Does == "" || e.Remedy == "" {
			t.Errorf("%s is explained by half: %+v", c, e)
		}
	}
	if messages.Class("new").Explain() != messages.Unknown.Explain() {
		t.Error("a class of a later version is not explained as unknown")
	}
}
