package cli

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// atWork is a picture of two workers with files on their way, whose names are of somebody
// who means harm.
func atWork() picture {
	now := time.Date(2026, 11, 26, 14, 30, 0, 0, time.UTC)
	worker := func(role, name string, files int) agent.Status {
		s := agent.Status{Running: true, Phase: agent.Working, Role: role, Instance: name, Version: "v1", Route: "main", Started: now.Add(-time.Hour), Ready: true}
		for range files {
			s.InFlight = append(s.InFlight, agent.Transfer{Object: "FOCUS Reports/2026/11/26/a\x1b[2J\n\u202ereport of a very long name indeed-00001.csv.gz", Size: 40 << 20, Bytes: 10 << 20, Started: now.Add(-time.Minute)})
		}
		return s
	}
	p := picture{at: now, stopped: true}
	p.Instances = []agent.Status{worker("copier", "host-b/2", 3), worker("scanner", "host-a/1", 0)}
	p.Instances[1].LastScan = &agent.Scan{Stats: scanner.Stats{Started: now, Discovered: 7}}
	p.Instances[1].Queue = agent.Queue{Live: 4, InFlight: 3}
	return p
}

func TestTopFitsEveryScreen(t *testing.T) {
	t.Parallel()
	for width := 20; width <= 160; width += 7 {
		for _, height := range []int{5, 10, 24, 60} {
			text := atWork().text(width, height, paint{})
			lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
			if len(lines) >= height {
				t.Errorf("%d lines for a screen of %d", len(lines), height)
			}
			for _, line := range lines {
				if n := utf8.RuneCountInString(line); n > width {
					t.Errorf("%d columns for a screen of %d: %q", n, width, line)
				}
			}
		}
	}
}

// What names and errors hold does not drive the terminal: with no colours there is no
// control character at all.
func TestTopShowsNamesAndObeysNone(t *testing.T) {
	t.Parallel()
	p := atWork()
	p.problem = "bad \x1b]0;x\x07"
	p.Instances[0].Ready, p.Instances[0].Problem = false, "\x1b[31mred"
	for _, width := range []int{40, 120} {
		for _, r := range p.text(width, 0, paint{}) {
			if r != '\n' && !unicode.IsPrint(r) {
				t.Errorf("a raw %U at width %d", r, width)
			}
		}
	}
}

func TestTopTellsTheWorstFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(*picture)
		want   string
		mark   mark
	}{
		{"files on their way", func(*picture) {}, "working: 4 waiting, 0 backfill, 3 in flight", isBusy},
		{"given up", func(p *picture) { p.Instances[1].LastScan.Dead = 2 }, "2 files given up", isBad},
		{"not ready", func(p *picture) { p.Instances[1].Ready, p.Instances[1].Problem = false, "no listing" }, "NOT READY: no listing", isBad},
		{"paused", func(p *picture) { p.Instances[1].Paused = &messages.Pause{By: "anna", Reason: "moving"} }, "anna", isWarn},
		{"nothing to do", func(p *picture) { p.Instances[1].Queue = agent.Queue{} }, "up to date", isGood},
		{"nobody", func(p *picture) { p.Instances = nil }, "no agent runs on this host", isBad},
		{"no first scan", func(p *picture) { p.Instances[1].LastScan = nil }, "the first scan is not at its end", isBusy},
	} {
		p := atWork()
		c.change(&p)
		if text, mark := p.verdict(); !strings.Contains(text, c.want) || mark != c.mark {
			t.Errorf("%s: %q, %d", c.name, text, mark)
		}
	}
}
