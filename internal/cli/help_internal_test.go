package cli

import (
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The help of each command shows how it is called, in words that it understands.
func TestEveryCommandHasAnExample(t *testing.T) {
	quoted, seen := regexp.MustCompile(`'[^']*'`), 0
	each((&app{}).root(), func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.HasSubCommands() || cmd.Hidden || cmd.Name() == "help" || strings.Contains(path, " completion ") {
			return
		}
		seen++
		calls := 0
		for line := range strings.SplitSeq(cmd.Example, "\n") {
			words := ours(strings.ReplaceAll(quoted.ReplaceAllString(line, "word"), ";", " ; "))
			if words == nil {
				continue
			}
			calls++
			if err := understood(words, true); err != nil {
				t.Errorf("%s: its example %q: %v", path, line, err)
			}
		}
		if calls == 0 && cmd.Example == "" && !strings.Contains(cmd.Long, "\n  oracle-focus-agent ") {
			t.Errorf("%s has no example", path)
		}
	})
	if seen < 20 {
		t.Errorf("only %d commands were found", seen)
	}
}
