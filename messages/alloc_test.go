//go:build !race

package messages_test

import (
	"os"
	"path/filepath"
	"testing"

	"oracle-focus-agent/messages"
)

// TestAllocations: what is made anew for each file is not a third more than it was when
// this was written. Who makes it less may lower the bound.
func TestAllocations(t *testing.T) {
	message, record := read(t, "discovered.v1.json"), read(t, "record-copied.v1.json")
	r, err := messages.DecodeRecord(record)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		most float64
		call func() error
	}{
		"DecodeDiscovered": {32, func() error { _, err := messages.DecodeDiscovered(message); return err }},
		"DecodeRecord":     {43, func() error { _, err := messages.DecodeRecord(record); return err }},
		"Record.Encode":    {9, func() error { _, err := r.Encode(); return err }},
	} {
		got := testing.AllocsPerRun(200, func() {
			if err := c.call(); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.most {
			t.Errorf("%s makes %v allocations, want %v at most", name, got, c.most)
		}
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}
