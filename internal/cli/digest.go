package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

const (
	// digestEvery is how often it is looked whether a digest is due, and so how long a
	// queue or a source that does not answer puts it off.
	digestEvery = time.Minute
	// digestTime bounds the making of one: the source is listed for it.
	digestTime = 10 * time.Minute
	// judgedDays is how many report days it judges: as many as a report.
	judgedDays = reportDays
	// arriving is how many days before today are left out of that: their files still come.
	arriving = 2
	// fresh is how many of the judged days are to be looked at when they only have fewer
	// files than usual: after that many digests it is known, and nobody here can mend it.
	fresh = 7
)

// A digest is how the 24 hours before an instant went.
type digest struct {
	until     time.Time
	files     int // delivered
	bytes     int64
	rows      int64
	uncounted int // of files, those without complete statistics
	failed    int // files that stand given up
	pending   int
	known     bool      // there is a report
	oldest    time.Time // since when the source has the oldest of both
	days      []report.Day
	unlisted  string // why the source could not be listed
	verified  *messages.Verification
	pause     messages.Pause
}

// slot is the last time of day, in UTC, that is not after now.
func slot(now time.Time, at string) time.Time {
	clock, err := time.Parse("15:04", at)
	if err != nil {
		panic(err) // unreachable: the configuration was checked
	}
	now = now.UTC()
	t := time.Date(now.Year(), now.Month(), now.Day(), clock.Hour(), clock.Minute(), 0, 0, time.UTC)
	if t.After(now) {
		t = t.AddDate(0, 0, -1)
	}
	return t
}

// watchDigest tells each digest that is due, also one that fell into a time in which
// no scanner ran.
func (al *alerts) watchDigest(ctx context.Context, at string, log *slog.Logger) {
	select {
	case <-ctx.Done():
		return
	case <-al.opened:
	}
	tick := time.NewTicker(digestEvery)
	defer tick.Stop()
	var done time.Time
	for {
		if due := slot(time.Now(), at); due.After(done) {
			switch err := al.agent.Load().tellDigest(ctx, due); {
			case err == nil:
				done = due
			case ctx.Err() == nil:
				log.Warn("the digest of the day is not made yet; trying again", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// tellDigest tells the digest of the 24 hours before due, unless one of that time or of
// a later one was told. It is made first, then claimed in the ledger, and then told: so
// of several scanners one tells it, a restart does not tell it again, and a crash
// between claim and message loses the digest of this day and of no other.
func (g *running) tellDigest(ctx context.Context, due time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, digestTime)
	defer cancel()
	key := messages.DigestKey(g.cfg.OCI.Name)
	raw, revision, err := g.ledger.Read(ctx, key)
	if err != nil {
		return err
	}
	var note messages.DigestNote
	if raw != nil {
		if note, err = messages.DecodeDigestNote(raw); errors.Is(err, messages.ErrNewer) {
			return err
		}
	}
	if ahead := note.Until.Sub(due); ahead >= 0 && ahead <= 24*time.Hour { // more is of a clock that was wrong
		return nil
	}
	var d digest
	if !note.Until.IsZero() { // else nobody has waited for this one: the first is the next
		if d, err = g.makeDigest(ctx, due); err != nil {
			return err
		}
	}
	raw, err = messages.DigestNote{Until: due, By: instance(), At: time.Now().UTC()}.Encode()
	if err != nil {
		return err
	}
	_, err = g.ledger.Write(ctx, key, raw, revision)
	if errors.Is(err, messages.Conflict) { // another scanner tells it
		return nil
	}
	if err == nil && !d.until.IsZero() {
		g.alerts.notifier.Digest(due.Add(-24*time.Hour), d.headline(), d.lines())
	}
	return err
}

// makeDigest reads the whole of the responsibility. Where the source cannot be listed,
// also in the middle, it begins again with the ledger alone.
func (g *running) makeDigest(ctx context.Context, due time.Time) (d digest, err error) {
	today := messages.DayOf(due)
	taught := today.Add(-judgedDays - report.History)
	q := reportRequest{From: taught}
	if m, _, err := g.readMarks(ctx); err == nil && m != nil {
		for _, r := range append(m.Ranges, messages.Range{From: m.Since}) {
			q.From = min(q.From, cmp.Or(r.From, q.From))
		}
	}
	var b *report.Builder
	begin := func(_ report.Head, builder *report.Builder, h reportHead) func(report.Evidence) {
		b, d = builder, digest{until: due, verified: h.Verification}
		return func(e report.Evidence) {
			to := b
			if e.Day < taught { // of a day that is neither judged nor learned from, only the file counts
				to = h.builder(b.Listing)
			}
			f, _ := to.Add(e)
			d.add(f)
		}
	}
	e := &reportSource{route: g.route, lister: &g.sides, ledger: g.ledger, marks: g.ledger}
	unlisted, err := walk(ctx, e.page, q, "", begin)
	if err == nil && unlisted != "" {
		q.LedgerOnly = true
		_, err = walk(ctx, e.page, q, unlisted, begin)
	}
	if err != nil {
		return d, err
	}
	d.unlisted, d.days = unlisted, slices.DeleteFunc(b.Days(today.Add(-judgedDays+1), today.Add(-arriving)), func(day report.Day) bool {
		return day.State == report.BeforeUs
	})
	err = readValue(ctx, g.ledger, messages.PauseKey(g.cfg.OCI.Name), messages.DecodePause, &d.pause)
	return d, err
}

// add takes what became of one file.
func (d *digest) add(f report.File) {
	d.known = d.known || f.Day != ""
	if f.Delivered.After(d.until.Add(-24*time.Hour)) && !f.Delivered.After(d.until) && f.Reason != report.IsInherited {
		d.files++
		d.bytes += f.Size
		if d.rows += f.Rows; !f.Counted {
			d.uncounted++
		}
	}
	switch f.Section {
	case report.Failed:
		d.failed++
	case report.Pending:
		d.pending++
	default:
		return
	}
	if !f.Appeared.IsZero() && (d.oldest.IsZero() || f.Appeared.Before(d.oldest)) {
		d.oldest = f.Appeared
	}
}

// bad are the days that are over and not complete.
func (d *digest) bad() (days []report.Day) {
	return slices.DeleteFunc(slices.Clone(d.days), func(day report.Day) bool {
		return day.State != report.Missing && day.State != report.Partial
	})
}

// alarming are those of them that are to be looked at.
func (d *digest) alarming() int {
	old := messages.DayOf(d.until).Add(-arriving - fresh)
	return len(slices.DeleteFunc(d.bad(), func(day report.Day) bool { return day.Short() && day.Day <= old }))
}

// unknown reports whether no report is known of any day, as of a tenancy that is new.
func (d *digest) unknown() bool { return len(d.days) > 0 && !d.known }

// headline is the digest in a few words.
func (d *digest) headline() string {
	what := "all is well"
	if d.failed > 0 || d.alarming() > 0 || d.unknown() || d.pause.Reason != "" || d.unlisted != "" || d.verified != nil && d.verified.Differ() > 0 {
		what = "something is to be looked at"
	}
	return "the 24 hours until " + d.until.Format("2006-01-02 15:04 UTC") + ": " + plural(d.files, "file") + " delivered, " + what
}

func plural(n int, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%s %ss", humanize.Comma(int64(n)), of)
}

// lines say the rest.
func (d *digest) lines() (lines []string) {
	say := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	delivered := "delivered: " + plural(d.files, "file") + ", " + humanize.IBytes(uint64(d.bytes))
	if d.files > d.uncounted {
		delivered += ", " + plural(int(d.rows), "row")
	}
	if d.uncounted > 0 {
		delivered += fmt.Sprintf(" (%s without statistics)", plural(d.uncounted, "file"))
	}
	say("%s", delivered)
	say("not delivered: %d given up, %d waiting", d.failed, d.pending)
	if !d.oldest.IsZero() {
		say("the oldest of them appeared on %s, and Oracle deletes it a year later", d.oldest.UTC().Format(time.DateOnly))
	}
	if d.pause.Reason != "" {
		say("PAUSED since %s by %s: %s", d.pause.At.UTC().Format("2006-01-02 15:04 UTC"), d.pause.By, d.pause.Reason)
	}
	lines = append(lines, d.dayLines()...)
	if d.unlisted != "" {
		say("OCI could not be listed, so this is made of the ledger alone: %s", d.unlisted)
	}
	if v := d.verified; v != nil {
		how := ""
		if v.Destination == verify.Unreadable {
			how = "; of source and ledger only, since these keys may not read the destination"
		}
		say("last verification: %s, days %s to %s, %d equal, %d not as they should be%s", v.Started.UTC().Format("2006-01-02 15:04 UTC"), v.From, v.To, v.Equal, v.Differ(), how)
	} else {
		say("last verification: none yet")
	}
	return lines
}

// dayLines name the days that are not complete, the latest of them first.
func (d *digest) dayLines() []string {
	if len(d.days) == 0 {
		return nil
	}
	bad, complete := d.bad(), 0
	for _, day := range d.days {
		if day.State == report.Complete || day.State == report.Late {
			complete++
		}
	}
	lines := []string{fmt.Sprintf("report days %s to %s: %d complete, %d not", d.days[0].Day, d.days[len(d.days)-1].Day, complete, len(bad))}
	if d.unknown() {
		lines = append(lines, "no report is known of any day: where the tenancy is not new, see whether oci.bucket, oci.region and oci.prefix are those of the reports")
	}
	slices.Reverse(bad)
	const named = 5
	for _, day := range bad[:min(len(bad), named)] {
		lines = append(lines, fmt.Sprintf("%s is %s: %s", day.Day, day.State, strings.TrimRight(day.Why, ".")))
	}
	if more := len(bad) - named; more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more: `oracle-focus-agent report`", more))
	}
	return lines
}
