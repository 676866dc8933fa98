package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natsserver"
	"oracle-focus-agent/internal/simulator"
)

func (a *app) setupCommand() *cobra.Command {
	var server natsserver.Options
	var identity string
	var dryRun bool
	cmd := &cobra.Command{
		Use: "setup", Short: "Create or compare the streams, consumers and the ledger in NATS", Args: cobra.NoArgs,
		Long: `Create the streams, consumers and the key-value bucket in NATS, or compare those
that exist with what this version needs. A difference that nobody but an operator
can resolve is named and refused. Running it again is harmless. --dry-run tells what
would be done, and does nothing.

With --nats-config it connects to nothing and writes what a nats-server of your own
needs: server/nats.conf with its certificate, and a key for each role, with the
least that it may do. Of the configuration only nats.prefix and oci.name count.
Keys that exist are kept; nats.conf is written anew, and the certificate, which is
good for 825 days, is renewed where it lacks a host or has less than 400 days left.
With --cluster the files are those of each server of a cluster, which takes its name
from the variable NATS_SERVER_NAME.`,
		Example: "  oracle-focus-agent setup\n  oracle-focus-agent setup --nats-config /etc/oracle-focus-nats --host nats.example.com",
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case server.Dir != "" && dryRun:
				return &coded{exitConfig, errors.New("--dry-run is about the streams; --nats-config never replaces a key, and can be tried with another DIR")}
			case server.Dir != "":
				return errors.Join(a.setupServer(server), a.setupSimulator(identity))
			case cmd.Flags().Changed("host") || cmd.Flags().Changed("store-dir") || cmd.Flags().Changed("cluster"):
				return &coded{exitConfig, errors.New("--host, --cluster and --store-dir are for the server that --nats-config writes for; add --nats-config DIR")}
			}
			if dryRun {
				return a.setupPlan(cmd.Context())
			}
			return a.setup(cmd)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "tell what would be created and updated, and do nothing (exit 2: it would be refused)")
	cmd.Flags().StringVar(&server.Dir, "nats-config", "", "write the files of a nats-server below this directory, and end")
	cmd.Flags().StringSliceVar(&server.Hosts, "host", []string{"nats", "localhost", "127.0.0.1"}, "names and addresses that clients reach that server at")
	cmd.Flags().StringSliceVar(&server.Cluster, "cluster", nil, "hosts of the three or five servers that it is to be one of")
	cmd.Flags().StringVar(&server.StoreDir, "store-dir", "/data", "where that server keeps its streams")
	cmd.Flags().StringVar(&identity, "simulator", "", "with --nats-config: also write the identity of the demo's simulator there")
	_ = cmd.Flags().MarkHidden("simulator")
	return cmd
}

// setupSimulator is for the demo's stack, whose scanner and copiers find their
// API key as they find their keys for NATS: made before they start.
func (a *app) setupSimulator(dir string) error {
	if dir == "" {
		return nil
	}
	return a.simulate(context.Background(), simulate{dir: dir, identityOnly: true, Options: simulator.Options{
		OCIAddress: "0.0.0.0:9081", S3Address: "0.0.0.0:9082", Advertise: "simulator",
	}})
}

func (a *app) setup(cmd *cobra.Command) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.lockEmbedded(); err != nil {
		return err
	}
	cfg.NATS.Manage = string(nats.Create)
	if err := r.openQueue(cmd.Context(), "setup"); err != nil {
		return err
	}
	a.listReport(r.report)
	p, err := r.conn.ApplyPause(cmd.Context(), r.assets, r.ledger) // consumers that were made just now
	if p != nil {
		fmt.Fprintln(a.env.Stdout, pausedText(p))
	}
	return err
}

// setupPlan tells what setup would do.
func (a *app) setupPlan(ctx context.Context) error {
	h, err := a.held(ctx)
	if err != nil {
		return err
	}
	for _, i := range h.Assets {
		a.list(setupVerb(i.Verdict), []string{i.Asset})
		for _, d := range i.Differences {
			fmt.Fprintf(a.env.Stdout, "%14s%s is %s, want %s\n", "", d.Field, d.Has, d.Wants)
		}
	}
	if len(h.Assets) == 0 {
		fmt.Fprintln(a.env.Stdout, "the queue inside the agent was never started; all of it will be created")
	}
	if h.Remedy != "" {
		return &coded{exitConfig, errors.New("setup would refuse this and change nothing; " + h.Remedy)}
	}
	return nil
}

func setupVerb(v nats.Verdict) string {
	switch v {
	case nats.Missing:
		return "create"
	case nats.Outdated:
		return "update"
	case nats.Refused:
		return "refuse"
	}
	return "unchanged"
}

// setupServer writes the files of a nats-server.
func (a *app) setupServer(o natsserver.Options) error {
	cfg, err := a.read(config.Options{Incomplete: true})
	if err != nil {
		return err
	}
	o.Prefix, o.Route = cfg.NATS.Prefix, cfg.OCI.Name
	report, err := natsserver.Write(o)
	a.listReport(report)
	if err != nil {
		return &coded{exitConfig, err}
	}
	return nil
}

func (a *app) listReport(r nats.Report) {
	a.list("created", r.Created)
	a.list("updated", r.Updated)
	a.list("unchanged", r.Unchanged)
}

func (a *app) list(what string, names []string) {
	for _, name := range names {
		fmt.Fprintf(a.env.Stdout, "%-9s %s\n", what, name)
	}
}
