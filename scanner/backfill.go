package scanner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

// backfillOnly is a begin of the scan window that is later than any report: all that a
// backfill finds goes to the backfill lane, also of days that are fresh.
const backfillOnly = messages.Day("9999-12-31")

// Backfill lists the days of r and queues what is not done in the backfill lane, from
// which a copier takes a file only when no fresh one waits. With all, what is done is
// ordered once more, but for what an operator discarded.
//
// The days of r become a part of the responsibility before anything of them is queued.
// A crash after that leaves them to the next sweep, which finds and queues whatever is
// missing of them, at most sweepEvery later; one before that leaves nothing at all. In
// the other order a crash would leave a part of the days copied, and the rest to nobody.
// A file that is ordered again is due in the ledger before its message is queued, so
// that a sweep finds it, too.
func (s *Scanner) Backfill(ctx context.Context, r messages.Range, all bool) (Stats, error) {
	started := time.Now()
	st := Stats{Scan: id(8), Started: started.UTC(), From: r.From, Ineligible: map[messages.Reason]int{}}
	if !r.Valid() {
		return st, fmt.Errorf("%q to %q is no range of days", r.From, r.To)
	}
	ctx, log, end := s.follow(ctx, "backfill", s.Log.With("scan", st.Scan))
	log.Info("backfill started", "from", r.From, "to", r.To, "all", all)
	err := s.extend(ctx, r)
	if err == nil {
		p := pass{
			Scanner: s, stats: &st, log: log, started: started, listed: map[messages.Day]bool{}, all: all,
			window: window{since: r.From, from: r.From, to: r.To, scan: backfillOnly},
		}
		err = p.list(ctx)
	}
	if errors.Is(err, messages.ErrNewer) {
		s.violated(messages.NewerSchema)
	}
	st.Seconds = time.Since(started).Seconds()
	end(st, err)
	return st, err
}

// extend makes the installation responsible for the days of r, by one write of the marks.
// How far the scans came stays as it is: whether these days were swept is not said.
func (s *Scanner) extend(ctx context.Context, r messages.Range) error {
	for range 10 {
		m, revision, err := s.marks(ctx)
		if err != nil {
			return fmt.Errorf("read the scan marks: %w", err)
		}
		next := s.with(m, r)
		if next.Since == m.Since && slices.Equal(next.Ranges, m.Ranges) {
			return nil
		}
		raw, err := next.Encode()
		if err != nil {
			return err
		}
		_, err = s.Marks.Write(ctx, messages.MarksKey(s.Route), raw, revision)
		if err == nil || !errors.Is(err, messages.Conflict) {
			return err
		}
	}
	return fmt.Errorf("note the range in the scan marks: %w", messages.Conflict)
}

// with is m with the days of r. A range that reaches the begin of responsibility moves
// it, unless that begin is configured: then it is the operator's, and the range stays
// beside it.
func (s *Scanner) with(m messages.Marks, r messages.Range) messages.Marks {
	since := m.Since
	if s.Since != "" {
		since = s.Since
	}
	m.Epoch, m.Ranges = s.Epoch, messages.Join(append(slices.Clone(m.Ranges), r), since)
	if n := len(m.Ranges); s.Since == "" && m.Since != "" && n > 0 && m.Ranges[n-1].To == m.Since.Add(-1) {
		m.Since, m.Ranges = m.Ranges[n-1].From, m.Ranges[:n-1]
	}
	if len(m.Ranges) == 0 {
		m.Ranges = nil
	}
	return m
}

// again reports whether a file that is done is to be ordered once more. What an operator
// discarded stays so.
func (p *pass) again(r messages.Record) bool { return p.all && r.Status != messages.StatusDiscarded }

// Order makes the record of a report due, whatever another process writes meanwhile, so
// that the present version is sent once more. A message of its generation, or the next
// scan that lists the file, brings it to a copier.
func (s *Scanner) Order(ctx context.Context, o messages.Object, r messages.Report) (messages.Record, error) {
	key := messages.RecordKey(s.Route, r)
	for range 5 {
		raw, revision, err := s.Marks.Read(ctx, key)
		if err != nil {
			return messages.Record{}, err
		}
		var had messages.Record
		if raw != nil {
			had, err = messages.DecodeRecord(raw)
		}
		if err != nil && !errors.Is(err, messages.Refused) { // what cannot be read is not there
			return messages.Record{}, err
		}
		if had.Epoch != s.Epoch { // it speaks of a destination that was given up
			had.Copy = nil
		}
		due := had.Ordered(o, s.Epoch, time.Now())
		if raw, err = due.Encode(); err != nil {
			return messages.Record{}, err
		}
		if _, err = s.Marks.Write(ctx, key, raw, revision); !errors.Is(err, messages.Conflict) {
			return due, err
		}
	}
	return messages.Record{}, fmt.Errorf("order %s: %w", o.Name, messages.Conflict)
}
