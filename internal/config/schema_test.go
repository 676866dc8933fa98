package config_test

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"oracle-focus-agent/internal/config"
)

func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(config.Schema()))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("config.schema.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("config.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asEditorsRead makes of a document what a YAML 1.2 editor checks.
func asEditorsRead(t *testing.T, text string) any {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(strings.TrimPrefix(text, "\ufeff")), &doc); err != nil {
		t.Fatal(err)
	}
	if len(doc.Content) == 0 {
		return nil
	}
	return asJSON(doc.Content[0])
}

func asJSON(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return asJSON(n.Alias)
	case yaml.SequenceNode:
		out := []any{}
		for _, c := range n.Content {
			out = append(out, asJSON(c))
		}
		return out
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i < len(n.Content); i += 2 {
			out[n.Content[i].Value] = asJSON(n.Content[i+1])
		}
		return out
	}
	return scalar(n)
}

func scalar(n *yaml.Node) any {
	if n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return n.Value
	}
	switch n.Value {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case "null", "~", "":
		return nil
	}
	if f, err := strconv.ParseFloat(n.Value, 64); err == nil && !strings.ContainsAny(n.Value, "_xXpPiInN") {
		return f
	}
	return n.Value
}

func TestSchemaAcceptsWhatIsAccepted(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	yamls := []string{
		"agent: {poll_interval: \"${EVERY}\", lookback_days: \"${DAYS:-35}\", daemon_mode: \"${OFF}\", since: \"${DAY}\"}",
		"s3: {access_key_id: \"${ID}\", secret_access_key: \"\", session_token: \"${A}${B}\"}\nnats: {manage: \"\"}",
		"advanced: {chunk_size_bytes: 1024}\nlogging: {format: \"%(asctime)s %(message)s\"}\nagent: {poll_interval: 60.5s, daemon_mode: yes}",
	}
	for _, tt := range acceptedValues {
		yamls = append(yamls, tt.yaml)
	}
	for _, path := range []string{"testdata/python.yaml", "../../config.template.yaml", "../../config.testing.yaml"} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		yamls = append(yamls, string(text))
	}
	for _, text := range yamls {
		if err := s.Validate(asEditorsRead(t, text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSchemaRefusesWhatAnEditorCanSee(t *testing.T) {
	t.Parallel()
	s := compiledSchema(t)
	tried := 0
	for _, tt := range badFiles {
		for _, seen := range []string{"is not a key of the configuration", "is too small; fix: use", "is too large", "is a secret as a literal in the file; fix: leave", "has no value",
			"is not a duration", "is not a whole number", "is neither true nor false", "is a list, want", "is a mapping, want", "is not a date", "without keys", "oci.auth", "nats.manage"} {
			if !strings.Contains(tt.want, seen) || strings.Contains(tt.want, ".<<") || strings.Contains(tt.yaml, "${") || strings.HasSuffix(tt.yaml, "169h\n") ||
				strings.HasSuffix(tt.yaml, "168h\n") || strings.Contains(tt.yaml, "02-30") {
				continue
			}
			tried++
			if err := s.Validate(asEditorsRead(t, tt.yaml)); err == nil {
				t.Errorf("%s: the schema accepts what Load refuses: %s", tt.name, tt.want)
			}
		}
	}
	if tried < 20 {
		t.Errorf("only %d files were tried", tried)
	}
}

// TestSchemaShowsEveryKey holds what completion in an editor lives on.
func TestSchemaShowsEveryKey(t *testing.T) {
	t.Parallel()
	text := string(config.Schema())
	for _, k := range config.Keys() {
		if !strings.Contains(text, `\n`+k.Env+`"`) {
			t.Errorf("the schema lacks %s", k.Path)
		}
		numeric := k.Type == "number" || k.Type == "duration"
		if numeric != (k.Range != "") {
			t.Errorf("%s is a %s with the range %q: give each number one in bounds", k.Path, k.Type, k.Range)
		}
	}
}
