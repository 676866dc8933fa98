package web

import (
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// words are what templates call. Texts of others go through shown, so that nothing of
// them is invisible or turns the reading direction; their escaping is html/template's.
func words(version string) template.FuncMap {
	return template.FuncMap{
		"shown":     report.Shown,
		"said":      said,
		"size":      report.Size,
		"rate":      func(rate float64) string { return report.Size(int64(rate)) + "/s" },
		"money":     report.Money,
		"grouped":   grouped,
		"plural":    plural,
		"ago":       func(t time.Time) string { return ago(time.Since(t), span) },
		"until":     func(t time.Time) string { return until(time.Until(t)) },
		"span":      func(seconds float64) string { return span(time.Duration(seconds * float64(time.Second))) },
		"stamp":     stamp,
		"machine":   func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"longday":   longDay,
		"icon":      iconOf,
		"fileurl":   fileURL,
		"plain":     plain,
		"asset":     func(name string) string { return "/assets/" + name + "?v=" + version },
		"explain":   func(c messages.Class) messages.Explanation { return c.Explain() },
		"base":      path.Base,
		"word":      func(s any) string { return strings.ReplaceAll(fmt.Sprint(s), "-", " ") },
		"capital":   capital,
		"statemark": stateMark,
	}
}

func number(n int) string { return strconv.Itoa(n) }

// grouped is a number with thin spaces between thousands, which a screen reader takes as one.
func grouped(n any) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

// plural is a number with what it counts.
func plural(n any, one string) string {
	text := grouped(n)
	if text == "1" {
		return "1 " + one
	}
	if strings.HasSuffix(one, "y") && !strings.HasSuffix(one, "ay") {
		return text + " " + strings.TrimSuffix(one, "y") + "ies"
	}
	return text + " " + one + "s"
}

// ago is coarse, so that a page that nothing happens on stays as it is.
func ago(d time.Duration, words func(time.Duration) string) string {
	if d < 10*time.Second {
		return "just now"
	}
	return words(d) + " ago"
}

func until(d time.Duration) string {
	if d < time.Second {
		return "now"
	}
	return "in " + span(d)
}

// span is a duration to look at, in one unit or two.
func span(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return plural(int(d/(24*time.Hour)), "day")
	case d >= time.Hour:
		return fmt.Sprintf("%d h %02d min", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d >= 10*time.Second:
		return fmt.Sprintf("%d s", d/(10*time.Second)*10)
	case d >= time.Second:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return "less than 1 s"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func longDay(d messages.Day) string {
	t, err := time.Parse(time.DateOnly, string(d))
	if err != nil {
		return string(d)
	}
	return t.Format("2 January 2006")
}

// fileURL is the address of a file's page.
func fileURL(object string) string {
	return (&url.URL{Path: "/files/" + object}).String()
}

// plain is a state of a file in the words of somebody who does not run it.
func plain(s FileState) string {
	switch s {
	case FileCopied:
		return "delivered"
	case FileGone:
		return "gone at Oracle"
	}
	return string(s)
}

// said is a text of ours, in which what stands between backticks is to be typed.
func said(s string) template.HTML {
	var out strings.Builder
	for i, part := range strings.Split(report.Shown(s), "`") {
		part = template.HTMLEscapeString(part)
		if i%2 == 1 {
			part = "<code>" + part + "</code>"
		}
		out.WriteString(part)
	}
	return template.HTML(out.String())
}

// brief is a duration in one unit.
func brief(d time.Duration) string {
	if d >= time.Hour && d < 48*time.Hour {
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return span(d)
}

// capital begins a sentence.
func capital(s string) string {
	if s == "" {
		return ""
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// stateMark is the class of a mark that belongs to a state of a file, a job, a check or a
// day on the page: good, busy, warn, bad or none.
func stateMark(s any) string {
	switch fmt.Sprint(s) {
	case string(FileCopied), string(OK), string(JobDone), string(report.Complete), "=", "equal":
		return "good"
	case string(FileCopying), string(FileWaiting), string(JobRunning), "~":
		return "busy"
	case string(FileRetrying), string(report.Partial), string(report.Late):
		return "warn"
	case string(FileFailed), string(Failing), string(report.Missing), "+", "*", "!", "-":
		return "bad"
	}
	return "none"
}
