package web

import (
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/report"
)

// The size of a chart in the units of its drawing.
const (
	chartWidth  = 600
	chartHeight = 120
)

// A chart is one drawing with what it shows in words and in numbers.
type chart struct {
	Title, Text string
	Max         string // the value of the upper edge
	Begin, End  string // of the time
	Bars        []bar
	Line        string // points of a line; empty without one
	LineName    string
	BarName     string
	// Rows are the same numbers, those that are not zero: time, bars, line.
	Rows [][3]string
}

type bar struct {
	X, Y, Width, Height float64
	Text                string
}

// draw makes the charts: how many files came and went, how many bytes, what waited.
func draw(c Charts) []chart {
	if c.To.IsZero() {
		return nil // they are not known
	}
	appeared := map[time.Time]Point{}
	for _, p := range c.Appeared {
		appeared[p.At] = p
	}
	files := make([]series, 0, len(c.Delivered))
	bytes := make([]series, 0, len(c.Delivered))
	total, sum := 0, int64(0)
	for _, p := range c.Delivered {
		files = append(files, series{p.At, float64(p.Files), float64(appeared[p.At].Files)})
		bytes = append(bytes, series{p.At, float64(p.Bytes), float64(appeared[p.At].Bytes)})
		total += p.Files
		sum += p.Bytes
	}
	waiting := make([]series, 0, len(c.Backlog))
	most := uint64(0)
	for _, s := range c.Backlog {
		waiting = append(waiting, series{s.At, float64(s.Waiting + s.Backfill), -1})
		most = max(most, s.Waiting+s.Backfill)
	}
	whole := func(v float64) string { return grouped(int64(v)) }
	size := func(v float64) string { return report.Size(int64(v)) }
	backlog := plot(c, waiting, whole)
	backlog.Title, backlog.BarName = "Waiting in the queue", "waiting"
	backlog.Text = "at most " + plural(most, "file") + "; seen by this process since " + c.Since.UTC().Format("2006-01-02 15:04 UTC")
	count := plot(c, files, whole)
	count.Title, count.BarName, count.LineName, count.Text = "Files", "delivered", "appeared", plural(total, "file")+" delivered"
	volume := plot(c, bytes, size)
	volume.Title, volume.BarName, volume.LineName, volume.Text = "Bytes", "delivered", "appeared", report.Size(sum)+" delivered"
	return []chart{count, volume, backlog}
}

// A series is a step of a chart: a bar, and a point of the line, less than zero for none.
type series struct {
	at        time.Time
	bar, line float64
}

// plot puts steps into a drawing, whatever part of the time they cover.
func plot(c Charts, steps []series, text func(float64) string) chart {
	d := chart{Begin: clock(c.From, c.Window), End: clock(c.To, c.Window)}
	most := 0.0
	for _, s := range steps {
		most = max(most, s.bar, s.line)
	}
	d.Max = text(most)
	width := c.To.Sub(c.From).Seconds()
	if width <= 0 || most == 0 {
		return d
	}
	var line strings.Builder
	step := c.Step / width * chartWidth
	for _, s := range steps {
		x := s.at.Sub(c.From).Seconds() / width * chartWidth
		h := s.bar / most * chartHeight
		row := [3]string{clock(s.at, c.Window), text(s.bar), ""}
		if s.bar > 0 {
			h = max(h, 1.5) // little is not nothing
			d.Bars = append(d.Bars, bar{round(x + step*.1), round(chartHeight - h), round(max(step*.8, .5)), round(h), row[0] + " UTC: " + row[1]})
		}
		if s.line >= 0 {
			row[2] = text(s.line)
			y := chartHeight - s.line/most*chartHeight
			fmt.Fprintf(&line, "%.1f,%.1f %.1f,%.1f ", x, y, x+step, y)
		}
		if s.bar > 0 || s.line > 0 {
			d.Rows = append(d.Rows, row)
		}
	}
	d.Line = strings.TrimSpace(line.String())
	return d
}

// round is enough for a screen.
func round(v float64) float64 { return float64(int(v*10+.5)) / 10 }

// clock is a time of an axis.
func clock(t time.Time, w Window) string {
	switch w {
	case LastHour, LastDay:
		return t.UTC().Format("15:04")
	}
	return t.UTC().Format("2 Jan 15:04")
}
