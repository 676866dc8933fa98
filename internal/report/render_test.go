package report_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// hostile is a report with names that attack whoever reads it.
func hostile(names ...string) report.Report {
	m := &report.Making{Head: head(), From: "2026-11-19", To: "2026-11-20", Builder: &report.Builder{Now: now(), Listing: true},
		Verification: &messages.Verification{Started: now(), From: "2026-11-19", To: "2026-11-20", Destination: "head", Missing: len(names)}}
	m.Head.Notes = append(m.Head.Notes, names...)
	for _, name := range names {
		m.Add(report.Evidence{Listed: true, Object: messages.Object{Name: name, Size: 1}, Reason: messages.BadName, Rule: "its name: " + name})
		e := delivered(listed("2026-11-20", 1, 6))
		e.Record.Error, e.Record.Status, e.Key = name, messages.StatusFailed, name
		m.Add(e)
		m.Add(counted(delivered(listed("2026-11-19", 2, 6)), 3, sum("2026-11", name, "-1.5")))
		m.Verification.Differences = append(m.Verification.Differences, messages.Deviation{Mark: "+", Day: "2026-11-20", Object: name, Key: name, Why: name})
	}
	return m.Report()
}

const attack = "=1+1<script>alert(1)</script>\u202eexe.gpj\n\x1b[31m\" onmouseover=\"x"

func TestNothingInTheHTMLActsOrIsFetched(t *testing.T) {
	var out bytes.Buffer
	if err := hostile(attack).WriteHTML(&out, report.View{}); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	for _, bad := range []string{"<script", "http:", "https:", "src=", "href=", "url(", "@import", "<link", "<iframe", "<form", "onmouseover=\"", "\u202e", "\x1b", "&#34;\n"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	tables := strings.Count(page, "<table>")
	if tables < 4 || strings.Count(page, "<caption>") != tables || strings.Count(page, `scope="col"`) < 4*tables || !strings.Contains(page, `scope="row"`) {
		t.Errorf("%d tables, %d captions, %d column heads", tables, strings.Count(page, "<caption>"), strings.Count(page, `scope="col"`))
	}
	for _, want := range []string{"<!DOCTYPE html>", `<html lang="en">`, `<meta name="color-scheme" content="light dark">`, `name="viewport"`, "@media print", "prefers-color-scheme: dark", `\u202eexe.gpj\u000a`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, tag := range []string{"table", "tr", "td", "th", "thead", "tbody", "div", "dl", "dd", "dt", "p", "main", "body", "html", "caption"} {
		if open, closed := len(regexp.MustCompile(`<`+tag+`[ >]`).FindAllString(page, -1)), strings.Count(page, "</"+tag+">"); open != closed {
			t.Errorf("<%s> is opened %d times and closed %d times", tag, open, closed)
		}
	}
}

func TestNoTextTurnsTheTerminal(t *testing.T) {
	for _, section := range append(report.Sections(), "") {
		var out bytes.Buffer
		if err := hostile(attack).WriteText(&out, report.View{Section: section}); err != nil {
			t.Fatal(err)
		}
		if strings.ContainsAny(out.String(), "\x1b\u202e") {
			t.Errorf("section %q: %q", section, out.String())
		}
	}
}

func TestCSVIsWellFormedAndCalculatesNothing(t *testing.T) {
	number := regexp.MustCompile(`^[-+]?[0-9.]+( [-+]?[0-9.]+)*$`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[=+\-@ \t\r\n",;']{0,4}[a-z0-9=+\-@ "\n\x{202e}]{0,8}`).Draw(t, "name")
		v := report.View{Section: rapid.SampledFrom(append(report.Sections(), "")).Draw(t, "section"), ErrorsOnly: rapid.Bool().Draw(t, "errors only")}
		var out bytes.Buffer
		if err := hostile(name, attack).WriteCSV(&out, v); err != nil {
			t.Fatal(err)
		}
		checkCSV(t, &out, number)
		out.Reset()
		s := account([]report.Evidence{counted(delivered(listed("2026-10-01", 2, 6)), 1, sum("2026-10", name, "-4")), recorded(report.Evidence{Listed: true, Day: "2026-10-02", Key: name, Object: messages.Object{Name: name, ETag: "e"}}, messages.StatusFailed)})
		if err := s.WriteCSV(&out); err != nil {
			t.Fatal(err)
		}
		checkCSV(t, &out, number)
	})
}

func checkCSV(t *rapid.T, out io.Reader, number *regexp.Regexp) {
	rows, err := csv.NewReader(out).ReadAll() // it wants as many fields in each row as in the first
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if c := strings.TrimSpace(cell); c != "" && strings.ContainsRune("=+-@", rune(c[0])) && !number.MatchString(c) {
				t.Fatalf("a spreadsheet calculates %q", cell)
			}
		}
	}
}

func TestAViewShowsWhatItSays(t *testing.T) {
	r := hostile("name")
	var all, failed bytes.Buffer
	if err := r.WriteCSV(&all, report.View{}); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteCSV(&failed, report.View{Section: "failed"}); err != nil {
		t.Fatal(err)
	}
	if a, f := strings.Count(all.String(), "\n"), strings.Count(failed.String(), "\n"); a != 5 || f != 2 {
		t.Errorf("%d lines of all and %d of the failed, want 5 and 2:\n%s%s", a, f, all.String(), failed.String())
	}
	if red := r.Reduced(report.View{ErrorsOnly: true}); len(red.Files) != 1 || red.Files[0].Section != report.Failed || len(red.Days) != 1 {
		t.Errorf("errors only: %+v", red)
	}
	if len(r.Files) != 3 {
		t.Errorf("a view changed the report: %d files", len(r.Files))
	}
}

// TestAReportSaysHowTheDestinationWasLookedAt: with keys that may only write, nobody saw it.
func TestAReportSaysHowTheDestinationWasLookedAt(t *testing.T) {
	for want, v := range map[string]messages.Verification{
		"SOURCE AND LEDGER ONLY, since these keys may not read the destination: 5 agree, 1 pending, 2 given up, 0 errors": {Destination: "unreadable", Equal: 5, Pending: 1, Missing: 2},
		"destination by list: 5 equal, 3 ingested, 1 pending, 0 missing":                                                  {Destination: "list", Equal: 5, Pending: 1, Ingested: 3},
	} {
		m := &report.Making{Head: head(), From: "2026-11-20", To: "2026-11-20", Builder: &report.Builder{Now: now(), Listing: true}, Verification: &v}
		var out bytes.Buffer
		if err := m.Report().WriteText(&out, report.View{}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%v: %s lacks %q", err, out.String(), want)
		}
	}
}

func TestTheSummaryIsShort(t *testing.T) {
	m := &report.Making{Head: head(), From: "2026-11-20", To: "2026-11-20", Builder: &report.Builder{Now: now(), Listing: true}}
	for n := range 50 {
		m.Add(listed("2026-11-20", n, 6))
	}
	for section, want := range map[string]string{"": "… and 30 more; --output csv, json or html has them all", "pending": "0000000000000049"} {
		var out bytes.Buffer
		if err := m.Report().WriteText(&out, report.View{Section: section}); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("section %q: %v, %q lacks %q", section, err, out.String(), want)
		}
	}
}

func TestACadenceIsInSeconds(t *testing.T) {
	raw, err := json.Marshal(report.Cadence{Learned: true, Days: 20, Files: 7, Low: 6, First: time.Minute, Last: time.Hour, Quiet: 6 * time.Hour})
	if want := `{"learned":true,"days":20,"files":7,"low":6,"first_seconds":60,"last_seconds":3600,"quiet_seconds":21600}`; err != nil || string(raw) != want {
		t.Errorf("%s, %v; want %s", raw, err, want)
	}
}

func TestTheJSONHasNoNull(t *testing.T) {
	m := &report.Making{Head: head(), From: "2026-11-20", To: "2026-11-20", Builder: &report.Builder{Now: now()}}
	for name, v := range map[string]any{"report": m.Report(), "statement": account(nil)} {
		raw, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), "null") {
			t.Errorf("%s: %s", name, raw)
		}
	}
}

func BenchmarkFourHundredDays(b *testing.B) {
	for _, perDay := range []int{7, 100} {
		b.Run(strconv.Itoa(perDay), func(b *testing.B) {
			b.ReportAllocs()
			var all []report.Evidence
			for d := range 400 {
				day := messages.Day("2025-10-23").Add(d)
				for n := range perDay {
					all = append(all, counted(delivered(listed(day, n, float64(n%43))), 10, sum("2026-10", "USD", "1.5")))
				}
			}
			for b.Loop() {
				builder := &report.Builder{Now: now(), Listing: true}
				for _, e := range all {
					builder.Add(e)
				}
				builder.Days("2025-10-23", "2026-11-26")
			}
		})
	}
}
