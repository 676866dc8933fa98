// Command copier is the role copier of oracle-focus-agent, for containers that run one role each.
package main

import "oracle-focus-agent/internal/cli"

func main() { cli.Main("copier") }
