package scanner

import (
	"context"
	"fmt"

	"oracle-focus-agent/messages"
)

// maxForgotten bounds what one sweep forgets: each takes a listing of its own.
const maxForgotten = 1000

// A kept is a record whose file the sweep did not list.
type kept struct {
	key    string
	record messages.Record
}

// leave ends a day: of its records, those that are old enough and whose files were
// not listed are looked at after the sweep.
func (p *pass) leave() {
	if p.sheet == nil || !p.forgets() {
		return
	}
	p.listed[p.sheet.day] = true
	for basename, r := range p.sheet.records {
		p.outlived(p.sheet.day, basename, r)
	}
}

// forgets reports whether this scan ends with forgetting.
func (p *pass) forgets() bool { return p.window.sweep && p.Retention > 0 && p.Forgetter != nil }

// outlived notes a record that has outlived its time, unless its file was listed.
// A file that failed stays on record until an operator decides.
func (p *pass) outlived(d messages.Day, basename string, r messages.Record) {
	if p.seen[basename] || r.Status == messages.StatusFailed || p.started.Sub(r.At) < p.Retention {
		return
	}
	if len(p.old) < maxForgotten {
		p.old = append(p.old, kept{messages.RecordKey(p.Route, messages.Report{Day: d, Basename: basename}), r})
	}
}

// forget erases the records of files that the source no longer lists. It runs
// after a complete sweep and makes sure of each file by a listing of its own: a
// record must live as long as its file, or the file would be copied again. What a
// crash or an error leaves is found by the next sweep.
func (p *pass) forget(ctx context.Context) {
	if !p.forgets() {
		return
	}
	err := p.unlistedDays(ctx)
	for _, k := range p.old {
		if err != nil {
			break
		}
		err = p.forgetOne(ctx, k)
	}
	if p.stats.Forgotten > 0 {
		p.log.Info("records forgotten of files that the source no longer lists", "count", p.stats.Forgotten, "older_than", p.Retention)
	}
	if err != nil && ctx.Err() == nil {
		p.log.Warn("old records could not be forgotten; the next sweep tries again", "err", err)
	}
}

// unlistedDays looks at the days of which nothing was listed.
func (p *pass) unlistedDays(ctx context.Context) error {
	p.seen = nil
	for _, days := range p.window.stretches() {
		last := messages.DayOf(p.started)
		if days.To != "" {
			last = min(last, days.To)
		}
		for d := days.From; d <= last; d = d.Add(1) {
			if err := p.unlistedDay(ctx, d); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pass) unlistedDay(ctx context.Context, d messages.Day) error {
	if p.listed[d] {
		return nil
	}
	sh, err := p.read(ctx, d)
	if err != nil {
		return err
	}
	for basename, r := range sh.records {
		p.outlived(d, basename, r)
	}
	return nil
}

func (p *pass) forgetOne(ctx context.Context, k kept) error {
	name := k.record.Object.Name
	for o, err := range p.Lister.List(ctx, name) {
		if err != nil {
			return fmt.Errorf("look for %s: %w", name, err)
		}
		if o.Name == name {
			return nil
		}
		break
	}
	erased, err := p.Forgetter.Forget(ctx, k.key, k.record)
	if erased {
		p.stats.Forgotten++
	}
	return err
}
