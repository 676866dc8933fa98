package cli

import (
	"sync"
	"time"

	"oracle-focus-agent/internal/web"
)

// A scale is how a window of time is divided.
type scale struct {
	window web.Window
	step   time.Duration
	steps  int
}

// scales are those of all windows.
func scales() []scale {
	return []scale{
		{web.LastHour, time.Minute, 60},
		{web.LastDay, 15 * time.Minute, 96},
		{web.LastWeek, 2 * time.Hour, 84},
		{web.LastMonth, 8 * time.Hour, 90},
	}
}

// sampleEvery is how often it is looked how many files wait.
const sampleEvery = 15 * time.Second

// A backlog remembers how many files waited, for each window as many samples as it has
// steps: of a step the highest. It is lost with the process.
type backlog struct {
	mu      sync.Mutex
	since   time.Time
	samples map[web.Window][]web.Sample
}

// add takes a sample.
func (b *backlog) add(s web.Sample) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.since.IsZero() {
		b.since, b.samples = s.At, map[web.Window][]web.Sample{}
	}
	for _, c := range scales() {
		at := s.At.Truncate(c.step)
		kept := b.samples[c.window]
		if n := len(kept); n > 0 && kept[n-1].At.Equal(at) {
			kept[n-1].Waiting = max(kept[n-1].Waiting, s.Waiting)
			kept[n-1].Backfill = max(kept[n-1].Backfill, s.Backfill)
			continue
		}
		kept = append(kept, web.Sample{At: at, Waiting: s.Waiting, Backfill: s.Backfill})
		b.samples[c.window] = kept[max(0, len(kept)-c.steps):]
	}
}

// of are the samples of a window from an instant on.
func (b *backlog) of(w web.Window, from time.Time) (out []web.Sample, since time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	out = []web.Sample{}
	for _, s := range b.samples[w] {
		if !s.At.Before(from) {
			out = append(out, s)
		}
	}
	return out, b.since
}
