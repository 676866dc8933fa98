package cli

import (
	"bufio"
	"bytes"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/live"
)

// TestOnlyAYesIsConsent: a return, any other word and the end of the input are none.
func TestOnlyAYesIsConsent(t *testing.T) {
	cfg := &config.Config{S3: config.S3{BucketPath: "s3://bucket/path"}}
	step := live.Step{Name: "object", Writes: "writes the object oracle-focus-agent-live-test"}
	for _, c := range []struct {
		typed string
		want  bool
		fails bool
	}{{"y\n", true, false}, {"Yes\n", true, false}, {"\n", false, false}, {"n\n", false, false}, {"yeah\n", false, false}, {"", false, true}, {"y", false, true}} {
		var out bytes.Buffer
		a := &app{env: Env{Stderr: &out}}
		got, err := a.liveConsent(cfg, nil, &interview{bufio.NewReader(strings.NewReader(c.typed)), &out})(t.Context(), step)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%q: %t, %v", c.typed, got, err)
		}
		if !strings.Contains(out.String(), "writes the object s3://bucket/path/oracle-focus-agent-live-test.\nTake it? [y/N] ") {
			t.Errorf("it asks: %q", out.String())
		}
	}
	var out bytes.Buffer
	a := &app{env: Env{Stderr: &out}}
	for name, want := range map[string]bool{"object": true, "upload": false} {
		if got, err := a.liveConsent(cfg, []string{name}, nil)(t.Context(), step); got != want || err != nil {
			t.Errorf("--yes-to %s: %t, %v", name, got, err)
		}
	}
}
