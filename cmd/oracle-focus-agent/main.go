// Command oracle-focus-agent is oracle-focus-agent.
package main

import "oracle-focus-agent/internal/cli"

func main() { cli.Main() }
