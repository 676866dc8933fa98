package cli_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// TestAFileThatOracleNeverWroteIsNoticed by Oracle's own totals: no listing and no
// verification can show it.
func TestAFileThatOracleNeverWroteIsNoticed(t *testing.T) {
	t.Parallel()
	month := time.Now().UTC().AddDate(0, -1, -time.Now().UTC().Day()+1) // the first of the last month
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_SINCE="+month.Format(time.DateOnly))
	w.add(simulator.Month(1, month.AddDate(0, 0, 2), 2, 2, 5)...)
	w.sync(t, 0)

	compared := func(code int) (s struct {
		OracleError string `json:"oracle_error"`
		Compared    []struct{ Currency, Oracle, Ours, Verdict string }
	}) {
		t.Helper()
		r := w.run(t, "report", "--json", "--month", month.Format("2006-01"), "--compare").want(t, code)
		if err := json.Unmarshal([]byte(r.stdout), &s); err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := compared(0); len(s.Compared) != 1 || s.Compared[0].Verdict != "equal" || s.Compared[0].Oracle == "0" || s.Compared[0].Oracle != s.Compared[0].Ours {
		t.Errorf("all delivered: %+v", s)
	}
	lost := simulator.ReportName(month, 1_000_003_000_000, 1)
	w.Source.Add(simulator.Object{Name: lost, Content: simulator.FocusReport(9, month, 50)})
	if err := w.OCI.Usage().Hide(lost); err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0)
	if s := compared(1); len(s.Compared) != 1 || s.Compared[0].Verdict != "different" {
		t.Errorf("one file was never written: %+v", s)
	}
	w.OCI.Usage().Deny(true)
	if s := compared(1); !strings.Contains(s.OracleError, "Allow group <group of the user> to read usage-report in tenancy") || len(s.Compared) > 0 {
		t.Errorf("without the policy: %+v", s)
	}
	w.run(t, "report", "--compare").want(t, 2)
	if w.run(t, "report", "--json", "--month", month.Format("2006-01")).want(t, 0); w.OCI.Requests()["RequestSummarizedUsages"] != 3 {
		t.Errorf("a statement that was not asked to compare asked Oracle")
	}
}
