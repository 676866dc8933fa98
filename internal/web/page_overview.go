package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

func (p *page) overview(w http.ResponseWriter, r *http.Request) {
	f := p.frame(r, "overview", "Overview")
	unknown := func(err error) { // the rest is shown all the same
		if note := err.Error(); !slices.Contains(f.Summary.Notes, note) {
			f.Summary.Notes = append(slices.Clip(f.Summary.Notes), note)
		}
	}
	days, err := p.view.Days(r.Context(), "", "")
	if err != nil {
		unknown(err)
	}
	window := Window(r.URL.Query().Get("window"))
	if !slices.Contains(Windows(), window) {
		window = LastDay
	}
	charts, err := p.view.Charts(r.Context(), window)
	if err != nil {
		unknown(err)
		charts.Window = window
	}
	p.show(w, r, http.StatusOK, "overview.html", struct {
		frame
		Tiles   []tile
		Days    Days
		Months  []month
		Earlier string // the months before all of these, in words
		Charts  Charts
		Drawn   []chart
		Windows []Window
	}{f, tiles(f.Summary), days, months(days.Days, f.Summary.At), earlier(days.Days), charts, draw(charts), Windows()})
}

// A tile is one number of the overview.
type tile struct {
	Label, Value, Note string
	Link               string
	Mark               string // good, warn, bad or none
}

func tiles(s Summary) []tile {
	n := s.Numbers
	all := []tile{
		{Label: "Waiting", Value: grouped(n.Waiting), Note: "nothing waits", Link: "/files?state=waiting"},
		{Label: "Copying", Value: number(n.Copying), Note: "right now", Link: "#progress"},
		{Label: "Delivered today", Value: grouped(n.Today), Note: report.Size(n.TodayBytes), Link: "/files?state=copied"},
		{Label: "Failed", Value: grouped(n.Failed), Note: "none given up", Link: "/files?state=failed"},
		{Label: "Time to S3", Value: "–", Note: "nothing came for a day", Link: "#flow"},
		{Label: "Last scan", Value: "–", Note: "the first is not at its end", Link: "#dependencies"},
	}
	if n.Waiting+n.Backfill > 0 {
		all[0].Note = ""
		if !n.Oldest.IsZero() {
			all[0].Note = "the oldest for " + span(max(0, s.At.Sub(n.Oldest)))
		}
		if n.Backfill > 0 {
			all[0].Note = join(all[0].Note, "and "+grouped(n.Backfill)+" of backfills")
		}
	}
	if n.Failed > 0 {
		all[3].Mark, all[3].Note = "bad", "need a decision"
		if n.Failed == 1 {
			all[3].Note = "needs a decision"
		}
	}
	if n.Delay > 0 {
		all[4].Value, all[4].Note = brief(time.Duration(n.Delay*float64(time.Second))), "for 95 of 100 files"
	}
	if s.LastScan != nil {
		all[5].Value = ago(time.Since(s.LastScan.Started.Add(time.Duration(s.LastScan.Seconds*float64(time.Second)))), brief)
		all[5].Note = "the next " + until(time.Until(s.NextScan))
		if s.LastScan.Error != "" {
			all[5].Mark, all[5].Note = "bad", "it failed; the next "+until(time.Until(s.NextScan))
		}
	}
	return all
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), ", ")
}

// A month is one of the calendar.
type month struct {
	Name  string
	Sum   string
	Weeks [][7]cell // from Monday on
}

// A cell is a day of the calendar; without a Day it is none of this month.
type cell struct {
	Day    messages.Day
	Number int
	Class  string
	Text   string // for a pointer and for a screen reader
	Link   bool
}

// months are those that the installation knows of, the newest first.
func months(days []report.Day, now time.Time) (all []month) {
	known := slices.IndexFunc(days, func(d report.Day) bool { return d.State != report.BeforeUs })
	if known < 0 {
		return nil
	}
	first := days[known].Day[:7]
	today := messages.DayOf(now)
	var m *month
	counts := map[report.State]int{}
	filling := 0
	for _, d := range days {
		at, err := time.Parse(time.DateOnly, string(d.Day))
		if err != nil || d.Day[:7] < first {
			continue
		}
		if at.Day() == 1 || m == nil {
			if m != nil {
				m.Sum = monthSum(counts, filling)
				clear(counts)
				filling = 0
			}
			all = append(all, month{Name: at.Format("January 2006")})
			m = &all[len(all)-1]
		}
		weekday := (int(at.Weekday()) + 6) % 7
		if len(m.Weeks) == 0 || weekday == 0 {
			m.Weeks = append(m.Weeks, [7]cell{})
		}
		counts[d.State]++
		if d.State == report.Partial && d.Fills(now) {
			filling++
		}
		m.Weeks[len(m.Weeks)-1][weekday] = cellOf(d, at, now, today)
	}
	m.Sum = monthSum(counts, filling)
	slices.Reverse(all)
	return all
}

// earlier says which months are left out, since the installation is not responsible for them.
func earlier(days []report.Day) string {
	i := slices.IndexFunc(days, func(d report.Day) bool { return d.State != report.BeforeUs })
	switch {
	case len(days) == 0:
		return ""
	case i < 0:
		return "This installation is not responsible for any of these days."
	case i > 0 && days[0].Day[:7] < days[i].Day[:7]:
		return "This installation is responsible from " + longDay(days[i].Day) + " on."
	}
	return ""
}

func cellOf(d report.Day, at, now time.Time, today messages.Day) cell {
	c := cell{Day: d.Day, Number: at.Day(), Class: string(d.State), Link: d.State != report.BeforeUs}
	state := strings.ReplaceAll(string(d.State), "-", " ")
	if d.State == report.Partial && d.Fills(now) {
		c.Class, state = "filling", "filling up"
	}
	if d.Day == today {
		c.Class += " today"
	}
	c.Text = fmt.Sprintf("%s: %s", at.Format("2 January 2006"), state)
	if d.Files > 0 {
		c.Text += fmt.Sprintf(". %d of %s, %s", d.Delivered, plural(d.Files, "file"), report.Size(d.Bytes))
	}
	if !d.LastDelivery.IsZero() {
		c.Text += ", the last delivered " + d.LastDelivery.UTC().Format("2006-01-02 15:04 UTC")
	}
	if d.State != report.Complete && d.Why != "" {
		c.Text += ". " + report.Shown(d.Why)
	}
	return c
}

// monthSum is a month in a few words.
func monthSum(counts map[report.State]int, filling int) string {
	due := counts[report.Complete] + counts[report.Late] + counts[report.Partial] + counts[report.Missing]
	if due == 0 {
		return "nothing is due yet"
	}
	if counts[report.Complete] == due {
		return "all " + number(due) + " days complete"
	}
	parts := []string{fmt.Sprintf("%d of %d complete", counts[report.Complete], due)}
	for _, part := range []struct {
		n    int
		word string
	}{{counts[report.Missing], "missing"}, {counts[report.Partial] - filling, "partial"}, {filling, "filling up"}, {counts[report.Late], "late"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.word))
		}
	}
	return strings.Join(parts, ", ")
}
