package cli

import (
	"cmp"
	"context"
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
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

const (
	// queueEvery is the time between two looks at the queue.
	queueEvery = 5 * time.Second
	// scansFailed in a row are told; one alone is often over at the next.
	scansFailed = 2
	// opening is how long the queue may take at the start.
	opening = time.Minute
)

// Alerts judge what is worth telling. They tell nobody where they are nil.
type alerts struct {
	notifier *notify.Notifier
	route    string
	after    time.Duration
	agent    atomic.Pointer[running] // nil until everything is open
	stop     context.CancelFunc
	watching sync.WaitGroup

	failed  int       // scans in a row
	failing time.Time // since when they fail
	dead    deadLetters

	mu    sync.Mutex
	queue error // what the last scan met there
}

// newAlerts begins where an address is configured. With the end of ctx it sends
// what is due, beside the work that ends.
func newAlerts(ctx context.Context, cfg *config.Config, role string, m *monitor, log *slog.Logger) (*alerts, error) {
	if !cfg.Alerts.HeartbeatURL.IsSet() && !cfg.Alerts.WebhookURL.IsSet() {
		return nil, nil
	}
	notifier, err := newNotifier(cfg, role, m, log)
	if err != nil {
		return nil, err
	}
	al := &alerts{notifier: notifier, route: cfg.OCI.Name, after: cfg.Alerts.WebhookAfter.Std(), dead: deadLetters{files: map[string]deadLetter{}}}
	ctx, al.stop = context.WithCancel(ctx)
	al.watching.Go(func() {
		if role != "copier" { // scanners tell of the queue, since they are fewer
			al.watchQueue(ctx)
		}
		<-ctx.Done()
		notifier.Close()
	})
	return al, nil
}

func newNotifier(cfg *config.Config, role string, m *monitor, log *slog.Logger) (*notify.Notifier, error) {
	host, _ := os.Hostname()
	n, err := notify.New(notify.Options{
		Heartbeat: cfg.Alerts.HeartbeatURL.Reveal(), Webhook: cfg.Alerts.WebhookURL.Reveal(),
		Route: cfg.OCI.Name, Instance: role + "/" + host, Version: version(), Sent: m.notified, Log: log,
	})
	if err != nil {
		return nil, &coded{exitConfig, err}
	}
	return n, nil
}

func (al *alerts) close() {
	if al != nil {
		al.stop()
		al.watching.Wait()
	}
}

// attach shows the agent, which is at work from now on.
func (al *alerts) attach(g *running) {
	if al != nil {
		al.agent.Store(g)
	}
}

// scanned takes the end of a scan of the loop.
func (al *alerts) scanned(st scanner.Stats, err error) {
	if al == nil {
		return
	}
	al.scanMet(err)
	switch class := messages.ClassOf(err); {
	case err == nil:
		al.failed = 0
		al.notifier.Clear(notify.Scan, "the source is listed again")
		al.notifier.Beat()
	case class == messages.Queue: // watchQueue tells of it
	default:
		if al.failed++; al.failed == 1 {
			al.failing = time.Now()
		}
		if al.failed >= scansFailed || class.Credentials() {
			f := failure(notify.Scan, "the source cannot be listed", err)
			f.Since = al.failing
			al.notifier.Raise(f)
		}
	}
	al.tellDead(st, err)
}

// scanMet keeps what a scan met at the queue: it asks more of it than a look.
func (al *alerts) scanMet(err error) {
	al.mu.Lock()
	defer al.mu.Unlock()
	if al.queue = nil; err != nil && messages.ClassOf(err) == messages.Queue {
		al.queue = err
	}
}

// gate takes a change of the copier's gate.
func (al *alerts) gate(s copier.GateState) {
	if al == nil {
		return
	}
	if !s.Open {
		al.notifier.Clear(notify.Source, "files come from the source again")
		al.notifier.Clear(notify.Destination, "files reach the destination again")
		return
	}
	c, what := notify.Source, "no file can be read from the source"
	if s.Side == messages.Destination {
		c, what = notify.Destination, "no file can be written to the destination"
	}
	f := failure(c, what, s.Err)
	f.Since, f.After = s.Since, al.after
	if s.Class.Credentials() {
		f.After = 0 // nothing but an operator ends it
	}
	al.notifier.Raise(f)
}

// failure puts an error into the words of a message.
func failure(c notify.Condition, what string, err error) notify.Failure {
	class, text := messages.ClassOf(err), err.Error()
	remedy := "run `oracle-focus-agent test` with the configuration of this instance: each line says what is wrong and what to do"
	if c == notify.Queue {
		remedy = "check the NATS servers of nats.url, and read the log of this instance"
	}
	if f, ok := errors.AsType[*messages.Fault](err); ok && f.Remedy != "" {
		remedy, text = f.Remedy, strings.Replace(text, "; "+f.Remedy, "", 1)
	}
	return notify.Failure{Condition: c, Class: string(class), Text: fmt.Sprintf("%s (%s): %s", what, class, text), Remedy: remedy}
}

func (al *alerts) watchQueue(ctx context.Context) {
	tick := time.NewTicker(queueEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		asked, after := time.Now(), al.after
		err := al.askQueue(ctx)
		if errors.Is(err, errNotOpen) {
			after = max(after, opening)
		}
		switch {
		case ctx.Err() != nil:
		case err != nil:
			f := failure(notify.Queue, "the queue does not answer", err)
			f.Since, f.After = asked, after
			al.notifier.Raise(f)
		default:
			al.notifier.Clear(notify.Queue, "the queue answers again")
		}
	}
}

// askQueue reads one key of the ledger, for which the broker must be able to
// serve what it stores.
func (al *alerts) askQueue(ctx context.Context) error {
	g := al.agent.Load()
	if g == nil {
		return &messages.Fault{Class: messages.Queue, Err: errNotOpen}
	}
	if err := g.conn.Health(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, queueEvery)
	defer cancel()
	_, _, err := g.ledger.Read(ctx, messages.MarksKey(al.route))
	if ctx.Err() != nil {
		err = &messages.Fault{Class: messages.Queue, Op: "read the ledger", Err: fmt.Errorf("no answer within %v", queueEvery)}
	}
	al.mu.Lock()
	defer al.mu.Unlock()
	return cmp.Or(err, al.queue)
}

// deadLetters are the files that scans found to be given up.
type deadLetters struct {
	files map[string]deadLetter // by object name
	round int                   // the scan
}

type deadLetter struct {
	day   messages.Day
	class messages.Class
	round int // in which it was last listed
	told  bool
}

// found takes what the loop's scan found of one object. What was ordered again
// counts as given up until it has arrived.
func (al *alerts) found(o scanner.Outcome) {
	if al == nil {
		return
	}
	known, dead := al.dead.files[o.Object.Name]
	switch {
	case o.Finding == scanner.Failed && o.Record.Status == messages.StatusFailed:
		known.day, known.class = o.Report.Day, o.Record.Class
	case !dead:
		return
	case o.Finding == scanner.Done || o.Finding == scanner.Ineligible:
		delete(al.dead.files, o.Object.Name)
		return
	}
	known.round = al.dead.round
	al.dead.files[o.Object.Name] = known
}

// tellDead tells of the files that were given up, once for all that a scan adds.
func (al *alerts) tellDead(st scanner.Stats, err error) {
	round := al.dead.round
	al.dead.round++
	if err != nil { // what it did not list may be there all the same
		return
	}
	var fresh []string
	for name, d := range al.dead.files {
		switch {
		case d.round != round && d.day >= st.From: // the source has it no more
			delete(al.dead.files, name)
		case !d.told:
			d.told = true
			al.dead.files[name] = d
			fresh = append(fresh, name)
		}
	}
	switch all := len(al.dead.files); {
	case len(fresh) > 0:
		al.notifier.Raise(al.deadFailure(fresh, all))
	case all == 0:
		al.notifier.Clear(notify.DeadLetters, "no file that was given up is left")
	}
}

func (al *alerts) deadFailure(fresh []string, all int) notify.Failure {
	class := al.dead.files[fresh[0]].class
	text := fmt.Sprintf("%d files were given up, %d in all, such as %s (%s)", len(fresh), all, fresh[0], class)
	if all == 1 {
		text = fmt.Sprintf("a file was given up: %s (%s)", fresh[0], class)
	}
	return notify.Failure{
		Condition: notify.DeadLetters, Class: string(class), Text: text, Again: true,
		Remedy: "`oracle-focus-agent failed list` says why, and `oracle-focus-agent failed retry --all` orders another copy",
	}
}

func (a *app) alertsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "alerts", Short: "Try the address that is told of failures", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it cobra takes any word for a call for help
	}
	cmd.AddCommand(&cobra.Command{
		Use: "test", Short: "Send a test message to alerts.webhook_url (exit 1: it was not taken)", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent alerts test --config config.yaml",
		Long: `Send a message that is marked as a test to alerts.webhook_url, print what was
answered and end with 0 or 1. The heartbeat is not pinged: that would report a scan
that was not made.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.alertsTest(cmd.Context()) },
	})
	return cmd
}

func (a *app) alertsTest(ctx context.Context) error {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if cfg.Alerts.HeartbeatURL.IsSet() {
		a.line("-", "heartbeat", "not pinged by a test, which would report a scan that was not made; each complete scan of run or scanner pings it")
	}
	if !cfg.Alerts.WebhookURL.IsSet() {
		return &coded{exitConfig, errors.New("alerts.webhook_url is not set, so that there is nobody to tell; set FOCUS_ALERTS_WEBHOOK_URL, or name a file that holds it in FOCUS_ALERTS_WEBHOOK_URL_FILE")}
	}
	n, err := newNotifier(cfg, "test", nil, quietLog())
	if err != nil {
		return err
	}
	defer n.Close()
	answer, err := n.Test(ctx, notify.Webhook)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		a.line("FAIL", "webhook", err.Error())
		return quietly(exitError)
	}
	a.line("ok", "webhook", strings.TrimSpace(fmt.Sprintf("%s answered %d %s", answer.Host, answer.Status, answer.Text)))
	return nil
}
