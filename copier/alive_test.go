package copier_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// A watch holds hands to what they promise by Copier.Alive.
type watch struct {
	mu    sync.Mutex
	until map[int]time.Time
	late  []int
	told  bool
}

func watching(c *copier.Copier) *watch {
	w := &watch{until: map[int]time.Time{}}
	c.Alive = func(hand int, within time.Duration) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if until, ok := w.until[hand]; ok && time.Now().After(until) {
			w.late = append(w.late, hand)
		}
		if within == 0 {
			delete(w.until, hand)
			return
		}
		w.told = true
		w.until[hand] = time.Now().Add(within)
	}
	return w
}

func (w *watch) silent(at time.Time) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, until := range w.until {
		if at.After(until) {
			n++
		}
	}
	return n
}

// TestHandsKeepTheirPromiseToBeAlive: while they have nothing to do, while a copy
// takes long, and while a side is down.
func TestHandsKeepTheirPromiseToBeAlive(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"nothing to do": func(*world) {},
		"a slow copy": func(w *world) {
			w.slow(3 * time.Minute)
			w.publish(w.write("a", body(30, 1)))
		},
		"a side is down": func(w *world) {
			w.turn = fails(verdict{clean: true, err: &messages.Fault{Class: messages.Connection, Side: messages.Source}}, "open")
			for _, base := range []string{"a", "b", "c", "d"} {
				w.publish(w.write(base, body(5, 1)))
			}
		},
		"it hangs until its context ends": func(w *world) {
			w.turn = fails(verdict{hangs: true}, "put")
			w.publish(w.write("a", body(5, 1)))
		},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			prepare(w)
			c := w.host("one").copier()
			c.Slots, c.Gate.Probe = 3, 20*time.Minute
			watch := watching(c)
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Hour)
			defer cancel()
			c.Run(ctx)
			if len(watch.late) > 0 || !watch.told || len(watch.until) > 0 {
				t.Errorf("late: %v; %d of 6 hands did not say that they ended", watch.late, len(watch.until))
			}
		})
	}
}

// A deafQueue never answers, whatever its context.
type deafQueue struct{ release chan struct{} }

func (q deafQueue) Next(context.Context, bool) (*copier.Delivery, error) {
	<-q.release
	return nil, nil
}

func TestASlotThatHangsIsSilent(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		q := deafQueue{make(chan struct{})}
		c.Queue, c.Slots = q, 2
		watch := watching(c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		time.Sleep(30 * time.Minute)
		if n := watch.silent(time.Now()); n != 2 {
			t.Errorf("%d of 2 slots that hang were silent", n)
		}
		cancel()
		close(q.release)
		running.Wait()
	})
}
