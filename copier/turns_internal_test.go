package copier

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
)

// TestTurns: what a copy waits for comes first, then who waits longest; who gives up
// takes none with it.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := &turns{limit: 1}
		holder := &turn{granted: make(chan struct{}, 1)}
		if err := all.take(t.Context(), holder); err != nil {
			t.Fatal(err)
		}
		var order []string
		ctx, cancel := context.WithCancelCause(t.Context())
		wait := func(name string, ctx context.Context, urgent bool) {
			w := &turn{granted: make(chan struct{}, 1)}
			w.urgent.Store(urgent)
			go func() {
				if err := all.take(ctx, w); err != nil {
					order = append(order, name+": "+err.Error())
					return
				}
				order = append(order, name)
				all.give()
			}()
			synctest.Wait()
		}
		wait("first", t.Context(), false)
		wait("gone", ctx, true)
		wait("second", t.Context(), false)
		wait("urgent", t.Context(), true)
		cancel(errors.New("not wanted"))
		synctest.Wait()
		all.give()
		synctest.Wait()
		if want := []string{"gone: not wanted", "urgent", "first", "second"}; !slices.Equal(order, want) {
			t.Errorf("%q, want %q", order, want)
		}
		if all.taken != 0 || len(all.waiting) != 0 {
			t.Errorf("%d taken, %d waiting", all.taken, len(all.waiting))
		}
	})
}

// TestATurnIsNotLost where it is granted to one who gives up at the same moment.
func TestATurnIsNotLost(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			all := &turns{limit: 1}
			if err := all.take(t.Context(), &turn{}); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				if all.take(ctx, &turn{granted: make(chan struct{}, 1)}) == nil {
					all.give()
				}
			}()
			synctest.Wait()
			cancel()
			all.give()
			synctest.Wait()
			if all.taken != 0 {
				t.Fatal("the turn is lost")
			}
		})
	}
}
