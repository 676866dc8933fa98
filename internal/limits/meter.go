package limits

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

const (
	// leastBurst is what a meter of bytes lets through at once; no piece is larger.
	leastBurst = 64 << 10
	// leastPiece keeps the number of reads in bounds.
	leastPiece = 512
	// burstOf and pieceOf are parts of a second: of the former, so that a timer that is
	// late costs nothing, and of the latter, so that nobody waits for long behind many.
	burstOf, pieceOf = 10, 20
)

// A meter counts what goes through it, and holds it back to a rate in the order of the
// asking. It begins without a limit.
type meter struct {
	least   int                          // that goes through at once
	limiter atomic.Pointer[rate.Limiter] // nil: no limit
}

func newMeter(least int) *meter { return &meter{least: least} }

// set limits to so many in a second; 0 is no limit. One goroutine calls it at a time.
func (m *meter) set(perSecond float64) {
	limiter, burst := m.limiter.Load(), max(m.least, int(perSecond/burstOf))
	switch {
	case perSecond == 0:
		m.limiter.Store(nil) // rate.Inf can leave a number behind that is none
	case limiter == nil:
		m.limiter.Store(rate.NewLimiter(rate.Limit(perSecond), burst))
	case perSecond != m.rate():
		limiter.SetLimit(rate.Limit(perSecond))
		limiter.SetBurst(burst)
	}
}

// rate is the present limit; 0 is none.
func (m *meter) rate() float64 {
	if limiter := m.limiter.Load(); limiter != nil {
		return float64(limiter.Limit())
	}
	return 0
}

// piece is how many bytes may be asked for at once.
func (m *meter) piece() int {
	if r := m.rate(); r > 0 {
		return int(min(max(r/pieceOf, leastPiece), leastBurst))
	}
	return leastBurst
}

// charge counts n, at most the least burst, and returns how long whoever is patient waits.
func (m *meter) charge(n int) time.Duration {
	limiter := m.limiter.Load()
	if limiter == nil {
		return 0
	}
	now := time.Now()
	return limiter.ReserveN(now, n).DelayFrom(now)
}

// wait counts n and returns when it is their turn, or the cause of the end of ctx.
func (m *meter) wait(ctx context.Context, n int) error {
	if n == 0 { // which would wait for those before
		return nil
	}
	d := m.charge(n)
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
