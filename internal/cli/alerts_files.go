package cli

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A watchlist keeps the files of which scans find something that is told, each under
// its cause. A scan sees only its window: what lies outside is neither new nor over.
type watchlist struct {
	files map[string]watched // by object name
	told  map[string]bool    // the causes that were told and are not over
	round int                // the scan
}

type watched struct {
	day   messages.Day
	cause string
	at    time.Time // since when the source has the file
	round int       // in which it was last listed
	told  bool
}

// put notes a file under a cause. One that comes under another cause is new there.
func (w *watchlist) put(name, cause string, day messages.Day, at time.Time) {
	f, known := w.files[name]
	f.told = f.told && known && f.cause == cause
	f.day, f.cause, f.at, f.round = day, cause, at, w.round
	w.files[name] = f
}

// keep says that a file is still there and still counts.
func (w *watchlist) keep(name string) {
	if f, known := w.files[name]; known {
		f.round = w.round
		w.files[name] = f
	}
}

// settle ends a scan from a day on. It returns the files that are new, in the order of
// their names, and the causes of which no file is left.
func (w *watchlist) settle(from messages.Day) (fresh map[string][]string, over []string) {
	round, left := w.round, map[string]bool{}
	w.round++
	fresh = map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(w.files)) {
		f := w.files[name]
		if f.round != round && f.day >= from { // the source has it no more
			delete(w.files, name)
			continue
		}
		left[f.cause] = true
		if !f.told {
			f.told = true
			w.files[name] = f
			fresh[f.cause] = append(fresh[f.cause], name)
		}
	}
	for cause := range w.told {
		if !left[cause] {
			over = append(over, cause)
		}
	}
	w.told = left
	return fresh, over
}

// count is how many files there are of a cause, and since when the source has the oldest.
func (w *watchlist) count(cause string) (n int, oldest time.Time) {
	for _, f := range w.files {
		if f.cause != cause {
			continue
		}
		if n++; oldest.IsZero() || f.at.Before(oldest) {
			oldest = f.at
		}
	}
	return n, oldest
}

// found takes what the loop's scan found of one object. What was ordered again
// counts as given up until it has arrived.
func (al *alerts) found(o scanner.Outcome) {
	if al == nil {
		return
	}
	name := o.Object.Name
	switch {
	case o.Finding == scanner.Failed && o.Record.Status == messages.StatusFailed:
		al.dead.put(name, string(o.Record.Class), o.Report.Day, o.Object.Created)
	case o.Finding == scanner.Done || o.Finding == scanner.Ineligible:
		delete(al.dead.files, name)
	default:
		al.dead.keep(name)
	}
	if at, expiring := o.Expiring(time.Now()); expiring {
		al.expiring.put(name, "", dayOf(o), at)
	} else {
		delete(al.expiring.files, name)
	}
}

// dayOf is the report day of a file, of one that is too large, too.
func dayOf(o scanner.Outcome) messages.Day {
	if o.Report.Day != "" {
		return o.Report.Day
	}
	folders := strings.Split(path.Dir(o.Object.Name), "/")
	if d := messages.Day(strings.Join(folders[max(0, len(folders)-3):], "-")); d.Valid() {
		return d
	}
	return ""
}

// tellFiles tells of the files that were given up or will soon be gone, once for all
// that a scan adds to a cause.
func (al *alerts) tellFiles(st scanner.Stats, err error) {
	if err != nil { // what it did not list may be there all the same
		al.dead.round++
		al.expiring.round++
		return
	}
	fresh, over := al.dead.settle(st.From)
	for _, class := range slices.Sorted(maps.Keys(fresh)) {
		al.notifier.Raise(al.deadFailure(messages.Class(class), fresh[class]))
	}
	for _, class := range over {
		if class == string(messages.Held) {
			al.notifier.Clear(notify.Held, "no file waits for a decision any more")
			continue
		}
		al.notifier.ClearCause(notify.DeadLetters, class, "no file that was given up for this cause is left ("+class+")")
	}
	fresh, over = al.expiring.settle(st.From)
	if len(fresh) > 0 {
		al.notifier.Raise(al.expiryFailure(fresh[""]))
	}
	if len(over) > 0 {
		al.notifier.Clear(notify.Expiring, "every old file is delivered, or gone")
	}
}

func (al *alerts) deadFailure(class messages.Class, fresh []string) notify.Failure {
	all, _ := al.dead.count(string(class))
	f := notify.Failure{
		Condition: notify.DeadLetters, Cause: string(class), Class: string(class), Again: true, Files: fresh, Count: len(fresh),
		Remedy: class.Explain().Remedy + "; `oracle-focus-agent failed list` says why, and `oracle-focus-agent failed retry` orders another copy",
	}
	one, many := "a file was given up", "files were given up"
	if class == messages.Held {
		f.Condition, f.Cause = notify.Held, ""
		f.Remedy = "decide: `oracle-focus-agent failed retry NAME` sends the new version, `oracle-focus-agent failed discard NAME` keeps the old one"
		one, many = "a delivered file has other bytes now and waits for a decision", "delivered files have other bytes now and wait for a decision"
	}
	what := one
	if len(fresh) > 1 {
		what = fmt.Sprintf("%d %s", len(fresh), many)
	}
	if all > 1 {
		what += fmt.Sprintf(", %d in all", all)
	}
	f.Text = what + " (" + string(class) + ")"
	return f
}

func (al *alerts) expiryFailure(fresh []string) notify.Failure {
	all, oldest := al.expiring.count("")
	what := fmt.Sprintf("%d files that are not delivered are", all)
	if all == 1 {
		what = "a file that is not delivered is"
	}
	return notify.Failure{
		Condition: notify.Expiring, Again: true, Files: fresh, Count: len(fresh),
		Text: fmt.Sprintf("%s nearly a year old, from %s on, and Oracle deletes reports after a year", what, oldest.UTC().Format(time.DateOnly)),
		Remedy: "deliver them before: `oracle-focus-agent failed list` names what was given up, and `oracle-focus-agent status` says whether anything is copied; " +
			"what is over advanced.max_file_size_gb needs a higher limit",
	}
}

// copied takes an event of the copier: a delivered file whose bytes changed. It is
// told by whoever copied it and from memory: a crash right after the copy loses the
// message, and not the fact, which stands in the record and in `report --month`.
func (al *alerts) copied(e copier.Event) {
	if al == nil || e.Kind != copier.Finished || !e.Replaced || e.Record.Copy.Replaced == nil {
		return
	}
	now, was := e.Record.Copy, e.Record.Copy.Replaced
	al.notifier.Notice(notify.Notice{
		Condition: notify.Changed, Class: string(messages.Changed), After: al.after, File: e.Object.Name,
		One:    "a delivered file had other bytes at the source and was replaced",
		Many:   "%d delivered files had other bytes at the source and were replaced",
		Detail: fmt.Sprintf("%s: %d bytes, before %d%s", e.Report.Basename, now.Size, was.Size, sums(was.Statistics, now.Statistics)),
		Remedy: "tell whoever works with the costs, where they took the old version in: `oracle-focus-agent report --month` has both sums; with integrity.changed hold such files wait for a decision",
	})
}

// sums are the rows and the costs of both versions, where both are known.
func sums(was, now *messages.Statistics) string {
	if !was.Complete() || !now.Complete() {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; %d rows, before %d", now.Rows, was.Rows)
	billed := func(s *messages.Statistics, like messages.Sum) string {
		for _, sum := range s.Sums {
			if sum.Period == like.Period && sum.Currency == like.Currency {
				return sum.Billed
			}
		}
		return "0"
	}
	seen := map[[2]string]bool{}
	for _, sum := range slices.Concat(now.Sums, was.Sums) {
		if k := [2]string{sum.Period, sum.Currency}; !seen[k] {
			seen[k] = true
			fmt.Fprintf(&b, "; billed of %s: %s %s, before %s", sum.Period, sum.Currency, billed(now, sum), billed(was, sum))
		}
	}
	return b.String()
}
