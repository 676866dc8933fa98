package report_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

func TestEachStateOfADayHasItsReason(t *testing.T) {
	const day = messages.Day("2026-11-20")
	all := usual(day)
	at := func(hours float64) time.Time { return start(day).Add(time.Duration(hours * float64(time.Hour))) }
	late := func(n int, hours float64) report.Evidence { return delivered(listed(day, 90+n, hours)) }
	for _, c := range []struct {
		name  string
		now   time.Time
		files []report.Evidence
		state report.State
		why   string
	}{
		{"before its first file is due", at(3), nil, report.NotYet, "2026-11-20 06:00 UTC"},
		{"within the day of delay", at(29.9), nil, report.NotYet, "a day late"},
		{"a day after its first file was due", at(30), nil, report.Missing, "2026-11-21 06:00 UTC"},
		{"while it fills up", at(20), all[:3], report.Partial, "3 files so far, where 7 are usual"},
		{"when the last has just come", at(45.5), all, report.Partial, "complete if none comes until 2026-11-22 03:30 UTC"},
		{"when nothing came for the usual time", at(51.5), all, report.Complete, "7 files, where 7 are usual"},
		{"when more came after that", at(61), append(slices.Clone(all), late(1, 60)), report.Late, "7 files made it complete, and 1 more came, the last at 2026-11-22 12:00 UTC"},
		{"when more came that is not delivered yet", at(61), append(slices.Clone(all), listed(day, 91, 60)), report.Late, "1 more came"},
		{"when the late ones have settled", at(67), append(slices.Clone(all), late(1, 60)), report.Complete, "8 files"},
		{"when one is missing for good", at(100), all[1:], report.Partial, "6 files, where 7 are usual"},
		{"when one failed", at(100), append(slices.Clone(all[1:]), recorded(listed(day, 0, 6), messages.StatusFailed)), report.Partial, "1 file of 7 failed"},
		{"when one is too large", at(100), append(slices.Clone(all[1:]), report.Evidence{Listed: true, Day: day, Reason: messages.TooLarge, Rule: "too large", Object: messages.Object{Name: "x", Created: at(6)}}), report.Partial, "1 file of 7 failed"},
		{"when one waits since long", at(100), append(slices.Clone(all[1:]), listed(day, 0, 6)), report.Partial, "1 file of 7 not delivered yet"},
		{"when an operator gave one up", at(100), append(slices.Clone(all[1:]), recorded(listed(day, 0, 6), messages.StatusDiscarded)), report.Complete, "7 files"},
		{"when one is gone and was never copied", at(100), append(slices.Clone(all), recorded(report.Evidence{Day: day, Object: messages.Object{Name: "gone"}}, messages.StatusGone)), report.Complete, "7 files"},
	} {
		b := &report.Builder{Now: c.now, Listing: true}
		history(b, day, 20)
		for _, e := range c.files {
			b.Add(e)
		}
		d := b.Days(day, day)[0]
		if d.State != c.state || !strings.Contains(d.Why, c.why) {
			t.Errorf("%s: %s: %s; want %s: … %s …", c.name, d.State, d.Why, c.state, c.why)
		}
	}
}

func TestADayBeforeUsIsNotJudged(t *testing.T) {
	b := &report.Builder{Now: now(), Marks: messages.Marks{Since: "2026-11-10", Ranges: []messages.Range{{From: "2026-11-03", To: "2026-11-04"}}}}
	b.Add(delivered(listed("2026-11-01", 9, 6)))
	states := []report.State{}
	for _, d := range b.Days("2026-11-02", "2026-11-11") {
		states = append(states, d.State)
	}
	want := slices.Concat(slices.Repeat([]report.State{report.BeforeUs}, 1), slices.Repeat([]report.State{report.Missing}, 2), slices.Repeat([]report.State{report.BeforeUs}, 5), slices.Repeat([]report.State{report.Missing}, 2))
	if !slices.Equal(states, want) {
		t.Errorf("states are %v, want %v", states, want)
	}
	if f, _ := b.Add(listed("2026-11-02", 1, 6)); f.Section != report.Skipped || f.Reason != report.IsBeforeUs || !strings.Contains(f.Why, "from 2026-11-10 on; `backfill` brings") {
		t.Errorf("a file of a day before us: %s, %s", f.Section, f.Reason)
	}
}

func TestADayBeforeTheFirstReportOfAllIsNotMissing(t *testing.T) {
	b := &report.Builder{Now: now()}
	b.Add(delivered(listed("2026-11-20", 1, 6)))
	if d := b.Days("2026-11-01", "2026-11-01")[0]; d.State != report.NotYet || d.Why != "no report is known of any day before 2026-11-20" {
		t.Errorf("long before: %s, %s", d.State, d.Why)
	}
	for day, want := range map[messages.Day]report.State{"2026-11-19": report.NotYet, "2026-11-21": report.Missing} {
		if d := b.Days(day, day)[0]; d.State != want {
			t.Errorf("%s: %s, %s; want %s", day, d.State, d.Why, want)
		}
	}
}

func TestWhereNoReportIsKnownNoDayIsMissing(t *testing.T) {
	m := &report.Making{Head: head(), From: "2026-11-01", To: "2026-11-26", Builder: &report.Builder{Now: now(), Listing: true}}
	r := m.Report()
	if r.States[report.NotYet] != 26 || len(r.Notes) != 1 || !strings.HasPrefix(r.Notes[0], "NO REPORT IS KNOWN") {
		t.Errorf("states %v, notes %q", r.States, r.Notes)
	}
	var out strings.Builder
	if err := r.WriteHTML(&out, report.View{}); err != nil || strings.Contains(out.String(), "verdict good") {
		t.Errorf("%v: it is called good", err)
	}
}

// TestAYoungInstallationDoesNotCryWolf: a tenancy with one file a day lacks nothing,
// although Oracle documents four, and one with seven does with three.
func TestAYoungInstallationDoesNotCryWolf(t *testing.T) {
	for usually, c := range map[int]struct {
		files int
		state report.State
	}{1: {1, report.Complete}, 2: {1, report.Partial}, 7: {3, report.Partial}} {
		b := &report.Builder{Now: now(), Listing: true}
		for _, d := range []messages.Day{"2026-11-18", "2026-11-19", "2026-11-20", "2026-11-21", "2026-11-22"} {
			n := usually
			if d == "2026-11-22" {
				n = c.files
			}
			for i := range n {
				b.Add(delivered(listed(d, i, 6+float64(i))))
			}
		}
		if d := b.Days("2026-11-22", "2026-11-22")[0]; d.State != c.state {
			t.Errorf("%d of usually %d files: %s, %s; want %s", c.files, usually, d.State, d.Why, c.state)
		}
		if usually == 1 { // the first day of all has none to be held against
			if d := b.Days("2026-11-18", "2026-11-18")[0]; d.State != report.Complete {
				t.Errorf("the first day: %s, %s", d.State, d.Why)
			}
			alone := &report.Builder{Now: now(), Listing: true}
			alone.Add(delivered(listed("2026-11-20", 1, 6)))
			if d := alone.Days("2026-11-20", "2026-11-20")[0]; d.State != report.Complete {
				t.Errorf("the only day: %s, %s", d.State, d.Why)
			}
		}
		b.Now = start("2026-11-24").Add(20 * time.Hour) // a day that is not closed waits for the four
		if d := b.Days("2026-11-22", "2026-11-22")[0]; d.State != report.Partial && usually != 7 {
			t.Errorf("not closed: %s, %s", d.State, d.Why)
		}
	}
}

func TestTheCadenceIsLearnedFromThePast(t *testing.T) {
	const day = messages.Day("2026-11-20")
	b := &report.Builder{Now: now()}
	history(b, day, 13)
	if c := b.Cadence(day); c.Learned || c.Files != 4 || !strings.Contains(c.Text(), "only 13 closed days") {
		t.Errorf("with 13 days: %+v: %s", c, c.Text())
	}
	if d := b.Days(day, day)[0]; !strings.Contains(d.Why, "by Oracle's documented cadence, with 13 closed days to learn from") {
		t.Errorf("with 13 days the verdict is %q", d.Why)
	}

	b = &report.Builder{Now: now()}
	history(b, day, 20)
	want := report.Cadence{Learned: true, Days: 20, Files: 7, Low: 7, First: 6 * time.Hour, Last: 45 * time.Hour, Quiet: 6*time.Hour + 30*time.Minute}
	if c := b.Cadence(day); c != want {
		t.Errorf("with 20 days: %+v, want %+v", c, want)
	}
	// A correction that comes weeks later, and a day without anything, teach nothing.
	b.Add(delivered(listed("2026-11-12", 99, 12*24)))
	if c := b.Cadence(day); c != want {
		t.Errorf("after an outlier: %+v, want %+v", c, want)
	}
	// The first days of all are judged by those after them, and no day by itself.
	if c := b.Cadence("2026-11-02"); !c.Learned || c.Days != 19 || c.Files != 7 {
		t.Errorf("the third day: %+v", c)
	}
	// Neither does a day that is not closed, nor one before the first file.
	if c := b.Cadence("2026-11-26"); c.Days != 24 {
		t.Errorf("today is judged by %d days, want those from 2026-10-31 to 2026-11-23", c.Days)
	}
}

func TestWhatVariesIsToleratedAsFarAsItVaries(t *testing.T) {
	const day = messages.Day("2026-11-20")
	b := &report.Builder{Now: now()}
	for n := range 21 { // of 5 to 9 files, the more the later the last
		past := day.Add(n - 21)
		for i := range 5 + n%5 {
			b.Add(delivered(listed(past, i, 6+6*float64(i))))
		}
	}
	c := b.Cadence(day)
	if want := (report.Cadence{Learned: true, Days: 21, Files: 7, Low: 4, First: 6 * time.Hour, Last: 60 * time.Hour, Quiet: 6 * time.Hour}); c != want {
		t.Errorf("%+v, want %+v", c, want)
	}
	for n := range 3 {
		b.Add(delivered(listed(day, n, 6)))
	}
	if d := b.Days(day, day)[0]; d.State != report.Partial || !strings.Contains(d.Why, "7 (at least 4) are usual") {
		t.Errorf("with 3 files: %s: %s", d.State, d.Why)
	}
	b.Add(delivered(listed(day, 3, 6)))
	if d := b.Days(day, day)[0]; d.State != report.Complete {
		t.Errorf("with 4 files: %s: %s", d.State, d.Why)
	}
	b.Now = start(day).Add(59 * time.Hour) // before the last one is usually there, it takes what is usual
	if d := b.Days(day, day)[0]; d.State != report.Partial {
		t.Errorf("with 4 files, early: %s: %s", d.State, d.Why)
	}
}

// genFiles draws the files of a day, in any state.
func genFiles(t *rapid.T, day messages.Day) (all []report.Evidence) {
	for n := range rapid.IntRange(0, 10).Draw(t, "files") {
		e := listed(day, n, rapid.Float64Range(-2, 120).Draw(t, "hours"))
		switch rapid.IntRange(0, 5).Draw(t, "fate") {
		case 0: // waits
		case 1:
			e = recorded(e, messages.StatusFailed)
		case 2:
			e = recorded(e, messages.StatusDiscarded)
		default:
			e = delivered(e)
		}
		all = append(all, e)
	}
	return all
}

// rank orders the states by how well a day stands; complete and late are alike.
func rank(s report.State) int {
	return map[report.State]int{report.Missing: 0, report.NotYet: 0, report.Partial: 1, report.Late: 2, report.Complete: 2}[s]
}

func TestOneMoreDeliveredFileNeverMakesADayWorse(t *testing.T) {
	const day = messages.Day("2026-11-20")
	rapid.Check(t, func(t *rapid.T) {
		past := rapid.IntRange(0, 30).Draw(t, "past days")
		at := start(day).Add(time.Duration(rapid.IntRange(0, 150*60).Draw(t, "minutes")) * time.Minute)
		had := genFiles(t, day)
		more := delivered(listed(day, 50, rapid.Float64Range(-2, 150).Draw(t, "more")))
		verdict := func(all []report.Evidence) report.Day {
			b := &report.Builder{Now: at, Listing: true}
			history(b, day, past)
			for _, e := range all {
				b.Add(e)
			}
			return b.Days(day, day)[0]
		}
		before, after := verdict(had), verdict(append(slices.Clone(had), more))
		if rank(after.State) < rank(before.State) {
			t.Fatalf("%s (%s) became %s (%s)", before.State, before.Why, after.State, after.Why)
		}
		if after.Delivered != before.Delivered+1 || after.Files != before.Files+1 {
			t.Fatalf("%+v became %+v", before, after)
		}
	})
}

func TestTotalsAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &report.Making{Head: head(), From: "2026-11-01", To: "2026-11-26", Builder: &report.Builder{Now: now(), Listing: true, Marks: messages.Marks{Since: "2026-11-05"}}}
		listings, bytes, inside := 0, int64(0), 0
		for i := range rapid.IntRange(0, 60).Draw(t, "files") {
			day := messages.Day("2026-10-20").Add(rapid.IntRange(0, 40).Draw(t, "day"))
			e := genOne(t, day, i)
			m.Add(e)
			if e.Day != "" && (e.Day < m.From || e.Day > m.To) {
				continue
			}
			inside++
			if e.Listed {
				listings++
				bytes += e.Object.Size
			}
		}
		r := m.Report()
		tot := r.Totals
		if !tot.Add() || tot.Listed != listings || tot.ListedBytes != bytes || len(r.Files) != inside || tot.Transferred+tot.Skipped+tot.Failed+tot.Pending != inside {
			t.Fatalf("%d listed with %d bytes, %d files: %+v", listings, bytes, inside, tot)
		}
		days, delivered := 0, 0
		for _, d := range r.Days {
			delivered += d.Delivered
			if days += d.Files; d.Files != d.Delivered+d.Discarded+d.Failed+d.Pending {
				t.Fatalf("a day does not add up: %+v", d)
			}
		}
		if tot.Uncounted != delivered { // no file of this test has statistics
			t.Fatalf("%d delivered, %d not counted", delivered, tot.Uncounted)
		}
		none := tot.Reasons[report.IsIneligible] + tot.Reasons[report.IsGone]
		if days != inside-none {
			t.Fatalf("the days have %d files, and there are %d, %d of them no reports or gone", days, inside, none)
		}
		states := 0
		for _, n := range r.States {
			states += n
		}
		if states != 26 || len(r.Days) != 26 {
			t.Fatalf("%d days, %d states", len(r.Days), states)
		}
	})
}

// genOne draws one file in any condition that the ledger and the listing can have.
func genOne(t *rapid.T, day messages.Day, n int) report.Evidence {
	e := listed(day, n, 7)
	e.Object.Size = rapid.Int64Range(0, 1<<40).Draw(t, "size")
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		return e
	case 1:
		return report.Evidence{Listed: true, Object: messages.Object{Name: fmt.Sprint("junk", n), Size: 3}, Reason: messages.NotAReport, Rule: "no report"}
	case 2:
		e.Reason, e.Rule = messages.TooLarge, "too large"
		return e
	case 3:
		e = delivered(e)
		e.Record.Copy.How = rapid.SampledFrom([]string{messages.HowAdopted, messages.HowRecorded, messages.HowImported, messages.HowPresumed}).Draw(t, "how")
	case 4:
		e = delivered(e)
		e.Object.ETag = "newer"
	case 5:
		e = recorded(e, rapid.SampledFrom([]messages.Status{messages.StatusDue, messages.StatusRetrying, messages.StatusFailed, messages.StatusGone, messages.StatusDiscarded, messages.StatusCopied}).Draw(t, "status"))
	case 6:
		e = delivered(e)
		e.Record.Epoch = 1
	default:
		e = delivered(e)
	}
	e.Listed = rapid.Bool().Draw(t, "listed")
	return e
}

func TestWhatDoesNotAddUpIsNamed(t *testing.T) {
	const day = messages.Day("2026-11-20")
	size := delivered(listed(day, 1, 6))
	size.Object.Size++
	short := delivered(listed(day, 2, 6))
	short.Record.Copy.Size--
	unlisted := delivered(listed(day, 3, 6))
	unlisted.Listed = false
	expired := delivered(listed("2025-11-01", 4, 6))
	expired.Listed = false
	for name, c := range map[string]struct {
		e   report.Evidence
		why string
	}{
		"another size":        {size, "the source lists 1001 bytes, and the ledger has 1000"},
		"a short copy":        {short, "999 bytes were delivered of 1000"},
		"vanished":            {unlisted, "no longer lists it"},
		"expired":             {expired, ""},
		"listed, but gone":    {recorded(listed(day, 5, 6), messages.StatusGone), "the source lists it"},
		"copied, but not how": {recorded(listed(day, 6, 6), messages.StatusCopied), "not how"},
		"as it should be":     {delivered(listed(day, 7, 6)), ""},
		"waiting":             {listed(day, 8, 6), ""},
		"failed":              {recorded(listed(day, 9, 6), messages.StatusFailed), ""},
	} {
		b := &report.Builder{Now: now(), Listing: true}
		if _, why := b.Add(c.e); (why == "") != (c.why == "") || !strings.Contains(why, c.why) {
			t.Errorf("%s: %q, want %q", name, why, c.why)
		}
	}
	b := &report.Builder{Now: now()}
	if _, why := b.Add(unlisted); why != "" {
		t.Errorf("by the ledger alone nothing is known of the listing, but: %s", why)
	}
}

func TestLatencyIsOfWhatAppearedSinceTheBegin(t *testing.T) {
	const day = messages.Day("2026-11-20")
	b := &report.Builder{Now: now(), Born: start(day).Add(7 * time.Hour)}
	for n, minutes := range []int{9000, 10, 20, 60} { // the first appeared before the begin
		e := delivered(listed(day, n, 6+float64(2*n)))
		e.Record.Copy.At = e.Object.Created.Add(time.Duration(minutes) * time.Minute)
		b.Add(e)
	}
	d := b.Days(day, day)[0]
	if d.LatencyMedian != 1200 || d.LatencyMax != 3600 {
		t.Errorf("median %v s, max %v s; want 1200 and 3600", d.LatencyMedian, d.LatencyMax)
	}
}
