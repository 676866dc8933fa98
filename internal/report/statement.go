package report

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

const (
	// closeDelay is when, after its last day, a month is taken as closed: by then the
	// reports of its last days have usually come.
	closeDelay = 3 * 24 * time.Hour
	// Margin is how many days around a month are looked through for rows of its
	// billing period.
	Margin = 3
)

// A Month is a calendar month in UTC, "2006-01".
type Month string

// ParseMonth reads what is written as 2006-01.
func ParseMonth(s string) (Month, error) {
	t, err := time.Parse("2006-01", s)
	if err != nil || t.Format("2006-01") != s {
		return "", fmt.Errorf("%q is no month: write it as 2026-10", s)
	}
	return Month(s), nil
}

// First is its first day.
func (m Month) First() messages.Day { return messages.Day(m + "-01") }

// Last is its last day.
func (m Month) Last() messages.Day {
	return messages.DayOf(begin(m.First()).AddDate(0, 1, 0)).Add(-1)
}

// Close is when the month is taken as closed.
func (m Month) Close() time.Time { return begin(m.First()).AddDate(0, 1, 0).Add(closeDelay) }

// A Statement is the account of one month.
type Statement struct {
	Head
	Month Month `json:"month"`
	// Closes is when the month is taken as closed, Closed whether that is past.
	Closes time.Time `json:"closes"`
	Closed bool      `json:"closed"`
	// Delivered counts the files of the month at the destination; Late are those of them
	// that were delivered after the close, Inherited those that the Python agent brought.
	Delivered int   `json:"delivered"`
	Bytes     int64 `json:"bytes"`
	Late      int   `json:"late"`
	Inherited int   `json:"inherited"`
	// Earlier are those of Delivered that stand at the destination as an earlier version,
	// since the present one is not delivered, or an operator discarded it.
	Earlier int `json:"earlier"`
	// Undelivered are the files of the month that are not at the destination, whatever the reason.
	Undelivered []File `json:"undelivered"`
	// Empty are the days of the month of which no file is known, although there should be.
	Empty []messages.Day `json:"empty"`
	// Cost is what has this month as its billing period, Usage what has its usage day in
	// it, whatever the billing period.
	Cost  []Cost `json:"cost"`
	Usage []Cost `json:"usage"`
	Rows  int64  `json:"rows"`
	// Uncounted are the keys of the delivered files that are in no sum, since they have
	// no complete statistics.
	Uncounted []string `json:"uncounted"`
	// Corrections are rows that refer back to an earlier one, CorrectionsLate those of
	// them that were delivered after the close.
	Corrections     int64 `json:"corrections"`
	CorrectionsLate int64 `json:"corrections_late"`
	// Replaced are the files whose bytes changed after the close.
	Replaced []Replacement `json:"replaced"`
	// List is one line for each delivered file, key,size,crc32c, in the order of the
	// bytes; Digest is the SHA-256 of these lines, each with its line feed.
	List   []string `json:"list"`
	Digest string   `json:"digest"`
	// Unproven is how many lines lack a checksum, since this program has not seen the bytes.
	Unproven int `json:"unproven"`
	// Oracle are Oracle's own totals, OracleError why there are none, Compared what
	// comes of it; all empty where nobody asked.
	Oracle      []Total    `json:"oracle,omitempty"`
	OracleError string     `json:"oracle_error,omitempty"`
	Compared    []Compared `json:"compared,omitempty"`
	// Files are the delivered ones.
	Files []File `json:"files"`
}

// A Replacement is a delivered file that was delivered with other bytes later.
type Replacement struct {
	Object string    `json:"object"`
	Key    string    `json:"key"`
	At     time.Time `json:"at"`
	Was    Sums      `json:"was"`
	Is     Sums      `json:"is"`
}

// Sums tell one version of a file from another. Cost is nil where the version has no
// complete statistics.
type Sums struct {
	Size   int64     `json:"size"`
	CRC32C string    `json:"crc32c"`
	At     time.Time `json:"delivered"`
	Cost   []Cost    `json:"cost"`
}

// A Total is what Oracle says that a month cost.
type Total struct {
	Currency string `json:"currency"`
	Amount   string `json:"amount"`
}

// Compared is one currency of a comparison with Oracle's totals.
type Compared struct {
	Currency   string `json:"currency"`
	Oracle     string `json:"oracle"`
	Ours       string `json:"ours"`
	Difference string `json:"difference"` // ours less theirs
	// Verdict is equal, different, or unknown where files are in no sum.
	Verdict string `json:"verdict"`
}

// The verdicts of a comparison.
const (
	Equal     = "equal"
	Different = "different"
	Unknown   = "unknown"
)

// An Account makes the statement of a month.
type Account struct {
	Head    Head
	Month   Month
	Builder *Builder

	statement   Statement
	cost, usage purse
	around      int // files around the month that are in no sum
}

// Add takes the evidence of one file, of the month or of the days around it.
func (a *Account) Add(e Evidence) {
	if a.cost == nil {
		a.cost, a.usage = purse{}, purse{}
	}
	f, _ := a.Builder.Add(e)
	within := e.Day >= a.Month.First() && e.Day <= a.Month.Last()
	if was := a.earlier(e, f); was.Reason != "" && (within || a.bills(e, was)) {
		a.delivered(e, was, within)
		a.statement.Earlier++
		if f.Reason == IsDiscarded && e.Record.Class == messages.Held {
			return // an operator decided for the earlier one
		}
	}
	switch {
	case e.Day == "" || f.Reason == IsIneligible:
	case f.atDestination() && (within || a.bills(e, f)):
		a.delivered(e, f, within)
	case f.atDestination() && !f.Counted:
		a.around++
	case within:
		a.statement.Undelivered = append(a.statement.Undelivered, f)
	}
}

// earlier is the version that stands at the destination where the present one does
// not; empty where there is none, or none that is good enough.
func (a *Account) earlier(e Evidence, f File) (was File) {
	r := e.Record
	if r == nil || r.Copy == nil || r.Repeat || r.Status == messages.StatusDue || r.Epoch != a.Builder.Epoch || e.Day == "" || f.atDestination() {
		return File{}
	}
	was = File{Day: e.Day, Object: f.Object, Key: e.Key, Size: r.Copy.Size, Listed: f.Listed, Appeared: f.Appeared}
	was.delivered(*r)
	if was.Reason != IsInherited {
		was.Reason = "earlier"
	}
	return was
}

// ours is whether a sum is of the billing period of the month.
func (a *Account) ours(s messages.Sum) bool { return s.Period == string(a.Month) }

// bills reports whether a delivered file has rows of the billing period.
func (a *Account) bills(e Evidence, f File) bool {
	return f.Counted && slices.ContainsFunc(e.Record.Copy.Statistics.Sums, a.ours)
}

func (a *Account) delivered(e Evidence, f File, within bool) {
	s := &a.statement
	s.Files = append(s.Files, f)
	s.Delivered++
	s.Bytes += f.Size
	late := f.Delivered.After(a.Month.Close())
	if late {
		s.Late++
	}
	if f.Reason == IsInherited {
		s.Inherited++
	}
	if f.CRC32C == "" {
		s.Unproven++
	}
	s.List = append(s.List, fmt.Sprintf("%s,%d,%s", f.Key, f.Size, f.CRC32C))
	if !f.Counted {
		s.Uncounted = append(s.Uncounted, f.Key)
	} else {
		a.sum(e.Record.Copy.Statistics, late, within)
	}
	a.replaced(e, f)
}

// sum adds complete statistics, whose sums are known to be numbers.
func (a *Account) sum(st *messages.Statistics, late, within bool) {
	_ = a.cost.put(st.Sums, a.ours)
	if !within {
		return
	}
	_ = a.usage.put(st.Sums, every)
	a.statement.Rows += st.Rows
	a.statement.Corrections += st.Corrections
	if late {
		a.statement.CorrectionsLate += st.Corrections
	}
}

func (a *Account) replaced(e Evidence, f File) {
	if e.Record == nil || e.Record.Copy == nil || e.Record.Copy.Replaced == nil || !f.Delivered.After(a.Month.Close()) {
		return
	}
	c := e.Record.Copy
	was := c.Replaced
	a.statement.Replaced = append(a.statement.Replaced, Replacement{
		Object: f.Object, Key: f.Key, At: c.At,
		Was: Sums{was.Size, was.CRC32C, was.At, costOf(was.Statistics)}, Is: Sums{c.Size, c.CRC32C, c.At, costOf(c.Statistics)},
	})
}

// costOf is the cost of one version; nil where it is not known whole.
func costOf(s *messages.Statistics) []Cost {
	p := purse{}
	if !s.Complete() || p.put(s.Sums, every) != nil {
		return nil
	}
	return p.costs()
}

// Statement is what all the evidence comes to.
func (a *Account) Statement() Statement {
	s := a.statement
	s.Head, s.Month, s.Closes = a.Head, a.Month, a.Month.Close()
	s.Closed = !s.Made.Before(s.Closes)
	if !s.Closed {
		s.Notes = append(s.Notes, "the month is not closed before "+shortTime(s.Closes)+": files of it are still to come")
	}
	if s.expired() {
		s.Notes = append(s.Notes, "Oracle deletes reports after a year: of this month it may list less than there was, and the ledger forgets what is listed no more (state.retention_days)")
	}
	if a.around > 0 {
		s.Notes = append(s.Notes, fmt.Sprintf("of the %[2]d days before and after the month there are %[1]s without complete statistics: rows of its billing period in them are in no sum", files(a.around), Margin))
	}
	for _, d := range a.Builder.Days(a.Month.First(), a.Month.Last()) {
		if d.State == Missing {
			s.Empty = append(s.Empty, d.Day)
		}
	}
	s.Cost, s.Usage = a.cost.costs(), a.usage.costs()
	slices.Sort(s.List)
	slices.Sort(s.Uncounted)
	s.Digest = digest(s.List)
	byObject := func(x, y File) int { return strings.Compare(x.Object, y.Object) }
	slices.SortFunc(s.Files, byObject)
	slices.SortFunc(s.Undelivered, byObject)
	slices.SortFunc(s.Replaced, func(x, y Replacement) int { return strings.Compare(x.Object, y.Object) })
	s.Notes, s.List, s.Uncounted = orNone(s.Notes), orNone(s.List), orNone(s.Uncounted)
	s.Files, s.Undelivered, s.Replaced, s.Empty = orNone(s.Files), orNone(s.Undelivered), orNone(s.Replaced), orNone(s.Empty)
	return s
}

// expired reports whether files of the month may be gone from the source by their age.
func (s Statement) expired() bool { return s.Made.Sub(begin(s.Month.First())) > kept }

// Known reports whether the statement knows of all files of the month. Of a month
// without any it does not: either Oracle wrote none, or they are looked for elsewhere.
func (s Statement) Known() bool {
	return s.Basis == FromListing && !s.expired() && s.Delivered+len(s.Undelivered) > 0
}

// digest is what `sha256sum` says of the lines.
func digest(lines []string) string {
	h := sha256.New()
	for _, line := range lines {
		h.Write([]byte(line + "\n"))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// Compare holds the sums of the usage days against Oracle's totals, or notes why
// there are none.
func (s *Statement) Compare(totals []Total, problem error) {
	if problem != nil {
		s.OracleError = problem.Error()
		return
	}
	theirs, ours := map[string]*amount{}, map[string]*amount{}
	for _, t := range totals {
		sum, err := parseAmount(t.Amount)
		if err != nil {
			s.OracleError = "the answer cannot be read: " + err.Error()
			return
		}
		if had := theirs[t.Currency]; had != nil {
			sum.add(had)
		}
		theirs[t.Currency] = sum
	}
	for _, c := range s.Usage {
		ours[c.Currency], _ = parseAmount(c.Billed) // a purse wrote it
	}
	s.Oracle = totals
	currencies := slices.Concat(slices.Collect(maps.Keys(theirs)), slices.Collect(maps.Keys(ours)))
	slices.Sort(currencies)
	for _, currency := range slices.Compact(currencies) {
		s.Compared = append(s.Compared, s.compare(currency, cmp.Or(theirs[currency], &amount{}), cmp.Or(ours[currency], &amount{})))
	}
}

func (s *Statement) compare(currency string, theirs, ours *amount) Compared {
	d := ours.minus(theirs)
	c := Compared{currency, theirs.String(), ours.String(), d.String(), Different}
	off, limit := new(big.Rat).Abs(d.rat()), new(big.Rat).Abs(theirs.rat())
	limit.Mul(limit, big.NewRat(1, 10_000))
	switch {
	case len(s.Uncounted) > 0:
		c.Verdict = Unknown
	case off.Cmp(big.NewRat(1, 100)) <= 0 || off.Cmp(limit) <= 0:
		c.Verdict = Equal
	}
	return c
}
