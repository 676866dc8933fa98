package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A Failure is one file that is not at the destination.
type Failure struct {
	Object string         `json:"object"`
	Reason string         `json:"reason"`
	Class  messages.Class `json:"class,omitempty"`
}

// A Summary is the result of one sync.
// Discovered = Transferred + Adopted + Skipped + Ineligible + Failed.
type Summary struct {
	Discovered  int       `json:"discovered"`
	Transferred int       `json:"transferred"`
	Adopted     int       `json:"adopted"`
	Skipped     int       `json:"skipped"`
	Ineligible  int       `json:"ineligible"`
	Failed      int       `json:"failed"`
	Bytes       int64     `json:"bytes"`
	Seconds     float64   `json:"duration_seconds"`
	Failures    []Failure `json:"failures"`
	// Reasons counts the ineligible objects by the rule that they break.
	Reasons map[messages.Reason]int `json:"ineligible_reasons,omitempty"`
}

// A Sync is one scan whose files are waited for until each is settled: its
// ledger record is final, or has used up the attempts, whoever does the work.
type Sync struct {
	// Scanner is a copy of its own: its Observe is taken, its Finished is told.
	Scanner scanner.Scanner
	// Watch calls seen with each ledger record that stands, and then with every
	// change, until ctx ends.
	Watch func(ctx context.Context, seen func(key string, r messages.Record))
	// Gate is that of the copiers of this process; nil where others copy.
	Gate *copier.Gate
	// MaxAttempts bounds the failed attempts that are waited for.
	MaxAttempts int
	// Find queues what this sync is about and tells found of each file of it. It is
	// called again while files are waited for, for what was lost meanwhile; found is
	// then nil. Nil for a scan of the Scanner.
	Find func(ctx context.Context, found func(scanner.Outcome)) (scanner.Stats, error)
	// Paused says who holds the queue back, and is nil while nobody does: a sync does
	// not wait for an operator. May be nil.
	Paused func(ctx context.Context) error

	mu      sync.Mutex
	started time.Time
	seen    map[string]messages.Record // written since about then, of what the scan has not come to
	pending map[string]scanner.Outcome // by ledger key
	sum     Summary
	ended   error // a reason to wait no longer
	wake    chan struct{}
}

// Run syncs. The summary is as far as it came. An error means that not all was
// seen or settled; a file that failed is no error here but a Failure.
func (s *Sync) Run(ctx context.Context) (Summary, error) {
	s.started = time.Now()
	s.seen, s.pending, s.wake = map[string]messages.Record{}, map[string]scanner.Outcome{}, make(chan struct{}, 1)
	s.sum = Summary{Failures: []Failure{}, Reasons: map[messages.Reason]int{}}
	watching, cancel := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { s.Watch(watching, s.changed) })
	stats, err := s.find(ctx, s.found)
	if s.Scanner.Finished != nil && ctx.Err() == nil { // as in Run
		s.Scanner.Finished(stats, err)
	}
	if err == nil {
		err = s.wait(ctx)
	}
	cancel()
	watch.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, o := range s.pending {
		s.fail(o, "not finished", "")
	}
	slices.SortFunc(s.sum.Failures, func(a, b Failure) int { return cmp.Compare(a.Object, b.Object) })
	s.sum.Seconds = time.Since(s.started).Seconds()
	return s.sum, err
}

func (s *Sync) find(ctx context.Context, found func(scanner.Outcome)) (scanner.Stats, error) {
	if s.Find != nil {
		return s.Find(ctx, found)
	}
	s.Scanner.Observe = found
	return s.Scanner.Scan(ctx)
}

// found takes one outcome of the scan.
func (s *Sync) found(o scanner.Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sum.Discovered++
	switch o.Finding {
	case scanner.Done:
		// What waited in the queue may be copied before the scan comes to it.
		if r := o.Record; r.Status == messages.StatusCopied && r.Copy != nil && !r.At.Before(s.started) {
			s.copied(r)
			return
		}
		s.sum.Skipped++
	case scanner.Ineligible:
		s.sum.Ineligible++
		if bad, ok := errors.AsType[*messages.Ineligible](o.Err); ok {
			s.sum.Reasons[bad.Reason]++
		}
	case scanner.Failed:
		s.fail(o, o.Err.Error(), messages.ClassOf(o.Err))
	default:
		key := messages.RecordKey(s.Scanner.Route, o.Report)
		s.pending[key] = o
		if r, ok := s.seen[key]; ok {
			delete(s.seen, key)
			s.settle(key, r)
		}
	}
}

// skew is how far the clock of another host's copier may be behind ours.
const skew = 5 * time.Minute

// changed takes one record of the ledger. What is older than this sync needs no
// place in memory: the scan reads it for itself. Nor does what is waited for.
func (s *Sync) changed(key string, r messages.Record) {
	if r.At.Before(s.started.Add(-skew)) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, waits := s.pending[key]; !waits {
		s.seen[key] = r
		return
	}
	if s.settle(key, r); len(s.pending) == 0 {
		s.stir()
	}
}

func (s *Sync) stir() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *Sync) settle(key string, r messages.Record) {
	o, ok := s.pending[key]
	// The record that the scan found wanting settles nothing, nor does one of a
	// destination that was given up.
	if !ok || r.At.Equal(o.Record.At) || r.Epoch != s.Scanner.Epoch {
		return
	}
	switch {
	case r.Status == messages.StatusCopied && r.Copy != nil:
		s.copied(r)
	case r.Status == messages.StatusGone || r.Status == messages.StatusDiscarded:
		s.sum.Skipped++
	case r.Status == messages.StatusFailed:
		s.fail(o, r.Error, r.Class)
	case r.Status == messages.StatusRetrying && r.Attempts >= max(s.MaxAttempts, 1):
		s.fail(o, fmt.Sprintf("%d attempts failed, the queue keeps trying: %s", r.Attempts, r.Error), r.Class)
	default:
		return
	}
	delete(s.pending, key)
}

func (s *Sync) copied(r messages.Record) {
	switch r.Copy.How {
	case messages.HowAdopted:
		s.sum.Adopted++
	case messages.HowRecorded:
		s.sum.Skipped++
	default:
		s.sum.Transferred++
		s.sum.Bytes += r.Object.Size
	}
}

func (s *Sync) fail(o scanner.Outcome, reason string, class messages.Class) {
	s.sum.Failed++
	s.sum.Failures = append(s.sum.Failures, Failure{Object: o.Object.Name, Reason: reason, Class: class})
}

// Event takes what the copiers of this process do. Credentials that are refused
// end the sync at once: no file would fare better. A refusal that may belong to
// one file counts only when the gate says that it is the side.
func (s *Sync) Event(e copier.Event) {
	class := messages.ClassOf(e.Err)
	if e.Err == nil || !class.Credentials() || class == messages.Forbidden && e.Kind != copier.Held {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = cmp.Or(s.ended, e.Err)
	if s.wake != nil {
		s.stir()
	}
}

// again is the time between two scans while files are waited for. A message that
// was lost meanwhile is queued anew, as in an agent that scans each interval.
const again = time.Minute

// lookEvery is how many seconds pass between two looks at a pause.
const lookEvery = 5

// wait returns when nothing is pending, or no end is in sight.
func (s *Sync) wait(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	rescan := time.NewTicker(again)
	defer rescan.Stop()
	for second, look := 0, s.Paused != nil; ; {
		s.mu.Lock()
		left, ended := len(s.pending), s.ended
		s.mu.Unlock()
		if left == 0 || ended != nil {
			return ended
		}
		if look {
			if err := s.Paused(ctx); err != nil {
				return err
			}
			look = false
		}
		if s.Gate != nil {
			if g := s.Gate.State(); g.Open && g.Probes >= max(s.MaxAttempts, 1) {
				return fmt.Errorf("the %s stays unreachable: %w", g.Side, g.Err)
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-s.wake:
		case <-tick.C:
			second++
			look = s.Paused != nil && second%lookEvery == 0
		case <-rescan.C:
			if _, err := s.find(ctx, nil); err != nil {
				s.Scanner.Log.Warn("the scan while waiting failed", "err", err)
			}
		}
	}
}
