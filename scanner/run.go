package scanner

import (
	"context"
	"math/rand/v2"
	"time"
)

// RetryAfter bounds the wait after a scan that failed.
const RetryAfter = 30 * time.Second

// Run scans until ctx ends: at once, then each interval, and whenever it is
// woken. A scan that fails is told to Finished and repeated after at most 30 s.
// It returns at once when ctx ends.
func (s *Scanner) Run(ctx context.Context) {
	for ctx.Err() == nil {
		stats, err := s.Scan(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.Log.Error("scan failed", "scan", stats.Scan, "err", err)
		}
		if s.Finished != nil {
			s.Finished(stats, err)
		}
		s.rest(ctx, err != nil)
	}
}

// rest waits for the next scan, with a tenth of jitter so that many scanners do
// not list at the same moment.
func (s *Scanner) rest(ctx context.Context, failed bool) {
	wait := s.Interval
	if failed {
		wait = min(wait, RetryAfter)
	}
	wait -= rand.N(wait/10 + 1)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.Wake:
	}
}
