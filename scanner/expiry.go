package scanner

import (
	"errors"
	"time"

	"oracle-focus-agent/messages"
)

// ExpiryAlarm is the age from which on a report that is not delivered is in danger:
// Oracle deletes reports after a year, and that leaves 30 days to do something.
const ExpiryAlarm = 335 * 24 * time.Hour

// Expiring reports whether o is a report that is not at the destination and that the
// source may soon delete, and since when the source has it. What is delivered, or was
// given up by an operator, is not; what no time is known of cannot be judged.
func (o Outcome) Expiring(now time.Time) (since time.Time, expiring bool) {
	since = o.Object.Created
	if since.IsZero() {
		since = o.Object.Modified
	}
	if since.IsZero() || now.Sub(since) < ExpiryAlarm {
		return since, false
	}
	switch o.Finding {
	case Published, Queued:
		return since, true
	case Failed:
		bad, ok := errors.AsType[*messages.Ineligible](o.Err)
		return since, !ok || bad.Reason == messages.TooLarge
	}
	return since, false
}
