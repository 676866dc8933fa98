package cli_test

import (
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// An account is what scripts read of `report --json`.
type account struct {
	Basis  string   `json:"basis"`
	Notes  []string `json:"notes"`
	Totals struct {
		Listed      int            `json:"listed"`
		Transferred int            `json:"transferred"`
		Skipped     int            `json:"skipped"`
		Reasons     map[string]int `json:"skipped_reasons"`
		Failed      int            `json:"failed"`
		Pending     int            `json:"pending"`
	} `json:"totals"`
	States map[string]int `json:"states"`
	Files  []struct {
		Section, Reason, Object string
	} `json:"files"`
	Differences []any `json:"differences"`
}

func (w *world) report(t *testing.T, args ...string) (a account) {
	t.Helper()
	r := w.run(t, append([]string{"report", "--json"}, args...)...).want(t, 0)
	if err := json.Unmarshal([]byte(r.stdout), &a); err != nil {
		t.Fatalf("report --json: %v in %q", err, r.stdout)
	}
	if tot := a.Totals; len(a.Differences) == 0 && a.Basis == "listing and ledger" && tot.Listed != tot.Transferred+tot.Skipped+tot.Failed+tot.Pending {
		t.Errorf("the totals do not add up: %+v", tot)
	}
	return a
}

func TestAReportAccountsForWhateverIsListed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 3, FilesPerDay: 3})
	w.add(simulator.Object{Name: simulator.Prefix + "readme.txt", Content: simulator.Random(1, 10)})
	bad := object(1, "bad.csv.gz", 100)
	bad.MD5, bad.CRC32C = "AAAAAAAAAAAAAAAAAAAAAA==", "AAAAAA=="
	w.add(bad)

	// Before anything has run there is no state, and the report makes none.
	a := w.report(t)
	if a.Totals.Listed != 11 || a.Totals.Pending != 10 || a.Totals.Reasons["ineligible"] != 1 {
		t.Errorf("before the first run: %+v", a.Totals)
	}
	if code := w.run(t, "status").code; code != 5 {
		t.Errorf("status after a report: %d, want 5", code)
	}

	w.sync(t, 1)
	alone := w.report(t)
	if tot := alone.Totals; tot.Transferred != 9 || tot.Failed+tot.Pending != 1 || len(alone.Files) != 11 {
		t.Errorf("after the first sync: %+v", tot)
	}

	agent := w.start(t, "run")
	eventually(t, "the agent tells how the report days stand", func() bool {
		return strings.Contains(w.run(t, "status").stdout, "report days")
	})
	asked := w.report(t)
	if asked.Totals.Listed != alone.Totals.Listed || asked.Totals.Transferred != 9 || asked.Basis != "listing and ledger" {
		t.Errorf("through the agent: %+v, alone: %+v", asked.Totals, alone.Totals)
	}

	// A listing that fails is never a short one.
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Status(404, "BucketNotFound")})
	dark := w.report(t)
	if dark.Basis != "ledger alone" || len(dark.Notes) != 1 || dark.Totals.Listed != 0 || dark.Totals.Transferred != 9 {
		t.Errorf("without a listing: %s, %q, %+v", dark.Basis, dark.Notes, dark.Totals)
	}
	if text := w.run(t, "report").want(t, 0).stdout; !strings.HasPrefix(text, "NOTE: OCI could not be listed") {
		t.Errorf("the report does not begin with what it lacks: %q", text)
	}
	w.OCIFaults.Clear()

	rows, err := csv.NewReader(strings.NewReader(w.run(t, "report", "-o", "csv").want(t, 0).stdout)).ReadAll()
	if err != nil || len(rows) != 12 {
		t.Errorf("%d rows of CSV, %v; want one for each object and the head", len(rows), err)
	}
	if page := w.run(t, "report", "-o", "html").want(t, 0).stdout; !strings.HasPrefix(page, "<!DOCTYPE html>") || !strings.Contains(page, "bad.csv.gz") {
		t.Errorf("HTML: %.200q", page)
	}
	if agent.stop().code != 0 {
		t.Error("the agent did not end well")
	}
	for _, args := range [][]string{{"-o", "pdf"}, {"--section", "all"}, {"--from", "2026-02-30"}, {"--month", "2026-13"}, {"--month", "9999-01"}, {"--month", "2026-01", "--from", "2026-01-01"}} {
		w.run(t, append([]string{"report"}, args...)...).want(t, 2)
	}
}

func TestTheStatementOfAMonthIsSignedByItsFiles(t *testing.T) {
	t.Parallel()
	month := time.Now().UTC().AddDate(0, -1, -time.Now().UTC().Day()+1) // the first of the last month
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=70")
	w.external(t)
	w.add(simulator.Month(1, month.AddDate(0, 0, 3), 4, 2, 5)...)
	statement := func(code int) (digest string, undelivered int) {
		var s struct {
			Digest      string
			List        []string
			Delivered   int
			Undelivered []any
		}
		r := w.run(t, "report", "--json", "--month", month.Format("2006-01")).want(t, code)
		if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
			t.Fatalf("%v in %q", err, r.stdout)
		}
		if len(s.List) != s.Delivered || s.Delivered+len(s.Undelivered) != 8 {
			t.Errorf("%d lines, %d delivered, %d not", len(s.List), s.Delivered, len(s.Undelivered))
		}
		return s.Digest, len(s.Undelivered)
	}
	if _, n := statement(1); n != 8 {
		t.Errorf("before the first sync %d files are not delivered, want 8", n)
	}
	w.sync(t, 0)
	alone, _ := statement(0)
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Status(404, "BucketNotFound")})
	if dark, _ := statement(1); dark != alone { // nobody knows whether a file is missing
		t.Errorf("digest %s by the ledger alone, %s with a listing", dark, alone)
	}
}
