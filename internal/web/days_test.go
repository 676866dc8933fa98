package web_test

import "testing"

func TestReportDaysAreAbsentUntilTheyAreKnown(t *testing.T) {
	m := metrics(nil)
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "focus_report_days" {
			t.Errorf("before the first scan: %v", f)
		}
	}
	m.Days(map[string]int{"complete": 33, "missing": 1})
	m.Days(map[string]int{"complete": 34, "missing": 0})
	compare(t, m, `focus_report_days{state="complete"} 34
		focus_report_days{state="missing"} 0`)
}
