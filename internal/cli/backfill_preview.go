package cli

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A preview is what a backfill would do.
type preview struct {
	Days  messages.Range `json:"days"`
	All   bool           `json:"all"`
	Files int            `json:"files"`
	Bytes int64          `json:"bytes"`
	// Again counts those of Files that are delivered or were given up already.
	Again     int `json:"again,omitempty"`
	Done      int `json:"already_done"`
	Discarded int `json:"discarded,omitempty"`
	// PerDay is in the order of the days, without those of which nothing is listed.
	PerDay     []dayPreview            `json:"per_day"`
	Failed     []agent.Failure         `json:"failed"`
	Ineligible map[messages.Reason]int `json:"ineligible,omitempty"`
	// Seconds is how long one process is likely to take, by what copies took lately;
	// zero where that is not known.
	Seconds float64 `json:"estimated_seconds,omitempty"`
	Slots   int     `json:"slots"`
}

// A dayPreview counts the files of one report day.
type dayPreview struct {
	Day   messages.Day `json:"day"`
	Files int          `json:"files"`
	Bytes int64        `json:"bytes"`
	Done  int          `json:"already_done"`
}

func newPreview(b backfillRequest, slots int) *preview {
	return &preview{
		Days: b.Days, All: b.All, Slots: max(slots, 1), PerDay: []dayPreview{}, Failed: []agent.Failure{}, Ineligible: map[messages.Reason]int{},
	}
}

func (p *preview) add(o scanner.Outcome) {
	if bad, ok := errors.AsType[*messages.Ineligible](o.Err); ok && o.Finding == scanner.Ineligible {
		p.Ineligible[bad.Reason]++
		return
	}
	if o.Report.Day == "" { // too large
		p.Failed = append(p.Failed, agent.Failure{Object: o.Object.Name, Reason: errText(o.Err), Class: messages.ClassOf(o.Err)})
		return
	}
	if n := len(p.PerDay); n == 0 || p.PerDay[n-1].Day != o.Report.Day {
		p.PerDay = append(p.PerDay, dayPreview{Day: o.Report.Day})
	}
	d := &p.PerDay[len(p.PerDay)-1]
	switch o.Finding {
	case scanner.Done:
		p.Done++
		d.Done++
		if o.Record.Status == messages.StatusDiscarded {
			p.Discarded++
		}
	case scanner.Failed:
		p.Failed = append(p.Failed, agent.Failure{Object: o.Object.Name, Reason: errText(o.Err), Class: messages.ClassOf(o.Err)})
	default:
		p.Files++
		p.Bytes += o.Object.Size
		d.Files++
		d.Bytes += o.Object.Size
		if o.Record.Done(o.Object, o.Record.Epoch) {
			p.Again++
		}
	}
}

// The estimate looks at the copies of the last days, and needs some of them.
const (
	estimateDays = 7
	estimateMin  = 5
)

// learn estimates the time by what copies took lately: each takes its share for a file
// and its share for the bytes, of which the greater sum counts. It is the most: a slot that
// reads one small file while it writes another takes less.
func (p *preview) learn(ctx context.Context, ledger scanner.Ledger) error {
	var files int
	var bytes int64
	var took float64
	for d, today := messages.DayOf(time.Now()).Add(-estimateDays), messages.DayOf(time.Now()); d <= today; d = d.Add(1) {
		records, err := ledger.Day(ctx, d)
		if err != nil {
			return err
		}
		for _, r := range records {
			if c := r.Copy; c != nil && c.How == messages.HowCopied && c.Seconds > 0 {
				files, bytes, took = files+1, bytes+c.Size, took+c.Seconds
			}
		}
	}
	if files >= estimateMin && bytes > 0 {
		p.Seconds = max(took/float64(files)*float64(p.Files), took/float64(bytes)*float64(p.Bytes)) / float64(p.Slots)
	}
	return nil
}

func (p *preview) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Backfill of %s\n", p.Days)
	for _, d := range p.PerDay {
		fmt.Fprintf(&b, "  %s  %4d to copy  %10s  %4d done\n", d.Day, d.Files, humanize.IBytes(uint64(d.Bytes)), d.Done)
	}
	fmt.Fprintf(&b, "  to copy     %s, %s", counted(p.Files, "file"), humanize.IBytes(uint64(p.Bytes)))
	if p.Again > 0 {
		fmt.Fprintf(&b, ", %d of them once more", p.Again)
	}
	fmt.Fprintf(&b, "\n  done        %s", counted(p.Done, "file"))
	if p.Discarded > 0 {
		fmt.Fprintf(&b, ", %d of them discarded by an operator", p.Discarded)
	}
	b.WriteString("\n")
	if empty := p.empty(); empty > 0 {
		fmt.Fprintf(&b, "  nothing     is listed at Oracle of %s\n", counted(empty, "day"))
	}
	for _, reason := range slices.Sorted(maps.Keys(p.Ineligible)) {
		fmt.Fprintf(&b, "  ineligible  %s: %s\n", counted(p.Ineligible[reason], "object"), reason)
	}
	for _, f := range p.Failed {
		fmt.Fprintf(&b, "  failed      %s: %s\n", printable(f.Object), printable(f.Reason))
	}
	if p.Seconds > 0 && p.Files > 0 {
		fmt.Fprintf(&b, "  time        about %v with the %s of one process, by the copies of the last days; fresh files go first\n", max(seconds(p.Seconds).Round(time.Second), time.Second), counted(p.Slots, "slot"))
	}
	return b.String()
}

// empty is how many days of the range nothing is listed of.
func (p *preview) empty() int {
	days := 0
	for d := p.Days.From; d <= p.Days.To; d = d.Add(1) {
		days++
	}
	return days - len(p.PerDay)
}
