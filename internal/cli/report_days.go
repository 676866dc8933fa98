package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A dayBook judges the report days that agent.lookback_days reaches, from what each
// scan sees anyway: it asks nobody but for the marks. Older days are those of `report`.
type dayBook struct {
	route   *route
	from    messages.Day
	builder *report.Builder
}

func (r *route) dayBook() *dayBook {
	b := &dayBook{route: r}
	b.open()
	return b
}

// open begins anew, before a scan.
func (b *dayBook) open() {
	b.from = messages.DayOf(time.Now()).Add(-max(b.route.settings().Agent.LookbackDays, scanner.MinLookback))
	b.builder = &report.Builder{Epoch: b.route.identity.Epoch, Born: b.route.identity.Created, Listing: true}
}

// found takes what a scan found of one object.
func (b *dayBook) found(o scanner.Outcome) {
	if o.Object.Name < b.route.cfg.OCI.Prefix+b.from.Folder() { // a sweep sees more
		return
	}
	e := report.Evidence{Object: o.Object, Listed: true, Day: o.Report.Day, Key: o.Report.Key}
	if _, bad := errors.AsType[*messages.Ineligible](o.Err); bad {
		e, _ = b.route.eligible(o.Object)
	}
	if o.Record.Status != "" {
		e.Record = &o.Record
	}
	b.builder.Add(e)
}

// close ends with a scan and says how the days stand; nil after a scan that was not
// complete, or where nobody knows which days the installation is responsible for.
func (b *dayBook) close(ctx context.Context, failed error) *agent.ReportDays {
	defer b.open()
	if failed != nil {
		return nil
	}
	marks, _, err := b.route.readMarks(ctx)
	if err != nil || marks == nil {
		return nil
	}
	return b.judge(time.Now().UTC(), *marks)
}

// judge says how the days stand that the scan went through.
func (b *dayBook) judge(now time.Time, marks messages.Marks) *agent.ReportDays {
	b.builder.Now, b.builder.Marks = now, marks
	d := &agent.ReportDays{From: b.from, States: map[string]int{}}
	for _, s := range report.States() {
		d.States[string(s)] = 0
	}
	for _, day := range b.builder.Days(b.from, messages.DayOf(now)) {
		d.States[string(day.State)]++
		if day.State == report.Partial && (day.Fills(now) || day.Failed == 0 && day.Pending > 0) {
			d.Filling++
		}
	}
	return d
}

// days takes how the report days stand; nil: that is not known anew.
func (m *monitor) days(d *agent.ReportDays) {
	if m != nil && d != nil {
		m.metrics.Days(d.States)
	}
}

// daysText counts the days of each state, and is never silent about the bad ones.
func daysText(d *agent.ReportDays) string {
	var parts []string
	for _, s := range report.States() {
		n := d.States[string(s)]
		if n == 0 && s != report.Missing && s != report.Partial {
			continue
		}
		part := fmt.Sprintf("%d %s", n, strings.ReplaceAll(string(s), "-", " "))
		if s == report.Partial && d.Filling > 0 {
			part += fmt.Sprintf(" (%d still filling up)", d.Filling)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}
