// Command helm does `helm lint` and `helm template` with Helm's own linter, schema check
// and template engine, for the tests of the chart. The whole of Helm, which also speaks to
// clusters and registries, would take three times as long to compile; a test that is given
// that one (HELM=helm) does the same.
package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"helm.sh/helm/v3/pkg/strvals"
)

const usage = "usage: helm lint CHART [--strict] [-f FILE] [--set KEY=VALUE] | helm template NAME CHART [-n NAMESPACE] [-f FILE] [--set KEY=VALUE]"

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := pflag.NewFlagSet("helm", pflag.ContinueOnError)
	namespace := flags.StringP("namespace", "n", "default", "namespace of the release")
	files := flags.StringArrayP("values", "f", nil, "file of values")
	sets := flags.StringArray("set", nil, "one value")
	strict := flags.Bool("strict", false, "warnings are failures")
	if err := flags.Parse(args); err != nil {
		return err
	}
	values, err := merge(*files, *sets)
	if err != nil {
		return err
	}
	switch words := flags.Args(); {
	case len(words) == 2 && words[0] == "lint":
		return judge(words[1], values, *namespace, *strict, out)
	case len(words) == 3 && words[0] == "template":
		return render(words[1], words[2], values, *namespace, out)
	}
	return errors.New(usage)
}

// merge has the values of the files, each over those before, and then single ones.
func merge(files, sets []string) (map[string]any, error) {
	values := map[string]any{}
	for _, file := range files {
		more, err := chartutil.ReadValuesFile(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		values = chartutil.MergeTables(more, values)
	}
	for _, set := range sets {
		if err := strvals.ParseInto(set, values); err != nil {
			return nil, fmt.Errorf("--set %s: %w", set, err)
		}
	}
	return values, nil
}

func judge(dir string, values map[string]any, namespace string, strict bool, out io.Writer) error {
	worst := support.ErrorSev
	if strict {
		worst = support.WarningSev
	}
	linter := lint.All(dir, values, namespace, strict)
	for _, m := range linter.Messages {
		fmt.Fprintln(out, m)
	}
	if linter.HighestSeverity >= worst {
		return fmt.Errorf("%s fails", dir)
	}
	return nil
}

func render(name, dir string, values map[string]any, namespace string, out io.Writer) error {
	chart, err := loader.Load(dir)
	if err != nil {
		return err
	}
	release := chartutil.ReleaseOptions{Name: name, Namespace: namespace, Revision: 1, IsInstall: true}
	all, err := chartutil.ToRenderValues(chart, values, release, chartutil.DefaultCapabilities)
	if err != nil {
		return err
	}
	texts, err := engine.Render(chart, all)
	if err != nil {
		return err
	}
	for _, file := range slices.Sorted(maps.Keys(texts)) {
		if text := strings.TrimSpace(texts[file]); filepath.Ext(file) == ".yaml" && text != "" {
			fmt.Fprintf(out, "---\n# Source: %s\n%s\n", file, strings.TrimPrefix(text, "---\n"))
		}
	}
	return nil
}
