package copier_test

import (
	"context"
	"crypto/fips140"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// part is that of these tests, in which S3 takes smaller ones than in earnest.
const part = 4 << 10

// large is a copier of files in parts, one at a time.
func (h *host) large() *copier.Copier {
	c := h.copier()
	c.Chunk, c.Budget = part, copier.NewBudget(1, part)
	c.LeastPart = part
	h.mu.Lock()
	defer h.mu.Unlock()
	h.least = part
	return c
}

// eleven lets each part take eleven seconds, longer than the time between two notes, and the nth of
// them end by a verdict.
func eleven(n int, last verdict) func(*host, string) verdict {
	count := 0
	return func(_ *host, op string) verdict {
		if op != "part" {
			return verdict{}
		}
		if count++; count != n {
			return verdict{freeze: 11 * time.Second}
		}
		last.freeze = 11 * time.Second
		return last
	}
}

// noted is the note of the upload of a file.
func (w *world) noted(base string) (u messages.Upload, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := w.ledger[messages.UploadKey(route, name(base))]
	if e == nil || e.value == nil {
		return u, false
	}
	u, err := messages.DecodeUpload(e.value)
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	return u, true
}

// sweep is what a copier does each hour, a day later.
func (w *world) sweep(c *copier.Copier) (swept []string) {
	w.tb.Helper()
	time.Sleep(25 * time.Hour)
	w.mu.Lock()
	notes := maps.Clone(w.ledger)
	w.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(notes)) {
		token, ok := strings.CutPrefix(key, route+".upload.")
		if !ok || notes[key].value == nil {
			continue
		}
		u, err := messages.DecodeUpload(notes[key].value)
		if err != nil {
			w.tb.Errorf("%v", err)
		}
		name, err := messages.DecodeToken(token)
		if err != nil {
			w.tb.Errorf("%v", err)
		}
		done, err := c.Sweep(context.Background(), name, u, notes[key].revision)
		if err != nil {
			w.tb.Errorf("%v", err)
		}
		if done {
			swept = append(swept, u.ID)
		}
	}
	return swept
}

// broken is a file of five parts whose first copier was killed at the fourth.
func broken(t *testing.T, w *world) *version {
	t.Helper()
	v := w.write("a", body(4*part+17, 1))
	w.publish(v)
	w.turn = eleven(4, verdict{clean: true, crash: true})
	w.run(time.Hour, w.host("one").large())
	w.turn = fails(verdict{})
	w.wake()
	u, ok := w.noted("a")
	if !ok || len(u.Parts) != 3 || u.Size != v.object.Size || u.ETag != v.object.ETag || u.Worker != "one" || u.Updated.IsZero() {
		t.Fatalf("the note after the crash is %+v", u)
	}
	return v
}

func TestWhoeverGetsTheRedeliverySendsOnlyTheRest(t *testing.T) {
	for _, sum := range []string{"CRC32C", "MD5"} {
		bubble(t, sum, func(t *testing.T, w *world) {
			v := w.write("a", body(4*part+17, 1))
			if sum == "MD5" {
				v.crc32c = ""
			}
			w.publish(v)
			w.turn = eleven(4, verdict{clean: true, crash: true})
			w.run(time.Hour, w.host("one").large())
			w.turn = func(h *host, op string) verdict {
				if op == "part" {
					if u, _ := w.noted("a"); u.Worker != "two" {
						t.Errorf("a part is sent while the upload is %s's", u.Worker)
					}
				}
				return verdict{}
			}
			w.wake()
			c := w.host("two").large()
			told := events(c)
			w.run(time.Hour, c)
			w.converged(false)
			if want := []int64{0, 3 * part}; !slices.Equal(w.offsets, want) || w.count("create") != 1 || len(w.commits) != 1 || w.count("abort") != 0 {
				t.Errorf("opened at %v, want %v; %d uploads, %d aborts, commits %v", w.offsets, want, w.count("create"), w.count("abort"), w.commits)
			}
			r := w.record(v.object.Name)
			if want := byOrSize(strings.ToLower(sum)); r.Copy.Verified != want || r.Worker != "two" || r.Object.CRC32C != v.crc32c {
				t.Errorf("verified by %s, want %s: %+v", r.Copy.Verified, want, r)
			}
			if s := r.Copy.Statistics; s == nil || s.Complete() || !strings.Contains(s.Skipped, "sent before") {
				t.Errorf("statistics %+v", s)
			}
			var moved int64
			e := told()
			for _, e := range e {
				moved += e.Bytes
			}
			if last := e[len(e)-1]; moved != v.object.Size || last.Resumed != 3*part {
				t.Errorf("%d bytes have moved, and %+v was resumed", moved, last)
			}
			if _, ok := w.noted("a"); ok {
				t.Error("the note was left")
			}
		})
	}
}

// TestWhatIsNotContinued: whatever makes an upload another one, it is ended, and the
// file is sent as if there had been none.
func TestWhatIsNotContinued(t *testing.T) {
	edit := func(f func(u *messages.Upload)) func(*world, *version, *copier.Copier) {
		return func(w *world, v *version, _ *copier.Copier) {
			u, _ := w.noted("a")
			f(&u)
			note(w, u, v.object.Name)
		}
	}
	for name, c := range map[string]struct {
		spoil   func(*world, *version, *copier.Copier)
		offsets []int64 // of the second copier
	}{
		"overwritten with as many bytes": {func(w *world, v *version, _ *copier.Copier) { w.write("a", body(len(v.body), 2)) }, []int64{0}},
		"overwritten with less":          {func(w *world, _ *version, _ *copier.Copier) { w.write("a", body(10, 2)) }, []int64{0}},
		"of another version":             {edit(func(u *messages.Upload) { u.ETag = "another" }), []int64{0}},
		"of another size":                {edit(func(u *messages.Upload) { u.Size++ }), []int64{0}},
		"without a version":              {edit(func(u *messages.Upload) { u.ETag = "" }), []int64{0}},
		"of another MD5":                 {edit(func(u *messages.Upload) { u.MD5 = "another" }), []int64{0}},
		"of another key":                 {edit(func(u *messages.Upload) { u.Key = "focus/b" }), []int64{0}},
		"of another epoch":               {edit(func(u *messages.Upload) { u.Epoch++ }), []int64{0}},
		"of other parts":                 {edit(func(u *messages.Upload) { u.PartSize++ }), []int64{0}},
		"of another chunk size": {func(_ *world, _ *version, c *copier.Copier) {
			c.Chunk, c.Budget = part+1, copier.NewBudget(1, part+1)
		}, []int64{0}},
		"of a chunk size that needs no parts": {func(_ *world, _ *version, c *copier.Copier) {
			c.Chunk, c.Budget = 8*part, copier.NewBudget(1, 8*part)
		}, []int64{0}},
		"of no parts":          {edit(func(u *messages.Upload) { u.Parts = nil }), []int64{0}},
		"of more parts":        {edit(func(u *messages.Upload) { u.Parts = slices.Repeat(u.Parts, 2) }), []int64{0}},
		"of a part unproven":   {edit(func(u *messages.Upload) { u.Parts[1].ETag = "" }), []int64{0}},
		"of a part unsummed":   {edit(func(u *messages.Upload) { u.Parts[1].CRC32C = "" }), []int64{0}},
		"without sums":         {edit(func(u *messages.Upload) { u.Sums = nil }), []int64{0}},
		"with sums that break": {edit(func(u *messages.Upload) { u.Sums.CRC32C = "x" }), []int64{0}},
		"with no MD5 where it is needed": {func(w *world, v *version, c *copier.Copier) {
			v.crc32c = ""
			edit(func(u *messages.Upload) { u.CRC32C = "" })(w, v, c)
		}, []int64{0}},
		"with sums that lie":            {edit(func(u *messages.Upload) { u.Sums.CRC32C = crc([]byte("x")) }), []int64{3 * part, 0}},
		"with a declared sum that lies": {edit(func(u *messages.Upload) { u.CRC32C = crc([]byte("x")) }), []int64{3 * part, 0}},
		"with a declared sum that lies, and nobody knows better": {func(w *world, v *version, c *copier.Copier) {
			v.crc32c = ""
			edit(func(u *messages.Upload) { u.CRC32C = crc([]byte("x")) })(w, v, c)
		}, []int64{3 * part, 0}},
		"with a part that lies": {edit(func(u *messages.Upload) { u.Parts[1].ETag = "another" }), []int64{3 * part, 0}},
		"that is no more":       {func(w *world, _ *version, _ *copier.Copier) { clear(w.uploads) }, []int64{3 * part, 0}},
		"of a part replaced": {func(w *world, _ *version, _ *copier.Copier) {
			for _, u := range w.uploads {
				u.parts[2] = body(part, 9)
			}
		}, []int64{3 * part, 0}},
		"where the source knows no ranges": {func(w *world, _ *version, _ *copier.Copier) { w.noRange = func(copier.Range) bool { return true } }, []int64{0}},
		"where the content decides": {func(_ *world, _ *version, c *copier.Copier) {
			c.Inspect.Required = true
		}, []int64{0}},
	} {
		if strings.Contains(name, "MD5 where it is needed") && fips140.Enforced() {
			continue // it is needed nowhere
		}
		bubble(t, name, func(t *testing.T, w *world) {
			v := broken(t, w)
			two := w.host("two").large()
			w.picky = true
			c.spoil(w, v, two)
			w.run(time.Hour, two)
			w.converged(false)
			if got := w.offsets[1:]; !slices.Equal(got, c.offsets) {
				t.Errorf("opened at %v, want %v", got, c.offsets)
			}
			r := w.record(v.object.Name)
			if len(w.commits) != 1 || r.Attempts != 0 || len(w.settled) != 1 || w.lent("a") != 0 {
				t.Errorf("commits %v, settled %+v, %d attempts failed", w.commits, w.settled, r.Attempts)
			}
			if s := r.Copy.Statistics; !s.Complete() {
				t.Errorf("statistics %+v of a file that was read from its begin", s)
			}
			if _, ok := w.noted("a"); ok {
				t.Error("the note was left")
			}
		})
	}
}

// TestAnUploadEndsWhereNothingIsSent: nobody comes to continue it then.
func TestAnUploadEndsWhereNothingIsSent(t *testing.T) {
	for name, spoil := range map[string]func(*world, *version){
		"done by another": func(w *world, v *version) { copyOf(w, v) },
		"adopted":         func(w *world, v *version) { w.commit(w.key(v.object), v.body, meta(v)) },
		"the same bytes under another etag": func(w *world, v *version) {
			copyOf(w, v)
			w.write("a", v.body)
		},
		"gone":                        func(w *world, v *version) { w.remove("a") },
		"a newer one done by another": func(w *world, _ *version) { copyOf(w, w.write("a", body(10, 3))) },
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			v := broken(t, w)
			spoil(w, v)
			two := w.host("two").large()
			w.run(time.Hour, two)
			w.settle(two)
			w.converged(false)
			if _, ok := w.noted("a"); ok || len(w.uploads) > 0 {
				t.Errorf("a note is left: %t, and %d uploads", ok, len(w.uploads))
			}
		})
	}
}

// TestWhatAFailureLeaves: what says nothing against the bytes that were sent keeps the
// upload, everything else ends it.
func TestWhatAFailureLeaves(t *testing.T) {
	side := func(c messages.Class, s messages.Side) error { return &messages.Fault{Class: c, Side: s, Op: "x"} }
	for _, c := range []struct {
		op    string
		v     verdict
		keeps bool
	}{
		{"first part", verdict{clean: true, err: side(messages.Connection, messages.Destination)}, false}, // nothing stands
		{"part", verdict{clean: true, err: side(messages.Connection, messages.Destination)}, true},
		{"part", verdict{clean: true, err: side(messages.Unavailable, messages.Destination)}, true},
		{"part", verdict{clean: true, err: side(messages.Throttled, messages.Destination)}, true},
		{"part", verdict{clean: true, err: side(messages.Forbidden, messages.Destination)}, true},
		{"part", verdict{clean: true, err: side(messages.Unknown, messages.Destination)}, false},
		{"part", verdict{clean: true, err: side(messages.NoUpload, messages.Destination)}, false},
		{"part", verdict{clean: true, err: side(messages.HashMismatch, messages.Destination)}, false},
		{"part", verdict{clean: true, panics: true}, false},
		{"complete", verdict{clean: true, err: side(messages.Unavailable, messages.Destination)}, true},
		{"complete", verdict{clean: true, err: side(messages.HashMismatch, messages.Destination)}, false},
	} {
		bubble(t, fmt.Sprintf("%s,%v,panics=%t", c.op, c.v.err, c.v.panics), func(t *testing.T, w *world) {
			v := w.write("a", body(4*part+17, 1))
			w.publish(v)
			n, last := 0, map[string]int{"first part": 1, "part": 4, "complete": 1}[c.op]
			w.turn = func(_ *host, op string) verdict {
				if strings.HasSuffix(c.op, op) {
					if n++; n == last {
						return c.v
					}
				}
				return verdict{}
			}
			one := w.host("one").large()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			one.Observe = func(e copier.Event) {
				if e.Kind == copier.Retrying || e.Kind == copier.Held {
					cancel()
				}
			}
			one.Run(ctx)
			u, ok := w.noted("a")
			stands := map[string]int{"part": 3, "complete": 4}[c.op] // never the last one
			if ok != c.keeps || c.keeps && (len(u.Parts) != stands || len(w.uploads) != 1) || !c.keeps && len(w.uploads) != 0 {
				t.Errorf("kept %t with %d parts, %d uploads; want %t", ok, len(u.Parts), len(w.uploads), c.keeps)
			}
			w.run(time.Hour, w.host("two").large())
			w.converged(false)
			want := []int64{0, 0}
			if c.keeps {
				want[1] = int64(stands) * part
			}
			if !slices.Equal(w.offsets, want) || len(w.commits) != 1 {
				t.Errorf("opened at %v, want %v; commits %v", w.offsets, want, w.commits)
			}
		})
	}
}

// TestALostLeaseKeepsTheUpload for the next one, who goes on with it; but where that
// one has done the file already, nobody is left who would.
func TestALostLeaseKeepsTheUpload(t *testing.T) {
	bubble(t, "for the next one", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(4*part+17, 1)))
		w.turn = func(_ *host, op string) verdict {
			if op == "part" {
				return verdict{freeze: 50 * time.Second}
			}
			return verdict{clean: op == "renew"}
		}
		w.run(260*time.Second, w.host("one").large()) // it is handed out again after 300
		if u, _ := w.noted("a"); len(u.Parts) != 4 || len(w.commits) != 0 {
			t.Fatalf("note %+v, commits %v", u, w.commits)
		}
		w.turn = fails(verdict{})
		w.run(time.Hour, w.host("two").large())
		w.converged(false)
		if want := []int64{0, 4 * part}; !slices.Equal(w.offsets, want) || len(w.commits) != 1 {
			t.Errorf("opened at %v, want %v; commits %v", w.offsets, want, w.commits)
		}
	})
	for name, overwritten := range map[string]bool{"for nobody": false, "for nobody, who has done another version": true} {
		bubble(t, name, func(t *testing.T, w *world) { keptForNobody(t, w, overwritten) })
	}
}

func keptForNobody(t *testing.T, w *world, overwritten bool) {
	w.publish(w.write("a", body(4*part+17, 1)))
	one, two := w.host("one"), w.host("two")
	frozen := false
	w.turn = func(h *host, op string) (v verdict) {
		switch {
		case h == one && op == "renew":
			v.clean = true
		case h == one && op == "write" && !frozen: // the note, which none precedes when it arrives
			frozen, v.freeze = true, 20*time.Minute
		}
		return v
	}
	overlap(t, one.large(), two.large(), func() {
		if overwritten {
			w.write("a", body(4*part+17, 2))
		}
	})
	w.endedEach(2)
}

// overlap runs one worker and, a second later, another one beside it, until there is
// nothing more to do.
func overlap(t *testing.T, one, two *copier.Copier, between func()) {
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() { one.Run(ctx) })
	time.Sleep(time.Second)
	between()
	running.Go(func() { two.Run(ctx) })
	running.Wait()
}

// endedEach wants the one file copied once, by so many uploads, of which none is left.
func (w *world) endedEach(uploads int) {
	w.tb.Helper()
	w.converged(false)
	if _, ok := w.noted("a"); ok || len(w.commits) != 1 || w.count("create") != uploads {
		w.tb.Errorf("noted %t, commits %v, %d uploads begun, want %d", ok, w.commits, w.count("create"), uploads)
	}
}

// TestAnUploadThatIsLeftWhileAnotherCompletesIsEnded: who left it saw no record yet, and
// who has completed his own is the last who has the message.
func TestAnUploadThatIsLeftWhileAnotherCompletesIsEnded(t *testing.T) {
	writes := 0
	lateUpload(t, "create", 2, func(late bool, op string) (v verdict) {
		if !late && op == "write" {
			if writes++; writes == 2 { // that the upload is over
				v.freeze = time.Minute
			}
		}
		return v
	})
}

// TestAnUploadOfWhoDiedIsEndedByWhoCameBack: both had the message, and the one who had
// lost it records and acknowledges.
func TestAnUploadOfWhoDiedIsEndedByWhoCameBack(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.putOnly = true
		w.publish(w.write("a", body(4*part+17, 1)))
		one, two := w.host("one"), w.host("two")
		first, second := one.large(), two.large()
		writes := 0
		w.turn = func(h *host, op string) (v verdict) {
			switch {
			case h == one && (op == "renew" || op == "next" && first.AtWork() > 0): // frozen as a whole
				v.clean = true
			case h == one && op == "write":
				if writes++; writes == 2 { // that the upload is over
					v.freeze = 310 * time.Second
				}
			case h == two && op == "complete":
				v.clean, v.crash = true, true
			}
			return v
		}
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
		defer cancel()
		var running sync.WaitGroup
		running.Go(func() { first.Run(ctx) })
		time.Sleep(time.Second)
		running.Go(func() { second.Run(ctx) })
		running.Wait()
		w.converged(false)
		if _, ok := w.noted("a"); ok || len(w.commits) != 1 || w.count("create") != 2 {
			t.Errorf("noted %t, commits %v, %d uploads", ok, w.commits, w.count("create"))
		}
	})
}

func TestAShutdownKeepsTheUpload(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(4*part+17, 1)))
		w.turn = func(_ *host, op string) verdict {
			if op == "part" {
				return verdict{freeze: 7900 * time.Millisecond} // so that the third is not noted by time
			}
			return verdict{}
		}
		one := w.host("one").large()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(10*time.Second, cancel)
		one.Run(ctx) // ends after the grace of 20 seconds
		u, _ := w.noted("a")
		if len(u.Parts) != 3 || len(w.uploads) != 1 || w.count("abort") != 0 {
			t.Fatalf("note %+v, %d uploads", u, len(w.uploads))
		}
		w.turn = fails(verdict{})
		if took, _ := w.run(time.Hour, w.host("two").large()); took > time.Second {
			t.Errorf("the next one has it after %s", took)
		}
		w.converged(false)
		if want := []int64{0, 3 * part}; !slices.Equal(w.offsets, want) {
			t.Errorf("opened at %v, want %v", w.offsets, want)
		}
	})
}

// TestAFileThatIsGivenUpLeavesNoUpload, although its last failure kept it.
func TestAFileThatIsGivenUpLeavesNoUpload(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(4*part+17, 1))
		w.publish(v)
		n := 0
		w.turn = func(_ *host, op string) verdict {
			if op == "part" {
				if n++; n >= 3 {
					return verdict{clean: true, err: &messages.Fault{Class: messages.Unavailable, Side: messages.Destination}}
				}
			}
			return verdict{}
		}
		c := w.host("one").large()
		c.DeadAfter = time.Hour
		stop := make(chan struct{})
		var others sync.WaitGroup
		others.Go(func() { // so that the file is at fault
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Minute):
					w.publish(w.write(fmt.Sprint("b", i), body(10, 1)))
				}
			}
		})
		w.run(3*time.Hour, c)
		close(stop)
		others.Wait()
		if r := w.record(v.object.Name); r.Status != messages.StatusFailed || len(w.uploads) != 0 {
			t.Errorf("record %+v, %d uploads", r, len(w.uploads))
		}
		if _, ok := w.noted("a"); ok {
			t.Error("the note was left")
		}
	})
}

// TestAFormerOwnerOfAnUpload freezes where it hurts most: it must neither end nor
// change what the new owner goes on with, and an older version that it completes late
// must find its upload gone.
func TestAFormerOwnerOfAnUpload(t *testing.T) {
	for name, c := range map[string]struct {
		op        string
		nth       int
		newer     bool
		gullible  bool
		lateBytes bool // the old owner wakes while the new one is at work
		commits   []string
	}{
		"in a part":                                  {"part", 4, false, false, false, []string{"older"}},
		"in a part, and the broker believes it":      {"part", 4, false, true, false, []string{"older"}},
		"in a part, and both send":                   {"part", 4, false, true, true, []string{"older"}},
		"before Complete":                            {"complete", 1, false, false, false, []string{"older"}},
		"before Complete, and the other still sends": {"complete", 1, false, true, true, []string{"older"}},
		"in a part, of an older version":             {"part", 4, true, false, false, []string{"newer"}},
		"before Complete, of an older version":       {"complete", 1, true, true, false, []string{"newer"}},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.gullible, w.picky = c.gullible, true
			v := w.write("a", body(6*part+17, 1))
			w.publish(v)
			one, two := w.host("one"), w.host("two")
			n := 0
			w.turn = func(h *host, op string) verdict {
				v := verdict{clean: h == one && op == "renew"} // frozen as a whole
				if op == "part" {
					v.freeze = 11 * time.Second
				}
				if h == one && op == c.op {
					if n++; n == c.nth {
						v.freeze = 20 * time.Minute
						if c.lateBytes {
							v.freeze = 4*time.Minute + 30*time.Second
						}
					}
				}
				if h == two && op == "part" && c.lateBytes {
					v.freeze = 100 * time.Second
				}
				return v
			}
			if c.newer {
				time.AfterFunc(2*time.Minute, func() { w.write("a", body(6*part+18, 2)) })
			}
			ctx, cancel := context.WithTimeout(t.Context(), 40*time.Minute)
			defer cancel()
			var running sync.WaitGroup
			running.Go(func() { one.large().Run(ctx) })
			time.Sleep(time.Second)
			running.Go(func() { two.large().Run(ctx) })
			running.Wait()
			w.turn = fails(verdict{})
			w.settle(w.host("three").large())
			w.converged(false)
			var etags []string
			for _, c := range w.commits {
				if strings.HasSuffix(c, " "+v.object.ETag) {
					etags = append(etags, "older")
				} else {
					etags = append(etags, "newer")
				}
			}
			if !slices.Equal(etags, c.commits) {
				t.Errorf("commits %v, want %v", etags, c.commits)
			}
			if aborts := w.count("abort"); !c.newer && c.op == "part" && aborts != 0 {
				t.Errorf("%d aborts of an upload that somebody has", aborts)
			}
		})
	}
}

// TestTheNoteHasItsLimit: a file with more parts than fit goes on from the last noted.
func TestTheNoteHasItsLimit(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.longETags = 20_000
		w.publish(w.write("a", body(6*part, 1)))
		w.turn = eleven(6, verdict{clean: true, crash: true})
		w.run(time.Hour, w.host("one").large())
		w.turn = fails(verdict{})
		w.wake()
		w.run(time.Hour, w.host("two").large())
		w.converged(false)
		if want := []int64{0, 3 * part}; !slices.Equal(w.offsets, want) || len(w.commits) != 1 {
			t.Errorf("opened at %v, want %v", w.offsets, want)
		}
	})
	u := messages.Upload{Key: strings.Repeat("k", 200), ID: strings.Repeat("i", 200), Sums: &messages.PrefixSums{MD5: make([]byte, 92)}, Worker: strings.Repeat("w", 60)}
	u.Parts = slices.Repeat([]messages.UploadPart{{ETag: `"` + strings.Repeat("0", 32) + `"`, CRC32C: base64.StdEncoding.EncodeToString(make([]byte, 4))}}, 850)
	if b, err := u.Encode(); err != nil {
		t.Errorf("850 parts do not fit: %v", err)
	} else {
		t.Logf("850 parts take %d of %d bytes", len(b), messages.MaxSize)
	}
}

// TestANoteThatCannotBeWritten ends no copy, and one of which the answer was lost is
// not taken for another worker's.
func TestANoteThatCannotBeWritten(t *testing.T) {
	for _, c := range []struct {
		name string
		nth  int // write, of which the first is of the begin, and the sixth of the last note
		v    verdict
	}{
		{"not written", 3, verdict{clean: true}},
		{"its answer lost", 3, verdict{dirty: true}},
		{"the last one not written", 6, verdict{clean: true}},
		{"the answer of the last one lost", 6, verdict{dirty: true}},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(5*part+17, 1)))
			slow, n := eleven(0, verdict{}), 0
			w.turn = func(h *host, op string) verdict {
				if op == "write" {
					if n++; n == c.nth {
						return c.v
					}
				}
				return slow(h, op)
			}
			w.run(time.Hour, w.host("one").large())
			w.converged(false)
			if len(w.commits) != 1 || w.count("create") != 1 || len(w.settled) != 1 || len(w.offsets) != 1 {
				t.Errorf("commits %v, %d uploads, settled %+v", w.commits, w.count("create"), w.settled)
			}
			if _, ok := w.noted("a"); ok {
				t.Error("the note was left")
			}
		})
	}
}

// TestNotesAreRare: one for each 64 MiB or ten seconds, whichever comes first.
func TestNotesAreRare(t *testing.T) {
	for wait, want := range map[time.Duration]int{0: 1 + 1 + 1 + 1, 6 * time.Second: 1 + 7 + 1 + 1} { // begin, notes, record, erased
		bubble(t, wait.String(), func(t *testing.T, w *world) {
			w.publish(w.write("a", body(15*5<<20, 1)))
			c := w.host("one").copier()
			c.Chunk, c.Budget = 5<<20, copier.NewBudget(1, 5<<20)
			w.turn = func(_ *host, op string) verdict {
				if op == "part" {
					return verdict{freeze: wait}
				}
				return verdict{}
			}
			w.run(time.Hour, c)
			w.converged(false)
			if got := w.count("write"); got != want {
				t.Errorf("%d writes to the ledger, want %d", got, want)
			}
		})
	}
}

// TestCrashesNeverCostMuch draws sizes and the moments of crashes and failures: what
// stands in the end is the source's, and the source served little more than once.
func TestCrashesNeverCostMuch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, crashes) })
}

func crashes(t *rapid.T) {
	w := newWorld(t)
	w.putOnly = rapid.Bool().Draw(t, "put only")
	size := rapid.IntRange(2, 7).Draw(t, "parts")*part + rapid.SampledFrom([]int{-1, 0, 1, 1000}).Draw(t, "more")
	v := w.write("a", body(size, 1))
	if rapid.Bool().Draw(t, "no CRC32C") {
		v.crc32c = ""
	}
	w.publish(v)
	n := rapid.IntRange(0, 3).Draw(t, "crashes")
	buffers := rapid.IntRange(1, 3).Draw(t, "buffers")
	for i := range n {
		at, call := rapid.IntRange(1, 40).Draw(t, "at"), 0
		kind := rapid.SampledFrom([]verdict{{clean: true, crash: true}, {dirty: true, crash: true}, {clean: true}, {dirty: true}}).Draw(t, "kind")
		w.turn = func(_ *host, op string) (k verdict) {
			if op == "next" || op == "renew" {
				return verdict{}
			}
			if call++; call == at {
				k = kind
			}
			if op == "part" {
				k.freeze = 11 * time.Second
			}
			return k
		}
		c := w.host(fmt.Sprint("host-", i)).large()
		c.Budget = copier.NewBudget(buffers, part)
		w.run(20*time.Minute, c)
		w.wake()
	}
	w.turn = fails(verdict{})
	w.settle(w.host("last").large())
	w.converged(true)
	// A crash costs what was in the buffers, as many parts before whose note was on its
	// way, one that was being read and the last; a commit that nobody may ask about, all.
	most := size + n*(2*buffers+2)*part
	if w.putOnly {
		most += (len(w.commits) - 1) * size
	}
	if w.served > most {
		t.Errorf("the source served %d bytes of a file of %d, want at most %d", w.served, size, most)
	}
	if len(w.commits) > 1 && !w.putOnly {
		t.Errorf("%d commits", len(w.commits))
	}
}

// TestAWorkerThatLostItsMessageBeginsNoUpload: nobody would complete it.
func TestAWorkerThatLostItsMessageBeginsNoUpload(t *testing.T) {
	lateUpload(t, "open", 1, func(bool, string) verdict { return verdict{} })
}

// TestAnUploadLeftWhileTheLedgerWasAwayIsEnded: whether the file is done was not to be
// learnt when the copy ended, and is asked once more where the note is taken.
func TestAnUploadLeftWhileTheLedgerWasAwayIsEnded(t *testing.T) {
	sent := false // and not noted since
	lateUpload(t, "create", 2, func(late bool, op string) verdict {
		if late && (op == "part" || op == "write") {
			sent = op == "part"
		}
		return verdict{clean: late && op == "read" && sent}
	})
}

// lateUpload freezes one worker at an operation until another has its message; also
// decides about the other calls, of the late one and of the other. Nothing is left open.
func lateUpload(t *testing.T, at string, uploads int, also func(late bool, op string) verdict) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(4*part+17, 1)))
		one, two := w.host("one"), w.host("two")
		frozen := false
		w.turn = func(h *host, op string) verdict {
			switch {
			case h == one && op == "renew":
				return verdict{clean: true}
			case h == one && op == at && !frozen:
				frozen = true
				return verdict{freeze: 310 * time.Second}
			}
			return also(h == one, op)
		}
		overlap(t, one.large(), two.large(), func() {})
		w.endedEach(uploads)
	})
}

// TestARepeatWhoseCommitFailsLeavesNoUpload: what stands of the first copy is what the
// repeat was to bring, so that a look at the destination cannot tell that Complete failed.
func TestARepeatWhoseCommitFailsLeavesNoUpload(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(3*part, 1))
		r := copyOf(w, v)
		r.Status, r.Generation = messages.StatusDue, 1
		w.setRecord(r)
		w.publish(v)
		failed := false
		w.turn = func(_ *host, op string) (v verdict) {
			if op == "complete" && !failed {
				failed, v.clean = true, true
			}
			return v
		}
		w.run(time.Hour, w.host("one").large())
		w.converged(false)
		if _, ok := w.noted("a"); ok || !failed || len(w.uploads) != 0 {
			t.Errorf("noted %t, failed %t, %d uploads are open", ok, failed, len(w.uploads))
		}
	})
}
