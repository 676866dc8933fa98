package messages

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// A Day is a UTC calendar day, "2006-01-02". Days compare as strings.
type Day string

// DayOf returns the UTC day of t, whatever zone t is in.
func DayOf(t time.Time) Day { return Day(t.UTC().Format(time.DateOnly)) }

// Valid reports whether d is a real day written in full.
func (d Day) Valid() bool {
	t, err := time.Parse(time.DateOnly, string(d))
	return err == nil && DayOf(t) == d
}

// Add returns the day n days after d; d must be valid.
func (d Day) Add(n int) Day {
	t, _ := time.Parse(time.DateOnly, string(d))
	return DayOf(t.AddDate(0, 0, n))
}

// Folder is the part of an object name that stands for d: "2006/01/02/".
func (d Day) Folder() string { return strings.ReplaceAll(string(d), "-", "/") + "/" }

// A Report is an eligible object: its UTC usage day and file name, both taken
// from the object's path, and its key at the destination.
type Report struct {
	Day      Day
	Basename string
	Key      string
}

// A Reason is why an object is not copied.
type Reason string

// The reasons. All but TooLarge are objects that are no reports; a report that
// is too large counts as failed, since its data is missing at the destination.
const (
	OutsidePrefix Reason = "outside-prefix"
	NotAReport    Reason = "not-a-report"
	BadDate       Reason = "bad-date"
	BadName       Reason = "bad-name"
	BadKey        Reason = "bad-key"
	TooLarge      Reason = "too-large"
)

// Ineligible says by which rule an object is not copied. It is Refused.
type Ineligible struct {
	Name   string
	Reason Reason
	Rule   string
}

func (e *Ineligible) Error() string { return fmt.Sprintf("%q is not copied: %s", e.Name, e.Rule) }

// Unwrap makes errors.Is(err, Refused) true.
func (e *Ineligible) Unwrap() error { return Refused }

// Rules tell which objects are reports and where each goes. The scanner and the
// copier apply the same rules, each from its own configuration.
type Rules struct {
	// Prefix ends in a slash.
	Prefix string
	// MaxSize is the largest report that is copied, in bytes; 0 means no limit.
	MaxSize int64
	// KeyPrefix is the destination path; empty, or ending in a slash.
	KeyPrefix string
	Naming    Naming
}

const maxNameBytes = 1024 // of OCI object names and of S3 keys alike

// Report returns where the object goes, or *Ineligible.
func (r Rules) Report(o Object) (Report, error) {
	no := func(reason Reason, rule string, args ...any) (Report, error) {
		return Report{}, &Ineligible{Name: o.Name, Reason: reason, Rule: fmt.Sprintf(rule, args...)}
	}
	rest, ok := strings.CutPrefix(o.Name, r.Prefix)
	if !ok {
		return no(OutsidePrefix, "it is outside the prefix %q", r.Prefix)
	}
	if rule := badName(o.Name); rule != "" {
		return no(BadName, "%s", rule)
	}
	if len(rest) < len("2006/01/02/x") || rest[4] != '/' || rest[7] != '/' || rest[10] != '/' {
		return no(NotAReport, "its path is not YYYY/MM/DD/<file>.csv.gz below the prefix")
	}
	day, base := Day(rest[:4]+"-"+rest[5:7]+"-"+rest[8:10]), rest[11:]
	if !day.Valid() {
		return no(BadDate, "%s is not a day of the calendar", rest[:10])
	}
	if strings.Contains(base, "/") || !strings.HasSuffix(base, ".csv.gz") || base == ".csv.gz" {
		return no(NotAReport, "its path is not YYYY/MM/DD/<file>.csv.gz below the prefix")
	}
	key := r.KeyPrefix + r.Naming.Key(day, base)
	if strings.IndexFunc(key, unicode.IsSpace) >= 0 {
		return no(BadKey, "its destination key %q would contain a space", key)
	}
	if len(key) > maxNameBytes {
		return no(BadKey, "its destination key would have %d bytes, more than %d", len(key), maxNameBytes)
	}
	if r.MaxSize > 0 && o.Size > r.MaxSize {
		return no(TooLarge, "its size of %d bytes is over the limit of %d (advanced.max_file_size_gb)", o.Size, r.MaxSize)
	}
	return Report{Day: day, Basename: base, Key: key}, nil
}

func badName(s string) string {
	switch {
	case len(s) > maxNameBytes:
		return fmt.Sprintf("its name has %d bytes, more than %d", len(s), maxNameBytes)
	case !utf8.ValidString(s):
		return "its name is not valid UTF-8"
	case strings.IndexFunc(s, unprintable) >= 0:
		return "its name has a control or formatting character"
	}
	return ""
}

// unprintable covers control characters and the invisible ones that turn the
// reading direction and so disguise a name.
func unprintable(r rune) bool { return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) }
