package copier

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
)

// TestPartSize: whole chunks, never below S3's smallest part, and never more
// parts than S3 takes.
func TestPartSize(t *testing.T) {
	const mib, gib = 1 << 20, 1 << 30
	for _, c := range []struct{ chunk, size, want int64 }{
		{8 * mib, 9 * mib, 8 * mib},
		{8 * mib, 80_000 * mib, 8 * mib},
		{8 * mib, 80_000*mib + 1, 9 * mib},
		{1, 10, 5 * mib},
		{5 * mib, 50_000*mib + 1, 6 * mib},
		{8 * mib, 5 * 1024 * gib, 525 * mib},
		{64*mib + 1, 70 * mib, 64*mib + 1},
	} {
		if got := (&Copier{Chunk: c.chunk}).partSize(c.size); got != c.want {
			t.Errorf("chunk %d, size %d: parts of %d, want %d", c.chunk, c.size, got, c.want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		c := &Copier{Chunk: rapid.Int64Range(1, gib).Draw(t, "chunk")}
		size := rapid.Int64Range(1, 5*1024*gib).Draw(t, "size")
		part := c.partSize(size)
		if n := (size + part - 1) / part; n > 10_000 || part < 5*mib || part < c.Chunk {
			t.Fatalf("%d parts of %d", n, part)
		}
	})
}

// TestRangesNeedAVersion: without one, two of them could be of two.
func TestRangesNeedAVersion(t *testing.T) {
	for etag, want := range map[string]bool{"e": true, "": false} {
		v := &convoy{Copier: new(Copier), j: &job{object: messages.Object{ETag: etag}}, up: &openUpload{parts: make([]Part, manyParts)}}
		if got := v.mayAskForRanges(); got != want {
			t.Errorf("with the etag %q ranges are asked for: %t", etag, got)
		}
	}
}

// TestRetryDelayGrows to its cap and never beyond, whatever the settings.
func TestRetryDelayGrows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Retry{
			Initial:    time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "initial")),
			Max:        time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "max")),
			Multiplier: rapid.Float64Range(0, 1e9).Draw(t, "multiplier"),
		}
		n := rapid.IntRange(0, 10_000).Draw(t, "attempts")
		d := r.delay(n)
		if d < 0 || d > r.Max || d < min(r.Initial, r.Max)*3/4-1 {
			t.Fatalf("delay %s", d)
		}
	})
}

// TestBudget: never more bytes than are allowed, each buffer of the asked length, and none
// is handed to two.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		buffers := rapid.IntRange(1, 5).Draw(t, "buffers")
		chunk := rapid.SampledFrom([]int{64, 4 * leastClass}).Draw(t, "chunk")
		limit := buffers * chunk
		b := NewBudget(buffers, int64(chunk))
		var held [][]byte
		used := 0
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				used -= min(cap(held[i]), limit)
				b.give(held[i], rapid.Bool().Draw(t, "failed"))
				held = append(held[:i], held[i+1:]...)
				continue
			}
			if b.InUse() != (used+chunk-1)/chunk || b.Limit() != buffers {
				t.Fatalf("%d of %d in use, want %d bytes of %d buffers", b.InUse(), b.Limit(), used, buffers)
			}
			n := rapid.OneOf(rapid.IntRange(0, 8), rapid.IntRange(0, 2*chunk)).Draw(t, "n")
			if used+min(int(b.room(int64(n))), limit) > limit {
				if buf, err := b.take(soon(), int64(n)); !errors.Is(err, errFull) || buf != nil {
					t.Fatalf("the budget gave %d bytes more than %d of %d: %v", n, used, limit, err)
				}
				continue
			}
			buf, err := b.take(context.Background(), int64(n))
			if err != nil || len(buf) != n {
				t.Fatalf("take(%d) = %d bytes, %v", n, len(buf), err)
			}
			used += min(cap(buf), limit)
			for i := range buf {
				buf[i] = byte(step)
			}
			held = append(held, buf)
			for _, h := range held {
				if len(h) > 0 && (h[len(h)/2] != h[0] || h[len(h)-1] != h[0]) {
					t.Fatal("two hold the same buffer")
				}
			}
		}
	})
}

var errFull = errors.New("full")

// TestABufferIsKeptForAnotherFileOfItsSize, and is not twice as large as the file, but where
// it is that of a small chunk.
func TestABufferIsKeptForAnotherFileOfItsSize(t *testing.T) {
	b := NewBudget(4, 8<<20)
	for n, want := range map[int64]int64{
		0: 0, 4 << 10: 4 << 10, 8 << 10: leastClass, leastClass: leastClass, leastClass + 1: 2 * leastClass,
		200 << 10: 256 << 10, 256 << 10: 256 << 10, 5 << 20: 8 << 20, 8 << 20: 8 << 20, 9 << 20: 9 << 20,
	} {
		if got := b.room(n); got != want {
			t.Errorf("room for %d bytes: %d, want %d", n, got, want)
		}
	}
	allocs := testing.AllocsPerRun(100, func() {
		buf, err := b.take(t.Context(), 200<<10)
		if err != nil {
			t.Fatal(err)
		}
		b.give(buf, false)
	})
	if allocs > 1 { // but for the pointer to it
		t.Errorf("%.0f allocations for a buffer that is used again", allocs)
	}
}

// soon is a context that ends once somebody waits for its end.
func soon() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	return ending{ctx, cancel}
}

type ending struct {
	context.Context
	end context.CancelCauseFunc
}

func (e ending) Done() <-chan struct{} {
	e.end(errFull)
	return e.Context.Done()
}

// TestTheBudgetServesTheLongestWaiting: many small files do not keep a part waiting, who
// gives up makes room for who waited behind him, and what is larger than everything has it
// to itself.
func TestTheBudgetServesTheLongestWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(2, 64)
		small, _ := b.take(t.Context(), 20)
		var order []int64
		var mu sync.Mutex
		waits := func(ctx context.Context, n int64) {
			go func() {
				buf, err := b.take(ctx, n)
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				order = append(order, n)
				b.give(buf, false)
			}()
			synctest.Wait()
		}
		first, giveUp := context.WithCancel(t.Context())
		waits(first, 300)
		waits(t.Context(), 120)
		waits(t.Context(), 10)
		if len(order) > 0 {
			t.Errorf("%v overtook a part that waits longer", order)
		}
		giveUp()
		synctest.Wait()
		if len(order) > 0 {
			t.Errorf("%v overtook a part that waits longer", order)
		}
		waits(t.Context(), 300)
		b.give(small, false)
		synctest.Wait()
		if !slices.Equal(order, []int64{120, 10, 300}) || b.InUse() != 0 {
			t.Errorf("they were served as %v, and %d buffers are in use", order, b.InUse())
		}
		again, cancel := context.WithCancel(t.Context())
		all, _ := b.take(t.Context(), 128)
		waits(again, 300)
		waits(t.Context(), 10)
		cancel()
		synctest.Wait()
		b.give(all, false)
		synctest.Wait()
		if order[3] != 10 || b.InUse() != 0 {
			t.Errorf("they were served as %v, and %d buffers are in use", order, b.InUse())
		}
	})
}

// TestABufferOfAFailedRequestIsNotReused: the transport may still read it.
func TestABufferOfAFailedRequestIsNotReused(t *testing.T) {
	b := NewBudget(1, 64)
	for range 100 {
		buf, err := b.take(t.Context(), 64)
		if err != nil {
			t.Fatal(err)
		}
		if buf[0] != 0 {
			t.Fatal("the buffer was used before")
		}
		buf[0] = 1
		b.give(buf, true)
	}
}

func TestCutKeepsValidUTF8(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "abcd": "abc", "abé": "ab", "a\xffb": "ab"} {
		if got := cut(in, 3); got != want {
			t.Errorf("cut(%q) = %q, want %q", in, got, want)
		}
	}
}

// TestTheKeyIsLookedAtBeforeAnythingIsWritten: whatever a report was made of, a
// key outside of the destination path ends in an error and reaches no port.
func TestTheKeyIsLookedAtBeforeAnythingIsWritten(t *testing.T) {
	var told []messages.Invariant
	c := &Copier{Rules: messages.Rules{KeyPrefix: "org/account/"}, Violated: func(i messages.Invariant) { told = append(told, i) }}
	for _, key := range []string{"other/a.csv.gz", "org/account", "org/account/", "", "/org/account/a.csv.gz"} {
		told = nil
		j := &job{report: messages.Report{Key: key}}
		if copied, err := c.send(j, nil); copied != nil || !errors.Is(err, messages.Refused) {
			t.Errorf("key %q: %+v, %v", key, copied, err)
		}
		if len(told) != 1 || told[0] != messages.KeyOutsidePrefix {
			t.Errorf("key %q: told %v", key, told)
		}
	}
	if err := c.guardKey(&job{report: messages.Report{Key: "org/account/a.csv.gz"}}); err != nil {
		t.Errorf("a good key: %v", err)
	}
}

// TestWhatNobodyFollowsCostsNothing: a delivery without a trace, whose events nobody observes,
// allocates nothing for either.
func TestWhatNobodyFollowsCostsNothing(t *testing.T) {
	c, ctx := new(Copier), t.Context()
	j := &job{delivery: new(Delivery), log: slog.New(slog.DiscardHandler)}
	if n := testing.AllocsPerRun(100, func() {
		if j.follow(ctx) != ctx || j.traceID() != "" {
			t.Error("something follows")
		}
		c.tell(Event{Kind: Started, job: j})
		c.tell(Event{Kind: Progress, job: j, Bytes: 1})
		j.followed()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestACrewStartsTheHandsThatAreMissing, and no others: where one hand of a slot has ended
// and the other has not, that slot goes on with both.
func TestACrewStartsTheHandsThatAreMissing(t *testing.T) {
	var c crew
	all := c.resize(2)
	if len(all) != 4 || all[0].slot != all[1].slot || all[1].slot == all[2].slot {
		t.Fatalf("a crew of two slots has the hands %+v", all)
	}
	if more := c.resize(2); len(more) > 0 {
		t.Errorf("%+v are started twice", more)
	}
	c.resize(1)
	if _, stays := c.ask(all[3]); stays {
		t.Error("a hand of a slot that is one too many stays")
	}
	more := c.resize(2)
	if len(more) != 1 || more[0].slot != all[3].slot || more[0].id() != 3 {
		t.Errorf("%+v are started, want the one that has ended", more)
	}
	for _, h := range []*hand{all[0], all[1], all[2], more[0]} {
		if backfill, stays := c.ask(h); !stays || backfill != (h.number > 0) {
			t.Errorf("hand %d stays %t and serves the backfill %t", h.id(), stays, backfill)
		}
	}
}

// A file is read with few requests where it has few lanes, and what all its lanes have under
// way is no more than a crash may cost.
func TestStretchesAreLongWhereLanesAreFew(t *testing.T) {
	for files, most := range map[int]int{1: 110, 2: 65, 3: 55, 12: 40, 24: 36, 30: 36} {
		c := new(Copier)
		c.convoys.Store(int64(files))
		r := newRelay(&convoy{Copier: c, ctx: t.Context(), up: &openUpload{parts: make([]Part, 256)}})
		requests, at, longest, last := 0, 0, 0, 0
		for s, ok := r.take(); ok; s, ok = r.take() {
			if s.from != at || s.to <= s.from {
				t.Fatalf("%d files: %+v comes behind part %d", files, s, at)
			}
			requests, at, last = requests+1, s.to, s.to-s.from
			longest = max(longest, last)
		}
		if at != 256 || requests > most || last != 1 || longest > maxStretch || longest*r.share() > maxUnderWay {
			t.Errorf("%d files: %d parts in %d requests, the longest of %d, the last of %d", files, at, requests, longest, last)
		}
	}
}
