package cli

import (
	"context"
	"slices"
	"time"

	"oracle-focus-agent/internal/report"
)

// compare holds the statement of a month against what Oracle says that it charged. It
// asks by itself, as the identity of the configuration, also where an agent runs: the
// question is about the tenancy and not about the route. An answer that does not come
// is noted in the statement, since the rest of it is as true without.
func (a *app) compare(ctx context.Context, month report.Month, s *report.Statement) error {
	totals, err := a.oracleTotals(ctx, month)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.Compare(totals, err)
	return nil
}

func (a *app) oracleTotals(ctx context.Context, month report.Month) ([]report.Total, error) {
	cfg, naming, err := a.load()
	if err != nil {
		return nil, err
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { _ = r.close() }() // nothing was changed that could be lost
	if err := r.openSides(ctx); r.source == nil {
		return nil, err // an S3 that cannot be opened is none of Oracle's business
	}
	first, err := time.Parse(time.DateOnly, string(month.First()))
	if err != nil {
		return nil, err
	}
	costs, err := r.source.Costs(ctx, first)
	totals := []report.Total{}
	for _, c := range costs {
		totals = append(totals, report.Total{Currency: c.Currency, Amount: c.Amount})
	}
	return totals, err
}

// agrees reports whether a comparison that was asked for was made, and every currency
// of it is equal.
func agrees(s report.Statement) bool {
	return s.OracleError == "" && !slices.ContainsFunc(s.Compared, func(c report.Compared) bool { return c.Verdict != report.Equal })
}
