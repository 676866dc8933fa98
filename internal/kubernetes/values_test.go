package kubernetes

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
)

func read(t *testing.T, file string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// same holds a file against what it is made from; with UPDATE=1 it is written.
func same(t *testing.T, file, want string) {
	t.Helper()
	path := filepath.Join(root, file)
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, file) != want {
		t.Errorf("%s is not what it is made from; UPDATE=1 go test -run '^%s$' ./internal/kubernetes writes it", file, t.Name())
	}
}

// ofTheChart are keys of the program that values do not have: the chart sets them, or the
// roles in pods have no use for them.
func ofTheChart() []string {
	return []string{
		"oci.config_file", "nats.creds", "nats.nkey_file", "nats.tls", "nats.inbox_prefix", "nats.store_dir", "nats.manage",
		"state.file", "state.dir", "logging.file", "logging.max_size_mb", "logging.backup_count", "http",
	}
}

// configSchema is what the program says of its file, as far as it is a value.
func configSchema(t *testing.T) map[string]any {
	t.Helper()
	var s map[string]any
	if err := json.Unmarshal(config.Schema(), &s); err != nil {
		t.Fatal(err)
	}
	delete(s, "$schema")
	s["type"] = "object"
	dropDefaults(s)
	for _, key := range ofTheChart() {
		section, name, nested := strings.Cut(key, ".")
		properties := s["properties"].(map[string]any)
		if nested {
			properties, section = properties[section].(map[string]any)["properties"].(map[string]any), name
		}
		if properties[section] == nil {
			t.Errorf("the program has no key %s", key)
		}
		delete(properties, section)
	}
	// What the program finds out at its start, an installation is told before.
	s["required"] = []string{"oci", "s3", "nats"}
	demand(s, "oci", "bucket", map[string]any{"minLength": 1})
	demand(s, "s3", "bucket_path", map[string]any{"pattern": `^s3://|\$\{`})
	demand(s, "nats", "url", map[string]any{"pattern": `^(nats|tls|ws|wss)://|\$\{`})
	auth := s["properties"].(map[string]any)["oci"].(map[string]any)["properties"].(map[string]any)["auth"].(map[string]any)
	auth["enum"] = []string{"api_key", "workload_identity", "instance_principal"}
	delete(auth, "anyOf")
	return s
}

// demand makes a key one that must be there, and right.
func demand(s map[string]any, section, key string, more map[string]any) {
	part := s["properties"].(map[string]any)[section].(map[string]any)
	part["required"] = []string{key}
	p := part["properties"].(map[string]any)[key].(map[string]any)
	maps.Copy(p, more)
}

// dropDefaults takes away what would be a second place for them.
func dropDefaults(v any) {
	m, _ := v.(map[string]any)
	for k, child := range m {
		if _, isKey := child.(map[string]any); k == "default" && !isKey {
			delete(m, k)
			continue
		}
		dropDefaults(child)
	}
}

// TestTheSchemaOfConfigIsThatOfTheProgram: an unknown key or a wrong value is refused
// before anything is installed.
func TestTheSchemaOfConfigIsThatOfTheProgram(t *testing.T) {
	const file = "deploy/helm/values.schema.json"
	var whole map[string]any
	if err := json.Unmarshal([]byte(read(t, file)), &whole); err != nil {
		t.Fatal(err)
	}
	whole["properties"].(map[string]any)["config"] = configSchema(t)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(whole); err != nil {
		t.Fatal(err)
	}
	same(t, file, b.String())
}

// TestEveryValueHasASchema, and the other way round.
func TestEveryValueHasASchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, "deploy/helm/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	values := parse(t, read(t, "deploy/helm/values.yaml"))[0]
	delete(schema["properties"].(map[string]any), "global") // Helm's own
	var compare func(path string, v map[string]any, s map[string]any)
	compare = func(path string, v map[string]any, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		if properties == nil || path == ".config" {
			return
		}
		for k := range properties {
			if _, ok := v[k]; !ok {
				t.Errorf("values.yaml does not have %s.%s", path, k)
				continue
			}
			if child, ok := v[k].(map[string]any); ok && properties[k].(map[string]any)["properties"] != nil && k != "resources" {
				compare(path+"."+k, child, properties[k].(map[string]any))
			}
		}
		for k := range v {
			if properties[k] == nil {
				t.Errorf("the schema does not know %s.%s", path, k)
			}
		}
	}
	compare("", values, schema)
}

func TestHelmLintIsContent(t *testing.T) {
	for _, file := range installations(t) {
		if out, err := helm(t, "lint", chart, "--strict", "-f", file); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(file), err, out)
		}
	}
}

// TestBadValuesAreRefused with the path of the value and what it may be.
func TestBadValuesAreRefused(t *testing.T) {
	if _, err := helm(t, "template", "focus", chart); err == nil || !strings.Contains(err.Error(), "missing properties 'oci', 's3', 'nats'") {
		t.Errorf("without values: %v", err)
	}
	for _, c := range []struct {
		set  string
		says []string
	}{
		{"config.oci.bucket=", []string{"config/oci/bucket", "minLength"}},
		{"config.s3.bucket_path=the-bucket/path", []string{"config/s3/bucket_path", "s3://"}},
		{"config.nats.url=nats.example.com", []string{"config/nats/url", "pattern"}},
		{"config.agent.poll_interval=10", []string{"config/agent/poll_interval"}},
		{"config.agent.pol_interval=15m", []string{"config/agent", "pol_interval"}},
		{"config.s3.secret_access_key=literal", []string{"config/s3/secret_access_key"}},
		{"config.nats.creds=x.creds", []string{"config/nats", "creds"}},
		{"config.oci.auth=resource_principal", []string{"config/oci/auth", "workload_identity"}},
		{"config.oci.auth=workload_identity", []string{"workloadIdentity/region", "minLength"}},
		{"nats.manage=create", []string{"nats/manage", "'setup', 'nack', 'none'"}},
		{"nats.ports=4222", []string{"nats/ports", "array"}},
		{"copier.replicas=many", []string{"copier/replicas", "integer"}},
		{"copier.replica=3", []string{"copier", "replica"}},
		{"terminationGracePeriodSeconds=20", []string{"terminationGracePeriodSeconds", "30"}},
		{"image.digest=latest", []string{"image/digest", "sha256"}},
		{"keda.enabled=true", []string{"keda/monitoringEndpoint", "minLength"}},
		{"keda.monitoringEndpoint=http://nats:8222", []string{"keda/monitoringEndpoint", "pattern"}},
		{"podDisruptionBudget.maxUnavailable=0", []string{"podDisruptionBudget/maxUnavailable"}},
		{"secrets.oci=Not A Name", []string{"secrets/oci", "pattern"}},
	} {
		_, err := helm(t, "template", "focus", chart, "-f", chart+"/ci/usual.yaml", "--set", c.set)
		if err == nil {
			t.Errorf("--set %s is taken", c.set)
			continue
		}
		for _, word := range c.says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("--set %s: %v, want a word of %q", c.set, err, word)
			}
		}
	}
}

// environment is that of a container.
func environment(o object) (names []string, environ []string) {
	for _, e := range o.container().list("env") {
		names = append(names, e.text("name"))
		environ = append(environ, e.text("name")+"="+e.text("value"))
	}
	return names, environ
}

// TestEveryVariableIsOneOfTheProgram, or one that docs/identities.md or the stack has for
// the clients of OCI and S3.
func TestEveryVariableIsOneOfTheProgram(t *testing.T) {
	keys := map[string]string{}
	for _, k := range config.Keys() {
		keys[k.Env], keys[k.EnvFile] = k.Path, k.Path
	}
	others := []string{"AWS_SHARED_CREDENTIALS_FILE", "OCI_RESOURCE_PRINCIPAL_VERSION", "OCI_RESOURCE_PRINCIPAL_REGION", "HTTPS_PROXY"}
	told := read(t, "docs/identities.md") + read(t, "docker-compose.yml")
	everywhere(t, func(t *testing.T, o object) {
		names, _ := environment(o)
		for _, name := range names {
			path, ours := keys[name]
			if !ours && (!slices.Contains(others, name) || name != "HTTPS_PROXY" && !strings.Contains(told, name)) {
				t.Errorf("%s has the variable %s, which nobody reads", o.component(), name)
			}
			// The value of a file would be silently replaced.
			section, _, _ := strings.Cut(path, ".")
			nested := path[:max(0, strings.LastIndexByte(path, '.'))]
			if ours && path != "logging.format" && !slices.Contains(ofTheChart(), path) && !slices.Contains(ofTheChart(), section) && !slices.Contains(ofTheChart(), nested) {
				t.Errorf("%s replaces %s, which values may have", name, path)
			}
		}
		if len(names) < 4 {
			t.Errorf("%s has the variables %q", o.component(), names)
		}
	})
}

// TestTheProgramTakesWhatIsRendered: the file of the ConfigMap and the variables of each
// container together are a configuration, without a warning.
func TestTheProgramTakesWhatIsRendered(t *testing.T) {
	for _, file := range installations(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			all := render(t, "-f", file)
			for _, o := range all {
				if o.pod() == nil {
					continue
				}
				c := load(t, all, o)
				if c.Agent.LookbackDays != 35 || c.HTTP.Listen != "0.0.0.0:9464" || c.State.Dir != "/data" || c.OCI.Bucket != "ocid1.tenancy.oc1..your-tenancy" {
					t.Errorf("%s: %+v", o.component(), c)
				}
				if want := map[bool]string{true: "create", false: "verify"}[o.component() == "setup"]; c.NATS.Manage != want {
					t.Errorf("%s: nats.manage %s, want %s", o.component(), c.NATS.Manage, want)
				}
			}
		})
	}
	all := render(t, "-f", chart+"/ci/oke.yaml")
	c := load(t, all, only(t, all, "Deployment", "copier"))
	if c.OCI.Auth != "workload_identity" || c.OCI.Name != "second" || c.NATS.Prefix != "costs" || c.NATS.AckWait.Std().Minutes() != 10 || c.Logging.Format != "text" || c.NATS.Creds != "/run/secrets/nats/user.creds" || c.NATS.TLS.Cert != "/run/secrets/nats/tls.crt" {
		t.Errorf("%+v", c)
	}
}

// load is what the program makes of a container.
func load(t *testing.T, all []object, o object) *config.Config {
	t.Helper()
	var name string
	for _, v := range o.pod().list("volumes") {
		if v.text("name") == "config" {
			name = v.text("configMap", "name")
		}
	}
	i := slices.IndexFunc(all, func(o object) bool { return o.kind() == "ConfigMap" && o.text("metadata", "name") == name })
	if i < 0 {
		t.Fatalf("%s mounts the ConfigMap %q, which is not there", o.component(), name)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(all[i].text("data", "config.yaml")), 0o600); err != nil {
		t.Fatal(err)
	}
	if args := o.container().at("args"); !reflect.DeepEqual(args, []any{o.component(), "--config", "/etc/oracle-focus-agent/config.yaml"}) || o.container().text("volumeMounts", 0, "mountPath") != "/etc/oracle-focus-agent/config.yaml" {
		t.Errorf("%s does not read the file that is mounted: %v", o.component(), args)
	}
	_, environ := environment(o)
	c, warnings, err := config.Load(config.Options{Path: file, Environ: environ, UID: new(65532)})
	if err != nil {
		t.Fatalf("%s: %v", o.component(), err)
	}
	if len(warnings) > 0 {
		t.Errorf("%s: %v", o.component(), warnings)
	}
	return c
}
