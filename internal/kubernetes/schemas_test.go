package kubernetes

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// The schemas in testdata are those of Kubernetes, KEDA and the operator of Prometheus,
// closed against unknown fields and without descriptions, made of what their modules
// publish. Those of NACK, whose module publishes nothing, are written by hand: the fields
// that are used.
const (
	kubernetesModule = "k8s.io/kubernetes@v1.37.2"
	kedaModule       = "github.com/kedacore/keda/v2@v2.21.0"
	prometheusModule = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
)

// TestSchemasAreThoseOfTheModules needs the modules, which are large: SCHEMAS=1 downloads
// them and writes the files.
func TestSchemasAreThoseOfTheModules(t *testing.T) {
	if os.Getenv("SCHEMAS") == "" {
		t.Skip("SCHEMAS=1 makes the schemas anew from modules, which are large")
	}
	var swagger struct{ Definitions map[string]any }
	if err := json.Unmarshal(module(t, kubernetesModule, "api/openapi-spec/swagger.json"), &swagger); err != nil {
		t.Fatal(err)
	}
	for kind, name := range map[string]string{
		"configmap-v1": "core.v1.ConfigMap", "service-v1": "core.v1.Service", "serviceaccount-v1": "core.v1.ServiceAccount",
		"persistentvolumeclaim-v1": "core.v1.PersistentVolumeClaim", "deployment-apps-v1": "apps.v1.Deployment", "job-batch-v1": "batch.v1.Job",
		"networkpolicy-networking-v1": "networking.v1.NetworkPolicy", "poddisruptionbudget-policy-v1": "policy.v1.PodDisruptionBudget",
	} {
		write(t, kind, definition(swagger.Definitions, "io.k8s.api."+name))
	}
	for kind, source := range map[string][2]string{
		"scaledobject-keda-v1alpha1":   {kedaModule, "config/crd/bases/keda.sh_scaledobjects.yaml"},
		"servicemonitor-monitoring-v1": {prometheusModule, "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml"},
		"prometheusrule-monitoring-v1": {prometheusModule, "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml"},
	} {
		var crd map[string]any
		if err := yaml.Unmarshal(module(t, source[0], source[1]), &crd); err != nil {
			t.Fatal(err)
		}
		schema := object(crd).at("spec", "versions", 0, "schema", "openAPIV3Schema").(map[string]any)
		delete(schema["properties"].(map[string]any), "status")
		write(t, kind, closed(schema).(map[string]any))
	}
}

// module is a file of a module.
func module(t *testing.T, name, file string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json", name)
	cmd.Dir = t.TempDir() // outside of this module, which does not have them
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
	var m struct{ Dir string }
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(m.Dir, file))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// definition is a schema with all that it refers to.
func definition(all map[string]any, name string) map[string]any {
	needed := map[string]any{}
	var follow func(name string)
	follow = func(name string) {
		if needed[name] != nil {
			return
		}
		needed[name] = closed(all[name])
		for _, ref := range references(needed[name]) {
			follow(strings.TrimPrefix(ref, "#/definitions/"))
		}
	}
	follow(name)
	return map[string]any{"$ref": "#/definitions/" + name, "definitions": needed}
}

func references(v any) (all []string) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			if ref, ok := v[k].(string); ok && k == "$ref" {
				all = append(all, ref)
				continue
			}
			all = append(all, references(v[k])...)
		}
	case []any:
		for _, e := range v {
			all = append(all, references(e)...)
		}
	}
	return all
}

// closed is a schema of OpenAPI as JSON Schema: no field that it does not know, and none
// of the words that only Kubernetes understands.
func closed(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = closed(v[i])
		}
		return out
	case map[string]any:
		return closedObject(v)
	}
	return v
}

func closedObject(v map[string]any) map[string]any {
	either := v["format"] == "int-or-string" || v["x-kubernetes-int-or-string"] == true
	out := map[string]any{}
	for k, child := range v {
		switch child := child.(type) {
		case map[string]any:
			if k == "properties" { // names of fields, which may be words of schemas
				fields := map[string]any{}
				for name, field := range child {
					if name != "tlsConfig" { // pods are scraped without TLS; how to look away is not for here
						fields[name] = closed(field)
					}
				}
				out[k] = fields
				continue
			}
			out[k] = closed(child)
		default:
			if k != "description" && k != "default" && k != "format" && !strings.HasPrefix(k, "x-kubernetes-") {
				out[k] = closed(child)
			}
		}
	}
	if _, has := out["properties"]; has && v["x-kubernetes-preserve-unknown-fields"] != true && out["additionalProperties"] == nil {
		out["additionalProperties"] = false
	}
	if either {
		delete(out, "anyOf")
		out["type"] = []any{"integer", "string"}
	}
	return out
}

// write has one line for each definition, or field, so that a new version is a difference
// that can be read.
func write(t *testing.T, kind string, schema map[string]any) {
	t.Helper()
	var b bytes.Buffer
	part := "definitions"
	if schema[part] == nil {
		part = "properties"
	}
	inner := schema[part].(map[string]any)
	delete(schema, part)
	b.WriteString("{\n")
	for _, k := range slices.Sorted(maps.Keys(schema)) {
		fmt.Fprintf(&b, "%q: %s,\n", k, line(t, schema[k]))
	}
	fmt.Fprintf(&b, "%q: {", part)
	for i, k := range slices.Sorted(maps.Keys(inner)) {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "\n%q: %s", k, line(t, inner[k]))
	}
	b.WriteString("\n}}\n")
	if err := os.WriteFile("testdata/schemas/"+kind+".json", b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func line(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
