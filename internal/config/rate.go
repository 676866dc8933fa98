package config

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Rate is a number of bytes in a second, written as plain digits or with a unit: KB, MB
// and GB count by 1000, KiB, MiB and GiB by 1024. 0 is no limit.
type Rate int64

// minRate is the least limit: under a lower one a file would hardly move.
const minRate = 64 << 10

var (
	errRate     = &valueError{"is not a number of bytes", "write it as 20MB, 20MiB or in plain digits"}
	errRateLow  = &valueError{"is too small for a limit", "use 64KiB or more"}
	errSlot     = &valueError{"holds what is no entry", "write each as 08:00 20MB, Mon-08:00 20MB or 18:00 off, with a comma between two"}
	errSlotSame = &valueError{"holds two entries of one time", "keep one of them"}
)

var rateForm = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?) ?(|[KMG]I?)B?$`)

// unit is how many bytes K, MI and the like are.
func unit(name string) float64 {
	base := 1000.0
	if strings.HasSuffix(name, "I") {
		base = 1024
	}
	return math.Pow(base, float64(strings.IndexAny("KMG", name)+1))
}

// UnmarshalText reads a rate.
func (r *Rate) UnmarshalText(text []byte) error {
	m := rateForm.FindStringSubmatch(strings.ToUpper(strings.TrimSpace(string(text))))
	if m == nil {
		return errRate
	}
	n, err := parseFloat(m[1])
	switch n *= unit(m[2]); {
	case err != nil:
		return err
	case n > 1<<50:
		return errBig
	case n > 0 && n < minRate:
		return errRateLow
	}
	*r = Rate(n)
	return nil
}

// String is the shortest form that is exact.
func (r Rate) String() string {
	for _, name := range []string{"GB", "GiB", "MB", "MiB", "KB", "KiB"} {
		if n := Rate(unit(strings.ToUpper(strings.TrimSuffix(name, "B")))); r > 0 && r%n == 0 {
			return strconv.FormatInt(int64(r/n), 10) + name
		}
	}
	return strconv.FormatInt(int64(r), 10)
}

// A Timetable says which rate begins when, in UTC: entries such as 08:00 20MB, of each
// day, Mon-08:00 20MB, of one, or 18:00 off, with a comma between two. The file may also
// hold them as a list. Each rate stands until the next entry, over midnight and over the
// end of the week; of two entries of one time, that of the one day counts.
type Timetable string

// A slot is one entry.
type slot struct {
	day, minute int // day is -1 of each day, else from 0 of Sunday
	rate        Rate
}

const minutesOfDay = 24 * 60

// age is how many minutes ago the slot began last.
func (s slot) age(now time.Time) int {
	now = now.UTC()
	minutes := now.Hour()*60 + now.Minute() - s.minute
	if s.day < 0 {
		return (minutes + minutesOfDay) % minutesOfDay
	}
	days := int(now.Weekday()) - s.day
	return (days*minutesOfDay + minutes + 7*minutesOfDay) % (7 * minutesOfDay)
}

func (s slot) String() string {
	day, rate := "", s.rate.String()
	if s.day >= 0 {
		day = time.Weekday(s.day).String()[:3] + "-"
	}
	if s.rate == 0 {
		rate = "off"
	}
	return fmt.Sprintf("%s%02d:%02d %s", day, s.minute/60, s.minute%60, rate)
}

var slotForm = regexp.MustCompile(`^(?:(Sun|Mon|Tue|Wed|Thu|Fri|Sat)-)?(([01][0-9]|2[0-3]):([0-5][0-9])) +(\S.*)$`)

func parseSlot(text string) (slot, error) {
	m := slotForm.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return slot{}, errSlot
	}
	s := slot{day: -1}
	for d := range 7 {
		if time.Weekday(d).String()[:3] == m[1] {
			s.day = d
		}
	}
	hour, _ := strconv.Atoi(m[3]) // digits, as the form says
	minute, _ := strconv.Atoi(m[4])
	s.minute = hour*60 + minute
	if strings.TrimSpace(m[5]) == "off" {
		return s, nil
	}
	err := s.rate.UnmarshalText([]byte(m[5]))
	if err == nil && s.rate == 0 {
		err = errSlot
	}
	return s, err
}

// slots are the entries, that of one day before that of each day.
func (t Timetable) slots() (all []slot, err error) {
	if strings.TrimSpace(string(t)) == "" {
		return nil, nil
	}
	for text := range strings.SplitSeq(string(t), ",") {
		s, err := parseSlot(text)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(all, func(o slot) bool { return o.day == s.day && o.minute == s.minute }) {
			return nil, errSlotSame
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b slot) int { return cmp.Compare(b.day, a.day) })
	return all, nil
}

// UnmarshalText reads entries; spaces beside a comma are dropped.
func (t *Timetable) UnmarshalText(text []byte) error {
	if _, err := Timetable(text).slots(); err != nil {
		return err
	}
	var entries []string
	for text := range strings.SplitSeq(string(text), ",") {
		if s, err := parseSlot(text); err == nil {
			entries = append(entries, s.String())
		}
	}
	*t = Timetable(strings.Join(entries, ","))
	return nil
}

// at is the rate that stands at a time.
func (t Timetable) at(now time.Time) Rate {
	all, err := t.slots()
	if err != nil || len(all) == 0 { // unreachable: it was read before
		return 0
	}
	return slices.MinFunc(all, func(a, b slot) int { return cmp.Compare(a.age(now), b.age(now)) }).rate
}

// Set reports whether anything is limited at any time.
func (l Limits) Set() bool { return l.Bandwidth > 0 || l.Requests > 0 || l.Timetable != "" }

// At is how many bytes all workers of the route together may read in a second at a time;
// 0 is no limit.
func (l Limits) At(now time.Time) Rate {
	if l.Timetable != "" {
		return l.Timetable.at(now)
	}
	return l.Bandwidth
}
