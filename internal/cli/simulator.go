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

func (a *app) simulatorCommand() *cobra.Command {
	var o simulator.Options
	var dir, envFile, policy string
	cmd := &cobra.Command{
		Use: "simulator", Short: "Run an OCI Object Storage and an S3 server on this host, to try things out", Args: cobra.NoArgs,
		Long: `Run an OCI Object Storage full of generated reports and an S3 server, both on
loopback, until a signal. It prints the environment variables that point the
other commands at them:

  oracle-focus-agent simulator --days 30 --env-file sim.env &
  set -a; . ./sim.env; set +a; oracle-focus-agent sync`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch policy {
			case "all":
			case "put-only":
				o.Policy = simulator.PutOnly
			default:
				return &coded{exitConfig, fmt.Errorf("--policy %q: use all or put-only", policy)}
			}
			return a.simulate(cmd.Context(), o, dir, envFile)
		},
	}
	f := cmd.Flags()
	f.Uint64Var(&o.Seed, "seed", 1, "seed of the generated reports")
	f.IntVar(&o.Days, "days", 30, "report days, up to today")
	f.IntVar(&o.FilesPerDay, "files", 7, "files of each day")
	f.IntVar(&o.Rows, "rows", 200, "rows of a usual file")
	f.Int64Var(&o.FileSize, "size", 0, "size of every file in bytes, random data in place of reports (default: reports)")
	f.StringVar(&o.OCIAddress, "oci-address", "127.0.0.1:9081", "loopback address of OCI")
	f.StringVar(&o.S3Address, "s3-address", "127.0.0.1:9082", "loopback address of S3")
	f.StringVar(&dir, "dir", "simulator", "directory of the API key, and of the S3 server's objects")
	f.StringVar(&envFile, "env-file", "", "also write the variables to this file, once both servers answer")
	f.StringVar(&policy, "policy", "all", "what the S3 key may do: all, or put-only")
	return cmd
}

func (a *app) simulate(ctx context.Context, o simulator.Options, dir, envFile string) error {
	if err := os.MkdirAll(filepath.Join(dir, "s3"), 0o700); err != nil {
		return err
	}
	key := filepath.Join(dir, "oci", "oci_api_key.pem")
	if _, err := os.Stat(key); err == nil {
		o.KeyFile = key
	}
	o.S3Dir = filepath.Join(dir, "s3")
	sim, err := simulator.New(o)
	if err != nil {
		return err
	}
	defer sim.Close()
	environ, err := environOf(sim, filepath.Join(dir, "oci"))
	if err != nil {
		return err
	}
	text := strings.Join(environ, "\n") + "\n"
	if envFile != "" {
		if err := os.WriteFile(envFile+".new", []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Rename(envFile+".new", envFile); err != nil {
			return err
		}
	}
	fmt.Fprint(a.env.Stdout, text)
	<-ctx.Done()
	return nil
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
