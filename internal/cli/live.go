package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/term"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/internal/s3"
)

// liveSchema is the number of the form of the report.
const liveSchema = 1

// A liveTest is `test --live`.
type liveTest struct {
	on     bool
	yesTo  []string // steps that may write
	report string   // a file
	json   bool
}

// check refuses flags that mean nothing together, before anything is asked.
func (l liveTest) check() error {
	if !l.on && (len(l.yesTo) > 0 || l.report != "" || l.json) {
		return &coded{exitConfig, errors.New("--yes-to, --report and --json belong to test --live")}
	}
	if _, err := os.Lstat(l.report); l.report != "" && err == nil {
		return &coded{exitConfig, fmt.Errorf("%s exists and was left alone; name another file with --report", l.report)}
	}
	if dir := filepath.Dir(l.report); l.report != "" {
		if _, err := os.Stat(dir); err != nil {
			return &coded{exitConfig, fmt.Errorf("--report: %w", err)}
		}
	}
	return nil
}

// live asks the other sides what no document tells, and shows and writes the report,
// also of a test that a signal ended. It keeps nothing: a crash leaves at most what the
// step that was under way had said that it writes.
func (a *app) live(ctx context.Context, l liveTest) error {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { _ = r.close() }() // nothing was changed that could be lost
	if err := r.openSides(ctx); err != nil {
		return err
	}
	steps := r.liveSteps()
	if err := knownSteps(l.yesTo, steps); err != nil {
		return err
	}
	report := live.Report{Schema: liveSchema, Version: version(), At: time.Now().UTC().Truncate(time.Second), Source: r.liveSource(), Destination: r.liveDestination()}
	report.Steps, err = live.Run(ctx, steps, a.liveConsent(cfg, l.yesTo, a.terminal()), r.liveSecrets())
	report.Complete = err == nil
	a.tellWritten(cfg, report)
	if err := errors.Join(err, a.showLive(report, l)); err != nil {
		return err
	}
	switch lacks, right := report.Lacks(); {
	case right:
		return quietly(exitAuth)
	case len(lacks) > 0:
		return quietly(exitError)
	}
	return nil
}

func (r *route) liveSteps() []live.Step {
	return append([]live.Step{r.source.LiveStep()}, r.dest.LiveSteps(s3.LivePlace{
		Prefix: r.cfg.S3.KeyPrefix(),
		Ours: func(key string) bool {
			_, _, ok := r.naming.Parse(key)
			return ok
		},
	})...)
}

// knownSteps refuses a consent to something that is no step.
func knownSteps(names []string, steps []live.Step) error {
	var writing []string
	for _, s := range steps {
		if s.Writes != "" {
			writing = append(writing, s.Name)
		}
	}
	for _, n := range names {
		if !slices.Contains(writing, n) {
			return &coded{exitConfig, fmt.Errorf("--yes-to %q: the steps that write are %s", n, strings.Join(writing, ", "))}
		}
	}
	return nil
}

// terminal is who can be asked; nil where nobody can.
func (a *app) terminal() *interview {
	in, ok := a.env.Stdin.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil
	}
	return &interview{bufio.NewReader(in), a.env.Stderr}
}

// liveConsent asks who can be asked, and takes only a y for a yes. Elsewhere only
// --yes-to is consent.
func (a *app) liveConsent(cfg *config.Config, yesTo []string, ask *interview) live.Consent {
	return func(ctx context.Context, s live.Step) (bool, error) {
		writes := fullName(cfg, s.Writes)
		switch {
		case slices.Contains(yesTo, s.Name):
			fmt.Fprintf(a.env.Stderr, "step %s: %s\n", s.Name, writes)
			return true, nil
		case ask == nil:
			fmt.Fprintf(a.env.Stderr, "step %s is left out, since it %s; to take it, add --yes-to %s\n", s.Name, writes, s.Name)
			return false, nil
		}
		fmt.Fprintf(a.env.Stderr, "\nThe step %s %s.\nTake it? [y/N] ", s.Name, writes)
		answer, err := ask.line(ctx)
		if err != nil && ctx.Err() == nil {
			err = fmt.Errorf("the input ended before the step %s; it was not taken", s.Name)
		}
		answer = strings.ToLower(answer)
		return answer == "y" || answer == "yes", err
	}
}

// fullName puts the path before the names of the test, for the eyes of the operator.
func fullName(cfg *config.Config, text string) string {
	return strings.Replace(text, s3.LiveObject, "s3://"+cfg.S3.Bucket()+"/"+cfg.S3.KeyPrefix()+s3.LiveObject, 1)
}

// tellWritten names what was written, in full, on stderr: the report is to be shared.
func (a *app) tellWritten(cfg *config.Config, r live.Report) {
	for _, s := range r.Steps {
		for _, w := range s.Wrote {
			fate := w.Fate
			if w.Fate != live.Removed {
				fate = strings.ToUpper(w.Fate) + " (" + w.Why + ")"
			}
			fmt.Fprintf(a.env.Stderr, "%s: %s\n", fullName(cfg, w.Name), fate)
		}
	}
}

// showLive prints the report, and writes it where a file was named: as JSON into
// one whose name ends in .json, else as text.
func (a *app) showLive(r live.Report, l liveTest) error {
	var text, raw bytes.Buffer
	if err := errors.Join(r.WriteText(&text), r.WriteJSON(&raw)); err != nil {
		return err
	}
	shown, kept := text.Bytes(), text.String()
	if l.json {
		shown = raw.Bytes()
	}
	if strings.HasSuffix(l.report, ".json") {
		kept = raw.String()
	}
	if _, err := a.env.Stdout.Write(shown); err != nil || l.report == "" {
		return err
	}
	if err := writeConfig(l.report, kept, false); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	fmt.Fprintf(a.env.Stderr, "wrote %s; it names neither you nor your files\n", l.report)
	return nil
}

func endpointOf(owner, endpoint string) string {
	if endpoint == "" {
		return owner + "'s endpoint"
	}
	return "another endpoint than " + owner + "'s"
}

// liveSource is how the source is reached, without a name.
func (r *route) liveSource() string {
	id := r.source.Identity()
	return fmt.Sprintf("%s, region %s, %s", id.Kind, id.Region, endpointOf("Oracle", r.cfg.OCI.Endpoint))
}

// liveDestination is how the destination is reached and what is asked of it, so far as
// it is not a name.
func (r *route) liveDestination() string {
	c := r.cfg.S3
	parts := []string{"region " + r.dest.Region(), endpointOf("Amazon", c.Endpoint)}
	for _, option := range []struct {
		name string
		set  bool
	}{
		{"path_style", c.PathStyle}, {"storage_class", c.StorageClass != ""}, {"sse", c.SSE != ""}, {"kms_key_id", c.KMSKeyID != ""},
		{"acl", c.ACL != ""}, {"tags", c.Tags.Query() != ""}, {"expected_bucket_owner", c.ExpectedBucketOwner != ""},
	} {
		if option.set {
			parts = append(parts, option.name)
		}
	}
	return strings.Join(parts, ", ")
}

// liveSecrets are the names that no report may hold. It is built without them; this is
// the second lock.
func (r *route) liveSecrets() []string {
	c, id := r.cfg, r.source.Identity()
	secrets := []string{
		c.OCI.Bucket, id.Tenancy, id.User, id.Fingerprint, id.ConfigFile, c.OCI.Endpoint, c.S3.Endpoint,
		c.S3.Bucket(), c.S3.AccessKeyID.Reveal(), c.S3.ExpectedBucketOwner, c.S3.KMSKeyID,
	}
	return append(secrets, strings.Split(c.S3.KeyPrefix(), "/")...)
}
