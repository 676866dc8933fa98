package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

const (
	// dayFresh is how long a comparison of the three sides is shown again, and dayTime
	// how long one may take.
	dayFresh = 15 * time.Second
	dayTime  = 20 * time.Second
	// maxDayFiles is how many files a day's page has.
	maxDayFiles = 2000
	// trailFresh is how long the audit trail is shown again.
	trailFresh = 3 * time.Second
)

// A dayCache keeps the last comparisons, and makes one at a time: each asks OCI and S3.
type dayCache struct {
	mu    sync.Mutex
	pages map[messages.Day]web.DayPage
}

// Day compares the three sides of one report day.
func (o *overview) Day(ctx context.Context, day messages.Day) (web.DayPage, error) {
	if !day.Valid() {
		return web.DayPage{}, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("%q is no day", day), "write it as YYYY-MM-DD")
	}
	w := o.look(ctx)
	if w == nil {
		return web.DayPage{}, o.errStarting()
	}
	judged, err := o.Days(ctx, day, day)
	if err != nil {
		return web.DayPage{}, err
	}
	w.sides.mu.Lock()
	defer w.sides.mu.Unlock()
	page, ok := w.sides.pages[day]
	if age := time.Since(page.At); !ok || age < 0 || age >= dayFresh {
		ctx, cancel := context.WithTimeout(ctx, dayTime)
		page = w.compareDay(ctx, day)
		cancel()
		if w.sides.pages == nil || len(w.sides.pages) >= 32 {
			w.sides.pages = map[messages.Day]web.DayPage{}
		}
		w.sides.pages[day] = page
	}
	page.Age = max(0, time.Since(page.At).Seconds())
	page.Day.Day = day
	if len(judged.Days) == 1 {
		page.Day = judged.Days[0]
	}
	return page, nil
}

// compareDay looks at the three sides. Where that fails, it shows what the ledger has.
func (w *observation) compareDay(ctx context.Context, day messages.Day) web.DayPage {
	g := w.agent
	p := web.DayPage{At: time.Now().UTC(), Files: []web.DayFile{}, Previous: day.Add(-1), Next: day.Add(1), Commands: []string{
		"oracle-focus-agent verify --day " + string(day), "oracle-focus-agent verify --day " + string(day) + " --repair",
		"oracle-focus-agent backfill --from " + string(day) + " --to " + string(day),
		"oracle-focus-agent report --from " + string(day) + " --to " + string(day),
	}}
	p.Day.Day = day
	marks, _, err := g.readMarks(ctx)
	if err != nil {
		p.Problem = "the ledger does not answer: " + err.Error()
		return p
	}
	there := &noting{Destination: destination{&g.sides}, seen: map[string]web.Stored{}}
	v := g.verifier(g.duties(marks), []messages.Range{{From: day, To: day}})
	v.Destination = there
	v.Found = func(f verify.Finding) {
		if len(p.Files) == maxDayFiles {
			p.More++
			return
		}
		p.Files = append(p.Files, dayFile(f))
	}
	result, err := v.Run(ctx)
	for i := range p.Files {
		if s, ok := there.at(p.Files[i].Key); ok {
			p.Files[i].Destination = &s
		}
	}
	p.Destination, p.Differ = result.Destination, result.Differ()
	if err != nil {
		p.Problem = "the sides could not be compared: " + err.Error()
		p.Files, p.More, p.Differ = w.recordedFiles(ctx, day), 0, 0
	}
	slices.SortStableFunc(p.Files, func(x, y web.DayFile) int { return strings.Compare(x.Name, y.Name) })
	return p
}

// dayFile is a finding in the words of the page.
func dayFile(f verify.Finding) web.DayFile {
	d := f.Deviation()
	out := web.DayFile{Object: d.Object, Name: path.Base(cmp.Or(d.Object, d.Key)), Key: d.Key, Mark: d.Mark, Result: string(f.Result), Why: d.Why}
	if f.Object.Name != "" {
		out.Source = &f.Object
	}
	if f.Record.Status != "" {
		out.Ledger = ledgerSide(f.Record)
	}
	return out
}

func ledgerSide(r messages.Record) *web.LedgerSide {
	l := &web.LedgerSide{Status: r.Status, At: r.At, Size: r.Object.Size, ETag: r.Object.ETag, Class: r.Class, Error: r.Error, Attempts: r.Attempts}
	if c := r.Copy; c != nil {
		l.Size, l.ETag, l.CRC32C, l.Verified = c.Size, c.ETag, c.CRC32C, c.Verified
	}
	return l
}

// recordedFiles are those that the ledger has of a day.
func (w *observation) recordedFiles(ctx context.Context, day messages.Day) []web.DayFile {
	files := []web.DayFile{}
	records, err := w.agent.ledger.Day(ctx, day)
	if err != nil { // then there is nothing to show, and the problem says so
		return files
	}
	for name, r := range records {
		f := web.DayFile{Object: r.Object.Name, Name: name, Mark: verify.Failed.Mark(), Result: string(verify.Failed), Ledger: ledgerSide(r)}
		if rep, err := w.agent.rules().Report(r.Object); err == nil {
			f.Key = rep.Key
		}
		files = append(files, f)
		if len(files) == maxDayFiles {
			break
		}
	}
	return files
}

// noting is a destination that remembers what it told.
type noting struct {
	verify.Destination
	mu   sync.Mutex
	seen map[string]web.Stored
}

func (n *noting) Head(ctx context.Context, key string) (verify.Stored, error) {
	s, err := n.Destination.Head(ctx, key)
	if err == nil {
		n.note(key, s)
	}
	return s, err
}

func (n *noting) List(ctx context.Context, prefix string) iter.Seq2[verify.Listed, error] {
	return func(yield func(verify.Listed, error) bool) {
		for l, err := range n.Destination.List(ctx, prefix) {
			if err == nil {
				n.note(l.Key, l.Stored)
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// note keeps what a HEAD told, which is more than a listing tells.
func (n *noting) note(key string, s verify.Stored) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if had := n.seen[key]; had.CRC32C == "" && had.SourceETag == "" {
		n.seen[key] = web.Stored(s)
	}
}

func (n *noting) at(key string) (web.Stored, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s, ok := n.seen[key]
	return s, ok
}

// File tells all that is known of one file.
func (o *overview) File(ctx context.Context, name string) (web.FilePage, error) {
	w := o.look(ctx)
	if w == nil {
		return web.FilePage{}, o.errStarting()
	}
	stories, err := w.agent.story(ctx, name)
	if refusal, ok := errors.AsType[*agent.Refusal](err); ok {
		return w.unrecorded(name, refusal)
	}
	if err != nil {
		return web.FilePage{}, refusal(err)
	}
	chosen := stories[0]
	for _, s := range stories {
		if s.Record.Object.Name == name || chosen.Record.Object.Name != name && s.Day > chosen.Day {
			chosen = s
		}
	}
	p := w.filePage(chosen)
	for _, s := range stories {
		if other := s.Record.Object.Name; other != p.Object {
			p.Others = append(p.Others, other)
		}
	}
	_, moving := o.fleet.seen(w.agent.board.Status(), time.Now())
	for _, t := range moving {
		if t.Object == p.Object {
			p.State, p.Progress = web.FileCopying, &t
		}
	}
	return p, nil
}

// unrecorded is a file that was listed, and of which the ledger knows nothing yet.
func (w *observation) unrecorded(name string, refusal *agent.Refusal) (web.FilePage, error) {
	row, ok := w.index.find(name)
	if !ok {
		return web.FilePage{}, web.NewProblem(http.StatusNotFound, fmt.Sprintf("neither the ledger nor the last listing has a file %q", name),
			"look for it in the list of files, or have the source scanned")
	}
	p := web.FilePage{FileRow: row, Timeline: []web.Moment{}, Commands: []string{"oracle-focus-agent sync"}, Others: []string{}}
	if rep, err := w.agent.rules().Report(messages.Object{Name: name, Size: row.Size}); err == nil {
		p.Key = rep.Key
	} else {
		p.Error = err.Error()
	}
	if !row.At.IsZero() {
		p.Timeline = append(p.Timeline, web.Moment{At: row.At, What: "appeared", Text: "it appeared at the source"})
	}
	return p, nil
}

func (w *observation) filePage(s fileStory) web.FilePage {
	r := s.Record
	p := web.FilePage{
		FileRow: web.FileRow{
			Object: r.Object.Name, Name: path.Base(r.Object.Name), Day: s.Day, State: stateOf(r, w.index.epoch), Size: r.Object.Size, At: r.At,
			Class: r.Class, Error: r.Error, Attempts: r.Attempts,
		},
		LedgerKey: s.Key, Record: r, Letter: s.Letter, Commands: s.Commands, Others: []string{}, Timeline: timeline(s),
	}
	if rep, err := w.agent.rules().Report(r.Object); err == nil {
		p.Key = rep.Key
	}
	if r.Class != "" {
		e := r.Class.Explain()
		p.Meaning, p.Remedy = e.Meaning, e.Remedy
	}
	return p
}

// timeline is the life of a file, as far as record, dead letter and trail tell.
func timeline(s fileStory) []web.Moment {
	r := s.Record
	all := []web.Moment{}
	add := func(at time.Time, what, who, format string, args ...any) {
		if !at.IsZero() {
			all = append(all, web.Moment{At: at.UTC(), What: what, Text: fmt.Sprintf(format, args...), Who: who})
		}
	}
	add(firstOf(r.Object.Created, r.Object.Modified), "appeared", "", "this version appeared at the source")
	if r.FirstFailed != r.At {
		add(r.FirstFailed, "first-failed", "", "the first attempt failed")
	}
	if c := r.Copy; c != nil {
		add(c.At, "copied", workerOf(r), "%s", copiedText(*c))
		if c.Replaced != nil {
			add(c.Replaced.At, "replaced", "", "an earlier version was delivered, with other bytes")
		}
	}
	switch r.Status {
	case messages.StatusRetrying:
		add(r.At, "attempt", r.Worker, "%s failed, the last with %s; it is tried again", counted(r.Attempts, "attempt"), r.Class)
	case messages.StatusFailed:
		add(r.At, "failed", r.Worker, "given up after %s: %s", counted(r.Attempts, "attempt"), r.Class)
	case messages.StatusDiscarded:
		add(r.At, "discarded", "", "given up for good by an operator")
	case messages.StatusGone:
		add(r.At, "gone", r.Worker, "the source no longer had it when it was its turn")
	case messages.StatusDue:
		add(r.At, "ordered", "", "another copy was ordered")
	}
	if d := s.Letter; d != nil {
		add(d.At, "dead-letter", d.Worker, "noted among the dead letters: %s", d.Class)
	}
	for _, a := range s.Actions {
		add(a.At, "operator", a.By, "%s", strings.TrimSuffix(a.Action+": "+a.Reason, ": "))
	}
	slices.SortStableFunc(all, func(x, y web.Moment) int { return x.At.Compare(y.At) })
	return all
}

func workerOf(r messages.Record) string {
	if r.Status == messages.StatusCopied {
		return r.Worker
	}
	return ""
}

// copiedText says how a version came to the destination.
func copiedText(c messages.FileCopied) string {
	switch c.How {
	case messages.HowAdopted:
		return "the same bytes were found at the destination"
	case messages.HowRecorded:
		return "the same bytes had been delivered as another version"
	case messages.HowImported, messages.HowPresumed:
		return "delivered by the Python agent"
	}
	return fmt.Sprintf("delivered in %v, its bytes verified by %s", seconds(c.Seconds), strings.ToUpper(orNone(c.Verified)))
}

// A trailCache keeps the audit trail for a moment.
type trailCache struct {
	mu    sync.Mutex
	trail web.Trail
	at    time.Time
}

// Trail is what operators did, the newest first.
func (o *overview) Trail(ctx context.Context) (web.Trail, error) {
	w := o.look(ctx)
	if w == nil {
		return web.Trail{}, o.errStarting()
	}
	w.trail.mu.Lock()
	defer w.trail.mu.Unlock()
	if age := time.Since(w.trail.at); age < 0 || age >= trailFresh {
		t, err := w.agent.trail(ctx)
		if err != nil {
			return web.Trail{}, refusal(err)
		}
		slices.Reverse(t.Actions)
		w.trail.trail, w.trail.at = web.Trail(t), time.Now()
	}
	return w.trail.trail, nil
}
