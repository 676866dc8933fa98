package report

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// Delay is how late Oracle documents that data can be.
	Delay = 24 * time.Hour
	// History is how many days a cadence is learned from at most, and enough how many it
	// takes.
	History = 28
	enough  = 14
	// closedAfter is when, after its begin, a day teaches: the day itself, the
	// documented delay, and another day in which reports were seen to come.
	closedAfter = 72 * time.Hour
	// run is how often Oracle documents that reports are written.
	run = 6 * time.Hour
)

// A Cadence is what is usual for the files of a report day.
type Cadence struct {
	// Learned is false where there are too few days to learn from; then the numbers are
	// those that Oracle documents.
	Learned bool `json:"learned"`
	// Days is how many closed days it was learned from.
	Days int `json:"days"`
	// Files is how many files a day has, in the median; Low the fewest that are usual.
	Files int `json:"files"`
	Low   int `json:"low"`
	// First and Last are by when, after the begin of the day (UTC), its first and its
	// last file are usually there.
	First time.Duration `json:"-"`
	Last  time.Duration `json:"-"`
	// Quiet is how long it takes without a new file until no more is usual.
	Quiet time.Duration `json:"-"`
}

// MarshalJSON writes durations in seconds, as all of JSON here.
func (c Cadence) MarshalJSON() ([]byte, error) {
	type plain Cadence
	return json.Marshal(struct {
		plain
		First float64 `json:"first_seconds"`
		Last  float64 `json:"last_seconds"`
		Quiet float64 `json:"quiet_seconds"`
	}{plain(c), c.First.Seconds(), c.Last.Seconds(), c.Quiet.Seconds()})
}

// documented is the cadence that Oracle documents: a file every six hours, which can
// be a day late. Of a tenancy whose few closed days have fewer, no closed day is held
// against that: a new installation would say of each of its days that it lacks something.
func documented(days []history) Cadence {
	c := Cadence{Days: len(days), Files: 4, Low: 1, First: run, Last: closedAfter, Quiet: Delay}
	files := []int64{}
	for _, d := range days {
		files = append(files, int64(d.files))
	}
	if len(files) > 0 {
		c.Low = min(c.Files, max(1, int(median(files))))
	}
	return c
}

// learn makes a cadence of the arrivals of closed days.
func learn(days []history) Cadence {
	if len(days) < enough {
		return documented(days)
	}
	var files, first, last, quiet []int64
	for _, d := range days {
		files = append(files, int64(d.files))
		if len(d.arrivals) == 0 {
			continue
		}
		slices.Sort(d.arrivals)
		longest := time.Duration(0)
		for i := 1; i < len(d.arrivals); i++ {
			longest = max(longest, d.arrivals[i]-d.arrivals[i-1])
		}
		first = append(first, int64(d.arrivals[0]))
		last = append(last, int64(d.arrivals[len(d.arrivals)-1]))
		quiet = append(quiet, int64(longest))
	}
	usual := documented(nil)
	usual.Last = 24*time.Hour + run
	c := Cadence{Learned: true, Days: len(days), Files: int(median(files)), First: usual.First, Last: usual.Last, Quiet: usual.Quiet}
	c.Low = max(1, c.Files-int(spread(files)))
	c.Files = max(c.Files, c.Low)
	if len(first) >= enough {
		c.First, c.Last = late(first), late(last)
		c.Quiet = max(late(quiet), run)
	}
	return c
}

// A history is what a closed day teaches.
type history struct {
	files    int
	arrivals []time.Duration // after the begin of the day, where known
}

// median of values, which it sorts; the lower one of two.
func median(values []int64) int64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// spread is three times the median distance from the median: robust against the few
// days that are unlike the others, and zero where all are alike.
func spread(values []int64) int64 {
	m := median(values)
	distances := make([]int64, len(values))
	for i, v := range values {
		distances[i] = max(v-m, m-v)
	}
	return 3 * median(distances)
}

// late is by when it usually has happened.
func late(values []int64) time.Duration {
	return time.Duration(median(values) + spread(values)).Truncate(time.Minute)
}

// Text says in words what is usual.
func (c Cadence) Text() string {
	if !c.Learned {
		return fmt.Sprintf("only %d closed days to learn from, and %d are needed: by Oracle's documentation a day has a file every 6 h, up to 24 h late", c.Days, enough)
	}
	return fmt.Sprintf("learned from %d closed days: %s files a day, the first by %s and the last by %s after the begin of the day, settled after %s without another",
		c.Days, c.usual(), hours(c.First), hours(c.Last), hours(c.Quiet))
}

// usual is how many files are usual.
func (c Cadence) usual() string {
	if c.Low < c.Files {
		return fmt.Sprintf("%d (at least %d)", c.Files, c.Low)
	}
	return fmt.Sprint(c.Files)
}

func hours(d time.Duration) string {
	return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
}

// begin is the first instant of a day.
func begin(d messages.Day) time.Time {
	t, _ := time.Parse(time.DateOnly, string(d)) // days are valid here
	return t
}

func shortTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }
