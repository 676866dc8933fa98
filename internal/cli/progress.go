package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"oracle-focus-agent/copier"
)

// lineEvery is the time between two progress lines where there is no terminal.
const lineEvery = 10 * time.Second

// A progress shows what moves: bars on a terminal, elsewhere a line every ten
// seconds while something moves, and nothing at all when quiet.
type progress struct {
	out  io.Writer
	bars *mpb.Progress // nil without a terminal
	stop chan struct{}
	done sync.WaitGroup

	mu      sync.Mutex
	total   *mpb.Bar
	flight  map[string]*mpb.Bar // nil bars without a terminal
	files   int
	bytes   int64
	retries int
	moved   bool
}

func (a *app) progress() *progress {
	p := &progress{out: a.env.Stderr, stop: make(chan struct{}), flight: map[string]*mpb.Bar{}}
	switch {
	case a.quiet:
	case a.screen != nil && term.IsTerminal(int(a.screen.Fd())):
		p.bars = mpb.New(mpb.WithOutput(a.screen), mpb.WithWidth(40), mpb.WithAutoRefresh())
		p.total = p.bars.AddSpinner(0, mpb.PrependDecorators(decor.Any(func(decor.Statistics) string { return p.line() })), mpb.BarPriority(1<<20))
	default:
		p.done.Go(p.lines)
	}
	return p
}

// logs is where log lines go, so that they stand above the bars.
func (p *progress) logs() io.Writer {
	if p.bars != nil {
		return p.bars
	}
	return p.out
}

func (p *progress) line() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprintf("%d files copied, %s, %d in flight, %d retries", p.files, humanize.IBytes(uint64(p.bytes)), len(p.flight), p.retries)
}

func (p *progress) lines() {
	tick := time.NewTicker(lineEvery)
	defer tick.Stop()
	for {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		p.mu.Lock()
		moved := p.moved
		p.moved = false
		p.mu.Unlock()
		if moved {
			fmt.Fprintln(p.out, "progress: "+p.line())
		}
	}
}

func (p *progress) event(e copier.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.moved = true
	name := e.Object.Name
	switch e.Kind {
	case copier.Started:
		p.flight[name] = p.bar(e)
		return
	case copier.Progress:
		p.bytes += e.Bytes
		if b := p.flight[name]; b != nil {
			b.IncrInt64(e.Bytes)
		}
		return
	case copier.Finished:
		p.files++
	case copier.Retrying, copier.Held:
		p.retries++
	}
	if b := p.flight[name]; b != nil {
		b.Abort(true)
	}
	delete(p.flight, name)
}

// bar shows one file, where it is large enough to be watched.
func (p *progress) bar(e copier.Event) *mpb.Bar {
	if p.bars == nil || e.Object.Size < 1<<20 {
		return nil
	}
	return p.bars.AddBar(e.Object.Size, mpb.BarRemoveOnComplete(),
		mpb.PrependDecorators(decor.Name(printable(e.Report.Basename)+" ")),
		mpb.AppendDecorators(decor.CountersKibiByte("% .1f / % .1f")))
}

// end takes the bars away.
func (p *progress) end() {
	close(p.stop)
	p.done.Wait()
	if p.bars == nil {
		return
	}
	p.mu.Lock()
	for _, b := range p.flight {
		if b != nil {
			b.Abort(true)
		}
	}
	total := p.total
	p.mu.Unlock()
	total.Abort(true)
	p.bars.Wait()
}

// lookEvery is the time between two looks at work that goes on elsewhere.
const lookEvery = time.Second

// watch shows work that another process does, or that tells nothing of itself, until end
// is called: on a terminal a line with a bar where total is known, elsewhere a line every
// ten seconds, and nothing at all when quiet. look says how much of total is done, and
// what else there is to say; it is not called after the end.
func (a *app) watch(total int64, look func(context.Context) (done int64, text string)) (end func()) {
	if a.quiet {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	w := &watcher{look: look}
	every := lineEvery
	show := func() {
		if text := w.next(ctx); ctx.Err() == nil && text != "" {
			fmt.Fprintln(a.env.Stderr, "progress: "+text)
		}
	}
	cleared := func() {}
	if a.screen != nil && term.IsTerminal(int(a.screen.Fd())) {
		every, show = lookEvery, func() { w.next(ctx) }
		cleared = w.open(a.screen, total)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				show()
			}
		}
	}()
	return func() {
		cancel()
		<-ended
		cleared()
	}
}

// A watcher is what watch shows.
type watcher struct {
	look func(context.Context) (int64, string)
	bar  *mpb.Bar // nil without a terminal

	mu   sync.Mutex
	text string
}

func (w *watcher) next(ctx context.Context) string {
	done, text := w.look(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = text
	if w.bar != nil {
		w.bar.SetCurrent(done)
	}
	return text
}

// open shows the line on a terminal until it is cleared.
func (w *watcher) open(screen io.Writer, total int64) (cleared func()) {
	bars := mpb.New(mpb.WithOutput(screen), mpb.WithWidth(40), mpb.WithAutoRefresh())
	line := decor.Any(func(decor.Statistics) string {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.text + " "
	})
	if total > 0 {
		w.bar = bars.AddBar(total, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(line), mpb.AppendDecorators(decor.Percentage()))
	} else {
		w.bar = bars.AddSpinner(0, mpb.BarRemoveOnComplete(), mpb.PrependDecorators(line))
	}
	return func() {
		w.bar.Abort(true)
		bars.Wait()
	}
}
