package cli

import (
	"context"
	"time"
)

// sweepInterval is the time between two looks for uploads that nobody owns. They cost
// money and nothing else, and redeliveries end almost all of them.
const sweepInterval = time.Hour

// sweep looks for them at the start and then each hour, in the role that may abort.
// Several that look at once are harmless.
func (g *running) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		g.sweepOnce(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (g *running) sweepOnce(ctx context.Context) {
	notes, err := g.ledger.Uploads(ctx)
	for _, n := range notes {
		if err != nil || ctx.Err() != nil {
			break
		}
		var swept bool
		if swept, err = g.copies.Sweep(ctx, n.Name, n.Upload, n.Revision); swept && err == nil {
			g.monitor.swept()
			g.log.Info("an upload that nobody owned was ended", "object", n.Name, "begun", n.Upload.Started, "worker", n.Upload.Worker)
		}
	}
	if err != nil && ctx.Err() == nil {
		g.log.Warn("not all uploads that nobody owns could be ended; trying again in an hour", "err", err)
	}
}
