package cli_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// failed is `failed list --json` with more arguments, as object names.
func (w *world) failed(t *testing.T, args ...string) []string {
	t.Helper()
	var files []struct{ Object string }
	if err := json.Unmarshal([]byte(w.run(t, append([]string{"failed", "list", "--json"}, args...)...).want(t, 0).stdout), &files); err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, f := range files {
		names = append(names, f.Object)
	}
	return names
}

// audited is the actions of `audit --json`.
func (w *world) audited(t *testing.T) (all []messages.Action) {
	t.Helper()
	var trail struct{ Actions []messages.Action }
	if err := json.Unmarshal([]byte(w.run(t, "audit", "--json").want(t, 0).stdout), &trail); err != nil {
		t.Fatal(err)
	}
	return trail.Actions
}

func TestAnOperatorDecidesAboutFailedFilesAndIsOnRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	one, two, three := object(1, "one.csv.gz", 500), object(2, "two.csv.gz", 500), object(3, "three.csv.gz", 500)
	w.add(one, two, three)
	end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.FlipBit(7)})
	w.sync(t, 1)
	end()

	if got := w.failed(t, "--day", daysAgo(2)); !slices.Equal(got, []string{two.Name}) {
		t.Errorf("failed of one day = %q", got)
	}
	if got := w.failed(t, "--from", daysAgo(2), "--cause", "hash-mismatch"); !slices.Equal(got, []string{two.Name, one.Name}) {
		t.Errorf("failed of two days = %q", got)
	}
	if got := w.failed(t, "--cause", "refused"); len(got) != 0 {
		t.Errorf("failed of another cause = %q", got)
	}
	list := w.run(t, "failed", "list").want(t, 0).stdout
	for _, want := range []string{"hash-mismatch: 3 files", messages.HashMismatch.Explain().Remedy, one.Name, "3 failed"} {
		if !strings.Contains(list, want) {
			t.Errorf("failed list lacks %q: %s", want, list)
		}
	}

	// Nothing happens by accident.
	for _, args := range [][]string{
		{"discard", "one.csv.gz", "--yes"}, {"discard", "one.csv.gz", "--reason", "no terminal"}, {"discard", "--reason", "which?", "--yes"},
		{"retry", "--all"}, {"retry", "--cause", "sunshine", "--yes"}, {"retry", "--day", "2026-02-30", "--yes"},
		{"retry", "--from", "2026-02-02", "--to", "2026-02-01", "--yes"}, {"discard", "--all", "--reason", "two\nlines", "--yes"},
	} {
		w.run(t, append([]string{"failed"}, args...)...).want(t, 2)
	}
	w.says(t, 2, []string{"failed", "retry", "--all", "--day", daysAgo(1), "--yes"}, "--all is about every failed file")
	w.run(t, "failed", "retry", "--all", "--dry-run").want(t, 0)
	if got := len(w.failed(t)) + len(w.audited(t)); got != 3 {
		t.Errorf("%d, want the 3 files, and no action on record", got)
	}

	w.run(t, "failed", "discard", "two.csv.gz", "--reason", "Oracle confirmed: a test", "--yes").want(t, 0)
	if got := w.failed(t); !slices.Equal(got, []string{three.Name, one.Name}) {
		t.Errorf("failed after a discard = %q", got)
	}
	show := w.run(t, "failed", "show", "two.csv.gz").want(t, 0).stdout
	for _, want := range []string{"discarded", "dead letter", "hash-mismatch, 3 attempts", "failed discard Oracle confirmed: a test", "oracle-focus-agent failed retry 'FOCUS Reports/", `"etag":`} {
		if !strings.Contains(show, want) {
			t.Errorf("failed show lacks %q: %s", want, show)
		}
	}
	w.run(t, "failed", "show", "none.csv.gz").want(t, 1)

	var done struct {
		Files  []string
		Copied summary
	}
	r := w.run(t, "failed", "retry", "--day", daysAgo(1), "--yes", "--json").want(t, 0)
	if err := json.Unmarshal([]byte(r.stdout), &done); err != nil || !slices.Equal(done.Files, []string{one.Name}) || done.Copied.Transferred != 1 {
		t.Errorf("failed retry --json = %s, %v, want one file, which was copied", r.stdout, err)
	}
	w.check(t, two.Name, three.Name)
	if s := w.sync(t, 1); !slices.Equal(s.failed(), []string{three.Name}) {
		t.Errorf("a sync reports %q, want only what nobody has decided about", s.failed())
	}
	// Who names a discarded file takes it back.
	w.run(t, "failed", "retry", "two.csv.gz", "three.csv.gz", "--yes").want(t, 0)
	w.sync(t, 0)
	w.check(t)
	var acts []string
	for _, a := range w.audited(t) {
		if a.By == "" || !strings.Contains(a.By, "@") || a.At.IsZero() || a.Count != len(a.Files) {
			t.Errorf("the record %+v is not complete", a)
		}
		acts = append(acts, a.Action)
	}
	if want := []string{"failed discard", "failed retry", "failed retry"}; !slices.Equal(acts, want) {
		t.Errorf("the trail is %q, want %q", acts, want)
	}
	if text := w.run(t, "audit").want(t, 0).stdout; !strings.Contains(text, `"Oracle confirmed: a test"`) || !strings.Contains(text, "3 actions") {
		t.Errorf("audit prints %q", text)
	}
	if text := w.run(t, "audit", "--since", "2999-01-01").want(t, 0).stdout; !strings.Contains(text, "0 actions") {
		t.Errorf("audit of the future prints %q", text)
	}
}
