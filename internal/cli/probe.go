package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/oci"
)

// probeKey is the name, below the destination path, of the multipart upload that
// proves the right to write. It is aborted and never becomes an object.
const probeKey = "oracle-focus-agent-access-check"

func (a *app) testCommand() *cobra.Command {
	var l liveTest
	cmd := &cobra.Command{
		Use: "test", Short: "Check the configuration, OCI, S3 and NATS; changes nothing", Args: cobra.NoArgs,
		Long: `Check the configuration, the access to OCI (signature and listing), the right to
write to S3 (by a multipart upload that is created and aborted, which leaves no
object) and NATS. It says as whom OCI is asked and what policy that needs. Each
line says what is wrong and what to do.

With --live, ask Oracle and the path instead what no document tells: which checksums
reports have, what the keys may do, what the store refuses. The steps that write are
taken only with consent: on a terminal it asks about each, elsewhere --yes-to gives it.
What was written is removed where the keys may, and named. The report holds no names
of yours and can be shared.`,
		Example: `  oracle-focus-agent test
  oracle-focus-agent test --live --report live-test.txt
  oracle-focus-agent test --live --yes-to upload,object,complete --report live-test.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := l.check(); err != nil {
				return err
			}
			if l.on {
				return a.live(cmd.Context(), l)
			}
			return a.test(cmd.Context())
		},
	}
	cmd.Flags().BoolVar(&l.on, "live", false, "ask the real sides what no document tells; writes only with consent")
	cmd.Flags().StringSliceVar(&l.yesTo, "yes-to", nil, "with --live: steps that may write without being asked about (upload, object, complete)")
	cmd.Flags().StringVar(&l.report, "report", "", "with --live: a new file for the report, as JSON where its name ends in .json")
	cmd.Flags().BoolVar(&l.json, "json", false, "with --live: print the report as JSON")
	return cmd
}

// A probe is one line of `test`.
type probe struct {
	name string
	run  func(context.Context, *route) (detail string, err error)
}

func (a *app) test(ctx context.Context) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	a.line("ok", "configuration", "valid")
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { _ = r.close() }() // nothing was changed that could be lost
	code := exitOK
	if err := r.openSides(ctx); err != nil {
		a.line("FAIL", "credentials", err.Error())
		return quietly(exitCode(err))
	}
	a.identity(r.source.Identity())
	for _, p := range []probe{{"oci", probeOCI}, {"s3", probeS3}, {"nats", probeNATS}} {
		detail, err := p.run(ctx, r)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil {
			a.line("FAIL", p.name, err.Error())
			code = worse(code, exitCode(err))
			continue
		}
		a.line("ok", p.name, detail)
	}
	a.channels(cfg)
	return quietly(code)
}

// identity says as whom OCI is asked and what policy that needs, word for word;
// the next line says whether it is there.
func (a *app) identity(id oci.Identity) {
	a.line("", "identity", fmt.Sprintf("%s: %s, region %s", id.Kind, id, id.Region))
	if rule := id.MatchingRule(); rule != "" {
		a.line("", "dynamic group", rule)
	}
	for _, statement := range id.Statements() {
		a.line("", "policy", statement)
	}
}

// worse of two exit codes: 130 beats 2 beats 3 beats 1.
func worse(x, y int) int {
	for _, code := range []int{exitInterrupted, exitConfig, exitAuth, exitRunning, exitError} {
		if x == code || y == code {
			return code
		}
	}
	return exitOK
}

func (a *app) line(verdict, name, detail string) {
	fmt.Fprintf(a.env.Stdout, "%-5s %-14s %s\n", verdict, name, detail)
}

func probeOCI(ctx context.Context, r *route) (string, error) {
	p, err := r.source.Check(ctx)
	if err != nil {
		return "", err
	}
	if !p.Found {
		return fmt.Sprintf("%s answers, but lists nothing below %q yet", r.source.Endpoint(), r.cfg.OCI.Prefix), nil
	}
	return fmt.Sprintf("%s accepts the signature and lists %q", r.source.Endpoint(), p.First.Name), nil
}

func probeS3(ctx context.Context, r *route) (string, error) {
	if err := r.dest.Check(ctx, r.cfg.S3.KeyPrefix()+probeKey); err != nil {
		return "", err
	}
	return fmt.Sprintf("may write below s3://%s/%s (%s)", r.cfg.S3.Bucket(), r.cfg.S3.KeyPrefix(), r.dest.Region()), nil
}

func probeNATS(ctx context.Context, r *route) (string, error) {
	if r.cfg.Embedded() {
		return probeEmbedded(ctx, r)
	}
	r.cfg.NATS.Manage = string(nats.Verify)
	if err := r.openQueue(ctx, "test"); err != nil {
		return "", err
	}
	s, err := r.conn.Status(ctx, r.assets)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s, stream %s: %d files waiting", s.Server, s.Version, r.assets.Files.Name, s.Live.Waiting+s.Backfill.Waiting), nil
}

func probeEmbedded(ctx context.Context, r *route) (string, error) {
	var s agent.Status
	err := askQuickly(ctx, r.cfg, "/v1/status", struct{}{}, &s)
	if err == nil {
		return fmt.Sprintf("embedded in the running agent (PID %d)", s.PID), s.Queue.Problem()
	}
	if !errors.Is(err, agent.ErrNotRunning) {
		return "", err
	}
	if _, err := os.Stat(r.cfg.StoreDir()); err != nil {
		return "embedded; its files will be made in " + r.cfg.StoreDir(), nil
	}
	if r.unlock, err = lockState(r.cfg); err != nil {
		return "", err
	}
	r.cfg.NATS.Manage = string(nats.Verify)
	if err := r.openQueue(ctx, "test"); err != nil {
		return "", err
	}
	return "embedded, files in " + r.cfg.StoreDir(), nil
}
