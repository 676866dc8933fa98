package cli

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

const (
	// summaryFresh bounds how often a summary is made, whoever asks.
	summaryFresh = 500 * time.Millisecond
	// lookedFor is how long after the last look the days are kept up to the minute, and
	// other hosts are asked for their status.
	lookedFor = 5 * time.Minute
	// daysEvery is how often days that changed are read again, and daysIdly how often
	// while nobody looks.
	daysEvery = 3 * time.Second
	daysIdly  = 10 * time.Minute
	// firstRead is how long a question waits for the first reading of ledger and listing.
	firstRead = 2 * time.Second
)

// An overview is what the page and /api/v1 show: the view of a route from a process that
// runs both roles. What it keeps follows the ledger, and is lost with the process.
type overview struct {
	monitor *monitor
	cfg     *config.Config
	began   agent.Status // what is known before the agent is at work
	log     *slog.Logger
	jobs    jobBook

	reporting sync.Mutex // a report holds all files of its days: one at a time

	ctx    context.Context
	cancel context.CancelFunc
	life   sync.Mutex // of beside
	beside sync.WaitGroup

	looked  atomic.Int64                // when somebody looked last, in Unix nanoseconds
	watched atomic.Pointer[observation] // nil until the agent is at work
	backlog backlog
	fleet   fleetBook

	mu      sync.Mutex
	summary web.Summary
	made    time.Time
	verdict web.Verdict
}

// An observation is what is known of an agent at work.
type observation struct {
	agent   *running
	index   *fileIndex
	almanac *almanac
	sides   dayCache
	trail   trailCache

	said  sync.Mutex
	texts map[string]errorText // by object

	recent       []web.FileRow // as of recentTurn, with recentMoving under way
	recentTurn   uint64
	recentMoving map[string]bool
}

func newOverview(m *monitor, cfg *config.Config, log *slog.Logger) *overview {
	o := &overview{monitor: m, cfg: cfg, began: initialStatus(cfg, "agent"), log: log}
	o.ctx, o.cancel = context.WithCancel(context.Background())
	return o
}

// attach begins to follow the agent, which is at work from now on.
func (o *overview) attach(g *running) {
	if o == nil {
		return
	}
	index := newFileIndex(g.cfg.OCI.Prefix, g.identity.Epoch, g.identity.Created)
	evidence := &reportSource{route: g.route, lister: &g.sides, ledger: g.ledger, marks: g.ledger}
	w := &observation{agent: g, index: index, almanac: &almanac{pages: evidence.page, index: index}}
	o.watched.Store(w)
	o.beside.Go(func() { _ = g.ledger.Mirror(o.ctx, index.recorded, index.read) }) // it ends with its context
	o.beside.Go(func() { o.keepDays(w) })
	o.beside.Go(func() { o.keepSamples() })
	o.beside.Go(func() { o.keepFleet(w) })
}

// close ends what goes on in the background, and the jobs.
func (o *overview) close() {
	if o != nil {
		o.life.Lock()
		o.cancel()
		o.life.Unlock()
		o.beside.Wait()
	}
}

// goOn runs f beside all else, unless the end has begun: then f finds its context ended.
func (o *overview) goOn(f func()) {
	o.life.Lock()
	defer o.life.Unlock()
	if o.ctx.Err() != nil {
		f()
		return
	}
	o.beside.Go(f)
}

// scanned takes the end of a scan: what it queued may be new.
func (o *overview) scanned(published int, from messages.Day) {
	if o == nil || published == 0 || !from.Valid() {
		return
	}
	if w := o.watched.Load(); w != nil {
		w.index.touch(from, messages.DayOf(time.Now()).Add(1))
	}
}

// look notes that somebody looks, and waits a moment for what is read for the first time.
func (o *overview) look(ctx context.Context) *observation {
	o.looked.Store(time.Now().UnixNano())
	w := o.watched.Load()
	if w == nil || w.read() {
		return w
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for late := time.Now().Add(firstRead); !w.read() && time.Now().Before(late); {
		select {
		case <-ctx.Done():
			return w
		case <-o.ctx.Done():
			return w
		case <-tick.C:
		}
	}
	return w
}

func (w *observation) read() bool { return w.index.isRead() && w.almanac.isRead() }

func (o *overview) looking() bool {
	return time.Since(time.Unix(0, o.looked.Load())) < lookedFor
}

// keepDays reads the report days, and again what changed of them.
func (o *overview) keepDays(w *observation) {
	tick := time.NewTicker(daysEvery)
	defer tick.Stop()
	var again time.Time // when days were read again last
	said := ""
	for {
		now := time.Now()
		var err error
		switch {
		case !w.index.isRead():
		case w.almanac.due(now):
			w.index.takeTouched()
			err = w.almanac.readAll(o.ctx)
		case o.looking() || now.Sub(again).Abs() >= daysIdly:
			again = now
			days := w.index.takeTouched()
			if err = w.almanac.readAgain(o.ctx, days, now); err != nil && len(days) > 0 {
				w.index.touch(days[0], days[len(days)-1])
			}
		}
		if text := errText(err); text != said && o.ctx.Err() == nil {
			if said = text; err != nil {
				o.log.Warn("the report days of the page cannot be read", "err", err)
			}
		}
		wait := tick.C
		if !w.index.isRead() {
			wait = time.After(20 * time.Millisecond)
		}
		select {
		case <-o.ctx.Done():
			return
		case <-wait:
		}
	}
}

// keepSamples notes how many files wait.
func (o *overview) keepSamples() {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	for {
		if s, err := o.monitor.status(o.ctx); err == nil {
			o.backlog.add(web.Sample{At: time.Now().UTC(), Waiting: s.Live.Waiting, Backfill: s.Backfill.Waiting})
		}
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// errStarting is the answer while there is nothing to look at.
func (o *overview) errStarting() error {
	return web.NewProblem(http.StatusServiceUnavailable, "the agent is still starting: "+stillOpening(o.cfg), "try again in a moment")
}

// Summary is the route at a glance, made at most twice a second.
func (o *overview) Summary(ctx context.Context) (web.Summary, error) {
	w := o.look(ctx)
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now().UTC()
	if age := now.Sub(o.made); age < 0 || age >= summaryFresh {
		o.summary, o.made = o.summarize(ctx, w, now), now
	}
	return o.summary, nil
}

// outdate has the next summary made anew: who has ordered something looks for its effect.
func (o *overview) outdate() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.made = time.Time{}
}

func (o *overview) summarize(ctx context.Context, w *observation, now time.Time) web.Summary {
	s := web.Summary{
		At: now, InProgress: []web.Transfer{}, Failed: []web.Cause{}, Recent: []web.FileRow{}, Workers: []web.Worker{}, Notes: []string{},
		Dependencies: o.monitor.ready(ctx).Checks, Agent: o.process(), Numbers: web.Numbers{Days: map[report.State]int{}},
	}
	if w == nil {
		s.Verdict = o.since(web.Verdict{State: web.IsStarting, Sentence: "Starting: " + stillOpening(o.cfg) + "."}, now)
		return s
	}
	status := w.agent.board.Status()
	s.Agent.Since, s.Agent.Ranges = status.Since, status.Ranges
	s.Paused, s.LastScan, s.NextScan, s.Verification = status.Paused, status.LastScan, status.NextScan, status.Verification
	queue, queueErr := o.monitor.askQueue(ctx)
	s.Numbers.Waiting, s.Numbers.Backfill, s.Numbers.DeadLetters = queue.Live, queue.Backfill, queue.Dead
	s.Numbers.Oldest, s.Numbers.Undelivered = oldestOf(queue), queue.Live+queue.Backfill+uint64(max(0, queue.InFlight))
	s.Workers, s.InProgress = o.fleet.seen(status, now)
	s.Numbers.Copying = len(s.InProgress)
	sums := w.index.sum(now)
	s.Failed = slices.Clone(sums.causes)
	for i := range s.Failed {
		s.Failed[i].Files = slices.Clone(s.Failed[i].Files) // others read the last summary
		w.explain(ctx, s.Failed[i].Files)
	}
	s.Numbers.Today, s.Numbers.TodayBytes, s.Numbers.Delay = sums.today, sums.todayBytes, sums.delay
	s.Numbers.Failed, s.Numbers.Discarded, s.Numbers.Files = sums.failed, sums.discarded, sums.files
	s.Recent = w.recently(ctx, flying(s.InProgress))
	days := w.almanac.days(now, messages.DayOf(now).Add(1-calendarDays), messages.DayOf(now))
	s.Numbers.Days, s.Numbers.Newest = days.States, newestComplete(days.Days)
	s.Notes = o.notes(w, days, status)
	s.Verdict = o.since(verdictOf(s, status, days.Days, queueErr), now)
	return s
}

// recentFiles is how many files a summary lists.
const recentFiles = 10

// recently are the files that changed last, looked for only where something changed.
// overview.mu is held.
func (w *observation) recently(ctx context.Context, moving map[string]bool) []web.FileRow {
	if turn := w.index.turn(); w.recent == nil || turn != w.recentTurn || !maps.Equal(moving, w.recentMoving) {
		w.recent = w.index.choose(fileQuery{Filter: web.Filter{Limit: recentFiles}, flying: moving}).Files
		w.explain(ctx, w.recent)
		w.recentTurn, w.recentMoving = turn, moving
	}
	return w.recent
}

// process is the one that answers.
func (o *overview) process() web.Process {
	b := o.began
	return web.Process{
		Role: b.Role, Version: b.Version, Revision: revision(), Instance: b.Instance, Started: o.monitor.started,
		Route: b.Route, Source: b.Source, Destination: b.Destination, ConfigFile: o.cfg.File(), ReadOnly: o.cfg.HTTP.ReadOnly,
	}
}

func oldestOf(q web.Queue) time.Time {
	if q.OldestLive.IsZero() || !q.OldestBackfill.IsZero() && q.OldestBackfill.Before(q.OldestLive) {
		return q.OldestBackfill
	}
	return q.OldestLive
}

func flying(all []web.Transfer) map[string]bool {
	names := map[string]bool{}
	for _, t := range all {
		names[t.Object] = true
	}
	return names
}

func newestComplete(days []report.Day) (newest messages.Day) {
	for _, d := range days {
		if d.State == report.Complete || d.State == report.Late {
			newest = d.Day
		}
	}
	return newest
}

// notes say what is not known.
func (o *overview) notes(w *observation, days web.Days, status agent.Status) []string {
	notes := []string{}
	if !w.index.isRead() {
		notes = append(notes, "the ledger is being read: numbers and lists are not complete yet")
	}
	notes = append(notes, days.Notes...)
	if text := o.fleet.problem(); text != "" {
		notes = append(notes, "other hosts are not shown: "+text)
	}
	if status.Expiring > 0 {
		notes = append(notes, fmt.Sprintf("%s not delivered and nearly a year old, from %s on; Oracle deletes reports after a year",
			counted(status.Expiring, "report"), messages.DayOf(status.ExpiringOldest)))
	}
	if n := w.index.left(); n > 0 {
		notes = append(notes, fmt.Sprintf("the %s delivered longest ago are not in the lists", counted(n, "file")))
	}
	return notes
}

// since fills in since when a verdict is as it is.
func (o *overview) since(v web.Verdict, now time.Time) web.Verdict {
	if o.verdict.State != v.State {
		o.verdict = web.Verdict{State: v.State, Since: now}
	}
	v.Since = cmp.Or(v.Since, o.verdict.Since)
	return v
}

// Days are report days, by default those of the calendar.
func (o *overview) Days(ctx context.Context, from, to messages.Day) (web.Days, error) {
	today := messages.DayOf(time.Now())
	to = cmp.Or(to, today)
	from = cmp.Or(from, to.Add(1-calendarDays))
	switch {
	case !from.Valid() || !to.Valid():
		return web.Days{}, web.NewProblem(http.StatusBadRequest, "a day is written YYYY-MM-DD", "name days of the calendar")
	case from > to || from < today.Add(1-calendarDays) || to > today.Add(7):
		return web.Days{}, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("the days from %s to %s are not those of the last 13 months", from, to),
			"choose others; `oracle-focus-agent report` tells of earlier days")
	}
	w := o.look(ctx)
	if w == nil {
		return web.Days{}, o.errStarting()
	}
	return w.almanac.days(time.Now(), from, to), nil
}

const (
	filesPage    = 50
	maxFilesPage = 200
)

// Files are those that a filter chooses.
func (o *overview) Files(ctx context.Context, f web.Filter) (web.FilesPage, error) {
	q := fileQuery{Filter: f, text: strings.ToLower(strings.TrimSpace(f.Text))}
	bad := func(detail, remedy string) (web.FilesPage, error) {
		return web.FilesPage{}, web.NewProblem(http.StatusBadRequest, detail, remedy)
	}
	switch {
	case f.State != "" && !slices.Contains(web.FileStates(), f.State):
		return bad(fmt.Sprintf("%q is no state of a file", f.State), fmt.Sprintf("use one of %v", web.FileStates()))
	case f.Day != "" && !f.Day.Valid():
		return bad(fmt.Sprintf("%q is no day", f.Day), "write it as YYYY-MM-DD")
	case f.Cause != "" && !slices.Contains(messages.Classes(), f.Cause):
		return bad(fmt.Sprintf("%q is no class of failures", f.Cause), "docs/troubleshooting.md lists them")
	case f.Limit < 0 || f.Limit > maxFilesPage:
		return bad(fmt.Sprintf("a page has 1 to %d files, and not %d", maxFilesPage, f.Limit), "ask for fewer, and for the next page")
	}
	q.Limit = cmp.Or(f.Limit, filesPage)
	if f.After != "" {
		after, err := parseCursor(f.After)
		if err != nil {
			return bad("after is no place in a list", "use the next of the page before")
		}
		q.after = &after
	}
	w := o.look(ctx)
	if w == nil {
		return web.FilesPage{}, o.errStarting()
	}
	_, moving := o.fleet.seen(w.agent.board.Status(), time.Now())
	q.flying = flying(moving)
	page := w.index.choose(q)
	w.explain(ctx, page.Files)
	return page, nil
}

// explain adds the texts of the errors, which the ledger has. Each is read once.
func (w *observation) explain(ctx context.Context, rows []web.FileRow) {
	w.said.Lock()
	defer w.said.Unlock()
	for i := range rows {
		row := &rows[i]
		if row.State != web.FileFailed && row.State != web.FileRetrying {
			continue
		}
		text, ok := w.texts[row.Object]
		if !ok || !text.at.Equal(row.At) {
			text = errorText{row.At, w.errorOf(ctx, *row)}
			if w.texts == nil || len(w.texts) >= 1000 {
				w.texts = map[string]errorText{}
			}
			w.texts[row.Object] = text
		}
		row.Error = text.text
	}
}

// An errorText is the error of a record that was written at an instant.
type errorText struct {
	at   time.Time
	text string
}

// errorOf reads the error of a file. What cannot be read is not shown: the row says all
// the same that it failed, and by which class.
func (w *observation) errorOf(ctx context.Context, row web.FileRow) string {
	key := messages.RecordKey(w.agent.cfg.OCI.Name, messages.Report{Day: row.Day, Basename: row.Name})
	raw, _, err := w.agent.ledger.Read(ctx, key)
	if err != nil || raw == nil {
		return ""
	}
	r, err := messages.DecodeRecord(raw)
	if err != nil {
		return ""
	}
	return r.Error
}

// Charts tell how much came and went.
func (o *overview) Charts(ctx context.Context, window web.Window) (web.Charts, error) {
	window = cmp.Or(window, web.LastDay)
	i := slices.IndexFunc(scales(), func(s scale) bool { return s.window == window })
	if i < 0 {
		return web.Charts{}, web.NewProblem(http.StatusBadRequest, fmt.Sprintf("%q is no window", window), fmt.Sprintf("use one of %v", web.Windows()))
	}
	w := o.look(ctx)
	if w == nil {
		return web.Charts{}, o.errStarting()
	}
	s := scales()[i]
	to := time.Now().UTC().Truncate(s.step).Add(s.step)
	c := web.Charts{Window: window, From: to.Add(-s.step * time.Duration(s.steps)), To: to, Step: s.step.Seconds(), Read: w.index.isRead()}
	c.Appeared, c.Delivered = w.index.flow(c.From, s.step, s.steps)
	c.Backlog, c.Since = o.backlog.of(window, c.From)
	return c, nil
}

// Jobs are the actions that were ordered here.
func (o *overview) Jobs(context.Context) ([]web.Job, error) { return o.jobs.all(), nil }
