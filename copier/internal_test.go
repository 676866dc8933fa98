package copier

import (
	"context"
	"errors"
	"log/slog"
	"testing"
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

// TestBudget: never more buffers than tokens, each of the asked length, and none
// is handed to two.
func TestBudget(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := rapid.IntRange(1, 5).Draw(t, "tokens")
		const chunk = 64
		b := NewBudget(tokens, chunk)
		over, cancel := context.WithCancelCause(context.Background())
		full := errors.New("full")
		cancel(full)
		var held [][]byte
		for step := range rapid.IntRange(1, 60).Draw(t, "steps") {
			if len(held) > 0 && rapid.Bool().Draw(t, "give") {
				i := rapid.IntRange(0, len(held)-1).Draw(t, "which")
				b.give(held[i], rapid.Bool().Draw(t, "failed"))
				held = append(held[:i], held[i+1:]...)
				continue
			}
			if b.InUse() != len(held) || b.Limit() != tokens {
				t.Fatalf("%d of %d in use, want %d of %d", b.InUse(), b.Limit(), len(held), tokens)
			}
			if len(held) == tokens {
				if buf, err := b.take(over, 1); !errors.Is(err, full) || buf != nil {
					t.Fatalf("the budget gave %d of %d buffers: %v", len(held)+1, tokens, err)
				}
				continue
			}
			n := rapid.Int64Range(0, 2*chunk).Draw(t, "n")
			buf, err := b.take(context.Background(), n)
			if err != nil || int64(len(buf)) != n {
				t.Fatalf("take(%d) = %d bytes, %v", n, len(buf), err)
			}
			for i := range buf {
				buf[i] = byte(step)
			}
			held = append(held, buf)
			for _, h := range held {
				for _, c := range h {
					if c != h[0] {
						t.Fatal("two hold the same buffer")
					}
				}
			}
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
