package cli_test

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"

	"oracle-focus-agent/internal/cli"
)

// TestMain makes this test binary the program under test as well: under the
// names below it is put on the PATH, so that tests start real processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"oracle-focus-agent": func() { cli.Main() },
		"test-nats-server":   natsServerMain,
	})
}

// natsServerMain is a NATS server with JetStream that can be killed and started
// again: test-nats-server DIR PORT. It prints its URL once it takes connections,
// and ends in order with SIGTERM.
func natsServerMain() {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	port, err := strconv.Atoi(os.Args[2])
	if err == nil {
		err = serveNATS(os.Args[1], port, signals)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test-nats-server:", err)
		os.Exit(1)
	}
}

func serveNATS(dir string, port int, stop <-chan os.Signal) error {
	if port == 0 {
		port = server.RANDOM_PORT
	}
	srv, err := server.NewServer(&server.Options{
		ServerName: "external", Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: dir, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
	})
	if err != nil {
		return err
	}
	srv.Start()
	if !srv.ReadyForConnections(30 * time.Second) {
		return fmt.Errorf("not ready on port %d", port)
	}
	fmt.Println(srv.ClientURL())
	<-stop
	srv.Shutdown()
	srv.WaitForShutdown()
	return nil
}
