package failpoint

import "testing"

// The matrix has as many rows: research and docs speak of 38 points.
func TestThereAre38PointsOfDifferentNames(t *testing.T) {
	seen := map[Point]bool{}
	for _, p := range Points() {
		if seen[p] || p == "" {
			t.Errorf("%q stands twice", p)
		}
		seen[p] = true
	}
	if len(seen) != 38 {
		t.Errorf("%d points, want 38", len(seen))
	}
}
