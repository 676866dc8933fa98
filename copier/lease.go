package copier

import (
	"context"
	"errors"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

// A lease keeps a delivery with this worker while its work moves on. It renews
// at a fifth of the ack wait. When nothing has moved for as long as the present
// step may take, it stops renewing and ends the work.
type lease struct {
	ctx    context.Context // of the work; ends with its cause when nothing moves
	cancel context.CancelCauseFunc
	renew  func(context.Context) error
	alive  func(time.Duration) // told how long the present step may take
	wait   time.Duration
	done   sync.WaitGroup

	mu        sync.Mutex
	confirmed time.Time // when the last confirmed renewal was asked for
	gone      bool      // another worker may have had the message meanwhile
	until     time.Time // until when the present step may take
}

// newLease counts from the moment at which the message was asked for: a process that is
// frozen between the question and the look at the answer may find a loan that has ended.
func newLease(ctx context.Context, renew func(context.Context) error, wait time.Duration, asked time.Time, alive func(time.Duration)) *lease {
	l := &lease{renew: renew, alive: alive, wait: wait, confirmed: asked, until: time.Now().Add(waitTime)}
	if asked.IsZero() {
		l.confirmed = time.Now()
	}
	alive(waitTime)
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	l.done.Go(l.run)
	return l
}

func (l *lease) run() {
	tick := time.NewTicker(l.wait / 5)
	defer tick.Stop()
	for {
		select {
		case <-l.ctx.Done():
			return
		case <-tick.C:
		}
		if l.idle() {
			l.cancel(&messages.Fault{Class: messages.Connection, Op: "copy", Err: errors.New("nothing moved for too long")})
			return
		}
		l.renewOnce()
	}
}

func (l *lease) idle() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Now().After(l.until)
}

// renewOnce counts from the moment it asks: the broker's clock starts later. A
// broker that does not answer is asked again with the next tick; meanwhile the
// copy goes on. An answer that comes later than the ack wait proves nothing, since
// the broker gives it to either worker: after a process was frozen, or the
// network was away, for that long, the lease is gone for good. That does not break
// off a commit under way, which has to be held against the ledger.
func (l *lease) renewOnce() {
	asked := time.Now()
	ctx, cancel := context.WithTimeout(l.ctx, l.wait/5)
	defer cancel()
	if l.renew(ctx) != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if time.Since(l.confirmed) > l.wait {
		l.gone = true
	}
	if !l.gone {
		l.confirmed = asked
	}
}

// moving says that the work has moved, and how long the next step may take.
func (l *lease) moving(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if until := time.Now().Add(d); until.After(l.until) {
		l.until = until
	}
	l.alive(time.Until(l.until))
}

// fresh is LeaseLost when the last confirmed renewal is older than three
// quarters of the ack wait: then another worker may have this file by now, and
// nothing may be committed. A renewal at this point would prove nothing, since
// the broker accepts it from either worker.
func (l *lease) fresh() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if age := time.Since(l.confirmed); l.gone || age > l.wait*3/4 {
		return &messages.Fault{Class: messages.LeaseLost, Op: "commit", Err: errors.New("the queue has not confirmed the lease for " + age.Round(time.Millisecond).String())}
	}
	return nil
}

// fresh asks for no lease after a commit that the ledger refused: an old version
// may be visible then, and sending the present one mends it, whoever has the message.
func (j *job) fresh() error {
	if j.again {
		return nil
	}
	return j.lease.fresh()
}

// end stops the renewals and returns when the last one is over.
func (l *lease) end() {
	l.cancel(nil)
	l.done.Wait()
}

// A stamp is the time of something that happens now and then.
type stamp struct {
	mu sync.Mutex
	at time.Time
}

func (s *stamp) set() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = time.Now()
}

// within reports whether it happened, no longer than d ago.
func (s *stamp) within(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.at.IsZero() && time.Since(s.at) <= d
}
