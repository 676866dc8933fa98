package copier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// many parts are read as ranges.
const many = 9

// ranged is a copier with so many buffers.
func (h *host) ranged(buffers int) *copier.Copier {
	c := h.large()
	c.Budget = copier.NewBudget(buffers, part)
	return c
}

// startOfRanges are the offsets of the ranges that were read, in order.
func (w *world) startOfRanges() (all []int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.ranges {
		all = append(all, r.Offset)
	}
	slices.Sort(all)
	return all
}

// steps are the offsets of the parts from one to another.
func steps(from, to int) (all []int64) {
	for i := from; i < to; i++ {
		all = append(all, int64(i)*part)
	}
	return all
}

// TestALargeFileIsReadInRanges: its first part with the answer that says what its sums are,
// each other one once, as a range of its own. A smaller file is one request.
func TestALargeFileIsReadInRanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		size   int
		ranges []int64
	}{
		{"empty", 0, nil},
		{"small", part, nil},
		{"three parts", 3 * part, nil},
		{"four parts", 3*part + 1, steps(1, 4)},
		{"whole parts", many * part, steps(1, many)},
		{"and a byte", many*part + 1, steps(1, many+1)},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(c.size, 1)))
			w.run(time.Hour, w.host("one").ranged(12))
			if got := w.startOfRanges(); !slices.Equal(got, c.ranges) || !slices.Equal(w.offsets, []int64{0}) || w.served != c.size || w.streams != 0 {
				t.Errorf("opened at %v and as ranges at %v, want ranges at %v; %d bytes served of %d, %d bodies left open", w.offsets, got, c.ranges, w.served, c.size, w.streams)
			}
			w.converged(false)
		})
	}
}

// TestRangesAreReadSideBySide, six at a time and no more, and as many times faster than
// one after the other.
func TestRangesAreReadSideBySide(t *testing.T) {
	for buffers, want := range map[int]time.Duration{1: 13, 2: 7, 3: 5, 4: 4, 6: 3, 12: 3} {
		bubble(t, fmt.Sprint(buffers), func(t *testing.T, w *world) {
			w.publish(w.write("a", body(13*part, 1)))
			most := 0
			w.turn = func(_ *host, op string) verdict {
				if op != "body" {
					return verdict{}
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				most = max(most, w.streams)
				return verdict{freeze: time.Second}
			}
			took, _ := w.run(time.Hour, w.host("one").ranged(buffers))
			w.converged(false)
			if took != want*time.Second || most > 6 {
				t.Errorf("%d streams took %v, want up to 6 and %v", most, took, want*time.Second)
			}
		})
	}
}

// TestLargeFilesShareTheReaders: of as many files as there are readers each is one stream, and
// costs one request; once fewer are left, what is missing of them is read in ranges.
func TestLargeFilesShareTheReaders(t *testing.T) {
	for _, c := range []struct {
		name           string
		files, longest int // how many, and how many parts the last one has
	}{
		{"as many as readers", 6, many},
		{"more than half of them", 4, many},
		{"one is longer than the others", 6, many + 8},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			for i := range c.files - 1 {
				w.publish(w.write(fmt.Sprint(i), body(many*part, byte(i))))
			}
			w.publish(w.write("last", body(c.longest*part, 9)))
			w.bodies = func(_ context.Context, v *version) io.Reader { // a second for each part
				all := bytes.NewReader(v.body)
				return readerFunc(func(p []byte) (int, error) {
					time.Sleep(time.Second)
					return all.Read(p)
				})
			}
			w.cut = func(_ copier.Range, b []byte) io.Reader { return bytes.NewReader(b) }
			cp := w.host("one").ranged(12)
			cp.Slots = c.files
			w.run(time.Hour, cp)
			w.converged(false)
			got := w.startOfRanges()
			// The others end a second after their last byte: a body shows its end with one more read.
			if !slices.Equal(got, steps(many, c.longest)) && !slices.Equal(got, steps(many+2, c.longest)) {
				t.Errorf("ranges at %v, want those from %d on", got, many*part)
			}
		})
	}
}

// TestPartsInAnyOrderAreOneFile: files that share buffers, calls that take different times,
// and a look that must see each byte in order; nobody waits for ever.
func TestPartsInAnyOrderAreOneFile(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { rapid.SyncTest(t, anyOrder) })
}

func anyOrder(t *rapid.T) {
	w := newWorld(t)
	buffers := rapid.IntRange(1, 6).Draw(t, "buffers")
	slots := rapid.IntRange(1, 4).Draw(t, "slots")
	seed := rapid.Uint64().Draw(t, "seed")
	delays := rand.New(rand.NewPCG(seed, 0))
	w.turn = func(_ *host, op string) verdict { // one at a time
		if op == "renew" || op == "next" {
			return verdict{}
		}
		return verdict{freeze: time.Duration(delays.IntN(5000)) * time.Millisecond}
	}
	var sums sync.Map
	c := w.host("one").ranged(buffers)
	c.Slots = slots
	c.Inspect = copier.NewInspection(inspector(func(r io.Reader) messages.Statistics {
		b, err := io.ReadAll(r)
		if err == nil {
			sums.Store(crc(b), true)
		}
		return count(bytes.NewReader(b))
	}))
	c.Inspect.Required = rapid.Bool().Draw(t, "valid gzip is required")
	var all []*version
	for i := range rapid.IntRange(1, 6).Draw(t, "files") {
		size := rapid.IntRange(0, 12).Draw(t, "parts")*part + rapid.SampledFrom([]int{0, 1, part - 1}).Draw(t, "more")
		v := w.write(fmt.Sprint(i), body(size, byte(i)))
		if rapid.Bool().Draw(t, "no CRC32C") {
			v.crc32c = ""
		}
		all = append(all, v)
		w.publish(v)
	}
	holding := func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.held
	}
	if took, empty := w.run(time.Hour, c); !empty {
		t.Errorf("the copies wait for each other: after %v %d of %d are made", took, len(w.commits), len(all))
	}
	w.converged(false)
	if n := c.Budget.InUse(); n != 0 || holding() > buffers*part {
		t.Errorf("%d buffers are left, and %d bytes were sent at once of %d buffers", n, holding(), buffers)
	}
	for _, v := range all {
		if _, ok := sums.Load(crc(v.body)); !ok {
			t.Errorf("%s was not seen in order", v.object.Name)
		}
		if n := len(v.body); w.record(v.object.Name).Copy.Statistics.Rows != int64(n) {
			t.Errorf("the statistics of %d bytes are %+v", n, w.record(v.object.Name).Copy.Statistics)
		}
	}
	if len(w.commits) != len(all) {
		t.Errorf("%d commits of %d files", len(w.commits), len(all))
	}
}

// TestASourceThatSendsNoRanges is read as one stream, by the body that is at hand, and is
// not asked again for an hour.
func TestASourceThatSendsNoRanges(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		asked := 0
		w.noRange = func(copier.Range) bool { asked++; return true }
		c := w.host("one").ranged(12)
		for i, want := range []struct {
			after time.Duration
			asked int
		}{{0, 1}, {time.Minute, 1}, {time.Hour, 2}} {
			time.Sleep(want.after)
			w.publish(w.write("a", body(many*part, byte(i))))
			w.run(time.Minute, c)
			w.converged(false)
			if asked != want.asked || len(w.offsets) != i+1 || w.served != (i+1)*many*part {
				t.Errorf("file %d: %d ranges were asked for, %d bodies, %d bytes", i, asked, len(w.offsets), w.served)
			}
		}
	})
}

// TestASourceThatSendsSomeRanges fails once, and is read as one stream then.
func TestASourceThatSendsSomeRanges(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.noRange = func(r copier.Range) bool { return r.Offset == 5*part }
		w.publish(w.write("a", body(many*part, 1)))
		w.run(time.Hour, w.host("one").ranged(2))
		w.converged(false)
		if len(w.settled) != 2 || len(w.offsets) != 2 || len(w.commits) != 1 {
			t.Errorf("settled %+v, opened at %v, commits %v", w.settled, w.offsets, w.commits)
		}
	})
}

// TestARangeIsTheBytesThatWereAskedFor, of the version that was: whatever else comes fails
// the attempt, and nothing of it becomes visible.
func TestARangeIsTheBytesThatWereAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		cut    func([]byte) io.Reader
		answer func(*messages.Object)
		class  messages.Class
	}{
		"empty":         {func([]byte) io.Reader { return bytes.NewReader(nil) }, nil, messages.Length},
		"a byte short":  {func(b []byte) io.Reader { return bytes.NewReader(b[1:]) }, nil, messages.Length},
		"a byte long":   {func(b []byte) io.Reader { return bytes.NewReader(append(b, 'x')) }, nil, messages.Length},
		"a bit flipped": {func(b []byte) io.Reader { b[7] ^= 1; return bytes.NewReader(b) }, nil, messages.HashMismatch},
		"broken off": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:10]), iotest.ErrReader(fault("body")))
		}, nil, messages.Unavailable},
		"broken off at its end": {func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, nil, messages.Unknown},
		"a panic":         {func([]byte) io.Reader { return reads(func([]byte) (int, error) { panic("poison") }) }, nil, messages.Unknown},
		"another version": {nil, func(o *messages.Object) { o.ETag = "another" }, messages.Changed},
		"another size":    {nil, func(o *messages.Object) { o.Size++ }, messages.Length},
	} {
		for _, nth := range []int{1, 5, many - 1} {
			for _, sums := range []bool{true, false} {
				if !sums && name == "a bit flipped" {
					continue // nobody could know
				}
				bubble(t, fmt.Sprintf("%s/%d/sums=%t", name, nth, sums), func(t *testing.T, w *world) {
					v := w.write("a", body(many*part, 1))
					if !sums {
						v.crc32c, v.object.MD5 = "", ""
					}
					w.publish(v)
					done := false
					w.cut = func(r copier.Range, b []byte) io.Reader {
						if r.Offset != int64(nth)*part || c.cut == nil || done {
							return nil
						}
						done = true
						return c.cut(b)
					}
					w.answer = func(o *messages.Object) {
						if n := len(w.ranges); o.MD5 == "" && o.CRC32C == "" && n == nth-1 && len(w.offsets) == 1 && c.answer != nil && !done {
							done = true
							c.answer(o)
						}
					}
					cp := w.host("one").ranged(3)
					told := events(cp)
					if _, empty := w.run(time.Hour, cp); !empty || !done {
						t.Fatalf("the queue is empty: %t, it happened: %t", empty, done)
					}
					w.converged(false)
					failed := 0
					for _, e := range told() {
						if e.Kind == copier.Retrying {
							failed++
							if class := messages.ClassOf(e.Err); class != c.class {
								t.Errorf("it failed as %s, want %s: %v", class, c.class, e.Err)
							}
						}
					}
					if failed != 1 || len(w.commits) != 1 || cp.Budget.InUse() != 0 {
						t.Errorf("%d attempts failed, commits %v, %d buffers are in use", failed, w.commits, cp.Budget.InUse())
					}
				})
			}
		}
	}
}

// TestAnAnswerWithoutAVersionIsNoRange: nobody knows of what it is.
func TestAnAnswerWithoutAVersionIsNoRange(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(many*part, 1))
		w.publish(v)
		w.answer = func(o *messages.Object) {
			if o.CRC32C == "" {
				o.ETag = ""
			}
		}
		w.run(time.Hour, w.host("one").ranged(12))
		w.converged(false)
		if len(w.settled) != 1 || w.served != many*part || w.count("open") != 2 {
			t.Errorf("settled %+v, %d bytes served by %d answers, want one attempt with one stream", w.settled, w.served, w.count("open"))
		}
	})
}

// TestAFileThatChangesBetweenItsRanges is never a mixture: what was sent of the older version
// is aborted, and the next attempt brings the newer one.
func TestAFileThatChangesBetweenItsRanges(t *testing.T) {
	for _, sums := range []bool{true, false} {
		bubble(t, fmt.Sprint("sums=", sums), func(t *testing.T, w *world) {
			v := w.write("a", body(many*part, 1))
			if !sums {
				v.crc32c, v.object.MD5 = "", ""
			}
			w.publish(v)
			parts := 0
			w.turn = func(_ *host, op string) verdict {
				if op == "part" {
					if parts++; parts == 4 {
						v = w.write("a", body(many*part, 2))
					}
				}
				return verdict{}
			}
			w.run(time.Hour, w.host("one").ranged(2))
			w.converged(false)
			if !slices.Equal(w.commits, []string{w.key(v.object) + " " + v.object.ETag}) || len(w.uploads) != 0 || w.count("abort") != 1 || len(w.settled) != 2 {
				t.Errorf("commits %v, %d uploads are open, %d aborts, settled %+v", w.commits, len(w.uploads), w.count("abort"), w.settled)
			}
		})
	}
}

// TestACopyInRangesThatFails leaves what stands to the next attempt, which reads only the
// rest, in ranges where that is long.
func TestACopyInRangesThatFails(t *testing.T) {
	for _, c := range []struct {
		op      string
		nth     int // call, of which the first body was at its begin
		offsets []int64
		ranges  int // of both attempts together
	}{
		{"open", 4, []int64{0, 3 * part}, 2 + 1 + many - 4},
		{"body", 4, []int64{0, 3 * part}, 3 + many - 4},
		{"part", 4, []int64{0, 3 * part}, 3 + many - 4},
		{"body", 8, []int64{0, 7 * part}, 7},
		{"complete", 1, []int64{0, 8 * part}, many - 1},
	} {
		for _, sum := range []string{"CRC32C", "MD5"} {
			bubble(t, fmt.Sprint(c.op, c.nth, sum), func(t *testing.T, w *world) {
				v := w.write("a", body(many*part, 1))
				if sum == "MD5" {
					v.crc32c = ""
				}
				w.publish(v)
				n := 0
				w.turn = func(_ *host, op string) verdict {
					if op == c.op {
						n++
					}
					return verdict{clean: op == c.op && n == c.nth}
				}
				w.run(time.Hour, w.host("one").ranged(1)) // one after the other
				w.converged(false)
				if !slices.Equal(w.offsets, c.offsets) || w.count("create") != 1 || len(w.commits) != 1 || w.served > (many+1)*part {
					t.Errorf("opened at %v, want %v; %d uploads, commits %v, %d bytes", w.offsets, c.offsets, w.count("create"), w.commits, w.served)
				}
				if got := len(w.ranges); got > c.ranges {
					t.Errorf("%d ranges, want at most %d", got, c.ranges)
				}
			})
		}
	}
}

// TestWhatStandsBehindAGapIsNotNoted: parts behind one that is not read yet are of no
// use to another attempt, and those before it are.
func TestWhatStandsBehindAGapIsNotNoted(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(many*part, 1)))
		w.cut = func(r copier.Range, _ []byte) io.Reader {
			if r.Offset != 3*part {
				return nil
			}
			return reads(func([]byte) (int, error) {
				time.Sleep(time.Minute)
				return 0, fault("body")
			})
		}
		one := w.host("one").ranged(12)
		ctx, cancel := context.WithCancel(t.Context())
		one.Observe = func(e copier.Event) {
			if e.Kind == copier.Retrying || e.Kind == copier.Held {
				cancel()
			}
		}
		one.Run(ctx)
		u, _ := w.noted("a")
		if len(u.Parts) != 3 || u.Sums == nil || u.Sums.CRC32C != crc(body(many*part, 1)[:3*part]) || w.count("part") != many-1 {
			t.Errorf("%d parts are noted with the sums %+v, want three and theirs; %d were sent", len(u.Parts), u.Sums, w.count("part"))
		}
		w.cut = nil
		w.run(time.Hour, w.host("two").ranged(12))
		w.converged(false)
	})
}

// hasFirstPart tells whether there is something to go on behind.
func (w *world) hasFirstPart() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, u := range w.uploads {
		if _, ok := u.parts[1]; ok {
			return true
		}
	}
	return false
}

// TestAShutdownEndsACopyInRanges within the grace, whatever hangs, and the next one goes on.
func TestAShutdownEndsACopyInRanges(t *testing.T) {
	for _, op := range []string{"open", "body", "part"} {
		bubble(t, op, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(many*part, 1)))
			n := 0
			w.turn = func(_ *host, o string) (v verdict) {
				if o == op {
					n++
					v.hangs = n > 3 && w.hasFirstPart()
				}
				return v
			}
			one := w.host("one").ranged(3)
			ctx, cancel := context.WithCancel(t.Context())
			defer time.AfterFunc(time.Minute, cancel).Stop()
			began := time.Now()
			one.Run(ctx)
			if took := time.Since(began); took != time.Minute+one.Grace || one.Budget.InUse() != 0 || w.streams != 0 {
				t.Errorf("it took %v, %d buffers are in use, %d bodies open", took, one.Budget.InUse(), w.streams)
			}
			w.turn = fails(verdict{})
			w.run(time.Hour, w.host("two").ranged(3))
			w.converged(false)
			if w.count("create") != 1 || len(w.commits) != 1 {
				t.Errorf("%d uploads, commits %v", w.count("create"), w.commits)
			}
		})
	}
}

// TestALookHasUntilAPartIsSent: where reading the reports is slower than the source, but not
// than the destination, the statistics are complete.
func TestALookHasUntilAPartIsSent(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		const chunk = 12 << 20
		c := w.host("one").copier()
		c.Chunk, c.Budget = chunk, copier.NewBudget(4, chunk)
		c.Inspect = copier.NewInspection(slowly(1<<20, 500*time.Microsecond)) // 8 KiB each: 16 MiB in a second
		v := w.write("a", body(6*chunk, 1))
		w.turn = func(_ *host, op string) verdict {
			if op == "part" {
				return verdict{freeze: 5 * time.Second}
			}
			return verdict{}
		}
		w.publish(v)
		w.run(time.Hour, c)
		w.converged(false)
		if s := w.record(v.object.Name).Copy.Statistics; !s.Complete() || s.Rows != 6*chunk {
			t.Errorf("statistics %+v", s)
		}
	})
}
