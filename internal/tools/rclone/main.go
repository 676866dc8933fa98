// Command rclone is rclone with the two back ends and the one command that the benchmark
// of internal/bench compares with. All of rclone, with its seventy back ends, would take
// many times as long to compile, and copies with the same code; a benchmark that is given
// that one (RCLONE=rclone) runs it instead.
package main

import (
	_ "github.com/rclone/rclone/backend/oracleobjectstorage"
	_ "github.com/rclone/rclone/backend/s3"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/copy"
	_ "github.com/rclone/rclone/cmd/version"
)

func main() { cmd.Main() }
