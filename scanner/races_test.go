package scanner_test

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// TestTwoScannersInEveryOrder runs two scanners with different settings side by
// side; a draw decides before each port call whose it is, and whether it fails.
// Whoever completes a scan has left nothing behind, the marks never go back
// (the world checks each write), and a last scan finishes what is missing.
func TestTwoScannersInEveryOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &world{tb: t, objects: map[string]messages.Object{}, records: map[string]messages.Record{}, queue: map[string]waiting{}}
		now := time.Now().UTC()
		for i := range rapid.IntRange(0, 12).Draw(t, "objects") {
			o := object(today().Add(-rapid.IntRange(0, 50).Draw(t, "age")), fmt.Sprint(i), "1")
			w.add(o)
			if rapid.Bool().Draw(t, "done") {
				w.put(messages.Record{Status: messages.StatusCopied, Object: o})
			}
		}
		since := today().Add(-60)
		if rapid.Bool().Draw(t, "marks") {
			w.setMarks(messages.Marks{
				Since:   since,
				Scanned: now.Add(-time.Duration(rapid.IntRange(0, 20*24).Draw(t, "scanned")) * time.Hour),
				Swept:   now.Add(-time.Duration(rapid.IntRange(0, 48).Draw(t, "swept")) * time.Hour),
			})
		}
		old := w.read()

		type arrival struct {
			who  int
			done bool
		}
		arrivals := make(chan arrival)
		var grants [2]chan verdict
		stats, errs := make([]scanner.Stats, 2), make([]error, 2)
		faults := rapid.IntRange(0, 3).Draw(t, "faults")
		faultless := true
		for i := range grants {
			grants[i] = make(chan verdict)
			view := &seat{world: w, wait: func() verdict {
				arrivals <- arrival{who: i}
				return <-grants[i]
			}}
			s := w.scanner()
			s.Lister, s.Ledger, s.Marks, s.Publisher = view, view, view, view
			s.Lookback = rapid.SampledFrom([]int{3, 10, 35}).Draw(t, "lookback")
			go func() {
				stats[i], errs[i] = s.Scan(context.Background())
				arrivals <- arrival{who: i, done: true}
			}()
		}
		w.turn = func(string) verdict { return works }
		waits := []int{}
		for running := 2; running > 0 || len(waits) > 0; {
			for running > 0 {
				a := <-arrivals
				running--
				if !a.done {
					waits = append(waits, a.who)
				} else if errs[a.who] == nil {
					if m := w.missing(max(stats[a.who].From, old.Since), 0); m != nil {
						t.Errorf("scanner %d is done and left %v behind", a.who, m)
					}
				}
			}
			if len(waits) == 0 {
				break
			}
			k := rapid.IntRange(0, len(waits)-1).Draw(t, "next")
			if len(waits) == 2 && waits[0] > waits[1] { // the order of arrival is no choice of ours
				waits[0], waits[1] = waits[1], waits[0]
			}
			who := waits[k]
			waits = append(waits[:k], waits[k+1:]...)
			v := works
			if faults > 0 && rapid.IntRange(0, 9).Draw(t, "fault") == 0 {
				v = rapid.SampledFrom([]verdict{failsClean, failsDirty}).Draw(t, "kind")
				faults--
				faultless = false
			}
			running++
			grants[who] <- v
		}
		for i, err := range errs {
			if faultless && err != nil {
				t.Errorf("scanner %d failed because another was there: %v", i, err)
			}
			if err == nil && sum(stats[i]) != stats[i].Discovered {
				t.Errorf("the counts do not add up: %+v", stats[i])
			}
		}
		w.turn = func(string) verdict { return works }
		last := w.read()
		if _, err := w.scanner().Scan(context.Background()); err != nil {
			t.Fatal(err)
		}
		m := w.read()
		if last.Swept.After(now) || old.Swept.IsZero() {
			// A sweep was completed: everything since the first day is there.
			if missing := w.missing(m.Since, 0); missing != nil {
				t.Errorf("missing %v since %s", missing, m.Since)
			}
		}
		if missing := w.missing(today().Add(-35), 0); missing != nil {
			t.Errorf("missing %v", missing)
		}
		if old.Since != "" && m.Since > old.Since {
			t.Errorf("responsibility shrank from %s to %s", old.Since, m.Since)
		}
	})
}

// A seat is one scanner's way into the world: it waits for its turn.
type seat struct {
	*world
	wait func() verdict
}

func (s *seat) turned() *world {
	v := s.wait()
	w := s.world
	w.turn = func(string) verdict { return v }
	return w
}

func (s *seat) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		for o, err := range s.turned().List(ctx, from) {
			if !yield(o, err) || err != nil {
				return
			}
			if s.wait() != works {
				yield(messages.Object{}, errFault)
				return
			}
			s.world.turn = func(string) verdict { return works }
		}
	}
}

func (s *seat) Day(ctx context.Context, d messages.Day) (map[string]messages.Record, error) {
	return s.turned().Day(ctx, d)
}

func (s *seat) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	return s.turned().Read(ctx, key)
}

func (s *seat) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return s.turned().Write(ctx, key, value, revision)
}

func (s *seat) Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (bool, error) {
	return s.turned().Publish(ctx, lane, m)
}

// A flood lists a million objects and their records without holding them.
type flood struct {
	*world
	first messages.Day
	days  int
	bases []string // of each day
	peak  uint64
	sent  int
}

func (f *flood) object(d messages.Day, base string) messages.Object {
	return messages.Object{Name: prefix + d.Folder() + base, ETag: base, Size: 999, MD5: "1B2M2Y8AsgTpgAmY7PhCfg=="}
}

func (f *flood) List(_ context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		for d := range f.days {
			day := f.first.Add(d)
			if prefix+day.Add(1).Folder() <= from {
				continue
			}
			for _, base := range f.bases {
				if o := f.object(day, base); o.Name >= from && !yield(o, nil) {
					return
				}
			}
		}
	}
}

func (f *flood) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	if d[8:] == "01" {
		f.measure()
	}
	out := make(map[string]messages.Record, len(f.bases))
	for i, base := range f.bases {
		if i%100 != 0 { // every hundredth is new
			out[base] = messages.Record{Status: messages.StatusCopied, Object: f.object(d, base), Copy: &messages.FileCopied{Key: base}}
		}
	}
	return out, nil
}

func (f *flood) measure() {
	f.mu.Lock()
	defer f.mu.Unlock()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	f.peak = max(f.peak, m.HeapAlloc)
}

func (f *flood) Publish(context.Context, messages.Lane, messages.FileDiscovered) (bool, error) {
	f.sent++
	return true, nil
}

func TestAMillionObjectsFitInto128MiB(t *testing.T) {
	w := newWorld(t)
	f := &flood{world: w, days: 400, first: today().Add(-399)}
	for i := range 2500 {
		f.bases = append(f.bases, fmt.Sprintf("%016d-00001.csv.gz", i))
	}
	s := w.scanner()
	s.Lister, s.Ledger, s.Publisher, s.Log = f, f, f, slog.New(slog.DiscardHandler)
	s.Since = f.first
	st, err := s.Scan(t.Context())
	if err != nil || st.Discovered != 1_000_000 || st.Published != 10_000 || st.Done != 990_000 || f.sent != 10_000 {
		t.Errorf("Scan = %+v, %v", st, err)
	}
	if f.peak == 0 || f.peak > 128<<20 {
		t.Errorf("the heap grew to %d MiB, want at most 128", f.peak>>20)
	}
	t.Logf("the heap grew to %d MiB", f.peak>>20)
}
