package config

import (
	"errors"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

const second = Duration(time.Second)

// Duration is a length of time, written as a number of seconds (600, 0.5) or
// as a Go duration (10m, 1h30m). It is never negative.
type Duration time.Duration

// Std is the duration for package time.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String is the Go form without zero units: 10m, not 10m0s.
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// MarshalText is String.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads either form.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := parseDuration(string(text))
	if err == nil {
		*d = v
	}
	return err
}

// Day is a date, YYYY-MM-DD, in UTC; empty is no day.
type Day string

// Time is the midnight that begins the day, and whether there is a day.
func (d Day) Time() (time.Time, bool) {
	t, err := time.Parse(time.DateOnly, string(d))
	return t, err == nil
}

// UnmarshalText reads YYYY-MM-DD; empty is no day.
func (d *Day) UnmarshalText(text []byte) error {
	if _, ok := Day(text).Time(); !ok && len(text) > 0 {
		return errDay
	}
	*d = Day(text)
	return nil
}

// valueError says why a text is not a value of its key, and what to write
// instead; it never repeats the text, which may be a secret in the wrong place.
type valueError struct{ text, fix string }

func (e *valueError) Error() string { return e.text + "; fix: " + e.fix }

var (
	errDay      = &valueError{"is not a date", "write it as YYYY-MM-DD"}
	errInt      = &valueError{"is not a whole number", "write it in plain digits"}
	errFloat    = &valueError{"is not a number", "write it in plain digits"}
	errBig      = &valueError{"is absurdly large", "write a smaller number"}
	errOctal    = &valueError{"has a leading zero, which some readers take for octal", "remove the zero"}
	errBool     = &valueError{"is neither true nor false", "write true or false"}
	errDuration = &valueError{"is not a duration", "write seconds (600) or a duration such as 10m or 1h30m"}
	errNegative = &valueError{"is negative", "write a positive value"}
	errControl  = &valueError{"holds a control character or bytes that are not UTF-8", "remove it; a line break at the end is the usual cause"}
	errLong     = &valueError{"is longer than 4096 bytes", "shorten it"}
)

var (
	octal   = regexp.MustCompile(`^[-+]?0[0-9_]`)
	decimal = regexp.MustCompile(`^[-+]?[0-9][0-9_]*$`)
	number  = regexp.MustCompile(`^[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?$`)
)

func parseInt(text string) (int64, error) {
	switch {
	case octal.MatchString(text):
		return 0, errOctal
	case !decimal.MatchString(text):
		return 0, errInt
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err != nil {
		return 0, errBig
	}
	return n, nil
}

func parseFloat(text string) (float64, error) {
	switch {
	case octal.MatchString(text):
		return 0, errOctal
	case !number.MatchString(text):
		return 0, errFloat
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, errBig
	}
	return f, nil
}

func parseDuration(text string) (Duration, error) {
	f, err := parseFloat(text)
	if errors.Is(err, errFloat) {
		return parseGoDuration(text)
	}
	switch {
	case err != nil:
		return 0, err
	case f < 0:
		return 0, errNegative
	case f > math.MaxInt64/1e9/2:
		return 0, errBig
	}
	return Duration(math.Round(f * 1e9)), nil
}

func parseGoDuration(text string) (Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return 0, errDuration
	case d < 0:
		return 0, errNegative
	}
	return Duration(d), nil
}

// parseBool takes the words of YAML 1.1, which the Python agent read, and what
// envconfig takes besides: 1, 0, t and f, which only a variable may hold.
func parseBool(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true", "yes", "on", "1", "t":
		return true, nil
	case "false", "no", "off", "0", "f":
		return false, nil
	}
	return false, errBool
}
