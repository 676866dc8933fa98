package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"oracle-focus-agent/messages"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version of the program and of its formats", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			fmt.Fprintf(a.env.Stdout, "oracle-focus-agent %s\n%s %s/%s\nembedded nats-server %s\nformats: messages and records %d, assets %d\n",
				version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, module("github.com/nats-io/nats-server/v2"), messages.Schema, messages.AssetSchema)
			return nil
		},
	}
}

// version is what the Go tool recorded at the build.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

func module(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			if d.Path == path {
				return d.Version
			}
		}
	}
	return "unknown"
}
