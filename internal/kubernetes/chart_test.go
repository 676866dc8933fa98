// Package kubernetes holds what must be true of the chart in deploy/helm and of the
// kustomize base beside it, as tests: rendered by Helm's engine, judged by its linter and
// by the schemas of the kinds, and loaded by the program. No cluster runs them.
package kubernetes

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v4"
)

const (
	root  = "../.."
	chart = root + "/deploy/helm"
)

// program is what `make test` has built, or skips the test.
func program(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Skipf("%s names no program; `make test` builds it and runs this test", variable)
	}
	return path
}

// helm runs Helm; what it says in the end is the text of the error. The same is asked
// often, and answered once.
func helm(t *testing.T, args ...string) (string, error) {
	t.Helper()
	path := program(t, "HELM")
	type answer struct {
		text string
		err  error
	}
	key := fmt.Sprintf("%q", args)
	if a, ok := answers.Load(key); ok {
		return a.(answer).text, a.(answer).err
	}
	text, err := run(t, path, args)
	answers.Store(key, answer{text, err})
	return text, err
}

// answers of Helm by its arguments.
var answers sync.Map

func run(t *testing.T, path string, args []string) (string, error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "GOGC=off") // it lives for a moment
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s%s", err, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

// installations are the files of values in deploy/helm/ci, by name.
func installations(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(chart + "/ci/*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("%d files of values, want 4, %v", len(files), err)
	}
	return files
}

// An object is one manifest.
type object map[string]any

// at follows keys, and numbers of lists; nil where there is nothing.
func (o object) at(path ...any) any {
	var v any = map[string]any(o)
	for _, p := range path {
		switch key := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[key]
		case int:
			l, _ := v.([]any)
			if key >= len(l) {
				return nil
			}
			v = l[key]
		}
	}
	return v
}

func (o object) text(path ...any) string {
	s, _ := o.at(path...).(string)
	return s
}

func (o object) kind() string { return o.text("kind") }
func (o object) component() string {
	return o.text("metadata", "labels", "app.kubernetes.io/component")
}

// pod is the pod of a Deployment or a Job, or nil.
func (o object) pod() object {
	spec, _ := o.at("spec", "template", "spec").(map[string]any)
	return spec
}

func (o object) container() object {
	c, _ := o.pod().at("containers", 0).(map[string]any)
	return c
}

func (o object) list(path ...any) (all []object) {
	l, _ := o.at(path...).([]any)
	for _, v := range l {
		m, _ := v.(map[string]any)
		all = append(all, m)
	}
	return all
}

// parse reads manifests; two of the same name are refused, as they would overwrite each
// other.
func parse(t *testing.T, text string) (all []object) {
	t.Helper()
	seen := map[string]bool{}
	decoder := yaml.NewDecoder(strings.NewReader(text))
	for {
		var o map[string]any // not object, which the decoder would use for what is inside, too
		err := decoder.Decode(&o)
		if err == io.EOF {
			return all
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if o == nil {
			continue
		}
		id := object(o).kind() + " " + object(o).text("metadata", "name")
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		all = append(all, o)
	}
}

// render is the release focus in the namespace costs.
func render(t *testing.T, args ...string) []object {
	t.Helper()
	text, err := helm(t, append([]string{"template", "focus", chart, "--namespace", "costs"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, text)
}

func usual(t *testing.T, sets ...string) []object {
	t.Helper()
	args := []string{"-f", chart + "/ci/usual.yaml"}
	for _, s := range sets {
		args = append(args, "--set", s)
	}
	return render(t, args...)
}

// only is the one object of the kind and component.
func only(t *testing.T, all []object, kind, component string) object {
	t.Helper()
	var found []object
	for _, o := range all {
		if o.kind() == kind && o.component() == component {
			found = append(found, o)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d of %s %s, want one", len(found), kind, component)
	}
	return found[0]
}

func kinds(all []object) (names []string) {
	for _, o := range all {
		names = append(names, o.kind()+" "+o.text("metadata", "name"))
	}
	slices.Sort(names)
	return names
}

// everywhere calls f with each pod of each installation.
func everywhere(t *testing.T, f func(t *testing.T, o object)) {
	for _, file := range installations(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			pods := 0
			for _, o := range render(t, "-f", file) {
				if o.pod() != nil {
					pods++
					f(t, o)
				}
			}
			if pods < 2 {
				t.Errorf("%d pods, want scanner and copier at least", pods)
			}
		})
	}
}
