package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// A failedFile is one line of `failed list`.
type failedFile struct {
	Object   string         `json:"object"`
	Day      messages.Day   `json:"day"`
	Size     int64          `json:"size"`
	Class    messages.Class `json:"class"`
	Error    string         `json:"error"`
	Attempts int            `json:"attempts"`
	At       time.Time      `json:"at"`
	// Discarded: an operator gave it up. Only a list of named files has such.
	Discarded bool `json:"discarded,omitempty"`
}

func (a *app) failedCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "failed", Short: "List the files that were given up, tell all about one, try them again or discard them", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it cobra takes any word for a call for help
	}
	cmd.AddCommand(a.failedListCommand(), a.failedShowCommand(), a.failedRetryCommand(), a.failedDiscardCommand())
	return cmd
}

func (a *app) failedListCommand() *cobra.Command {
	var asJSON bool
	var s selection
	cmd := &cobra.Command{
		Use: "list [NAME ...]", Short: "List the files that were given up by cause, with the reason and what to do",
		Example: "  oracle-focus-agent failed list\n  oracle-focus-agent failed list --cause hash-mismatch --from 2026-11-01",
		RunE: func(cmd *cobra.Command, names []string) error {
			s.Names = names
			if err := s.check(false); err != nil {
				return err
			}
			return a.failedList(cmd.Context(), s, asJSON)
		},
	}
	s.flags(cmd)
	cmd.ValidArgsFunction = a.failedNames
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array")
	return cmd
}

func (a *app) failedList(ctx context.Context, s selection, asJSON bool) error {
	files := []failedFile{}
	err := a.ask(ctx, "/v1/failed", s, &files, func(r *route) (err error) {
		files, err = r.listFailed(ctx, s)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(files)
	}
	return a.printFailed(files, true)
}

// ask sends a request to the running agent or, where none runs, does alone by
// itself with the queue open.
func (a *app) ask(ctx context.Context, request string, in, out any, alone func(*route) error) error {
	return a.askBy(ctx, askQuickly, request, in, out, alone)
}

// askPatiently is ask for what may take an agent long.
func (a *app) askPatiently(ctx context.Context, request string, in, out any, alone func(*route) error) error {
	return a.askBy(ctx, func(ctx context.Context, cfg *config.Config, path string, in, out any) error {
		return agent.Ask(ctx, cfg.State.Dir, path, in, out)
	}, request, in, out, alone)
}

func (a *app) askBy(ctx context.Context, by func(context.Context, *config.Config, string, any, any) error, request string, in, out any, alone func(*route) error) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if cfg.State.Dir != "" {
		if err := by(ctx, cfg, request, in, out); !errors.Is(err, agent.ErrNotRunning) {
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

// listFailed reads the chosen files from the ledger, in the order of their names.
func (r *route) listFailed(ctx context.Context, s selection) ([]failedFile, error) {
	entries, err := s.entries(ctx, r.ledger)
	files := make([]failedFile, 0, len(entries))
	for _, e := range entries {
		f := e.Record
		files = append(files, failedFile{
			Object: f.Object.Name, Day: e.Day, Size: f.Object.Size, Class: f.Class, Error: f.Error,
			Attempts: f.Attempts, At: f.At, Discarded: f.Status == messages.StatusDiscarded,
		})
	}
	return files, err
}

// failedEntries are the records of the files that were given up, also by an operator
// where discarded is true, in the order of their names.
func failedEntries(ctx context.Context, ledger *nats.Ledger, discarded bool) ([]nats.Entry, error) {
	latest := map[string]nats.Entry{}
	for e, err := range ledger.Records(ctx) {
		if errors.Is(err, messages.Refused) { // its file is looked at again by the next scan
			continue
		}
		if err != nil {
			return nil, err
		}
		s := e.Record.Status
		if latest[e.Key] = e; s != messages.StatusFailed && !(discarded && s == messages.StatusDiscarded) {
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

// printFailed prints files by cause: those with the most files first, each with what
// the cause means and what to do about it, and, where each is true, the files.
func (a *app) printFailed(files []failedFile, each bool) error {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, group := range byCause(files) {
		e := group[0].Class.Explain()
		fmt.Fprintf(w, "%s: %s, %s\n", printable(string(group[0].Class)), counted(len(group), "file"), humanize.IBytes(uint64(sizeOf(group))))
		fmt.Fprintf(w, "  meaning: %s\n  remedy:  %s\n", e.Meaning, e.Remedy)
		for _, f := range group {
			if each {
				fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", printable(f.Object), counted(f.Attempts, "attempt"), shortTime(f.At)+discarded(f), printable(f.Error))
			}
		}
	}
	fmt.Fprintf(w, "%d failed\n", len(files))
	return w.Flush()
}

func discarded(f failedFile) string {
	if f.Discarded {
		return ", discarded"
	}
	return ""
}

func byCause(files []failedFile) (groups [][]failedFile) {
	byClass := map[messages.Class][]failedFile{}
	for _, f := range files {
		byClass[f.Class] = append(byClass[f.Class], f)
	}
	for _, group := range byClass {
		groups = append(groups, group)
	}
	slices.SortFunc(groups, func(x, y []failedFile) int {
		return cmp.Or(cmp.Compare(len(y), len(x)), cmp.Compare(x[0].Class, y[0].Class))
	})
	return groups
}

func sizeOf(files []failedFile) (sum int64) {
	for _, f := range files {
		sum += f.Size
	}
	return sum
}

func shortTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }
