package cli

import (
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

const (
	// longWait is how long a file may wait before the route is behind: longer than the
	// waits after a failed attempt usually are.
	longWait = 30 * time.Minute
	// namedDays is how many days a verdict names.
	namedDays = 3
)

// verdictOf says in one sentence how a route stands. The worst comes first.
func verdictOf(s web.Summary, status agent.Status, days []report.Day, queue error) web.Verdict {
	lacking := lackingDays(days, s.At)
	switch {
	case queue != nil:
		return web.Verdict{State: web.IsFailing, Sentence: "Failing: the queue does not answer; nothing can be copied.",
			Remedy: "see whether NATS runs and can be reached at nats.url; the agent goes on by itself once it answers"}
	case status.Gate.Open:
		g := status.Gate
		return web.Verdict{State: web.IsFailing, Since: g.Since, Remedy: g.Class.Explain().Remedy,
			Sentence: fmt.Sprintf("Failing: the %s fails for every file: %s%s.", g.Side, inWords(g.Class), waitingText(s.Numbers))}
	case status.LastScan != nil && status.LastScan.Error != "":
		return web.Verdict{State: web.IsFailing, Since: status.LastScan.Started, Sentence: "Failing: the last scan could not list the reports.",
			Remedy: printable(status.LastScan.Error)}
	case s.Numbers.Failed > 0:
		return failedVerdict(s)
	case s.Paused != nil:
		return web.Verdict{State: web.IsPaused, Since: s.Paused.At, Remedy: "resume, once the reason is gone",
			Sentence: fmt.Sprintf("Paused by %s: %s%s.", printable(s.Paused.By), strings.TrimSuffix(printable(s.Paused.Reason), "."), waitingText(s.Numbers))}
	case len(lacking) > 0:
		return web.Verdict{State: web.IsBehind, Sentence: "Behind: " + lackingText(lacking) + ".",
			Remedy: "open the day: it compares what Oracle has with what was delivered"}
	case s.Verification != nil && s.Verification.Differ() > 0:
		return web.Verdict{State: web.IsBehind, Since: s.Verification.Started, Remedy: "`oracle-focus-agent verify --repair` copies again what is missing or different",
			Sentence: fmt.Sprintf("Behind: the last comparison found %s that %s not there as they should be.", counted(s.Verification.Differ(), "file"), isOrAre(s.Verification.Differ()))}
	case !s.Numbers.Oldest.IsZero() && s.At.Sub(s.Numbers.Oldest) > longWait:
		return web.Verdict{State: web.IsBehind, Since: s.Numbers.Oldest.Add(longWait),
			Sentence: fmt.Sprintf("Behind: %s, the oldest for %s.", undelivered(s.Numbers), roughly(s.At.Sub(s.Numbers.Oldest))),
			Remedy:   "see below whether copies go on and what failed; more copiers, or agent.max_concurrent_transfers, make it faster"}
	case status.LastScan == nil:
		return web.Verdict{State: web.IsStarting, Sentence: "Starting: the first scan is not at its end."}
	case s.Numbers.Waiting+s.Numbers.Backfill > 0 || s.Numbers.Copying > 0:
		return web.Verdict{State: web.IsWorking, Sentence: fmt.Sprintf("Working: %s.", onTheirWay(s.Numbers))}
	}
	return currentVerdict(s, status)
}

func failedVerdict(s web.Summary) web.Verdict {
	since := time.Time{}
	for _, c := range s.Failed {
		if since.IsZero() || c.First.Before(since) {
			since = c.First
		}
	}
	verb := "were"
	if s.Numbers.Failed == 1 {
		verb = "was"
	}
	v := web.Verdict{State: web.IsFailing, Since: since,
		Sentence: fmt.Sprintf("Failing: %s %s given up%s.", counted(s.Numbers.Failed, "file"), verb, causeText(s.Failed))}
	if len(s.Failed) > 0 {
		v.Remedy = s.Failed[0].Remedy
	}
	return v
}

// causeText is the cause of most failures in words; the page tells of the others below.
func causeText(all []web.Cause) string {
	switch len(all) {
	case 0:
		return ""
	case 1:
		return ": " + inWords(all[0].Class)
	}
	return fmt.Sprintf(", %d of them for this: %s", all[0].Count, inWords(all[0].Class))
}

// inWords is what a class stands for, as a part of a sentence.
func inWords(c messages.Class) string { return strings.ReplaceAll(c.Explain().Meaning, "`", "") }

func currentVerdict(s web.Summary, status agent.Status) web.Verdict {
	n := status.Newest
	switch {
	case s.Numbers.Files == 0:
		return web.Verdict{State: web.IsCurrent, Sentence: "Up to date: Oracle has written no report yet.",
			Remedy: "a new tenancy has its first within a day or two; else see whether oci.bucket, oci.region and oci.prefix are those of the reports"}
	case n == nil:
		return web.Verdict{State: web.IsCurrent, Sentence: "Up to date: nothing waits and nothing failed."}
	}
	return web.Verdict{State: web.IsCurrent,
		Sentence: fmt.Sprintf("Up to date: the newest report is of %s, delivered %s UTC.", n.Day, n.At.UTC().Format("2006-01-02 15:04"))}
}

// lackingDays are the days that are not as they should be, apart from what is on its way.
// As in a digest, a day that only has fewer files than usual is known after a week, and
// nobody here can mend it; what is older than the days of a report, is history.
func lackingDays(days []report.Day, now time.Time) (out []report.Day) {
	today := messages.DayOf(now)
	for _, d := range days {
		filling := d.Fills(now) || d.Failed == 0 && d.Pending > 0
		known := d.Day <= today.Add(-judgedDays) || d.Short() && d.Day <= today.Add(-arriving-fresh)
		if !known && (d.State == report.Missing || d.State == report.Partial && !filling) {
			out = append(out, d)
		}
	}
	return out
}

func lackingText(days []report.Day) string {
	var names []string
	for i := len(days) - 1; i >= 0 && len(names) < namedDays; i-- {
		names = append(names, string(days[i].Day))
	}
	text := counted(len(days), "report day")
	if len(days) == 1 {
		text += " lacks files: "
	} else {
		text += " lack files: "
	}
	text += strings.Join(names, ", ")
	if len(days) > namedDays {
		text += " and earlier ones"
	}
	return text
}

func undelivered(n web.Numbers) string {
	if n.Undelivered == 1 {
		return "1 file is not delivered yet"
	}
	return fmt.Sprintf("%d files are not delivered yet", n.Undelivered)
}

func waiting(n web.Numbers) string {
	all := int(n.Waiting + n.Backfill)
	if all == 1 {
		return "1 file waits"
	}
	return fmt.Sprintf("%d files wait", all)
}

func waitingText(n web.Numbers) string {
	if n.Waiting+n.Backfill == 0 {
		return ""
	}
	return "; " + waiting(n)
}

func onTheirWay(n web.Numbers) string {
	if n.Copying == 0 {
		return waiting(n)
	}
	text := fmt.Sprintf("%s %s being copied", counted(n.Copying, "file"), isOrAre(n.Copying))
	if n.Waiting+n.Backfill > 0 {
		text += ", " + waiting(n)
	}
	return text
}

func isOrAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

// roughly is a time in its largest unit.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", int(d.Hours()))
	}
	return fmt.Sprintf("%d minutes", int(d.Minutes()))
}
