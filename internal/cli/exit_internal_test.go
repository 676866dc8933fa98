package cli

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
)

// TestNoOtherExitCodes reads every place of the program that names an exit code: it
// must name one of the table in the help, and only Main ends the process.
func TestNoOtherExitCodes(t *testing.T) {
	table := map[string]bool{}
	for _, m := range exitCodes() {
		table[fmt.Sprint(m.code)] = true
	}
	places := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal/tools") || strings.HasSuffix(path, "internal/bench/main.go") || // which is not shipped
			strings.HasSuffix(path, "internal/failpoint/on.go") { // which kills, and is in no program that is built for anybody
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				return false
			}
			where := set.Position(n.Pos())
			for _, code := range named(n) {
				places++
				if lit, ok := code.(*ast.BasicLit); ok && !table[lit.Value] {
					t.Errorf("%s: exit code %s is not in the table", where, lit.Value)
				}
				if name, ok := code.(*ast.Ident); ok && !strings.HasPrefix(name.Name, "exit") && name.Name != "code" {
					t.Errorf("%s: %s is no exit code of the table", where, name.Name)
				}
			}
			if call, ok := n.(*ast.CallExpr); ok && isExit(call) && filepath.Base(path) != "cli.go" {
				t.Errorf("%s: ends the process by itself", where)
			}
			return true
		})
		return nil
	})
	if err != nil || places < 30 {
		t.Fatalf("%d places were read, %v: the test looks in the wrong place", places, err)
	}
}

// named are the exit codes that a node names.
func named(n ast.Node) []ast.Expr {
	switch n := n.(type) {
	case *ast.CompositeLit:
		name, _ := n.Type.(*ast.Ident)
		if sel, ok := n.Type.(*ast.SelectorExpr); ok {
			name = sel.Sel
		}
		switch {
		case name == nil:
		case name.Name == "coded" && len(n.Elts) == 2:
			return n.Elts[:1]
		case name.Name == "Refusal":
			for _, e := range n.Elts {
				if kv, ok := e.(*ast.KeyValueExpr); ok && kv.Key.(*ast.Ident).Name == "Exit" {
					return []ast.Expr{kv.Value}
				}
			}
		}
	case *ast.CallExpr:
		if name, ok := n.Fun.(*ast.Ident); ok && name.Name == "quietly" {
			return n.Args
		}
	}
	return nil
}

func isExit(call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && (pkg.Name == "os" && sel.Sel.Name == "Exit" || pkg.Name == "log" && strings.HasPrefix(sel.Sel.Name, "Fatal"))
}

func TestWhatAnErrorExitsWith(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("wrapped: %w", err) }
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("any"), 1},
		{&coded{exitRunning, errors.New("x")}, 4},
		{wrap(agent.ErrNotRunning), 5},
		{wrap(context.Canceled), 130},
		{errors.Join(&coded{exitConfig, errors.New("x")}, context.Canceled), 130},
		{&messages.Fault{Class: messages.Unauthenticated, Err: errors.New("401")}, 3},
		{quietly(exitAuth), 3},
		{quietly(exitOK), 0},
		// The answers of an agent of another version.
		{&agent.Refusal{Text: "no", Exit: 2}, 2},
		{&agent.Refusal{Text: "no", Exit: 77}, 1},
		{&agent.Refusal{Text: "no", Exit: 0}, 1},
		{&agent.Refusal{Text: "no", Exit: -1}, 1},
		{quietly(known(99)), 1},
	} {
		if got := exitCode(c.err); got != c.want {
			t.Errorf("%v exits with %d, want %d", c.err, got, c.want)
		}
	}
}

func TestWhoWaitsForTheEndOfThisProcess(t *testing.T) {
	for _, c := range []struct {
		environ     string
		pid, parent int
		want        string
	}{
		{"", 100, 99, ""},
		{"", 1, 0, "the container"},
		{"NOTIFY_SOCKET=/run/systemd/notify", 100, 1, "systemd"},
		{"SYSTEMD_EXEC_PID=100", 100, 1, "systemd"},
		{"INVOCATION_ID=abc", 100, 1, "systemd"},
		// A shell that some service has started, such as that of a terminal.
		{"SYSTEMD_EXEC_PID=50", 100, 99, ""},
		{"INVOCATION_ID=abc", 100, 99, ""},
	} {
		getenv := func(name string) string { value, _ := cutName(c.environ, name); return value }
		if got := supervisor(getenv, c.pid, c.parent); got != c.want {
			t.Errorf("%q, PID %d of %d: %q, want %q", c.environ, c.pid, c.parent, got, c.want)
		}
	}
}

// Each class of failure ends a sync with the exit code that the documentation tells.
func TestEachClassHasItsExitCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range messages.Classes() {
		row := regexp.MustCompile("(?m)^\\| `" + string(c) + "` \\|.* \\| (\\d) \\| [^|]* \\|$").FindSubmatch(page)
		if row == nil {
			t.Errorf("docs/troubleshooting.md has no row of %s with an exit code", c)
			continue
		}
		got := exitOf(agent.Summary{Failures: []agent.Failure{{Class: c}}}, nil)
		if c == messages.Gone { // a file that is gone is skipped, and no failure
			got = exitOf(agent.Summary{Skipped: 1}, nil)
		}
		if want := string(row[1]); strconv.Itoa(got) != want {
			t.Errorf("a sync in which a file fails by %s ends with %d, the documentation says %s", c, got, want)
		}
	}
}
