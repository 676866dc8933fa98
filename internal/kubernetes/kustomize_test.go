package kubernetes

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const kustomize = root + "/deploy/kustomize"

// plain is an object of the chart as it is without Helm: no hooks, and one ConfigMap, whose
// name kustomize changes with what it holds.
func plain(o object) object {
	metadata := o["metadata"].(map[string]any)
	delete(metadata, "namespace")
	delete(metadata, "annotations")
	labels := []any{metadata["labels"]}
	if o.pod() != nil {
		inner := o.at("spec", "template", "metadata").(map[string]any)
		delete(inner, "annotations")
		labels = append(labels, inner["labels"])
	}
	for _, l := range labels {
		delete(l.(map[string]any), "helm.sh/chart")
		delete(l.(map[string]any), "app.kubernetes.io/managed-by")
		delete(l.(map[string]any), "app.kubernetes.io/version") // it is the image's
	}
	for _, v := range o.pod().list("volumes") {
		if m, ok := v["configMap"].(map[string]any); ok {
			m["name"] = "focus"
		}
	}
	if o.kind() == "Deployment" && o.component() == "copier" {
		o["spec"].(map[string]any)["replicas"] = 2
	}
	return o
}

// TestTheBaseIsThatOfTheChart: both have one source.
func TestTheBaseIsThatOfTheChart(t *testing.T) {
	parts := map[string][]object{}
	for _, o := range render(t, "-f", kustomize+"/values.yaml") {
		switch o.kind() {
		case "ConfigMap": // the overlay's
		case "Service", "ServiceMonitor", "PrometheusRule":
			parts["components/monitoring"] = append(parts["components/monitoring"], plain(o))
		case "ScaledObject":
			parts["components/keda"] = append(parts["components/keda"], plain(o))
		default:
			parts["base"] = append(parts["base"], plain(o))
		}
	}
	if len(parts["base"]) != 7 || len(parts["components/monitoring"]) != 4 || len(parts["components/keda"]) != 1 {
		t.Errorf("%d, %d and %d resources", len(parts["base"]), len(parts["components/monitoring"]), len(parts["components/keda"]))
	}
	for dir, all := range parts {
		var b bytes.Buffer
		b.WriteString("# Made from deploy/helm with deploy/kustomize/values.yaml by\n# UPDATE=1 go test -run TestTheBaseIsThatOfTheChart ./internal/kubernetes\n")
		for _, o := range all {
			raw, err := yaml.Marshal(map[string]any(o))
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString("---\n")
			b.Write(raw)
		}
		same(t, "deploy/kustomize/"+dir+"/resources.yaml", b.String())
		if err := conform(t, b.String()); err != nil {
			t.Errorf("%s: %v", dir, err)
		}
	}
}

// build is what kustomize makes of a directory.
func build(t *testing.T, dir string) string {
	t.Helper()
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		t.Skip("kubectl is not here, so that nobody builds the overlay: put it on the PATH")
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), kubectl, "kustomize", dir)
	cmd.Stderr = &said
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "KUBECONFIG=")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.Bytes())
	}
	return string(out)
}

// TestTheOverlayIsComplete: with and without its components.
func TestTheOverlayIsComplete(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "kustomize")
	if err := os.CopyFS(dir, os.DirFS(kustomize)); err != nil {
		t.Fatal(err)
	}
	text := build(t, dir+"/overlays/example")
	all := parse(t, text)
	if len(all) != 8 {
		t.Errorf("%q, want 8 resources", kinds(all))
	}
	if err := conform(t, text); err != nil {
		t.Error(err)
	}
	for _, o := range all {
		if o.text("metadata", "namespace") != "costs" {
			t.Errorf("%s is in the namespace %q", o.text("metadata", "name"), o.text("metadata", "namespace"))
		}
		if o.pod() != nil { // it reads the overlay's file, under the name that it has now
			if c := load(t, all, o); c.NATS.URL != "tls://nats.example.com:4222" {
				t.Errorf("%s asks %s", o.component(), c.NATS.URL)
			}
		}
	}
	file := dir + "/overlays/example/kustomization.yaml"
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, bytes.Replace(raw, []byte("# components:"), []byte("components:"), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	text = build(t, dir+"/overlays/example")
	if err := conform(t, text); err != nil {
		t.Error(err)
	}
	all = parse(t, text)
	if got := only(t, all, "Deployment", "copier").at("spec", "replicas"); len(all) != 13 || got != nil {
		t.Errorf("%v copiers beside KEDA, and %q", got, kinds(all))
	}
}

// TestTheExampleIsAConfiguration as the values of the chart are.
func TestTheExampleIsAConfiguration(t *testing.T) {
	var config, values map[string]any
	for file, into := range map[string]*map[string]any{"overlays/example/config.yaml": &config, "values.yaml": &values} {
		if err := yaml.Unmarshal([]byte(read(t, "deploy/kustomize/"+file)), into); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := yaml.Marshal(config)
	b, _ := yaml.Marshal(values["config"])
	if !bytes.Equal(a, b) {
		t.Errorf("the example has\n%s\nand the values\n%s", a, b)
	}
	resources := strings.Split(read(t, "deploy/kustomize/base/resources.yaml"), "\n")
	if slices.Contains(resources, "kind: ConfigMap") {
		t.Error("the base has a ConfigMap of its own")
	}
}
