package copier_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// TestEveryScheduleConverges draws what happens to three files while two
// processes copy them, and what happens to those: overwrites (also with bytes
// that were there before), deletions, ordered repeats, scans; and either faults
// and crashes, or workers that freeze for longer than their lease. What must
// always hold is checked after every effect; in the end a process without faults
// finishes the work, and source, destination and ledger must agree.
//
// Faults and freezes are not drawn together: a frozen worker that commits late
// and crashes before it can see that is the documented rest, found by verify.
func TestEveryScheduleConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, schedule) })
}

func schedule(t *rapid.T) {
	w := newWorld(t)
	w.putOnly = rapid.Bool().Draw(t, "put only")
	w.gullible = rapid.Bool().Draw(t, "gullible broker")
	freezes := rapid.Bool().Draw(t, "freezes")
	w.tainted = freezes // a late commit may stand behind a record for a while
	parts := rapid.Bool().Draw(t, "files in many parts")
	relays := rapid.Bool().Draw(t, "which are relayed")
	w.picky = freezes // a former owner may have sent a part again
	lost := freezes && rapid.Bool().Draw(t, "renewals fail")

	plan := map[int]verdict{}
	kinds := []verdict{
		{clean: true}, {dirty: true}, {clean: true, panics: true}, {dirty: true, panics: true},
		{clean: true, err: errors.New("without a class")}, {dirty: true, err: errors.New("without a class")},
		{clean: true, crash: true}, {dirty: true, crash: true},
	}
	if freezes {
		kinds = []verdict{{freeze: 4 * time.Minute}, {freeze: 6 * time.Minute}, {freeze: 13 * time.Minute}}
	}
	for range rapid.IntRange(0, 6).Draw(t, "faults") {
		plan[rapid.IntRange(0, 80).Draw(t, "call")] = rapid.SampledFrom(kinds).Draw(t, "kind")
	}
	n := 0
	w.turn = func(h *host, op string) verdict {
		switch op {
		case "renew":
			return verdict{clean: lost && h.name == "one"}
		case "next":
			return verdict{}
		}
		n++
		v := plan[n-1]
		if parts && (op == "part" || op == "relay") && v.freeze == 0 {
			v.freeze = 11 * time.Second // so that a note follows
		}
		if op == "abort" { // a frozen worker whose abort fails leaves the note of it
			v.freeze = 0
		}
		return v
	}

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer func() { // also when a draw ends the schedule
		cancel()
		running.Wait()
	}()
	for _, name := range []string{"one", "two"} {
		c := w.host(name).copier()
		if parts {
			c = w.host(name).large()
			c.Budget = copier.NewBudget(3, part)
		}
		if relays {
			c.Relays, c.Inspect = w.host(name), nil
		}
		c.Slots = 2
		running.Go(func() { c.Run(ctx) })
	}
	for range rapid.IntRange(1, 14).Draw(t, "steps") {
		base := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "file")
		switch rapid.SampledFrom([]string{"write", "write", "scan", "scan", "remove", "repair"}).Draw(t, "what") {
		case "write":
			size := rapid.SampledFrom([]int{0, 10, 16, 17, 40}).Draw(t, "size")
			if parts {
				size *= 1 << 9 // five of them at most
			}
			w.write(base, body(size, rapid.SampledFrom([]byte{0, 1}).Draw(t, "content")))
		case "remove":
			w.remove(base)
		case "scan":
			w.scan()
		case "repair":
			w.repair(base)
		}
		time.Sleep(rapid.SampledFrom([]time.Duration{0, time.Second, time.Minute, 5*time.Minute + time.Second, 20 * time.Minute}).Draw(t, "wait"))
	}
	w.scan()
	time.Sleep(time.Hour)
	cancel()
	running.Wait()

	w.mu.Lock()
	w.turn, w.tainted = fails(verdict{}), false
	w.mu.Unlock()
	last := w.host("three").copier()
	w.settle(last)
	w.sweep(last) // what workers without a lease left, to nobody
	w.converged(!freezes)
	if len(w.dead) > 0 {
		t.Errorf("dead letters %v", w.dead)
	}
}

// repair is what verify --repair does for an object that the destination lost.
func (w *world) repair(base string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.locked(name(base))
	if r.Status != messages.StatusCopied {
		return
	}
	delete(w.visible, r.Copy.Key)
	r.Status, r.Generation = messages.StatusDue, r.Generation+1
	b, err := r.Encode()
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	key := w.recordKey(name(base))
	w.seq++
	w.ledger[key] = &entry{value: b, revision: uint64(w.seq), older: w.ledger[key]}
}

// TestALateCopyOfWhatIsRecordedIsNotOverlooked: a commit arrives late over a newer version
// that nobody has recorded yet. The ledger has the older one, as if all were well.
func TestALateCopyOfWhatIsRecordedIsNotOverlooked(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", []byte("first")))
		one, two := w.host("one"), w.host("two")
		first, second := one.copier(), two.copier()
		puts, writes := 0, 0
		w.turn = func(h *host, op string) (v verdict) {
			switch {
			case h == one && (op == "renew" || op == "next" && first.AtWork() > 0): // frozen as a whole
				v.clean = true
			case h == one && op == "put":
				if puts++; puts == 1 {
					v.freeze = ackWait + 16*time.Second
				}
			case h == two && op == "write":
				if writes++; writes == 2 { // of the second version
					v.freeze = 3 * time.Second
				}
			}
			return v
		}
		overlap(t, first, second, func() {
			time.AfterFunc(ackWait+10*time.Second, func() { w.publish(w.write("a", []byte("second"))) })
		})
		w.converged(false)
		if puts != 1 || len(w.commits) != 4 {
			t.Errorf("one has put %d times; the commits are %v", puts, w.commits)
		}
	})
}

// TestALateCopyForgetsNoRepeat: a commit arrives late, and a repeat was ordered and done
// meanwhile. The ledger must not come to say that none was.
func TestALateCopyForgetsNoRepeat(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", []byte("first"))
		w.publish(v)
		one, two := w.host("one"), w.host("two")
		first, second := one.copier(), two.copier()
		puts := 0
		w.turn = func(h *host, op string) (v verdict) {
			switch {
			case h == one && (op == "renew" || op == "next" && first.AtWork() > 0): // frozen as a whole
				v.clean = true
			case h == one && op == "put":
				if puts++; puts == 1 {
					v.freeze = ackWait + 30*time.Second
				}
			}
			return v
		}
		overlap(t, first, second, func() {
			time.AfterFunc(ackWait+10*time.Second, func() {
				w.repair("a")
				w.publish(v)
			})
		})
		w.converged(false)
		if r := w.record(name("a")); r.Generation != 1 || r.Worker != "one" {
			t.Errorf("the record is of generation %d, by %s; want 1, by one, who was the last", r.Generation, r.Worker)
		}
	})
}
