package copier

import (
	"context"
	"errors"
	"time"
)

// A slot copies with two hands: while one writes a file to the destination, the other
// reads the next one at the source, so that the way to one side costs no time at the
// other. They share three tokens, each of which one of them has at a time:
//
//   - asking: to take a message. It is kept until its file is being written, or is over, so
//     that no message is taken ahead of that, and an idle slot asks no oftener than with one
//     hand.
//   - reading: from the first look at the object until its last byte is here. So no more
//     files are read at once than there are slots, whatever is read a second time.
//   - writing: from the first byte that is sent until the message is settled. So no more
//     files are written at once, either. What needs no sending, or fails before, needs none:
//     what a look at one side said is not to wait before it is recorded.
//
// No circle of waits is possible, since who waits for one of them has none that comes
// behind it in this order. Whoever must read again gives writing back before (see toRead),
// and asks for nothing, so that he does not wait for a queue that is empty or a gate that is
// open. As to the Budget: only who is reading waits for it. A small file waits for writing
// with its buffer in the hand, but it is still reading then: so who writes is not, has all
// of its bytes, and needs neither a token nor a buffer to come to its end. A large file has
// writing before its first buffer, and waits for the next one with none that is not being
// sent.
type slot struct {
	number                   int
	atWork                   [2]bool // of the hands; the crew's
	asking, reading, writing token
}

func newSlot(number int) *slot {
	return &slot{number: number, asking: make(token, 1), reading: make(token, 1), writing: make(token, 1)}
}

// A token is full while somebody has it.
type token chan struct{}

const (
	// turnTime is how long a file waits for the other one of its slot. It is longer than
	// what that may take: its last part, its inspection, Complete, and to record it.
	turnTime = 2*partTime + completeTime + waitTime/2
	// turnLook is how often a file that waits tells that it does.
	turnLook = time.Minute
)

// errNoTurn hands a file back that has waited for longer than the other one of its slot
// may take. No attempt is counted: nothing is wrong with it.
var errNoTurn = errors.New("the other file of the slot does not come to its end")

// A hand is one of the two of a slot. It is used by one goroutine, that of the copy.
type hand struct {
	*slot
	index               int  // 0 or 1
	asks, reads, writes bool // which tokens it has
	late                bool // the last file had no turn
	probes              bool // its file is the one that is tried while the gate is open
}

// id counts the hands of a copier: 2n and 2n+1 are those of slot n.
func (h *hand) id() int { return 2*h.number + h.index }

// toAsk waits until the hand may take a message; ok is false when ctx ended. Where
// the other one reads a file again, a message would wait for that; and where a file had no
// turn because the other one hangs, the next would have none.
func (h *hand) toAsk(ctx context.Context, alive func(time.Duration)) (ok bool) {
	alive(0) // it waits for the other hand, which tells how long it may take
	if h.asks = h.asking.wait(ctx); !h.asks {
		return false
	}
	if ok = h.reading.pass(ctx); ok && h.late {
		ok = h.writing.pass(ctx)
		h.late = !ok
	}
	return ok && ctx.Err() == nil
}

// wait takes the token; it is false when ctx ended.
func (t token) wait(ctx context.Context) bool {
	select {
	case t <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// pass waits until nobody has the token.
func (t token) pass(ctx context.Context) bool {
	if !t.wait(ctx) {
		return false
	}
	<-t
	return true
}

// giveBack gives back what the hand still has.
func (h *hand) giveBack() {
	h.hasWritten()
	h.hasRead()
}

// hasRead lets the other hand take and read the next file.
func (h *hand) hasRead() {
	if h.reads {
		h.reads = false
		<-h.reading
	}
	if h.asks {
		h.asks = false
		<-h.asking
	}
}

func (h *hand) hasWritten() {
	if h.writes {
		h.writes = false
		<-h.writing
	}
}

// toRead waits until the file may be read. Where it is read for the second time, the
// other hand comes first, which may have the next file ready to be written.
func (j *job) toRead() (err error) {
	if j.hand.reads {
		return nil
	}
	j.hand.hasWritten()
	j.hand.reads, err = j.turn(j.hand.reading)
	return err
}

// toSend waits until the other hand has written its file. The lease is renewed meanwhile.
// Where the destination was found to fail by then, the file is handed back, unless it is
// the one that is tried, or mends something.
func (c *Copier) toSend(j *job) (err error) {
	if j.hand.writes {
		return nil
	}
	if j.hand.writes, err = j.turn(j.hand.writing); err != nil || j.hand.probes || j.again {
		return err
	}
	return c.Gate.bars(j.report.Key)
}

// spent is how long the attempt has taken, without what it waited for the other hand.
func (j *job) spent() time.Duration { return time.Since(j.started) - j.waited }

// turn takes a token that the other hand may have for as long as its file takes.
func (j *job) turn(t token) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(j.ctx, turnTime, errNoTurn)
	defer cancel()
	began := time.Now()
	defer func() { j.waited += time.Since(began) }()
	tick := time.NewTicker(turnLook)
	defer tick.Stop()
	for ctx.Err() == nil {
		j.moving(2 * turnLook)
		select {
		case t <- struct{}{}:
			return true, nil
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	err := context.Cause(ctx)
	if j.hand.late = errors.Is(err, errNoTurn); j.hand.late {
		j.log.Warn("the other file of this slot does not come to its end; this one is handed back", "slot", j.hand.number)
	}
	return false, err
}
