package copier_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// TestTheNumberOfSlotsChangesUnderWay: more slots begin at once, and slots that are
// too many end their copy first, so that no file is handed out twice.
func TestTheNumberOfSlotsChangesUnderWay(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 30 {
			w.publish(w.write(fmt.Sprintf("%02d", i), body(6, 1)))
		}
		w.slow(10 * time.Second) // a minute a file
		resize := make(chan int)
		var running, finished atomic.Int32
		c := w.host("one").copier()
		c.Slots, c.Resize = 1, resize
		c.Observe = func(e copier.Event) {
			switch e.Kind {
			case copier.Started:
				running.Add(1)
			case copier.Finished:
				running.Add(-1)
				finished.Add(1)
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			c.Run(ctx)
		}()
		for _, step := range []struct{ slots, now, later int32 }{
			{3, 3, 3}, {2, 3, 2}, {3, 3, 3}, {0, 3, 1}, {4, 4, 4},
		} {
			time.Sleep(10 * time.Second)
			resize <- int(step.slots)
			synctest.Wait()
			if n := running.Load(); n != step.now {
				t.Errorf("with %d slots %d files are being copied at once, want %d", step.slots, n, step.now)
			}
			time.Sleep(65 * time.Second)
			synctest.Wait()
			if n := running.Load(); n != step.later {
				t.Errorf("with %d slots %d files are being copied a minute later, want %d", step.slots, n, step.later)
			}
		}
		time.Sleep(20 * time.Minute)
		cancel()
		<-ended
		if n := finished.Load(); n != 30 || w.committed() != 30 {
			t.Errorf("%d files were copied with %d commits, want 30, each once", n, w.committed())
		}
	})
}

// A single slot serves both lanes, also where it was one of more before.
func TestTheLastSlotServesBothLanes(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		resize := make(chan int, 1)
		c := w.host("one").copier()
		c.Slots, c.Resize = 2, resize
		resize <- 1
		w.publishTo(messages.Backfill, w.write("old", body(10, 1)))
		if took, empty := w.run(time.Hour, c); !empty || took > time.Minute {
			t.Errorf("the backfill lane is not empty after %v", took)
		}
	})
}
