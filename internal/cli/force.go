package cli

import (
	"context"
	"fmt"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// again tells whether --force copies what a scan found once more: all of the usual
// window, where it is at the destination or was given up. A sweep's older days are
// not asked for.
func again(o scanner.Outcome) bool {
	s := o.Record.Status
	return o.Lane == messages.Live && o.Record.Done(o.Object, o.Record.Epoch) && (s == messages.StatusCopied || s == messages.StatusFailed)
}

// orderAgain orders another copy of each file of the window. The orders stand in the
// ledger, and the next scan queues them: so a crash in between loses none.
func (r *route) orderAgain(ctx context.Context) error {
	s := r.scanner()
	s.Publisher, s.Marks, s.Log, s.Forgetter, s.Trace = nothing{}, readOnly{s.Marks}, quietLog(), nil, nil
	var found []scanner.Outcome
	s.Observe = func(o scanner.Outcome) {
		if again(o) {
			found = append(found, o)
		}
	}
	if _, err := s.Scan(ctx); err != nil {
		return err
	}
	orders := r.scanner()
	for _, o := range found {
		if _, err := orders.Order(ctx, o.Object, o.Report); err != nil {
			return fmt.Errorf("order %s: %w", o.Object.Name, err)
		}
	}
	r.log.Info("another copy was ordered of what the window holds", "files", len(found))
	return nil
}
