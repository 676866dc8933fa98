// Package scale has no code of its own. Its test queues the files of many tenancies on a
// cluster of three NATS servers and takes them off again, as docs/scale.md reports.
package scale

import (
	"fmt"
	"os"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// TestMain makes this binary a server of the cluster, too: the variable SCALE_NODE names
// its configuration. So each server is a process, which can be measured and killed.
func TestMain(m *testing.M) {
	if config := os.Getenv("SCALE_NODE"); config != "" {
		if err := serve(config); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func serve(config string) error {
	o, err := server.ProcessConfigFile(config)
	if err != nil {
		return err
	}
	srv, err := server.NewServer(o)
	if err != nil {
		return err
	}
	srv.ConfigureLogger()
	srv.Start()
	srv.WaitForShutdown()
	return nil
}
