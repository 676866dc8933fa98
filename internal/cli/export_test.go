package cli

import "github.com/spf13/cobra"

// CommandPaths is each command that can be run, such as "state export", without the
// name of the program.
func CommandPaths() (paths []string) {
	a := &app{}
	root := a.root()
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	each(root, func(cmd *cobra.Command) {
		if cmd.Runnable() && cmd != root {
			paths = append(paths, cmd.CommandPath()[len(root.Name())+1:])
		}
	})
	return paths
}
