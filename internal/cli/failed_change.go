package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A failedChange is a request to try files again, or to discard them.
type failedChange struct {
	selection
	By     string `json:"by"`
	Reason string `json:"reason,omitempty"`

	yes, dryRun, json, noWait bool
	timeout                   time.Duration
}

// A changed is what became of them.
type changed struct {
	// Files are the objects that were ordered again, or discarded.
	Files []string `json:"files"`
	// DryRun: nothing was done.
	DryRun bool `json:"dry_run,omitempty"`
	// Copied is the result of the copies, where this process made them.
	Copied *agent.Summary `json:"copied,omitempty"`
}

func (c *failedChange) flags(cmd *cobra.Command) {
	c.selection.flags(cmd)
	cmd.Flags().BoolVar(&c.all, "all", false, "every file that was given up")
	cmd.Flags().BoolVar(&c.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&c.dryRun, "dry-run", false, "show which files these are and change nothing")
	cmd.Flags().BoolVar(&c.json, "json", false, "print the result as one JSON object")
}

func (a *app) failedRetryCommand() *cobra.Command {
	var c failedChange
	cmd := &cobra.Command{
		Use: "retry [--all | NAME ...]", Short: "Order another copy of files that were given up",
		Long: `Order another copy of files that were given up: of those that are named, of a cause,
of a day, or of all. It shows them by cause and asks. A running agent, and copiers on
other hosts, take the order at once; where no agent runs here, this command copies the
files itself and ends like sync, unless --no-wait.

A file that was discarded can be named, too.`,
		Example: "  oracle-focus-agent failed retry --all\n  oracle-focus-agent failed retry --cause held --day 2026-11-21 --yes\n  oracle-focus-agent failed retry 0001000002103533-00001.csv.gz",
		RunE: func(cmd *cobra.Command, names []string) error {
			c.Names = names
			if err := c.check(true); err != nil {
				return err
			}
			if c.timeout < 0 {
				return &coded{exitConfig, fmt.Errorf("--timeout %v: it must not be negative", c.timeout)}
			}
			return a.failedRetry(cmd.Context(), c)
		},
	}
	c.flags(cmd)
	cmd.ValidArgsFunction = a.failedNames
	cmd.Flags().BoolVar(&c.noWait, "no-wait", false, "only order: the next run or sync copies")
	cmd.Flags().DurationVar(&c.timeout, "timeout", 0, "where this command copies: give up after this time")
	return cmd
}

func (a *app) failedDiscardCommand() *cobra.Command {
	var c failedChange
	cmd := &cobra.Command{
		Use: "discard [--all | NAME ...]", Short: "Give files up for good, with a reason that is kept",
		Long: `Give files up for good: no scan reports them as failed any more, and nothing copies
them until Oracle writes another version. What stands at the destination stays: of a
file of class held that is the old copy. The dead letter stays as history, and the
reason in the audit trail. "failed retry NAME" takes it back.`,
		Example: "  oracle-focus-agent failed discard 0001000002103533-00001.csv.gz --reason 'Oracle confirmed: a test file'\n  oracle-focus-agent failed discard --cause held --reason 'the old amounts are booked' --yes",
		RunE: func(cmd *cobra.Command, names []string) error {
			c.Names = names
			if err := errors.Join(c.check(true), checkReason(c.Reason, "say why these files may be missing at the destination")); err != nil {
				return &coded{exitConfig, err}
			}
			return a.failedDiscard(cmd.Context(), c)
		},
	}
	c.flags(cmd)
	cmd.ValidArgsFunction = a.failedNames
	cmd.Flags().StringVar(&c.Reason, "reason", "", "why, in your words; it is kept in the audit trail")
	return cmd
}

// choose shows what a change is about and asks. From then on the change is about what
// was shown: a file that fails meanwhile is not of it. goOn is false where nothing is to
// be done.
func (a *app) choose(ctx context.Context, c *failedChange, files []failedFile, question string) (goOn bool, err error) {
	for _, f := range files {
		if f.At.After(c.Until) {
			c.Until = f.At
		}
	}
	if !c.json {
		if err := a.printFailed(files, c.dryRun || len(files) <= 20); err != nil {
			return false, err
		}
	}
	if len(files) == 0 || c.dryRun {
		names := []string{}
		for _, f := range files {
			names = append(names, f.Object)
		}
		return false, a.printChanged(*c, changed{Files: names, DryRun: true}, "")
	}
	return true, a.confirm(ctx, c.yes, fmt.Sprintf(question, counted(len(files), "file")))
}

const askRetry = "Copy %s again?"

func (a *app) failedRetry(ctx context.Context, c failedChange) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	var files []failedFile
	err = agent.ErrNotRunning
	if cfg.State.Dir != "" {
		err = askQuickly(ctx, cfg, "/v1/failed", c.selection, &files)
	}
	if errors.Is(err, agent.ErrNotRunning) {
		return a.retryAlone(ctx, cfg, naming, c)
	}
	if err != nil {
		return err
	}
	if ok, err := a.choose(ctx, &c, files, askRetry); !ok || err != nil {
		return err
	}
	c.By = operator()
	done := []string{}
	err = agent.Ask(ctx, cfg.State.Dir, "/v1/retry", c, &done)
	return errors.Join(err, a.printChanged(c, changed{Files: done}, "will be copied by the running agent"))
}

// retryAlone orders and, unless --no-wait, copies.
func (a *app) retryAlone(ctx context.Context, cfg *config.Config, naming messages.Naming, c failedChange) error {
	return a.alone(ctx, cfg, naming, "retry", change{}, func(r *route, begin func() *progress) error {
		files, err := r.listFailed(ctx, c.selection)
		if err != nil {
			return err
		}
		if ok, err := a.choose(ctx, &c, files, askRetry); !ok || err != nil {
			return err
		}
		ordered, err := r.retryFailed(ctx, c)
		done := changed{Files: namesOf(ordered)}
		if err != nil || c.noWait {
			return errors.Join(err, a.printChanged(c, done, "will be copied by a running agent or copier, or by the next run or sync"))
		}
		if !c.json {
			a.printFiles("ordered", done.Files)
		}
		ctx, cancel := within(ctx, c.timeout)
		defer cancel()
		s := r.sync()
		s.Find = r.await(ordered)
		p := begin()
		sum, err := r.syncObserved(ctx, s, p, func(copier.Event) {})
		p.end()
		done.Copied = &sum
		return a.closeWork(work{title: "Retry", json: c.json, value: done}, sum, errText(err), exitOf(sum, err))
	})
}

// await tells a sync of the files that were ordered, and queues those again whose
// message was lost while it waits.
func (r *route) await(ordered []nats.Entry) func(context.Context, func(scanner.Outcome)) (scanner.Stats, error) {
	publisher := r.publisher()
	return func(ctx context.Context, found func(scanner.Outcome)) (st scanner.Stats, err error) {
		for _, e := range ordered {
			if found == nil {
				if err := r.queueAgain(ctx, e, publisher); err != nil {
					return st, err
				}
				continue
			}
			found(scanner.Outcome{
				Object: e.Record.Object, Report: messages.Report{Day: e.Day, Basename: e.Basename},
				Lane: r.lane(e.Day), Finding: scanner.Published, Record: e.Record,
			})
		}
		return st, nil
	}
}

// queueAgain queues the file of an order that has not come to an end.
func (r *route) queueAgain(ctx context.Context, e nats.Entry, p scanner.Publisher) error {
	raw, _, err := r.ledger.Read(ctx, e.Key)
	if err != nil {
		return err
	}
	if now, err := messages.DecodeRecord(raw); err != nil || now.Status.Final() {
		return err
	}
	return r.queue(ctx, e, p)
}

func namesOf(entries []nats.Entry) []string {
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Record.Object.Name)
	}
	return names
}

// retryFailed orders the chosen files again; what it returns are their records from
// before. The order of each is written to the ledger first and then published: a crash
// in between leaves a record that is due, and the next scan or sweep publishes it.
func (r *route) retryFailed(ctx context.Context, c failedChange) (ordered []nats.Entry, err error) {
	entries, err := c.entries(ctx, r.ledger)
	if err != nil || len(entries) == 0 {
		return nil, err
	}
	if err := r.audit(ctx, c.action("failed retry", entries)); err != nil {
		return nil, err
	}
	publisher := r.publisher()
	for _, e := range entries {
		if err := r.order(ctx, e, publisher); err != nil {
			return ordered, fmt.Errorf("order %s: %w", e.Record.Object.Name, err)
		}
		ordered = append(ordered, e)
	}
	return ordered, nil
}

func (c failedChange) action(what string, entries []nats.Entry) messages.Action {
	return messages.Action{
		Action: what, By: c.By, Reason: c.Reason, Detail: c.selection.String(), Count: len(entries), Files: namesOf(entries),
	}
}

// order makes the file of an entry due and queues it.
func (r *route) order(ctx context.Context, e nats.Entry, p scanner.Publisher) error {
	due := e.Record.Ordered(e.Record.Object, e.Record.Epoch, time.Now())
	raw, err := due.Encode()
	if err != nil {
		return err
	}
	if _, err := r.ledger.Write(ctx, e.Key, raw, e.Revision); err != nil {
		return err
	}
	return r.queue(ctx, e, p)
}

// queue publishes the order that follows an entry. A file that waits already, or is
// being copied, is not queued twice.
func (r *route) queue(ctx context.Context, e nats.Entry, p scanner.Publisher) error {
	_, err := p.Publish(ctx, r.lane(e.Day), messages.FileDiscovered{
		Route: r.cfg.OCI.Name, Object: e.Record.Object, Generation: e.Record.Generation + 1, Epoch: e.Record.Epoch,
		Discovered: time.Now().UTC(), Trace: rand.Text()[:12],
	})
	return err
}

// lane is where a file of a day waits: those before the usual window never delay fresh ones.
func (r *route) lane(d messages.Day) messages.Lane {
	if d < r.windowStart() {
		return messages.Backfill
	}
	return messages.Live
}

func (a *app) failedDiscard(ctx context.Context, c failedChange) error {
	files := []failedFile{}
	list := func(r *route) (err error) {
		files, err = r.listFailed(ctx, c.selection)
		return err
	}
	if err := a.ask(ctx, "/v1/failed", c.selection, &files, list); err != nil {
		return err
	}
	if ok, err := a.choose(ctx, &c, files, "Discard %s? What is missing at the destination stays missing."); !ok || err != nil {
		return err
	}
	c.By = operator()
	done := []string{}
	err := a.askPatiently(ctx, "/v1/discard", c, &done, func(r *route) (err error) {
		done, err = r.discardFailed(ctx, c)
		return err
	})
	return errors.Join(err, a.printChanged(c, changed{Files: done}, "discarded; `oracle-focus-agent audit` shows who and why"))
}

// discardFailed gives the chosen files up for good, each by one write that takes place
// only while it is still failed. A crash in the middle leaves the rest failed.
func (r *route) discardFailed(ctx context.Context, c failedChange) (done []string, err error) {
	entries, err := c.entries(ctx, r.ledger)
	done = []string{}
	if err != nil || len(entries) == 0 {
		return done, err
	}
	if err := r.audit(ctx, c.action("failed discard", entries)); err != nil {
		return done, err
	}
	for _, e := range entries {
		ok, err := r.discard(ctx, e)
		if err != nil {
			return done, fmt.Errorf("discard %s: %w", e.Record.Object.Name, err)
		}
		if ok {
			done = append(done, e.Record.Object.Name)
		}
	}
	return done, nil
}

// discard is false where the file is not failed any more: a new version came, or
// another operator was faster.
func (r *route) discard(ctx context.Context, e nats.Entry) (ok bool, err error) {
	for range 5 {
		if e.Record.Status != messages.StatusFailed {
			return false, nil
		}
		given := e.Record // with its copy, class, error and attempts
		given.Status, given.At = messages.StatusDiscarded, time.Now().UTC()
		raw, err := given.Encode()
		if err != nil {
			return false, err
		}
		if _, err = r.ledger.Write(ctx, e.Key, raw, e.Revision); !errors.Is(err, messages.Conflict) {
			return err == nil, err
		}
		if raw, e.Revision, err = r.ledger.Read(ctx, e.Key); err != nil || raw == nil {
			return false, err
		}
		if e.Record, err = messages.DecodeRecord(raw); err != nil {
			return false, err
		}
	}
	return false, messages.Conflict
}

// printChanged prints the result of a change.
func (a *app) printChanged(c failedChange, done changed, what string) error {
	switch {
	case c.json:
		if done.Files == nil {
			done.Files = []string{}
		}
		return a.printJSON(done)
	case done.DryRun:
		fmt.Fprintln(a.env.Stdout, "nothing was changed")
	case c.Reason == "" && what != "":
		a.printFiles("ordered", done.Files)
		fallthrough
	case what != "":
		fmt.Fprintf(a.env.Stdout, "%s %s\n", counted(len(done.Files), "file"), what)
	}
	return nil
}

func (a *app) printFiles(what string, names []string) {
	for _, name := range names {
		fmt.Fprintf(a.env.Stdout, "%s %s\n", what, printable(name))
	}
}

func (g *running) answerRetry(ctx context.Context, c failedChange) (any, error) {
	ordered, err := g.retryFailed(ctx, c)
	return namesOf(ordered), err
}
