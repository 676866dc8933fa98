package copier_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// way is how far both sides are: each file takes that long to come, and to go.
const way = 100 * time.Millisecond

// A traffic counts what is read and written at the same time. A file is read from Open
// until its last byte, and written while a request with its bytes is under way.
type traffic struct {
	*host
	mu                sync.Mutex
	reading, writing  map[string]int
	mostRead, mostPut int
	opened            []string // base names, in order
}

func far(h *host, c *copier.Copier) *traffic {
	t := &traffic{host: h, reading: map[string]int{}, writing: map[string]int{}}
	c.Source, c.Objects, c.Uploads, c.Parts = t, t, t, t
	return t
}

func (t *traffic) begin(at map[string]int, most *int, name string) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at[name]++
	*most = max(*most, len(at))
	return sync.OnceFunc(func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if at[name]--; at[name] == 0 {
			delete(at, name)
		}
	})
}

func (t *traffic) Open(ctx context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	end := t.begin(t.reading, &t.mostRead, name)
	t.mu.Lock()
	t.opened = append(t.opened, base(name))
	t.mu.Unlock()
	time.Sleep(way)
	o, body, err := t.host.Open(ctx, name, etag, r)
	if err != nil {
		end()
		return o, nil, err
	}
	return o, &counted{body, end}, nil
}

func base(name string) string {
	return strings.TrimSuffix(name[strings.LastIndexByte(name, '/')+1:], ".csv.gz")
}

type counted struct {
	io.ReadCloser
	end func()
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		c.end()
	}
	return n, err
}

func (c *counted) Close() error {
	c.end()
	return c.ReadCloser.Close()
}

func (t *traffic) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	defer t.begin(t.writing, &t.mostPut, key)()
	time.Sleep(way)
	return t.host.Put(ctx, key, body, m)
}

func (t *traffic) Part(ctx context.Context, key, id string, n int32, body []byte, crc32c string) (copier.Part, error) {
	defer t.begin(t.writing, &t.mostPut, key)()
	time.Sleep(way)
	return t.host.Part(ctx, key, id, n, body, crc32c)
}

func (t *traffic) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	defer t.begin(t.writing, &t.mostPut, key)()
	time.Sleep(way)
	return t.host.Complete(ctx, key, id, parts, size, crc32c)
}

// TestASlotReadsTheNextFileWhileItWritesTheLast: so small files take half of the time of
// both ways, and never are more read than there are slots, nor more written.
func TestASlotReadsTheNextFileWhileItWritesTheLast(t *testing.T) {
	const files = 24
	for _, slots := range []int{1, 2, 3, 12} {
		bubble(t, fmt.Sprint(slots), func(t *testing.T, w *world) {
			for i := range files {
				w.publish(w.write(fmt.Sprintf("%02d", i), body(6, byte(i))))
			}
			h := w.host("one")
			c := h.copier()
			c.Slots, c.Budget = slots, copier.NewBudget(2*slots, 16)
			way2 := far(h, c)
			took, empty := w.run(time.Hour, c)
			if want := way * (files/time.Duration(slots) + 1); !empty || took != want {
				t.Errorf("%d files over %d slots took %v, want %v", files, slots, took, want)
			}
			if way2.mostRead != slots || way2.mostPut != slots {
				t.Errorf("up to %d were read and %d written at once, want %d", way2.mostRead, way2.mostPut, slots)
			}
			w.converged(false)
			if w.committed() != files || len(w.settled) != files {
				t.Errorf("%d commits and %d settled, want %d", w.committed(), len(w.settled), files)
			}
		})
	}
}

// TestSmallAndLargeFilesShareASlot: a large file keeps the slot from reading another one
// until its last byte is here, and whatever the mixture and however little memory there is,
// all comes to its end.
func TestSmallAndLargeFilesShareASlot(t *testing.T) {
	for _, slots := range []int{1, 3} {
		for _, buffers := range []int{1, 2, 12} {
			bubble(t, fmt.Sprint(slots, buffers), func(t *testing.T, w *world) {
				sizes := []int{0, 10, part, part + 1, part/2 - 1, 5 * part, part / 2, 3*part + 17, 1}
				for i := range 45 {
					w.publish(w.write(fmt.Sprintf("%02d", i), body(sizes[i*i%len(sizes)], byte(i))))
				}
				h := w.host("one")
				c := h.large()
				c.Slots, c.Budget = slots, copier.NewBudget(buffers, part)
				traffic := far(h, c)
				if took, empty := w.run(time.Hour, c); !empty || took > 30*time.Second {
					t.Errorf("it took %v", took)
				}
				if traffic.mostRead > slots || traffic.mostPut > slots {
					t.Errorf("up to %d were read and %d written at once, want %d", traffic.mostRead, traffic.mostPut, slots)
				}
				w.converged(false)
				if w.committed() != 45 {
					t.Errorf("%d commits, want 45", w.committed())
				}
			})
		}
	}
}

// TestALargeFileIsOpenedWhenItCanBeSent, so that its body does not wait for another
// commit, and the next file is read once its last byte is here; also where it was small when
// it was listed.
func TestALargeFileIsOpenedWhenItCanBeSent(t *testing.T) {
	const want = 6 * way // 2 for the first, 3 for the large one, of which the next needs one, and its own
	for name, grown := range map[string]bool{"large": false, "small when it was listed": true} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.publish(w.write("0", body(6, 1)))
			size := 3 * part // of one stream
			if grown {
				size = 6
			}
			w.publish(w.write("1", body(size, 2)))
			if grown {
				w.write("1", body(3*part, 3))
			}
			w.publish(w.write("2", body(6, 4)))
			h := w.host("one")
			cp := h.large()
			cp.Budget = copier.NewBudget(12, part)
			traffic := far(h, cp)
			if took, _ := w.run(time.Hour, cp); took != want {
				t.Errorf("it took %v, want %v", took, want)
			}
			if traffic.mostRead != 1 || traffic.mostPut != 1 {
				t.Errorf("%d were read and %d written at once", traffic.mostRead, traffic.mostPut)
			}
			w.converged(false)
		})
	}
}

// TestALiveFileIsTheNextToBeRead, although files of the backfill wait for longer.
func TestALiveFileIsTheNextToBeRead(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 6 {
			w.publishTo(messages.Backfill, w.write(fmt.Sprint("old", i), body(6, 1)))
		}
		h := w.host("one")
		c := h.copier()
		traffic := far(h, c)
		defer during(way*3/2, func() { w.publish(w.write("new", body(6, 2))) })()
		w.run(time.Hour, c)
		if i := slices.Index(traffic.opened, "new"); i != 2 {
			t.Errorf("they were read as %v, want the new one third", traffic.opened)
		}
	})
}

// TestAPanicFreesTheSlot, whatever call it was in.
func TestAPanicFreesTheSlot(t *testing.T) {
	for _, op := range []string{"open", "body", "put", "write", "settle", "read", "next"} {
		bubble(t, op, func(t *testing.T, w *world) {
			for i := range 8 {
				w.publish(w.write(fmt.Sprint(i), body(6, byte(i))))
			}
			n := 0
			w.turn = func(_ *host, o string) (v verdict) {
				if o == op {
					n++
					v.clean, v.panics = n%3 == 1, n%3 == 1
				}
				return v
			}
			h := w.host("one")
			c := h.copier()
			far(h, c)
			if took, empty := w.run(time.Hour, c); !empty {
				t.Errorf("after %v files are left", took)
			}
			w.turn = fails(verdict{})
			w.settle(c)
			w.converged(false)
		})
	}
}

// TestAShutdownFindsBothHandsAtWork: within the grace both files are copied, and no third
// is taken; where the first hangs, both are handed back at once behind it.
func TestAShutdownFindsBothHandsAtWork(t *testing.T) {
	for _, c := range []struct {
		name          string
		at            time.Duration
		put           verdict
		copied, taken int
		within        time.Duration
	}{
		{"the first is read", way / 2, verdict{}, 1, 1, way * 3 / 2},
		{"one is written, one is read", way * 3 / 2, verdict{}, 2, 2, way * 3 / 2},
		{"one is written, one waits for that", 3 * way, verdict{freeze: time.Second}, 2, 2, 2 * (time.Second + way)},
		{"one hangs, one waits for that", 3 * way, verdict{hangs: true}, 0, 2, 21 * time.Second},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			for i := range 5 {
				w.publish(w.write(fmt.Sprint(i), body(6, byte(i))))
			}
			w.turn = fails(c.put, "put")
			h := w.host("one")
			cp := h.copier()
			far(h, cp)
			ctx, cancel := context.WithTimeout(t.Context(), c.at)
			defer cancel()
			begun := time.Now()
			cp.Run(ctx)
			if took := time.Since(begun) - c.at; took > c.within {
				t.Errorf("it ended after %v, want %v", took, c.within)
			}
			taken := 5 - len(w.queue)
			for i := range 5 {
				taken += w.lent(fmt.Sprint(i))
			}
			if w.committed() != c.copied || taken != c.taken || len(w.settled) != c.taken {
				t.Errorf("%d were taken, %d copied, settled %+v; want %d and %d", taken, w.committed(), w.settled, c.taken, c.copied)
			}
			for _, l := range w.queue {
				if time.Until(l.ready) > 0 {
					t.Errorf("%s is not free to be taken by another worker", l.subject)
				}
			}
			w.turn = fails(verdict{})
			w.settle(w.host("two").copier())
			w.converged(false)
		})
	}
}

// TestASmallerCrewEndsWhatBothHandsHave, and a larger one goes on with the hands that are
// still at work: no file is given up, and never are there more than there should be.
func TestASmallerCrewEndsWhatBothHandsHave(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 40 {
			w.publish(w.write(fmt.Sprintf("%02d", i), body(6, byte(i))))
		}
		w.turn = fails(verdict{freeze: time.Second}, "put")
		h := w.host("one")
		c := h.copier()
		traffic := far(h, c)
		resize := make(chan int)
		c.Slots, c.Resize, c.Budget = 3, resize, copier.NewBudget(12, 16)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		for i, size := range []int{1, 3, 2, 1, 2, 3} {
			time.Sleep(300*time.Millisecond + time.Duration(i%2)*way)
			resize <- size
			synctest.Wait()
			if n := c.AtWork(); n > 6 {
				t.Errorf("%d files are held", n)
			}
		}
		resize <- 1
		time.Sleep(5 * time.Second)
		if n := c.AtWork(); n > 2 {
			t.Errorf("one slot holds %d files", n)
		}
		cancel()
		running.Wait()
		if traffic.mostRead > 3 || traffic.mostPut > 3 {
			t.Errorf("up to %d were read and %d written at once, want 3", traffic.mostRead, traffic.mostPut)
		}
		for _, v := range w.settled {
			if v.Act != copier.Ack {
				t.Errorf("settled %+v", v)
			}
		}
		w.settle(w.host("two").copier())
		w.converged(false)
		if w.committed() != 40 {
			t.Errorf("%d commits, want 40", w.committed())
		}
	})
}

// TestALongCommitKeepsTheFileThatWaitsForIt: its message is renewed meanwhile, so that
// nobody else gets it, and it is read once.
func TestALongCommitKeepsTheFileThatWaitsForIt(t *testing.T) {
	for name, put := range map[string]verdict{"it works": {freeze: 15 * time.Minute}, "it hangs until its context ends": {hangs: true}} {
		bubble(t, name, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(6, 1)))
			w.publish(w.write("b", body(6, 2)))
			first := true
			w.turn = func(_ *host, op string) (v verdict) {
				if op == "put" && first {
					first, v = false, put
				}
				return v
			}
			cp := w.host("one").copier()
			watch := watching(cp)
			if took, empty := w.run(2*time.Hour, cp); !empty || took > 45*time.Minute {
				t.Errorf("it took %v", took)
			}
			w.converged(false)
			if want := 2 + len(put2(put)); w.count("open") != want || len(w.commits) != 2 || len(watch.late) > 0 {
				t.Errorf("%d times read, commits %v, hands %v were silent; want %d", w.count("open"), w.commits, watch.late, want)
			}
		})
	}
}

// put2 is what is read once more because its Put came to nothing.
func put2(v verdict) []string {
	if v.hangs {
		return []string{"a"}
	}
	return nil
}

// A wall never answers the Put of one file, whatever its context.
type wall struct {
	copier.Objects
	key     string
	release chan struct{}
}

func (o *wall) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	if strings.Contains(key, o.key) {
		<-o.release
		return "", context.Cause(ctx)
	}
	return o.Objects.Put(ctx, key, body, m)
}

// TestAHandThatHangsIsSilentAndKeepsNoOtherFile: the file that waits for it is handed back
// before long, without an attempt, and its hand takes no other; the other slot goes on.
func TestAHandThatHangsIsSilentAndKeepsNoOtherFile(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for _, base := range []string{"a", "b", "c", "d", "e"} {
			w.publish(w.write(base, body(6, 1)))
		}
		h := w.host("one")
		c := h.copier()
		c.Slots = 2
		far(h, c)
		o := &wall{h, "_a.csv.gz", make(chan struct{})}
		c.Objects = o
		told, watch := events(c), watching(c)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { c.Run(ctx) })
		time.Sleep(time.Second)
		w.forget("a") // another worker has it
		time.Sleep(time.Hour)
		if n := watch.silent(time.Now()); n != 1 || w.committed() != 3 || c.AtWork() != 2 {
			t.Errorf("%d hands are silent, %d files were copied, %d are held; want the one that hangs, three, and what waits for it", n, w.committed(), c.AtWork())
		}
		time.Sleep(30 * time.Minute)
		if n := w.committed(); n != 4 || c.AtWork() != 1 {
			t.Errorf("%d files were copied beside the one that hangs, want all four; %d are held", n, c.AtWork())
		}
		for i := range 10 {
			w.publish(w.write(fmt.Sprint(i), body(6, 1)))
		}
		time.Sleep(time.Minute)
		if n := w.committed(); n != 14 || c.AtWork() != 1 {
			t.Errorf("%d files were copied, want the ten later ones, too; %d are held", n, c.AtWork())
		}
		if n := watch.silent(time.Now()); n != 1 || len(watch.late) > 0 {
			t.Errorf("%d hands are silent, %v were; want the one that hangs", n, watch.late)
		}
		for _, e := range told() {
			if e.Kind == copier.Retrying {
				t.Errorf("an attempt was counted of %s: %v", e.Object.Name, e.Err)
			}
		}
		close(o.release)
		cancel()
		running.Wait()
		w.settle(w.host("two").copier())
		w.converged(false)
	})
}

// forget takes the message of a file out of the queue.
func (w *world) forget(base string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.queue, messages.Subject("focus", messages.Live, route, name(base)))
}

// TestAFileThatIsReadAgainWaitsForNoMessage: the other hand may wait at an empty queue
// for long; or it has the next file, which then comes first.
func TestAFileThatIsReadAgainWaitsForNoMessage(t *testing.T) {
	for files, want := range map[int]time.Duration{1: 4 * way, 2: 4 * way, 3: 5 * way} {
		bubble(t, fmt.Sprint(files), func(t *testing.T, w *world) {
			v := w.write("0", body(6, 1))
			w.publish(v)
			for i := range files - 1 {
				w.publish(w.write(fmt.Sprint(i+1), body(6, 1)))
			}
			h := w.host("one")
			c := h.copier()
			traffic := far(h, c)
			defer during(way*3/2, func() { // while it is written
				w.setRecord(messages.Record{Status: messages.StatusRetrying, Object: v.object, Attempts: 1, FirstFailed: time.Now(), At: time.Now(), Worker: "two"})
			})()
			took, empty := w.run(time.Hour, c)
			if !empty || took != want || w.committed() != files+1 {
				t.Errorf("it took %v, with the commits %v; want %v and %d", took, w.commits, want, files+1)
			}
			if traffic.mostRead != 1 || traffic.mostPut != 1 {
				t.Errorf("%d were read and %d written at once", traffic.mostRead, traffic.mostPut)
			}
			w.converged(false)
		})
	}
}

// TestAnOpenGateLetsNoReadFileThrough: what was read while others could not be written is
// handed back unwritten, without an attempt; the one that is tried is written.
func TestAnOpenGateLetsNoReadFileThrough(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 9 {
			w.publish(w.write(fmt.Sprint(i), body(6, byte(i))))
		}
		w.turn = fails(verdict{clean: true}, "put")
		c, _ := gated(w)
		far(w.host("one"), c)
		told := events(c)
		w.run(4*time.Second, c) // before the first probe
		if n := w.count("put"); n != 3 || w.count("open") != 4 {
			t.Errorf("%d were written after %d were read, want the three that opened the gate, and four", n, w.count("open"))
		}
		held := map[string]int{}
		for _, e := range told() {
			if e.Kind == copier.Held {
				held[base(e.Object.Name)]++
			}
		}
		if want := (map[string]int{"2": 1, "3": 1}); !maps.Equal(held, want) {
			t.Errorf("held %v, want %v", held, want)
		}
		w.turn = fails(verdict{})
		if took, empty := w.run(time.Hour, c); !empty || took > time.Minute {
			t.Errorf("all was copied after %v", took)
		}
		w.converged(false)
		if w.committed() != 9 {
			t.Errorf("%d commits, want 9", w.committed())
		}
	})
}
