package chaos

import (
	"fmt"
	"slices"
	"time"
)

// maxHeld is how many files a copier has at once at most: with the slots that are the default
// of the program, and the most of any plan, each of which reads one while it writes another.
const maxHeld = 2 * 3

// checkQueue: a message leaves the queue when somebody acknowledges it or gives it up, and
// in no other way (I8). The numbers are those of the stream.
func (c *checker) checkQueue(name string) {
	settled := map[uint64]bool{}
	var queued []Event
	for _, e := range c.byObject[name] {
		switch {
		case e.Kind == Queued:
			queued = append(queued, e)
		case e.Kind == Settled && (e.Status == "+ACK" || e.Status == "+TERM"):
			settled[e.Number] = true
		}
	}
	for i, e := range queued {
		if waits := i == len(queued)-1 && (!c.w.end.seen || c.w.end.queue > 0); !settled[e.Number] && !waits {
			c.violated(Violation{Invariant: "I8", Object: name, Text: fmt.Sprintf("message %d is not in the queue any more, and nobody acknowledged it or gave it up", e.Number)})
		}
	}
}

// checkAhead: a process is handed two messages for each of its slots, and none ahead (I11).
// What it was handed in a fault, or right after one, is not counted: it may have never
// come, or come too late to be taken. Nor is what it was handed three quarters of the ack
// wait ago: without a renewal, it lets go of it by then.
func (c *checker) checkAhead() {
	has := map[string]map[string]time.Time{} // by process and object
	disturbed := map[string]time.Time{}      // by process; "" is everybody
	for _, e := range c.events {
		switch {
		case e.Kind == Delivered:
			for _, others := range has {
				delete(others, e.Object)
			}
			if e.At.Sub(disturbed[e.Process]) < 2*c.w.options.AckWait || e.At.Sub(disturbed[""]) < 2*c.w.options.AckWait {
				continue
			}
			if has[e.Process] == nil {
				has[e.Process] = map[string]time.Time{}
			}
			has[e.Process][e.Object] = e.At
			if n := since(has[e.Process], e.At.Add(-c.w.options.AckWait*3/4)); n > maxHeld {
				c.violated(Violation{Invariant: "I11", Object: e.Object, Text: fmt.Sprintf("%s is handed this file while it has %d others, of %d at most", e.Process, n-1, maxHeld)})
				return
			}
		case e.Kind == Settled:
			delete(has[e.Process], e.Object)
		case (e.Kind == Fault || e.Kind == Healed) && e.Object == "":
			disturbed[e.Process] = e.At
		}
	}
}

// since is how many of the times are not before one.
func since(times map[string]time.Time, from time.Time) (n int) {
	for _, at := range times {
		if !at.Before(from) {
			n++
		}
	}
	return n
}

// checkOwners: who has lost a message to somebody else does not begin a commit of it any
// more (I5). A commit that was decided on before the loss may still arrive: so the first
// request of a delivery is judged, and only of a process that was at work for a while,
// after the other one had the message. After a restart of the server nobody can know whose
// message it is. Nor can one whose message was handed back by somebody who had it before:
// the server takes that, and grants his renewals as before.
func (c *checker) checkOwners(name string) {
	type lease struct {
		open        int       // deliveries to the process that it has not settled
		since, lost time.Time // of the first of them; and since when somebody else has the message, zero if nobody
		judged      bool
	}
	leases := map[string]*lease{}
	for _, e := range c.byObject[name] {
		switch e.Kind {
		case Delivered:
			for p, l := range leases {
				if p != e.Process && l.lost.IsZero() {
					l.lost = e.At
				}
			}
			if leases[e.Process] == nil {
				leases[e.Process] = &lease{since: e.At}
			}
			leases[e.Process].open++
			leases[e.Process].lost = time.Time{}
		case Settled:
			l := leases[e.Process]
			if l == nil {
				continue
			}
			for _, later := range leases { // who has it now cannot notice that it was handed back
				later.judged = later.judged || e.Status == "-NAK" && later.since.After(l.since)
			}
			if l.open--; l.open == 0 {
				delete(leases, e.Process)
			}
		case Commit:
			l := leases[e.Process]
			if l == nil || l.judged {
				continue
			}
			l.judged = true
			at, ok := c.firstSent(name, e.Process, l.since)
			if ok && !l.lost.IsZero() && at.Sub(l.lost) > unsure && c.undisturbed(e.Process, l.since, at) {
				c.violated(Violation{Invariant: "I5", Object: name, Text: fmt.Sprintf("%s sends etag %s although somebody else has the message for %v", e.Process, e.ETag, at.Sub(l.lost).Round(time.Millisecond))})
			}
		}
	}
}

// firstSent is when a process asked for a commit of an object for the first time since
// it was handed the message.
func (c *checker) firstSent(name, process string, since time.Time) (time.Time, bool) {
	key := keyOf(c.w.Rules, name)
	i := slices.IndexFunc(c.sent, func(s sending) bool { return s.process == process && s.key == key && s.at.After(since) })
	if i < 0 {
		return time.Time{}, false
	}
	return c.sent[i].at, true
}

// undisturbed reports whether nothing was done to a process for a while before a moment,
// and nothing to the server since an earlier one.
func (c *checker) undisturbed(process string, since, at time.Time) bool {
	return !slices.ContainsFunc(c.events, func(e Event) bool {
		if e.Kind != Fault && e.Kind != Healed || !e.At.Before(at) {
			return false
		}
		return e.Process == process && at.Sub(e.At) < unsure || e.Process == "" && e.Object == "" && e.At.After(since)
	})
}
