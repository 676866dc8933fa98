package copier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// A drip yields one byte, waits, and so on; it ends with its context.
type drip struct {
	ctx  context.Context
	left []byte
	wait time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if len(d.left) == 0 {
		return 0, io.EOF
	}
	timer := time.NewTimer(d.wait)
	defer timer.Stop()
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-timer.C:
	}
	n := copy(p[:min(1, len(p))], d.left)
	d.left = d.left[n:]
	return n, nil
}

// slow makes each byte of a body take a while.
func (w *world) slow(wait time.Duration) {
	w.bodies = func(ctx context.Context, v *version) io.Reader { return &drip{ctx, v.body, wait} }
}

func TestLeaseIsRenewedAtAFifth(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.slow(time.Minute)
		w.publish(w.write("a", body(30, 1)))
		took, _ := w.run(time.Hour, w.host("one").copier())
		w.converged(false)
		if n := w.count("renew"); took != 30*time.Minute || n < 29 || n > 30 {
			t.Errorf("%d renewals in %s, want one a minute", n, took)
		}
		if len(w.settled) != 1 || w.count("next") > 4 {
			t.Errorf("settled %+v after %d nexts", w.settled, w.count("next"))
		}
	})
}

// TestNoCommitWithoutALease: once no renewal was confirmed for three quarters of
// the ack wait, another worker may have the file.
func TestNoCommitWithoutALease(t *testing.T) {
	for _, c := range []struct {
		name    string
		takes   time.Duration // of the body
		from    int           // the first renewal that fails
		to      int           // the first that works again
		commits bool
	}{
		{"never confirmed, but soon done", 3 * time.Minute, 1, 99, true},
		{"never confirmed", 4 * time.Minute, 1, 99, false},
		{"lost in the middle", 510 * time.Second, 5, 99, false},
		{"lost in the middle, but soon done", 450 * time.Second, 5, 99, true}, // the fourth was confirmed after four minutes
		{"an outage of two renewals", 10 * time.Minute, 4, 6, true},
	} {
		for _, size := range []int{10, 20} {
			bubble(t, fmt.Sprint(c.name, "/", size), func(t *testing.T, w *world) {
				w.slow(c.takes / time.Duration(size))
				n := 0
				w.turn = func(_ *host, op string) verdict {
					if op == "renew" {
						n++
						return verdict{clean: n >= c.from && n < c.to}
					}
					return verdict{}
				}
				w.publish(w.write("a", body(size, 1)))
				w.run(c.takes+time.Second, w.host("one").copier())
				if got := len(w.commits) == 1; got != c.commits {
					t.Errorf("committed %t, want %t", got, c.commits)
				}
				if !c.commits && (len(w.settled) != 0 || w.record(name("a")).Status != "") {
					t.Errorf("a worker without the lease settled %+v and recorded %+v", w.settled, w.record(name("a")))
				}
				if len(w.uploads) != 0 {
					t.Error("the upload was left open")
				}
				w.turn, w.bodies = fails(verdict{}), nil
				w.settle(w.host("two").copier())
				w.converged(false)
				if len(w.commits) != 1 {
					t.Errorf("%d commits", len(w.commits))
				}
			})
		}
	}
}

// TestALateAnswerProvesNothing: a renewal that is confirmed after more than the
// ack wait may be anybody's, since the broker takes it from either worker.
func TestALateAnswerProvesNothing(t *testing.T) {
	for silent, want := range map[int]int{2: 1, 6: 2} { // renewals without an answer: attempts
		bubble(t, fmt.Sprint(silent), func(t *testing.T, w *world) {
			w.gullible = true
			w.slow(48 * time.Second)
			w.publish(w.write("a", body(10, 1)))
			n := 0
			c := w.host("one").copier()
			w.turn = func(_ *host, op string) verdict {
				if op == "renew" {
					n++
				}
				// The other hand is not to take the message that such a broker hands out again.
				return verdict{clean: op == "renew" && n <= silent || op == "next" && c.AtWork() > 0}
			}
			told := events(c)
			w.run(time.Hour, c)
			started := 0
			for _, e := range told() {
				switch e.Kind {
				case copier.Started:
					started++
				case copier.Retrying:
					t.Errorf("told %+v", e)
				}
			}
			if started != want || len(w.commits) != 1 || len(w.settled) != 1 {
				t.Errorf("%d attempts, commits %v, settled %v, want %d attempts", started, w.commits, w.settled, want)
			}
		})
	}
}

// TestWorkThatDoesNotMoveIsGivenUp, whichever call hangs.
func TestWorkThatDoesNotMoveIsGivenUp(t *testing.T) {
	bubble(t, "body", func(t *testing.T, w *world) {
		w.slow(100 * time.Hour)
		v := w.write("a", body(10, 1))
		w.publish(v)
		c := w.host("one").copier()
		ended := time.Time{}
		start := time.Now()
		c.Observe = func(e copier.Event) {
			if e.Kind == copier.Retrying && ended.IsZero() {
				ended = time.Now()
			}
		}
		w.run(40*time.Minute, c)
		if took := ended.Sub(start); took < 25*time.Minute || took > 35*time.Minute {
			t.Errorf("the copy was given up after %s, want about half an hour", took)
		}
		if r := w.record(v.object.Name); r.Class != messages.Connection || !strings.Contains(r.Error, "nothing moved") {
			t.Errorf("record %+v", r)
		}
	})
}

// TestZombie: a worker freezes between its last check and its commit, while the
// newer version is copied by another. It must put that version back.
func TestZombie(t *testing.T) {
	for _, size := range []int{10, 40} {
		for _, mode := range []string{"", "put only", "gullible broker"} {
			bubble(t, fmt.Sprint(size, "/", mode), func(t *testing.T, w *world) {
				w.putOnly, w.gullible, w.tainted = mode == "put only", mode == "gullible broker", true
				w.publish(w.write("a", body(size, 1)))
				one, two := w.host("one"), w.host("two")
				one2, two2 := one.copier(), two.copier()
				var once sync.Once
				w.turn = func(h *host, op string) (v verdict) {
					if h == one && (op == "put" || op == "complete") {
						once.Do(func() { v.freeze = 20 * time.Minute })
					}
					if h == one && (op == "renew" || op == "next" && one2.AtWork() > 0) { // frozen as a whole
						v.clean = true
					}
					return v
				}
				time.AfterFunc(2*time.Minute, func() {
					newer := w.write("a", body(size+1, 2))
					time.AfterFunc(8*time.Minute, func() {
						if r := w.record(name("a")); r.Status != messages.StatusCopied || r.Object.ETag != newer.object.ETag || r.Worker != "two" {
							t.Errorf("the second worker has not done it by now: %+v", r)
						}
					})
				})
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Minute)
				defer cancel()
				var running sync.WaitGroup
				running.Go(func() { one2.Run(ctx) })
				time.Sleep(time.Second) // the first takes the message
				running.Go(func() { two2.Run(ctx) })
				running.Wait()
				w.tainted = false
				w.settle(w.host("three").copier())
				w.converged(false)
				if size == 10 && len(w.commits) < 3 {
					t.Errorf("commits %v, want new, old, new", w.commits)
				}
				if size == 40 && len(w.commits) != 1 { // its upload was ended by the second worker
					t.Errorf("commits %v, want the new alone", w.commits)
				}
			})
		}
	}
}

// A sleeper is a queue to a process that is frozen while the answer to its first
// question is on its way.
type sleeper struct {
	copier.Queue
	takes time.Duration
}

func (q *sleeper) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	asked := time.Now()
	d, err := q.Queue.Next(ctx, backfill)
	if d != nil {
		d.Asked = asked
		time.Sleep(q.takes)
		q.takes = 0
	}
	return d, err
}

// TestALoanThatHasEndedBeforeItIsLookedAt: the broker confirms a renewal by the former
// holder, so that only the time of the question tells that another worker is at the file.
func TestALoanThatHasEndedBeforeItIsLookedAt(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			w.gullible = true
			w.publish(w.write("a", body(size, 1)))
			one, two := w.host("one").copier(), w.host("two").copier()
			one.Queue = &sleeper{one.Queue, ackWait + time.Minute}
			w.turn = func(h *host, op string) (v verdict) {
				switch {
				case h.name == "two" && op == "next":
					v.freeze = time.Second // the first is the first
				case h.name == "two" && op == "open":
					v.freeze = 2 * time.Minute // the first wakes meanwhile
				}
				return v
			}
			w.run(time.Hour, one, two)
			w.converged(false)
			if len(w.commits) != 1 || len(w.settled) != 1 {
				t.Errorf("commits %v, settled %+v, want one by the second worker", w.commits, w.settled)
			}
		})
	}
}

// TestTwoSlotsKeepTheirUploadsApart: a slot that has lost its file must not end
// the upload of the slot that has it now, nor leave its own open.
func TestTwoSlotsKeepTheirUploadsApart(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(40, 1)))
		n := 0
		w.turn = func(_ *host, op string) (v verdict) {
			switch op {
			case "renew":
				v.clean = w.lent("a") == 1
			case "part":
				if n++; n == 1 {
					v.freeze = 8 * time.Minute // beyond the lease
				} else {
					v.freeze = 4 * time.Minute // the first wakes meanwhile
				}
			}
			return v
		}
		c := w.host("one").copier()
		c.Slots = 2
		w.run(time.Hour, c)
		w.converged(false)
		if len(w.commits) != 1 || w.count("create") != 2 || len(w.settled) < 1 {
			t.Errorf("commits %v, %d uploads, settled %+v", w.commits, w.count("create"), w.settled)
		}
	})
}

// TestAnUploadBegunMeanwhileIsNotForgotten: between the look at the note and the
// own upload another worker may have begun one.
func TestAnUploadBegunMeanwhileIsNotForgotten(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(40, 1))
		w.publish(v)
		w.turn = func(_ *host, op string) verdict {
			if op == "open" {
				w.mu.Lock()
				w.uploads["other"] = &upload{key: w.key(v.object), parts: map[int32][]byte{1: {1}}, sent: 1}
				w.mu.Unlock()
				note(w, messages.Upload{Key: w.key(v.object), ID: "other", Worker: "two"}, v.object.Name)
			}
			return verdict{}
		}
		w.run(time.Hour, w.host("one").copier())
		w.converged(false)
	})
}

func gated(w *world) (*copier.Copier, func() []copier.GateState) {
	c := w.host("one").copier()
	var mu sync.Mutex
	var states []copier.GateState
	c.Gate.Changed = func(s copier.GateState) {
		mu.Lock()
		defer mu.Unlock()
		states = append(states, s)
	}
	return c, func() []copier.GateState {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(states)
	}
}

func TestThreeDistinctFailuresOpenTheGate(t *testing.T) {
	for _, c := range []struct {
		op, side string
		class    messages.Class
	}{
		{"open", "source", messages.Unavailable}, {"put", "destination", messages.Forbidden}, {"open", "source", messages.NotFound},
		{"put", "destination", messages.Throttled}, {"open", "source", messages.Connection}, {"put", "destination", messages.ClockSkew},
	} {
		bubble(t, c.op+"/"+string(c.class), func(t *testing.T, w *world) {
			for i := range 20 {
				w.publish(w.write(fmt.Sprintf("%02d", i), body(10, 1)))
			}
			w.turn = fails(verdict{clean: true, err: &messages.Fault{Class: c.class, Side: messages.Side(c.side), Err: errors.New("x")}}, c.op)
			cp, states := gated(w)
			told := events(cp)
			const outage = 2 * time.Hour
			w.run(outage, cp)
			if s := states(); len(s) != 1 || !s[0].Open || string(s[0].Side) != c.side || s[0].Class != c.class || cp.Gate.State().Err == nil {
				t.Fatalf("the gate went through %+v", s)
			}
			counted, held := 0, 0
			for _, e := range told() {
				switch e.Kind {
				case copier.Retrying:
					counted++
				case copier.Held:
					held++
				}
			}
			if counted != 2 { // the first two could be the files' own fault
				t.Errorf("%d attempts were burnt, want two", counted)
			}
			if most := int(outage/(30*time.Second)) + 2; held > most || held < most-5 {
				t.Errorf("%d probes in %s, want one each 30 s", held, outage)
			}
			for _, v := range w.settled {
				if v.Act != copier.Nak || v.Delay > 30*time.Second {
					t.Fatalf("settled by %+v, want naks of at most 30 s", v)
				}
			}
			if len(w.dead) > 0 {
				t.Error("an outage made dead letters")
			}
			// The outage ends: the first success closes the gate, and all follow.
			w.turn = fails(verdict{})
			w.wake()
			took, empty := w.run(time.Hour, cp)
			w.converged(false)
			if s := states(); !empty || took > time.Minute || len(s) != 2 || s[1].Open {
				t.Errorf("all was copied %s after the outage; the gate went through %+v", took, s)
			}
		})
	}
}

func TestWhatDoesNotOpenTheGate(t *testing.T) {
	one := fmt.Sprintf("%02d", 0)
	for _, c := range []struct {
		name  string
		files int
		fails func(w *world, n int) error // of the n-th Open
	}{
		{"one file, again and again", 1, func(*world, int) error { return fault("open") }},
		{"two files, again and again", 2, func(*world, int) error { return fault("open") }},
		{"a success in between", 12, func(_ *world, n int) error {
			if n%2 == 0 { // the next one is read before it is recorded
				return nil
			}
			return fault("open")
		}},
		{"failures of their own", 12, func(*world, int) error {
			return &messages.Fault{Class: messages.Length, Side: messages.Source}
		}},
		{"two sides in turn", 12, func(_ *world, n int) error {
			side := messages.Source
			if n%2 == 0 {
				side = messages.Destination
			}
			return &messages.Fault{Class: messages.Forbidden, Side: side}
		}},
		{"nobody's fault", 12, func(*world, int) error { return &messages.Fault{Class: messages.Connection} }},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			for i := range c.files {
				w.publish(w.write(fmt.Sprintf("%02d", i), body(10, 1)))
			}
			n := 0
			w.turn = func(_ *host, op string) verdict {
				if op != "open" {
					return verdict{}
				}
				n++
				err := c.fails(w, n)
				return verdict{clean: err != nil, err: err}
			}
			cp, states := gated(w)
			w.run(10*time.Second, cp)
			if s := states(); len(s) != 0 || n < 2 {
				t.Errorf("after %d tries the gate went through %+v", n, s)
			}
			if r := w.record(name(one)); r.Status == messages.StatusRetrying && r.Attempts == 0 {
				t.Error("no attempt was counted")
			}
		})
	}
}

// TestAGoneFileDoesNotCloseTheGate: it says nothing of the destination.
func TestAGoneFileDoesNotCloseTheGate(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 6 {
			w.publish(w.write(fmt.Sprintf("%02d", i), body(10, 1)))
		}
		w.publish(w.write("02x", body(10, 1)))
		w.remove("02x")
		w.turn = fails(verdict{clean: true}, "put")
		cp, states := gated(w)
		w.run(time.Hour, cp)
		if s := states(); len(s) != 1 || w.record(name("02x")).Status != messages.StatusGone {
			t.Errorf("the gate went through %+v; record %+v", s, w.record(name("02x")))
		}
	})
}

// TestTheBackfillLaneIsProbed: the slot for live files alone would never find
// what waits there.
func TestTheBackfillLaneIsProbed(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 6 {
			w.publishTo(messages.Backfill, w.write(fmt.Sprintf("%02d", i), body(10, 1)))
		}
		w.turn = fails(verdict{clean: true}, "open")
		cp, _ := gated(w)
		cp.Slots = 2
		w.run(10*time.Minute, cp)
		n := w.count("open")
		if n < 15 || n > 25 {
			t.Errorf("%d tries in ten minutes, want one each 30 s", n)
		}
		w.turn = fails(verdict{})
		if took, empty := w.run(time.Hour, cp); !empty || took > time.Minute {
			t.Errorf("all was copied %s after the outage", took)
		}
	})
}

func TestOneSlotIsKeptForLiveFiles(t *testing.T) {
	for slots, want := range map[int]int{1: 1, 2: 1, 3: 2} {
		bubble(t, fmt.Sprint(slots), func(t *testing.T, w *world) {
			for i := range 5 {
				w.publishTo(messages.Backfill, w.write(fmt.Sprint(i), body(10, 1)))
			}
			w.slow(time.Minute)
			c := w.host("one").copier()
			c.Slots = slots
			var mu sync.Mutex
			running, most := 0, 0
			live := time.Time{}
			c.Observe = func(e copier.Event) {
				mu.Lock()
				defer mu.Unlock()
				switch e.Kind {
				case copier.Started:
					running++
					most = max(most, running)
				case copier.Finished:
					running--
					if e.Object.Name == name("live") {
						live = time.Now()
					}
				}
			}
			w.run(5*time.Minute, c)
			if most != want {
				t.Errorf("%d slots copied from the backfill lane at once, want %d of %d", most, want, slots)
			}
			if slots == 1 {
				return
			}
			w.bodies = func(ctx context.Context, v *version) io.Reader {
				if v.object.Name == name("live") {
					return nil
				}
				return &drip{ctx, v.body, time.Hour}
			}
			w.wake()
			time.AfterFunc(time.Minute, func() { w.publish(w.write("live", body(10, 1))) })
			start := time.Now()
			w.run(5*time.Minute, c)
			if wait := live.Sub(start); wait < time.Minute || wait > time.Minute+6*time.Second {
				t.Errorf("a live file was copied after %s, want within seconds of its minute", wait)
			}
		})
	}
}

func TestLiveComesFirst(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 3 {
			w.publishTo(messages.Backfill, w.write(fmt.Sprint("b", i), body(10, 1)))
			w.publish(w.write(fmt.Sprint("l", i), body(10, 1)))
		}
		w.run(time.Hour, w.host("one").copier())
		for i, c := range w.commits {
			if want := map[bool]string{true: "_l", false: "_b"}[i < 3]; !strings.Contains(c, want) {
				t.Errorf("order %v", w.commits)
			}
		}
	})
}

// TestShutdown: no new file; those in flight may finish within the grace, and
// the rest is handed back at once.
func TestShutdown(t *testing.T) {
	for _, c := range []struct {
		name  string
		takes time.Duration
		grace bool
	}{
		{"finishes within the grace", 15 * time.Second, true},
		{"does not", 10 * time.Minute, false},
	} {
		for _, size := range []int{10, 20} {
			bubble(t, fmt.Sprint(c.name, "/", size), func(t *testing.T, w *world) {
				w.slow(c.takes / time.Duration(size))
				w.publish(w.write("a", body(size, 1)))
				w.publish(w.write("b", body(size, 1)))
				cp := w.host("one").copier()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				start := time.Now()
				cp.Run(ctx)
				took := time.Since(start) - time.Second
				if c.grace && (took > 15*time.Second || len(w.commits) != 1 || w.settled[0].Act != copier.Ack) {
					t.Errorf("Run returned after %s, commits %v, settled %+v", took, w.commits, w.settled)
				}
				if !c.grace && (took != 20*time.Second || len(w.commits) != 0 || w.settled[0] != (copier.Verdict{Act: copier.Nak})) {
					t.Errorf("Run returned after %s, commits %v, settled %+v", took, w.commits, w.settled)
				}
				if len(w.settled) != 1 || w.count("open") != 1 || len(w.uploads) != 0 {
					t.Errorf("%d settled, %d opened, %d uploads", len(w.settled), w.count("open"), len(w.uploads))
				}
				if r := w.record(name("a")); r.Attempts != 0 {
					t.Error("the shutdown was counted as an attempt")
				}
				w.bodies = nil
				w.settle(w.host("two").copier())
				w.converged(false)
			})
		}
	}
	bubble(t, "idle", func(t *testing.T, w *world) {
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		start := time.Now()
		w.host("one").copier().Run(ctx)
		if took := time.Since(start); took != 12*time.Second {
			t.Errorf("Run returned after %s", took)
		}
	})
	bubble(t, "while the gate is open", func(t *testing.T, w *world) {
		for i := range 6 {
			w.publish(w.write(fmt.Sprint(i), body(10, 1)))
		}
		w.turn = fails(verdict{clean: true}, "open")
		start := time.Now()
		cp := w.host("one").copier()
		cp.Slots = 3
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		cp.Run(ctx)
		if took := time.Since(start); took != 10*time.Minute {
			t.Errorf("Run returned after %s", took)
		}
	})
}

// TestShutdownWaitsForNobody: with a queue and a destination that do not answer,
// the end comes soon after the grace.
func TestShutdownWaitsForNobody(t *testing.T) {
	for _, size := range []int{10, 40} {
		for _, ops := range [][]string{{"settle"}, {"settle", "write", "bury"}, {"abort"}, {"abort", "settle", "write", "renew"}} {
			bubble(t, fmt.Sprint(size, ops), func(t *testing.T, w *world) {
				w.slow(time.Minute)
				w.publish(w.write("a", body(size, 1)))
				w.turn = func(_ *host, op string) verdict {
					return verdict{hangs: slices.Contains(ops, op) && (op != "write" || time.Since(w.start) > time.Second)}
				}
				cp := w.host("one").copier()
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				start := time.Now()
				cp.Run(ctx)
				if took := time.Since(start) - 30*time.Second; took > 24*time.Second {
					t.Errorf("Run returned %s after the signal", took)
				}
				w.turn, w.bodies = fails(verdict{}), nil
				w.settle(w.host("two").copier())
				w.converged(false)
			})
		}
	}
}

// TestALedgerThatIsAwayIsWaitedFor after a commit, since nobody else gets the
// message meanwhile: the copy is recorded, and not made again.
func TestALedgerThatIsAwayIsWaitedFor(t *testing.T) {
	for _, v := range []verdict{{clean: true}, {dirty: true}} {
		for _, size := range []int{10, 40} {
			bubble(t, fmt.Sprint(size, "/dirty=", v.dirty), func(t *testing.T, w *world) {
				w.putOnly = true
				w.publish(w.write("a", body(size, 1)))
				w.turn = func(_ *host, op string) verdict {
					if w.committed() > 0 && (op == "write" || op == "read") && time.Since(w.start) < 2*time.Minute {
						return v
					}
					return verdict{}
				}
				c := w.host("one").copier()
				told := events(c)
				w.run(time.Hour, c)
				w.converged(false)
				finished := 0
				for _, e := range told() {
					if e.Kind == copier.Finished {
						finished++
					}
				}
				if len(w.commits) != 1 || len(w.settled) != 1 || finished != 1 {
					t.Errorf("commits %v, settled %v, told %d times", w.commits, w.settled, finished)
				}
			})
		}
	}
}

// TestAMessageOfANewerEpochWaits for a copier that knows the new destination.
func TestAMessageOfANewerEpochWaits(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(10, 1))
		l := w.publish(v)
		m := messages.FileDiscovered{Route: route, Object: v.object, Epoch: 1}
		l.data, _ = m.Encode()
		w.run(time.Minute, w.host("one").copier())
		if len(w.commits) != 0 || len(w.dead) != 0 || w.record(v.object.Name).Status != "" || w.count("open") != 0 || len(w.settled) == 0 {
			t.Errorf("commits %v, dead %v, settled %v", w.commits, w.dead, w.settled)
		}
		for _, s := range w.settled {
			if s.Act != copier.Nak || s.Delay == 0 {
				t.Errorf("settled by %+v", s)
			}
		}
	})
}

// TestTheQueueIsAskedAgainWithoutHaste, and with a stop that works at once.
func TestTheQueueIsAskedAgainWithoutHaste(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.turn = fails(verdict{clean: true}, "next")
		w.publish(w.write("a", body(10, 1)))
		w.run(time.Minute, w.host("one").copier())
		if n := w.count("next"); n < 30 || n > 45 {
			t.Errorf("the queue was asked %d times in a minute, want about each 2 s", n)
		}
	})
}

// TestALateFailureTakesNothingAway: who froze while he recorded a failure does not hand the
// message back that another worker has by then.
func TestALateFailureTakesNothingAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.publish(w.write("a", body(10, 1)))
		slow, quick := w.host("slow"), w.host("quick")
		w.turn = func(h *host, op string) verdict {
			switch {
			case op == "renew" || op == "next":
				return verdict{clean: op == "renew" && h == slow}
			case h == slow && op == "open":
				return verdict{clean: true}
			case h == slow && op == "write":
				return verdict{freeze: 6 * time.Minute}
			case h == quick && op == "put":
				return verdict{freeze: 3 * time.Minute}
			}
			return verdict{}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { slow.copier().Run(ctx) })
		time.Sleep(time.Minute)
		running.Go(func() { quick.copier().Run(ctx) })
		time.Sleep(20 * time.Minute)
		cancel()
		running.Wait()
		if len(w.settled) != 1 || w.settled[0].Act != copier.Ack {
			t.Errorf("settled as %+v, want one ack", w.settled)
		}
	})
}
