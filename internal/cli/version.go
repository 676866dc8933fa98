package cli

import (
	"crypto/fips140"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"oracle-focus-agent/messages"
)

func (a *app) versionCommand() *cobra.Command {
	var check, asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of the program and of its formats; --check compares them with what NATS holds", Args: cobra.NoArgs,
		Long: `Print the version of the program and of its formats.

With --check, compare them with the server, the streams, the consumers and every
value of the ledger that NATS holds, and change nothing. The exit code is 0 where
this version can work with all of it, 1 where something is to be done first, and 2
where setup would refuse to.`,
		Example: "  oracle-focus-agent version --check",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if check {
				return a.checkVersions(cmd.Context(), asJSON)
			}
			if asJSON {
				return a.printJSON(ownVersions())
			}
			v := ownVersions()
			fmt.Fprintf(a.env.Stdout, "oracle-focus-agent %s\n%s %s\nFIPS 140-3 mode %s, Go Cryptographic Module %s\nembedded nats-server %s\nformats: messages and records %d, assets %d\n",
				v.Version, v.Go, v.Platform, v.FIPSMode, v.FIPSModule, v.NATSServer, v.Schema, v.AssetSchema)
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "compare with what NATS holds")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

// Versions are those of this program.
type versions struct {
	Version     string `json:"version"`
	Revision    string `json:"revision,omitempty"`
	Go          string `json:"go"`
	Platform    string `json:"platform"`
	FIPSMode    string `json:"fips140_mode"` // off, on, only
	FIPSModule  string `json:"fips140_module"`
	NATSServer  string `json:"embedded_nats_server"`
	Schema      int    `json:"schema"`
	AssetSchema int    `json:"asset_schema"`
}

func ownVersions() versions {
	return versions{
		Version: version(), Revision: revision(), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		FIPSMode: fipsMode(), FIPSModule: fips140.Version(),
		NATSServer: module("github.com/nats-io/nats-server/v2"), Schema: messages.Schema, AssetSchema: messages.AssetSchema,
	}
}

// fipsMode is what GODEBUG=fips140 and the build (GOFIPS140) come to. It says how the
// cryptography runs, and does not claim that anything complies with anything.
func fipsMode() string {
	switch {
	case fips140.Enforced():
		return "only"
	case fips140.Enabled():
		return "on"
	}
	return "off"
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
