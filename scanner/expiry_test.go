package scanner_test

import (
	"testing"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func TestWhatIsNotDeliveredAndOldIsExpiring(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 0, 0, 0, 0, time.UTC)
	old := now.Add(-scanner.ExpiryAlarm)
	tooLarge := &messages.Ineligible{Reason: messages.TooLarge}
	for name, tt := range map[string]struct {
		o    scanner.Outcome
		want bool
	}{
		"published":      {scanner.Outcome{Finding: scanner.Published, Object: messages.Object{Created: old}}, true},
		"queued":         {scanner.Outcome{Finding: scanner.Queued, Object: messages.Object{Created: old}}, true},
		"given up":       {scanner.Outcome{Finding: scanner.Failed, Object: messages.Object{Created: old}, Err: messages.HashMismatch}, true},
		"too large":      {scanner.Outcome{Finding: scanner.Failed, Object: messages.Object{Created: old}, Err: tooLarge}, true},
		"of modified":    {scanner.Outcome{Finding: scanner.Queued, Object: messages.Object{Modified: old}}, true},
		"delivered":      {scanner.Outcome{Finding: scanner.Done, Object: messages.Object{Created: old}}, false},
		"no report":      {scanner.Outcome{Finding: scanner.Ineligible, Object: messages.Object{Created: old}, Err: &messages.Ineligible{Reason: messages.NotAReport}}, false},
		"younger":        {scanner.Outcome{Finding: scanner.Queued, Object: messages.Object{Created: old.Add(time.Second)}}, false},
		"of no time":     {scanner.Outcome{Finding: scanner.Queued}, false},
		"made, then new": {scanner.Outcome{Finding: scanner.Queued, Object: messages.Object{Created: now, Modified: old}}, false},
	} {
		if since, got := tt.o.Expiring(now); got != tt.want || got && !since.Equal(old) {
			t.Errorf("%s: Expiring = %v, %v, want %v", name, since, got, tt.want)
		}
	}
}

// A scan of all days counts what expires, and by itself what others do not list.
func TestASweepCountsWhatOnlyItSees(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old, d := today().Add(-350), today()
	when := time.Now().Add(-scanner.ExpiryAlarm - time.Hour).UTC()
	of := func(d messages.Day, base string, size int64, at time.Time) messages.Object {
		o := object(d, base, "1")
		o.Size, o.Created = size, at
		return o
	}
	oldDead, newDead := of(old, "dead", 10, when), of(d, "dead", 10, time.Now())
	for _, dead := range []messages.Object{oldDead, newDead} {
		w.put(messages.Record{Status: messages.StatusFailed, Object: dead})
	}
	w.add(oldDead, newDead, of(old, "late", 10, when.Add(-time.Hour)), of(old, "big", 1001, when), of(d, "big", 1001, time.Now()))
	s := w.scanner()
	s.Since = old
	st, err := s.Scan(t.Context())
	if err != nil || !st.Sweep || st.Dead != 2 || st.DeadBefore != 1 || st.TooLarge != 2 || st.TooLargeBefore != 1 || st.Expiring != 3 || !st.Oldest.Equal(when.Add(-time.Hour)) {
		t.Errorf("the sweep is %+v, %v", st, err)
	}
	if st, err = s.Scan(t.Context()); err != nil || st.Sweep || st.Dead != 1 || st.DeadBefore != 0 || st.TooLarge != 1 || st.TooLargeBefore != 0 || st.Expiring != 0 {
		t.Errorf("the scan after it is %+v, %v", st, err)
	}
}
