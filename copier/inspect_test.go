package copier_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// slowly reads with a rest before each piece of at most n bytes.
func slowly(n int, rest time.Duration) inspector {
	return func(r io.Reader) messages.Statistics {
		return count(readerFunc(func(p []byte) (int, error) {
			time.Sleep(rest)
			return r.Read(p[:min(n, len(p))])
		}))
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func invalid(r io.Reader) messages.Statistics {
	s := count(r)
	s.Gzip = "it is empty"
	return s
}

// TestEveryByteIsSeenOnce, in order, of a file that is sent whole and of one in parts.
func TestEveryByteIsSeenOnce(t *testing.T) {
	for _, size := range []int{0, 1, 16, 17, 40, 64 << 10, 5<<20 + 1, 11 << 20, 33 << 20} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			var mu sync.Mutex
			var seen []byte
			c := w.host("one").copier()
			c.Inspect = copier.NewInspection(inspector(func(r io.Reader) messages.Statistics {
				mu.Lock()
				defer mu.Unlock()
				seen, _ = io.ReadAll(r)
				return messages.Statistics{Gzip: messages.GzipValid, Rows: 7}
			}))
			c.Inspect.Required = size > 32<<20 // else it may fall behind
			told := events(c)
			v := w.write("a", body(size, 1))
			w.publish(v)
			w.run(time.Hour, c)
			if r := w.record(v.object.Name); r.Copy == nil || !r.Copy.Statistics.Complete() || r.Copy.Statistics.Rows != 7 {
				t.Errorf("record %+v", r)
			}
			if !bytes.Equal(seen, v.body) {
				t.Errorf("%d bytes were seen of %d, or others", len(seen), size)
			}
			if n := kinds(told(), copier.Inspected); n != 1 {
				t.Errorf("told %d times that it was inspected", n)
			}
		})
	}
}

func kinds(all []copier.Event, k copier.Kind) (n int) {
	for _, e := range all {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// TestNoCopyWaitsForItsStatistics longer than two seconds, and none before its commit.
func TestNoCopyWaitsForItsStatistics(t *testing.T) {
	const late, behind = "reading it took longer than the copy, which waits no longer", "reading it fell behind the copy, which does not wait"
	for _, c := range []struct {
		name    string
		size    int
		inspect inspector
		took    time.Duration
		skipped string
	}{
		{"whole, in time", 10, slowly(1, 100*time.Millisecond), 1100 * time.Millisecond, ""},
		{"whole, too slow", 10, slowly(1, 300*time.Millisecond), 2100 * time.Millisecond, late},
		{"in parts, in time", 6 << 20, slowly(1<<20, time.Millisecond), 770 * time.Millisecond, ""}, // 768 reads of 8 KiB
		{"in parts, too slow at the end", 6 << 20, slowly(1<<20, 100*time.Millisecond), 2 * time.Second, late},
		{"in parts, too slow from the begin", 40 << 20, slowly(1<<20, 500*time.Millisecond), 500 * time.Millisecond, behind},
		{"ends early", 20 << 20, func(io.Reader) messages.Statistics { return messages.Statistics{Skipped: "it is a bomb"} }, 0, "it is a bomb"},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			h := w.host("one")
			w.turn = func(_ *host, op string) verdict {
				if op == "put" || op == "complete" {
					if d := time.Since(w.start); d > 0 {
						t.Errorf("the commit waited for %v", d)
					}
				}
				return verdict{}
			}
			cop := h.copier()
			cop.Inspect = copier.NewInspection(c.inspect)
			v := w.write("a", body(c.size, 1))
			w.publish(v)
			took, _ := w.run(time.Hour, cop)
			r := w.record(v.object.Name)
			if r.Status != messages.StatusCopied || r.Copy.Statistics == nil || r.Copy.Statistics.Skipped != c.skipped || c.skipped == "" && r.Copy.Statistics.Rows != int64(c.size) {
				t.Errorf("record %+v, %+v", r.Copy, r.Copy.Statistics)
			}
			if took > c.took+500*time.Millisecond || took < c.took-500*time.Millisecond && c.took > 0 {
				t.Errorf("took %v, want about %v", took, c.took)
			}
		})
	}
}

// TestWhatIsRequiredIsWaitedFor: nothing is visible before it is known to be valid.
func TestWhatIsRequiredIsWaitedFor(t *testing.T) {
	for _, size := range []int{10, 20 << 20} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			c.Slots = 3
			c.Inspect = copier.NewInspection(slowly(1<<20, 100*time.Millisecond))
			c.Inspect.Required = true
			var versions []*version
			for i := range 3 { // together they hold more than all blocks
				versions = append(versions, w.write(fmt.Sprint("a", i), body(size, byte(i))))
				w.publish(versions[i])
			}
			if took, empty := w.run(time.Hour, c); !empty || took < 100*time.Millisecond {
				t.Errorf("took %v, empty %t", took, empty)
			}
			for _, v := range versions {
				if r := w.record(v.object.Name); r.Copy == nil || !r.Copy.Statistics.Complete() || r.Copy.Statistics.Rows != int64(size) {
					t.Errorf("record %+v", r)
				}
			}
		})
	}
}

// TestInvalidGzipIsGivenUpUnseen where the configuration says so, and copied with a
// word about it where it does not.
func TestInvalidGzipIsGivenUpUnseen(t *testing.T) {
	for _, size := range []int{10, 40} {
		for _, required := range []bool{true, false} {
			bubble(t, fmt.Sprint(size, required), func(t *testing.T, w *world) {
				c := w.host("one").copier()
				c.Inspect = copier.NewInspection(inspector(invalid))
				c.Inspect.Required = required
				v := w.write("a", body(size, 1))
				w.publish(v)
				if _, empty := w.run(time.Minute, c); !empty {
					t.Errorf("it is still in the queue")
				}
				r, dead := w.record(v.object.Name), w.dead[v.object.Name]
				switch {
				case required && (r.Status != messages.StatusFailed || r.Class != messages.InvalidGzip || dead.Class != messages.InvalidGzip || len(w.commits) > 0 || len(w.uploads) > 0):
					t.Errorf("record %+v, dead letter %+v, commits %v, %d uploads", r, dead, w.commits, len(w.uploads))
				case !required && (r.Status != messages.StatusCopied || r.Copy.Statistics.Gzip != "it is empty"):
					t.Errorf("record %+v", r)
				}
			})
		}
	}
}

// TestAPanicOfTheInspectorCostsItsStatistics, and a file that must be known to be valid
// is tried again: it is not known to be invalid either.
func TestAPanicOfTheInspectorCostsItsStatistics(t *testing.T) {
	for _, size := range []int{10, 40, 20 << 20} {
		for _, required := range []bool{false, true} {
			bubble(t, fmt.Sprint(size, required), func(t *testing.T, w *world) {
				c := w.host("one").copier()
				panics := 0
				c.Inspect = copier.NewInspection(inspector(func(r io.Reader) messages.Statistics {
					r.Read(make([]byte, 1))
					if panics++; panics == 1 {
						panic("a broken inspector")
					}
					return count(r)
				}))
				c.Inspect.Required = required
				violated := 0
				c.Violated = func(i messages.Invariant) {
					if i == messages.Panic {
						violated++
					}
				}
				v := w.write("a", body(size, 1))
				w.publish(v)
				w.run(time.Hour, c)
				s := w.record(v.object.Name).Copy.Statistics
				if violated != 1 || required != s.Complete() || !required && s.Skipped == "" {
					t.Errorf("%d violations, statistics %+v", violated, s)
				}
			})
		}
	}
}

// TestAFailedCopyWaitsForNobody: whatever fails, the inspection ends with it.
func TestAFailedCopyWaitsForNobody(t *testing.T) {
	for _, op := range []string{"body", "put", "part", "complete"} {
		bubble(t, op, func(t *testing.T, w *world) {
			size := 40
			if op == "put" {
				size = 10
			}
			c := w.host("one").copier()
			c.Inspect = copier.NewInspection(slowly(1, time.Second))
			w.turn = fails(verdict{clean: true}, op)
			v := w.write("a", body(size, 1))
			w.publish(v)
			w.run(1500*time.Millisecond, c)
			if r := w.record(v.object.Name); r.Status != messages.StatusRetrying {
				t.Errorf("record %+v", r)
			}
			if d := r(w, v).At.Sub(w.start); d > time.Second { // the present read
				t.Errorf("the failure was recorded after %v", d)
			}
		})
	}
}

func r(w *world, v *version) messages.Record { return w.record(v.object.Name) }

// TestACopyNeedNotWaitForItsStatistics: with no time for it, what is not read is skipped.
func TestACopyNeedNotWaitForItsStatistics(t *testing.T) {
	for _, size := range []int{10, 40} { // sent whole, and in parts
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			c.Inspect = copier.NewInspection(slowly(1, 20*time.Millisecond))
			c.Inspect.Wait = 0
			v := w.write("a", body(size, 1))
			w.publish(v)
			w.run(time.Minute, c)
			got := r(w, v)
			if got.Status != messages.StatusCopied || got.Copy.Statistics == nil || got.Copy.Statistics.Skipped == "" {
				t.Errorf("recorded %+v", got.Copy)
			}
			if d := got.At.Sub(w.start); d > 100*time.Millisecond { // the present read
				t.Errorf("recorded after %v", d)
			}
		})
	}
}

// TestAShutdownWaitsForNoStatistics: the grace is that of the copies.
func TestAShutdownWaitsForNoStatistics(t *testing.T) {
	for _, required := range []bool{false, true} {
		bubble(t, fmt.Sprint(required), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			c.Inspect = copier.NewInspection(slowly(1, 200*time.Millisecond))
			c.Inspect.Required = required
			c.Grace = 500 * time.Millisecond
			w.publish(w.write("a", body(16, 1)))
			ctx, cancel := context.WithCancel(t.Context())
			go func() { time.Sleep(100 * time.Millisecond); cancel() }()
			start := time.Now()
			c.Run(ctx)
			if d := time.Since(start); d > time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestStatisticsGoAlongWithWholeFiles, where they are known and complete.
func TestStatisticsGoAlongWithWholeFiles(t *testing.T) {
	for _, c := range []struct {
		name    string
		size    int
		inspect inspector
		want    bool
	}{
		{"whole", 10, count, true}, {"parts", 40, count, false}, {"invalid", 10, invalid, false}, {"too slow", 10, slowly(1, time.Second), false},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			cop := w.host("one").copier()
			cop.Inspect = copier.NewInspection(c.inspect)
			cop.Inspect.Metadata = true
			v := w.write("a", body(c.size, 1))
			w.publish(v)
			w.run(time.Hour, cop)
			s := w.visible[w.key(v.object)].meta.Statistics
			if (s != nil) != c.want || c.want && s.Rows != int64(c.size) {
				t.Errorf("statistics %+v, want some %t", s, c.want)
			}
		})
	}
}

// TestNobodyLooks: without an inspection there is nothing of it.
func TestNobodyLooks(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			c.Inspect = nil
			told := events(c)
			v := w.write("a", body(size, 1))
			w.publish(v)
			w.run(time.Hour, c)
			if r := w.record(v.object.Name); r.Copy == nil || r.Copy.Statistics != nil || kinds(told(), copier.Inspected) > 0 {
				t.Errorf("record %+v, events %v", r.Copy, told())
			}
		})
	}
}

// TestInspectionsTakeTurns: at most half of the processors compute at any time, however
// many files there are.
func TestInspectionsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := w.host("one").copier()
		c.Slots = 8
		inspection := copier.NewInspection(nil)
		var mu sync.Mutex
		inside, most := 0, 0
		inspection.Inspector = inspector(func(r io.Reader) messages.Statistics {
			for {
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				time.Sleep(time.Millisecond) // computes, with a turn
				mu.Lock()
				inside--
				mu.Unlock()
				if _, err := r.Read(make([]byte, 8)); errors.Is(err, io.EOF) {
					return messages.Statistics{Gzip: messages.GzipValid}
				}
			}
		})
		c.Inspect = inspection
		for i := range 20 {
			w.publish(w.write(fmt.Sprint("a", i), body(10+i, byte(i))))
		}
		if _, empty := w.run(time.Hour, c); !empty {
			t.Error("not all was copied")
		}
		if limit := inspection.Turns(); most > limit || most == 0 {
			t.Errorf("%d at once, limit %d", most, limit)
		}
	})
}

// TestOddReportsAreTold once each.
func TestOddReportsAreTold(t *testing.T) {
	problem := func(io.Reader) messages.Statistics {
		return messages.Statistics{Gzip: messages.GzipValid, Rows: 1, Problems: []string{"3 rows have no currency"}}
	}
	drift := func(io.Reader) messages.Statistics {
		return messages.Statistics{Gzip: messages.GzipValid, Unknown: []string{"x"}}
	}
	for name, c := range map[string]struct {
		inspect inspector
		want    []string // levels of three files
	}{
		"nothing odd":   {count, nil},
		"invalid gzip":  {invalid, []string{"WARN", "DEBUG", "DEBUG"}},
		"other columns": {drift, []string{"WARN", "DEBUG", "DEBUG"}},
		"odd rows":      {problem, []string{"WARN", "WARN", "WARN"}},
	} {
		bubble(t, name, func(t *testing.T, w *world) {
			cop := w.host("one").copier()
			cop.Inspect = copier.NewInspection(c.inspect)
			log := &levels{}
			cop.Log = log.logger("the report is odd, and was copied as it is")
			for i := range 3 {
				w.publish(w.write(fmt.Sprint("a", i), body(10, byte(i))))
			}
			w.run(time.Hour, cop)
			if !slices.Equal(log.all, c.want) {
				t.Errorf("%v, want %v", log.all, c.want)
			}
		})
	}
}

// levels are those of the log lines with one message.
type levels struct {
	slog.Handler
	message string
	mu      sync.Mutex
	all     []string
}

func (l *levels) logger(message string) *slog.Logger {
	l.message, l.Handler = message, slog.DiscardHandler
	return slog.New(l)
}

func (l *levels) Enabled(context.Context, slog.Level) bool { return true }
func (l *levels) WithAttrs([]slog.Attr) slog.Handler       { return l }

func (l *levels) Handle(_ context.Context, r slog.Record) error {
	if r.Message == l.message {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, r.Level.String())
	}
	return nil
}

// TestACopyIsRecordedWhateverItsStatistics: what no record can hold is left out, so
// that the file is not sent again and again.
func TestACopyIsRecordedWhateverItsStatistics(t *testing.T) {
	bubble(t, "too long", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		c.Inspect = copier.NewInspection(inspector(func(r io.Reader) messages.Statistics {
			s := count(r)
			s.Problems = []string{strings.Repeat("x", messages.MaxSize)}
			return s
		}))
		v := w.write("a", body(10, 1))
		w.publish(v)
		if _, empty := w.run(time.Hour, c); !empty || len(w.commits) != 1 {
			t.Errorf("empty %t, commits %v", empty, w.commits)
		}
		if r := w.record(v.object.Name); r.Status != messages.StatusCopied || r.Copy.Statistics != nil {
			t.Errorf("record %+v", r)
		}
	})
}
