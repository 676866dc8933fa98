// Package limits has manners towards the source and the destination: it keeps all
// workers of a route together within what an operator allows them, and each process
// within what both sides take without complaint.
//
// It stands between a copier and its ports. What an operator allows is divided by the
// workers that hold a lease in the ledger, see [Worker.Share]. A worker that cannot reach
// the ledger keeps the part that it had, or takes a sixteenth: a failure never lifts a
// limit. Nothing of it lasts: a worker that dies leaves a lease that ends by itself.
package limits

import (
	"context"
	"io"
	"log/slog"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// Rates are what is allowed in a second; 0 is without a limit.
type Rates struct {
	Bytes    float64 // that are read from the source; each is sent on once
	Requests float64 // to both sides together
}

// Options are what a worker is told.
type Options struct {
	// Slots is how many files are copied at once where both sides take it.
	Slots int
	// Allowed is what all workers of the route together may do at a time. configured is
	// false where no limit was set for any time of the week: then nothing is counted.
	Allowed func(now time.Time) (r Rates, configured bool)
	Log     *slog.Logger
}

// A Worker is a process that copies. It is safe for concurrent use.
type Worker struct {
	allowed         func(time.Time) (Rates, bool)
	log             *slog.Logger
	bytes, requests *meter
	crowd           crowd
	pace            *pace
}

// New returns a worker that does not know of any other yet.
func New(o Options) *Worker {
	w := &Worker{allowed: o.Allowed, log: o.Log, bytes: newMeter(leastBurst), requests: newMeter(1), crowd: strangers(), pace: newPace(o.Slots, o.Log)}
	w.divide()
	return w
}

// Slots brings the numbers of slots that may take files, for copier.Copier.Resize.
func (w *Worker) Slots() <-chan int { return w.pace.resize }

// Configure sets another number of slots.
func (w *Worker) Configure(slots int) { w.pace.configure(slots) }

// SlotsAllowed is how many slots may take files now.
func (w *Worker) SlotsAllowed() int { return w.pace.now() }

// Rates are the part of this worker now; 0 is without a limit.
func (w *Worker) Rates() Rates { return Rates{w.bytes.rate(), w.requests.rate()} }

// Sides are the ports of a copier to the source and the destination.
type Sides interface {
	copier.Source
	copier.Objects
	copier.Uploads
	copier.Parts
	copier.Relays
}

// Around returns sides that keep to the part of the worker. A commit never waits, nor
// what cleans up: the lease of the message was looked at just before, and that look must
// not grow old. They are counted all the same, and what is begun next waits for them.
func (w *Worker) Around(s Sides) Sides { return &sides{w, s} }

type sides struct {
	*Worker
	to Sides
}

// turn waits until one more request may be sent, and returns when that was.
func (s *sides) turn(ctx context.Context) (began time.Time, err error) {
	if err := s.requests.wait(ctx, 1); err != nil {
		return time.Time{}, err
	}
	return time.Now(), nil
}

// at once counts a request that does not wait.
func (s *sides) atOnce() (began time.Time) {
	s.requests.charge(1)
	return time.Now()
}

func (s *sides) Open(ctx context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	began, err := s.turn(ctx)
	if err != nil {
		return messages.Object{}, nil, err
	}
	o, body, err := s.to.Open(ctx, name, etag, r)
	s.pace.answered(began, err, messages.Source)
	if err == nil && s.configured() {
		body = &limited{body, ctx, s.bytes}
	}
	return o, body, err
}

func (s *sides) Stat(ctx context.Context, name string) (o messages.Object, err error) {
	began, err := s.turn(ctx)
	if err == nil {
		o, err = s.to.Stat(ctx, name)
		s.pace.answered(began, err, "")
	}
	return o, err
}

// smallPut is up to how many bytes the time of a Put says more of the destination than of
// the way there.
const smallPut = 256 << 10

func (s *sides) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	began := s.atOnce()
	etag, err := s.to.Put(ctx, key, body, m)
	side := messages.Destination
	if len(body) > smallPut {
		side = ""
	}
	s.pace.answered(began, err, side)
	return etag, err
}

func (s *sides) Head(ctx context.Context, key string) (o copier.Stored, err error) {
	began, err := s.turn(ctx)
	if err == nil {
		o, err = s.to.Head(ctx, key)
		s.pace.answered(began, err, "")
	}
	return o, err
}

func (s *sides) Create(ctx context.Context, key string, m copier.Meta) (id string, err error) {
	began, err := s.turn(ctx)
	if err == nil {
		id, err = s.to.Create(ctx, key, m)
		s.pace.answered(began, err, "")
	}
	return id, err
}

func (s *sides) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (p copier.Part, err error) {
	began, err := s.turn(ctx)
	if err == nil {
		p, err = s.to.Part(ctx, key, id, number, body, crc32c)
		s.pace.answered(began, err, "")
	}
	return p, err
}

// Relaying is false where a limit is set: a part that waits for its turn, or for its next
// bytes, keeps neither side waiting only where it is in memory.
func (s *sides) Relaying() bool { return !s.configured() && s.to.Relaying() }

func (s *sides) Relay(ctx context.Context, key, id string, number int32, part copier.Stream) (p copier.Part, err error) {
	began, err := s.turn(ctx)
	if err == nil {
		p, err = s.to.Relay(ctx, key, id, number, part)
		s.pace.answered(began, err, "")
	}
	return p, err
}

func (s *sides) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	began := s.atOnce()
	etag, err := s.to.Complete(ctx, key, id, parts, size, crc32c)
	s.pace.answered(began, err, "")
	return etag, err
}

func (s *sides) Abort(ctx context.Context, key, id string) error {
	began := s.atOnce()
	err := s.to.Abort(ctx, key, id)
	s.pace.answered(began, err, "")
	return err
}

// A limited body is read no faster than its meter lets it.
type limited struct {
	io.ReadCloser
	ctx   context.Context // of Open, which lives as long as the body
	meter *meter
}

func (b *limited) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p[:min(len(p), b.meter.piece())])
	if waited := b.meter.wait(b.ctx, n); waited != nil {
		return n, waited
	}
	return n, err
}
