package scanner

import (
	"context"
	"math/rand/v2"
	"time"
)

// RetryAfter bounds the wait after a scan that failed.
const RetryAfter = 30 * time.Second

// stepTime bounds what happens between two signs of life: the listing of one page
// with its retries, the judgement of one object, and what Finished does. It is far
// above what they take. restSlack is by how much a machine under load may oversleep.
const (
	stepTime  = 15 * time.Minute
	restSlack = time.Minute
)

func (s *Scanner) alive(within time.Duration) {
	if s.Alive != nil {
		s.Alive(within)
	}
}

// Run scans until ctx ends: at once, then each interval. A scan that fails is told to Finished and repeated after at most 30 s.
// It returns at once when ctx ends.
func (s *Scanner) Run(ctx context.Context) {
	defer s.alive(0)
	for ctx.Err() == nil {
		s.alive(stepTime)
		stats, err := s.Scan(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.Log.Error("scan failed", "scan", stats.Scan, "err", err)
		}
		s.alive(stepTime)
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
	s.alive(wait + restSlack)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
