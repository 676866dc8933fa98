package cli

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

// A selection is which of the failed files a command is about; it travels to a running
// agent. The zero value means all of them.
type selection struct {
	// Names are object or file names; each must be found.
	Names  []string         `json:"names,omitempty"`
	Causes []messages.Class `json:"causes,omitempty"`
	From   messages.Day     `json:"from,omitempty"`
	To     messages.Day     `json:"to,omitempty"`
	// Until excludes files whose records are younger; zero for none.
	Until time.Time `json:"until,omitzero"`

	all    bool
	causes []string
	day    string
	from   string
	to     string
}

func (s *selection) flags(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&s.causes, "cause", nil, "only files of this class, such as hash-mismatch; may be given more than once")
	cmd.Flags().StringVar(&s.day, "day", "", "only files of this report day, YYYY-MM-DD")
	cmd.Flags().StringVar(&s.from, "from", "", "only files from this report day on")
	cmd.Flags().StringVar(&s.to, "to", "", "only files up to this report day")
	cmd.MarkFlagsMutuallyExclusive("day", "from")
	cmd.MarkFlagsMutuallyExclusive("day", "to")
	_ = cmd.RegisterFlagCompletionFunc("cause", func(*cobra.Command, []string, string) (all []cobra.Completion, _ cobra.ShellCompDirective) {
		for _, c := range messages.Classes() {
			all = append(all, cobra.CompletionWithDesc(string(c), c.Explain().Meaning))
		}
		return all, cobra.ShellCompDirectiveNoFileComp
	})
}

// check takes the flags. Where something is to be changed, something must be chosen.
func (s *selection) check(changes bool) error {
	s.From, s.To = messages.Day(s.from), messages.Day(s.to)
	if s.day != "" {
		s.From, s.To = messages.Day(s.day), messages.Day(s.day)
	}
	for _, d := range []messages.Day{s.From, s.To} {
		if d != "" && !d.Valid() {
			return &coded{exitConfig, fmt.Errorf("%q is not a day of the calendar, YYYY-MM-DD", d)}
		}
	}
	if s.From != "" && s.To != "" && s.To < s.From {
		return &coded{exitConfig, fmt.Errorf("--to %s is before --from %s", s.To, s.From)}
	}
	for _, c := range s.causes {
		if !slices.Contains(messages.Classes(), messages.Class(c)) {
			return &coded{exitConfig, fmt.Errorf("--cause %q is no class of failures; docs/troubleshooting.md lists them", c)}
		}
		s.Causes = append(s.Causes, messages.Class(c))
	}
	some := len(s.Names) > 0 || len(s.Causes) > 0 || s.From != "" || s.To != ""
	if s.all && some {
		return &coded{exitConfig, errors.New("--all is about every failed file: leave it out, or the names, --cause, --day, --from and --to")}
	}
	if changes && s.all == some {
		return &coded{exitConfig, errors.New("say which files: by object or file name, --cause, --day, --from and --to; or say --all")}
	}
	return nil
}

// String is the selection in words.
func (s selection) String() string {
	var parts []string
	for _, c := range s.Causes {
		parts = append(parts, "cause "+string(c))
	}
	switch {
	case s.From != "" && s.From == s.To:
		parts = append(parts, "day "+string(s.From))
	case s.From != "" || s.To != "":
		parts = append(parts, strings.TrimSpace("days "+string(s.From)+" to "+string(s.To)))
	}
	switch {
	case len(s.Names) > 0:
		parts = append(parts, "by name")
	case len(parts) == 0:
		return "all"
	}
	return strings.Join(parts, ", ")
}

// entries are the records of the chosen files, in the order of their names. A file that
// is named may also be one that an operator discarded: that is how one changes their
// mind.
func (s selection) entries(ctx context.Context, ledger *nats.Ledger) (chosen []nats.Entry, err error) {
	entries, err := failedEntries(ctx, ledger, len(s.Names) > 0)
	if err != nil {
		return nil, err
	}
	found := map[string]bool{}
	for _, e := range entries {
		if s.has(e, found) {
			chosen = append(chosen, e)
		}
	}
	for _, n := range s.Names {
		if !found[n] {
			return nil, &agent.Refusal{Text: fmt.Sprintf("%q is not among the failed files; see `oracle-focus-agent failed list`", n), Exit: exitError}
		}
	}
	return chosen, nil
}

func (s selection) has(e nats.Entry, found map[string]bool) bool {
	named := len(s.Names) == 0
	for _, n := range []string{e.Record.Object.Name, path.Base(e.Record.Object.Name)} {
		if slices.Contains(s.Names, n) {
			named, found[n] = true, true
		}
	}
	fresh := !s.Until.IsZero() && e.Record.At.After(s.Until)
	return named && !fresh && (len(s.Causes) == 0 || slices.Contains(s.Causes, e.Record.Class)) &&
		e.Day >= s.From && (s.To == "" || e.Day <= s.To)
}
