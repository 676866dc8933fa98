package messages

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Naming maps a report to its key below the destination path. Every Naming that
// NewNaming accepts is injective: the key contains the full date in fixed width
// and the whole basename once, so no two reports share a key.
type Naming struct {
	pieces []string // literal text, or one of the placeholders below
}

// NewNaming compiles naming.template with naming.date_format (%Y, %m, %d) and
// naming.separator. Its errors name the setting at fault.
func NewNaming(template, dateFormat, separator string, allowNested bool) (Naming, error) {
	date, err := dateTemplate(dateFormat)
	if err != nil {
		return Naming{}, err
	}
	flat := strings.NewReplacer("{date}", date, "{separator}", separator).Replace(template)
	pieces, err := split(flat)
	if err != nil {
		return Naming{}, fmt.Errorf("naming.template %q: %w", template, err)
	}
	n := Naming{pieces}
	if err := n.check(allowNested); err != nil {
		return Naming{}, fmt.Errorf("naming.template %q: %w", template, err)
	}
	return n, nil
}

func dateTemplate(format string) (string, error) {
	known := map[byte]string{'Y': "{YYYY}", 'm': "{MM}", 'd': "{DD}", '%': "%"}
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			out.WriteByte(format[i])
			continue
		}
		i++
		if i == len(format) || known[format[i]] == "" {
			return "", fmt.Errorf("naming.date_format %q: only %%Y, %%m, %%d and %%%% are known", format)
		}
		out.WriteString(known[format[i]])
	}
	for _, p := range []string{"%Y", "%m", "%d"} {
		if !strings.Contains(out.String(), known[p[1]]) {
			return "", fmt.Errorf("naming.date_format %q: it must contain %s", format, p)
		}
	}
	return out.String(), nil
}

func split(s string) ([]string, error) {
	var pieces []string
	for s != "" {
		open := strings.IndexAny(s, "{}")
		if open < 0 {
			return append(pieces, s), nil
		}
		end := strings.IndexByte(s, '}')
		if s[open] == '}' || end < 0 {
			return nil, errors.New("a brace has no partner")
		}
		if open > 0 {
			pieces = append(pieces, s[:open])
		}
		switch p := s[open : end+1]; p {
		case "{YYYY}", "{MM}", "{DD}", "{basename}":
			pieces = append(pieces, p)
		default:
			return nil, fmt.Errorf("%s is unknown; use {date} {separator} {basename} {YYYY} {MM} {DD}", p)
		}
		s = s[end+1:]
	}
	return pieces, nil
}

func (n Naming) check(allowNested bool) error {
	count := map[string]int{}
	for _, p := range n.pieces {
		count[p]++
	}
	for _, p := range []string{"{YYYY}", "{MM}", "{DD}"} {
		if count[p] == 0 {
			return errors.New("it must contain the full date: {date}, or {YYYY}, {MM} and {DD}")
		}
	}
	if count["{basename}"] != 1 {
		return errors.New("it must contain {basename} exactly once")
	}
	key := n.Key("2006-01-02", "x.csv.gz")
	if !utf8.ValidString(key) {
		return errors.New("keys must be valid UTF-8")
	}
	if strings.IndexFunc(key, func(r rune) bool { return unicode.IsSpace(r) || unprintable(r) }) >= 0 {
		return errors.New("keys must not contain spaces or control characters")
	}
	segments := strings.Split(key, "/")
	for _, s := range segments {
		if s == "" || s == "." || s == ".." {
			return fmt.Errorf("it makes keys like %q, with an empty or dotted path segment", key)
		}
	}
	if len(segments) > 2 && !allowNested {
		return fmt.Errorf("it makes keys like %q, with more than one directory level, which Umbrella does not read; set naming.allow_nested: true if your destination does", key)
	}
	return nil
}

// Key returns the key of a report, below the destination path.
func (n Naming) Key(d Day, basename string) string {
	var b strings.Builder
	for _, p := range n.pieces {
		switch p {
		case "{YYYY}":
			b.WriteString(string(d[:4]))
		case "{MM}":
			b.WriteString(string(d[5:7]))
		case "{DD}":
			b.WriteString(string(d[8:10]))
		case "{basename}":
			b.WriteString(basename)
		default:
			b.WriteString(p)
		}
	}
	return b.String()
}

// Template is the compiled form, for the identity of a route: two settings that
// make the same keys have the same Template.
func (n Naming) Template() string { return strings.Join(n.pieces, "") }

// DayPrefix is what the keys of one day begin with, and no others do; ok is false
// where the template has the file's name before a part of the date.
func (n Naming) DayPrefix(d Day) (prefix string, ok bool) {
	i := slices.Index(n.pieces, "{basename}")
	for _, p := range []string{"{YYYY}", "{MM}", "{DD}"} {
		if !slices.Contains(n.pieces[:i], p) {
			return "", false
		}
	}
	return Naming{n.pieces[:i]}.Key(d, ""), true
}

// Parse reverses Key; ok is false for a key that Key does not make of a report.
func (n Naming) Parse(key string) (d Day, basename string, ok bool) {
	width := map[string]int{"{YYYY}": 4, "{MM}": 2, "{DD}": 2}
	size := 0 // of the file's name
	for _, p := range n.pieces {
		if w := width[p]; w > 0 {
			size -= w
		} else if p != "{basename}" {
			size -= len(p)
		}
	}
	if size += len(key); size <= len(".csv.gz") {
		return "", "", false
	}
	width["{basename}"] = size
	found, at := map[string]string{}, 0
	for _, p := range n.pieces {
		w := width[p]
		if w == 0 {
			at += len(p)
			continue
		}
		found[p] = key[at : at+w]
		at += w
	}
	d, basename = Day(found["{YYYY}"]+"-"+found["{MM}"]+"-"+found["{DD}"]), found["{basename}"]
	if !d.Valid() || strings.Contains(basename, "/") || !strings.HasSuffix(basename, ".csv.gz") || n.Key(d, basename) != key {
		return "", "", false
	}
	return d, basename, true
}
