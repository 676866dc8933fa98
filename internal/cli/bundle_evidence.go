package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
)

// Evidence is what the queue and the ledger can tell: by the running agent or,
// where none runs, by themselves.
type evidence struct {
	held  func(context.Context) (held, error)
	queue func(context.Context) (nats.Status, error)
	page  pages
}

// evidence opens the queue only where no agent has it.
func (a *app) evidence(ctx context.Context, cfg *config.Config) (e evidence, closeEvidence func() error, err error) {
	closeEvidence = func() error { return nil }
	if cfg.State.Dir != "" {
		var s agent.Status
		err := askQuickly(ctx, cfg, "/v1/status", struct{}{}, &s)
		if err == nil && s.Phase != agent.Starting {
			return askedEvidence(cfg), closeEvidence, nil
		}
		if err == nil {
			err = errors.New(s.Problem)
		}
		if !errors.Is(err, agent.ErrNotRunning) {
			return e, closeEvidence, err
		}
	}
	r := &route{cfg: cfg, log: quietLog()}
	if err = r.lockEmbedded(); err == nil {
		err = r.connectQueue(ctx, "support")
	}
	if err == nil {
		r.ledger, err = r.conn.Ledger(ctx, r.assets.State, cfg.OCI.Name)
	}
	queue := func(ctx context.Context) (nats.Status, error) { return r.conn.Status(ctx, r.assets) }
	return evidence{r.held, queue, r.statePage}, r.close, err
}

func askedEvidence(cfg *config.Config) evidence {
	return evidence{
		func(ctx context.Context) (h held, err error) {
			return h, askQuickly(ctx, cfg, "/v1/held", struct{}{}, &h)
		},
		func(ctx context.Context) (s nats.Status, err error) {
			return s, askQuickly(ctx, cfg, "/v1/queue", struct{}{}, &s)
		},
		func(ctx context.Context, after string) (p statePage, err error) {
			return p, askQuickly(ctx, cfg, "/v1/state", after, &p)
		},
	}
}

// addEvidence adds what e tells; err is why nobody can be asked.
func (b *bundle) addEvidence(ctx context.Context, e evidence, err error) {
	c := comparison{Program: ownVersions()}
	var q nats.Status
	l := ledgerSummary{Statuses: map[messages.Status]int{}, Days: map[messages.Day]map[messages.Status]int{}}
	errHeld, errQueue, errLedger := err, err, err
	if err == nil {
		c.held, errHeld = e.held(ctx)
		q, errQueue = e.queue(ctx)
		l.Unreadable, errLedger = e.page.each(ctx, l.take)
	}
	c.Problems = c.problems()
	b.add("versions.json", c, errHeld)
	b.add("queue.json", q, errQueue)
	b.add("ledger.json", l, errLedger)
	b.add("failures.json", l.failures, errLedger)
}

// A ledgerSummary is what the ledger says of all files together.
type ledgerSummary struct {
	Records  int                                      `json:"records"`
	Statuses map[messages.Status]int                  `json:"statuses"`
	Days     map[messages.Day]map[messages.Status]int `json:"days"`
	// Newest is what was copied last.
	Newest     *messages.FileCopied       `json:"newest,omitempty"`
	Newer      int                        `json:"records_of_a_newer_version,omitempty"`
	Uploads    int                        `json:"open_uploads"`
	Actions    int                        `json:"actions_of_operators"`
	Routes     map[string]json.RawMessage `json:"routes,omitempty"` // identity and marks, by their keys
	Unknown    []string                   `json:"unreadable_records,omitempty"`
	Unreadable []string                   `json:"no_json,omitempty"`

	failures []failedRecord
}

// A failedRecord is that of a file that failed, for good or so far.
type failedRecord struct {
	Object      string          `json:"object"`
	Size        int64           `json:"size"`
	Status      messages.Status `json:"status"`
	Class       messages.Class  `json:"class"`
	Error       string          `json:"error"`
	Attempts    int             `json:"attempts"`
	FirstFailed time.Time       `json:"first_failed,omitzero"`
	At          time.Time       `json:"at"`
	Worker      string          `json:"worker,omitempty"`
	Trace       string          `json:"trace,omitempty"`
}

// mostFailures keeps a bundle small.
const mostFailures = 1000

func (l *ledgerSummary) take(line state.Line) error {
	route, day, _, ok := messages.ParseRecordKey(line.Key)
	if !ok {
		return l.other(line)
	}
	l.Records++
	r, err := messages.DecodeRecord(line.Value)
	switch {
	case errors.Is(err, messages.ErrNewer):
		l.Newer++
		return nil
	case err != nil:
		l.Unknown = append(l.Unknown, fmt.Sprintf("%s of route %s: %v", line.Key, route, err))
		return nil
	}
	l.Statuses[r.Status]++
	if l.Days[day] == nil {
		l.Days[day] = map[messages.Status]int{}
	}
	l.Days[day][r.Status]++
	if c := r.Copy; c != nil && (l.Newest == nil || c.At.After(l.Newest.At)) {
		l.Newest = c
	}
	if r.Class != "" && len(l.failures) < mostFailures {
		l.failures = append(l.failures, failedRecord{r.Object.Name, r.Object.Size, r.Status, r.Class, r.Error, r.Attempts, r.FirstFailed, r.At, r.Worker, r.Trace})
	}
	return nil
}

// other takes what is no record: the identity, the marks and the like of a route, notes
// of uploads, and what operators did.
func (l *ledgerSummary) other(line state.Line) error {
	switch {
	case strings.Contains(line.Key, ".upload."):
		l.Uploads++
		return nil
	case strings.Contains(line.Key, ".audit."):
		l.Actions++
		return nil
	}
	if l.Routes == nil {
		l.Routes = map[string]json.RawMessage{}
	}
	l.Routes[line.Key] = line.Value
	return nil
}
