package copier

import (
	"errors"
	"io"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// MaxLanes is how many stretches of one file are relayed at once. A network that is far
	// away gives each connection only so much; several large files share them.
	MaxLanes = 24
	// laneBuffer is what each holds in memory. On loopback 512 KiB take a fifth less of the
	// processor than 128, and 1 MiB hardly less than that.
	laneBuffer = 512 << 10
	// maxStretch is how many parts are read with one request, which has its signature. What a
	// lane has taken no other can help it with, when other files leave theirs to this one.
	maxStretch = 8
	// maxUnderWay bounds the parts in all stretches of one file. After a crash nothing stands
	// behind the first part that is missing, so that more would cost more.
	maxUnderWay = 4 * MaxLanes
	// relayRest is how long nothing is relayed after the destination did not take a part.
	relayRest = 10 * time.Minute
)

// A relay brings the missing parts of one file from the source to its upload without holding
// them: each goes to the destination as it is read, with its CRC32C behind it.
//
// Nothing is lost by that of what a convoy promises: the destination refuses a part with another
// CRC32C, and the whole is verified before Complete. But the bytes pass out of order, and once:
// so a file is relayed only where nobody has to see them, for an MD5 or the statistics, and
// what the destination did not take is read again, as a range, and sent from memory, with the
// repetitions that this allows.
//
// The first stretch comes with the body that the copy was opened with. The second is asked for
// as a range at the same time; where the source sends that, so are all others, by several
// lanes, and else all comes with that body. A lane holds one buffer and waits for nothing else
// meanwhile; it has given it back when it waits for one that holds a part.
type relay struct {
	*convoy

	mu     sync.Mutex // also guards next
	lanes  int        // at work
	stood  []arrival  // parts that stand
	summed int        // the parts before are in the sums
}

// An arrival is a part that stands at the destination.
type arrival struct {
	part  Part
	crc   uint32
	after messages.PrefixSums // at its end, once all parts before it stand
}

// A stretch is parts that follow each other and are read with one request.
type stretch struct{ from, to int }

// mayRelay reports whether the parts need not be in memory. Without an etag, or ranges, what
// the destination does not take could not be read again.
func (v *convoy) mayRelay() bool {
	return v.Relays != nil && v.Relays.Relaying() && v.in.look == nil && v.in.sums.md5 == nil &&
		v.mayReadAgain() && !v.rests()
}

func newRelay(v *convoy) *relay {
	return &relay{convoy: v, lanes: 1, stood: make([]arrival, len(v.up.parts)), summed: v.up.whole}
}

// lead relays what comes with the body of the copy: of a file that shares the lanes with as
// many others all of it, else one stretch, while a scout asks for the next one.
func (r *relay) lead() {
	ask := r.mayAskForRanges()
	for s, ok := r.take(); ok; s, ok = r.take() {
		var scouted chan bool
		if ask && r.share() > 1 {
			scouted = make(chan bool, 1)
			r.work.Go(func() { scouted <- r.scout() })
		}
		whole := r.carry(s, r.in.body)
		if scouted != nil {
			ask = <-scouted
		}
		if !whole || scouted != nil && ask {
			r.in.onlyRanges()
			r.follow()
			return
		}
	}
}

// share is how many lanes this file may have now: one at least, however many files there are.
func (r *relay) share() int { return max(1, MaxLanes/max(1, int(r.convoys.Load()))) }

// scout asks for a stretch as a range, and where the source sends that has it relayed, and
// the others by more lanes. Else the stretch is given back, which nobody has passed by then.
func (r *relay) scout() (ranges bool) {
	s, ok := r.take()
	if !ok {
		return false
	}
	body, err := r.open(r.rangeOver(s))
	r.mu.Lock()
	defer r.mu.Unlock()
	if errors.Is(err, ErrNoRange) {
		r.j.log.Info("the source does not send a file in ranges; it is read as one stream", "err", err)
		r.next = s.from
		return false
	}
	r.lanes++
	r.work.Go(func() {
		r.bring(s, body, err)
		r.follow()
	})
	r.spread()
	return true
}

// spread has as many lanes at work as this file may have and has use for. r.mu is held.
func (r *relay) spread() {
	for ; r.lanes < min(r.share(), len(r.up.parts)-r.next); r.lanes++ {
		r.work.Go(r.follow)
	}
}

// stays reports whether a lane may go on: as other files come and go, those that are too many
// end, and those that are missing begin.
func (r *relay) stays() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.lanes > r.share() {
		r.lanes--
		return false
	}
	r.spread()
	return true
}

// follow relays stretches, each as a range, until none is left.
func (r *relay) follow() {
	for r.stays() {
		s, ok := r.take()
		if !ok {
			return
		}
		if r.rests() {
			r.fromMemory(s)
			continue
		}
		body, err := r.open(r.rangeOver(s))
		r.bring(s, body, err)
	}
}

// rests reports whether the destination did not take a relayed part lately: whether it cannot
// check one, or has too much to do, parts that are in memory fare better.
func (c *Copier) rests() bool { return c.noRelay.within(relayRest) }

// take returns the next stretch: long ones first, since each request has its signature, and
// towards the end of the file short ones, so that all lanes end at about the same time, and
// those that other files leave to this one find something to do. ok is false where none is
// left, or the copy has failed.
func (r *relay) take() (s stretch, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := len(r.up.parts) - r.next
	if left == 0 || r.ctx.Err() != nil {
		return stretch{}, false
	}
	lanes := r.share()
	s = stretch{r.next, r.next + min(max(left/(lanes+1), 1), maxStretch, maxUnderWay/lanes)}
	r.next = s.to
	return s, true
}

func (r *relay) rangeOver(s stretch) Range {
	first, last := r.rangeOf(s.from), r.rangeOf(s.to-1)
	return Range{first.Offset, last.Offset + last.Length - first.Offset}
}

// bring relays a stretch that was opened as a range, if it was, and makes sure that it ends
// there.
func (r *relay) bring(s stretch, body io.ReadCloser, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	defer body.Close()
	if r.carry(s, body) {
		if err := r.guard(r.j.log, func() error { return ended(body) }); err != nil {
			r.fail(err)
		}
	}
}

// carry relays the parts of a stretch from a body that begins there, and reports whether all
// of it was read. What the destination did not take is sent from memory, and so is the rest.
func (r *relay) carry(s stretch, body io.Reader) (whole bool) {
	for i := s.from; i < s.to; i++ {
		if r.rests() {
			r.fromMemory(stretch{i, s.to})
			return false
		}
		from := &source{body: body, of: r, left: r.rangeOf(i).Length}
		err := r.guard(r.j.log, func() error { return r.send(i, from) })
		switch {
		case err == nil:
			continue
		case from.end() != nil, r.ctx.Err() != nil, messages.SideOf(err) != messages.Destination:
			r.fail(err)
			return false
		case !r.rests():
			r.noRelay.set()
			r.j.log.Info("the destination did not take a part as it was read; for a while parts are in memory before they are sent", "err", err)
		}
		r.fromMemory(stretch{i, s.to})
		return false
	}
	return true
}

// send relays one part.
func (r *relay) send(i int, from *source) error {
	size := from.left
	r.j.moving(waitTime)
	buf, err := r.Budget.take(r.ctx, min(size, laneBuffer))
	if err != nil {
		return err
	}
	r.j.moving(partTime)
	part, err := r.Relays.Relay(r.ctx, r.j.report.Key, r.up.ID, int32(i+1), Stream{from, size, buf, from.crc32c})
	failed := from.end()
	r.Budget.give(buf, err != nil || failed != nil)
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	r.in.moved(int(size))
	return r.stands(i, part, from.crc)
}

// fromMemory brings parts as a convoy does.
func (r *relay) fromMemory(s stretch) {
	for i := s.from; i < s.to; i++ {
		if err := r.guard(r.j.log, func() error { return r.bringFromMemory(i) }); err != nil {
			r.fail(err)
			return
		}
	}
}

func (r *relay) bringFromMemory(i int) (err error) {
	at := r.rangeOf(i)
	r.j.moving(waitTime)
	buf, err := r.Budget.take(r.ctx, at.Length)
	if err != nil {
		return err
	}
	defer func() { r.Budget.give(buf, err != nil) }()
	body, err := r.open(at)
	if err != nil {
		return err
	}
	defer body.Close()
	crc, err := read(body, buf, at.Length, r.in.moved)
	if err == nil {
		err = ended(body)
	}
	if err != nil {
		return err
	}
	part, err := r.sendPart(&parcel{index: i, buf: buf, crc: crc})
	if err != nil {
		return err
	}
	return r.stands(i, part, crc)
}

// stands takes a part that the destination has, and confirms those before which no part is
// missing any more.
func (r *relay) stands(i int, part Part, crc uint32) error {
	r.mu.Lock()
	r.stood[i] = arrival{part: part, crc: crc}
	first := r.summed
	for r.summed < len(r.stood) && r.stood[r.summed].part.ETag != "" {
		at := &r.stood[r.summed]
		r.in.sums.crc = join(r.in.sums.crc, at.crc, r.rangeOf(r.summed).Length)
		at.after = r.in.sums.state()
		r.summed++
	}
	confirmed := r.stood[first:r.summed]
	r.mu.Unlock()
	for k, at := range confirmed {
		if err := r.confirmPart(r.j, r.up, first+k, at.part, at.after); err != nil {
			return err
		}
	}
	return nil
}

// A source is the bytes of one part as they are read, by another goroutine, which may still be
// at it when nobody waits for it any more.
type source struct {
	body io.Reader
	of   *relay

	mu   sync.Mutex
	left int64
	crc  uint32
	err  error // why it cannot be read
	over bool  // what is read from now on counts for nothing
}

func (s *source) Read(p []byte) (n int, err error) {
	failed := s.of.guard(s.of.j.log, func() error {
		n, err = s.body.Read(p)
		return nil
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return 0, io.ErrClosedPipe
	}
	s.of.j.moving(moveTime)
	s.crc, s.left = extend(s.crc, p[:n]), s.left-int64(n)
	switch {
	case failed != nil:
		err = failed
	case err == io.EOF && s.left > 0:
		err = endedEarly(s.left)
	case err == io.EOF:
		err = nil
	}
	s.err = err
	return n, err
}

func (s *source) crc32c() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return base64CRC(s.crc)
}

// end is why the bytes could not be read, if that is so.
func (s *source) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	return s.err
}
