package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"oracle-focus-agent/internal/config"
)

// help finishes the commands: what is mistyped is answered with what was probably
// meant, and a shell completes what it can.
func help(root *cobra.Command) error {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.SetFlagErrorFunc(mistypedFlag)
	if err := root.MarkPersistentFlagFilename("config", "yaml", "yml"); err != nil {
		return err
	}
	root.Version = version()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(cmd *cobra.Command) {
		switch {
		case cmd.HasParent() && cmd.HasSubCommands():
			cmd.Args = mistypedCommand
			if cmd.RunE == nil { // without it cobra takes any word for a call for help
				cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
			}
		case cmd.Parent() == root && cmd.Name() == "help":
			cmd.Args = mistypedTopic
		}
	})
	return nil
}

// mistypedTopic refuses to help with a command that is not there.
func mistypedTopic(cmd *cobra.Command, args []string) error {
	topic, rest, err := cmd.Root().Find(args)
	if err != nil || len(rest) == 0 || topic == cmd.Root() {
		return err
	}
	return mistypedCommand(topic, rest)
}

// each calls do with cmd and all commands below it.
func each(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, c := range cmd.Commands() {
		each(c, do)
	}
}

// mistypedCommand refuses the arguments of a command that only has others below it.
func mistypedCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], cmd.CommandPath(), meant(args[0], names))
}

func mistypedFlag(cmd *cobra.Command, err error) error {
	unknown, ok := errors.AsType[*pflag.NotExistError](err)
	if !ok || len(unknown.GetSpecifiedName()) < 2 {
		return err
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s", err, meant("--"+unknown.GetSpecifiedName(), names))
}

func meant(word string, names []string) string {
	if hint := config.Suggest(word, names); hint != "" {
		return "; " + hint
	}
	return ""
}

// failedNames are the files that the commands of `failed` can name, as far as a running agent
// tells them at once.
func (a *app) failedNames(cmd *cobra.Command, given []string, begun string) ([]cobra.Completion, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(cmd.Context(), time.Second)
	defer cancel()
	cfg, _, err := config.Load(config.Options{Path: a.config, Environ: a.env.Environ, Incomplete: true})
	var files []failedFile
	if err == nil {
		err = askQuickly(ctx, cfg, "/v1/failed", selection{}, &files)
	}
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, f := range files {
		if name := path.Base(f.Object); strings.HasPrefix(name, begun) {
			names = append(names, cobra.CompletionWithDesc(name, f.Error))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
