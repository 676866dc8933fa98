package cli

import (
	"testing"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// Whatever day it is, the demo has the whole month before the last, and nothing odd in it.
func TestTheDemoHasACompleteMonth(t *testing.T) {
	t.Parallel()
	const oldestOdd = 28 // days ago; nothing that the demo changes is older
	for now := time.Date(2027, 1, 1, 23, 59, 0, 0, time.UTC); now.Year() < 2029; now = now.AddDate(0, 0, 1) {
		days := history(now)
		first := now.AddDate(0, 0, 1-days)
		if first.Day() != 1 || (int(now.Month())-int(first.Month())+12)%12 != 2 {
			t.Errorf("on %s it begins with %s", now.Format(time.DateOnly), first.Format(time.DateOnly))
		}
		if days <= max(demoDays, demoMissing, demoFailing) {
			t.Errorf("on %s it has %d days", now.Format(time.DateOnly), days)
		}
		if odd := now.AddDate(0, 0, -oldestOdd+1); odd.Month() == first.Month() {
			t.Errorf("on %s something odd is of %s", now.Format(time.DateOnly), first.Format("January"))
		}
	}
}

// The verdict of the demo names the day that is missing, once the failed file is repaired.
func TestTheDemosMissingDayIsInTheVerdict(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 0, 0, 1, 0, time.UTC)
	for _, at := range []time.Time{now, now.Add(24*time.Hour - 2*time.Second)} {
		day := report.Day{Day: messages.DayOf(now.AddDate(0, 0, -demoMissing)), State: report.Missing}
		if lacking := lackingDays([]report.Day{day}, at); len(lacking) != 1 {
			t.Errorf("at %s it lacks %v", at, lacking)
		}
	}
}
