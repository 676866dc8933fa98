package report_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestTheFormsStay: others read these forms. Fields of JSON and columns of CSV are only
// ever added, the latter at the end.
func TestTheFormsStay(t *testing.T) {
	r, s := sampleReport(), account(october())
	s.Compare([]report.Total{{Currency: "USD", Amount: "61.25"}}, nil)
	write := func(name string, form func(*bytes.Buffer) error) {
		var out bytes.Buffer
		if err := form(&out); err != nil {
			t.Fatal(err)
		}
		golden(t, name, out.Bytes())
	}
	write("report.txt", func(w *bytes.Buffer) error { return r.WriteText(w, report.View{}) })
	write("report.csv", func(w *bytes.Buffer) error { return r.WriteCSV(w, report.View{}) })
	write("days.csv", func(w *bytes.Buffer) error { return r.WriteCSV(w, report.View{Section: "days"}) })
	write("report.json", func(w *bytes.Buffer) error { return indented(w, r) })
	write("statement.txt", func(w *bytes.Buffer) error { return s.WriteText(w) })
	write("statement.csv", func(w *bytes.Buffer) error { return s.WriteCSV(w) })
	write("statement.json", func(w *bytes.Buffer) error { return indented(w, s) })
}

func indented(w *bytes.Buffer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := "testdata/" + name
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is another; where that is meant, run the test with -update\ngot:\n%s", file, got)
	}
}

// sampleReport has something of each kind.
func sampleReport() report.Report {
	m := &report.Making{
		Head: head(), From: "2026-11-21", To: "2026-11-26", Open: true,
		Builder: &report.Builder{Now: now(), Listing: true, Marks: messages.Marks{Since: "2026-10-20"}},
		Verification: &messages.Verification{
			Started: start("2026-11-26"), From: "2026-10-22", To: "2026-11-26", Destination: "head", Equal: 40, Missing: 1,
			Differences: []messages.Deviation{{Mark: "+", Day: "2026-11-22", Object: "FOCUS Reports/2026/11/22/x.csv.gz", Key: "focus/2026-11-22_x.csv.gz", Why: "gone from the destination"}},
		},
	}
	for d := messages.Day("2026-11-01"); d < "2026-11-24"; d = d.Add(1) {
		for n, e := range usual(d) {
			m.Add(counted(e, int64(10*n), sum("2026-11", "USD", "1.005"), sum("2026-11", "EUR", "0.25")))
		}
	}
	failed := recorded(listed("2026-11-24", 1, 6), messages.StatusFailed)
	failed.Record.Class, failed.Record.Error, failed.Record.Attempts = messages.HashMismatch, "the bytes differ", 3
	inherited := delivered(listed("2026-11-24", 2, 12))
	inherited.Record.Copy.How = messages.HowImported
	m.Add(failed)
	m.Add(inherited)
	m.Add(delivered(listed("2026-11-25", 3, 7)))
	m.Add(listed("2026-11-26", 4, 7))
	m.Add(report.Evidence{Listed: true, Object: messages.Object{Name: "FOCUS Reports/readme\u202e.txt", Size: 10}, Reason: messages.BadName, Rule: "its name has a control or formatting character"})
	vanished := delivered(listed("2026-11-23", 99, 7))
	vanished.Listed = false
	m.Add(vanished)
	return m.Report()
}
