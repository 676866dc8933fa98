package scanner_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/scanner"
)

// run scans for the given time and returns when each scan finished, from the
// start on, and with what error.
func run(t *testing.T, w *world, s *scanner.Scanner, d time.Duration) (at []time.Duration, errs []error) {
	start := time.Now()
	s.Finished = func(_ scanner.Stats, err error) {
		at, errs = append(at, time.Since(start)), append(errs, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	s.Run(ctx)
	if since := time.Since(start); since != d {
		t.Errorf("Run returned after %s, want %s", since, d)
	}
	return at, errs
}

func TestRunPollsWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		at, errs := run(t, w, w.scanner(), 24*time.Hour)
		if at[0] != 0 || len(at) < 24*6 || len(at) > 24*6*10/9+1 {
			t.Fatalf("%d scans, the first at %s", len(at), at[0])
		}
		low, high := 10*time.Minute, time.Duration(0)
		for i := range at[1:] {
			d := at[i+1] - at[i]
			low, high = min(low, d), max(high, d)
			if errs[i] != nil {
				t.Fatal(errs[i])
			}
		}
		if low < 9*time.Minute || high > 10*time.Minute || high-low < 10*time.Second {
			t.Errorf("the scans were %s to %s apart, want 9 to 10 minutes, with jitter", low, high)
		}
	})
}

// TestRunRepeatsAFailedScan: within 30 s, for as long as it fails, and never
// later than the interval.
func TestRunRepeatsAFailedScan(t *testing.T) {
	for _, interval := range []time.Duration{10 * time.Minute, 20 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.turn = func(op string) verdict {
				if op == "list" {
					return failsClean
				}
				return works
			}
			s := w.scanner()
			s.Interval = interval
			at, errs := run(t, w, s, 5*time.Minute)
			if len(at) < 10 {
				t.Errorf("%d scans in five minutes", len(at))
			}
			for i := range at[1:] {
				if d := at[i+1] - at[i]; d > min(interval, 30*time.Second) || d < min(interval, 30*time.Second)*9/10 {
					t.Errorf("a failed scan was repeated after %s", d)
				}
				if errs[i] == nil {
					t.Error("a failed scan was told as a good one")
				}
			}
		})
	}
}

// TestRunEndsWithinAScan: what a scan finds is not told after the end.
func TestRunEndsWithinAScan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(object(today(), "a", "1"))
		ctx, cancel := context.WithCancel(t.Context())
		s := w.scanner()
		s.Observe = func(scanner.Outcome) { cancel() }
		s.Finished = func(_ scanner.Stats, err error) { t.Errorf("a scan that was cut off was told: %v", err) }
		s.Run(ctx)
	})
}
