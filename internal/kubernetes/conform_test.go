package kubernetes

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// conform has kubeconform judge manifests by the schemas in testdata; its verdict is the
// error. A kind without a schema is one.
func conform(t *testing.T, text string) error {
	t.Helper()
	schemas, err := filepath.Abs("testdata/schemas")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program(t, "KUBECONFORM"), "-strict", "-summary",
		"-schema-location", filepath.Join(schemas, "{{ .ResourceKind }}{{ .KindSuffix }}.json"))
	cmd.Env = append(os.Environ(), "GOGC=off")
	cmd.Stdin = strings.NewReader(text)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return &verdict{out.String()}
	}
	return nil
}

type verdict struct{ text string }

func (v *verdict) Error() string { return v.text }

// TestManifestsAreWhatKubernetesTakes, also of the operators whose kinds are used.
func TestManifestsAreWhatKubernetesTakes(t *testing.T) {
	for _, file := range installations(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := helm(t, "template", "focus", chart, "--namespace", "costs", "-f", file)
			if err != nil {
				t.Fatal(err)
			}
			if err := conform(t, text); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestEverySchemaIsUsed, and each refuses what Kubernetes would.
func TestEverySchemaIsUsed(t *testing.T) {
	used := map[string]bool{}
	for _, file := range installations(t) {
		for _, o := range render(t, "-f", file) {
			used[strings.ToLower(o.kind())] = true
		}
	}
	files, err := os.ReadDir("testdata/schemas")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if kind, _, _ := strings.Cut(f.Name(), "-"); !used[kind] {
			t.Errorf("%s judges nothing", f.Name())
		}
	}
	if len(files) != len(used) {
		t.Errorf("%d schemas for %d kinds", len(files), len(used))
	}
}

func TestSchemasRefuse(t *testing.T) {
	text, err := helm(t, "template", "focus", chart, "-f", chart+"/ci/oke.yaml")
	if err != nil {
		t.Fatal(err)
	}
	usual, err := helm(t, "template", "focus", chart, "-f", chart+"/ci/usual.yaml")
	if err != nil {
		t.Fatal(err)
	}
	documents := strings.Split(text+usual, "\n---\n")
	for _, c := range []struct{ was, is string }{
		{"enableServiceLinks: false", "enableServiceLink: false"},
		{"terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: soon"},
		{"capabilities: {drop: [ALL]}", "capabilities: {drop: ALL}"},
		{"periodSeconds: 10", "periodSecond: 10"},
		{"backoffLimit: 6", "backoffLimits: 6"},
		{"policyTypes: [Ingress, Egress]", "policyTypes: Egress"},
		{"unhealthyPodEvictionPolicy: AlwaysAllow", "unhealthyPodEviction: AlwaysAllow"},
		{"clusterIP: None", "clusterIp: None"},
		{"accessModes: [ReadWriteOnce]", "accessMode: [ReadWriteOnce]"},
		{"jobLabel: app", "joblabel: app"},
		{"interval: 30s", "interval: half a minute"},
		{"minReplicaCount: 1", "minReplicas: 1"},
		{"- type: nats-jetstream", "- kind: nats-jetstream"},
		{"expr: focus_queue_up == 0", "expression: focus_queue_up == 0"},
		{"discardPerSubject: true", "discardPerSubject: yes please"},
		{"ackPolicy: explicit", "ackPolicy: sometimes"},
		{"kind: ServiceAccount\n", "kind: ServiceAccount\nautomount: never\n"},
	} {
		i := slices.IndexFunc(documents, func(d string) bool { return strings.Contains(d, c.was) })
		if i < 0 {
			t.Errorf("nothing says %q any more", c.was)
			continue
		}
		if conform(t, strings.Replace(documents[i], c.was, c.is, 1)) == nil {
			t.Errorf("%q is taken", c.is)
		}
	}
}
