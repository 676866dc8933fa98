package cli

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A shelf is a source and a ledger in memory.
type shelf struct {
	empty
	objects []messages.Object // by name
	broken  int               // the listing fails before this object
	records map[messages.Day]map[string]messages.Record
}

func (s shelf) List(_ context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		for i, o := range s.objects {
			if i == s.broken {
				yield(messages.Object{}, errors.New("the page is torn"))
				return
			}
			if o.Name >= from && !yield(o, nil) {
				return
			}
		}
		if s.broken == len(s.objects) {
			yield(messages.Object{}, errors.New("the page is torn"))
		}
	}
}

func (s shelf) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	return maps.Clone(s.records[d]), nil
}

// genShelf draws a source with reports, junk between the days and large reports, and a
// ledger that knows some of them and others that are gone.
func genShelf(t *rapid.T, today messages.Day) shelf {
	s := shelf{broken: -1, records: map[messages.Day]map[string]messages.Record{}}
	names := map[string]bool{}
	for i := range rapid.IntRange(0, 40).Draw(t, "objects") {
		day := today.Add(rapid.IntRange(-8, 2).Draw(t, "day"))
		base := fmt.Sprintf("%02d.csv.gz", i)
		o := messages.Object{Name: "FOCUS Reports/" + day.Folder() + base, ETag: "e", Size: 1}
		kind := rapid.IntRange(0, 5).Draw(t, "kind")
		switch kind {
		case 0: // no report
			o.Name = "FOCUS Reports/" + strings.TrimSuffix(day.Folder(), "/") + rapid.SampledFrom([]string{"x", " ", "/readme", "0/a.csv.gz"}).Draw(t, "junk") + base
		case 1:
			o.Size = 6 << 30
		}
		if kind > 2 { // the ledger knows it
			if s.records[day] == nil {
				s.records[day] = map[string]messages.Record{}
			}
			s.records[day][base] = messages.Record{Status: messages.StatusCopied, Object: o, Copy: &messages.FileCopied{Key: "k"}}
		}
		if kind != 5 && !names[o.Name] { // the source lists it
			names[o.Name] = true
			s.objects = append(s.objects, o)
		}
	}
	slices.SortFunc(s.objects, func(x, y messages.Object) int { return strings.Compare(x.Name, y.Name) })
	return s
}

func shelfSource(s shelf, limit int) *reportSource {
	cfg := &config.Config{}
	cfg.OCI.Prefix, cfg.OCI.Name, cfg.Advanced.MaxFileSizeGB, cfg.Advanced.ValidateFileSize = "FOCUS Reports/", "main", 5, true
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		panic(err)
	}
	return &reportSource{route: &route{cfg: cfg, naming: naming, log: quietLog()}, lister: s, ledger: s, marks: s, limit: limit}
}

// TestPagesHoldEachFileOnce: however the evidence is cut into pages, each listed object
// and each record that was not listed is in it once, the former with its record.
func TestPagesHoldEachFileOnce(t *testing.T) {
	today := messages.DayOf(time.Now())
	rapid.Check(t, func(t *rapid.T) {
		s := genShelf(t, today)
		q := reportRequest{From: today.Add(rapid.IntRange(-9, 0).Draw(t, "from"))}
		if rapid.Bool().Draw(t, "closed") {
			q.To = q.From.Add(rapid.IntRange(0, 9).Draw(t, "days"))
		}
		q.LedgerOnly = rapid.Bool().Draw(t, "ledger only")
		want := naive(s, q, today)

		got := map[string]int{}
		source := shelfSource(s, rapid.IntRange(1, 10).Draw(t, "limit"))
		unlisted, err := walk(t.Context(), source.page, q, "", func(report.Head, *report.Builder, reportHead) func(report.Evidence) {
			return func(e report.Evidence) { got[said(e)]++ }
		})
		if err != nil || unlisted != "" {
			t.Fatal(err, unlisted)
		}
		if !maps.Equal(got, want) {
			t.Fatalf("%+v: got %v\nwant %v", q, got, want)
		}
	})
}

func said(e report.Evidence) string {
	return fmt.Sprint(e.Object.Name, " listed ", e.Listed, " record ", e.Record != nil, " ", e.Reason, " ", e.Day)
}

// naive says what the pages must hold, from everything at once.
func naive(s shelf, q reportRequest, today messages.Day) map[string]int {
	out, last := map[string]int{}, q.To
	if last == "" {
		last = max(today, q.From)
	}
	seen := map[string]bool{}
	days := map[messages.Day]bool{} // whose records are read
	for d := q.From; d <= last; d = d.Add(1) {
		days[d] = true
	}
	source := shelfSource(s, 0)
	for _, o := range s.objects {
		beyond := q.To != "" && o.Name >= "FOCUS Reports/"+q.To.Add(1).Folder()
		if q.LedgerOnly || beyond || o.Name < "FOCUS Reports/"+q.From.Folder() {
			continue
		}
		e, base := source.eligible(o)
		if e.Day != "" {
			days[e.Day] = true
		}
		if r, ok := s.records[e.Day][base]; ok {
			e.Record = &r
			seen[o.Name] = true
		}
		out[said(e)]++
	}
	for d := range days {
		for _, r := range s.records[d] {
			if !seen[r.Object.Name] {
				out[said(report.Evidence{Object: r.Object, Day: d, Record: &r})]++
			}
		}
	}
	return out
}

// TestAPartOfAListingIsNone: where the listing breaks, at whatever object, the report is
// that of the ledger alone and says so, and no listed object is in it.
func TestAPartOfAListingIsNone(t *testing.T) {
	today := messages.DayOf(time.Now())
	rapid.Check(t, func(t *rapid.T) {
		s := genShelf(t, today)
		s.broken = rapid.IntRange(0, len(s.objects)).Draw(t, "broken")
		source := shelfSource(s, rapid.IntRange(1, 10).Draw(t, "limit"))
		q := reportRequest{From: today.Add(-9)}
		unlisted, err := walk(t.Context(), source.page, q, "", func(report.Head, *report.Builder, reportHead) func(report.Evidence) { return func(report.Evidence) {} })
		if err != nil || unlisted != "the page is torn" {
			t.Fatalf("%q, %v", unlisted, err)
		}
	})
	s := shelf{broken: 0, records: map[messages.Day]map[string]messages.Record{today: {"1.csv.gz": {Object: messages.Object{Name: "x"}}}}}
	p, err := shelfSource(s, 0).page(t.Context(), reportRequest{From: today})
	if err != nil || p.Unlisted == "" || p.Files != nil || p.Next != "" {
		t.Errorf("%+v, %v", p, err)
	}
}

// TestAScanJudgesTheDaysOfItsWindow: what a scan found of a day is all that counts; a
// report that is too large is no complete day, and what a sweep finds of older days is
// left out.
func TestAScanJudgesTheDaysOfItsWindow(t *testing.T) {
	r := shelfSource(shelf{}, 0).route
	r.cfg.Agent.LookbackDays = 20
	b, today := r.dayBook(), messages.DayOf(time.Now())
	find := func(d messages.Day, size int64, f scanner.Finding) {
		begin, _ := time.Parse(time.DateOnly, string(d))
		o := messages.Object{Name: "FOCUS Reports/" + d.Folder() + "1.csv.gz", ETag: "e", Size: size, Created: begin.Add(6 * time.Hour)}
		out := scanner.Outcome{Object: o, Finding: f}
		if out.Report, out.Err = r.rules().Report(o); f == scanner.Done {
			out.Record = messages.Record{Status: messages.StatusCopied, Object: o, Copy: &messages.FileCopied{How: messages.HowCopied, Size: size}}
		}
		b.found(out)
	}
	for d := today.Add(-30); d < today.Add(-5); d = d.Add(1) {
		find(d, 1, scanner.Done)
	}
	find(today.Add(-5), 6<<30, scanner.Failed)
	find(today.Add(-4), 1, scanner.Published)
	got := b.judge(time.Now().UTC(), messages.Marks{Since: today.Add(-18)})
	if want := map[string]int{"before-us": 2, "complete": 13, "partial": 2, "late": 0}; got.From != today.Add(-20) ||
		slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(s string) bool { return got.States[s] != want[s] }) || got.States["missing"]+got.States["not-expected-yet"] != 4 {
		t.Errorf("%+v, want from %s and %v", got, today.Add(-20), want)
	}
	if text := daysText(got); !strings.Contains(text, "2 partial (1 still filling up)") || !strings.Contains(text, "missing") {
		t.Errorf("in words: %s", text)
	}
}

func TestTheRangeOfAReport(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		from, to string
		want     span
		bad      bool
	}{
		{"", "", span{"2026-10-23", "2026-11-26", true}, false},
		{"2026-11-01", "", span{"2026-11-01", "2026-11-26", true}, false},
		{"", "2026-10-31", span{"2026-09-27", "2026-10-31", false}, false},
		{"2026-11-30", "", span{"2026-11-30", "2026-11-30", true}, false},
		{"2026-11-02", "2026-11-01", span{}, true},
		{"2026-11-31", "", span{}, true},
		{"", "yesterday", span{}, true},
		{"2001-01-01", "", span{}, true},
	} {
		got, err := reportOptions{from: c.from, to: c.to}.span(now)
		if (err != nil) != c.bad || !c.bad && got != c.want || c.bad && exitCode(err) != exitConfig {
			t.Errorf("--from %q --to %q: %+v, %v; want %+v", c.from, c.to, got, err, c.want)
		}
	}
}
