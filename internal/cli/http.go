package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// queueFresh is how long an answer of the queue serves probes and scrapes, so
// that many of them cost the queue no more than one.
const queueFresh = 3 * time.Second

// A monitor shows a process to probes and scrapers. It listens from the start
// on, while the process still waits for its queue. A nil monitor shows nothing.
type monitor struct {
	role    string
	does    web.Role
	started time.Time
	metrics *web.Metrics
	server  *web.Server
	page    *overview // nil without http.page, and where the role does not have it
	checks  web.Tracker
	agent   atomic.Pointer[running] // nil until everything is open

	mu    sync.Mutex
	asked time.Time
	queue nats.Status
	err   error

	poll time.Duration // as configured at the start

	scanMu sync.Mutex
	scan   web.Check // the source, as the last scan found it
}

// newMonitor listens where http.listen says, if it does.
func newMonitor(cfg *config.Config, role string, log *slog.Logger) (*monitor, error) {
	if cfg.HTTP.Listen == "" {
		return nil, nil
	}
	m := &monitor{role: role, does: web.Role{Scans: role != "copier", Copies: role != "scanner"}, poll: cfg.Agent.PollInterval.Std(), started: time.Now().UTC()}
	m.scan = web.Check{Name: "source", State: web.Pending, Since: m.started, Detail: "no scan has ended yet"}
	about := web.About{Version: version(), Revision: revision(), Route: cfg.OCI.Name, Interval: m.interval}
	m.metrics = web.NewMetrics(m.does, about, web.Sources{
		Queue: m.askQueue, InFlight: m.inFlight, Gate: m.gate, Parts: m.parts, Slots: m.slots, Share: m.share, Paused: func() bool { return m.paused() != nil },
	})
	options := web.Options{Listen: cfg.HTTP.Listen, Ready: m.ready, Metrics: m.metrics.Handler(log), Log: log}
	if cfg.HTTP.Page && role == "run" {
		m.page = newOverview(m, cfg, log)
		options.View, options.Actions = m.page, m.page
		options.Access = web.Access{Token: cfg.HTTP.Token.Reveal(), UsersFile: cfg.HTTP.BasicAuthFile, ReadOnly: cfg.HTTP.ReadOnly}
	}
	var err error
	m.server, err = web.Listen(options)
	if refused, ok := errors.AsType[*web.AccessError](err); ok {
		return nil, &coded{exitConfig, fmt.Errorf("http.page: %w; mend http.token or http.basic_auth_file, or set http.listen to 127.0.0.1:9464", refused)}
	}
	if err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("http.listen: %w; choose an address of this host and a port that is free, or leave it empty", err)}
	}
	log.Info("health and metrics are served", "address", m.server.Addr())
	switch {
	case m.page != nil:
		log.Info("the status page is served", "url", web.Address(m.server.Addr())+"/", "read_only", cfg.HTTP.ReadOnly)
	case cfg.HTTP.Page:
		log.Info("http.page is for run alone: this role serves health and metrics")
	}
	return m, nil
}

func (m *monitor) close() {
	if m != nil {
		m.server.Close()
		m.page.close()
	}
}

// attach shows the agent, which is at work from now on.
func (m *monitor) attach(g *running) {
	if m != nil {
		now := time.Now().UTC()
		m.checks.Track(web.Check{Name: "queue", State: web.OK, Last: now}, now)
		m.agent.Store(g)
		m.page.attach(g)
	}
}

func (m *monitor) event(e copier.Event) {
	if m == nil {
		return
	}
	m.metrics.Copier(e)
	if e.Kind == copier.Finished { // so that a probe knows since when
		m.sideCheck("destination", messages.Destination)
	}
}

// notified takes the end of a request to an address of the alerts.
func (m *monitor) notified(k notify.Kind, err error) {
	if m != nil {
		m.metrics.Notified(string(k), err)
	}
}

// scanned takes the end of a scan of the loop.
func (m *monitor) scanned(st scanner.Stats, err error) {
	if m == nil {
		return
	}
	m.count(st, err)
	now := time.Now()
	c := web.Check{Name: "source", State: web.OK, Last: now.UTC()}
	if err != nil {
		c.State, c.Last, c.Detail = web.Failing, time.Time{}, "the last scan failed: "+string(messages.ClassOf(err))
	}
	m.scanMu.Lock()
	defer m.scanMu.Unlock()
	m.scan = m.checks.Track(c, now)
}

// verified takes the last comparison of source, ledger and destination.
func (m *monitor) verified(v messages.Verification) {
	if m != nil && m.does.Scans {
		m.metrics.Verified(v)
	}
}

// count takes the end of any scan.
func (m *monitor) count(st scanner.Stats, err error) {
	if m != nil {
		m.metrics.Scanned(st, err)
		m.page.scanned(st.Published, st.From)
	}
}

// violated takes something that must never happen.
func (m *monitor) violated(i messages.Invariant) {
	if m != nil {
		m.metrics.Violated(i)
	}
}

// swept takes that an upload without an owner was ended.
func (m *monitor) swept() {
	if m != nil {
		m.metrics.Swept()
	}
}

// unnoted takes how many uploads are at the destination that nobody knows of.
func (m *monitor) unnoted(n int, err error) {
	if m != nil {
		m.metrics.Unnoted(n, err == nil)
	}
}

// uploadsTime bounds the look at the open uploads, for which the next scan waits.
const uploadsTime = 10 * time.Second

// lookAtUploads reads what the ledger notes of open uploads. It is asked after a
// scan and not at each scrape, since each file that was ever sent in parts has left
// a trace there that has to be read.
func (m *monitor) lookAtUploads(ctx context.Context, ledger *nats.Ledger, log *slog.Logger) {
	if m == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, uploadsTime)
	defer cancel()
	notes, err := ledger.Uploads(ctx)
	if err != nil {
		m.metrics.NoUploads()
		log.Warn("the open uploads are not known", "err", err)
		return
	}
	open, oldest := 0, time.Time{}
	for _, n := range notes {
		if open += len(n.Upload.Abandoned); n.Upload.ID != "" {
			open++
		}
		if at := n.Upload.Started; !at.IsZero() && (oldest.IsZero() || at.Before(oldest)) {
			oldest = at
		}
	}
	m.metrics.Uploads(open, oldest)
}

// ready judges each dependency. Its details hold classes of errors, which give
// nothing away; `status` and the log have the texts.
func (m *monitor) ready(ctx context.Context) web.Readiness {
	now := time.Now()
	r := web.Readiness{Role: m.role, Version: version(), Started: m.started}
	r.Checks = append(r.Checks, m.checks.Track(m.queueCheck(ctx), now), m.sourceCheck())
	if m.does.Copies {
		r.Checks = append(r.Checks, m.sideCheck("destination", messages.Destination))
	}
	if p := m.paused(); p != nil { // by whom and why is told to those who may ask for more
		r.PausedSince = p.At
	}
	return r.Judge(now)
}

// paused is nil while nobody holds the queue back, as far as the process knows.
func (m *monitor) paused() *messages.Pause {
	if g := m.agent.Load(); g != nil {
		return g.board.Status().Paused
	}
	return nil
}

func (m *monitor) queueCheck(ctx context.Context) web.Check {
	c := web.Check{Name: "queue", State: web.Failing}
	g := m.agent.Load()
	if g == nil {
		c.Since, c.Detail = m.started, "waiting for the queue"
		return c
	}
	err := g.conn.Health()
	if err == nil {
		_, err = m.status(ctx)
	}
	if err != nil {
		c.Detail = "it does not answer: " + string(messages.ClassOf(err))
		return c
	}
	c.State, c.Last = web.OK, time.Now().UTC()
	return c
}

// sourceCheck takes the last scan and the gate together, as far as the role has them.
func (m *monitor) sourceCheck() web.Check {
	if !m.does.Scans {
		return m.sideCheck("source", messages.Source)
	}
	if g := m.gate(); g.Open && g.Side == messages.Source {
		return m.sideCheck("source", messages.Source)
	}
	m.scanMu.Lock()
	defer m.scanMu.Unlock()
	return m.scan
}

// sideCheck is a side as the copiers find it.
func (m *monitor) sideCheck(name string, side messages.Side) web.Check {
	c := web.Check{Name: name, State: web.Pending, Since: m.started, Detail: "no file has been copied yet"}
	g := m.agent.Load()
	if g == nil {
		return c
	}
	if last := g.board.Status().LastCopied; last != nil {
		c.State, c.Since, c.Last, c.Detail = web.OK, time.Time{}, last.Ended, ""
	}
	if s := g.gate.State(); s.Open && s.Side == side {
		c.State, c.Since, c.Detail = web.Failing, s.Since, "it fails for every file: "+string(s.Class)
	}
	return m.checks.Track(c, time.Now())
}

var errNotOpen = errors.New("the queue is not open yet")

// status is what the queue holds, as of at most a few seconds ago.
func (m *monitor) status(ctx context.Context) (nats.Status, error) {
	g := m.agent.Load()
	if g == nil {
		return nats.Status{}, errNotOpen
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked.IsZero() || time.Since(m.asked) >= queueFresh {
		// Not the caller's end, which says nothing of the queue.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		m.queue, m.err = g.conn.Status(ctx, g.assets)
		m.asked = time.Now()
	}
	return m.queue, m.err
}

func (m *monitor) askQueue(ctx context.Context) (web.Queue, error) {
	s, err := m.status(ctx)
	return web.Queue{
		Live: s.Live.Waiting, Backfill: s.Backfill.Waiting,
		InFlight: s.Live.InFlight + s.Backfill.InFlight, Dead: s.Dead,
		OldestLive: s.Live.Oldest, OldestBackfill: s.Backfill.Oldest,
	}, err
}

func (m *monitor) interval() time.Duration {
	if g := m.agent.Load(); g != nil {
		return g.settings().Agent.PollInterval.Std()
	}
	return m.poll
}

func (m *monitor) inFlight() int {
	if g := m.agent.Load(); g != nil {
		return len(g.board.Status().InFlight)
	}
	return 0
}

func (m *monitor) gate() copier.GateState {
	if g := m.agent.Load(); g != nil {
		return g.gate.State()
	}
	return copier.GateState{}
}

func (m *monitor) parts() (inUse, limit int) {
	if g := m.agent.Load(); g != nil {
		return g.copies.Budget.InUse(), g.copies.Budget.Limit()
	}
	return 0, partBuffers
}

// slots are how many files may be copied at once now, and how many are configured.
func (m *monitor) slots() (allowed, configured int) {
	if g := m.agent.Load(); g != nil {
		return g.limits.SlotsAllowed(), g.settings().Agent.MaxConcurrentTransfers
	}
	return 0, 0
}

// share is the part of the limits of this process in a second; 0 is without a limit.
func (m *monitor) share() (bytes, requests float64) {
	if g := m.agent.Load(); g != nil {
		r := g.limits.Rates()
		return r.Bytes, r.Requests
	}
	return 0, 0
}

// healthWait is how long healthcheck waits for an answer.
const healthWait = 5 * time.Second

func (a *app) healthcheckCommand() *cobra.Command {
	var live bool
	var url string
	cmd := &cobra.Command{
		Use: "healthcheck", Short: "Ask the agent at http.listen whether it is ready (exit 1: it is not)", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent healthcheck\n  oracle-focus-agent healthcheck --live",
		Long: `Ask the agent that listens at http.listen on this host whether it is ready, print
one line and end with 0 or 1: for the health checks of containers without a shell.
--url asks any other server that answers 200 when it is well, such as
http://127.0.0.1:8222/healthz?js-enabled-only=true of nats-server.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if url != "" {
				return a.probe(cmd.Context(), url)
			}
			return a.healthcheck(cmd.Context(), live)
		},
	}
	cmd.Flags().BoolVar(&live, "live", false, "ask only whether the process is alive")
	cmd.Flags().StringVar(&url, "url", "", "ask this address, and read no configuration")
	cmd.MarkFlagsMutuallyExclusive("live", "url")
	return cmd
}

func (a *app) healthcheck(ctx context.Context, live bool) error {
	cfg, _, err := a.load()
	if err != nil {
		return &coded{exitError, err}
	}
	if cfg.HTTP.Listen == "" {
		return &coded{exitError, errors.New("http.listen is not set, so that there is nobody to ask; set it (FOCUS_HTTP_LISTEN)")}
	}
	path := web.ReadyPath
	if live {
		path = web.LivePath
	}
	return a.probe(ctx, web.Address(cfg.HTTP.Listen)+path)
}

func (a *app) probe(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, healthWait)
	defer cancel()
	line, err := web.Ask(ctx, url)
	if err != nil {
		return &coded{exitError, err}
	}
	fmt.Fprintln(a.env.Stdout, line)
	return nil
}
