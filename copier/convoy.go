package copier

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// readers is how many ranges of one file are read at once. A network that is far away
	// gives each connection only so much, whatever it could carry; and this many leave of
	// the default budget of twelve buffers two for each reader, one that fills and one that
	// is sent. Several large files share them: one that has no more than one reader is read as
	// a stream, since each range costs a request, and its signature.
	readers = 6
	// manyParts are read as ranges; of fewer there is too little to read side by side.
	manyParts = 4
	// rangeRest is how long no range is asked for after the source sent none.
	rangeRest = time.Hour
)

// A convoy brings the missing parts of one file from the source to its upload.
//
// The first of them comes with the body that the copy was opened with, whose answer says
// what the sums of the file are. Of a file of a few parts, or where the source sends no
// ranges, so do all; else that body is closed then, and each further part is a range of its
// own, asked for under the condition of the etag. Parts are sent as soon as they are read,
// side by side and in any order; their bytes are summed and looked at in order.
//
// Whoever waits for a buffer waits for what ends without another one, so that waiting
// always ends, however many files share however few buffers: buffers are taken in the order
// of the parts. So of each file all parts below the one that waits have theirs. Each of them
// is being read, which needs nothing else, waits to be summed behind such parts of its own
// file, or is being sent; after that its buffer is free.
type convoy struct {
	*Copier
	j    *job
	in   *intake
	up   *openUpload
	ctx  context.Context // ends with the first failure
	fail context.CancelCauseFunc
	work sync.WaitGroup // what reads, sums or sends

	taking chan struct{} // of one place, for who takes the next part and its buffer
	next   int           // the part that is taken next
	front  *milestone    // up to there
}

// A milestone is the end of a part. It is reached, and then set, or never will be, when
// passed is closed.
type milestone struct {
	passed  chan struct{}
	reached bool // all bytes up to here are summed
}

func newMilestone() *milestone { return &milestone{passed: make(chan struct{})} }

// A parcel is a part on its way, in its buffer.
type parcel struct {
	index  int
	buf    []byte
	crc    uint32 // of buf, computed as it was read
	from   *milestone
	to     *milestone
	sent   chan struct{} // closed when buf is not needed for that any more
	looked int           // bytes of buf that were shown to whoever looks
	after  messages.PrefixSums
}

func (c *Copier) newConvoy(j *job, in *intake, up *openUpload) *convoy {
	v := &convoy{Copier: c, j: j, in: in, up: up, taking: make(chan struct{}, 1), next: up.whole, front: newMilestone()}
	v.ctx, v.fail = context.WithCancelCause(j.ctx)
	v.front.reached = true
	close(v.front.passed)
	return v
}

// sendAll brings what is missing, and returns when nothing of it is under way any more.
func (c *Copier) sendAll(j *job, in *intake, up *openUpload) ([]Part, error) {
	v := c.newConvoy(j, in, up)
	defer v.fail(nil)
	if v.mayRelay() {
		newRelay(v).lead()
	} else {
		v.lead()
	}
	v.work.Wait()
	return up.parts, context.Cause(v.ctx)
}

// lead reads part after part of the body of the copy, the first of them in any case. Once no
// other files need the readers, it asks for the next one as a range; where the source sends
// that, so are all that follow, by several readers; until that is known the body is at hand.
func (v *convoy) lead() {
	ask, first := v.mayAskForRanges(), v.next
	for p := v.take(); p != nil; p = v.take() {
		if readers := readers / max(1, int(v.convoys.Load())); ask && p.index > first && readers > 1 {
			body, err := v.open(v.rangeOf(p.index))
			if !errors.Is(err, ErrNoRange) {
				v.in.onlyRanges()
				for range readers - 1 {
					v.work.Go(v.follow)
				}
				v.bringRange(p, body, err)
				v.follow()
				return
			}
			v.j.log.Info("the source does not send a file in ranges; it is read as one stream", "err", err)
			ask = false
		}
		begin := v.rangeOf(p.index).Offset
		v.bring(p, v.in.body, v.j.object.Size-begin, nil)
	}
}

// mayAskForRanges reports whether to read side by side is possible and worth it.
func (v *convoy) mayAskForRanges() bool {
	return len(v.up.parts)-v.next >= manyParts && v.mayReadAgain()
}

// mayReadAgain reports whether a part can be asked for as a range. Without an etag two ranges
// could be of two versions.
func (v *convoy) mayReadAgain() bool {
	return v.j.object.ETag != "" && !v.noRange.within(rangeRest)
}

// follow reads parts, each as a range, until none is left.
func (v *convoy) follow() {
	for p := v.take(); p != nil; p = v.take() {
		body, err := v.open(v.rangeOf(p.index))
		v.bringRange(p, body, err)
	}
}

func (v *convoy) rangeOf(index int) Range {
	begin := int64(index) * v.up.PartSize
	return Range{begin, min(v.up.PartSize, v.j.object.Size-begin)}
}

// take returns the next part with a buffer for it, or nil where none is left or the copy has
// failed. One takes at a time, so that no later part gets a buffer before an earlier one.
func (v *convoy) take() *parcel {
	select {
	case v.taking <- struct{}{}:
	case <-v.ctx.Done():
		return nil
	}
	defer func() { <-v.taking }()
	if v.next == len(v.up.parts) || v.ctx.Err() != nil {
		return nil
	}
	v.j.moving(waitTime)
	buf, err := v.Budget.take(v.ctx, v.rangeOf(v.next).Length)
	if err != nil { // the cause is in ctx
		return nil
	}
	p := &parcel{index: v.next, buf: buf, from: v.front, to: newMilestone(), sent: make(chan struct{})}
	v.next, v.front = v.next+1, p.to
	return p
}

// open asks for a range, of the version of the copy and no other.
func (v *convoy) open(r Range) (body io.ReadCloser, err error) {
	o := v.j.object
	err = v.guard(v.j.log, func() error {
		got, opened, err := v.Source.Open(v.ctx, o.Name, o.ETag, r)
		if err != nil {
			return err
		}
		if err = agree(o, got); err == nil && (got.ETag != o.ETag || got.Size != o.Size) {
			err = &messages.Fault{Class: messages.Unknown, Side: messages.Source, Op: "open " + o.Name, Err: fmt.Errorf("%w: the answer does not name the version", ErrNoRange)}
		}
		if err != nil {
			opened.Close()
			return err
		}
		body = opened
		return nil
	})
	if errors.Is(err, ErrNoRange) {
		v.noRange.set()
	}
	return body, err
}

// bringRange brings a part that was opened as a range, if it was, and makes sure that it
// ends there.
func (v *convoy) bringRange(p *parcel, body io.ReadCloser, err error) {
	if err != nil {
		v.drop(p, err)
		return
	}
	defer body.Close()
	v.bring(p, body, int64(len(p.buf)), func() error { return ended(body) })
}

// bring reads a part, of a body of which so many bytes are left, and sends it on its way.
// atEnd, where it is not nil, is asked when it is read.
func (v *convoy) bring(p *parcel, body io.Reader, left int64, atEnd func() error) {
	err := v.guard(v.j.log, func() (err error) {
		n := 0
		p.crc, err = read(body, p.buf, left, func(m int) {
			n += m
			v.in.moved(m)
			v.lookAhead(p, n)
		})
		if err == nil && atEnd != nil {
			err = atEnd()
		}
		return err
	})
	if err != nil {
		v.drop(p, err)
		return
	}
	v.work.Go(func() { v.dispatch(p) })
}

// drop ends a part that could not be read, and with it the copy.
func (v *convoy) drop(p *parcel, err error) {
	v.fail(err)
	close(p.to.passed)
	v.Budget.give(p.buf, true)
}

// lookAhead shows the bytes of a part while it is read, as far as there is room for them,
// where all before it were shown.
func (v *convoy) lookAhead(p *parcel, n int) {
	select {
	case <-p.from.passed:
		if p.from.reached {
			p.looked += v.in.look.offer(p.buf[p.looked:n], nil)
		}
	default:
	}
}

// dispatch sends a part that was read, and sums it in its turn. Its buffer is needed for
// both; and a part that stands is of use to another attempt only with the sums at its end.
func (v *convoy) dispatch(p *parcel) {
	var summing sync.WaitGroup
	summing.Go(func() { v.sum(p) })
	part, err := v.sendPart(p)
	close(p.sent)
	if err != nil {
		v.fail(err)
	}
	summing.Wait()
	v.Budget.give(p.buf, err != nil)
	if err != nil || !p.to.reached {
		return
	}
	if err := v.guard(v.j.log, func() error { return v.confirmPart(v.j, v.up, p.index, part, p.after) }); err != nil {
		v.fail(err)
	}
}

func (v *convoy) sendPart(p *parcel) (part Part, err error) {
	v.j.moving(partTime)
	err = v.guard(v.j.log, func() (err error) {
		part, err = v.Parts.Part(v.ctx, v.j.report.Key, v.up.ID, int32(p.index+1), p.buf, base64CRC(p.crc))
		return err
	})
	return part, err
}

// sum waits until all before a part is summed, which the end of the copy does not change, so
// that what was sent by then is not lost; it ends by itself, since each part that was taken
// passes its milestone.
func (v *convoy) sum(p *parcel) {
	defer close(p.to.passed)
	if <-p.from.passed; !p.from.reached {
		return
	}
	err := v.guard(v.j.log, func() error {
		v.in.sums.add(p.crc, p.buf)
		v.in.look.pass(p.buf[p.looked:], p.sent)
		p.after = v.in.sums.state()
		return nil
	})
	if p.to.reached = err == nil; err != nil {
		v.fail(err)
	}
}

// An intake reads exactly the declared number of bytes and sums them up.
type intake struct {
	body  io.ReadCloser
	sums  sums
	moved func(n int)
	look  *look // nil where nobody looks
}

// onlyRanges closes the body: no more is read of it, and each range shows its own end.
func (in *intake) onlyRanges() {
	in.body.Close()
	in.body = io.NopCloser(bytes.NewReader(nil))
}

// fill reads all of a file.
func (in *intake) fill(buf []byte) error {
	n := 0
	crc, err := read(in.body, buf, int64(len(buf)), func(m int) {
		in.moved(m)
		in.look.pass(buf[n:n+m], nil)
		n += m
	})
	if err == nil {
		in.sums.add(crc, buf)
	}
	return err
}

// read fills buf, and sums it up as it comes. A body that ends before is a Length fault,
// whether or not the transport noticed; left is how many bytes should come.
func read(body io.Reader, buf []byte, left int64, came func(n int)) (crc uint32, err error) {
	for n := 0; n < len(buf); {
		m, err := body.Read(buf[n:])
		if n += m; m > 0 {
			crc = extend(crc, buf[n-m:n])
			came(m)
		}
		switch {
		case err == io.EOF && n < len(buf):
			return 0, endedEarly(left - int64(n))
		case err != nil && err != io.EOF:
			return 0, err
		}
	}
	return crc, nil
}

func endedEarly(missing int64) error {
	return &messages.Fault{Class: messages.Length, Side: messages.Source, Op: "read", Err: fmt.Errorf("the body ended %d bytes early", missing)}
}

// finish makes sure that the body ends here, and verifies it.
func (in *intake) finish(o messages.Object) (crc32c, verified string, err error) {
	if err := ended(in.body); err != nil {
		return "", "", err
	}
	return in.sums.verify(o)
}

// ended makes sure that nothing more comes.
func ended(body io.Reader) error {
	var one [1]byte
	for {
		n, err := body.Read(one[:])
		switch {
		case n > 0:
			return &messages.Fault{Class: messages.Length, Side: messages.Source, Op: "read", Err: errors.New("the body is longer than the listing declares")}
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}
