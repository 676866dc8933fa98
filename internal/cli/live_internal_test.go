package cli

import (
	"bufio"
	"bytes"
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/s3"
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

// TestThePageHasEveryQuestion, as it is asked, with those that are needed marked.
func TestThePageHasEveryQuestion(t *testing.T) {
	raw, err := os.ReadFile("../../docs/live-test.md")
	if err != nil {
		t.Fatal(err)
	}
	page, rows := string(raw), 0
	for _, s := range (&route{source: &oci.Client{}, dest: &s3.Client{}, cfg: &config.Config{}}).liveSteps() {
		if !strings.Contains(page, "(`"+s.Name+"`)") {
			t.Errorf("the page has no step %s", s.Name)
		}
		for _, q := range s.Questions {
			row := "| `" + q.ID + "` | " + q.Text
			if q.Needed {
				row += " *Needed.*"
			}
			if !strings.Contains(page, row+" |\n") {
				t.Errorf("the page lacks the row %q", row)
			}
			rows++
		}
	}
	if n := strings.Count(page, "\n| `oci.") + strings.Count(page, "\n| `s3."); n != rows || rows < 50 {
		t.Errorf("the page has %d rows of %d questions", n, rows)
	}
}
