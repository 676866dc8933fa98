package copier_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

// A clockwork notes when each call of an operation was made, and makes it fail.
type clockwork struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
}

func (c *clockwork) fail(op string, v verdict) func(*host, string) verdict {
	c.start = time.Now()
	return func(_ *host, o string) verdict {
		if o != op {
			return verdict{}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = append(c.at, time.Since(c.start))
		return v
	}
}

// most is the largest number of calls within any stretch of the given length, of those
// that were made from a time on.
func (c *clockwork) most(within, from time.Duration) (most int) {
	for first, last := 0, 0; last < len(c.at); last++ {
		for c.at[last]-c.at[first] >= within || c.at[first] < from && first < last {
			first++
		}
		if c.at[last] >= from {
			most = max(most, last-first+1)
		}
	}
	return most
}

// until forgets the calls from a time on.
func (c *clockwork) until(end time.Duration) {
	if i := slices.IndexFunc(c.at, func(at time.Duration) bool { return at >= end }); i >= 0 {
		c.at = c.at[:i]
	}
}

// TestCallsDuringAnOutage: with a backlog of 60 files and four slots, whatever call fails,
// it is made no oftener than once by each slot in a step of the back-off, and once the gate
// is open, by one slot alone. Nothing is given up for it, and all is copied afterwards.
func TestCallsDuringAnOutage(t *testing.T) {
	const (
		slots  = 4
		outage = 10 * time.Minute
		queue  = slots * 40 // in a minute: two seconds, less a quarter of jitter
		side   = 3          // one each 30 s, and what ends of those in flight
	)
	for _, c := range []struct {
		op     string
		size   int
		second int // at most, in any second
		minute int // at most, in any minute from the second one on
		least  int // in all: it is not forgotten either
	}{
		{"open", 10, slots + 2, side, 18},
		{"body", 10, slots + 2, side, 18},
		{"put", 10, slots + 2, side, 18},
		{"create", 40, slots + 2, side, 18},
		{"part", 40, slots + 2, side * 2, 18}, // two parts are sent at once
		{"complete", 40, slots + 2, side, 18},
		{"next", 10, slots, queue, 400},
		{"read", 10, slots, queue, 400},
		{"write", 10, 2 * slots, 2 * queue, 400}, // one second, while the bytes are at hand
		{"settle", 10, slots, queue, 50},
	} {
		bubble(t, c.op, func(t *testing.T, w *world) {
			for i := range 60 {
				w.publish(w.write(fmt.Sprintf("%02d", i), body(c.size, 1)))
			}
			var calls clockwork
			w.turn = calls.fail(c.op, verdict{clean: true})
			cp := w.host("one").copier()
			cp.Slots = slots
			w.run(outage, cp)
			calls.until(outage) // what is held then is tried once more within the grace
			if n := calls.most(time.Second, 0); n > c.second {
				t.Errorf("%d calls in a second, want at most %d", n, c.second)
			}
			if n := calls.most(time.Minute, time.Minute); n > c.minute {
				t.Errorf("%d calls in a minute, want at most %d", n, c.minute)
			}
			if n := len(calls.at); n < c.least {
				t.Errorf("%d calls in %s, want at least %d", n, outage, c.least)
			}
			if len(w.dead) > 0 {
				t.Errorf("%d files were given up", len(w.dead))
			}
			w.turn = fails(verdict{})
			w.wake()
			w.run(time.Hour, cp)
			w.converged(false)
		})
	}
}

// TestThePauseThatASideAsksFor is kept by single files and, once the gate is open, by the
// next to be tried; for five minutes at most, whatever was asked for.
func TestThePauseThatASideAsksFor(t *testing.T) {
	for _, op := range []string{"open", "put"} {
		for asked, want := range map[time.Duration]time.Duration{
			0: 30 * time.Second, time.Second: 30 * time.Second, time.Minute: time.Minute, time.Hour: 5 * time.Minute,
		} {
			bubble(t, fmt.Sprint(op, "/", asked), func(t *testing.T, w *world) {
				for i := range 20 {
					w.publish(w.write(fmt.Sprintf("%02d", i), body(10, 1)))
				}
				err := fault(op).(*messages.Fault)
				err.Class, err.RetryAfter, err.Err = messages.Throttled, asked, errors.New("slow down")
				var calls clockwork
				w.turn = calls.fail(op, verdict{clean: true, err: err})
				cp, _ := gated(w)
				w.run(time.Hour, cp)
				for i := range calls.at[3:] { // behind the three that open the gate
					pause, least := calls.at[i+3]-calls.at[i+2], want
					if i == 0 {
						least = max(5*time.Second, min(asked, want)) // the first probe comes soon
					}
					if pause < least || pause > want+want/4+time.Second {
						t.Fatalf("call %d came after %s, want %s", i+4, pause, least)
					}
				}
				if len(calls.at) < int(time.Hour/want) {
					t.Errorf("%d calls in an hour, want one each %s", len(calls.at), want)
				}
				w.turn = fails(verdict{})
				w.wake()
				if took, empty := w.run(time.Hour, cp); !empty || took > want+time.Minute {
					t.Errorf("all was copied %s after the outage", took)
				}
				w.converged(false)
			})
		}
	}
}
