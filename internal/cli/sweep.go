package cli

import (
	"context"
	"iter"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/s3"
)

// sweepInterval is the time between two looks for uploads that nobody owns. They cost
// money and nothing else, and redeliveries end almost all of them.
const sweepInterval = time.Hour

// unnotedAge is how old an upload is that is told of where no note names it. A younger
// one may be between its creation and its note.
const unnotedAge = 24 * time.Hour

// unstickInterval is the time between two looks for messages that stand in the queue
// although they were settled. Each keeps its file from being queued again.
const unstickInterval = 30 * time.Second

// sweep looks for both at the start and then again and again, in the role that may abort
// and settle. Several that look at once are harmless.
func (g *running) sweep(ctx context.Context) {
	uploads, queue := time.NewTicker(sweepInterval), time.NewTicker(unstickInterval)
	defer uploads.Stop()
	defer queue.Stop()
	g.unstick(ctx)
	g.sweepOnce(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-uploads.C:
			g.sweepOnce(ctx)
		case <-queue.C:
			g.unstick(ctx)
		}
	}
}

// unstick has nothing to do for an embedded queue, whose consumers are made anew at each
// start.
func (g *running) unstick(ctx context.Context) {
	if g.server != nil {
		return
	}
	n, err := g.conn.Unstick(ctx, g.assets)
	if n > 0 {
		g.log.Warn("messages stood in the queue that were settled before the nats server died; they were removed", "count", n)
	}
	if err != nil && ctx.Err() == nil {
		g.log.Debug("it could not be looked for settled messages in the queue; trying again", "err", err)
	}
}

func (g *running) sweepOnce(ctx context.Context) {
	notes, err := g.ledger.Uploads(ctx)
	if err == nil {
		n, err := countUnnoted(g.sides.unfinished(ctx, g.rules().KeyPrefix), notes, time.Now())
		g.monitor.unnoted(n, err)
	}
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

// countUnnoted counts the uploads that no note names. They are only counted: a listing
// tells a key and a time, and other programs may write below the same path, so that
// nothing proves one to be ours.
func countUnnoted(all iter.Seq2[s3.Unfinished, error], notes []nats.OpenUpload, now time.Time) (n int, err error) {
	noted := map[string]bool{}
	for _, note := range notes {
		noted[note.Upload.ID] = true
		for _, id := range note.Upload.Abandoned {
			noted[id] = true
		}
	}
	for u, err := range all {
		if err != nil {
			return 0, err
		}
		if !noted[u.ID] && now.Sub(u.Begun) >= unnotedAge {
			n++
		}
	}
	return n, nil
}
