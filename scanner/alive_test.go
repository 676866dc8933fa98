package scanner_test

import (
	"context"
	"iter"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A watch holds a scanner to what it promises by Alive.
type watch struct {
	mu    sync.Mutex
	until time.Time
	late  int
	ended bool
}

func watching(s *scanner.Scanner) *watch {
	w := &watch{until: time.Now()}
	s.Alive = func(within time.Duration) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if time.Now().After(w.until) {
			w.late++
		}
		w.until, w.ended = time.Now().Add(within), within == 0
	}
	return w
}

func TestAScannerKeepsItsPromiseToBeAlive(t *testing.T) {
	for _, interval := range []time.Duration{time.Minute, 24 * time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			s := w.scanner()
			s.Interval = interval
			watch := watching(s)
			run(t, w, s, 5*interval)
			if watch.late > 0 || !watch.ended {
				t.Errorf("late %d times; ended: %v", watch.late, watch.ended)
			}
		})
	}
}

// A deafLister never answers, whatever its context.
type deafLister struct{ release chan struct{} }

func (l deafLister) List(context.Context, string) iter.Seq2[messages.Object, error] {
	return func(func(messages.Object, error) bool) { <-l.release }
}

func TestAScannerThatHangsIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newWorld(t).scanner()
		l := deafLister{make(chan struct{})}
		s.Lister = l
		watch := watching(s)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		time.Sleep(time.Hour)
		watch.mu.Lock()
		if !time.Now().After(watch.until) {
			t.Errorf("a scanner that hangs says that it lives until %v", watch.until)
		}
		watch.mu.Unlock()
		cancel()
		close(l.release)
		running.Wait()
	})
}
