package web_test

import (
	"strings"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// TestF117NoNameIsALabel: the number of series follows from the program, not from what
// happens. F117 is a row of the failure catalogue in docs/reliability.md.
func TestF117NoNameIsALabel(t *testing.T) {
	const mark = "zzmarkzz"
	m := metrics(nil)
	series := func() (n int) {
		all, err := m.Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, family := range all {
			n += len(family.GetMetric())
			if strings.Contains(family.String(), mark) {
				t.Errorf("a name is in %s", family)
			}
		}
		return n
	}
	tell := func(name string) {
		o := messages.Object{Name: name, ETag: name, Size: 7}
		for _, kind := range []copier.Kind{copier.Started, copier.Progress, copier.Retrying, copier.Held, copier.Returned, copier.Died, copier.Skipped, copier.Vanished, copier.Finished} {
			m.Copier(copier.Event{
				Kind: kind, Object: o, Report: messages.Report{Day: "2026-03-01", Basename: name, Key: name}, Err: &messages.Fault{Class: messages.Connection, Op: name},
				Record: messages.Record{Object: o, Worker: name, Copy: &messages.FileCopied{How: messages.HowCopied, Key: name, ETag: name}},
			})
		}
	}
	tell(mark)
	before := series()
	for i := range 100 {
		tell(mark + strings.Repeat("x", i))
	}
	if after := series(); after != before {
		t.Errorf("a hundred other names make %d series of %d", after, before)
	}
}
