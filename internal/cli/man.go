package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func (a *app) manCommand() *cobra.Command {
	return &cobra.Command{
		Use: "man DIR", Short: "Write a manual page for each command into a directory", Args: cobra.ExactArgs(1), Hidden: true,
		Example: "  oracle-focus-agent man /usr/local/share/man/man1",
		RunE:    func(cmd *cobra.Command, args []string) error { return writeManual(cmd.Root(), args[0]) },
	}
}

// writeManual writes NAME.1 for each command that the help shows. The generator of
// cobra takes the texts for Markdown, which would run the lines of tables together.
func writeManual(root *cobra.Command, dir string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(cmd *cobra.Command) {
		if err == nil && (cmd == root || cmd.IsAvailableCommand()) {
			err = os.WriteFile(filepath.Join(dir, page(cmd)+".1"), []byte(manual(cmd)), 0o644)
		}
	})
	return err
}

// page is the name of the page of a command.
func page(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// manual is the page of one command, in the macros of man(7).
func manual(cmd *cobra.Command) string {
	cmd.InitDefaultHelpFlag()
	var b strings.Builder
	fmt.Fprintf(&b, ".TH %s 1 \"\" %s\n", strings.ToUpper(page(cmd)), quoted(cmd.Root().Name()+" "+version()))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(page(cmd)), roff(cmd.Short))
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	verbatim(&b, "DESCRIPTION", cmd.Long)
	flags(&b, "OPTIONS", cmd.NonInheritedFlags())
	flags(&b, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	verbatim(&b, "EXAMPLES", cmd.Example)
	if !cmd.HasParent() {
		return b.String() + related(cmd)
	}
	verbatim(&b, "EXIT STATUS", exitTable())
	return b.String() + related(cmd)
}

// related are the commands above and below.
func related(cmd *cobra.Command) string {
	var pages []string
	if cmd.HasParent() {
		pages = append(pages, page(cmd.Parent()))
	}
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			pages = append(pages, page(c))
		}
	}
	if len(pages) == 0 {
		return ""
	}
	for i, p := range pages {
		pages[i] = ".BR " + roff(p) + " (1)"
	}
	return ".SH SEE ALSO\n" + strings.Join(pages, ",\n") + "\n"
}

// verbatim writes a text as it stands, line by line.
func verbatim(b *strings.Builder, heading, text string) {
	if text != "" {
		fmt.Fprintf(b, ".SH %s\n.nf\n%s\n.fi\n", heading, roff(text))
	}
}

func flags(b *strings.Builder, heading string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", heading)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		what, usage := pflag.UnquoteUsage(f)
		if what != "" {
			name += "=" + what
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(b, ".TP\n.B %s\n%s\n", roff(name), roff(usage))
	})
}

// roff escapes what has a meaning of its own: backslashes, hyphens, which would else
// become typographic ones, and a dot or a quote at the begin of a line.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, `-`, `\-`).Replace(text)
	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}
	return strings.Join(lines, "\n")
}

func quoted(text string) string { return `"` + strings.ReplaceAll(text, `"`, "'") + `"` }
