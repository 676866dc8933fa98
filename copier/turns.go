package copier

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// Turns share a few processors among many inspections. What a finished copy waits for
// comes first, else whoever waits longest.
type turns struct {
	mu      sync.Mutex
	limit   int
	taken   int
	waiting []*turn // longest first
}

// A turn is what one inspection asks for, and holds.
type turn struct {
	urgent  atomic.Bool   // a copy waits for it
	granted chan struct{} // of one place
}

// take waits for a turn, or for the end of ctx.
func (t *turns) take(ctx context.Context, who *turn) error {
	t.mu.Lock()
	if t.taken < t.limit {
		t.taken++
		t.mu.Unlock()
		return nil
	}
	t.waiting = append(t.waiting, who)
	t.mu.Unlock()
	select {
	case <-who.granted:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	i := slices.Index(t.waiting, who)
	if i >= 0 {
		t.waiting = slices.Delete(t.waiting, i, i+1)
	}
	t.mu.Unlock()
	if i < 0 { // it was granted at this moment
		<-who.granted
		t.give()
	}
	return context.Cause(ctx)
}

// give hands a turn on.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.waiting) == 0 {
		t.taken--
		return
	}
	i := max(0, slices.IndexFunc(t.waiting, func(w *turn) bool { return w.urgent.Load() }))
	next := t.waiting[i]
	t.waiting = slices.Delete(t.waiting, i, i+1)
	next.granted <- struct{}{}
}
