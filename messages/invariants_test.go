package messages_test

import (
	"strings"
	"testing"

	"oracle-focus-agent/messages"
)

// The closed set has no twins, and names that can stand as labels.
func TestInvariantsAreDistinct(t *testing.T) {
	seen := map[messages.Invariant]bool{}
	for _, i := range messages.Invariants() {
		if i == "" || seen[i] || strings.Trim(string(i), "abcdefghijklmnopqrstuvwxyz-") != "" {
			t.Errorf("%q is there twice, or no name", i)
		}
		seen[i] = true
	}
}
