package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
)

// instance names this process among those of all hosts.
func instance() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}

// serve tells the status of this instance over NATS until stop is called. The
// embedded queue has nobody who could ask.
func (g *running) serve(role string) (stop func()) {
	if g.server != nil || !g.cfg.NATS.Service {
		return func() {}
	}
	stop, err := g.conn.Serve(nats.Service{
		Prefix: g.cfg.NATS.Prefix, Role: role, Version: version(), Metadata: g.metadata(role),
		Status:   func(ctx context.Context) any { return g.status(ctx) },
		Counters: func() any { return g.board.Status().Totals },
	})
	if err != nil {
		g.log.Warn("the status is not told over nats; all else goes on", "err", err)
		return func() {}
	}
	return stop
}

func (g *running) metadata(role string) map[string]string {
	host, pid, _ := strings.Cut(instance(), "/")
	m := map[string]string{
		"host": host, "pid": pid, "route": g.cfg.OCI.Name,
		"started": g.board.Status().Started.Format(time.RFC3339),
	}
	if role != "scanner" {
		m["slots"] = strconv.Itoa(g.settings().Agent.MaxConcurrentTransfers)
	}
	if r := revision(); r != "" {
		m["revision"] = r
	}
	return m
}

// revision is the commit that the program was built from, where the Go tool
// recorded it.
func revision() string {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}

// askInstances returns the status of every instance of any host; nil where the
// queue is embedded, or nats.service says that they do not tell.
func askInstances(ctx context.Context, cfg *config.Config) ([]agent.Status, error) {
	if cfg.Embedded() || !cfg.NATS.Service {
		return nil, nil
	}
	conn, err := connect(ctx, "status", natsOptions(cfg, "status"))
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	answers, err := conn.Statuses(ctx, cfg.NATS.Prefix)
	if err != nil {
		return nil, err
	}
	var out []agent.Status
	var unread error // one instance that cannot be read hides no other
	for _, a := range answers {
		var s agent.Status
		if err := json.Unmarshal(a, &s); err != nil {
			unread = fmt.Errorf("an instance answers what is no status; is it of another version? %w", err)
			continue
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(x, y agent.Status) int {
		return cmp.Or(cmp.Compare(x.Role, y.Role), cmp.Compare(x.Instance, y.Instance))
	})
	return out, unread
}

func printInstances(out io.Writer, all []agent.Status) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ROLE\tHOST/PID\tROUTE\tVERSION\tUP\tIN FLIGHT\tLAST SUCCESS\tREADY")
	for _, s := range all {
		ready := "yes"
		if !s.Ready {
			ready = "NO: " + s.Problem
		}
		if s.Paused != nil {
			ready += "; " + pausedText(s.Paused)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%v\t%d\t%s\t%s\n", s.Role, s.Instance, s.Route, s.Version,
			time.Since(s.Started).Round(time.Second), len(s.InFlight), when(lastSuccess(s)), ready)
	}
	return w.Flush()
}

// lastSuccess is the end of the last complete scan, or of the last copy where the
// instance does not scan.
func lastSuccess(s agent.Status) time.Time {
	if s.Role == "copier" && s.LastCopied != nil {
		return s.LastCopied.Ended
	}
	return s.LastSuccess
}
