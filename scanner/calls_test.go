package scanner_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/messages"
)

// A stubborn source answers each listing with the same error.
type stubborn struct {
	err   error
	asked *int
}

func (s stubborn) List(context.Context, string) iter.Seq2[messages.Object, error] {
	*s.asked++
	return func(yield func(messages.Object, error) bool) { yield(messages.Object{}, s.err) }
}

// TestThePauseThatTheSourceAsksFor lies between two scans, too: five minutes at most, and
// also where the interval is shorter.
func TestThePauseThatTheSourceAsksFor(t *testing.T) {
	for asked, want := range map[time.Duration]time.Duration{
		0: 30 * time.Second, time.Second: 30 * time.Second, time.Minute: time.Minute, time.Hour: 5 * time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s, listings := w.scanner(), 0
			s.Lister = stubborn{&messages.Fault{Class: messages.Throttled, Side: messages.Source, RetryAfter: asked}, &listings}
			at, _ := run(t, w, s, time.Hour-time.Second) // not at the moment of a scan
			low, high := want*9/10, want
			if asked >= want || asked > 5*time.Minute {
				low = want
			}
			for i := range at[1:] {
				if d := at[i+1] - at[i]; d < low || d > high {
					t.Fatalf("%s were asked for, and the next scan came after %s, want %s to %s", asked, d, low, high)
				}
			}
			if listings != len(at) || len(at) < int(time.Hour/want) {
				t.Errorf("%d scans and %d listings in an hour, want one each %s", len(at), listings, want)
			}
		})
	}
}

// TestCallsDuringAnOutage: with 500 files to be queued, whatever call fails, a scan makes it
// five times at most, and the scans are 27 s apart or more.
func TestCallsDuringAnOutage(t *testing.T) {
	for _, op := range []string{"read", "list", "page", "day", "publish", "write"} {
		t.Run(op, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				for i := range 500 {
					w.add(object(today().Add(-i%20), fmt.Sprintf("%03d", i), "1"))
				}
				start, calls := time.Now(), map[int]int{} // by the minute
				w.turn = func(o string) verdict {
					if o != op {
						return works
					}
					calls[int(time.Since(start)/time.Minute)]++
					return failsClean
				}
				s := w.scanner()
				scans, errs := run(t, w, s, 10*time.Minute)
				for minute, n := range calls {
					if n > 3*5 {
						t.Errorf("%d calls in minute %d, want at most five in each of three scans", n, minute)
					}
				}
				for i, err := range errs {
					if err == nil {
						t.Errorf("scan %d succeeded", i)
					}
				}
				if len(scans) < 20 || len(calls) != 10 {
					t.Errorf("%d scans in ten minutes, with calls in %d of them", len(scans), len(calls))
				}
			})
		})
	}
}
