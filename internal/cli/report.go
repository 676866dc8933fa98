package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

const (
	// reportDays is how many days a report is about where nobody says, today included.
	reportDays = 35
	// maxReportDays bounds the range: Oracle keeps reports for a year.
	maxReportDays = 1100
)

type reportOptions struct {
	from, to, month, section, output string
	json, errorsOnly, compare        bool
}

func (a *app) reportCommand() *cobra.Command {
	var o reportOptions
	cmd := &cobra.Command{
		Use: "report", Short: "Tell what became of every file and every report day, or give account of a month", Args: cobra.NoArgs,
		Long: `Tell of a range of report days (UTC) what became of every file: transferred, skipped
and why, failed or pending; of every day whether it is complete, by what is usual; and
what the last verification found. What OCI lists is accounted for whole, or the report
names the objects that do not add up. Where OCI cannot be listed, the report is made of
the ledger alone, and says so first.

With --month it is the statement of one month: sums per currency, what came or changed
after the close, which is the third day of the next month, and a digest of all files. It
ends with 1 where a file of the month is not delivered, or where nobody knows: OCI could
not be listed, or the month is so old that Oracle has begun to delete it.

With --compare it asks Oracle for its own totals of the month, and so notices a file that
Oracle never wrote. It then also ends with 1 where a currency differs, or where no answer
came. That needs one more policy statement: docs/oracle.md.

The report is printed; a shell can put it into a file. Nothing is changed.`,
		Example: `  oracle-focus-agent report
  oracle-focus-agent report --from 2026-10-01 --to 2026-10-31 -o html > october.html
  oracle-focus-agent report -o csv --section failed
  oracle-focus-agent report --month 2026-10 --compare`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.report(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.from, "from", "", "first report day, YYYY-MM-DD (default: 34 days before the last)")
	cmd.Flags().StringVar(&o.to, "to", "", "last report day, YYYY-MM-DD (default: today, and whatever is listed beyond)")
	cmd.Flags().StringVar(&o.month, "month", "", "the statement of a month, YYYY-MM")
	cmd.Flags().BoolVar(&o.compare, "compare", false, "with --month: hold the sums against Oracle's own totals")
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "table, csv, json or html")
	cmd.Flags().BoolVar(&o.json, "json", false, "the same as -o json")
	cmd.Flags().StringVar(&o.section, "section", "", "only this part: "+strings.Join(report.Sections(), ", "))
	cmd.Flags().BoolVar(&o.errorsOnly, "errors-only", false, "only what is not as it should be")
	for _, other := range []string{"from", "to", "section", "errors-only"} {
		cmd.MarkFlagsMutuallyExclusive("month", other)
	}
	return cmd
}

// A span is the range of days of a report.
type span struct {
	from, to messages.Day
	open     bool // files of days after to count, too
}

// span reads --from and --to.
func (o reportOptions) span(now time.Time) (s span, err error) {
	s = span{messages.Day(o.from), messages.Day(o.to), o.to == ""}
	for flag, d := range map[string]messages.Day{"--from": s.from, "--to": s.to} {
		if d != "" && !d.Valid() {
			return s, &coded{exitConfig, fmt.Errorf("%s %q: use a day of the calendar, YYYY-MM-DD", flag, d)}
		}
	}
	s.to = cmp.Or(s.to, max(messages.DayOf(now), s.from))
	s.from = cmp.Or(s.from, s.to.Add(1-reportDays))
	switch {
	case s.from > s.to:
		return s, &coded{exitConfig, fmt.Errorf("--from %s is after --to %s", s.from, s.to)}
	case s.from < s.to.Add(1-maxReportDays):
		return s, &coded{exitConfig, fmt.Errorf("--from %s: a report is about at most %d days", s.from, maxReportDays)}
	}
	return s, nil
}

// check refuses what cannot be asked for together.
func (o *reportOptions) check() error {
	if o.json {
		o.output = "json"
	}
	if !slices.Contains([]string{"table", "csv", "json", "html"}, o.output) {
		return &coded{exitConfig, fmt.Errorf("--output %q: use table, csv, json or html", o.output)}
	}
	if o.section != "" && !slices.Contains(report.Sections(), o.section) {
		return &coded{exitConfig, fmt.Errorf("--section %q: use one of %s", o.section, strings.Join(report.Sections(), ", "))}
	}
	return nil
}

func (a *app) report(ctx context.Context, o reportOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.month != "" {
		return a.statement(ctx, o)
	}
	if o.compare {
		return &coded{exitConfig, errors.New("--compare is about a month: name it with --month")}
	}
	now := time.Now().UTC()
	s, err := o.span(now)
	if err != nil {
		return err
	}
	m, err := makeReport(ctx, s, a.evidenceOf)
	if err != nil {
		return err
	}
	return a.printReport(m.Report(), o)
}

// A beginReport takes what is known of the route, each time that the evidence begins, and
// returns what is to be called with all of it.
type beginReport = func(report.Head, *report.Builder, reportHead) func(report.Evidence)

// makeReport gathers the evidence of the days of a report.
func makeReport(ctx context.Context, s span, gather func(context.Context, reportRequest, beginReport) error) (m *report.Making, err error) {
	q := reportRequest{From: s.from.Add(-report.History), To: s.to}
	if s.open {
		q.To = ""
	}
	err = gather(ctx, q, func(h report.Head, b *report.Builder, p reportHead) func(report.Evidence) {
		m = &report.Making{Head: h, From: s.from, To: s.to, Open: s.open, Builder: b, Verification: p.Verification}
		return m.Add
	})
	return m, err
}

func (a *app) printReport(r report.Report, o reportOptions) error {
	v := report.View{Section: o.section, ErrorsOnly: o.errorsOnly}
	switch o.output {
	case "csv":
		return r.WriteCSV(a.env.Stdout, v)
	case "html":
		return r.WriteHTML(a.env.Stdout, v)
	case "json":
		return a.printJSON(r.Reduced(v))
	}
	return r.WriteText(a.env.Stdout, v)
}

// statement is `report --month`.
func (a *app) statement(ctx context.Context, o reportOptions) error {
	m, err := makeStatement(ctx, o.month, a.evidenceOf)
	if err != nil {
		return err
	}
	s := m.Statement()
	if o.compare {
		if err := a.compare(ctx, m.Month, &s); err != nil {
			return err
		}
	}
	if err := a.printStatement(s, o); err != nil {
		return err
	}
	if !s.Delivers() || !s.Known() || o.compare && !agrees(s) {
		return quietly(exitError)
	}
	return nil
}

// makeStatement gathers the evidence of a month.
func makeStatement(ctx context.Context, of string, gather func(context.Context, reportRequest, beginReport) error) (m *report.Account, err error) {
	month, err := report.ParseMonth(of)
	if err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("--month %w", err)}
	}
	if messages.DayOf(time.Now()) < month.First() {
		return nil, &coded{exitConfig, fmt.Errorf("--month %s has not begun", month)}
	}
	q := reportRequest{From: month.First().Add(-report.Margin), To: month.Last().Add(report.Margin)}
	err = gather(ctx, q, func(h report.Head, b *report.Builder, _ reportHead) func(report.Evidence) {
		m = &report.Account{Head: h, Month: month, Builder: b}
		return m.Add
	})
	return m, err
}

func (a *app) printStatement(s report.Statement, o reportOptions) error {
	switch o.output {
	case "csv":
		return s.WriteCSV(a.env.Stdout)
	case "html":
		return s.WriteHTML(a.env.Stdout)
	case "json":
		return a.printJSON(s)
	}
	return s.WriteText(a.env.Stdout)
}

// evidenceOf brings all evidence of a range: from the running agent or, where none
// runs, from the source and the ledger. Where the source cannot be listed, also in the
// middle, it begins again with the ledger alone: a part of a listing is no listing.
func (a *app) evidenceOf(ctx context.Context, q reportRequest, begin beginReport) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	pages, closePages, err := a.reportPages(ctx, cfg, naming)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closePages()) }()
	return evidenceFrom(ctx, pages, q, begin)
}

// evidenceFrom is evidenceOf from pages that are open.
func evidenceFrom(ctx context.Context, pages reportPages, q reportRequest, begin beginReport) error {
	unlisted, err := walk(ctx, pages, q, "", begin)
	if err == nil && unlisted != "" {
		q.LedgerOnly = true
		_, err = walk(ctx, pages, q, unlisted, begin)
	}
	return err
}

// walk takes all pages, and ends early with the reason where the source cannot be listed.
func walk(ctx context.Context, pages reportPages, q reportRequest, problem string, begin beginReport) (unlisted string, err error) {
	var add func(report.Evidence)
	for {
		p, err := pages(ctx, q)
		if err != nil || p.Unlisted != "" {
			return p.Unlisted, err
		}
		if add == nil {
			add = begin(p.Head.head(problem), p.Head.builder(problem == ""), p.Head)
		}
		for _, e := range p.Files {
			add(e)
		}
		if p.Next == "" {
			return "", nil
		}
		q.From = p.Next
	}
}

// reportPages is the running agent or, where none runs, this process.
func (a *app) reportPages(ctx context.Context, cfg *config.Config, naming messages.Naming) (_ reportPages, closePages func() error, err error) {
	if cfg.State.Dir != "" {
		var alive agent.Status // one that hangs should not be waited for without a word
		err := askQuickly(ctx, cfg, "/v1/status", struct{}{}, &alive)
		if err == nil {
			return func(ctx context.Context, q reportRequest) (p reportPage, err error) {
				return p, agent.Ask(ctx, cfg.State.Dir, "/v1/report", q, &p)
			}, func() error { return nil }, nil
		}
		if !errors.Is(err, agent.ErrNotRunning) {
			return nil, nil, err
		}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	e, err := r.openEvidence(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, r.close())
	}
	return e.page, r.close, nil
}

// openEvidence opens what a report is made of. Without a source it is the ledger
// alone; where the embedded queue was never started there is no ledger, and none is made.
func (r *route) openEvidence(ctx context.Context) (*reportSource, error) {
	e := &reportSource{route: r, ledger: empty{}, marks: empty{}}
	if _, missing := os.Stat(r.cfg.StoreDir()); !r.cfg.Embedded() || missing == nil {
		if err := r.lockEmbedded(); err != nil {
			return nil, err
		}
		if err := r.openQueue(ctx, "report"); err != nil {
			return nil, err
		}
		e.ledger, e.marks = r.ledger, r.ledger
	}
	err := r.openSides(ctx)
	if r.source == nil {
		e.problem = err
		return e, nil
	}
	e.lister = r.source // an S3 that cannot be opened is none of the report's business
	return e, nil
}

// A reportSource gives the evidence of a route, page by page.
type reportSource struct {
	*route
	lister  scanner.Lister // nil where the source cannot be opened
	problem error          // then
	ledger  scanner.Ledger
	marks   reader
	limit   int // files of a page, at least, before a day ends it; 0: pageSize
}

// A reader reads one value of the ledger.
type reader interface {
	Read(ctx context.Context, key string) ([]byte, uint64, error)
}
