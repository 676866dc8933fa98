package cli_test

import (
	"testing"

	"oracle-focus-agent/internal/simulator"
)

func TestASyncCopiesEveryReportAndASecondCopiesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Seed: 1, Days: 3})
	if got, want := w.sync(t, 0).Transferred, 21; got != want {
		t.Errorf("the first sync transferred %d, want %d", got, want)
	}
	w.check(t)
	second := w.sync(t, 0)
	if second.Transferred != 0 || second.Skipped != 21 {
		t.Errorf("the second sync = %+v, want 0 transferred and 21 skipped", second)
	}
	if got := len(w.S3.History()); got != 21 {
		t.Errorf("%d commits, want 21", got)
	}
}
