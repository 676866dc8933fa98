package cli

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"oracle-focus-agent/internal/config"
)

// hangups receives SIGHUP from now on, which ends a process that does not.
func hangups() (hup <-chan os.Signal, forget func()) {
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGHUP)
	return c, func() { signal.Stop(c) }
}

// mayChange tells whether a running agent can take a new value of the key. The
// route must stay the same, and what is open stays open.
func mayChange(key string) bool {
	switch key {
	case "oci.name", "oci.namespace", "oci.bucket", "oci.prefix", "s3.bucket_path":
		return false
	case "logging.level", "agent.poll_interval", "agent.lookback_days", "agent.max_concurrent_transfers",
		"retry.max_retries", "advanced.stall_timeout", "advanced.allow_insecure_endpoint":
		return true
	}
	return strings.HasPrefix(key, "oci.") || strings.HasPrefix(key, "s3.") || strings.HasPrefix(key, "limits.")
}

// reloads reads the configuration again at each SIGHUP until ctx ends.
func (g *running) reloads(ctx context.Context, a *app, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
		}
		g.manager.Reloading()
		a.logFile.Reopen() // logrotate may have renamed it
		if err := g.reload(ctx, a); err != nil {
			g.log.Error("the configuration was not reloaded, and all stays as it was", "err", err)
		}
		g.manager.Ready()
	}
}

// reload takes over what may change, with clients that read their credentials
// again. It changes all of that or, with an error, nothing.
func (g *running) reload(ctx context.Context, a *app) error {
	next, warnings, err := config.Load(config.Options{Path: a.config, Environ: a.env.Environ})
	for _, w := range warnings {
		g.log.Warn(fmt.Sprint(w))
	}
	if err != nil {
		return err
	}
	old := g.settings()
	now, changed, kept := old.Adopt(next, mayChange)
	fresh := &route{cfg: now, log: g.log, traces: g.traces}
	if err := fresh.openSides(ctx); err != nil {
		return err
	}
	former := g.sides.now.Load()
	g.sides.set(fresh.source, fresh.dest)
	former.source.Close()
	former.dest.Close()
	g.reloaded.Store(now)
	a.setLevel(now)
	if now.Agent.MaxConcurrentTransfers != old.Agent.MaxConcurrentTransfers {
		g.resize(now.Agent.MaxConcurrentTransfers)
	}
	if end := g.endRound.Load(); end != nil {
		(*end)() // the next scan begins at once, with the new settings
	}
	g.log.Info("the configuration was reloaded; credentials were read again", "changed", changed)
	if len(kept) > 0 {
		g.log.Warn("the configuration has other values of keys that change only with a restart; the old ones stay in force", "keys", kept)
	}
	return nil
}

// resize gives the copier another number of slots, and tells it to whoever asks
// over NATS.
func (g *running) resize(slots int) {
	g.limits.Configure(slots)
	g.unserve()
	g.unserve = g.serve(g.board.Status().Role)
}
