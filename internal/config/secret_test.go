package config_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"go.yaml.in/yaml/v4"

	"oracle-focus-agent/internal/config"
)

type hidden struct{ s config.Secret }

type shown struct {
	S config.Secret
	P *config.Secret
}

// printed is everything that formatters make of a secret and of structs that
// hold it.
func printed(t testing.TB, s config.Secret) string {
	t.Helper()
	var out bytes.Buffer
	things := []any{s, &s, hidden{s}, &hidden{s}, shown{s, &s}, []any{s}, map[string]any{"k": s}, []hidden{{s}}, errors.New(fmt.Sprint(s)),
		&config.Config{S3: config.S3{SecretAccessKey: s}}}
	for _, thing := range things {
		for verb := range strings.FieldsSeq("%v %+v %#v %s %q %x %X %d %p %t %T %U %e %10v %-5s %z") {
			fmt.Fprintf(&out, verb+"\n", thing)
		}
		fmt.Fprintln(&out, thing)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", "k", thing)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "k", thing)
		writeIf(&out, json.Marshal, thing)
		writeIf(&out, xml.Marshal, thing)
		writeIf(&out, func(v any) ([]byte, error) { return yaml.Dump(v) }, thing)
		_ = template.Must(template.New("").Parse("{{.}} {{printf \"%v\" .}}")).Execute(&out, thing)
	}
	return out.String()
}

func writeIf(out *bytes.Buffer, marshal func(any) ([]byte, error), v any) {
	data, err := marshal(v)
	fmt.Fprintln(out, string(data), err)
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	const canary = "hunter2-canary"
	out := printed(t, config.NewSecret(canary))
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out, form) {
			t.Errorf("the secret was printed as %s", form)
		}
	}
	if !strings.Contains(out, "********") {
		t.Error("a set secret is not shown as ********")
	}
	s := config.NewSecret(canary)
	if s.Reveal() != canary || !s.IsSet() {
		t.Errorf("Reveal = %q", s.Reveal())
	}
	if unset := config.NewSecret(""); unset.IsSet() || unset.String() != "" || unset != (config.Secret{}) {
		t.Error("an empty secret is not unset")
	}
}

func TestConfigIsPrintedWithoutSecrets(t *testing.T) {
	t.Parallel()
	c := mustLoad(t, "s3: {access_key_id: \"${ID}\", secret_access_key: \"${KEY}\"}\n", "ID=hunter2", "KEY=hunter2", "FOCUS_S3_SESSION_TOKEN=hunter2",
		"FOCUS_ALERTS_WEBHOOK_URL=https://hooks.example.com/hunter2", "FOCUS_ALERTS_HEARTBEAT_URL=http://localhost:1/hunter2")
	data, err := yaml.Dump(c)
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	all.WriteString(fmt.Sprintf("%v %+v %#v %s", c, *c, *c, data))
	for _, k := range config.Keys() {
		value, _ := c.Value(k.Path)
		all.WriteString(value + c.Origin(k.Path))
	}
	if strings.Contains(all.String(), "hunter2") {
		t.Error("a secret was printed")
	}
}

// FuzzSecret looks for the value in what is printed of a secret beyond what is
// printed of any other.
func FuzzSecret(f *testing.F) {
	f.Add("hunter2")
	f.Add("%v%!s(")
	f.Add("\x00\xff")
	f.Fuzz(func(t *testing.T, value string) {
		s := config.NewSecret(value)
		if value == "" {
			return
		}
		got := fmt.Sprintf("%v %+v %#v %s %q %x", s, s, s, s, s, s)
		if want := strings.TrimSpace(strings.Repeat("******** ", 6)); got != want {
			t.Errorf("printed %q", got)
		}
		if data, err := json.Marshal(s); err != nil || string(data) != `"********"` {
			t.Errorf("JSON = %s, %v", data, err)
		}
	})
}
