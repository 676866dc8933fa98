package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"oracle-focus-agent/internal/agent"
)

func (a *app) topCommand() *cobra.Command {
	interval := 2 * time.Second
	cmd := &cobra.Command{
		Use: "top", Short: "Watch queue, workers and files in a terminal; q ends it", Args: cobra.NoArgs,
		Long: `Watch what the agent of this host does, and with nats.url those of all hosts: how it
stands, the queue, the workers, the files on their way. It only looks, by the same means
as status. q, Esc or Ctrl-C ends it. NO_COLOR takes the colours away. Where stdout is no
terminal it prints one picture and ends.`,
		Example: "  oracle-focus-agent top\n  ssh host oracle-focus-agent top",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interval < 500*time.Millisecond {
				return &coded{exitConfig, fmt.Errorf("--interval %v: use 500ms or more", interval)}
			}
			return a.top(cmd.Context(), interval)
		},
	}
	cmd.Flags().DurationVar(&interval, "interval", interval, "time between two pictures")
	return cmd
}

// top shows pictures until a key or ctx ends it.
func (a *app) top(ctx context.Context, interval time.Duration) error {
	if a.console == nil || !term.IsTerminal(int(a.console.Fd())) || a.getenv("TERM") == "dumb" {
		picture := a.look(ctx)
		fmt.Fprint(a.env.Stdout, picture.text(120, 0, paint{}))
		if picture.stopped && len(picture.Instances) == 0 {
			return quietly(exitNotRunning)
		}
		return nil
	}
	in, _ := a.env.Stdin.(*os.File)
	screen, err := openScreen(a.console, in)
	if err != nil {
		return fmt.Errorf("prepare the terminal: %w", err)
	}
	defer screen.close()
	colours := paint{on: a.getenv("NO_COLOR") == ""}
	for ctx.Err() == nil {
		picture := a.look(ctx)
		for next := time.Now().Add(interval); ctx.Err() == nil && time.Now().Before(next); {
			width, height := screen.size() // it may have changed
			screen.show(picture.text(width, height, colours))
			if screen.quits(min(time.Until(next), 500*time.Millisecond)) {
				return nil
			}
		}
	}
	return nil
}

// A picture is what top shows at one time.
type picture struct {
	fleet
	at      time.Time
	stopped bool   // no agent of this host runs
	problem string // what could not be asked
}

// look asks as status does. What cannot be asked is a part of the picture.
func (a *app) look(ctx context.Context) picture {
	p := picture{at: time.Now()}
	cfg, err := a.locate()
	if err != nil {
		p.problem = err.Error()
		return p
	}
	p.Status, err = statusHere(ctx, cfg)
	if p.stopped = errors.Is(err, agent.ErrNotRunning); err != nil && !p.stopped {
		p.problem = err.Error()
	}
	if p.Phase != agent.Starting {
		if p.Instances, err = askInstances(ctx, cfg); err != nil {
			p.problem = "not every instance is shown: " + err.Error()
		}
	}
	return p
}

// workers are all processes that answered.
func (p picture) workers() []agent.Status {
	if len(p.Instances) > 0 || p.stopped || p.Phase == "" {
		return p.Instances
	}
	return []agent.Status{p.Status}
}

// head is the process that knows most of the route: the agent of this host, or a scanner.
func (p picture) head() (s agent.Status, ok bool) {
	if !p.stopped && p.Phase != "" {
		return p.Status, true
	}
	for _, i := range p.Instances {
		if i.Role != "copier" || s.Role == "" {
			s, ok = i, true
		}
	}
	return s, ok
}

// verdict is the state in a sentence, and whether all is well.
func (p picture) verdict() (text string, mark mark) {
	s, ok := p.head()
	switch {
	case !ok && p.problem != "":
		return p.problem, isBad
	case !ok:
		return "no agent runs on this host; `oracle-focus-agent start` begins", isBad
	case s.Phase == agent.Starting:
		return "starting: " + s.Problem, isBusy
	case s.Paused != nil:
		return pausedText(s.Paused), isWarn
	case !s.Ready:
		return "NOT READY: " + s.Problem, isBad
	case s.LastScan != nil && s.LastScan.Dead > 0:
		return counted(s.LastScan.Dead, "file") + " given up; `oracle-focus-agent failed list` says why", isBad
	case s.LastScan == nil && s.Role != "copier":
		return "the first scan is not at its end", isBusy
	case s.Queue.Live+s.Queue.Backfill > 0 || s.Queue.InFlight > 0:
		return fmt.Sprintf("working: %d waiting, %d backfill, %d in flight", s.Queue.Live, s.Queue.Backfill, s.Queue.InFlight), isBusy
	case s.Newest != nil:
		return fmt.Sprintf("up to date: newest report of %s, delivered %s", s.Newest.Day, humanize.Time(s.Newest.At)), isGood
	}
	return "up to date", isGood
}

// text is the picture for a screen; a height of 0 is one without end.
func (p picture) text(width, height int, c paint) string {
	width = max(width, 20)
	narrow := width < 72
	var lines []string
	add := func(format string, args ...any) {
		lines = append(lines, clip(printable(fmt.Sprintf(format, args...)), width))
	}
	s, known := p.head()
	title := "FOCUS agent"
	if known {
		title += ", route " + s.Route
	}
	lines = append(lines, c.bold(clip(printable(title+"  "+p.at.UTC().Format("15:04:05 UTC")), width)))
	verdict, mark := p.verdict()
	lines = append(lines, c.mark(mark, clip(mark.sign()+" "+printable(verdict), width)))
	if p.problem != "" && known {
		lines = append(lines, c.mark(isWarn, clip("! "+printable(p.problem), width)))
	}
	if known {
		lines = append(lines, "")
		add("queue      %d waiting, %d backfill, %d in flight, %d dead letters", s.Queue.Live, s.Queue.Backfill, s.Queue.InFlight, s.Queue.DeadLetters)
		if sc := s.LastScan; sc != nil {
			add("last scan  %s: %d discovered, %d queued, %d done, %d failed%s", humanize.Time(sc.Started), sc.Discovered, sc.Published+sc.Queued, sc.Done, sc.Failed, nextScan(s, p.at))
		}
		if d := s.ReportDays; d != nil {
			add("days       since %s: %s", d.From, daysText(d))
		}
	}
	lines = append(lines, p.workerLines(width, narrow, c)...)
	lines = append(lines, p.fileLines(width, narrow, c)...)
	if height > 1 && len(lines) > height-1 {
		more := len(lines) - height + 2
		lines = append(lines[:height-2], clip(fmt.Sprintf("… and %d more lines", more), width))
	}
	return strings.Join(lines, "\n") + "\n"
}

func nextScan(s agent.Status, now time.Time) string {
	if left := s.NextScan.Sub(now); !s.NextScan.IsZero() && left > 0 {
		return fmt.Sprintf("; next in %v", left.Round(time.Second))
	}
	return ""
}

func (p picture) workerLines(width int, narrow bool, c paint) []string {
	all := p.workers()
	if len(all) == 0 {
		return nil
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	if narrow {
		fmt.Fprintln(w, "WORKER\tCOPYING\tSTATE")
	} else {
		fmt.Fprintln(w, "WORKER\tROLE\tVERSION\tUP\tCOPYING\tLAST 24 H\tSTATE")
	}
	for _, s := range all {
		state := "ready"
		switch {
		case s.Paused != nil:
			state = "paused"
		case !s.Ready:
			state = "NOT READY: " + s.Problem
		}
		name := printable(s.Instance)
		if narrow {
			fmt.Fprintf(w, "%s\t%d\t%s\n", name, len(s.InFlight), printable(state))
			continue
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%d\t%d, %s\t%s\n", name, printable(s.Role), printable(s.Version), p.at.Sub(s.Started).Round(time.Second), len(s.InFlight),
			s.Recent.Transferred, humanize.IBytes(uint64(s.Recent.Bytes)), printable(state))
	}
	w.Flush()
	return section(b.String(), width, c)
}

func (p picture) fileLines(width int, narrow bool, c paint) []string {
	var b strings.Builder
	n := 0
	for _, s := range p.workers() {
		for _, f := range s.InFlight {
			n++
			b.WriteString(fileLine(f, p.at, narrow) + "\n")
		}
	}
	if s, ok := p.head(); n == 0 && ok {
		b.WriteString("none\n")
		if l := s.LastCopied; l != nil {
			fmt.Fprintf(&b, "last copied %s, %s\n", printable(path.Base(l.Object)), humanize.Time(l.Ended))
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return section("FILES ON THEIR WAY\n"+b.String(), width, c)
}

// fileLine is one file with a bar.
func fileLine(f agent.Transfer, now time.Time, narrow bool) string {
	share, cells := 0.0, 24
	if f.Size > 0 {
		share = min(1, float64(f.Bytes)/float64(f.Size))
	}
	if narrow {
		cells = 10
	}
	full := int(share * float64(cells))
	line := fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat("-", cells-full), share*100, printable(path.Base(f.Object)))
	if narrow {
		return line
	}
	rate := float64(f.Bytes) / max(now.Sub(f.Started).Seconds(), 0.001)
	line += fmt.Sprintf("  %s of %s  %s/s", humanize.IBytes(uint64(f.Bytes)), humanize.IBytes(uint64(f.Size)), humanize.IBytes(uint64(rate)))
	if rate > 0 && f.Bytes < f.Size {
		line += "  " + (time.Duration(float64(f.Size-f.Bytes) / rate * float64(time.Second))).Round(time.Second).String() + " left"
	}
	return line
}

// section is a block after an empty line, its first line a heading.
func section(text string, width int, c paint) []string {
	lines := []string{""}
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		line = clip(line, width)
		if i == 0 {
			line = c.dim(line)
		}
		lines = append(lines, line)
	}
	return lines
}

// clip cuts a line where the screen ends.
func clip(s string, width int) string {
	runes := []rune(s)
	if len(runes) <= width {
		return s
	}
	return string(runes[:width-1]) + "…"
}

// A mark says how a line is to be taken.
type mark int

const (
	isGood mark = iota
	isBusy
	isWarn
	isBad
)

// sign tells it without a colour.
func (m mark) sign() string { return []string{"ok", "..", "||", "!!"}[m] }

// A paint adds colours, where it is on.
type paint struct{ on bool }

func (c paint) with(code, s string) string {
	if !c.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (c paint) bold(s string) string         { return c.with("1", s) }
func (c paint) dim(s string) string          { return c.with("2", s) }
func (c paint) mark(m mark, s string) string { return c.with([]string{"32", "36", "33", "1;31"}[m], s) }

// A screen is a terminal of which top has the whole.
type screen struct {
	out, in *os.File
	before  *term.State
}

// openScreen takes the screen: another page of it, without cursor and line breaks, so that
// what stood there is there again afterwards. Keys are read as they are typed.
func openScreen(out, in *os.File) (*screen, error) {
	s := &screen{out: out, in: in}
	if in != nil && term.IsTerminal(int(in.Fd())) {
		var err error
		if s.before, err = term.MakeRaw(int(in.Fd())); err != nil {
			return nil, err
		}
	}
	fmt.Fprint(out, "\x1b[?1049h\x1b[?25l\x1b[?7l")
	return s, nil
}

func (s *screen) close() {
	fmt.Fprint(s.out, "\x1b[?7h\x1b[?25h\x1b[?1049l")
	if s.before != nil {
		_ = term.Restore(int(s.in.Fd()), s.before)
	}
}

func (s *screen) size() (width, height int) {
	width, height, err := term.GetSize(int(s.out.Fd()))
	if err != nil || width == 0 {
		return 80, 24
	}
	return width, height
}

// show writes over what stands there, line by line, so that nothing flickers.
func (s *screen) show(text string) {
	fmt.Fprint(s.out, "\x1b[H"+strings.ReplaceAll(text, "\n", "\x1b[K\r\n")+"\x1b[J")
}

// quits waits for a key and reports whether it ends top.
func (s *screen) quits(wait time.Duration) bool {
	if s.before == nil {
		time.Sleep(wait)
		return false
	}
	fds := []unix.PollFd{{Fd: int32(s.in.Fd()), Events: unix.POLLIN}}
	n, err := unix.Poll(fds, int(wait.Milliseconds())+1)
	if err != nil || n == 0 { // a signal, or no key
		return false
	}
	keys := make([]byte, 16)
	n, err = s.in.Read(keys)
	if err != nil {
		return true // nobody is there any more
	}
	return strings.ContainsAny(string(keys[:n]), "qQ\x03\x04") || n == 1 && keys[0] == 0x1b
}
