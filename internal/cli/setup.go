package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/nats"
)

func (a *app) setupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "setup", Short: "Create or compare the streams, consumers and the ledger in NATS", Args: cobra.NoArgs,
		Long: `Create the streams, consumers and the key-value bucket in NATS, or compare those
that exist with what this version needs. A difference that nobody but an operator
can resolve is named and refused. Running it again is harmless.`,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
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
			a.list("created", r.report.Created)
			a.list("updated", r.report.Updated)
			a.list("unchanged", r.report.Unchanged)
			return nil
		},
	}
}

func (a *app) list(what string, names []string) {
	for _, name := range names {
		fmt.Fprintf(a.env.Stdout, "%-9s %s\n", what, name)
	}
}
