package report

import (
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteCSV writes one table: the days where these are asked for, else one row for each
// file, each deviation that the last verification found and each difference, with the
// section in front.
func (r Report) WriteCSV(w io.Writer, v View) error {
	if v.Section == "days" {
		return writeCSV(w, r.dayRows(v))
	}
	return writeCSV(w, r.fileRows(v))
}

func (r Report) dayRows(v View) [][]string {
	rows := [][]string{{"day", "state", "files", "delivered", "inherited", "discarded", "failed", "pending", "bytes", "rows", "corrections",
		"uncounted", "billed", "effective", "currency", "first_delivery", "last_delivery", "latency_median_seconds", "latency_max_seconds", "why"}}
	for _, d := range r.shownDays(v) {
		billed, effective, currency := columns(d.Cost)
		rows = append(rows, []string{string(d.Day), string(d.State), num(d.Files), num(d.Delivered), num(d.Inherited), num(d.Discarded), num(d.Failed), num(d.Pending),
			num(d.Bytes), num(d.Rows), num(d.Corrections), num(d.Uncounted), billed, effective, currency,
			stamp(d.FirstDelivery), stamp(d.LastDelivery), num(d.LatencyMedian), num(d.LatencyMax), d.Why})
	}
	return rows
}

func (r Report) fileRows(v View) [][]string {
	rows := [][]string{{"section", "reason", "day", "object", "key", "size", "listed", "appeared", "delivered", "proven_by", "crc32c", "attempts", "counted",
		"rows", "corrections", "billed", "effective", "currency", "why"}}
	for _, f := range r.Files {
		if v.ErrorsOnly && f.Section != Failed || v.Section != "" && v.Section != string(f.Section) {
			continue
		}
		rows = append(rows, f.cells())
	}
	if r.Verification != nil && v.shows(string(Verified), false, false) {
		for _, d := range r.Verification.Differences {
			rows = append(rows, aside(string(Verified), markWord(d.Mark), string(d.Day), d.Object, d.Key, d.Why))
		}
	}
	if v.shows("differences", false, false) {
		for _, d := range r.Differences {
			rows = append(rows, aside("differences", "contradiction", string(d.Day), d.Object, "", d.Why))
		}
	}
	return rows
}

func (f File) cells() []string {
	billed, effective, currency := columns(f.Cost)
	return []string{string(f.Section), f.Reason, string(f.Day), f.Object, f.Key, num(f.Size), fmt.Sprint(f.Listed), stamp(f.Appeared), stamp(f.Delivered),
		f.Verified, f.CRC32C, num(f.Attempts), fmt.Sprint(f.Counted), num(f.Rows), num(f.Corrections), billed, effective, currency, f.Why}
}

// aside is a row that is not one of a file.
func aside(section, reason, day, object, key, why string) []string {
	return []string{section, reason, day, object, key, "", "", "", "", "", "", "", "", "", "", "", "", "", why}
}

// markWord is a mark of a verification as a cell that no spreadsheet calculates.
func markWord(mark string) string {
	switch mark {
	case "+":
		return "missing"
	case "-":
		return "only-there"
	case "*":
		return "different"
	}
	return "error"
}

// columns are costs as cells; with several currencies each cell has as many values, in
// one order, with a blank in between.
func columns(costs []Cost) (billed, effective, currency string) {
	var b, e, c []string
	for _, cost := range costs {
		b, e, c = append(b, cost.Billed), append(e, cost.Effective), append(c, cost.Currency)
	}
	return strings.Join(b, " "), strings.Join(e, " "), strings.Join(c, " ")
}

// WriteCSV writes one row for each file of the month, undelivered ones too, and one
// for each sum.
func (s Statement) WriteCSV(w io.Writer) error {
	rows := [][]string{{"kind", "key", "size", "crc32c", "day", "object", "reason", "delivered", "late", "counted", "rows", "corrections", "billed", "effective", "currency", "why"}}
	for _, f := range s.Files {
		rows = append(rows, s.fileCells("delivered", f))
	}
	for _, f := range s.Undelivered {
		rows = append(rows, s.fileCells("undelivered", f))
	}
	for _, d := range s.Empty {
		rows = append(rows, []string{"no-file", "", "", "", string(d), "", "", "", "", "", "", "", "", "", "", "no file of this day is known"})
	}
	for _, r := range s.Replaced {
		for _, v := range []struct {
			kind string
			Sums
		}{{"replaced-was", r.Was}, {"replaced-is", r.Is}} {
			billed, effective, currency := columns(v.Cost)
			rows = append(rows, []string{v.kind, r.Key, num(v.Size), v.CRC32C, "", r.Object, "", stamp(v.At), "", fmt.Sprint(v.Cost != nil), "", "", billed, effective, currency, ""})
		}
	}
	for _, part := range []struct {
		kind  string
		costs []Cost
	}{{"sum-billing-period", s.Cost}, {"sum-usage-days", s.Usage}} {
		for _, c := range part.costs {
			rows = append(rows, []string{part.kind, "", "", "", "", "", "", "", "", "", "", "", c.Billed, c.Effective, c.Currency, ""})
		}
	}
	for _, c := range s.Compared {
		rows = append(rows, []string{"sum-oracle", "", "", "", "", "", c.Verdict, "", "", "", "", "", c.Oracle, "", c.Currency, "difference " + c.Difference})
	}
	return writeCSV(w, append(rows, []string{"digest", s.Digest, "", "", "", "", "", "", "", "", "", "", "", "", "", strings.Join(s.Notes, "; ")}))
}

func (s Statement) fileCells(kind string, f File) []string {
	billed, effective, currency := columns(f.Cost)
	late := fmt.Sprint(!f.Delivered.IsZero() && f.Delivered.After(s.Closes))
	return []string{kind, f.Key, num(f.Size), f.CRC32C, string(f.Day), f.Object, f.Reason, stamp(f.Delivered), late, fmt.Sprint(f.Counted), num(f.Rows), num(f.Corrections), billed, effective, currency, f.Why}
}

func num[T int | int64 | float64](n T) string { return fmt.Sprint(n) }

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func writeCSV(w io.Writer, rows [][]string) error {
	out := csv.NewWriter(w)
	for _, cells := range rows {
		for i, c := range cells {
			cells[i] = harmless(c)
		}
		if err := out.Write(cells); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// harmless is a cell that no spreadsheet takes for a formula: what begins like one, and
// is no number, gets an apostrophe in front. A checksum may begin with a plus, is none,
// and has to stay what the digest is of.
func harmless(s string) string {
	s = Shown(s)
	if len(s) == 8 && strings.HasSuffix(s, "==") {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil && len(raw) == 4 {
			return s
		}
	}
	if first := strings.TrimSpace(s); first == "" || !strings.ContainsRune("=+-@", rune(first[0])) {
		return s
	}
	for field := range strings.FieldsSeq(s) {
		if _, err := parseAmount(field); err != nil {
			return "'" + s
		}
	}
	return s
}
