package cli

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

// watchedEntry is a record of a file as a watch tells it.
func watchedEntry(day messages.Day, base string, status messages.Status, at time.Time) nats.Entry {
	name := "FOCUS Reports/" + day.Folder() + base
	r := messages.Record{Status: status, Epoch: 1, Object: messages.Object{Name: name, Size: 1000, Created: at.Add(-time.Minute)}, At: at}
	switch status {
	case messages.StatusCopied:
		r.Copy = &messages.FileCopied{Size: 1000, How: messages.HowCopied, At: at}
	case messages.StatusFailed:
		r.Class, r.Attempts, r.Error = messages.HashMismatch, 3, "other bytes"
	}
	return nats.Entry{Day: day, Basename: base, Record: r}
}

// Whatever the files and the filter, the pages together are the files that it takes, each
// once, those that changed last first; and Total is their number on each page.
func TestThePagesOfAListAreAllThatItsFilterTakes(t *testing.T) {
	t.Parallel()
	statuses := []messages.Status{messages.StatusCopied, messages.StatusFailed, messages.StatusRetrying, messages.StatusDue, messages.StatusGone, messages.StatusDiscarded}
	rapid.Check(t, func(t *rapid.T) {
		x := newFileIndex("FOCUS Reports/", 1, time.Time{})
		base := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for i := range rapid.IntRange(0, 60).Draw(t, "files") {
			day := messages.Day("2026-11-01").Add(rapid.IntRange(0, 3).Draw(t, "day"))
			at := base.Add(time.Duration(rapid.IntRange(0, 5).Draw(t, "minute")) * time.Minute) // many at one moment
			x.recorded(watchedEntry(day, fmt.Sprintf("%03d-A.csv.gz", i), rapid.SampledFrom(statuses).Draw(t, "status"), at))
		}
		q := fileQuery{Filter: web.Filter{Limit: rapid.IntRange(1, 7).Draw(t, "limit")}}
		if rapid.Bool().Draw(t, "by state") {
			q.State = rapid.SampledFrom(web.FileStates()).Draw(t, "state")
		}
		if rapid.Bool().Draw(t, "by day") {
			q.Day = "2026-11-02"
		}
		if rapid.Bool().Draw(t, "by text") {
			q.text = "1-a."
		}
		var want []cursor
		for name, f := range x.files {
			if (q.State == "" || f.state == q.State) && (q.Day == "" || f.day == q.Day) && strings.Contains(strings.ToLower(name), q.text) {
				want = append(want, cursor{f.at, name})
			}
		}
		slices.SortFunc(want, cursor.compare)
		var got []cursor
		for {
			page := x.choose(q)
			if page.Total != len(want) || page.Known != len(x.files) || len(page.Files) > q.Limit {
				t.Fatalf("page = %+v, want %d in all", page, len(want))
			}
			for _, f := range page.Files {
				got = append(got, cursor{f.At.UnixMilli(), f.Object})
			}
			if page.Next == "" {
				break
			}
			after, err := parseCursor(page.Next)
			if err != nil {
				t.Fatal(err)
			}
			q.after = &after
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages: %v\n want: %v", got, want)
		}
	})
}

// A listing tells of files that have no record; what the ledger says of one beats it,
// whichever comes first.
func TestTheLedgerBeatsAListing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	e := watchedEntry("2026-11-20", "a.csv.gz", messages.StatusFailed, now)
	listed := report.Evidence{Object: e.Record.Object, Listed: true, Day: e.Day}
	pending := report.File{Section: report.Pending}
	state := func(x *fileIndex) web.FileState { row, _ := x.find(e.Record.Object.Name); return row.State }

	x := newFileIndex("FOCUS Reports/", 1, time.Time{})
	if x.listed(listed, pending); state(x) != web.FileWaiting {
		t.Errorf("listed alone: %s", state(x))
	}
	if x.recorded(e); state(x) != web.FileFailed {
		t.Errorf("recorded: %s", state(x))
	}
	if x.listed(listed, pending); state(x) != web.FileFailed {
		t.Errorf("listed after it was recorded: %s", state(x))
	}
	copied := watchedEntry("2026-11-20", "a.csv.gz", messages.StatusCopied, now)
	x.recorded(copied)
	if x.listed(listed, pending); state(x) != web.FileCopied { // that listing was older than the copy
		t.Errorf("listed as it was copied: %s", state(x))
	}
	listed.Object.Created = now.Add(time.Hour)
	if x.listed(listed, pending); state(x) != web.FileWaiting {
		t.Errorf("a newer version: %s", state(x))
	}
	copied.Erased = true
	if x.recorded(copied); len(x.files) != 0 {
		t.Errorf("an erased record leaves %v", x.files)
	}
	if got := x.takeTouched(); !slices.Equal(got, []messages.Day{"2026-11-20"}) || len(x.takeTouched()) != 0 {
		t.Errorf("touched: %v", got)
	}
}

// What is too much goes by age, and never what failed or waits.
func TestAnIndexOfTooManyFilesForgetsTheOldestDelivered(t *testing.T) {
	t.Parallel()
	x := newFileIndex("FOCUS Reports/", 1, time.Time{})
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	x.recorded(watchedEntry("2025-01-01", "failed.csv.gz", messages.StatusFailed, at.AddDate(-1, 0, 0)))
	for i := range maxIndexed {
		x.recorded(watchedEntry("2026-01-01", fmt.Sprintf("%06d.csv.gz", i), messages.StatusCopied, at.Add(time.Duration(i)*time.Second)))
	}
	if n := len(x.files); n > maxIndexed || x.left() == 0 || n+x.left() != maxIndexed+1 {
		t.Errorf("%d files, %d left out", n, x.left())
	}
	for name, want := range map[string]bool{"2025/01/01/failed.csv.gz": true, "2026/01/01/000000.csv.gz": false, fmt.Sprintf("2026/01/01/%06d.csv.gz", maxIndexed-1): true} {
		if _, ok := x.find("FOCUS Reports/" + name); ok != want {
			t.Errorf("%s: %t", name, ok)
		}
	}
}

// The sums of an index follow from its files.
func TestSumsFollowFromTheFiles(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	x := newFileIndex("FOCUS Reports/", 1, now.AddDate(0, 0, -10))
	for i := range 20 { // delivered after one minute each
		x.recorded(watchedEntry("2026-11-20", fmt.Sprintf("%d.csv.gz", i), messages.StatusCopied, now.Add(-time.Duration(i)*time.Hour)))
	}
	slow := watchedEntry("2026-11-20", "slow.csv.gz", messages.StatusCopied, now)
	slow.Record.Object.Created = now.Add(-5 * time.Hour)
	x.recorded(slow)
	history := watchedEntry("2026-01-20", "history.csv.gz", messages.StatusCopied, now)
	history.Record.Object.Created = now.AddDate(0, -10, 0) // before the ledger was born
	x.recorded(history)
	for i := range 7 {
		x.recorded(watchedEntry("2026-11-19", fmt.Sprintf("bad%d.csv.gz", i), messages.StatusFailed, now.Add(-time.Duration(i)*time.Minute)))
	}
	s := x.sum(now)
	if s.files != 29 || s.failed != 7 || s.today != 15 || s.todayBytes != 15_000 || s.delay != 60 {
		t.Errorf("sums = %+v", s)
	}
	if len(s.causes) != 1 || s.causes[0].Count != 7 || len(s.causes[0].Files) != causeFiles || s.causes[0].Files[0].Name != "bad0.csv.gz" ||
		!s.causes[0].First.Equal(now.Add(-6*time.Minute)) || !s.causes[0].Last.Equal(now) {
		t.Errorf("causes = %+v", s.causes)
	}
	appeared, delivered := x.flow(now.Add(-3*time.Hour), time.Hour, 4)
	var got []int
	for i := range delivered {
		got = append(got, appeared[i].Files, delivered[i].Files)
	}
	// The failed ones appeared up to seven minutes before noon; of the delivered, one in each hour.
	if want := []int{1, 1, 1, 1, 8, 1, 0, 3}; !slices.Equal(got, want) {
		t.Errorf("flow = %v, want %v", got, want)
	}
}

// BenchmarkIndex tells what lists and sums of 100,000 files cost, and how much memory
// these take.
func BenchmarkIndex(b *testing.B) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	x := newFileIndex("FOCUS Reports/", 1, time.Time{})
	now := time.Now()
	for i := range 100_000 {
		status := messages.StatusCopied
		if i%1000 == 0 {
			status = messages.StatusFailed
		}
		day := messages.DayOf(now).Add(-i / 250)
		x.recorded(watchedEntry(day, fmt.Sprintf("0001000002103533-%05d.csv.gz", i), status, now.Add(-time.Duration(i)*5*time.Minute)))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.Run("page", func(b *testing.B) {
		for b.Loop() {
			x.choose(fileQuery{Filter: web.Filter{Limit: 50}})
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
	})
	b.Run("text", func(b *testing.B) {
		for b.Loop() {
			x.choose(fileQuery{Filter: web.Filter{Limit: 50}, text: "-99999."})
		}
	})
	b.Run("sums", func(b *testing.B) {
		for b.Loop() {
			x.count(now)
		}
	})
	b.Run("flow", func(b *testing.B) {
		for b.Loop() {
			x.flow(now.AddDate(0, 0, -30), 8*time.Hour, 90)
		}
	})
}
