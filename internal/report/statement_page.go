package report

import (
	"fmt"
	"slices"
	"strings"

	"oracle-focus-agent/messages"
)

// page is the statement in words. whole has the list of all files.
func (s Statement) page(whole bool) page {
	p := page{
		Title: "Statement of " + string(s.Month), Verdict: s.verdict(), Good: s.good(),
		Notes: s.Notes, Facts: s.facts(),
	}
	add := func(t table) {
		if !whole {
			t = t.summed()
		}
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	add(sumsTable(s))
	add(comparedTable(s.Compared))
	add(undeliveredTable(s.Undelivered))
	add(replacedTable(s.Replaced))
	add(s.lateTable())
	add(s.uncountedTable())
	if whole {
		add(s.signedTable())
	}
	return p
}

// Delivers reports whether everything of the month is at the destination.
func (s Statement) Delivers() bool { return len(s.Undelivered) == 0 }

// good reports whether the account is whole and nothing speaks against it.
func (s Statement) good() bool {
	return s.Delivers() && s.Closed && s.Known() && len(s.Uncounted)+len(s.Empty) == 0 && s.OracleError == "" &&
		!slices.ContainsFunc(s.Compared, func(c Compared) bool { return c.Verdict != Equal })
}

func (s Statement) verdict() string {
	verdict := fmt.Sprintf("%s delivered", files(s.Delivered))
	switch {
	case !s.Delivers():
		verdict += fmt.Sprintf(", and %d NOT DELIVERED", len(s.Undelivered))
	case !s.Known():
		verdict += "; whether one is missing is NOT KNOWN"
	case len(s.Empty) > 0:
		verdict += ", and none that is listed is missing"
	default:
		verdict += ", and none is missing"
	}
	if s.Earlier > 0 {
		verdict += fmt.Sprintf("; %d of the delivered in an EARLIER VERSION", s.Earlier)
	}
	if n := len(s.Uncounted); n > 0 {
		verdict += fmt.Sprintf("; %d IN NO SUM", n)
	}
	if n := len(s.Empty); n > 0 {
		verdict += fmt.Sprintf("; NO FILE of %s", some(int64(n), "day"))
	}
	return verdict + "."
}

func (s Statement) facts() [][2]string {
	facts := append(s.Head.facts(),
		[2]string{"usage days", fmt.Sprintf("%s to %s", s.Month.First(), s.Month.Last())},
		[2]string{"close", shortTime(s.Closes)},
		[2]string{"delivered", fmt.Sprintf("%s, %s; %d of them after the close, %d by the Python agent", files(s.Delivered), Size(s.Bytes), s.Late, s.Inherited)},
		[2]string{"corrected", fmt.Sprintf("%s replaced since the close; %d correction rows, %d of them delivered since the close", files(len(s.Replaced)), s.Corrections, s.CorrectionsLate)},
		[2]string{"rows", fmt.Sprintf("%d of the usage days%s", s.Rows, without(len(s.Uncounted)))},
		[2]string{"digest", fmt.Sprintf("%s over %d lines of key,size,crc32c", s.Digest, len(s.List))},
	)
	if len(s.Empty) > 0 {
		facts = append(facts, [2]string{"no file", fmt.Sprintf("of %s; `report --month %s --compare` asks Oracle what the month cost", spans(s.Empty), s.Month)})
	}
	if s.Unproven > 0 {
		facts = append(facts, [2]string{"", fmt.Sprintf("%d of the lines have no checksum: this program has not seen those bytes", s.Unproven)})
	}
	if s.OracleError != "" {
		facts = append(facts, [2]string{"Oracle", "NOT COMPARED: " + s.OracleError})
	}
	return facts
}

func sumsTable(s Statement) table {
	caption := "Exact sums of the delivered files"
	if len(s.Uncounted) > 0 {
		caption += fmt.Sprintf(", NOT COUNTING %s without complete statistics", files(len(s.Uncounted)))
	}
	t := table{Name: "Sums", Caption: caption, Columns: heads("of", "currency", "#billed", "#effective")}
	for _, part := range []struct {
		of    string
		costs []Cost
	}{{"billing period " + string(s.Month), s.Cost}, {"usage days of " + string(s.Month), s.Usage}} {
		for _, c := range part.costs {
			t.Rows = append(t.Rows, row{"", []string{part.of, c.Currency, c.Billed, c.Effective}})
		}
	}
	return t
}

func comparedTable(all []Compared) table {
	t := table{Name: "Oracle", Caption: "Oracle's own totals of the usage days, against the billed sums; equal is within 0.01 or 0.01 %",
		Columns: heads("currency", "verdict", "#Oracle", "#ours", "#difference")}
	for _, c := range all {
		mark := string(Partial)
		switch c.Verdict {
		case Equal:
			mark = string(Complete)
		case Different:
			mark = string(Missing)
		}
		t.Rows = append(t.Rows, row{mark, []string{c.Currency, c.Verdict, c.Oracle, c.Ours, c.Difference}})
	}
	return t
}

func undeliveredTable(all []File) table {
	t := table{Name: "Not delivered", Caption: "Files of the month that are not at the destination", Columns: heads("file", "#size", "state", "reason", "why")}
	for _, f := range all {
		t.Rows = append(t.Rows, row{string(Failed), []string{f.Object, Size(f.Size), string(f.Section), words(f.Reason), f.Why}})
	}
	return t
}

func replacedTable(all []Replacement) table {
	t := table{Name: "Replaced", Caption: "Files that were delivered with other bytes after the close",
		Columns: heads("key", "which", "delivered", "#bytes", "crc32c", "billed")}
	for _, r := range all {
		t.Rows = append(t.Rows,
			row{"", []string{r.Key, "was", shortTime(r.Was.At), fmt.Sprint(r.Was.Size), r.Was.CRC32C, exact(r.Was.Cost)}},
			row{"", []string{r.Key, "is", shortTime(r.Is.At), fmt.Sprint(r.Is.Size), r.Is.CRC32C, exact(r.Is.Cost)}})
	}
	return t
}

// some is a number of something.
func some(n int64, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// spans are days in words, those in a row as one span.
func spans(all []messages.Day) string {
	var out []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j].Add(1) {
			j++
		}
		if out = append(out, string(all[i])); j > i {
			out[len(out)-1] += " to " + string(all[j])
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// exact is a cost in full.
func exact(costs []Cost) string {
	if costs == nil {
		return "not counted"
	}
	if len(costs) == 0 {
		return "0" // no rows
	}
	var all []string
	for _, c := range costs {
		all = append(all, c.Billed+" "+c.Currency)
	}
	return strings.Join(all, ", ")
}

func (s Statement) lateTable() table {
	t := table{Name: "Late", Caption: "Files that were delivered after the close", Columns: heads("key", "appeared", "delivered", "#corrections", "billed")}
	for _, f := range s.Files {
		if !f.Delivered.After(s.Closes) {
			continue
		}
		cost := "not counted"
		if f.Counted {
			cost = exact(f.Cost)
		}
		t.Rows = append(t.Rows, row{"", []string{f.Key, moment(f.Appeared), moment(f.Delivered), fmt.Sprint(f.Corrections), cost}})
	}
	return t
}

func (s Statement) uncountedTable() table {
	t := table{Name: "Not counted", Caption: "Delivered files that are in no sum, since they have no complete statistics", Columns: heads("key")}
	for _, key := range s.Uncounted {
		t.Rows = append(t.Rows, row{string(Partial), []string{key}})
	}
	return t
}

func (s Statement) signedTable() table {
	t := table{Name: "Signed", Caption: "The lines of the digest", Columns: heads("key,size,crc32c")}
	for _, line := range s.List {
		t.Rows = append(t.Rows, row{"", []string{line}})
	}
	return t
}
