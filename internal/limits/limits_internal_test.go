package limits

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// TestAMeterHoldsBack many at once to the rate, with nothing lost where a wait ends early.
func TestAMeterHoldsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMeter(1)
		if err := m.wait(t.Context(), 1); err != nil || m.rate() != 0 {
			t.Fatalf("wait = %v at a rate of %v, want no limit", err, m.rate())
		}
		m.set(5)
		began := time.Now()
		var waiting sync.WaitGroup
		for range 51 {
			waiting.Go(func() { _ = m.wait(t.Context(), 1) })
		}
		waiting.Wait()
		if took := time.Since(began).Round(10 * time.Millisecond); took != 10*time.Second {
			t.Errorf("51 at 5 a second took %v, want 10 s", took)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, errors.New("enough"))
		defer cancel()
		if err := m.wait(ctx, 1); err == nil || err.Error() != "enough" {
			t.Errorf("wait = %v, want the cause of the end", err)
		}
		m.set(0)
		m.set(5) // at the same moment
		if m.charge(1); m.charge(1) == 0 {
			t.Error("a limit that was lifted and set again lets everything through")
		}
	})
}

func TestPiecesAreShort(t *testing.T) {
	m := newMeter(leastBurst)
	for rate, want := range map[float64]int{0: leastBurst, 1: leastPiece, 100_000: 5000, 1e9: leastBurst} {
		if m.set(rate); m.piece() != want {
			t.Errorf("at %v bytes a second a piece has %d, want %d", rate, m.piece(), want)
		}
		if d := m.charge(m.piece()); rate > 1e4 && d > 50*time.Millisecond {
			t.Errorf("at %v bytes a second the first piece waits %v", rate, d)
		}
	}
}

// TestACrowd: room is made before a newcomer takes his part.
func TestACrowd(t *testing.T) {
	for _, c := range []struct {
		what      string
		saw, want []int
	}{
		{"alone", []int{1, 1}, []int{1, 1}},
		{"a newcomer", []int{3, 3}, []int{16, 3}},
		{"a newcomer among many", []int{40, 40}, []int{40, 40}},
		{"one more, and fewer", []int{1, 2, 3, 2, 2, 1}, []int{1, 2, 3, 3, 2, 1}},
	} {
		crowd := strangers()
		for i, n := range c.saw {
			if crowd.saw(n); crowd.size() != c.want[i] {
				t.Errorf("%s: the part is one of %d after %d were seen, want %d", c.what, crowd.size(), c.saw[:i+1], c.want[i])
			}
		}
	}
}

// lent are leases that tell what a test wants.
type lent struct {
	mu             sync.Mutex
	workers        int
	err            error
	held, released int
}

func (l *lent) Hold(context.Context) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held++
	return l.workers, l.err
}

func (l *lent) Release(context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.released++
	return l.err
}

func (l *lent) set(workers int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.workers, l.err = workers, err
}

// TestNothingIsRelayedWithinALimit, which would keep both sides waiting.
func TestNothingIsRelayedWithinALimit(t *testing.T) {
	for _, configured := range []bool{false, true} {
		for _, can := range []bool{false, true} {
			w := New(Options{Slots: 1, Log: quiet(), Allowed: func(time.Time) (Rates, bool) { return Rates{}, configured }})
			if got := w.Around(able{can: can}).Relaying(); got != (can && !configured) {
				t.Errorf("Relaying = %t where the destination can: %t, and there is a limit: %t", got, can, configured)
			}
		}
	}
}

type able struct {
	Sides
	can bool
}

func (a able) Relaying() bool { return a.can }

// TestShare: what is allowed is divided; what is not known never lifts a limit; the part
// follows the time of day and a reload.
func TestShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed, configured := Rates{1600, 16}, true
		var mu sync.Mutex
		w := New(Options{Slots: 1, Log: quiet(), Allowed: func(time.Time) (Rates, bool) {
			mu.Lock()
			defer mu.Unlock()
			return allowed, configured
		}})
		l := &lent{workers: 4, err: errors.New("away")}
		want := func(what string, bytes, requests float64) {
			t.Helper()
			time.Sleep(2 * RenewEvery)
			synctest.Wait()
			if got := w.Rates(); got != (Rates{bytes, requests}) {
				t.Errorf("%s: %v, want %v bytes and %v requests", what, got, bytes, requests)
			}
		}
		if got := w.Rates(); got != (Rates{100, 1}) {
			t.Errorf("before anybody was asked: %v", got)
		}
		stop := w.Share(t.Context(), l)
		want("never known", 100, 1)
		l.set(4, nil)
		want("four workers", 400, 4)
		l.set(0, errors.New("away"))
		want("away", 400, 4)
		mu.Lock()
		allowed = Rates{Bytes: 800}
		mu.Unlock()
		want("another time of day while away", 200, 0)
		l.set(1, nil)
		want("alone", 800, 0)
		mu.Lock()
		allowed = Rates{}
		mu.Unlock()
		want("a time without a limit", 0, 0)
		stop()
		if l.released != 1 {
			t.Errorf("the lease was released %d times", l.released)
		}
		configured = false
		before := l.held
		stop = w.Share(t.Context(), l)
		want("nothing configured", 0, 0)
		stop()
		if l.held != before || l.released != 1 {
			t.Error("the ledger was asked, although there is no limit")
		}
	})
}

func throttled() error { return &messages.Fault{Class: messages.Throttled} }

// newest is the number that a copier would be told, or 0.
func (p *pace) newest() int {
	select {
	case n := <-p.resize:
		return n
	default:
		return 0
	}
}

// TestAPaceHalvesOnceForOneTrouble, down to one, and grows by one at a time.
func TestAPaceHalvesOnceForOneTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(8, quiet())
		began := time.Now()
		time.Sleep(time.Second)
		for range 8 { // all that was under way
			p.answered(began, throttled(), "")
		}
		if p.now() != 4 || p.newest() != 4 {
			t.Errorf("%d slots after one trouble, want 4", p.now())
		}
		p.answered(began, nil, "") // says nothing of fewer
		for _, want := range []int{2, 1, 1} {
			time.Sleep(time.Millisecond)
			if p.answered(time.Now(), throttled(), messages.Destination); p.now() != want {
				t.Errorf("%d slots, want %d", p.now(), want)
			}
		}
		p.answered(time.Now(), &messages.Fault{Class: messages.Connection}, "")
		for range 100 {
			p.answered(time.Now(), nil, "")
		}
		if p.now() != 1 {
			t.Errorf("%d slots at once after the trouble, want 1", p.now())
		}
		for want := 2; want <= 8; want++ {
			time.Sleep(growEvery)
			for range 100 {
				p.answered(time.Now(), nil, "")
			}
			if p.now() != want || p.newest() != want {
				t.Errorf("%d slots, want %d", p.now(), want)
			}
		}
		time.Sleep(time.Minute)
		p.answered(time.Now(), nil, "")
		if p.now() != 8 || p.newest() != 0 {
			t.Errorf("%d slots, want the 8 that are configured, and nobody told", p.now())
		}
	})
}

// TestAReloadKeepsThePace.
func TestAReloadKeepsThePace(t *testing.T) {
	p := newPace(4, quiet())
	for _, c := range []struct {
		trouble     bool
		slots, want int
	}{{false, 8, 8}, {true, 16, 4}, {false, 2, 2}, {false, 3, 3}} {
		if c.trouble {
			p.answered(time.Now(), throttled(), "")
		}
		if p.configure(c.slots); p.now() != c.want {
			t.Errorf("%d slots of %d, want %d", p.now(), c.slots, c.want)
		}
	}
}

// TestSlowAnswers halve the pace where they are both twice as slow and long, not below
// half of what is configured; and what stays so is no trouble for ever.
func TestSlowAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(8, quiet())
		answers := func(windows int, took time.Duration) {
			for range windows * windowSize {
				began := time.Now()
				time.Sleep(took)
				p.answered(began, nil, messages.Source)
			}
		}
		answers(2, 20*time.Millisecond)
		answers(2, 150*time.Millisecond) // a busy machine
		if p.now() != 8 {
			t.Errorf("%d slots after answers that are slower by little, want 8", p.now())
		}
		answers(1, 250*time.Millisecond)
		if p.now() != 4 {
			t.Errorf("%d slots after slow answers, want 4", p.now())
		}
		for range windowsKept {
			answers(1, 250*time.Millisecond)
			if n := p.now(); n < 4 {
				t.Fatalf("%d slots, want at least half", n)
			}
		}
		answers(8, 250*time.Millisecond)
		if p.now() != 8 {
			t.Errorf("%d slots on a way that has become longer, want 8", p.now())
		}
	})
}

// still are sides that answer at once.
type still struct {
	Sides
	body io.ReadCloser
}

func (s still) Open(context.Context, string, string, copier.Range) (messages.Object, io.ReadCloser, error) {
	return messages.Object{}, s.body, nil
}

func (s still) Put(context.Context, string, []byte, copier.Meta) (string, error) { return "etag", nil }

// TestNoLimitCostsNothing: no allocation, and the body is read without anything between.
func TestNoLimitCostsNothing(t *testing.T) {
	w := New(Options{Slots: 1, Log: quiet(), Allowed: func(time.Time) (Rates, bool) { return Rates{}, false }})
	body := io.NopCloser(strings.NewReader("x"))
	s := w.Around(still{body: body})
	if n := testing.AllocsPerRun(1000, func() {
		_, got, err := s.Open(t.Context(), "a", "", copier.Range{})
		if got != body || err != nil {
			t.Fatalf("Open = %v, %v, want the body as it is", got, err)
		}
		if _, err := s.Put(t.Context(), "a", nil, copier.Meta{}); err != nil {
			t.Fatal(err)
		}
	}); n >= 1 {
		t.Errorf("%v allocations for a file", n)
	}
}

func BenchmarkNoLimit(b *testing.B) {
	w := New(Options{Slots: 1, Log: quiet(), Allowed: func(time.Time) (Rates, bool) { return Rates{}, false }})
	s := w.Around(still{body: io.NopCloser(strings.NewReader("x"))})
	for b.Loop() {
		_, _, _ = s.Open(b.Context(), "a", "", copier.Range{})
		_, _ = s.Put(b.Context(), "a", nil, copier.Meta{})
	}
}
