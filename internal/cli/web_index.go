package cli

import (
	"cmp"
	"encoding/base64"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

// maxIndexed bounds the files that the page can list.
const maxIndexed = 200_000

// A fileIndex holds a few words of each file, so that lists, sums and charts read no
// ledger. It follows the ledger by a watch, whoever writes there, and learns of files
// that have no record yet from the listings that are made for the report days. It is
// lost with the process. It is safe for concurrent use.
type fileIndex struct {
	prefix string    // of the source's names
	epoch  int       // records of another one are of files that wait
	born   time.Time // of the ledger: how long files took that were there before says nothing

	mu      sync.RWMutex
	files   map[string]indexed // by object name
	words   map[string]string  // one copy of each day, class and state
	dropped int
	changed uint64 // grows with each change
	touched map[messages.Day]bool
	sums    fileSums // as of summed and counted
	summed  time.Time
	counted uint64
	initial bool // all that stood in the ledger was seen
}

// indexed is what is kept of a file. Times are in Unix milliseconds, 0 for none.
type indexed struct {
	day               messages.Day
	state             web.FileState
	class             messages.Class
	size              int64
	at                int64 // of the last change
	appeared, arrived int64 // at the source; at the destination, by a copy of this program
	attempts          int32
}

func newFileIndex(prefix string, epoch int, born time.Time) *fileIndex {
	return &fileIndex{prefix: prefix, epoch: epoch, born: born, files: map[string]indexed{}, words: map[string]string{}, touched: map[messages.Day]bool{}}
}

// recorded takes a change of the ledger.
func (x *fileIndex) recorded(e nats.Entry) {
	x.mu.Lock()
	defer x.mu.Unlock()
	name := x.prefix + e.Day.Folder() + e.Basename
	x.touched[messages.Day(x.word(string(e.Day)))] = true
	x.changed++
	if e.Erased || e.Err != nil {
		delete(x.files, name)
		return
	}
	x.put(name, x.of(e.Day, e.Record))
}

// of is what is kept of a record.
func (x *fileIndex) of(day messages.Day, r messages.Record) indexed {
	f := indexed{
		day: messages.Day(x.word(string(day))), state: stateOf(r, x.epoch), class: messages.Class(x.word(string(r.Class))), size: r.Object.Size,
		at: milli(r.At), appeared: milli(firstOf(r.Object.Created, r.Object.Modified)), attempts: int32(min(r.Attempts, 1<<30)),
	}
	if f.state != web.FileFailed && f.state != web.FileRetrying && f.state != web.FileDiscarded {
		f.class, f.attempts = "", 0
	}
	if c := r.Copy; c != nil && r.Epoch == x.epoch && c.How == messages.HowCopied {
		f.arrived = milli(c.At)
	}
	return f
}

// stateOf says how a file stands by its record.
func stateOf(r messages.Record, epoch int) web.FileState {
	switch {
	case r.Epoch != epoch:
		return web.FileWaiting
	case r.Status == messages.StatusCopied:
		return web.FileCopied
	case r.Status == messages.StatusGone:
		return web.FileGone
	case r.Status == messages.StatusFailed:
		return web.FileFailed
	case r.Status == messages.StatusDiscarded:
		return web.FileDiscarded
	case r.Status == messages.StatusRetrying:
		return web.FileRetrying
	}
	return web.FileWaiting
}

// listed takes what the source lists and the ledger does not know yet, or knows as
// another version.
func (x *fileIndex) listed(e report.Evidence, f report.File) {
	if e.Day == "" || f.Section != report.Pending && e.Reason != messages.TooLarge {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	had, known := x.files[e.Object.Name]
	appeared := milli(firstOf(e.Object.Created, e.Object.Modified))
	switch {
	case known && had.state != web.FileCopied: // the ledger says more
		return
	case known && had.appeared >= appeared: // the listing was older than the copy
		return
	}
	x.changed++
	n := indexed{day: messages.Day(x.word(string(e.Day))), state: web.FileWaiting, size: e.Object.Size, at: appeared, appeared: appeared, arrived: had.arrived}
	if e.Reason == messages.TooLarge {
		n.state, n.class = web.FileFailed, messages.Refused
	}
	x.put(e.Object.Name, n)
}

func (x *fileIndex) put(name string, f indexed) {
	if _, known := x.files[name]; !known && len(x.files) >= maxIndexed {
		x.shrink()
	}
	x.files[strings.Clone(name)] = f
}

// shrink drops the tenth of the files that were delivered longest ago.
func (x *fileIndex) shrink() {
	times := make([]int64, 0, len(x.files))
	for _, f := range x.files {
		if f.state == web.FileCopied {
			times = append(times, f.at)
		}
	}
	if len(times) == 0 {
		return
	}
	slices.Sort(times)
	oldest := times[len(times)/10]
	for name, f := range x.files {
		if f.state == web.FileCopied && f.at <= oldest {
			delete(x.files, name)
			x.dropped++
		}
	}
}

// word is a copy of s that all rows share.
func (x *fileIndex) word(s string) string {
	w, ok := x.words[s]
	if !ok {
		w = strings.Clone(s)
		x.words[w] = w
	}
	return w
}

// read notes that all that stood in the ledger was seen.
func (x *fileIndex) read() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.initial = true
	x.changed++
}

func (x *fileIndex) isRead() bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.initial
}

// turn grows with each change.
func (x *fileIndex) turn() uint64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.changed
}

// left is how many files were dropped, since there are too many.
func (x *fileIndex) left() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.dropped
}

// touch has the days of a range looked at again.
func (x *fileIndex) touch(from, to messages.Day) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for d := from; d <= to; d = d.Add(1) {
		x.touched[d] = true
	}
}

// takeTouched are the days of which something changed since the last call.
func (x *fileIndex) takeTouched() []messages.Day {
	x.mu.Lock()
	defer x.mu.Unlock()
	days := make([]messages.Day, 0, len(x.touched))
	for d := range x.touched {
		days = append(days, d)
	}
	clear(x.touched)
	slices.Sort(days)
	return days
}

// A cursor is the place of a file in a list: those that changed last first, and those of
// one moment by name.
type cursor struct {
	at   int64
	name string
}

func (c cursor) compare(d cursor) int {
	return cmp.Or(cmp.Compare(d.at, c.at), strings.Compare(c.name, d.name))
}

func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.at, 36) + "." + c.name))
}

func parseCursor(s string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	at, name, ok := strings.Cut(string(raw), ".")
	if err == nil && !ok {
		err = fmt.Errorf("%q is no place in a list", s)
	}
	if err == nil {
		c.at, err = strconv.ParseInt(at, 36, 64)
	}
	c.name = name
	return c, err
}

// A fileQuery is a filter that was read.
type fileQuery struct {
	web.Filter
	text   string // in lower case
	after  *cursor
	flying map[string]bool // the files that are being copied
}

func (q *fileQuery) takes(name string, f indexed) bool {
	if q.State != "" && q.State != f.state {
		return false
	}
	return (q.Day == "" || q.Day == f.day) && (q.Cause == "" || q.Cause == f.class) &&
		(q.text == "" || strings.Contains(strings.ToLower(name), q.text))
}

// choose lists the files of a query, and counts all that it takes.
func (x *fileIndex) choose(q fileQuery) (page web.FilesPage) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	page = web.FilesPage{Files: []web.FileRow{}, Known: len(x.files), Read: x.initial}
	best := make([]cursor, 0, q.Limit+2)
	for name, f := range x.files {
		if q.flying[name] {
			f.state = web.FileCopying
		}
		if !q.takes(name, f) {
			continue
		}
		page.Total++
		c := cursor{f.at, name}
		if q.after != nil && q.after.compare(c) >= 0 {
			continue
		}
		if len(best) > q.Limit && c.compare(best[q.Limit]) > 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(best, c, cursor.compare)
		best = slices.Insert(best, i, c)
		best = best[:min(len(best), q.Limit+1)]
	}
	if len(best) > q.Limit {
		best = best[:q.Limit]
		page.Next = best[q.Limit-1].String()
	}
	for _, c := range best {
		page.Files = append(page.Files, x.row(c.name, q.flying[c.name]))
	}
	return page
}

// row is one file as it is shown, without the text of its error.
func (x *fileIndex) row(name string, flying bool) web.FileRow {
	f := x.files[name]
	row := web.FileRow{
		Object: name, Name: path.Base(name), Day: f.day, State: f.state, Size: f.size, At: instant(f.at), Class: f.class, Attempts: int(f.attempts),
	}
	if flying {
		row.State = web.FileCopying
	}
	return row
}

// find is the file of a name.
func (x *fileIndex) find(name string) (row web.FileRow, ok bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	_, ok = x.files[name]
	return x.row(name, false), ok
}

// fileSums are what a summary tells of all files.
type fileSums struct {
	files, discarded int
	today            int
	todayBytes       int64
	delay            float64 // in seconds
	causes           []web.Cause
	failed           int
}

const (
	sumsFresh  = time.Second
	causeFiles = 5 // shown of each cause
)

// sum counts, and at most once a second.
func (x *fileIndex) sum(now time.Time) fileSums {
	x.mu.Lock()
	defer x.mu.Unlock()
	if age := now.Sub(x.summed); age >= 0 && (age < sumsFresh || x.counted == x.changed && age < time.Minute) {
		return x.sums
	}
	x.sums, x.summed, x.counted = x.count(now), now, x.changed
	return x.sums
}

func (x *fileIndex) count(now time.Time) (s fileSums) {
	s.files = len(x.files)
	midnight, yesterday, born := milli(now.UTC().Truncate(24*time.Hour)), milli(now.Add(-24*time.Hour)), milli(x.born)
	var delays []int64
	byClass := map[messages.Class]*web.Cause{}
	for name, f := range x.files {
		if f.arrived >= midnight {
			s.today++
			s.todayBytes += f.size
		}
		if f.arrived >= yesterday && f.appeared > born {
			delays = append(delays, max(0, f.arrived-f.appeared))
		}
		switch f.state {
		case web.FileDiscarded:
			s.discarded++
		case web.FileFailed:
			s.failed++
			x.blame(byClass, name, f)
		}
	}
	if len(delays) > 0 {
		slices.Sort(delays)
		s.delay = float64(delays[(len(delays)*95+99)/100-1]) / 1000
	}
	s.causes = []web.Cause{}
	for _, c := range byClass {
		s.causes = append(s.causes, *c)
	}
	slices.SortFunc(s.causes, func(a, b web.Cause) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Class, b.Class))
	})
	return s
}

// blame adds a file to its cause, which keeps the first few by name.
func (x *fileIndex) blame(byClass map[messages.Class]*web.Cause, name string, f indexed) {
	class := cmp.Or(f.class, messages.Unknown)
	c := byClass[class]
	at := instant(f.at)
	if c == nil {
		e := class.Explain()
		c = &web.Cause{Class: class, Meaning: e.Meaning, Remedy: e.Remedy, First: at, Last: at, Files: []web.FileRow{}}
		byClass[class] = c
	}
	c.Count++
	c.Bytes += f.size
	if at.Before(c.First) {
		c.First = at
	}
	if at.After(c.Last) {
		c.Last = at
	}
	i, _ := slices.BinarySearchFunc(c.Files, name, func(r web.FileRow, n string) int { return strings.Compare(r.Object, n) })
	if i < causeFiles {
		c.Files = slices.Insert(c.Files, i, x.row(name, false))
		c.Files = c.Files[:min(len(c.Files), causeFiles)]
	}
}

// flow counts what appeared and what was delivered in steps from an instant on.
func (x *fileIndex) flow(from time.Time, step time.Duration, steps int) (appeared, delivered []web.Point) {
	appeared, delivered = make([]web.Point, steps), make([]web.Point, steps)
	for i := range steps {
		at := from.Add(time.Duration(i) * step)
		appeared[i].At, delivered[i].At = at, at
	}
	add := func(points []web.Point, at, size int64) {
		if i := (at - milli(from)) / step.Milliseconds(); at >= milli(from) && i < int64(steps) {
			points[i].Files++
			points[i].Bytes += size
		}
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	for _, f := range x.files {
		add(appeared, f.appeared, f.size)
		add(delivered, f.arrived, f.size)
	}
	return appeared, delivered
}

func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func instant(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

func firstOf(times ...time.Time) time.Time {
	for _, t := range times {
		if !t.IsZero() {
			return t
		}
	}
	return time.Time{}
}
