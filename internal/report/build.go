package report

import (
	"cmp"
	"slices"
	"strings"

	"oracle-focus-agent/messages"
)

// A Making makes a report of evidence.
type Making struct {
	Head         Head
	From, To     messages.Day
	Open         bool // files of days after To count, too
	Builder      *Builder
	Verification *messages.Verification

	report Report
	totals Totals
	purse  purse
}

// Add takes the evidence of one file. Files of days before From only teach the cadence.
func (m *Making) Add(e Evidence) {
	f, contradiction := m.Builder.Add(e)
	if f.Day != "" && (f.Day < m.From || f.Day > m.To && !m.Open) {
		return
	}
	m.report.Files = append(m.report.Files, f)
	if contradiction != "" {
		m.report.Differences = append(m.report.Differences, Difference{f.Day, f.Object, contradiction})
	}
	m.count(f)
}

func (m *Making) count(f File) {
	t := &m.totals
	if t.Reasons == nil {
		t.Reasons, t.Proven, m.purse = map[string]int{}, map[string]int{}, purse{}
	}
	if f.Listed {
		t.Listed++
		t.ListedBytes += f.Size
	} else {
		t.Unlisted++
	}
	switch f.Section {
	case Transferred:
		t.Transferred++
		t.Bytes += f.Size
		t.Proven[cmp.Or(f.Verified, "unknown")]++
	case Skipped:
		t.Skipped++
		t.Reasons[f.Reason]++
	case Failed:
		t.Failed++
	case Pending:
		t.Pending++
	}
	switch {
	case f.Counted:
		t.Rows += f.Rows
		t.Corrections += f.Corrections
		m.purse.addCosts(f.Cost)
	case f.atDestination():
		t.Uncounted++
	}
}

// Report is what all the evidence comes to.
func (m *Making) Report() Report {
	r := m.report
	r.Head, r.From, r.To, r.Since = m.Head, m.From, m.To, m.Builder.Marks.Since
	r.Totals = m.totals
	r.Totals.Cost = m.purse.costs()
	r.Days, r.Cadence = m.Builder.Days(r.From, r.To), m.Builder.Cadence(r.To)
	if m.Open {
		r.Days = append(r.Days, m.Builder.after(r.To)...)
	}
	r.States = map[State]int{}
	for _, s := range States() {
		r.States[s] = 0
	}
	for _, d := range r.Days {
		r.States[d.State]++
	}
	slices.SortStableFunc(r.Files, func(x, y File) int {
		return cmp.Or(strings.Compare(string(x.Day), string(y.Day)), strings.Compare(x.Object, y.Object))
	})
	r.Files, r.Differences, r.Verification = orNone(r.Files), orNone(r.Differences), m.Verification
	if m.Builder.first() == "" {
		r.Notes = append(r.Notes, "NO REPORT IS KNOWN, of any of the days that were looked at: a new tenancy has its first within a day or two; else see whether oci.bucket, oci.region and oci.prefix are those of the reports")
	}
	r.Notes = orNone(r.Notes)
	if r.Totals.Reasons == nil {
		r.Totals.Reasons, r.Totals.Proven = map[string]int{}, map[string]int{}
	}
	return r
}

// Reduced is the report without what a view leaves out.
func (r Report) Reduced(v View) Report {
	r.Files = slices.DeleteFunc(slices.Clone(r.Files), func(f File) bool {
		return v.Section != "" && v.Section != string(f.Section) || v.ErrorsOnly && f.Section != Failed
	})
	r.Days = orNone(r.shownDays(v))
	if v.Section != "" && v.Section != "days" {
		r.Days = []Day{}
	}
	return r
}

// orNone makes an empty list of none, as JSON shows it.
func orNone[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// addCosts adds what a purse said of itself.
func (p purse) addCosts(costs []Cost) {
	for _, c := range costs {
		billed, errBilled := parseAmount(c.Billed)
		effective, errEffective := parseAmount(c.Effective)
		if errBilled != nil || errEffective != nil {
			continue // unreachable: a purse wrote them
		}
		p.merge(purse{c.Currency: {*billed, *effective}})
	}
}
