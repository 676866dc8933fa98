package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
)

const (
	// fullEvery is the time between two comparisons of all days; those in between are of
	// the days of a scan, and of earlier days in which something differed.
	fullEvery = 7 * 24 * time.Hour
	// claimTime is how long a scanner that began a comparison keeps others from it. One
	// that died meanwhile delays the next by as much.
	claimTime = 2 * time.Hour
	// clockSlack is how far the clocks of two hosts may be apart.
	clockSlack = 5 * time.Minute
)

// verifyBeside begins the scheduled comparison where it is due, beside the scans, and
// shows what the last one found. At most one of a process is at work.
func (g *running) verifyBeside(ctx context.Context) {
	if !g.verifying.CompareAndSwap(false, true) {
		return
	}
	g.verifications.Go(func() {
		defer g.verifying.Store(false)
		err := g.verifyScheduled(ctx)
		if err != nil && ctx.Err() == nil {
			g.log.Warn("the scheduled comparison of source, ledger and destination failed", "err", err, "again_in", min(claimTime, g.settings().Verify.Interval.Std()))
		}
		g.showVerification(ctx)
	})
}

// verifyScheduled compares where the interval is over, unless another scanner does. The
// claim is one write by compare-and-swap on the result's own key, so that of several
// scanners one wins; the result takes its place. A crash in between leaves the claim,
// and with it the last result: the comparison is made after claimTime by whoever scans
// then.
func (g *running) verifyScheduled(ctx context.Context) error {
	last, revision, err := g.lastVerification(ctx)
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	if !g.due(last, g.settings().Verify, now) {
		return nil
	}
	claim := last
	claim.Claimed, claim.ClaimedBy = now, instance()
	raw, err := claim.Encode()
	if err != nil {
		return err
	}
	if _, err = g.ledger.Write(ctx, messages.VerificationKey(g.cfg.OCI.Name), raw, revision); err != nil {
		if errors.Is(err, messages.Conflict) {
			return nil
		}
		return err
	}
	m, _, err := g.readMarks(ctx)
	if err != nil {
		return err
	}
	days := g.duties(m)
	full := last.Epoch != g.identity.Epoch || now.Sub(last.Full).Abs() >= fullEvery || last.Differ() > len(last.Differences)
	ranges := days.all()
	if !full {
		ranges = days.withDoubtful(last.Differences)
	}
	v, _, err := g.compare(ctx, days, ranges, false)
	if err != nil {
		return err
	}
	v.Scheduled = true
	g.log.Info("source, ledger and destination compared", "from", v.From, "to", v.To, "full", full, "by", v.Destination,
		"equal", v.Equal+v.Ingested+v.Discarded, "pending", v.Pending, "missing", v.Missing, "only_there", v.OnlyThere,
		"different", v.Different, "errors", v.Errors, "elapsed", seconds(v.Seconds))
	for i, d := range v.Differences {
		if i == 10 {
			g.log.Warn("more files differ; `oracle-focus-agent verify` lists them", "count", v.Differ())
			break
		}
		g.log.Warn("differs", "mark", d.Mark, "day", d.Day, "key", d.Key, "why", d.Why)
	}
	return g.recordVerification(ctx, v.Verification, full)
}

// due tells whether the next comparison is to begin. The first one counts from the
// birth of the ledger: right after it everything is still on its way. A time to come is
// of a clock that was ahead, and puts nothing off.
func (g *running) due(last messages.Verification, c config.Verify, now time.Time) bool {
	since := last.Started
	if since.IsZero() || last.Epoch != g.identity.Epoch {
		since = g.identity.Created
	}
	every := c.Interval.Std()
	claimed := now.Sub(last.Claimed)
	return every > 0 && now.Sub(since).Abs() >= every && (claimed >= min(claimTime, every) || claimed < -clockSlack)
}

// withDoubtful is the window, and the days before it of which something differed the
// last time: else a difference that a comparison of all days found would be forgotten
// by the next one of the window.
func (d duties) withDoubtful(differences []messages.Deviation) (out []messages.Range) {
	for _, x := range differences { // in the order of their days
		if x.Day < d.scan && d.cover(x.Day) && (len(out) == 0 || out[len(out)-1].To < x.Day) {
			out = append(out, messages.Range{From: x.Day, To: x.Day})
		}
	}
	return append(out, d.window()...)
}

// lastVerification is empty where there was none. One that cannot be read is as good as
// none: the ledger is a cache.
func (r *route) lastVerification(ctx context.Context) (messages.Verification, uint64, error) {
	raw, revision, err := r.ledger.Read(ctx, messages.VerificationKey(r.cfg.OCI.Name))
	if err != nil || raw == nil {
		return messages.Verification{Epoch: r.identity.Epoch}, revision, err
	}
	v, err := messages.DecodeVerification(raw)
	if errors.Is(err, messages.Refused) {
		return messages.Verification{Epoch: r.identity.Epoch}, revision, nil
	}
	return v, revision, err
}

// recordVerification is the commit point of a comparison: a crash before it leaves the
// last result. A later one that is there already stays.
func (r *route) recordVerification(ctx context.Context, v messages.Verification, full bool) error {
	for range 5 {
		last, revision, err := r.lastVerification(ctx)
		if err != nil || last.Started.After(v.Started) && last.Epoch == v.Epoch {
			return err
		}
		if v.Full = last.Full; full || last.Epoch != v.Epoch {
			v.Full = time.Time{}
		}
		if full {
			v.Full = v.Started
		}
		raw, err := v.Encode()
		if err != nil {
			return err
		}
		_, err = r.ledger.Write(ctx, messages.VerificationKey(r.cfg.OCI.Name), raw, revision)
		if !errors.Is(err, messages.Conflict) {
			return err
		}
	}
	return fmt.Errorf("record the verification of route %s: %w", r.cfg.OCI.Name, messages.Conflict)
}

// showVerification takes the last result over into status and metrics, whoever made it.
func (g *running) showVerification(ctx context.Context) {
	v, _, err := g.lastVerification(ctx)
	if err != nil || v.Started.IsZero() || v.Epoch != g.identity.Epoch {
		return
	}
	g.board.Verified(v)
	g.monitor.verified(v)
}
