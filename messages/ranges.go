package messages

import (
	"fmt"
	"slices"
	"strings"
)

// Valid reports whether r is a span of real days in their order.
func (r Range) Valid() bool { return r.From.Valid() && r.To.Valid() && r.From <= r.To }

// Contains reports whether d is a day of r.
func (r Range) Contains(d Day) bool { return r.From <= d && d <= r.To }

func (r Range) String() string {
	if r.From == r.To {
		return string(r.From)
	}
	return string(r.From) + " to " + string(r.To)
}

// Covers reports whether the installation is responsible for a report day.
func (m Marks) Covers(d Day) bool {
	return m.Since != "" && d >= m.Since || slices.ContainsFunc(m.Ranges, func(r Range) bool { return r.Contains(d) })
}

// First is the first report day that the installation is responsible for; empty where
// that is not known yet.
func (m Marks) First() Day {
	if len(m.Ranges) > 0 && (m.Since == "" || m.Ranges[0].From < m.Since) {
		return m.Ranges[0].From
	}
	return m.Since
}

// Join returns the days of ranges that are before since, in order, without overlap, and
// with neighbours made one. since may be empty: then all of them are. The ranges must be
// valid.
func Join(ranges []Range, since Day) []Range {
	all := slices.Clone(ranges)
	slices.SortFunc(all, func(x, y Range) int { return strings.Compare(string(x.From), string(y.From)) })
	var out []Range
	for _, r := range all {
		if since != "" {
			if r.From >= since {
				continue
			}
			r.To = min(r.To, since.Add(-1))
		}
		if n := len(out); n > 0 && r.From <= out[n-1].To.Add(1) {
			out[n-1].To = max(out[n-1].To, r.To)
			continue
		}
		out = append(out, r)
	}
	return out
}

func checkRanges(ranges []Range) error {
	for _, r := range ranges {
		if !r.Valid() {
			return fmt.Errorf("%q to %q is no range of days", r.From, r.To)
		}
	}
	return nil
}
