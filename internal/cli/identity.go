package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/messages"
)

// change says what an operator means by a changed source or destination.
type change struct {
	accept bool // --accept-new-destination
	moved  bool // --moved
	resend bool // --resend
	dryRun bool

	// epoch is where the identity of a new ledger begins.
	epoch int
}

func identityOf(cfg *config.Config, n messages.Naming) messages.Identity {
	return messages.Identity{
		Namespace: cfg.OCI.Namespace, Bucket: cfg.OCI.Bucket, Prefix: cfg.OCI.Prefix,
		S3Bucket: cfg.S3.Bucket(), S3Prefix: cfg.S3.KeyPrefix(), Template: n.Template(),
	}
}

// settleIdentity compares the configured route with the one that the ledger was
// written for, before any effect. A difference that no flag explains is refused:
// else a changed destination would read as "everything is done".
func settleIdentity(ctx context.Context, ledger copier.Ledger, cfg *config.Config, n messages.Naming, c change) (messages.Identity, error) {
	want := identityOf(cfg, n)
	for range 5 {
		have, revision, err := readIdentity(ctx, ledger, cfg.OCI.Name)
		if err != nil {
			return have, err
		}
		if revision == 0 {
			if have, err = lostIdentity(ctx, ledger, cfg.OCI.Name, c); err != nil {
				return want, err
			}
			want.Epoch = max(have.Epoch, c.epoch)
		}
		next, err := decideIdentity(cfg.OCI.Name, have, want, revision == 0, c)
		if err != nil || next == have || c.dryRun {
			return next, err
		}
		raw, err := next.Encode()
		if err != nil {
			return next, err
		}
		_, err = ledger.Write(ctx, messages.IdentityKey(cfg.OCI.Name), raw, revision)
		if !errors.Is(err, messages.Conflict) {
			return next, err
		}
	}
	return want, fmt.Errorf("record the identity of route %s: %w", cfg.OCI.Name, messages.Conflict)
}

func readIdentity(ctx context.Context, ledger copier.Ledger, route string) (messages.Identity, uint64, error) {
	raw, revision, err := ledger.Read(ctx, messages.IdentityKey(route))
	if err != nil || raw == nil {
		return messages.Identity{}, 0, err
	}
	have, err := messages.DecodeIdentity(raw)
	return have, revision, err
}

// lostIdentity is what is known of the route where the ledger holds no identity:
// nothing, of a new ledger. One that has scan marks all the same has lost it, and
// whether the source and destination are those of its records, only an operator
// can tell.
func lostIdentity(ctx context.Context, ledger copier.Ledger, route string, c change) (messages.Identity, error) {
	raw, _, err := ledger.Read(ctx, messages.MarksKey(route))
	if err != nil || raw == nil {
		return messages.Identity{}, err
	}
	m, err := messages.DecodeMarks(raw)
	switch {
	case errors.Is(err, messages.ErrNewer):
		return messages.Identity{}, err
	case c.moved:
		return messages.Identity{Epoch: m.Epoch}, nil
	case c.accept:
		return messages.Identity{Epoch: m.Epoch + 1}, nil
	}
	return messages.Identity{}, &coded{exitConfig, fmt.Errorf("the ledger of route %q no longer says which source and destination it speaks of; say it once:\n"+
		"  --moved                   those of this configuration, as before\n"+
		"  --accept-new-destination  others: copy everything that this installation is responsible for again", route)}
}

func decideIdentity(route string, have, want messages.Identity, fresh bool, c change) (messages.Identity, error) {
	if fresh {
		want.Created = time.Now().UTC()
		return want, nil
	}
	want.Schema, want.Epoch, want.Created = have.Schema, have.Epoch, have.Created
	differences := have.Differences(want)
	switch {
	case len(differences) == 0 || c.moved:
		return want, nil
	case c.accept:
		want.Epoch++ // every record is of an older epoch now, so everything is due
		return want, nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "the ledger of route %q speaks of another source or destination:\n", route)
	for _, d := range differences {
		fmt.Fprintf(&b, "  %s: was %q, is now %q\n", d.Field, d.Old, d.New)
	}
	b.WriteString("nothing was copied; say what is meant:\n" +
		"  --accept-new-destination  copy everything that this installation is responsible for again\n" +
		"  --moved                   it is the same data in a new place; copy only what is new\n" +
		"  or give the new route a name of its own (oci.name), with a ledger of its own")
	return want, &coded{exitConfig, errors.New(b.String())}
}

// identityEvery is the time between two looks at the identity of the route.
const identityEvery = 5 * time.Second

// guard watches over the identity that this process compared at its start. When
// another process has accepted a new source or destination for the route since,
// this one would go on with the old: it is stopped, and the error says why.
func (g *running) guard(ctx context.Context, stop context.CancelFunc) error {
	tick := time.NewTicker(identityEvery)
	defer tick.Stop()
	for gone := 0; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if g.vanished(ctx) {
			if gone++; gone < 2 { // a replica that lags may not have it yet
				continue
			}
			err := g.lostLedger(g.lastNote())
			g.log.Error("stopping", "err", err)
			stop()
			return err
		}
		gone = 0
		have, revision, err := readIdentity(ctx, g.ledger, g.cfg.OCI.Name)
		if err == nil && revision == 0 { // the ledger was lost and made anew under us
			g.restoreIdentity(ctx)
			continue
		}
		if err != nil || have.Epoch == g.identity.Epoch && len(have.Differences(g.identity)) == 0 {
			continue
		}
		err = fmt.Errorf("route %q was given another source or destination by another process; start this one again with the same configuration", g.cfg.OCI.Name)
		g.log.Error("stopping", "err", err)
		stop()
		return &coded{exitConfig, err}
	}
}

// restoreIdentity writes the identity into a ledger that has none any more. Else
// the records that this process writes there would speak of no destination, and
// a changed one would read as "all done".
func (g *running) restoreIdentity(ctx context.Context) {
	raw, err := g.identity.Encode()
	if err == nil {
		_, err = g.ledger.Write(ctx, messages.IdentityKey(g.cfg.OCI.Name), raw, 0)
	}
	if err != nil && !errors.Is(err, messages.Conflict) {
		g.log.Warn("the identity of the route could not be written to the new ledger; trying again", "err", err)
		return
	}
	g.monitor.violated(messages.IdentityLost)
	g.log.Warn("the ledger was lost and is being rebuilt", "route", g.cfg.OCI.Name)
}
