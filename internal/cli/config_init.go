package cli

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	focus "oracle-focus-agent"
	"oracle-focus-agent/internal/config"
)

// A question is one value that `config init` needs, from a flag or a person.
type question struct {
	key, text string
	unset     string // what no answer means; empty where there must be one
}

func questions() []question {
	return []question{
		{"oci.bucket", "OCID of the tenancy", ""},
		{"s3.bucket_path", "S3 path that Umbrella gave", ""},
		{"oci.region", "home region of the tenancy", "the region of the OCI profile"},
		{"oci.profile", "OCI profile", "DEFAULT"},
		{"s3.profile", "AWS profile", "$AWS_PROFILE, then default"},
		{"agent.since", "first report day, YYYY-MM-DD", "35 days back"},
	}
}

func (q question) flag() string { return strings.NewReplacer(".", "-", "_", "-").Replace(q.key) }

func (a *app) configInitCommand() *cobra.Command {
	force := false
	given := map[string]*string{}
	cmd := &cobra.Command{
		Use: "init", Short: "Write a commented configuration; asks on a terminal", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent config init\n  oracle-focus-agent config init --oci-bucket ocid1.tenancy.oc1..your-tenancy --s3-bucket-path s3://bucket/path --oci-region us-ashburn-1",
		Long: `Write a commented configuration file with mode 0600: the one that --config names,
else $FOCUS_CONFIG, else ./config.yaml. On a terminal it asks for what no flag
gives. It asks for no secret: the AWS profile or the environment holds those.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			answers := map[string]string{}
			for key, value := range given {
				answers[key] = *value
			}
			return a.configInit(cmd.Context(), answers, force)
		},
	}
	for _, q := range questions() {
		usage := q.text
		if q.unset != "" {
			usage += " (default " + q.unset + ")"
		}
		given[q.key] = cmd.Flags().String(q.flag(), "", usage)
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace the file if there is one")
	return cmd
}

func (a *app) configInit(ctx context.Context, answers map[string]string, force bool) error {
	path := cmp.Or(a.config, a.getenv("FOCUS_CONFIG"), "config.yaml")
	if _, err := os.Lstat(path); err == nil && !force {
		return exists(path)
	}
	if err := placeFor(path); err != nil {
		return err
	}
	in, terminal := a.env.Stdin.(*os.File)
	terminal = terminal && term.IsTerminal(int(in.Fd()))
	if err := judge(answers, terminal); err != nil {
		return err
	}
	if terminal {
		i := interview{bufio.NewReader(in), a.env.Stderr}
		if err := i.complete(ctx, answers); err != nil {
			return left(ctx, err)
		}
	}
	text, err := config.Fill(focus.Template, answers)
	if err != nil {
		return err
	}
	if err := writeConfig(path, titled(text), force); err != nil {
		return unwritten(path, err)
	}
	fmt.Fprintf(a.env.Stdout, "wrote %s\nnext: oracle-focus-agent test --config %[1]s\n      oracle-focus-agent run --config %[1]s\n", path)
	return nil
}

// titled replaces what the template says about itself.
func titled(text string) string {
	if i := strings.Index(text, "# A flag beats"); i > 0 {
		text = text[i:]
	}
	return `# Configuration of oracle-focus-agent, written by "config init". What is not needed
# may go: each value that was not given is the default.
#
` + text
}

// judge drops what nobody gave and refuses what is wrong with the rest: without
// a terminal also what is missing.
func judge(answers map[string]string, terminal bool) error {
	var wrong []string
	for _, q := range questions() {
		value := answers[q.key]
		p := config.Judge(q.key, value)
		switch {
		case value == "":
			delete(answers, q.key)
			if q.unset == "" && !terminal {
				wrong = append(wrong, "--"+q.flag()+" is required, because there is no terminal to ask on: "+q.text)
			}
		case p != nil:
			wrong = append(wrong, "--"+q.flag()+": "+p.Text+"; fix: "+p.Fix)
		}
	}
	if len(wrong) > 0 {
		return &coded{exitConfig, errors.New(strings.Join(wrong, "\n"))}
	}
	return nil
}

// An interview asks a person.
type interview struct {
	in  *bufio.Reader
	out io.Writer
}

// complete asks for what answers lack, and again until the answer is good.
func (i interview) complete(ctx context.Context, answers map[string]string) error {
	for _, q := range questions() {
		if answers[q.key] != "" {
			continue
		}
		value, err := i.ask(ctx, q)
		if err != nil {
			return err
		}
		if value != "" {
			answers[q.key] = value
		}
	}
	return nil
}

func (i interview) ask(ctx context.Context, q question) (string, error) {
	for {
		fmt.Fprint(i.out, q.text)
		if q.unset != "" {
			fmt.Fprintf(i.out, " [%s]", q.unset)
		}
		fmt.Fprint(i.out, ": ")
		value, err := i.line(ctx)
		if err != nil {
			return "", err
		}
		p := config.Judge(q.key, value)
		switch {
		case value == "" && q.unset == "":
			fmt.Fprintln(i.out, "  this one is required")
		case value == "" || p == nil:
			return value, nil
		default:
			fmt.Fprintf(i.out, "  %s; fix: %s\n", p.Text, p.Fix)
		}
	}
}

// left is err for one who was asked before anything was written, and broke it off.
func left(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return &coded{exitInterrupted, errors.New("interrupted; nothing was written")}
	}
	return err
}

// line waits for a line or the end of ctx; then the reading goes on behind it
// until the process ends.
func (i interview) line(ctx context.Context) (string, error) {
	type read struct {
		text string
		err  error
	}
	done := make(chan read, 1)
	go func() {
		text, err := i.in.ReadString('\n')
		done <- read{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(i.out)
		return "", ctx.Err()
	case r := <-done:
		if r.err != nil {
			return "", fmt.Errorf("the input ended before the last answer (%w); nothing was written", r.err)
		}
		return strings.TrimSpace(r.text), nil
	}
}

// placeFor refuses a path at which no file can be made, before any work for one.
func placeFor(path string) error {
	dir := filepath.Dir(path)
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return &coded{exitConfig, fmt.Errorf("the directory %s does not exist, and nothing was written; create it (mkdir -p %s) or name a file elsewhere", dir, shellQuoted(dir))}
	case err != nil:
		return &coded{exitConfig, fmt.Errorf("%w; name a file elsewhere", err)}
	case !info.IsDir():
		return &coded{exitConfig, fmt.Errorf("%s is not a directory; name a file elsewhere", dir)}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return &coded{exitConfig, fmt.Errorf("%s is a directory; name a file in it", path)}
	}
	return nil
}

// unwritten is err for one whom the system kept from writing path.
func unwritten(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &coded{exitConfig, fmt.Errorf("%w; let this user write to %s, or name a file elsewhere", err, filepath.Dir(path))}
	}
	return err
}

// writeConfig makes the file appear whole or not at all, for its owner only.
func writeConfig(path, text string, force bool) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if force {
		return os.Rename(f.Name(), path)
	}
	if err := os.Link(f.Name(), path); errors.Is(err, fs.ErrExist) {
		return exists(path)
	} else if err != nil {
		return err
	}
	return nil
}

func exists(path string) error {
	return &coded{exitConfig, fmt.Errorf("%s exists and was left alone; name another file with --config, or replace it with --force", path)}
}
