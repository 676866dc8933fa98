package cli

import (
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
