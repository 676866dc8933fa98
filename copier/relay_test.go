package copier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// relaying is a copier that nobody looks over the shoulder of.
func (h *host) relaying() *copier.Copier {
	c := h.large()
	c.Relays, c.Inspect, c.Budget = h, nil, copier.NewBudget(100, part)
	return c
}

// counts are how many parts were relayed, and how many were sent from memory.
func (w *world) counts() [2]int { return [2]int{w.count("relay"), w.count("part")} }

// TestALargeFileIsRelayed: each byte is read once, and no part waits in memory for its
// last one.
func TestALargeFileIsRelayed(t *testing.T) {
	for _, size := range []int{part + 1, 3 * part, 3*part + 1, many * part, 300*part + 7} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			w.publish(w.write("a", body(size, 1)))
			c := w.host("one").relaying()
			told := int64(0)
			c.Observe = func(e copier.Event) {
				if e.Kind == copier.Progress {
					w.mu.Lock()
					defer w.mu.Unlock()
					told += e.Bytes
				}
			}
			w.run(time.Hour, c)
			w.converged(false)
			parts := (size + part - 1) / part
			if got := w.counts(); got != [2]int{parts, 0} || w.served != size || told != int64(size) {
				t.Errorf("%d relayed and %d sent of %d parts; %d bytes served and %d told of %d", got[0], got[1], parts, w.served, told, size)
			}
			if n := c.Budget.InUse(); n != 0 || w.streams != 0 {
				t.Errorf("%d buffers and %d bodies are left", n, w.streams)
			}
			if parts >= 100 && len(w.ranges) > parts/2 {
				t.Errorf("%d requests for %d parts", len(w.ranges), parts)
			}
		})
	}
}

// TestWhatMustBeSeenInOrderIsNotRelayed, nor what could not be read again.
func TestWhatMustBeSeenInOrderIsNotRelayed(t *testing.T) {
	for name, change := range map[string]func(w *world, c *copier.Copier, v *version){
		"the statistics":            func(_ *world, c *copier.Copier, _ *version) { c.Inspect = copier.NewInspection(inspector(count)) },
		"an MD5":                    func(_ *world, _ *copier.Copier, v *version) { v.crc32c = "" },
		"a destination that cannot": func(w *world, c *copier.Copier, _ *version) { c.Relays = never{c.Relays} },
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			v := w.write("a", body(many*part, 1))
			c := w.host("one").relaying()
			change(w, c, v)
			w.publish(v)
			w.run(time.Hour, c)
			if got := w.counts(); got != [2]int{0, many} || len(w.commits) != 1 {
				t.Errorf("%d relayed and %d sent of %d parts, %d commits", got[0], got[1], many, len(w.commits))
			}
		})
	}
}

type never struct{ copier.Relays }

func (never) Relaying() bool { return false }

// TestLanesAreManyAndShared: of one file up to 24 stretches are relayed at once; several files
// have no more together, but for those that were there first, until they notice.
func TestLanesAreManyAndShared(t *testing.T) {
	for files, most := range map[int]int{1: 24, 3: 24, 24: 24, 30: 30} {
		bubble(t, fmt.Sprint(files, " files"), func(t *testing.T, w *world) {
			for i := range files {
				w.publish(w.write(fmt.Sprint(i), body(max(40, 100/files)*part, byte(i))))
			}
			streams, begun := 0, time.Now()
			w.turn = func(_ *host, op string) verdict {
				w.mu.Lock()
				defer w.mu.Unlock()
				if time.Since(begun) > 3*time.Second {
					streams = max(streams, w.streams)
				}
				if op == "relay" {
					return verdict{freeze: 100 * time.Millisecond}
				}
				return verdict{}
			}
			c := w.host("one").relaying()
			c.Slots = files
			w.run(time.Hour, c)
			w.converged(false)
			if streams > most {
				t.Errorf("%d bodies were open at once, want %d at most", streams, most)
			}
			if files == 1 && w.most() != 24 {
				t.Errorf("%d parts of one file were under way at once, want 24", w.most())
			}
		})
	}
}

// TestWhatIsNotTakenIsSentFromMemory, in the same attempt, and so are all parts of the next
// ten minutes; then it is tried again.
func TestWhatIsNotTakenIsSentFromMemory(t *testing.T) {
	for _, at := range []int{1, 2, 5, many} {
		for _, kind := range []verdict{{clean: true}, {dirty: true}, {clean: true, err: &messages.Fault{Class: messages.Unknown, Side: messages.Destination, Err: copier.ErrNoRelay}}} {
			bubble(t, fmt.Sprintf("part %d, %+v", at, kind), func(t *testing.T, w *world) {
				w.publish(w.write("a", body(many*part, 1)))
				n := 0
				w.turn = func(_ *host, op string) verdict {
					if op == "relay" {
						if n++; n == at {
							return kind
						}
					}
					return verdict{}
				}
				c := w.host("one").relaying()
				w.run(time.Minute, c)
				first := w.counts()
				if len(w.commits) != 1 || len(w.settled) != 1 || first[0] < at || first[1] == 0 || first[0]+first[1] < many+1 {
					t.Errorf("%d commits, %d relayed and %d sent, settled %+v", len(w.commits), first[0], first[1], w.settled)
				}
				w.publish(w.write("b", body(many*part, 2)))
				w.run(time.Minute, c)
				if got := w.counts(); got != [2]int{first[0], first[1] + many} {
					t.Errorf("then %d relayed and %d sent, want those of the first file and %d sent", got[0], got[1], many)
				}
				time.Sleep(10*time.Minute + time.Second)
				w.publish(w.write("c", body(many*part, 3)))
				w.run(time.Minute, c)
				if got := w.counts(); got != [2]int{first[0] + many, first[1] + many} {
					t.Errorf("later %d relayed and %d sent, want %d more relayed", got[0], got[1], many)
				}
				w.converged(true)
			})
		}
	}
}

// TestASourceThatFailsEndsARelay, as it ends any copy: it says so, and the next attempt goes on
// behind what stands.
func TestASourceThatFailsEndsARelay(t *testing.T) {
	short := func(b []byte) io.Reader { return bytesThen(b[:len(b)/2], io.EOF) }
	for name, c := range map[string]struct {
		cut   func(b []byte) io.Reader
		class messages.Class
	}{
		"it breaks":     {func(b []byte) io.Reader { return bytesThen(b[:len(b)/2], fault("body")) }, messages.Unavailable},
		"it ends early": {short, messages.Length},
		"it is longer":  {func(b []byte) io.Reader { return bytesThen(append(b, 'x'), io.EOF) }, messages.Length},
		"it is another": {func(b []byte) io.Reader { b[len(b)/2] ^= 1; return bytesThen(b, io.EOF) }, messages.HashMismatch},
		"it panics":     {func([]byte) io.Reader { return readerFunc(func([]byte) (int, error) { panic("in a body") }) }, messages.Unknown},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(many*part, 1)))
			broken := false
			w.cut = func(r copier.Range, b []byte) io.Reader {
				if r.Offset == 5*part && !broken {
					broken = true
					return c.cut(b)
				}
				return nil
			}
			cp := w.host("one").relaying()
			var failures []error
			cp.Observe = func(e copier.Event) {
				if e.Kind == copier.Retrying {
					failures = append(failures, e.Err)
				}
			}
			w.run(time.Hour, cp)
			w.converged(true)
			if len(failures) != 1 || messages.ClassOf(failures[0]) != c.class || w.count("part") != 0 && name != "it is another" {
				t.Errorf("failures %v, want one of class %s; %d parts were sent from memory", failures, c.class, w.count("part"))
			}
			if len(w.commits) != 1 {
				t.Errorf("%d commits", len(w.commits))
			}
		})
	}
}

func bytesThen(b []byte, err error) io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n := copy(p, b)
		if b = b[n:]; len(b) == 0 && n == 0 {
			return 0, err
		}
		return n, nil
	})
}

// TestWithoutRangesARelayIsOneStream.
func TestWithoutRangesARelayIsOneStream(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.noRange = func(copier.Range) bool { return true }
		w.publish(w.write("a", body(many*part, 1)))
		c := w.host("one").relaying()
		w.run(time.Minute, c)
		if got := w.counts(); got != [2]int{many, 0} || !slices.Equal(w.offsets, []int64{0}) || w.served != many*part {
			t.Errorf("%d relayed and %d sent; opened at %v, %d bytes served", got[0], got[1], w.offsets, w.served)
		}
		// What the destination would not take then, could not be read again: it is in memory.
		w.publish(w.write("b", body(many*part, 2)))
		w.run(time.Minute, c)
		if got := w.counts(); got != [2]int{many, many} {
			t.Errorf("then %d relayed and %d sent", got[0], got[1])
		}
		w.converged(false)
	})
}

// TestARelayGoesOnBehindWhatStands after a crash, and the notes of it have no gaps.
func TestARelayGoesOnBehindWhatStands(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(40*part, 1)))
		n := 0
		w.turn = func(_ *host, op string) verdict {
			if op != "relay" {
				return verdict{}
			}
			n++
			return verdict{freeze: time.Duration(1+n%5) * 3 * time.Second, crash: n == 39, clean: n == 39}
		}
		w.run(4*time.Minute, w.host("one").relaying())
		u, ok := w.noted("a")
		if !ok || len(u.Parts) == 0 {
			t.Fatalf("the note is %+v", u)
		}
		w.wake()
		served := w.served
		w.turn = fails(verdict{})
		w.run(time.Hour, w.host("two").relaying())
		w.converged(true)
		if more := w.served - served; more != (40-len(u.Parts))*part {
			t.Errorf("%d bytes were served again, want those behind the %d parts of the note", more, len(u.Parts))
		}
	})
}

// TestABodyThatIsReadAfterTheEndCountsForNothing: the library may read on after an error.
func TestABodyThatIsReadAfterTheEndCountsForNothing(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(2*part, 1)))
		c := w.host("one").relaying()
		late := lateReader{c.Relays, make(chan error, 1)}
		c.Relays = late
		w.run(time.Hour, c)
		w.converged(true)
		if err := <-late.err; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("reading on ends with %v", err)
		}
	})
}

// A lateReader fails at first, and reads on all the same.
type lateReader struct {
	copier.Relays
	err chan error
}

func (l lateReader) Relay(_ context.Context, _, _ string, _ int32, s copier.Stream) (copier.Part, error) {
	go func() {
		time.Sleep(time.Second)
		_, err := s.Read(make([]byte, 10))
		l.err <- err
	}()
	return copier.Part{}, fault("relay")
}
