package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func (a *app) stateCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "state", Short: "Export, import or rebuild the ledger of what was copied", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.stateExportCommand(), a.stateImportCommand(), a.stateRebuildCommand())
	return cmd
}

type exportOptions struct {
	format, output string
	json           bool
}

func (a *app) stateExportCommand() *cobra.Command {
	var o exportOptions
	cmd := &cobra.Command{
		Use: "export", Short: "Write the ledger as JSON lines, or as a state.json of the Python agent", Args: cobra.NoArgs,
		Long: `Write the ledger. As jsonl it is complete, and "state import" restores it; as
python it is a state.json, which the Python agent reads, of the files that were
copied. A running agent goes on meanwhile. The output file appears whole or not
at all, for its owner only; without one the export is printed.`,
		Example: "  oracle-focus-agent state export -o ledger.jsonl\n  oracle-focus-agent state export --format python -o state.json",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.stateExport(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.format, "format", "jsonl", "jsonl or python")
	cmd.Flags().StringVarP(&o.output, "output", "o", "", "write to this file; - is standard output")
	cmd.Flags().BoolVar(&o.json, "json", false, "with --output: print what was written as one JSON object")
	return cmd
}

func (a *app) stateExport(ctx context.Context, o exportOptions) error {
	write := writeLines
	switch {
	case o.format == "python":
		write = a.writePython
	case o.format != "jsonl":
		return &coded{exitConfig, fmt.Errorf("--format %q: use jsonl or python", o.format)}
	}
	if o.output == "-" {
		o.output = ""
	}
	if o.json && o.output == "" {
		return &coded{exitConfig, errors.New("--json is about the file of --output; without one the export itself is printed")}
	}
	if o.output != "" {
		if err := placeFor(o.output); err != nil {
			return err
		}
	}
	var out exported
	err := a.withPages(ctx, func(route string, p pages) (err error) {
		if o.output == "" {
			out, err = write(ctx, a.env.Stdout, route, p)
			return err
		}
		return state.WriteFile(o.output, func(w io.Writer) error {
			buffered := bufio.NewWriter(w)
			if out, err = write(ctx, buffered, route, p); err == nil && out.Records == 0 {
				err = errors.New("the ledger holds no record; nothing was written")
			}
			return errors.Join(err, buffered.Flush())
		})
	})
	for _, key := range out.Unreadable {
		fmt.Fprintf(a.env.Stderr, "warning: %s cannot be read and was left out; its file counts as not copied\n", key)
	}
	if err != nil || o.output == "" {
		return unwritten(o.output, err)
	}
	if o.json {
		return a.printJSON(out)
	}
	fmt.Fprintf(a.env.Stdout, "wrote %s: %d records\n", o.output, out.Records)
	return nil
}

// withPages gives f the ledger: that of the running agent or, where none runs,
// the one that it opens.
func (a *app) withPages(ctx context.Context, f func(route string, p pages) error) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if cfg.State.Dir != "" {
		p := func(ctx context.Context, after string) (page statePage, err error) {
			return page, askQuickly(ctx, cfg, "/v1/state", after, &page)
		}
		if _, err := p(ctx, ""); !errors.Is(err, agent.ErrNotRunning) {
			if err != nil {
				return err
			}
			return f(cfg.OCI.Name, p)
		}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.lockEmbedded(); err != nil {
		return err
	}
	err = r.openQueue(ctx, "state")
	if _, differs := errors.AsType[*nats.DifferenceError](err); differs {
		// A ledger that has to be made anew must be readable for that.
		r.ledger, err = r.conn.Ledger(ctx, r.assets.State, cfg.OCI.Name)
	}
	if err != nil {
		return err
	}
	return f(cfg.OCI.Name, r.statePage)
}

// writePython writes the copied files as a state.json.
func (a *app) writePython(ctx context.Context, w io.Writer, _ string, p pages) (exported, error) {
	cfg, _, err := a.load()
	if err != nil {
		return exported{}, err
	}
	out := state.Python{LastSync: time.Now()}
	var done exported
	done.Unreadable, err = p.each(ctx, func(l state.Line) error {
		if _, _, _, ok := messages.ParseRecordKey(l.Key); !ok {
			return nil
		}
		r, err := messages.DecodeRecord(l.Value)
		if errors.Is(err, messages.ErrNewer) {
			return err
		}
		if e, ok := entryOf(r, cfg.S3.KeyPrefix()); ok && err == nil {
			out.Entries = append(out.Entries, e)
		}
		return nil
	})
	if err != nil {
		return done, err
	}
	done.Records = len(out.Entries)
	return done, state.WritePython(w, out)
}

// entryOf is the entry of a file whose present version stands at the destination.
func entryOf(r messages.Record, prefix string) (state.Entry, bool) {
	if r.Status != messages.StatusCopied || r.Copy == nil || !strings.HasPrefix(r.Copy.Key, prefix) {
		return state.Entry{}, false
	}
	return state.Entry{
		Object: r.Object, Key: strings.TrimPrefix(r.Copy.Key, prefix), Transferred: r.Copy.At, Seconds: r.Copy.Seconds,
	}, true
}

// openLedger opens what the commands that write a ledger need. A dry run makes
// nothing: where the embedded queue was never started, the ledger stays nil.
func (r *route) openLedger(ctx context.Context, dryRun bool) error {
	if r.cfg.Embedded() && dryRun {
		if _, missing := os.Stat(r.cfg.StoreDir()); missing != nil {
			return nil
		}
	}
	if err := r.lockEmbedded(); err != nil {
		return err
	}
	return r.openQueue(ctx, "state")
}

// openToFill opens the ledger and both sides, and looks whether the identity fits.
func (r *route) openToFill(ctx context.Context, dryRun bool) error {
	if err := r.openLedger(ctx, dryRun); err != nil {
		return err
	}
	if err := r.openSides(ctx); err != nil {
		return err
	}
	return r.settle(ctx, true)
}

// settle makes the identity of the route that of the ledger, as a first start does.
func (r *route) settle(ctx context.Context, dryRun bool) (err error) {
	c := change{dryRun: dryRun}
	if err := r.recall(&c); err != nil || r.ledger == nil {
		return err
	}
	r.identity, err = settleIdentity(ctx, r.ledger, r.cfg, r.naming, c)
	return err
}

// lookThrough tells what a scan from a day on finds, and then of the days of backfills
// before, and changes nothing.
func (r *route) lookThrough(ctx context.Context, from messages.Day, each func(scanner.Outcome)) error {
	s := scanner.Scanner{
		Lister: r.source, Ledger: empty{}, Marks: empty{}, Publisher: nothing{},
		Route: r.cfg.OCI.Name, Rules: r.rules(), Epoch: r.identity.Epoch, Since: from, Observe: each, Log: quietLog(),
	}
	if r.ledger != nil {
		s.Ledger = r.ledger
	}
	if _, err := s.Scan(ctx); err != nil {
		return err
	}
	ranges, err := r.ranges(ctx)
	if err != nil {
		return err
	}
	for _, days := range messages.Join(ranges, from) {
		if _, err := s.Backfill(ctx, days, false); err != nil {
			return err
		}
	}
	return nil
}

// ranges are the days that backfills made the installation responsible for, as far as
// the ledger or the note of an earlier one tells.
func (r *route) ranges(ctx context.Context) (all []messages.Range, err error) {
	if r.known != nil {
		all = append(all, r.known.Ranges...)
	}
	if r.ledger == nil {
		return all, nil
	}
	m, _, err := r.readMarks(ctx)
	if err == nil && m != nil {
		all = append(all, m.Ranges...)
	}
	return all, err
}

// fill writes what is known of the files of a ledger that will be responsible from
// since on, and adds what it wrote and what was there to the two counts. The marks
// come last: a crash before them leaves a ledger that a start refuses and that can
// be filled again, one after them leaves nothing to do.
func (r *route) fill(ctx context.Context, since messages.Day, records []keyed, written, recorded *int) error {
	if err := r.settle(ctx, false); err != nil {
		return err
	}
	r.noteSince(since)
	now := time.Now().UTC()
	for i := range records {
		rec := &records[i].record
		rec.Epoch, rec.Worker, rec.At = r.identity.Epoch, instance(), now
	}
	added, kept, err := r.record(ctx, records)
	*written += added
	*recorded += kept
	if err != nil {
		return err
	}
	return r.beginMarks(ctx, since)
}

// record writes records that the ledger does not have yet. One that it has is
// newer knowledge, and stays.
func (r *route) record(ctx context.Context, records []keyed) (written, kept int, err error) {
	for _, k := range records {
		raw, err := k.record.Encode()
		if err != nil {
			return written, kept, err
		}
		added, err := r.add(ctx, k.key, raw)
		if err != nil {
			return written, kept, err
		}
		if added {
			written++
		} else {
			kept++
		}
	}
	return written, kept, nil
}

// keyed is a record and where it belongs.
type keyed struct {
	key    string
	record messages.Record
}

// add writes a value where there is none.
func (r *route) add(ctx context.Context, key string, value []byte) (added bool, err error) {
	_, err = r.ledger.Write(ctx, key, value, 0)
	if errors.Is(err, messages.Conflict) {
		return false, nil
	}
	return err == nil, err
}

// confirm asks on a terminal whether to go on; elsewhere --yes must have said it.
func (a *app) confirm(ctx context.Context, yes bool, question string) error {
	if yes {
		return nil
	}
	in, terminal := a.env.Stdin.(*os.File)
	if !terminal || !term.IsTerminal(int(in.Fd())) {
		return &coded{exitConfig, errors.New("nothing was written, because there is no terminal to ask on; look at the above and add --yes")}
	}
	fmt.Fprintf(a.env.Stderr, "%s [y/N] ", question)
	answer, err := interview{bufio.NewReader(in), a.env.Stderr}.line(ctx)
	if err != nil {
		return left(ctx, err)
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errors.New("nothing was written")
	}
	return nil
}

// table prints rows of a name and a text, each on a line of its own whatever it holds.
func (a *app) table(rows [][2]string) {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "%s\t%s\n", row[0], printable(row[1]))
	}
	_ = w.Flush() // as with every other print
}

// firstDay is where the responsibility of a route begins that has no ledger:
// where the configuration says, else where its scans begin.
func firstDay(cfg *config.Config, start messages.Day) messages.Day {
	if cfg.Agent.Since != "" {
		return messages.Day(cfg.Agent.Since)
	}
	return start
}
