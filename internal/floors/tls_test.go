package floors

import (
	"go/ast"
	"go/parser"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// unverified is what is wrong with how a file deals with TLS. Who runs a server with a
// certificate of his own names its CA: there is no switch that trusts whoever answers.
func unverified(f *ast.File) (all []string) {
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			switch n.Name {
			case "InsecureSkipVerify":
				all = append(all, "InsecureSkipVerify: trust a CA instead (RootCAs)")
			case "VerifyPeerCertificate", "VerifyConnection":
				all = append(all, n.Name+" replaces or adds to what crypto/tls verifies: trust a CA instead (RootCAs)")
			case "CipherSuites":
				all = append(all, "CipherSuites: Go's own choice gets better with each release")
			}
		case *ast.CompositeLit:
			if s, ok := n.Type.(*ast.SelectorExpr); ok && s.Sel.Name == "Config" && isName(s.X, "tls") && !setsMinVersion(n) {
				all = append(all, "a tls.Config without MinVersion: tls.VersionTLS12 or newer")
			}
		}
		return true
	})
	return all
}

func isName(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func setsMinVersion(c *ast.CompositeLit) bool {
	for _, e := range c.Elts {
		kv, ok := e.(*ast.KeyValueExpr)
		if !ok || !isName(kv.Key, "MinVersion") {
			continue
		}
		v, ok := kv.Value.(*ast.SelectorExpr)
		return ok && isName(v.X, "tls") && (v.Sel.Name == "VersionTLS12" || v.Sel.Name == "VersionTLS13")
	}
	return false
}

func TestNobodyIsTrustedWithoutProof(t *testing.T) {
	configs := 0
	for _, s := range sources(t, "../..", parser.SkipObjectResolution) {
		if s.room == "internal/floors" {
			continue
		}
		bad := unverified(s.file)
		for _, b := range bad {
			if !s.test || !strings.Contains(b, "MinVersion") { // a test may need a server of old TLS
				t.Errorf("%s: %s", s.path, b)
			}
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isName(sel.X, "tls") && sel.Sel.Name == "Config" {
				configs++
			}
			return true
		})
	}
	if configs < 4 {
		t.Errorf("only %d uses of tls.Config were seen: the test looks in the wrong place", configs)
	}
}

// TestTheSearchForTrustCanFail plants violations, and what is right.
func TestTheSearchForTrustCanFail(t *testing.T) {
	for source, want := range map[string]int{
		`&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}`:      1,
		`&tls.Config{InsecureSkipVerify: false, MinVersion: tls.VersionTLS12}`:     1,
		`func() { var c tls.Config; c.InsecureSkipVerify = os.Getenv("X") != "" }`: 1,
		`tls.Config{MinVersion: tls.VersionTLS11}`:                                 1,
		`tls.Config{}`:                1,
		`tls.Config{ServerName: "x"}`: 1,
		`tls.Config{MinVersion: tls.VersionTLS12, CipherSuites: nil}`:     1,
		`tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: nil}`: 1,
		`tls.Config{MinVersion: tls.VersionTLS13}`:                        0,
		`&tls.Config{ServerName: "x", MinVersion: tls.VersionTLS12}`:      0,
		`other.Config{}`: 0,
	} {
		e, err := parser.ParseExpr(source)
		if err != nil {
			t.Fatal(err)
		}
		f := &ast.File{Name: ast.NewIdent("x"), Decls: []ast.Decl{&ast.GenDecl{Specs: []ast.Spec{&ast.ValueSpec{Values: []ast.Expr{e}}}}}}
		if bad := unverified(f); len(bad) != want {
			t.Errorf("%s: %q, want %d", source, bad, want)
		}
	}
}

// What is shipped, and what the documents tell to type, do not look away either.
func TestNoFileOrCommandLooksAway(t *testing.T) {
	away := regexp.MustCompile(`(?i)insecure_?skip|skip[_-]verify|tlsinsecure|tls_?verify: *(?:false|0)|--insecure\b|\bcurl\b[^|\n]* -[a-z]*k\b|no-check-certificate|GODEBUG=\S*tls|StrictHostKeyChecking=no`)
	files := 0
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "bin" || d.Name() == ".git" || d.Name() == "tools"):
			return fs.SkipDir
		case d.IsDir() || !d.Type().IsRegular() || strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".sum"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if found := away.Find(text); found != nil {
			t.Errorf("%s: %q", path, found)
		}
		return nil
	})
	if err != nil || files < 50 {
		t.Errorf("%d files were read, %v", files, err)
	}
}
