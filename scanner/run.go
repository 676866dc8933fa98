package scanner

import (
	"context"
	"math/rand/v2"
	"time"

	"oracle-focus-agent/messages"
)

// retryAfter bounds the wait after a scan that failed, but for the pause that the source asks for.
const retryAfter = 30 * time.Second

// Rest is how long Run waits after a scan that ended with err, but for the jitter: the
// interval, or after a failure 30 s at most, unless the source asked for a longer pause.
func Rest(interval time.Duration, err error) time.Duration {
	if err == nil {
		return interval
	}
	return max(min(interval, retryAfter), messages.PauseOf(err))
}

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

// Run scans until ctx ends: at once, then each interval. A scan that fails is told to
// Finished and repeated after at most 30 s, or after the pause that the source asks for.
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
		s.rest(ctx, err)
	}
}

// rest waits for the next scan, with a tenth of jitter so that many scanners do
// not list at the same moment.
func (s *Scanner) rest(ctx context.Context, err error) {
	wait := Rest(s.Interval, err)
	wait = max(wait-rand.N(wait/10+1), messages.PauseOf(err))
	s.alive(wait + restSlack)
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
