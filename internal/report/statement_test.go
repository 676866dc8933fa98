package report_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// october is the evidence of a month with something of each kind.
func october() []report.Evidence {
	late := counted(delivered(listed("2026-10-30", 4, 24*6)), 5, sum("2026-10", "USD", "0.25"))
	late.Record.Copy.Statistics.Corrections = 2
	changed := counted(delivered(listed("2026-10-12", 5, 6)), 7, sum("2026-10", "USD", "3"))
	changed.Record.Copy.At = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	changed.Record.Copy.Replaced = &messages.Earlier{Size: 900, CRC32C: "old", At: start("2026-10-13"), Statistics: &messages.Statistics{Gzip: messages.GzipValid, Sums: []messages.Sum{sum("2026-10", "USD", "2")}}}
	soon := counted(delivered(listed("2026-10-13", 11, 6)), 0) // replaced before the close
	soon.Record.Copy.Replaced = &messages.Earlier{Size: 900, CRC32C: "old", At: start("2026-10-13")}
	skipped := counted(delivered(listed("2026-10-15", 6, 6)), 1)
	skipped.Record.Copy.Statistics.Skipped = "the parser fell behind"
	return []report.Evidence{
		counted(delivered(listed("2026-09-29", 1, 6)), 9, sum("2026-09", "USD", "100")),
		counted(delivered(listed("2026-10-01", 2, 6)), 10, sum("2026-09", "USD", "7"), sum("2026-10", "USD", "1.10"), sum("2026-10", "EUR", "0.000000001")),
		counted(delivered(listed("2026-10-31", 3, 6)), 20, sum("2026-10", "USD", "-0.1"), sum("2026-11", "USD", "50")),
		late, changed, soon, skipped,
		counted(delivered(listed("2026-11-01", 7, 6)), 3, sum("2026-10", "USD", "0.75"), sum("2026-11", "USD", "9")),
		counted(delivered(listed("2026-11-02", 8, 6)), 3, sum("2026-11", "USD", "9")),
		delivered(listed("2026-11-03", 9, 6)),
		recorded(listed("2026-10-20", 10, 6), messages.StatusFailed),
	}
}

func account(evidence []report.Evidence) report.Statement {
	a := report.Account{Head: head(), Month: "2026-10", Builder: &report.Builder{Now: now(), Listing: true}}
	for _, e := range evidence {
		a.Add(e)
	}
	return a.Statement()
}

func TestAStatementSumsTheBillingPeriodAndNamesWhatItLeavesOut(t *testing.T) {
	s := account(october())
	if want := []report.Cost{{"EUR", "0.000000001", "0.000000001"}, {"USD", "5", "5"}}; !slices.Equal(s.Cost, want) {
		t.Errorf("billing period: %v, want %v", s.Cost, want)
	}
	if want := []report.Cost{{"EUR", "0.000000001", "0.000000001"}, {"USD", "61.25", "61.25"}}; !slices.Equal(s.Usage, want) {
		t.Errorf("usage days: %v, want %v", s.Usage, want)
	}
	if want := []string{"focus/2026-10-15_0000000000000006-00001.csv.gz"}; !slices.Equal(s.Uncounted, want) {
		t.Errorf("not counted: %v, want %v", s.Uncounted, want)
	}
	if s.Delivered != 7 || s.Late != 2 || s.Corrections != 2 || s.CorrectionsLate != 2 || s.Rows != 42 || !s.Closed || s.Unproven != 0 {
		t.Errorf("statement: %+v", s)
	}
	if len(s.Undelivered) != 1 || s.Undelivered[0].Day != "2026-10-20" || s.Delivers() {
		t.Errorf("not delivered: %+v", s.Undelivered)
	}
	if len(s.Replaced) != 1 || s.Replaced[0].Was.Cost[0].Billed != "2" || s.Replaced[0].Is.Cost[0].Billed != "3" {
		t.Errorf("replaced: %+v", s.Replaced)
	}
	if len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "the 3 days before and after the month there are 1 file without") {
		t.Errorf("notes: %q", s.Notes)
	}
}

func TestTheDigestIsThatOfTheDeliveredBytes(t *testing.T) {
	all := october()
	one := account(all)
	rand.New(rand.NewSource(1)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	two := account(all)
	two.Made = two.Made.Add(time.Hour)
	if one.Digest != two.Digest || !slices.Equal(one.List, two.List) {
		t.Errorf("the same files have two digests: %s and %s", one.Digest, two.Digest)
	}
	h := sha256.Sum256([]byte(strings.Join(one.List, "\n") + "\n"))
	if want := "sha256:" + hex.EncodeToString(h[:]); one.Digest != want {
		t.Errorf("digest %s, want %s", one.Digest, want)
	}
	if !slices.IsSorted(one.List) || one.List[0] != "focus/2026-10-01_0000000000000002-00001.csv.gz,1000,c00001.csv.gz" {
		t.Errorf("list: %q", one.List)
	}
	for name, change := range map[string]func(*messages.FileCopied){
		"key": func(c *messages.FileCopied) { c.Key += "x" }, "checksum": func(c *messages.FileCopied) { c.CRC32C = "x" },
	} {
		changed := october()
		change(changed[1].Record.Copy)
		if account(changed).Digest == one.Digest {
			t.Errorf("another %s has the same digest", name)
		}
	}
}

func TestAnOpenMonthSaysSo(t *testing.T) {
	a := report.Account{Head: head(), Month: "2026-11", Builder: &report.Builder{Now: now(), Listing: true}}
	s := a.Statement()
	if s.Closed || len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "not closed before 2026-12-04 00:00 UTC") {
		t.Errorf("closed %t, notes %q", s.Closed, s.Notes)
	}
}

func TestAMonthThatOracleDeletesSaysSo(t *testing.T) {
	for made, want := range map[messages.Day]bool{"2027-09-20": false, "2027-09-30": true} {
		h := head()
		h.Made = start(made)
		a := report.Account{Head: h, Month: "2026-10", Builder: &report.Builder{Now: h.Made, Listing: true}}
		if s := a.Statement(); s.Known() || !strings.Contains(written(t, s), "0 files delivered; whether one is missing is NOT KNOWN") {
			t.Errorf("made on %s, a month without files is called whole: %s", made, written(t, s))
		}
		a.Add(delivered(listed("2026-10-31", 1, 6)))
		s := a.Statement()
		if s.Known() == want || (len(s.Notes) == 1 && strings.Contains(s.Notes[0], "Oracle deletes reports after a year")) != want {
			t.Errorf("made on %s: known %t, notes %q", made, s.Known(), s.Notes)
		}
	}
}

func TestAStatementClaimsNoMoreThanItKnows(t *testing.T) {
	for want, c := range map[string]struct {
		basis    string
		evidence []report.Evidence
		later    time.Duration
	}{
		"1 file delivered, and none is missing.":                                     {report.FromListing, october()[2:3], 0},
		"2 files delivered, and none that is listed is missing; NO FILE of 29 days.": {report.FromListing, october()[1:3], 0},
		"of 2026-10-02 to 2026-10-11, 2026-10-13 to 2026-10-30":                      {report.FromListing, append(october()[1:3], october()[4]), 0},
		"1 file delivered, and none is missing; 1 IN NO SUM":                         {report.FromListing, []report.Evidence{delivered(listed("2026-10-31", 1, 6))}, 0},
		"1 file delivered; whether one is missing is NOT KNOWN.":                     {report.FromLedger, october()[2:3], 0},
		"1 file delivered; whether one is missing is NOT KNOWN. ":                    {report.FromListing, october()[2:3], 330 * 24 * time.Hour}, // when Oracle deletes the first
		"7 files delivered, and 1 NOT DELIVERED; 1 IN NO SUM; NO FILE of 24 days.":   {report.FromListing, october(), 0},
	} {
		s := account(c.evidence)
		s.Basis, s.Made = c.basis, s.Made.Add(c.later)
		if out := written(t, s); !strings.Contains(out, strings.TrimSpace(want)) {
			t.Errorf("%s lacks %q", out, want)
		}
	}
}

func written(t *testing.T, s report.Statement) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.WriteText(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestWhatStandsAtTheDestinationIsInTheSums, also where a newer version is held, waits or
// was discarded; what has to be sent again is not known to stand there.
func TestWhatStandsAtTheDestinationIsInTheSums(t *testing.T) {
	for name, c := range map[string]struct {
		change               func(*messages.Record)
		earlier, undelivered int
	}{
		"held":                    {func(r *messages.Record) { r.Status, r.Class = messages.StatusFailed, messages.Held }, 1, 1},
		"held, and then decided":  {func(r *messages.Record) { r.Status, r.Class = messages.StatusDiscarded, messages.Held }, 1, 0},
		"damaged, and discarded":  {func(r *messages.Record) { r.Status, r.Class = messages.StatusDiscarded, messages.HashMismatch }, 1, 1},
		"not seen by a scan":      {func(r *messages.Record) { r.Object.ETag = "old" }, 1, 1},
		"ordered once more":       {func(r *messages.Record) { r.Status = messages.StatusDue }, 0, 1},
		"a repeat that failed":    {func(r *messages.Record) { r.Status, r.Repeat = messages.StatusFailed, true }, 0, 1},
		"of a former destination": {func(r *messages.Record) { r.Epoch = -1 }, 0, 1},
	} {
		e := counted(delivered(listed("2026-10-31", 1, 6)), 5, sum("2026-10", "USD", "46.79"))
		r := *e.Record
		r.Object.Size = 2000
		e.Object.Size = 2000
		c.change(&r)
		e.Record = &r
		s := account([]report.Evidence{e})
		if s.Earlier != c.earlier || s.Delivered != c.earlier || len(s.Cost) != c.earlier || len(s.Usage) != c.earlier || len(s.Undelivered) != c.undelivered || s.Bytes != int64(1000*c.earlier) {
			t.Errorf("%s: %d earlier, %d delivered, %v, %d not delivered", name, s.Earlier, s.Delivered, s.Cost, len(s.Undelivered))
		}
		if c.earlier == 1 && (!strings.Contains(s.List[0], ",1000,c00001.csv.gz") || !strings.Contains(written(t, s), "1 of the delivered in an EARLIER VERSION")) {
			t.Errorf("%s: %q, %s", name, s.List, written(t, s))
		}
	}
}

func TestTheDigestCanBeMadeOfTheCSV(t *testing.T) {
	e := counted(delivered(listed("2026-10-31", 1, 6)), 1)
	e.Record.Copy.CRC32C = "+wMOag=="
	s := account([]report.Evidence{e})
	var out bytes.Buffer
	if err := s.WriteCSV(&out); err != nil || !strings.Contains(out.String(), ",1000,+wMOag==,") {
		t.Errorf("%v: a checksum is changed: %s", err, out.String())
	}
}

func TestMonths(t *testing.T) {
	for _, bad := range []string{"", "2026", "2026-13", "2026-1", "26-10", "2026-10-01"} {
		if _, err := report.ParseMonth(bad); err == nil {
			t.Errorf("%q is taken for a month", bad)
		}
	}
	m, err := report.ParseMonth("2028-02")
	if err != nil || m.First() != "2028-02-01" || m.Last() != "2028-02-29" || !m.Close().Equal(start("2028-03-04")) {
		t.Errorf("%v: %s to %s, closed %s", err, m.First(), m.Last(), m.Close())
	}
}

func TestOraclesTotalsAreCompared(t *testing.T) {
	usd := func(billed string) []report.Evidence {
		return []report.Evidence{counted(delivered(listed("2026-10-01", 2, 6)), 10, sum("2026-10", "USD", billed))}
	}
	for _, c := range []struct {
		ours, theirs, verdict, difference string
	}{
		{"12345.678", "12345.68", report.Equal, "-0.002"},
		{"10", "10.01", report.Equal, "-0.01"},
		{"10", "10.011", report.Different, "-0.011"},
		{"1000000", "1000100", report.Equal, "-100"},
		{"1000000", "1000101", report.Different, "-101"},
		{"5", "0", report.Different, "5"},
	} {
		s := account(usd(c.ours))
		s.Compare([]report.Total{{Currency: "USD", Amount: c.theirs}}, nil)
		if len(s.Compared) != 1 || s.Compared[0].Verdict != c.verdict || s.Compared[0].Difference != c.difference {
			t.Errorf("%s against %s: %+v, want %s by %s", c.ours, c.theirs, s.Compared, c.verdict, c.difference)
		}
	}
	s := account(usd("5"))
	s.Compare([]report.Total{{Currency: "EUR", Amount: "3"}}, nil)
	if want := []report.Compared{{"EUR", "3", "0", "-3", report.Different}, {"USD", "0", "5", "5", report.Different}}; !slices.Equal(s.Compared, want) {
		t.Errorf("currencies that only one has: %+v, want %+v", s.Compared, want)
	}
	s = account(october())
	if s.Compare([]report.Total{{Currency: "USD", Amount: "61.25"}}, nil); s.Compared[1].Verdict != report.Unknown {
		t.Errorf("with files in no sum: %+v", s.Compared)
	}
	s = account(nil)
	s.Compare(nil, errors.New("no policy"))
	var out bytes.Buffer
	if err := s.WriteText(&out); err != nil || !strings.Contains(out.String(), "NOT COMPARED: no policy") {
		t.Errorf("%v: %s", err, out.String())
	}
	if s.Compare([]report.Total{{Currency: "USD", Amount: "NaN"}}, nil); len(s.Compared) > 0 || !strings.Contains(s.OracleError, "cannot be read") {
		t.Errorf("an answer that is no number: %+v, %s", s.Compared, s.OracleError)
	}
}
