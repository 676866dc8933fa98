package config_test

import (
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
)

// TestWhatIsAllowedWhen: each entry stands until the next, over midnight and over the end
// of the week, in UTC.
func TestWhatIsAllowedWhen(t *testing.T) {
	t.Parallel()
	const week = "08:00 20MB,18:00 off,Sat-08:00 off,Mon-00:30 1MB,Sun-18:00 5MB"
	monday := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		timetable string
		day       int // from Monday
		clock     string
		want      config.Rate
	}{
		{"", 0, "12:00", 7},
		{"08:00 20MB", 3, "07:59", 20e6}, // of the day before
		{week, 0, "00:00", 5e6},          // of Sunday
		{week, 0, "00:30", 1e6},
		{week, 0, "07:59", 1e6},
		{week, 0, "08:00", 20e6},
		{week, 0, "17:59", 20e6},
		{week, 0, "18:00", 0},
		{week, 1, "00:30", 0},
		{week, 4, "23:59", 0},
		{week, 5, "08:00", 0}, // that of the one day counts
		{week, 6, "08:00", 20e6},
		{week, 6, "18:00", 5e6},
		{"Mon-08:00 1MB,Fri-18:00 2MB", 0, "07:59", 2e6},
		{"Mon-08:00 1MB,Fri-18:00 2MB", 4, "17:59", 1e6},
		{"Mon-08:00 1MB,Fri-18:00 2MB", 6, "12:00", 2e6},
	} {
		at, err := time.Parse("15:04", tt.clock)
		if err != nil {
			t.Fatal(err)
		}
		now := monday.AddDate(0, 0, tt.day).Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute)
		limits := config.Limits{Bandwidth: 7, Timetable: config.Timetable(tt.timetable)}
		for _, zone := range []*time.Location{time.UTC, time.FixedZone("far", 13*3600)} {
			if got := limits.At(now.In(zone)); got != tt.want {
				t.Errorf("%q at %s: %v, want %v", tt.timetable, now.Format("Mon 15:04"), got, tt.want)
			}
		}
	}
}

func TestLimitsAreSetByAnyKey(t *testing.T) {
	t.Parallel()
	for _, l := range []config.Limits{{Bandwidth: 1}, {Requests: 1}, {Timetable: "08:00 off"}} {
		if !l.Set() {
			t.Errorf("%+v is no limit", l)
		}
	}
	if (config.Limits{}).Set() {
		t.Error("nothing is a limit")
	}
}
