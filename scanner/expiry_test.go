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
