package copier_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/limits"
	"oracle-focus-agent/messages"
)

// Of all workers that are at work each knows how many they are.
type fixedLeases struct{ workers int }

func (l fixedLeases) Hold(context.Context) (int, error) { return l.workers, nil }
func (l fixedLeases) Release(context.Context) error     { return nil }

// within puts a worker between the copier and the world, and returns it.
func within(c *copier.Copier, r limits.Rates, s limits.Sides) *limits.Worker {
	w := limits.New(limits.Options{
		Slots: c.Slots, Log: slog.New(slog.DiscardHandler),
		Allowed: func(time.Time) (limits.Rates, bool) { return r, r != limits.Rates{} },
	})
	s = w.Around(s)
	c.Source, c.Objects, c.Uploads, c.Parts, c.Resize = s, s, s, s, w.Slots()
	return w
}

// during calls look a while after the begin of a run.
func during(after time.Duration, look func()) (stop func() bool) {
	return time.AfterFunc(after, look).Stop
}

// TestBytesStayUnderTheLimit of all workers together over a minute, and come near it; no
// copy is made twice or given up for being slow.
func TestBytesStayUnderTheLimit(t *testing.T) {
	for _, size := range []int{50_000, 400_000} { // whole, and in parts
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			const perSecond, slots, burst, piece = 100_000, 4, 64 << 10, 2500
			w.least = perSecond
			files := 90 * perSecond / size
			for i := range files {
				w.publish(w.write(fmt.Sprintf("%03d", i), body(size, byte(i))))
			}
			var all []*copier.Copier
			for _, name := range []string{"one", "two"} {
				h := w.host(name)
				c := h.copier()
				c.Slots, c.Chunk, c.Budget, c.LeastPart = slots, perSecond, copier.NewBudget(slots, perSecond), perSecond
				defer within(c, limits.Rates{Bytes: perSecond}, h).Share(t.Context(), fixedLeases{2})()
				all = append(all, c)
			}
			defer during(time.Minute, func() {
				n, most := w.servedBytes(), 60*perSecond+2*(burst+slots*piece)
				if n > most || n < most*8/10 {
					t.Errorf("%d bytes were read within a minute, want up to %d and nearly that", n, most)
				}
			})()
			if took, empty := w.run(time.Hour, all...); !empty || took < 85*time.Second {
				t.Errorf("90 seconds' worth of files took %v", took)
			}
			if n := w.servedBytes(); n != files*size || w.committed() != files {
				t.Errorf("%d bytes were read for %d copies, want %d for %d", n, w.committed(), files*size, files)
			}
			w.converged(false)
		})
	}
}

func (w *world) servedBytes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.served
}

// TestRequestsStayUnderTheLimit, and no commit waits for its turn.
func TestRequestsStayUnderTheLimit(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		const perSecond, slots = 2, 4
		for i := range 100 {
			w.publish(w.write(fmt.Sprintf("%03d", i), body(10, 1)))
		}
		h := w.host("one")
		c := h.copier()
		c.Slots = slots
		defer within(c, limits.Rates{Requests: perSecond}, h).Share(t.Context(), fixedLeases{1})()
		defer during(time.Minute, func() {
			if n := w.count("open") + w.count("put"); n > 60*perSecond+slots+1 || n < 60*perSecond*8/10 {
				t.Errorf("%d requests within a minute, want up to %d and a commit of each slot", n, 60*perSecond)
			}
		})()
		w.run(time.Hour, c)
		if w.committed() != 100 || w.count("open") != 100 {
			t.Errorf("%d commits after %d times reading, want 100", w.committed(), w.count("open"))
		}
		w.converged(false)
	})
}

// A narrow destination refuses what is more than it can take at once.
type narrow struct {
	copier.Objects
	room, most, refused, now atomic.Int64
}

func (n *narrow) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	defer n.now.Add(-1)
	now := n.now.Add(1)
	n.most.Store(max(n.most.Load(), now))
	if now > n.room.Load() {
		time.Sleep(rand.N(100 * time.Millisecond))
		n.refused.Add(1)
		return "", &messages.Fault{Class: messages.Throttled, Side: messages.Destination, Op: "put", Err: errors.New("SlowDown")}
	}
	time.Sleep(time.Second + rand.N(time.Second))
	return n.Objects.Put(ctx, key, body, m)
}

// TestAnOverloadedSideGetsLess, about as much as it takes, and all of it once it takes
// more.
func TestAnOverloadedSideGetsLess(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		const slots, room = 6, 3
		for i := range 160 {
			w.publish(w.write(fmt.Sprintf("%03d", i), body(10, 1)))
		}
		h := w.host("one")
		c := h.copier()
		c.Slots, c.Budget = slots, copier.NewBudget(slots, 16)
		n := &narrow{Objects: h}
		n.room.Store(room)
		worker := within(c, limits.Rates{}, struct {
			copier.Source
			copier.Objects
			copier.Uploads
			copier.Parts
			copier.Relays
		}{h, n, h, h, h})
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		time.Sleep(15 * time.Second) // the first refusals have opened the gate
		n.most.Store(0)
		refused, done := n.refused.Load(), w.committed()
		time.Sleep(40 * time.Second)
		refused, done = n.refused.Load()-refused, w.committed()-done
		if got := worker.SlotsAllowed(); got < 1 || got > room+1 || n.most.Load() > room+1 {
			t.Errorf("%d slots are allowed, and up to %d are sent at once, where the destination takes %d", got, n.most.Load(), room)
		}
		if done < 30 || refused*2 > int64(done) {
			t.Errorf("%d were copied and %d refused within 40 seconds", done, refused)
		}
		n.room.Store(slots)
		time.Sleep(15 * time.Second)
		if got := worker.SlotsAllowed(); got != slots {
			t.Errorf("%d slots are allowed soon after the trouble, want %d", got, slots)
		}
		cancel()
		running.Wait()
		w.settle(c)
		w.converged(false)
	})
}

// TestTheLastSlotProbes, whatever it was when the gate opened: the first of more slots
// is kept for live files then, and does not.
func TestTheLastSlotProbes(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 6 {
			w.publishTo(messages.Backfill, w.write(fmt.Sprintf("%02d", i), body(10, 1)))
		}
		w.turn = fails(verdict{clean: true}, "open")
		c, _ := gated(w)
		resize := make(chan int, 1)
		c.Slots, c.Resize = 3, resize
		defer during(time.Minute, func() { resize <- 1 })()
		w.run(10*time.Minute, c)
		if n := w.count("open"); n < 15 || n > 30 {
			t.Errorf("%d tries in ten minutes, want one each 30 s", n)
		}
	})
}
