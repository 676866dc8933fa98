package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"oracle-focus-agent/messages"
)

// A View is what of a report is shown.
type View struct {
	// Section is one of Sections; empty: a summary, or everything in HTML.
	Section string
	// ErrorsOnly leaves out what is as it should be.
	ErrorsOnly bool
}

// Sections are what View.Section can be.
func Sections() []string {
	return []string{"days", string(Transferred), string(Skipped), string(Verified), string(Failed), string(Pending)}
}

// shows tells whether a part is shown; detail is one that a summary leaves out.
func (v View) shows(part string, good, detail bool) bool {
	if v.ErrorsOnly && good {
		return false
	}
	if v.Section != "" {
		return v.Section == part
	}
	return !detail
}

// A page is a report in words, for a terminal and for a browser.
type page struct {
	Title   string
	Verdict string
	Good    bool
	Facts   [][2]string
	Notes   []string
	Tables  []table
}

// A table has a name, says in a caption what it holds, and has its key in the first column.
type table struct {
	Name, Caption string
	Columns       []column
	Rows          []row
	// More is how many rows a summary leaves out.
	More int
}

// summaryRows is how many rows of a list a summary shows.
const summaryRows = 20

// summed is the table as a summary shows it.
func (t table) summed() table {
	if n := len(t.Rows) - summaryRows; n > 0 && t.Name != "Days" {
		t.Rows, t.More = t.Rows[:summaryRows], n
	}
	return t
}

type column struct {
	Name   string
	Number bool
}

// A row has a mark of its state, for a colour.
type row struct {
	Mark  string
	Cells []string
}

func heads(names ...string) (columns []column) {
	for _, n := range names {
		name, number := strings.CutPrefix(n, "#")
		columns = append(columns, column{name, number})
	}
	return columns
}

// page is what of the report is shown. whole has the lists that a summary leaves out.
func (r Report) page(v View, whole bool) page {
	p := page{
		Title:   fmt.Sprintf("Cost reports of %s to %s", r.From, r.To),
		Verdict: r.verdict(), Good: r.good(), Notes: r.Notes, Facts: r.facts(),
	}
	add := func(part string, good, detail bool, t table) {
		if !whole && v.Section == "" {
			t = t.summed()
		}
		if v.shows(part, good, detail && !whole) && (len(t.Rows) > 0 || v.Section == part) {
			p.Tables = append(p.Tables, t)
		}
	}
	add("days", false, false, daysTable(r.shownDays(v)))
	add(string(Failed), false, false, filesTable(Failed, "Failed", "Files that are not at the destination, and why", r.Files))
	add(string(Pending), true, false, filesTable(Pending, "Pending", "Files that are still to come", r.Files))
	add(string(Verified), false, false, verifiedTable(r.Verification))
	add("differences", false, false, differencesTable(r.Differences))
	add(string(Transferred), true, true, filesTable(Transferred, "Transferred", "Files that this program brought", r.Files))
	add(string(Skipped), true, true, filesTable(Skipped, "Skipped", "Files that were not sent, and why", r.Files))
	return p
}

func (r Report) good() bool {
	return r.Basis == FromListing && len(r.Notes) == 0 && r.Totals.Failed+len(r.Differences) == 0 &&
		(r.Verification == nil || r.Verification.Differ() == 0) && !slices.ContainsFunc(r.Days, r.wrong)
}

// wrong reports whether a day is not as it should be by now. One that is still filling
// up is.
func (r Report) wrong(d Day) bool {
	return d.State == Missing || d.State == Partial && !d.Fills(r.Made)
}

// Fills reports whether a partial day only fills up, as days do.
func (d Day) Fills(now time.Time) bool {
	return d.Failed == 0 && now.Before(begin(d.Day).Add(closedAfter))
}

// Short reports whether all that is known of a day is delivered, and it lacks something
// only by what is usual. Nobody but Oracle can bring more.
func (d Day) Short() bool {
	return (d.State == Missing || d.State == Partial) && d.Failed+d.Pending == 0
}

// shownDays are the days of a view.
func (r Report) shownDays(v View) (days []Day) {
	for _, d := range r.Days {
		if !v.ErrorsOnly || r.wrong(d) {
			days = append(days, d)
		}
	}
	return days
}

func (r Report) verdict() string {
	var parts []string
	for _, s := range States() {
		if n := r.States[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s%s", n, words(string(s)), r.filling(s)))
		}
	}
	return "Report days: " + strings.Join(parts, ", ") + "."
}

// filling tells how many of the partial days only fill up, as days do.
func (r Report) filling(s State) string {
	n := 0
	for _, d := range r.Days {
		if d.State == Partial && s == Partial && !r.wrong(d) {
			n++
		}
	}
	switch {
	case n == 0:
		return ""
	case n == r.States[Partial]:
		return " (still filling up)"
	}
	return fmt.Sprintf(" (%d still filling up)", n)
}

// words is a state in a sentence.
func words(s string) string { return strings.ReplaceAll(s, "-", " ") }

func (h Head) facts() [][2]string {
	return [][2]string{
		{"route", h.Route + ": " + h.Source + " -> " + h.Destination},
		{"made", shortTime(h.Made) + ", from " + h.Basis},
	}
}

func (r Report) facts() [][2]string {
	t := r.Totals
	listed := fmt.Sprintf("%s, %s", files(t.Listed), Size(t.ListedBytes))
	if r.Basis == FromLedger {
		listed = "not known"
	} else if len(r.Differences) == 0 && t.Add() {
		listed += "; all accounted for below"
	} else {
		listed += "; NOT all accounted for, see the differences below"
	}
	facts := append(r.Head.facts(),
		[2]string{"listed", listed},
		[2]string{"transferred", fmt.Sprintf("%s, %s%s", files(t.Transferred), Size(t.Bytes), counted(t.Proven, "; proven by "))},
		[2]string{"skipped", files(t.Skipped) + counted(t.Reasons, ": ")},
		[2]string{"failed", files(t.Failed)},
		[2]string{"pending", files(t.Pending)},
		[2]string{"verified", verified(r.Verification)},
	)
	if t.Unlisted > 0 && r.Basis != FromLedger {
		facts = append(facts, [2]string{"not listed", files(t.Unlisted) + " of these: known to the ledger, and no longer listed"})
	}
	return append(facts, [2]string{"content", fmt.Sprintf("%s, %s, billed %s%s", some(t.Rows, "row"), some(t.Corrections, "correction"), Money(t.Cost), without(t.Uncounted))},
		[2]string{"usual", r.Cadence.Text()})
}

func without(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("; not counted: %s without complete statistics", files(n))
}

// counted lists counts by name.
func counted(counts map[string]int, before string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], words(name)))
	}
	if len(parts) == 0 {
		return ""
	}
	return before + strings.Join(parts, ", ")
}

func verified(v *messages.Verification) string {
	if v == nil {
		return "never; `oracle-focus-agent verify` compares source, ledger and destination"
	}
	if v.Destination == "unreadable" {
		return fmt.Sprintf("%s, days %s to %s, SOURCE AND LEDGER ONLY, since these keys may not read the destination: %d agree, %d pending, %d given up, %d errors",
			shortTime(v.Started), v.From, v.To, v.Equal, v.Pending, v.Missing, v.Errors)
	}
	taken := ""
	if v.Ingested > 0 {
		taken = fmt.Sprintf(" %d ingested,", v.Ingested)
	}
	return fmt.Sprintf("%s, days %s to %s, destination by %s: %d equal,%s %d pending, %d missing, %d only there, %d different, %d errors",
		shortTime(v.Started), v.From, v.To, v.Destination, v.Equal, taken, v.Pending, v.Missing, v.OnlyThere, v.Different, v.Errors)
}

func daysTable(days []Day) table {
	t := table{Name: "Days", Caption: "What of each report day (UTC) is at the destination",
		Columns: heads("day", "state", "#files", "#size", "#rows", "#billed", "delivered", "latency", "why")}
	for _, d := range days {
		rows := "-"
		if d.Uncounted < d.Delivered {
			rows = fmt.Sprint(d.Rows)
		}
		t.Rows = append(t.Rows, row{string(d.State), []string{
			string(d.Day), words(string(d.State)), fmt.Sprintf("%d/%d", d.Delivered, d.Files), Size(d.Bytes), rows, dayMoney(d),
			span(d.FirstDelivery, d.LastDelivery), latency(d), d.Why,
		}})
	}
	return t
}

// dayMoney is never a partial sum without saying so.
func dayMoney(d Day) string {
	switch {
	case d.Delivered == 0 || d.Uncounted == d.Delivered:
		return "-"
	case d.Uncounted > 0:
		return Money(d.Cost) + fmt.Sprintf(" (%s not counted)", files(d.Uncounted))
	}
	return Money(d.Cost)
}

func span(first, last time.Time) string {
	switch {
	case first.IsZero():
		return "-"
	case first.Truncate(time.Minute).Equal(last.Truncate(time.Minute)):
		return first.UTC().Format("2006-01-02 15:04")
	case messages.DayOf(first) == messages.DayOf(last):
		return first.UTC().Format("2006-01-02 15:04") + last.UTC().Format(" – 15:04")
	}
	return first.UTC().Format("2006-01-02 15:04") + last.UTC().Format(" – 2006-01-02 15:04")
}

func latency(d Day) string {
	if d.LatencyMax == 0 {
		return "-"
	}
	return brief(d.LatencyMedian) + ", at most " + brief(d.LatencyMax)
}

func brief(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= time.Hour:
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// filesTable is the files of a section.
func filesTable(s Section, name, caption string, all []File) table {
	t := table{Name: name, Caption: caption, Columns: heads("file", "#size", "reason", "proven by", "delivered", "#rows", "why")}
	if s == Failed || s == Pending {
		t.Columns = heads("file", "#size", "reason", "#attempts", "why")
	}
	for _, f := range all {
		if f.Section != s {
			continue
		}
		cells := []string{f.Object, Size(f.Size), words(f.Reason)}
		if s == Failed || s == Pending {
			cells = append(cells, fmt.Sprint(f.Attempts), f.Why)
		} else {
			cells = append(cells, dash(f.Verified), moment(f.Delivered), rowsOf(f), f.Why)
		}
		t.Rows = append(t.Rows, row{string(s), cells})
	}
	return t
}

func rowsOf(f File) string {
	if !f.Counted {
		return "-"
	}
	return fmt.Sprint(f.Rows)
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func moment(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return shortTime(t)
}

func verifiedTable(v *messages.Verification) table {
	t := table{Name: "Verified", Caption: "What the last verification found to be not as it should be (+ missing, - only there, * different, ! error)",
		Columns: heads("file", "mark", "day", "why")}
	if v == nil {
		return t
	}
	for _, d := range v.Differences {
		name := d.Object
		if name == "" {
			name = d.Key
		}
		t.Rows = append(t.Rows, row{string(Failed), []string{name, d.Mark, string(d.Day), d.Why}})
	}
	return t
}

func differencesTable(all []Difference) table {
	t := table{Name: "Differences", Caption: "Objects for which the listing and the ledger do not agree", Columns: heads("file", "day", "why")}
	for _, d := range all {
		t.Rows = append(t.Rows, row{string(Failed), []string{d.Object, dash(string(d.Day)), d.Why}})
	}
	return t
}

// Money is costs to look at: rounded to two places.
func Money(costs []Cost) string {
	var parts []string
	for _, c := range costs {
		parts = append(parts, cents(c.Billed)+" "+c.Currency)
	}
	if len(parts) == 0 {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// Size is a number of bytes to look at.
func Size(n int64) string {
	unit, value := "B", float64(n)
	for _, u := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		unit, value = u, value/1024
	}
	if unit == "B" {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}

// Shown is a text of somebody else, of which nothing is invisible or turns the
// reading direction.
func Shown(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				fmt.Fprintf(&b, `\x%02x`, s[i])
				continue
			}
			b.WriteRune(r)
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
