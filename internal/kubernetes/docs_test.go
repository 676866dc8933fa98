package kubernetes

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// blocks are those of docs/kubernetes.md in a language, in their order.
func blocks(t *testing.T, language string) (all []string) {
	t.Helper()
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(read(t, "docs/kubernetes.md"), -1) {
		all = append(all, m[1])
	}
	return all
}

func commands(t *testing.T) (all []string) {
	t.Helper()
	for _, b := range blocks(t, "sh") {
		all = append(all, strings.Split(strings.TrimSpace(b), "\n")...)
	}
	if len(all) < 12 {
		t.Fatalf("the page has %d commands", len(all))
	}
	return all
}

// TestTheValuesOfTheGuideWork, each on top of the first.
func TestTheValuesOfTheGuideWork(t *testing.T) {
	dir := t.TempDir()
	all := blocks(t, "yaml")
	if len(all) != 5 {
		t.Fatalf("%d blocks of values, want 5", len(all))
	}
	var args []string
	for i, text := range all {
		file := filepath.Join(dir, string(rune('a'+i))+".yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args[:min(i, 1)], "--values="+file)
		rendered, err := helm(t, append([]string{"template", "focus", chart}, args...)...)
		if err != nil {
			t.Errorf("%s\n%v", text, err)
		} else if err := conform(t, rendered); err != nil {
			t.Error(err)
		}
	}
}

// TestTheHelmCommandsOfTheGuideWork, with template in the place of install.
func TestTheHelmCommandsOfTheGuideWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "values.yaml")
	if err := os.WriteFile(file, []byte(blocks(t, "yaml")[0]), 0o600); err != nil {
		t.Fatal(err)
	}
	run := 0
	for _, command := range commands(t) {
		words := strings.Fields(strings.NewReplacer("deploy/helm", chart, "values.yaml", file, "helm install", "helm template").Replace(command))
		if words[0] != "helm" {
			continue
		}
		run++
		if _, err := helm(t, words[1:]...); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
	if run != 3 {
		t.Errorf("%d commands of helm, want 3", run)
	}
}

// TestTheSecretsOfTheGuideAreThoseOfThePods, with the files that the variables name.
func TestTheSecretsOfTheGuideAreThoseOfThePods(t *testing.T) {
	made := map[string][]string{}
	for _, command := range commands(t) {
		m := regexp.MustCompile(`^kubectl -n costs create secret generic (\S+)((?: --from-file=\S+)+)$`).FindStringSubmatch(command)
		if m == nil {
			continue
		}
		made[m[1]] = nil
		for f := range strings.FieldsSeq(m[2]) {
			f = strings.TrimPrefix(f, "--from-file=")
			if file, _, named := strings.Cut(f, "="); named {
				made[m[1]] = append(made[m[1]], file)
			} else { // the directory of a role, as `setup --nats-config` writes it
				made[m[1]] = append(made[m[1]], "ca.pem", "user.nk")
			}
		}
		slices.Sort(made[m[1]])
	}
	needed := map[string][]string{}
	for _, o := range usual(t) {
		for _, v := range o.pod().list("volumes") {
			if name := v.text("secret", "secretName"); name != "" {
				needed[name] = filesOf(o, v.text("name"))
			}
		}
	}
	for name, files := range needed {
		// Whose key it is, the configuration file of OCI says.
		if name == "focus-oci" {
			files = append(files, "key.pem")
		}
		if !slices.Equal(made[name], files) {
			t.Errorf("the guide puts %q into %s, and pods read %q", made[name], name, files)
		}
		delete(made, name)
	}
	if len(made) > 0 {
		t.Errorf("nobody mounts %v", made)
	}
}

// filesOf are the files below the mount of a volume that variables name.
func filesOf(o object, volume string) (files []string) {
	for _, m := range o.container().list("volumeMounts") {
		if m.text("name") != volume {
			continue
		}
		for _, e := range o.container().list("env") {
			if path.Dir(e.text("value")) == m.text("mountPath") {
				files = append(files, path.Base(e.text("value")))
			}
		}
	}
	slices.Sort(files)
	return files
}

// TestWhatTheGuideNamesIsThere: deployments, jobs, files and values.
func TestWhatTheGuideNamesIsThere(t *testing.T) {
	page := read(t, "docs/kubernetes.md")
	names := strings.ToLower(strings.Join(kinds(usual(t)), "\n"))
	for _, m := range regexp.MustCompile(`\b(deployment|job)[/ ](focus-[a-z]+)`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(names, m[1]+" "+m[2]) {
			t.Errorf("there is no %s %s", m[1], m[2])
		}
	}
	values := parse(t, read(t, "deploy/helm/values.yaml"))[0]
	for _, m := range regexp.MustCompile("`([a-z][A-Za-z]*(?:\\.[A-Za-z]+)+)[:`]").FindAllStringSubmatch(page, -1) {
		if strings.HasSuffix(m[1], ".yaml") || strings.HasSuffix(m[1], ".creds") || strings.HasSuffix(m[1], ".nk") {
			continue
		}
		var keys []any
		for k := range strings.SplitSeq(m[1], ".") {
			keys = append(keys, k)
		}
		if values.at(keys...) == nil {
			t.Errorf("there is no value %s", m[1])
		}
	}
	for _, command := range commands(t) {
		for _, dir := range regexp.MustCompile(`deploy/\S+`).FindAllString(command, -1) {
			if _, err := os.Stat(filepath.Join(root, dir)); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
	for _, version := range []string{kubernetesModule, kedaModule, prometheusModule} {
		_, v, _ := strings.Cut(version, "@v")
		short := regexp.MustCompile(`^\d+\.\d+`).FindString(v)
		if !strings.Contains(page, " "+short) {
			t.Errorf("the page does not say that the schemas are of %s", version)
		}
	}
}
