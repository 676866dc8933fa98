package limits

import (
	"context"
	"sync"
	"time"
)

const (
	// RenewEvery is the time between two renewals of a lease, and LeaseLife how long one
	// lasts that is not renewed.
	RenewEvery = 5 * time.Second
	LeaseLife  = 4 * RenewEvery
	// unknownWorkers is by how many the limits are divided as long as nobody has told.
	unknownWorkers = 16
	// firstTime bounds the first question, for which the first file waits, and releaseTime
	// the end of a lease, for which a shutdown waits.
	firstTime, releaseTime = 2 * time.Second, time.Second
)

// Leases are the workers of a route, as the ledger knows them.
type Leases interface {
	// Hold renews the lease of this worker, and returns how many have one, this included.
	// After an error it is not known whether it was renewed.
	Hold(ctx context.Context) (workers int, err error)
	// Release ends the lease of this worker, if there is one.
	Release(ctx context.Context) error
}

// Share keeps the part of this worker at what is allowed now, divided by those that hold a
// lease, until stop is called, which releases its own. It returns once the others were
// asked for the first time: what waits for its turn before that waits by a smaller part.
// Where no limit is configured nobody is asked.
//
// A crash leaves a lease that ends by itself within LeaseLife. While the ledger does not
// answer, the limits are divided as before.
func (w *Worker) Share(ctx context.Context, l Leases) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &sharing{Worker: w, leases: l}
	first, enough := context.WithTimeout(ctx, firstTime)
	s.step(first)
	enough()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

type sharing struct {
	*Worker
	leases Leases
	held   bool // or perhaps
	away   bool // the ledger, at the last step
}

func (s *sharing) run(ctx context.Context) {
	tick := time.NewTicker(RenewEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.release(ctx)
			return
		case <-tick.C:
			s.step(ctx)
		}
	}
}

// step renews the lease, and divides what is allowed now.
func (s *sharing) step(ctx context.Context) {
	if s.configured() {
		s.renew(ctx)
	}
	s.divide()
}

func (s *sharing) renew(ctx context.Context) {
	s.held = true
	n, err := s.leases.Hold(ctx)
	if err == nil {
		s.crowd.saw(n)
	} else if !s.away {
		s.log.Warn("the other workers are not known; the limits are divided as before", "by", s.crowd.size(), "err", err)
	}
	s.away = err != nil
}

// release lets the others have the part of this worker at once.
func (s *sharing) release(ctx context.Context) {
	if !s.held {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTime)
	defer cancel()
	if err := s.leases.Release(ctx); err != nil {
		s.log.Warn("the part of the limits was not given back; the others get it when the lease ends", "within", LeaseLife, "err", err)
	}
}

func (w *Worker) configured() bool {
	_, yes := w.allowed(time.Now())
	return yes
}

// divide sets both meters.
func (w *Worker) divide() {
	all, _ := w.allowed(time.Now())
	n := float64(w.crowd.size())
	w.bytes.set(all.Bytes / n)
	w.requests.set(all.Requests / n)
}

// A crowd is by how many workers the limits are divided. It grows at once, and shrinks
// only when fewer were seen twice: so the others have made room before a newcomer takes
// its part. Whoever is alone waits for nobody.
type crowd struct {
	mu        sync.Mutex
	now, last int
}

func strangers() crowd { return crowd{now: unknownWorkers, last: unknownWorkers} }

func (c *crowd) saw(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = max(n, c.last)
	if n <= 1 {
		c.now = 1
	}
	c.last = n
}

func (c *crowd) size() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}
