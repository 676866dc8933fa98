package report_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

func TestEachFileStandsInItsSection(t *testing.T) {
	const day = messages.Day("2026-11-20")
	how := func(h string) report.Evidence {
		e := delivered(listed(day, 1, 6))
		e.Record.Copy.How = h
		return e
	}
	newer := how(messages.HowCopied)
	newer.Object.ETag = "newer"
	older := how(messages.HowCopied)
	older.Record.Epoch = 1
	failed := recorded(listed(day, 1, 6), messages.StatusFailed)
	failed.Record.Class, failed.Record.Error, failed.Record.Attempts = messages.Held, "other bytes", 3
	retrying := recorded(listed(day, 1, 6), messages.StatusRetrying)
	retrying.Record.Class, retrying.Record.Error, retrying.Record.Attempts = messages.Throttled, "slow down", 2
	for name, c := range map[string]struct {
		e       report.Evidence
		section report.Section
		reason  string
		why     string
	}{
		"copied":            {how(messages.HowCopied), report.Transferred, "copied", ""},
		"adopted":           {how(messages.HowAdopted), report.Transferred, "adopted", ""},
		"recorded":          {how(messages.HowRecorded), report.Skipped, report.IsRecorded, "the same bytes"},
		"imported":          {how(messages.HowImported), report.Skipped, report.IsInherited, ""},
		"presumed":          {how(messages.HowPresumed), report.Skipped, report.IsInherited, ""},
		"discarded":         {recorded(listed(day, 1, 6), messages.StatusDiscarded), report.Skipped, report.IsDiscarded, ""},
		"gone":              {recorded(listed(day, 1, 6), messages.StatusGone), report.Skipped, report.IsGone, ""},
		"no report":         {report.Evidence{Listed: true, Reason: messages.BadDate, Rule: "no day"}, report.Skipped, report.IsIneligible, "no day"},
		"too large":         {report.Evidence{Listed: true, Day: day, Reason: messages.TooLarge, Rule: "6 GiB"}, report.Failed, "too-large", "6 GiB"},
		"given up":          {failed, report.Failed, "held", "other bytes"},
		"unknown":           {listed(day, 1, 6), report.Pending, "waiting", "not copied yet"},
		"tried again":       {retrying, report.Pending, "retrying", "2 attempts failed, the last with throttled: slow down"},
		"ordered":           {recorded(listed(day, 1, 6), messages.StatusDue), report.Pending, "ordered", "another copy"},
		"of another place":  {older, report.Pending, "waiting", "only to the destination of before"},
		"a newer version":   {newer, report.Pending, "waiting", "an earlier version was delivered 2026-11-20 06:10 UTC"},
		"before us":         {listed("2026-11-01", 1, 6), report.Skipped, report.IsBeforeUs, ""},
		"before us, sent":   {delivered(listed("2026-11-01", 1, 6)), report.Transferred, "copied", ""},
		"copied, not how":   {recorded(listed(day, 1, 6), messages.StatusCopied), report.Transferred, "unknown", ""},
		"failed, no class":  {recorded(listed(day, 1, 6), messages.StatusFailed), report.Failed, "unknown", ""},
		"not listed, given": {func() report.Evidence { e := failed; e.Listed = false; return e }(), report.Failed, "held", "other bytes"},
	} {
		b := &report.Builder{Now: now(), Listing: true, Marks: messages.Marks{Since: "2026-11-10"}}
		f, _ := b.Add(c.e)
		if f.Section != c.section || f.Reason != c.reason || !strings.Contains(f.Why, c.why) || f.Listed != c.e.Listed {
			t.Errorf("%s: %s, %s: %q; want %s, %s: … %q …", name, f.Section, f.Reason, f.Why, c.section, c.reason, c.why)
		}
	}
}

func TestWhatThePythonAgentBroughtIsNoDeliveryOfOurs(t *testing.T) {
	const day = messages.Day("2026-11-20")
	b := &report.Builder{Now: now()}
	e := delivered(listed(day, 1, 6))
	e.Record.Copy.How = messages.HowImported
	b.Add(e)
	if d := b.Days(day, day)[0]; d.Delivered != 1 || d.Inherited != 1 || !d.FirstDelivery.IsZero() || !d.LastDelivery.IsZero() || d.LatencyMax != 0 {
		t.Errorf("%+v", d)
	}
}

func TestADayThatFillsUpIsNoErrorUnlessAFileFailed(t *testing.T) {
	const today = messages.Day("2026-11-26")
	for failed, want := range map[bool]int{false: 0, true: 1} {
		m := &report.Making{Head: head(), From: today, To: today, Builder: &report.Builder{Now: now(), Listing: true}}
		m.Add(delivered(listed(today, 1, 6)))
		if failed {
			m.Add(recorded(listed(today, 2, 6), messages.StatusFailed))
		}
		r := m.Report()
		if r.Days[0].State != report.Partial || len(r.Reduced(report.View{ErrorsOnly: true}).Days) != want {
			t.Errorf("failed %t: %+v", failed, r.Days)
		}
		var out bytes.Buffer
		if err := r.WriteText(&out, report.View{}); err != nil || strings.Contains(out.String(), "1 partial (still filling up)") == failed {
			t.Errorf("failed %t: %v, %s", failed, err, out.String())
		}
	}
}

func TestADayWithOneFileIsQuietAfterSixHours(t *testing.T) {
	const day = messages.Day("2026-11-20")
	b := &report.Builder{Now: now()}
	for n := range 20 {
		b.Add(delivered(listed(day.Add(n-20), n, 5)))
	}
	if c := b.Cadence(day); c.Quiet != 6*time.Hour || c.Files != 1 || c.Low != 1 {
		t.Errorf("%+v", c)
	}
}
