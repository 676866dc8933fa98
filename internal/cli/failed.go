package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// A failedFile is one line of `failed list`.
type failedFile struct {
	Object   string         `json:"object"`
	Size     int64          `json:"size"`
	Class    messages.Class `json:"class"`
	Error    string         `json:"error"`
	Attempts int            `json:"attempts"`
	At       time.Time      `json:"at"`
}

func (a *app) failedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "failed", Short: "List the files that were given up, or try them again", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it cobra takes any word for a call for help
	}
	var asJSON, all bool
	list := &cobra.Command{
		Use: "list", Short: "List the files that were given up, with the reason", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent failed list",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.failedList(cmd.Context(), asJSON) },
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	retry := &cobra.Command{
		Use: "retry [--all | NAME ...]", Short: "Order another copy of files that were given up",
		Example: "  oracle-focus-agent failed retry --all\n  oracle-focus-agent failed retry 0001000002103533-00001.csv.gz",
		RunE: func(cmd *cobra.Command, names []string) error {
			if all == (len(names) > 0) {
				return &coded{exitConfig, errors.New("name the files to retry, by object or file name, or say --all")}
			}
			return a.failedRetry(cmd.Context(), names)
		},
	}
	retry.ValidArgsFunction = a.failedNames
	retry.Flags().BoolVar(&all, "all", false, "every file that was given up")
	cmd.AddCommand(list, retry)
	return cmd
}

// ask sends a request to the running agent or, where none runs, does alone by
// itself with the queue open.
func (a *app) ask(ctx context.Context, request string, in, out any, alone func(*route) error) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if cfg.State.Dir != "" {
		if err := askQuickly(ctx, cfg, request, in, out); !errors.Is(err, agent.ErrNotRunning) {
			return err
		}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.lockEmbedded(); err != nil {
		return err
	}
	if err := r.openQueue(ctx, "failed"); err != nil {
		return err
	}
	return alone(r)
}

func (a *app) failedList(ctx context.Context, asJSON bool) error {
	files := []failedFile{}
	err := a.ask(ctx, "/v1/failed", struct{}{}, &files, func(r *route) (err error) {
		files, err = listFailed(ctx, r.ledger)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(files)
	}
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range files {
		fmt.Fprintf(w, "%s\t%s\t%d attempts\t%s\n", f.Object, f.Class, f.Attempts, f.Error)
	}
	fmt.Fprintf(w, "%d failed\n", len(files))
	return w.Flush()
}

// listFailed reads the failed files from the ledger, in the order of their names.
func listFailed(ctx context.Context, ledger *nats.Ledger) ([]failedFile, error) {
	entries, err := failedEntries(ctx, ledger)
	files := make([]failedFile, 0, len(entries))
	for _, e := range entries {
		r := e.Record
		files = append(files, failedFile{Object: r.Object.Name, Size: r.Object.Size, Class: r.Class, Error: r.Error, Attempts: r.Attempts, At: r.At})
	}
	return files, err
}

func failedEntries(ctx context.Context, ledger *nats.Ledger) ([]nats.Entry, error) {
	latest := map[string]nats.Entry{}
	for e, err := range ledger.Records(ctx) {
		if errors.Is(err, messages.Refused) { // its file is looked at again by the next scan
			continue
		}
		if err != nil {
			return nil, err
		}
		if latest[e.Key] = e; e.Record.Status != messages.StatusFailed {
			delete(latest, e.Key)
		}
	}
	out := make([]nats.Entry, 0, len(latest))
	for _, e := range latest {
		out = append(out, e)
	}
	slices.SortFunc(out, func(x, y nats.Entry) int { return strings.Compare(x.Record.Object.Name, y.Record.Object.Name) })
	return out, nil
}

func (a *app) failedRetry(ctx context.Context, names []string) error {
	var ordered []string
	err := a.ask(ctx, "/v1/retry", names, &ordered, func(r *route) (err error) {
		ordered, err = r.retryFailed(ctx, names)
		return err
	})
	for _, name := range ordered {
		fmt.Fprintf(a.env.Stdout, "ordered %s\n", name)
	}
	if err == nil {
		fmt.Fprintf(a.env.Stdout, "%d files will be copied by the running agent, or by the next run or sync\n", len(ordered))
	}
	return err
}

// retryFailed orders the named files again, or all where names is empty. The
// order is written to the ledger first and then published; a crash in between is
// mended by the next scan, which publishes whatever is due.
func (r *route) retryFailed(ctx context.Context, names []string) (ordered []string, err error) {
	entries, err := failedEntries(ctx, r.ledger)
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, n := range names {
		wanted[n] = false
	}
	publisher := r.conn.Publisher(r.cfg.NATS.Prefix)
	for _, e := range entries {
		name := e.Record.Object.Name
		hit := name
		if _, ok := wanted[name]; !ok {
			hit = path.Base(name)
		}
		if _, ok := wanted[hit]; !ok && len(names) > 0 {
			continue
		}
		wanted[hit] = true
		if err := r.order(ctx, e, publisher); err != nil {
			return ordered, fmt.Errorf("order %s: %w", name, err)
		}
		ordered = append(ordered, name)
	}
	for n, found := range wanted {
		if !found && len(names) > 0 {
			return ordered, &agent.Refusal{Text: fmt.Sprintf("%q is not among the failed files; see `oracle-focus-agent failed list`", n), Exit: exitError}
		}
	}
	return ordered, nil
}

func (r *route) order(ctx context.Context, e nats.Entry, p *nats.Publisher) error {
	due := messages.Record{
		Status: messages.StatusDue, Epoch: e.Record.Epoch, Object: e.Record.Object, Copy: e.Record.Copy,
		Generation: e.Record.Generation + 1, At: time.Now().UTC(),
	}
	raw, err := due.Encode()
	if err != nil {
		return err
	}
	if _, err := r.ledger.Write(ctx, e.Key, raw, e.Revision); err != nil {
		return err
	}
	_, err = p.Publish(ctx, messages.Live, messages.FileDiscovered{
		Route: r.cfg.OCI.Name, Object: due.Object, Generation: due.Generation, Epoch: due.Epoch, Discovered: due.At,
	})
	return err
}
