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

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

type verifyOptions struct {
	day, from, to              string
	full, repair, dryRun, json bool
	quietEqual                 bool
	timeout                    time.Duration
}

// A verifyRequest travels over the agent's socket.
type verifyRequest struct {
	// From and To are days; To may be empty. With neither it is the window of a scan.
	From messages.Day `json:"from,omitempty"`
	To   messages.Day `json:"to,omitempty"`
	Full bool         `json:"full,omitempty"`
	// All asks for every file and not only for those that differ.
	All    bool `json:"all,omitempty"`
	Repair bool `json:"repair,omitempty"`
	// DryRun: say what Repair would order, and write nothing.
	DryRun  bool          `json:"dry_run,omitempty"`
	Timeout time.Duration `json:"timeout,omitempty"`
	By      string        `json:"by,omitempty"`
	// Identity is what the caller is configured for.
	Identity messages.Identity `json:"identity"`
}

// chosen reports whether the days were named, so that the result says nothing about the rest.
func (q verifyRequest) chosen() bool { return q.From != "" }

// A verified is the answer. The verification is the last one: that after a repair.
type verified struct {
	messages.Verification
	// Files are those that differ, or all; More is how many more there are.
	Files []messages.Deviation `json:"files"`
	More  int                  `json:"more_files,omitempty"`
	// Repair is what became of the differences before.
	Repair *repaired `json:"repair,omitempty"`
}

// A repaired is what a repair did about a verification.
type repaired struct {
	DryRun bool `json:"dry_run,omitempty"`
	// Files were ordered, or would be.
	Files []messages.Deviation `json:"files"`
	// Left is how many differences another copy does not mend.
	Left   int                   `json:"left"`
	Before messages.Verification `json:"before"`
	// Problem says why not every order was waited for to its end; Exit is what the
	// copies would have ended a sync with.
	Problem string `json:"problem,omitempty"`
	Exit    int    `json:"exit,omitempty"`
	// Copied is the result of the copies.
	Copied *agent.Summary `json:"copied,omitempty"`
}

func (a *app) verifyCommand() *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use: "verify", Short: "Compare source, ledger and destination (exit 6: they differ)", Args: cobra.NoArgs,
		Long: `Compare what OCI lists, what the ledger says was copied, and what stands at the
destination: by HEAD, or by a listing where HEAD is not allowed. Where neither is, it
says so and compares source and ledger alone. It covers the days of a scan, those that
are named, or all that this installation is responsible for. A running agent does the
work; else this command does.

Each difference is one line:
  +  not at the destination: missing, or given up
  -  only at the destination: neither the source nor the ledger knows it
  *  another size, version or checksum than what was copied
  !  could not be looked at
and with --quiet-equal=false also = for what is equal, and ~ for what is not due yet.

With --repair, + and * are copied once more and compared again. What is only at the
destination is never touched.`,
		Example: "  oracle-focus-agent verify\n  oracle-focus-agent verify --full --json\n  oracle-focus-agent verify --day 2026-11-21 --repair",
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, err := o.request()
			if err != nil {
				return err
			}
			return a.verify(cmd.Context(), q, o)
		},
	}
	cmd.Flags().StringVar(&o.day, "day", "", "only this report day, YYYY-MM-DD")
	cmd.Flags().StringVar(&o.from, "from", "", "first report day, YYYY-MM-DD")
	cmd.Flags().StringVar(&o.to, "to", "", "last report day, YYYY-MM-DD (default: all from --from on)")
	cmd.Flags().BoolVar(&o.full, "full", false, "all days that this installation is responsible for")
	cmd.Flags().BoolVar(&o.repair, "repair", false, "copy again what is missing or different, and compare again")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "with --repair: show what would be copied again and change nothing")
	cmd.Flags().BoolVar(&o.quietEqual, "quiet-equal", true, "show only files that differ")
	cmd.Flags().BoolVar(&o.json, "json", false, "print the result as one JSON object")
	cmd.Flags().DurationVar(&o.timeout, "timeout", 0, "give up after this time")
	cmd.MarkFlagsMutuallyExclusive("day", "from", "full")
	cmd.MarkFlagsMutuallyExclusive("day", "to")
	cmd.MarkFlagsMutuallyExclusive("full", "to")
	return cmd
}

// request checks what was asked for.
func (o verifyOptions) request() (q verifyRequest, err error) {
	for flag, d := range map[string]string{"--day": o.day, "--from": o.from, "--to": o.to} {
		if d != "" && !messages.Day(d).Valid() {
			return q, &coded{exitConfig, fmt.Errorf("%s %q: use a day of the calendar, YYYY-MM-DD", flag, d)}
		}
	}
	q = verifyRequest{
		From: messages.Day(cmp.Or(o.day, o.from)), To: messages.Day(cmp.Or(o.day, o.to)),
		Full: o.full, Repair: o.repair, DryRun: o.dryRun, All: !o.quietEqual, Timeout: o.timeout,
	}
	switch {
	case q.To != "" && q.From == "":
		return q, &coded{exitConfig, errors.New("--to needs --from")}
	case q.To != "" && q.To < q.From:
		return q, &coded{exitConfig, fmt.Errorf("--from %s is after --to %s", q.From, q.To)}
	case q.DryRun && !q.Repair:
		return q, &coded{exitConfig, errors.New("--dry-run is about --repair; without that, verify changes nothing")}
	case q.Timeout < 0:
		return q, &coded{exitConfig, fmt.Errorf("--timeout %v: it must not be negative", q.Timeout)}
	}
	return q, nil
}

// verify asks the running agent or, where none runs, does the work.
func (a *app) verify(ctx context.Context, q verifyRequest, o verifyOptions) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	q.Identity, q.By = identityOf(cfg, naming), operator()
	answer, err := a.verifyBy(ctx, cfg, naming, q)
	if err != nil {
		return err
	}
	return a.closeVerify(answer, o)
}

// verifyBy shows how long it takes; copies of a repair in this process show themselves.
func (a *app) verifyBy(ctx context.Context, cfg *config.Config, naming messages.Naming, q verifyRequest) (answer verified, err error) {
	begun := time.Now()
	watched := func() {}
	if !q.Repair || q.DryRun {
		watched = a.watch(0, func(context.Context) (int64, string) {
			return 0, fmt.Sprintf("comparing for %v", time.Since(begun).Round(time.Second))
		})
	}
	defer watched()
	err = agent.ErrNotRunning
	if cfg.State.Dir != "" {
		var alive agent.Status // one that hangs should not be waited for without a word
		if err = askQuickly(ctx, cfg, "/v1/status", struct{}{}, &alive); err == nil {
			err = agent.Ask(ctx, cfg.State.Dir, "/v1/verify", q, &answer)
		}
	}
	if errors.Is(err, agent.ErrNotRunning) {
		answer, err = a.verifyAlone(ctx, cfg, naming, q)
	}
	return answer, err
}

// closeVerify prints the result and turns it into the command's error.
func (a *app) closeVerify(v verified, o verifyOptions) error {
	if o.json {
		v.Schema, v.Differences = messages.Schema, nil // Files has them
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else if err := a.printVerified(v); err != nil {
		return err
	}
	code := exitOK
	if r := v.Repair; r != nil {
		code = known(r.Exit)
		if r.Copied != nil {
			printFailures(a.env.Stderr, *r.Copied)
		}
		if r.Problem != "" {
			fmt.Fprintf(a.env.Stderr, "error: %s\n", r.Problem)
		}
	}
	if v.Differ() > 0 && code != exitAuth {
		code = exitDiffers
	}
	return quietly(code)
}

func (a *app) printVerified(v verified) error {
	if r := v.Repair; r != nil {
		a.printRepair(*r)
	}
	if err := a.printDeviations(v.Files); err != nil {
		return err
	}
	if v.More > 0 {
		fmt.Fprintf(a.env.Stdout, "… and %s more; --day or --from and --to show fewer at a time\n", counted(v.More, "file"))
	}
	fmt.Fprint(a.env.Stdout, verifiedText(v.Verification))
	return nil
}

func (a *app) printRepair(r repaired) {
	what := "ordered"
	if r.DryRun {
		what = "would order"
	}
	for _, f := range r.Files {
		fmt.Fprintf(a.env.Stdout, "%s %s  %s\n", what, f.Mark, printable(f.Object))
	}
	fmt.Fprintf(a.env.Stdout, "%s another copy of %s", what, counted(len(r.Files), "file"))
	if r.Left > 0 {
		fmt.Fprintf(a.env.Stdout, "; %s that another copy does not mend", counted(r.Left, "difference"))
	}
	fmt.Fprintln(a.env.Stdout)
}

// printDeviations prints a line for each file: the mark, the day, the key, and why.
func (a *app) printDeviations(files []messages.Deviation) error {
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range files {
		line := strings.Join([]string{f.Mark, string(f.Day), printable(f.Key), printable(f.Why)}, "\t")
		fmt.Fprintln(w, strings.TrimRight(line, "\t"))
	}
	return w.Flush()
}

// verifiedText is a verification in a few lines.
func verifiedText(v messages.Verification) string {
	how := map[string]string{
		verify.ByHead: "destination looked at by HEAD",
		verify.ByList: "destination looked at by its listing, since HEAD is not allowed: size and etag only",
		verify.Unreadable: "destination unreadable: these keys may neither look at objects nor list them; " +
			"only source and ledger were compared",
	}[v.Destination]
	if !v.Listed && v.Destination == verify.ByHead {
		how += "; not looked for what is only there, since listing is not allowed"
	}
	if v.Equal+v.Ingested+v.Pending+v.Discarded+v.Differ() == 0 {
		how = "nothing to look at" // not: since HEAD is not allowed
	}
	word := "equal"
	switch {
	case v.Differ() > 0:
		word = "DIFFERENT"
	case v.Destination == verify.Unreadable:
		word = "source and ledger agree"
	}
	text := fmt.Sprintf("%s to %s: %s; %s\n%s in %.1f s\n", v.From, v.To, word, counts(v), how, v.Seconds)
	if emptied(v) {
		text += "most of them are missing: " + emptiedText + "\n"
	}
	return text
}

// counts tells the results that there are; equal, always.
func counts(v messages.Verification) string {
	parts := []string{fmt.Sprintf("%d equal", v.Equal)}
	for _, c := range []struct {
		n    int
		text string
	}{
		{v.Ingested, "ingested"}, {v.Discarded, "discarded"}, {v.Pending, "not due yet"},
		{v.Missing, "missing"}, {v.OnlyThere, "only there"}, {v.Different, "different"}, {v.Errors, "not looked at"},
	} {
		if c.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", c.n, c.text))
		}
	}
	return strings.Join(parts, ", ")
}

// sorted puts files in the order of their days and keys.
func sorted(files []messages.Deviation) []messages.Deviation {
	slices.SortStableFunc(files, func(x, y messages.Deviation) int {
		return cmp.Or(cmp.Compare(x.Day, y.Day), cmp.Compare(x.Key, y.Key))
	})
	return files
}

// verifiedLine is a verification in one line, for status.
func verifiedLine(v messages.Verification) string {
	how := ""
	if v.Destination == verify.Unreadable {
		how = "; the destination cannot be read"
	}
	differ := ""
	if v.Differ() > 0 {
		differ = " (`verify` lists them)"
	}
	return fmt.Sprintf("%s, %s to %s: %s%s%s", when(v.Started), v.From, v.To, counts(v), differ, how)
}
