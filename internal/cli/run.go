package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/daemon"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func addChange(cmd *cobra.Command, c *change) {
	cmd.Flags().BoolVar(&c.accept, "accept-new-destination", false, "the source or destination changed: copy everything again")
	cmd.Flags().BoolVar(&c.moved, "moved", false, "the source or destination changed, but holds the same data")
	cmd.Flags().BoolVar(&c.resend, "resend", false, "begin with an empty ledger, although an earlier one or the Python agent has sent files")
	cmd.MarkFlagsMutuallyExclusive("accept-new-destination", "moved")
}

func (a *app) runCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use: "run", Short: "Scan and copy in the foreground until a signal", Args: cobra.NoArgs,
		Long: `Scan and copy in the foreground until SIGTERM, SIGINT or the command stop.

SIGHUP makes it read the configuration and all credentials again. It takes over
logging.level, agent.poll_interval, agent.lookback_days,
agent.max_concurrent_transfers, limits, retry.max_retries and how oci and s3 are
reached; it names what else is new in the file, which a restart takes over; and where
the file is wrong it says so and goes on as it was.`,
		Example: "  oracle-focus-agent run --config config.yaml",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.run(cmd.Context(), o) },
	}
	addChange(cmd, &o.change)
	addPIDFile(cmd, &o.pidFile)
	cmd.Flags().BoolVar(&o.reports, "report", false, "tell the parent process, which is start, how the start went")
	if err := cmd.Flags().MarkHidden("report"); err != nil {
		panic(err) // unreachable: the flag stands above
	}
	return cmd
}

func (a *app) scannerCommand() *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use: "scanner", Short: "Only scan, and queue for copiers on any host", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent scanner --config config.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.role(cmd.Context(), "scanner", c, func(ctx context.Context, g *running) { g.scan(ctx) })
		},
	}
	addChange(cmd, &c)
	return cmd
}

func (a *app) copierCommand() *cobra.Command {
	return &cobra.Command{
		Use: "copier", Short: "Only copy what scanners queue; run as many as you like", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent copier --config config.yaml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.role(cmd.Context(), "copier", change{}, func(ctx context.Context, g *running) { g.copy(ctx) })
		},
	}
}

// running is an agent at work.
type running struct {
	*route
	board  *agent.Board
	copies *copier.Copier
	// endRound begins the next scan, and unserve ends the service over NATS: both for a
	// reload.
	endRound atomic.Pointer[context.CancelFunc]
	unserve  func()

	mu    sync.Mutex
	syncs map[*agent.Sync]bool // that want to see the copier's events

	verifying     atomic.Bool // a scheduled comparison is at work
	verifications sync.WaitGroup
}

// role runs one of the two roles over an external queue. It takes no lock: any
// number of them may run on one host.
func (a *app) role(ctx context.Context, name string, c change, work func(context.Context, *running)) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if cfg.Embedded() {
		return &coded{exitConfig, fmt.Errorf("%s needs a NATS server that others can reach: set nats.url (FOCUS_NATS_URL or NATS_URL); on one host, `run` needs none", name)}
	}
	hup, forget := hangups()
	defer forget()
	log, closeLog, err := a.logger(cfg, a.env.Stderr)
	if err != nil {
		return err
	}
	defer closeLog()
	r := &route{cfg: cfg, naming: naming, log: log}
	defer func() { err = errors.Join(err, r.close()) }()
	g, err := r.start(ctx, a, name, name, c)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { g.unserve() }()
	log.Info("started", "role", name, "version", version(), "route", cfg.OCI.Name)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	context.AfterFunc(ctx, g.board.Stop)
	defer g.manage(ctx)()
	var displaced error
	var beside sync.WaitGroup
	beside.Go(func() { displaced = g.guard(ctx, stop) })
	beside.Go(func() { g.reloads(ctx, a, hup) })
	beside.Go(func() { g.followPause(ctx, name) })
	work(ctx, g)
	stop()
	beside.Wait()
	log.Info("stopped", "role", name)
	return displaced
}

// start opens the route for a role, which is called shown where others look at it. The
// caller ends the service over NATS; close ends the rest.
func (r *route) start(ctx context.Context, a *app, role, shown string, c change) (g *running, err error) {
	if err := r.findManager(a); err != nil {
		return nil, err
	}
	if r.monitor, err = newMonitor(r.cfg, role, r.log); err != nil {
		return nil, err
	}
	if a.listening != nil && r.monitor != nil {
		a.listening(r.monitor.server.Addr())
	}
	if r.alerts, err = newAlerts(ctx, r.cfg, role, r.monitor, r.log); err != nil {
		return nil, err
	}
	if err := r.open(ctx, role, c); err != nil {
		return nil, err
	}
	g = r.running(shown)
	g.unserve = g.serve(shown)
	return g, nil
}

// interrupted turns what a signal during the start broke into a clean end.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (r *route) running(role string) *running {
	g := &running{route: r, syncs: map[*agent.Sync]bool{}}
	g.board = agent.NewBoard(initialStatus(r.cfg, role))
	r.gate.Changed = g.gateChanged
	g.copies = r.copier()
	g.copies.Observe = g.event
	g.copies.Alive = r.copierPulse
	r.monitor.attach(g)
	r.alerts.attach(g)
	return g
}

// initialStatus is what is known before anything has happened.
func initialStatus(cfg *config.Config, role string) agent.Status {
	return agent.Status{
		Version: version(), PID: os.Getpid(), Role: role, Instance: instance(), Route: cfg.OCI.Name, SinceSet: cfg.Agent.Since != "",
		Source:      fmt.Sprintf("oci://%s@%s/%s", cfg.OCI.Bucket, cfg.OCI.Namespace, cfg.OCI.Prefix),
		Destination: "s3://" + cfg.S3.Bucket() + "/" + cfg.S3.KeyPrefix(),
	}
}

func (g *running) gateChanged(s copier.GateState) {
	g.board.Gate(s)
	g.alerts.gate(s)
	if s.Open {
		g.log.Error("the "+string(s.Side)+" fails for every file; waiting for it", "class", s.Class, "err", s.Err)
		return
	}
	g.log.Info("files are being copied again")
}

func (g *running) event(e copier.Event) {
	g.board.Copier(e)
	g.monitor.event(e)
	g.alerts.copied(e)
	if e.Kind == copier.Progress {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for s := range g.syncs {
		s.Event(e)
	}
}

// scan works until ctx ends. A reload ends a round, and the next one has the new
// settings; what the broken scan did not see, the next one sees.
func (g *running) scan(ctx context.Context) {
	defer g.verifications.Wait()
	for ctx.Err() == nil {
		round, end := context.WithCancel(ctx)
		g.endRound.Store(&end)
		g.scanRound(round, ctx)
		end()
	}
}

// scanRound scans until ctx ends; what goes on beside the scans ends with work.
func (g *running) scanRound(ctx, work context.Context) {
	s := g.scanner()
	s.Alive = g.scannerPulse
	book := g.dayBook()
	s.Observe = func(o scanner.Outcome) {
		g.board.Found(o)
		book.found(o)
		g.alerts.found(o)
	}
	s.Finished = func(st scanner.Stats, err error) {
		days := book.close(ctx, err)
		g.board.Days(days)
		g.monitor.days(days)
		g.scanned(st, err)
		if err == nil {
			g.keep(ctx)
			g.learn(ctx)
			g.verifyBeside(work)
		}
		g.monitor.lookAtUploads(ctx, g.ledger, g.log)
	}
	s.Run(ctx)
}

func (g *running) scanned(st scanner.Stats, err error) {
	wait := scanner.Rest(g.settings().Agent.PollInterval.Std(), err)
	g.board.Scanned(st, err, time.Now().Add(wait))
	g.monitor.scanned(st, err)
	g.alerts.scanned(st, err)
	if err == nil {
		g.log.Info("sync complete", "scan", st.Scan, "discovered", st.Discovered, "queued", st.Published+st.Queued,
			"skipped", st.Done, "failed", st.Failed, "ineligible", ineligible(st), "elapsed", seconds(st.Seconds))
	}
	g.save()
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

func ineligible(st scanner.Stats) (n int) {
	for _, count := range st.Ineligible {
		n += count
	}
	return n
}

func (g *running) copy(ctx context.Context) {
	said := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(said)
		g.log.Info("shutdown signal received, finishing the transfers in flight", "grace", grace)
	})
	defer g.share(ctx)()
	var beside sync.WaitGroup
	beside.Go(func() { g.sweep(ctx) })
	g.copies.Run(ctx)
	beside.Wait()
	if !stop() {
		<-said
	}
}

// save writes the status file, for `status` after the end.
func (g *running) save() {
	if g.server == nil && g.unlock == nil { // a role without a state directory
		return
	}
	if err := agent.WriteStatus(g.cfg.State.Dir, g.board.Status()); err != nil {
		g.log.Warn("the status file could not be written", "err", err)
	}
}

// run is both roles, with the lock, the socket and, without nats.url, the queue.
func (a *app) run(ctx context.Context, o runOptions) (err error) {
	parent, err := o.parent()
	if err != nil {
		return err
	}
	defer func() { parent.Tell(endReport(err)) }() // once it is at work, it has told already
	hup, forget := hangups()
	defer forget()
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if !cfg.Agent.DaemonMode || cfg.Advanced.DryRun {
		return a.sync(ctx, syncOptions{change: o.change, dryRun: cfg.Advanced.DryRun})
	}
	log, closeLog, err := a.agentLog(cfg, o)
	if err != nil {
		return err
	}
	defer closeLog()
	r := &route{cfg: cfg, naming: naming, log: log}
	defer func() { err = errors.Join(err, r.close()) }()
	if r.unlock, err = lockState(cfg); err != nil {
		return err
	}
	r.unlock, err = writePIDFiles(cfg, o.pidFile, r.unlock, func(err error) { log.Warn(err.Error()) })
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	desk, closeDesk, err := openDesk(cfg, stop)
	if err != nil {
		return err
	}
	defer closeDesk()
	g, err := r.start(ctx, a, "run", "agent", o.change)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer func() { g.unserve() }()
	context.AfterFunc(ctx, g.board.Stop)
	desk.agent.Store(g)
	log.Info("started", "version", version(), "route", cfg.OCI.Name, "state", cfg.State.Dir, "interval", cfg.Agent.PollInterval.Std())
	parent.Tell(daemon.Report{Ready: true})
	defer g.manage(ctx)()
	g.firstPlan(ctx, a)
	var displaced error
	var roles sync.WaitGroup
	roles.Go(func() { g.scan(ctx) })
	roles.Go(func() { g.copy(ctx) })
	roles.Go(func() { g.followPause(ctx, "run") })
	roles.Go(func() { g.reloads(ctx, a, hup) })
	roles.Go(func() { displaced = g.guard(ctx, stop) })
	roles.Wait()
	g.save()
	log.Info("stopped")
	return displaced
}

// firstPlan tells what the first run of an installation is about to do.
func (g *running) firstPlan(ctx context.Context, a *app) {
	m, _, err := g.readMarks(ctx)
	if err != nil || m != nil && !m.Scanned.IsZero() {
		return
	}
	p, err := makePlan(ctx, g.scanner(), false)
	if err != nil {
		g.log.Warn("no plan could be made; scanning goes on", "err", err)
		return
	}
	fmt.Fprint(a.env.Stderr, p.text())
}

// learn shows which report days the installation is responsible for, once a scan or a
// backfill has set that.
func (g *running) learn(ctx context.Context) {
	if m, _, err := g.readMarks(ctx); err == nil && m != nil {
		g.board.Responsible(m.Since, m.Ranges)
	}
}

// requests is what the socket of an agent serves once the agent is at work.
func requests() map[string]func(*running, context.Context, []byte) (any, error) {
	return map[string]func(*running, context.Context, []byte) (any, error){
		"/v1/sync":             reading((*running).answerSync),
		"/v1/verify":           reading((*running).answerVerify),
		"/v1/failed":           reading((*running).listFailed),
		"/v1/retry":            reading((*running).answerRetry),
		"/v1/discard":          reading((*running).discardFailed),
		"/v1/file":             reading((*running).story),
		"/v1/backfill":         reading((*running).answerBackfill),
		"/v1/backfill/preview": reading((*running).answerPreview),
		"/v1/pause":            reading((*running).answerPause),
		"/v1/resume":           reading((*running).answerResume),
		"/v1/state":            reading((*running).statePage),
		"/v1/audit":            func(g *running, ctx context.Context, _ []byte) (any, error) { return g.trail(ctx) },
		"/v1/queue":            func(g *running, ctx context.Context, _ []byte) (any, error) { return g.conn.Status(ctx, g.assets) },
		"/v1/report":           reading((*running).answerReport),
		"/v1/held":             func(g *running, ctx context.Context, _ []byte) (any, error) { return g.held(ctx) },
	}
}

// reading is an answer to a request that is read first.
func reading[In, Out any](answer func(*running, context.Context, In) (Out, error)) func(*running, context.Context, []byte) (any, error) {
	return func(g *running, ctx context.Context, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, &agent.Refusal{Text: "read the request: " + err.Error(), Exit: exitError}
		}
		return answer(g, ctx, in)
	}
}

func (g *running) status(ctx context.Context) agent.Status {
	s := g.board.Status()
	s.AtWork = g.copies.AtWork()
	q, err := g.conn.Status(ctx, g.assets)
	s.Queue = queueOf(q)
	if err != nil {
		s.Queue.Error, s.Ready, s.Problem = err.Error(), false, "the queue does not answer: "+err.Error()
	}
	return s
}

func queueOf(q nats.Status) agent.Queue {
	return agent.Queue{
		Live: q.Live.Waiting, Backfill: q.Backfill.Waiting,
		InFlight: q.Live.InFlight + q.Backfill.InFlight, DeadLetters: q.Dead,
		Leader: q.Leader, Lagging: q.Lagging,
	}
}

// answerSync scans at once, beside the loop, and waits for the result: two
// scanners at once are harmless.
func (g *running) answerSync(ctx context.Context, o syncRequest) (any, error) {
	if err := g.sameRoute(o.Identity); err != nil {
		return nil, err
	}
	ctx, cancel := within(ctx, o.Timeout)
	defer cancel()
	if o.DryRun {
		return makePlan(ctx, g.scanner(), o.Force)
	}
	if o.Force {
		if err := g.orderAgain(ctx); err != nil {
			return syncAnswer{agent.Summary{Failures: []agent.Failure{}}, err.Error(), exitCode(err)}, nil
		}
	}
	s := g.sync()
	s.Scanner.Finished = g.monitor.count
	defer g.follow(s)()
	sum, err := s.Run(ctx)
	if errors.Is(err, context.Canceled) { // whoever asked would not be there to read it
		err = errors.New("the agent was stopped before the sync ended")
	}
	return syncAnswer{sum, errText(err), exitOf(sum, err)}, nil
}

// sameRoute refuses a caller whose configuration means another source or
// destination than this agent was started with: else a changed bucket_path
// would read as "all done".
func (g *running) sameRoute(caller messages.Identity) error {
	differences := g.identity.Differences(caller)
	if len(differences) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString("the running agent was started for another source or destination:\n")
	for _, d := range differences {
		fmt.Fprintf(&b, "  %s: the agent has %q, the configuration now %q\n", d.Field, d.Old, d.New)
	}
	b.WriteString("nothing was copied; stop the agent and start it again, which names the ways out")
	return &agent.Refusal{Text: b.String(), Exit: exitConfig}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// quietLog is for the parts of a process that should not be heard.
func quietLog() *slog.Logger { return slog.New(slog.DiscardHandler) }
