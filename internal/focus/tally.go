package focus

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

const (
	maxSums     = 64     // pairs of billing period and currency
	maxDistinct = 10_000 // accounts, and services, that are told apart
	maxProblems = 10
)

// A tally counts the rows of one report.
type tally struct {
	stats messages.Statistics
	width int  // of the header
	costs bool // there are the columns that it takes to sum them

	sums     map[group]*sums
	last     *sums // of the row before, whose period and currency were these
	lastKey  [2][]byte
	accounts distinct
	services distinct
	start    extreme
	end      extreme

	odd [oddities]oddity
}

// A group is a month, in months, and a currency.
type group struct {
	month    int
	currency [8]byte
}

func (g group) period() string { return fmt.Sprintf("%04d-%02d", g.month/12, g.month%12+1) }

type sums struct{ billed, effective Amount }

// What can be odd about a row, in the order in which it is told.
const (
	otherWidth = iota
	strayQuote
	noTime
	noNumber
	noPeriod
	noCurrency
	tooManySums
	oddities
)

// An oddity counts rows, and names the first of them.
type oddity struct{ rows, first int64 }

func newTally() *tally {
	seed := maphash.MakeSeed()
	return &tally{sums: map[group]*sums{}, accounts: distinct{seed: seed}, services: distinct{seed: seed}, start: extreme{sign: -1}, end: extreme{sign: 1}}
}

// read counts what r holds.
func (t *tally) read(r *records) {
	if !t.header(r) {
		if r.eof && t.stats.Skipped == "" {
			t.skip("there is not even a header")
		}
		return
	}
	for r.next() {
		t.row(r)
	}
	if r.tooLong {
		t.skip(fmt.Sprintf("row %d is longer than %d bytes", t.stats.Rows+1, maxRow))
	}
	if r.open {
		t.skip("it ends inside of a quoted field")
	}
}

func (t *tally) row(r *records) {
	t.stats.Rows++
	if r.width != t.width {
		t.note(otherWidth)
	}
	if r.stray {
		t.note(strayQuote)
	}
	f := r.field
	if len(f[backReference]) > 0 {
		t.stats.Corrections++
	}
	who := f[subAccount]
	if len(who) == 0 {
		who = f[account]
	}
	t.accounts.add(who)
	t.services.add(f[service])
	if began, ended := t.start.add(f[chargeStart]), t.end.add(f[chargeEnd]); !began || !ended {
		t.note(noTime)
	}
	if t.costs && (len(f[billed]) > 0 || len(f[effective]) > 0) {
		t.sum(f)
	}
}

// sum adds the costs of a row, both or none of them.
func (t *tally) sum(f [][]byte) {
	s := t.last
	if s == nil || !bytes.Equal(t.lastKey[0], f[period]) || !bytes.Equal(t.lastKey[1], f[currency]) {
		if s = t.group(f[period], f[currency]); s == nil {
			return
		}
		t.last = s
		t.lastKey[0], t.lastKey[1] = append(t.lastKey[0][:0], f[period]...), append(t.lastKey[1][:0], f[currency]...)
	}
	if _, ok := parse(f[effective]); !ok && len(f[effective]) > 0 || len(f[billed]) > 0 && !s.billed.Add(f[billed]) {
		t.note(noNumber)
		return
	}
	if len(f[effective]) > 0 {
		s.effective.Add(f[effective])
	}
}

// group finds the sums that a row belongs to; nil where there are none for it.
func (t *tally) group(period, currency []byte) *sums {
	at, ok := moment(period)
	if !ok {
		t.note(noPeriod)
		return nil
	}
	if !isCurrency(currency) {
		t.note(noCurrency)
		return nil
	}
	g := group{month: at.Year()*12 + int(at.Month()) - 1}
	copy(g.currency[:], currency)
	if t.sums[g] == nil {
		if len(t.sums) == maxSums {
			t.note(tooManySums)
			return nil
		}
		t.sums[g] = &sums{}
	}
	return t.sums[g]
}

// isCurrency takes codes as ISO 4217 has them, and somewhat longer ones.
func isCurrency(b []byte) bool {
	return len(b) >= 1 && len(b) <= 8 && !bytes.ContainsFunc(b, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < 'a' || r > 'z') && (r < '0' || r > '9')
	})
}

func (t *tally) note(what int) {
	o := &t.odd[what]
	if o.rows++; o.rows == 1 {
		o.first = t.stats.Rows
	}
}

func (t *tally) problem(text string) {
	if len(t.stats.Problems) < maxProblems {
		t.stats.Problems = append(t.stats.Problems, text)
	}
}

// skip keeps the first reason.
func (t *tally) skip(why string) { t.stats.Skipped = cmp.Or(t.stats.Skipped, why) }

// statistics returns what was counted.
func (t *tally) statistics() messages.Statistics {
	t.oddities()
	s := &t.stats
	for g, v := range t.sums {
		s.Sums = append(s.Sums, messages.Sum{Period: g.period(), Currency: string(bytes.TrimRight(g.currency[:], "\x00")), Billed: v.billed.String(), Effective: v.effective.String()})
	}
	slices.SortFunc(s.Sums, func(a, b messages.Sum) int {
		return cmp.Or(strings.Compare(a.Period, b.Period), strings.Compare(a.Currency, b.Currency))
	})
	s.First, s.Last = t.start.at, t.end.at
	s.Accounts, s.Services = len(t.accounts.seen), len(t.services.seen)
	if t.accounts.full || t.services.full {
		t.problem(fmt.Sprintf("it names more than %d accounts or services; they were counted up to there", maxDistinct))
	}
	return *s
}

// oddities tells of rows that are odd. A sum that lacks one of them is no sum of the
// report; nor is one that takes a wrong field for a cost.
func (t *tally) oddities() {
	unsummed, malformed := int64(0), max(t.odd[otherWidth].rows, t.odd[strayQuote].rows)
	for what, o := range t.odd {
		if o.rows == 0 {
			continue
		}
		text := [oddities]string{
			otherWidth:  "not as many fields as the header",
			strayQuote:  "something behind a closing quote",
			noTime:      "a begin or end of the charge period that is no time",
			noNumber:    "a cost that is no decimal number",
			noPeriod:    "a begin of the billing period that is no time",
			noCurrency:  "no currency",
			tooManySums: fmt.Sprintf("one pair of billing period and currency more than the %d that are summed", maxSums),
		}[what]
		if o.rows == 1 {
			t.problem(fmt.Sprintf("row %d has %s", o.first, text))
		} else {
			t.problem(fmt.Sprintf("%d rows, the first of them row %d, have %s", o.rows, o.first, text))
		}
		if what >= noNumber {
			unsummed += o.rows
		}
	}
	switch {
	case malformed > 0:
		t.skip("some rows are not well formed")
	case unsummed == 1:
		t.skip("one row was not summed")
	case unsummed > 1:
		t.skip(fmt.Sprintf("%d rows were not summed", unsummed))
	}
}

// A distinct counts different values, up to a bound, by their hashes: of ten thousand,
// two have the same one once in 10^11 reports.
type distinct struct {
	seed maphash.Seed
	seen map[uint64]struct{}
	last []byte
	full bool
}

func (d *distinct) add(b []byte) {
	if len(b) == 0 || bytes.Equal(b, d.last) {
		return
	}
	if len(b) <= 256 { // what is longer is no identifier, and need not be kept
		d.last = append(d.last[:0], b...)
	}
	h := maphash.Bytes(d.seed, b)
	if _, ok := d.seen[h]; ok {
		return
	}
	if d.full = len(d.seen) == maxDistinct; d.full {
		return
	}
	if d.seen == nil {
		d.seen = map[uint64]struct{}{}
	}
	d.seen[h] = struct{}{}
}

// An extreme is the earliest (sign -1) or the latest (1) of some times.
type extreme struct {
	sign int
	at   time.Time
	last []byte // was valid
}

// add is false where b is something, and no time.
func (e *extreme) add(b []byte) bool {
	if len(b) == 0 || bytes.Equal(b, e.last) {
		return true
	}
	at, ok := moment(b)
	if !ok {
		return false
	}
	e.last = append(e.last[:0], b...)
	if e.at.IsZero() || at.Compare(e.at) == e.sign {
		e.at = at
	}
	return true
}

// moment reads the shapes of time that Oracle's reports have: 2025-01-01T00:00Z, with
// seconds, and with fractions of them.
func moment(b []byte) (time.Time, bool) {
	const minutes, seconds = len("2025-01-01T00:00"), len("2025-01-01T00:00:00")
	if len(b) <= minutes || b[len(b)-1] != 'Z' || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' {
		return time.Time{}, false
	}
	b = b[:len(b)-1]
	var part [7]int // year to nanosecond
	ok := digits(&part[0], b[0:4]) && digits(&part[1], b[5:7]) && digits(&part[2], b[8:10]) && digits(&part[3], b[11:13]) && digits(&part[4], b[14:16])
	if len(b) > minutes {
		ok = ok && len(b) >= seconds && b[16] == ':' && digits(&part[5], b[17:19])
	}
	if len(b) > seconds {
		fraction := append(make([]byte, 0, 9), "000000000"...)
		ok = ok && b[19] == '.' && len(b) > 20 && copy(fraction, b[20:]) == len(b)-20 && digits(&part[6], fraction)
	}
	at := time.Date(part[0], time.Month(part[1]), part[2], part[3], part[4], part[5], part[6], time.UTC)
	// Date takes the 31st of February for a day in March, and month 13 for January.
	return at, ok && at.Month() == time.Month(part[1]) && part[3] < 24 && part[4] < 60 && part[5] < 60
}

// digits reads a number; b is nothing but digits.
func digits(n *int, b []byte) bool {
	for _, d := range b {
		if d < '0' || d > '9' {
			return false
		}
		*n = *n*10 + int(d-'0')
	}
	return true
}
