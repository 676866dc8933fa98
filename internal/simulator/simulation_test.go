package simulator_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

func TestSimulationIsReproducible(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, newKey(t).PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 2, 3, 10, 0, 0, 0, time.UTC)
	opts := simulator.Options{Seed: 9, Days: 3, Rows: 5, KeyFile: file, Clock: func() time.Time { return now }}
	first, second := start(t, opts), start(t, opts)
	if !slices.Equal(first.Source.Reports(), second.Source.Reports()) || len(first.Source.Reports()) != 21 {
		t.Errorf("two simulations of one seed differ, or do not have 21 files: %d", len(first.Source.Reports()))
	}
	if first.Key.ID() != second.Key.ID() {
		t.Errorf("keys = %s and %s, want the one of the file", first.Key.ID(), second.Key.ID())
	}
	for _, r := range first.Source.Reports() {
		if r.Created.After(now) {
			t.Errorf("%s is from the future: %s", r.Name, r.Created)
		}
	}
	opts.FileSize = 1 << 33
	for _, o := range start(t, opts).Source.Objects() {
		if o.Content.Size() != 1<<33 {
			t.Errorf("%s has %d bytes, want 8 GiB", o.Name, o.Content.Size())
		}
	}
}

func TestFixedAddressAndEnvironment(t *testing.T) {
	first := start(t, simulator.Options{})
	address := first.OCIURL[len("http://"):]
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := start(t, simulator.Options{OCIAddress: address})
	if second.OCIURL != first.OCIURL {
		t.Errorf("url = %s, want %s", second.OCIURL, first.OCIURL)
	}
	if env := second.Environment("/c"); !slices.Contains(env, "FOCUS_OCI_ENDPOINT="+second.OCIURL) || !slices.Contains(env, "FOCUS_OCI_CONFIG_FILE=/c") {
		t.Errorf("environment = %q", env)
	}
	if _, err := simulator.New(simulator.Options{OCIAddress: address}); err == nil {
		t.Error("an address in use was accepted")
	}
}
