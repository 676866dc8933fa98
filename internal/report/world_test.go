package report_test

import (
	"fmt"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// now is the instant of most tests.
func now() time.Time { return time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) }

func start(d messages.Day) time.Time {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		panic(err)
	}
	return t
}

// listed is a report of a day that appeared so many hours after its begin, without a record.
func listed(d messages.Day, n int, hours float64) report.Evidence {
	base := fmt.Sprintf("%016d-00001.csv.gz", n)
	at := start(d).Add(time.Duration(hours * float64(time.Hour)))
	return report.Evidence{
		Listed: true, Day: d, Key: "focus/" + string(d) + "_" + base,
		Object: messages.Object{Name: "FOCUS Reports/" + d.Folder() + base, ETag: "e" + base, Size: 1000, Created: at},
	}
}

// recorded gives a file a record of this status.
func recorded(e report.Evidence, s messages.Status) report.Evidence {
	e.Record = &messages.Record{Status: s, Object: e.Object, At: e.Object.Created.Add(10 * time.Minute)}
	return e
}

// delivered gives a file a record of its delivery, ten minutes after it appeared.
func delivered(e report.Evidence) report.Evidence {
	e = recorded(e, messages.StatusCopied)
	e.Record.Copy = &messages.FileCopied{
		Key: e.Key, Size: e.Object.Size, CRC32C: "c" + e.Object.Name[len(e.Object.Name)-12:], Verified: messages.ByCRC32C, How: messages.HowCopied, At: e.Record.At,
	}
	return e
}

// counted gives a delivered file complete statistics.
func counted(e report.Evidence, rows int64, sums ...messages.Sum) report.Evidence {
	c := *e.Record.Copy
	c.Statistics = &messages.Statistics{Gzip: messages.GzipValid, Members: 1, Rows: rows, Sums: sums}
	r := *e.Record
	r.Copy = &c
	e.Record = &r
	return e
}

func sum(period, currency, billed string) messages.Sum {
	return messages.Sum{Period: period, Currency: currency, Billed: billed, Effective: billed}
}

// usual are the seven files of a day, a run every six hours.
func usual(d messages.Day) (all []report.Evidence) {
	for n := range 7 {
		all = append(all, delivered(listed(d, n, 6.5*float64(n)+6)))
	}
	return all
}

// history fills a builder with usual days before a day.
func history(b *report.Builder, d messages.Day, days int) {
	for n := range days {
		for _, e := range usual(d.Add(n - days)) {
			b.Add(e)
		}
	}
}

func head() report.Head {
	return report.Head{Schema: report.Schema, Route: "main", Source: "oci://tenancy@bling/FOCUS Reports/", Destination: "s3://bucket/path/", Made: now(), Basis: report.FromListing}
}
