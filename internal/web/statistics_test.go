package web_test

import (
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// TestStatisticsAreCountedOnce: of reports whose bytes were sent, and not of those that
// were found to be there.
func TestStatisticsAreCountedOnce(t *testing.T) {
	m := metrics(nil)
	compare(t, m, `focus_report_rows_total 0
		focus_report_reading_seconds_total 0
		focus_report_statistics_total{result="complete"} 0
		focus_report_statistics_total{result="invalid"} 0
		focus_report_statistics_total{result="skipped"} 0`)
	for _, c := range []struct {
		how string
		s   *messages.Statistics
	}{
		{messages.HowCopied, &messages.Statistics{Gzip: messages.GzipValid, Rows: 100}},
		{messages.HowCopied, &messages.Statistics{Gzip: messages.GzipValid, Rows: 10, Skipped: "a row is too long"}},
		{messages.HowCopied, &messages.Statistics{Rows: 1, Skipped: "it fell behind"}},
		{messages.HowCopied, &messages.Statistics{Gzip: "it is empty"}},
		{messages.HowCopied, nil}, // nobody looked
		{messages.HowRecorded, &messages.Statistics{Gzip: messages.GzipValid, Rows: 1000}},
	} {
		m.Copier(copier.Event{Kind: copier.Inspected, Spent: 250 * time.Millisecond})
		m.Copier(copier.Event{Kind: copier.Finished, Record: messages.Record{Copy: &messages.FileCopied{How: c.how, Statistics: c.s}}})
	}
	compare(t, m, `focus_report_rows_total 111
		focus_report_reading_seconds_total 1.5
		focus_report_statistics_total{result="complete"} 1
		focus_report_statistics_total{result="invalid"} 1
		focus_report_statistics_total{result="skipped"} 2`)
}
