package report

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// WriteText writes the report for a terminal: a summary, or one section.
func (r Report) WriteText(w io.Writer, v View) error { return r.page(v, false).text(w) }

// WriteText writes the statement for a terminal.
func (s Statement) WriteText(w io.Writer) error { return s.page(false).text(w) }

func (p page) text(w io.Writer) error {
	if err := p.textHead(w); err != nil {
		return err
	}
	for _, t := range p.Tables {
		if _, err := fmt.Fprintf(w, "\n%s: %s\n", strings.ToUpper(t.Name), t.Caption); err != nil {
			return err
		}
		if err := t.text(w); err != nil {
			return err
		}
		if t.More > 0 {
			if _, err := fmt.Fprintf(w, "  … and %d more; --output csv, json or html has them all\n", t.More); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p page) textHead(w io.Writer) error {
	for _, n := range p.Notes {
		if _, err := fmt.Fprintf(w, "NOTE: %s\n", Shown(n)); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "%s. %s\n", p.Title, p.Verdict); err != nil {
		return err
	}
	tabs := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range p.Facts {
		fmt.Fprintf(tabs, "  %s\t%s\n", f[0], Shown(f[1]))
	}
	return tabs.Flush()
}

// text aligns by itself: a tabwriter has all columns alike, and numbers stand right.
func (t table) text(w io.Writer) error {
	widths := make([]int, len(t.Columns))
	lines := [][]string{nil}
	for _, c := range t.Columns {
		lines[0] = append(lines[0], c.Name)
	}
	for _, r := range t.Rows {
		cells := make([]string, len(r.Cells))
		for i, c := range r.Cells {
			cells[i] = Shown(c)
		}
		lines = append(lines, cells)
	}
	for _, cells := range lines {
		for i, c := range cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(c))
		}
	}
	for _, cells := range lines {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			if t.Columns[i].Number {
				c, pad = pad+c, ""
			}
			b.WriteString("  " + c + pad)
		}
		if _, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " ")); err != nil {
			return err
		}
	}
	return nil
}
