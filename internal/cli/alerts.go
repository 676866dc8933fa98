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
	opened   chan struct{}           // closed then
	stop     context.CancelFunc
	watching sync.WaitGroup

	failed   int       // scans in a row
	failing  time.Time // since when they fail
	dead     watchlist // by class
	expiring watchlist

	mu    sync.Mutex
	queue error // what the last scan met there
}

// newAlerts begins where an address is configured. With the end of ctx it sends
// what is due, beside the work that ends.
func newAlerts(ctx context.Context, cfg *config.Config, role string, m *monitor, log *slog.Logger) (*alerts, error) {
	if !cfg.Alerts.HeartbeatURL.IsSet() && !cfg.Alerts.Tells() {
		return nil, nil
	}
	notifier, err := newNotifier(cfg, role, m, log)
	if err != nil {
		return nil, err
	}
	al := &alerts{notifier: notifier, route: cfg.OCI.Name, after: cfg.Alerts.WebhookAfter.Std(), opened: make(chan struct{})}
	al.dead.files, al.expiring.files = map[string]watched{}, map[string]watched{}
	ctx, al.stop = context.WithCancel(ctx)
	var watches sync.WaitGroup
	if role != "copier" { // scanners tell of the queue and of the day, since they are fewer
		watches.Go(func() { al.watchQueue(ctx) })
		if cfg.Alerts.DigestAt != "" && cfg.Alerts.Tells() {
			watches.Go(func() { al.watchDigest(ctx, cfg.Alerts.DigestAt, log) })
		}
	}
	al.watching.Go(func() {
		<-ctx.Done()
		watches.Wait()
		notifier.Close()
	})
	return al, nil
}

func newNotifier(cfg *config.Config, role string, m *monitor, log *slog.Logger) (*notify.Notifier, error) {
	host, _ := os.Hostname()
	mail := cfg.Alerts.Email
	n, err := notify.New(notify.Options{
		Heartbeat: cfg.Alerts.HeartbeatURL.Reveal(), Webhook: cfg.Alerts.WebhookURL.Reveal(),
		Slack: cfg.Alerts.SlackURL.Reveal(), Teams: cfg.Alerts.TeamsURL.Reveal(),
		Email: notify.Mail{
			Host: mail.Host, Port: mail.Port, Username: mail.Username, Password: mail.Password.Reveal(),
			From: mail.From, To: mail.To.List(), Security: notify.Security(mail.TLS), CA: mail.CA,
		},
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
		close(al.opened)
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
	al.tellFiles(st, err)
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
