// Package floors holds the rule of who may import whom, as a test.
package floors

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "oracle-focus-agent"

// A room is one package directory. The standard library is open to all; what
// else a room imports stands here: rooms of this module by their directory,
// other modules by a prefix of their import path.
type room struct {
	uses  []string
	tests []string // beside uses, the room itself and testLibraries, in _test files only
}

// testLibraries may be imported by every test.
func testLibraries() []string {
	return []string{"pgregory.net/rapid", "go.uber.org/goleak", "github.com/rogpeppe/go-internal"}
}

// table is the plan of the house. Floor 0 is the contract, floor 1 the core,
// floor 2 what the product is made with, floor 3 the wiring, floor 4 the mains.
func table() map[string]room {
	return map[string]room{
		".": {}, // what the program carries of the top level

		"messages": {},

		"scanner": {uses: []string{"messages"}},
		"copier":  {uses: []string{"messages"}, tests: []string{"internal/limits"}},

		"internal/nats": {
			uses: []string{"messages", "scanner", "copier", "internal/failpoint", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "github.com/gofrs/flock"},
			// They measure a whole scan, too.
			tests: []string{"internal/natstest", "internal/oci", "internal/simulator", "github.com/nats-io/jwt/v2", "github.com/nats-io/nkeys"},
		},
		"internal/natsserver": {
			uses:  []string{"messages", "internal/nats", "github.com/nats-io/nkeys"},
			tests: []string{"internal/natstest", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "scanner", "copier"},
		},
		"internal/oci": {
			uses:  []string{"messages", "scanner", "copier", "internal/network", "internal/keyfile", "internal/live", "github.com/oracle/oci-go-sdk/v65"},
			tests: []string{"internal/simulator", "github.com/youmark/pkcs8"},
		},
		"internal/s3": {
			uses:  []string{"messages", "scanner", "copier", "internal/network", "internal/live", "github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go"},
			tests: []string{"internal/simulator", "internal/versitygw"},
		},
		// It stands between a copier and its ports.
		"internal/limits":  {uses: []string{"messages", "copier", "golang.org/x"}, tests: []string{"internal/nats", "internal/natstest"}},
		"internal/config":  {uses: []string{"messages", "internal/keyfile", "go.yaml.in/yaml/v4", "github.com/kelseyhightower/envconfig"}, tests: []string{"github.com/santhosh-tekuri/jsonschema/v6"}},
		"internal/logging": {uses: []string{"github.com/DeRuina/timberjack", "gopkg.in/natefinch/lumberjack.v2", "golang.org/x"}},
		"internal/agent":   {uses: []string{"messages", "scanner", "copier", "golang.org/x"}},
		"internal/systemd": {uses: []string{"github.com/coreos/go-systemd/v22/daemon"}},
		"internal/daemon":  {uses: []string{"internal/failpoint"}, tests: []string{"golang.org/x"}},
		"internal/web": {
			uses: []string{"messages", "scanner", "copier", "internal/agent", "internal/report", "golang.org/x", "github.com/dustin/go-humanize", "github.com/prometheus/client_golang"},
			// Its tests hold the description of the API against its answers.
			tests: []string{"github.com/santhosh-tekuri/jsonschema/v6"},
		},
		"internal/natstest": {
			uses: []string{"messages", "internal/nats", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "go.uber.org/goleak"},
		},
		"internal/simulator": {
			uses: []string{"github.com/johannesboyne/gofakes3", "golang.org/x"},
			// Its tests speak to it with the clients of the product.
			tests: []string{"github.com/aws/aws-sdk-go-v2", "github.com/aws/smithy-go", "github.com/oracle/oci-go-sdk/v65"},
		},
		// Its tests read the reports that the simulator makes, beside copies.
		"internal/focus":     {uses: []string{"messages", "github.com/klauspost/compress"}, tests: []string{"internal/simulator", "copier"}},
		"internal/state":     {uses: []string{"messages"}},
		"internal/report":    {uses: []string{"messages"}},
		"internal/verify":    {uses: []string{"messages"}, tests: []string{"copier", "internal/simulator", "internal/s3"}},
		"internal/notify":    {uses: []string{"internal/network", "github.com/wneessen/go-mail"}},
		"internal/trace":     {uses: []string{"messages", "scanner", "copier", "go.opentelemetry.io/otel", "go.opentelemetry.io/contrib", "github.com/go-logr/logr"}, tests: []string{"go.opentelemetry.io/proto", "google.golang.org/protobuf"}},
		"internal/failpoint": {}, // moments at which a crash is tried; nothing without its build tag
		"internal/network":   {},
		"internal/live":      {},
		"internal/keyfile":   {},
		"internal/versitygw": {},
		// It runs the programs, and stands between them.
		"internal/chaos": {uses: []string{"messages", "internal/nats", "internal/simulator", "github.com/nats-io/nkeys", "github.com/youmark/pkcs8"}, tests: []string{"internal/failpoint"}},
		// It runs the programs, and others for comparison.
		"internal/bench": {uses: []string{"internal/simulator", "github.com/aws/aws-sdk-go-v2", "github.com/oracle/oci-go-sdk/v65", "github.com/dustin/go-humanize"}},
		// It runs the containers, and looks at them from outside as an operator would.
		"internal/e2e":    {tests: []string{"messages", "internal/nats", "internal/simulator", "github.com/dustin/go-humanize"}},
		"internal/floors": {},
		// It looks at the pages of the demo with a browser.
		"internal/browser": {tests: []string{"github.com/chromedp"}},
		// It runs scanners and copiers together, in memory and on a server.
		"internal/model": {tests: []string{"messages", "scanner", "copier", "internal/nats", "internal/natstest", "github.com/nats-io/nats.go"}},
		// It runs a cluster of NATS servers under the load of many tenancies.
		"internal/scale":  {tests: []string{"messages", "copier", "internal/nats", "internal/natstest", "github.com/nats-io/nats-server/v2"}},
		"internal/deploy": {tests: []string{"github.com/compose-spec/compose-go/v2"}},
		// It renders what is shipped for Kubernetes, and has the program take it.
		"internal/kubernetes": {tests: []string{"messages", "internal/config", "internal/nats", "internal/natstest", "github.com/nats-io/nats.go", "go.yaml.in/yaml/v4"}},
		// It holds what is shipped for Prometheus and Grafana against the metrics.
		"internal/monitoring": {tests: []string{"messages", "scanner", "copier", "internal/web", "go.yaml.in/yaml/v4"}},

		// The only room that knows several adapters.
		"internal/cli": {
			uses: []string{
				".", "messages", "scanner", "copier",
				"internal/nats", "internal/natsserver", "internal/oci", "internal/s3", "internal/live", "internal/focus", "internal/limits", "internal/config", "internal/logging", "internal/agent", "internal/daemon", "internal/failpoint", "internal/web", "internal/notify", "internal/simulator", "internal/state", "internal/systemd", "internal/trace", "internal/verify", "internal/report",
				"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/gofrs/flock", "github.com/vbauerster/mpb/v8", "github.com/dustin/go-humanize", "golang.org/x",
			},
			// Its scripts run the commands against real servers, and look into them.
			tests: []string{"internal/natstest", "internal/versitygw", "go.opentelemetry.io/proto", "google.golang.org/protobuf", "go.yaml.in/yaml/v4", "github.com/nats-io/nkeys", "github.com/youmark/pkcs8", "github.com/nats-io/nats.go", "github.com/nats-io/nats-server/v2", "github.com/prometheus/client_golang", "github.com/santhosh-tekuri/jsonschema/v6"},
		},

		"cmd": {uses: []string{"internal/cli"}}, // every directory below cmd
	}
}

// A source is one parsed Go file.
type source struct {
	path string // in the module, with slashes
	room string
	test bool
	file *ast.File
	set  *token.FileSet
}

// sources parses every Go file of the module below root. It reads the files
// itself: the test cache does not see what a child process such as go list reads.
func sources(t *testing.T, root string, mode parser.Mode) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() {
			if name != root && (base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
				return fs.SkipDir
			}
			if name != root && isModule(name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(base, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, nil, mode)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		out = append(out, source{path: rel, room: roomOf(path.Dir(rel)), test: strings.HasSuffix(base, "_test.go"), file: file, set: set})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}

func roomOf(dir string) string {
	if strings.HasPrefix(dir, "cmd/") {
		return "cmd"
	}
	return dir
}

func imports(s source) []string {
	var out []string
	for _, i := range s.file.Imports {
		p, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			panic(err) // unreachable: the parser has read it
		}
		out = append(out, p)
	}
	return out
}

// check returns what the table says against an import of s; empty if nothing.
func check(rooms map[string]room, s source, imported string) string {
	r, ok := rooms[s.room]
	if !ok {
		return fmt.Sprintf("%s: the package %s is not in the table of internal/floors; give it a room of its own there and say what it may import", s.path, s.room)
	}
	first, _, _ := strings.Cut(imported, "/")
	if imported == module {
		imported = module + "/."
	}
	own := strings.TrimPrefix(imported, module+"/")
	inside := own != imported
	if !inside && !strings.Contains(first, ".") {
		return "" // the standard library
	}
	if inside {
		imported = roomOf(own)
	}
	allowed := slices.Clone(r.uses)
	if s.test {
		allowed = slices.Concat(allowed, r.tests, testLibraries(), []string{s.room})
	}
	if slices.ContainsFunc(allowed, func(a string) bool {
		return imported == a || !inside && strings.HasPrefix(imported, a+"/")
	}) {
		return ""
	}
	return fmt.Sprintf("%s: %s may not import %s; it may import the standard library and %v", s.path, s.room, imported, allowed)
}

func TestImportsFollowTheTable(t *testing.T) {
	rooms := table()
	seen := map[string]bool{}
	for _, s := range sources(t, "../..", parser.ImportsOnly) {
		seen[s.room] = true
		for _, i := range append(imports(s), "fmt") { // a package without imports needs a room, too
			if bad := check(rooms, s, i); bad != "" {
				t.Error(bad)
				break
			}
		}
	}
	for _, r := range []string{"messages", "scanner", "copier", "internal/floors"} {
		if !seen[r] {
			t.Errorf("no file of %s was read: the test looks in the wrong place", r)
		}
	}
}

// TestTheTableCanFail plants violations, one for each rule.
func TestTheTableCanFail(t *testing.T) {
	rooms := table()
	for _, c := range []struct {
		room, imported string
		test           bool
		refused        bool
	}{
		{"messages", "time", false, false},
		{"messages", module + "/scanner", false, true},
		{"messages", "golang.org/x/text", false, true},
		{"scanner", module + "/messages", false, false},
		{"scanner", module + "/copier", false, true},
		{"scanner", "github.com/nats-io/nats.go", false, true},
		{"scanner", "go.uber.org/goleak", true, false},
		{"scanner", module + "/copier", true, true},
		{"copier", module + "/scanner", false, true},
		{"copier", "github.com/aws/smithy-go", false, true},
		{"copier", "pgregory.net/rapid", false, true},
		{"internal/s3", "github.com/aws/aws-sdk-go-v2/service/s3", false, false},
		{"internal/s3", "github.com/aws/aws-sdk-go-v2extra", false, true},
		{"internal/s3", module + "/internal/oci", false, true},
		{"internal/s3", module + "/internal/oci", true, true},
		{"internal/oci", module + "/internal/simulator", false, true},
		{"internal/oci", module + "/internal/simulator", true, false},
		{"internal/nats", module + "/internal/config", false, true},
		{"internal/config", module + "/scanner", false, true},
		{"internal/simulator", module + "/messages", false, true},
		{"copier", "github.com/prometheus/client_golang/prometheus", false, true},
		{"internal/cli", "github.com/prometheus/client_golang/prometheus", false, true},
		{"internal/web", module + "/internal/nats", false, true},
		{"internal/cli", module + "/internal/oci", false, false},
		{"internal/cli", "github.com/aws/aws-sdk-go-v2/aws", false, true},
		{"cmd", module + "/internal/cli", false, false},
		{"cmd", module + "/messages", false, true},
		{"cmd", module, false, true},
		{"internal/cli", module, false, false},
		{"internal/helpers", "fmt", false, true},
		{"pkg", "fmt", false, true},
	} {
		bad := check(rooms, source{path: c.room + "/x.go", room: c.room, test: c.test}, c.imported)
		if (bad != "") != c.refused {
			t.Errorf("check(%s imports %s, test %t) = %q, want refused %t", c.room, c.imported, c.test, bad, c.refused)
		}
	}
}

func TestNothingIsHiddenInInit(t *testing.T) {
	for _, s := range sources(t, "../..", parser.SkipObjectResolution) {
		if s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s: a func init runs before anyone asked; call a function instead", s.set.Position(f.Pos()))
			}
		}
	}
}

// TestCoreHasNoGlobals: the packages of the core keep no state between calls but
// in the values that they are given. Sentinel errors are no state.
func TestCoreHasNoGlobals(t *testing.T) {
	core := map[string]int{"messages": 0, "scanner": 0, "copier": 0}
	for _, s := range sources(t, "../..", parser.SkipObjectResolution) {
		if _, ok := core[s.room]; !ok || s.test {
			continue
		}
		core[s.room]++
		for _, d := range s.file.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, spec := range g.Specs {
				if v := spec.(*ast.ValueSpec); !sentinels(v) {
					t.Errorf("%s: the package-level variable %s is state that nobody passed in", s.set.Position(v.Pos()), v.Names[0].Name)
				}
			}
		}
	}
	for _, r := range slices.Sorted(maps.Keys(core)) {
		if core[r] == 0 {
			t.Errorf("no file of %s was read", r)
		}
	}
}

// sentinels reports whether every value of v is errors.New(…).
func sentinels(v *ast.ValueSpec) bool {
	if len(v.Values) != len(v.Names) {
		return false
	}
	return !slices.ContainsFunc(v.Values, func(e ast.Expr) bool {
		call, ok := e.(*ast.CallExpr)
		if !ok {
			return true
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, ok := f.X.(*ast.Ident)
		return !ok || pkg.Name != "errors" || f.Sel.Name != "New"
	})
}
