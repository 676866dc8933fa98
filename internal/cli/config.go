package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", Short: "Write, check and explain the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }, // without it cobra takes any word for a call for help
	}
	var asJSON, dotenv bool
	check := &cobra.Command{
		Use: "check", Short: "Check the configuration without a connection to anything", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent config check --config config.yaml",
		RunE:    func(*cobra.Command, []string) error { return a.configCheck(asJSON) },
	}
	show := &cobra.Command{
		Use: "show", Short: "Show every value that is in effect, and where it came from", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent config show --config config.yaml\n  oracle-focus-agent config show --json",
		RunE:    func(*cobra.Command, []string) error { return a.configShow(asJSON) },
	}
	env := &cobra.Command{
		Use: "env", Short: "List the environment variables", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent config env",
		RunE:    func(*cobra.Command, []string) error { return a.configEnv(asJSON, dotenv) },
	}
	env.Flags().BoolVar(&dotenv, "dotenv", false, "print them as an environment file, the defaults as comments")
	schema := &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of the file, for editors", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent config schema > config.schema.json",
		RunE: func(*cobra.Command, []string) error {
			_, err := a.env.Stdout.Write(config.Schema())
			return err
		},
	}
	for _, c := range []*cobra.Command{check, show, env} {
		c.Flags().BoolVar(&asJSON, "json", false, "print one JSON value")
	}
	env.MarkFlagsMutuallyExclusive("json", "dotenv")
	cmd.AddCommand(a.configInitCommand(), check, show, env, schema)
	return cmd
}

// A verdict is what `config check --json` prints.
type verdict struct {
	Valid       bool             `json:"valid"`
	File        string           `json:"file,omitempty"`
	Route       string           `json:"route,omitempty"`
	Source      string           `json:"source,omitempty"`
	Destination string           `json:"destination,omitempty"`
	Queue       string           `json:"queue,omitempty"`
	Problems    []config.Problem `json:"problems"`
	Warnings    []config.Warning `json:"warnings"`
}

func (a *app) configCheck(asJSON bool) error {
	if !asJSON {
		cfg, _, err := a.load()
		if err != nil {
			return err
		}
		v := judged(cfg)
		for _, w := range v.Warnings {
			fmt.Fprintf(a.env.Stderr, "warning: %v\n", w)
		}
		file := v.File
		if file == "" {
			file = "the environment (there is no file)"
		}
		fmt.Fprintf(a.env.Stdout, "%s is valid: route %s, from %s to %s, queue %s\n", file, v.Route, v.Source, v.Destination, v.Queue)
		return nil
	}
	cfg, warnings, err := config.Load(config.Options{Path: a.config, Environ: a.env.Environ})
	v := judged(cfg)
	if e, ok := errors.AsType[*config.Error](err); ok {
		v.Problems = e.Problems
	} else if err != nil {
		return err
	}
	v.Warnings = slices.Insert(v.Warnings, 0, warnings...) // never null
	if err := a.printJSON(v); err != nil || v.Valid {
		return err
	}
	return quietly(exitConfig)
}

// judged is the verdict over a configuration; nil is one with problems.
func judged(cfg *config.Config) verdict {
	v := verdict{Problems: []config.Problem{}, Warnings: []config.Warning{}}
	if cfg == nil {
		return v
	}
	v.Valid, v.File, v.Route = true, cfg.File(), cfg.OCI.Name
	v.Source = fmt.Sprintf("%s/%s/%s", cfg.OCI.Namespace, cfg.OCI.Bucket, cfg.OCI.Prefix)
	v.Destination = "s3://" + cfg.S3.Bucket() + "/" + cfg.S3.KeyPrefix()
	v.Queue = "at " + cfg.NATS.URL
	if cfg.Embedded() {
		v.Queue = "embedded, in " + cfg.StoreDir()
	}
	if w := cfg.PythonStateMissing(); w != nil {
		v.Warnings = append(v.Warnings, *w)
	}
	return v
}

func (a *app) configShow(asJSON bool) error {
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(cfg.Settings())
	}
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tORIGIN")
	for _, s := range cfg.Settings() {
		value := s.Value
		switch {
		case s.Set:
			value = "(set)"
		case s.Secret:
			value = "(not set)"
		case value == "" || strings.TrimSpace(value) != value:
			value = fmt.Sprintf("%q", value)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", s.Key, value, s.Origin)
	}
	return w.Flush()
}

// A variable is one line of `config env`.
type variable struct {
	Name        string `json:"name"`
	File        string `json:"file,omitempty"` // the variable that names a file with the value
	Key         string `json:"key"`
	Default     string `json:"default"`
	Description string `json:"description"`
}

func (a *app) configEnv(asJSON, dotenv bool) error {
	if dotenv {
		_, err := fmt.Fprint(a.env.Stdout, config.Dotenv())
		return err
	}
	var all []variable
	for _, k := range config.Keys() {
		all = append(all, variable{k.Env, k.EnvFile, k.Path, k.Default, k.Doc})
	}
	if asJSON {
		return a.printJSON(all)
	}
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "VARIABLE\tKEY\tDEFAULT\tDESCRIPTION")
	for _, v := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Name, v.Key, v.Default, v.Description)
		if v.File != "" {
			fmt.Fprintf(w, "%s\t%s\t\tfile that holds the value\n", v.File, v.Key)
		}
	}
	fmt.Fprintln(w, "FOCUS_CONFIG\t\t\tconfiguration file, as --config")
	return w.Flush()
}
