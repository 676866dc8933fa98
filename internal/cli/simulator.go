package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/simulator"
)

// simulate is what the simulator command was asked for.
type simulate struct {
	simulator.Options
	dir, envFile, policy string
	identityOnly         bool
}

func (a *app) simulatorCommand() *cobra.Command {
	var o simulate
	cmd := &cobra.Command{
		Use: "simulator", Short: "Run an OCI Object Storage and an S3 server on this host, to try things out", Args: cobra.NoArgs,
		Long: `Run an OCI Object Storage full of generated reports and an S3 server, both on
loopback, until a signal. It prints the environment variables that point the
other commands at them:

  oracle-focus-agent simulator --days 30 --env-file sim.env &
  set -a; . ./sim.env; set +a; oracle-focus-agent sync

With --advertise they may listen on any address: there is nothing in them but
generated data. In containers, one with --identity-only prepares the directory
that the agents read their API key from, before the others start.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch o.policy {
			case "all":
			case "put-only":
				o.Policy = simulator.PutOnly
			default:
				return &coded{exitConfig, fmt.Errorf("--policy %q: use all or put-only", o.policy)}
			}
			return a.simulate(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the generated reports")
	f.IntVar(&o.Days, "days", 30, "report days, up to today")
	f.IntVar(&o.FilesPerDay, "files", 7, "files of each day")
	f.IntVar(&o.Rows, "rows", 200, "rows of a usual file")
	f.Int64Var(&o.FileSize, "size", 0, "size of every file in bytes, random data in place of reports (default: reports)")
	f.StringVar(&o.OCIAddress, "oci-address", "127.0.0.1:9081", "address of OCI")
	f.StringVar(&o.S3Address, "s3-address", "127.0.0.1:9082", "address of S3")
	f.StringVar(&o.ControlAddress, "control-address", "", "address of a server that compares both sides, adds reports and plans faults for whoever asks, such as "+controlAddress+" (default: none)")
	f.StringVar(&o.Advertise, "advertise", "", "host under which others reach the simulator, for addresses that are not loopback")
	f.StringVar(&o.dir, "dir", "simulator", "directory of the API key, and of the S3 server's objects")
	f.StringVar(&o.envFile, "env-file", "", "also write the variables to this file, once both servers answer (with --identity-only: simulator.env in the directory)")
	f.BoolVar(&o.identityOnly, "identity-only", false, "write API key, OCI configuration and variables, then end")
	f.StringVar(&o.policy, "policy", "all", "what the S3 key may do: all, or put-only")
	cmd.AddCommand(a.simulatorCheckCommand(), a.simulatorAddCommand())
	return cmd
}

func (a *app) simulate(ctx context.Context, o simulate) error {
	key := filepath.Join(o.dir, "oci", "oci_api_key.pem")
	if _, err := os.Stat(key); err == nil {
		o.KeyFile = key
	}
	o.S3Dir = filepath.Join(o.dir, "s3")
	begin := simulator.New
	if o.identityOnly {
		begin = simulator.Prepare
	}
	sim, err := begin(o.Options)
	if err != nil {
		return err
	}
	defer sim.Close()
	text, err := o.write(sim)
	if err != nil {
		return err
	}
	fmt.Fprint(a.env.Stdout, text)
	if !o.identityOnly {
		<-ctx.Done()
	}
	return nil
}

// write writes what the users of a simulation need, and returns the variables.
func (o *simulate) write(sim *simulator.Simulation) (text string, err error) {
	environ, err := environOf(sim, filepath.Join(o.dir, "oci"))
	if err != nil {
		return "", err
	}
	text = strings.Join(environ, "\n") + "\n"
	file := o.envFile
	if file == "" && o.identityOnly {
		file = filepath.Join(o.dir, "simulator.env")
	}
	if file == "" {
		return text, nil
	}
	if err := os.WriteFile(file+".new", []byte(text), 0o600); err != nil {
		return "", err
	}
	return text, os.Rename(file+".new", file)
}

// environOf points the configuration at a simulation whose API key is in dir.
func environOf(sim *simulator.Simulation, dir string) ([]string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	file, err := sim.WriteOCIConfig(dir)
	if err != nil {
		return nil, err
	}
	if file, err = filepath.Abs(file); err != nil {
		return nil, err
	}
	return sim.Environment(file), nil
}
