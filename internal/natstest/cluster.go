package natstest

import (
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster starts three servers that form a cluster, for assets with replicas. It
// takes seconds, and no bubble can hold it.
func Cluster(t testing.TB) []*Server {
	t.Helper()
	ports := FreePorts(t, 3)
	var routes []*url.URL
	for _, p := range ports {
		routes = append(routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", p)})
	}
	var out []*Server
	for i, p := range ports {
		s := &Server{opts: server.Options{
			ServerName: fmt.Sprintf("natstest-%d", i), NoSigs: true, NoLog: true,
			Host: "127.0.0.1", Port: server.RANDOM_PORT,
			Cluster: server.ClusterOpts{Name: "natstest", Host: "127.0.0.1", Port: p, PoolSize: -1},
			Routes:  routes, JetStream: true, StoreDir: t.TempDir(),
			JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 64 << 20,
		}}
		s.start(t)
		t.Cleanup(s.Stop)
		out = append(out, s)
	}
	AwaitLeader(t, out)
	return out
}

// AwaitLeader waits until the servers know each other and one of them leads.
func AwaitLeader(t testing.TB, servers []*Server) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		for _, s := range servers {
			if s.Running().JetStreamIsLeader() && len(s.Running().JetStreamClusterPeers()) == len(servers) {
				return
			}
		}
		if time.Now().After(deadline) {
			t.Fatal("the cluster has no leader after 30 s")
		}
	}
}

// FreePorts are ports of 127.0.0.1 that nobody uses at the moment.
func FreePorts(t testing.TB, n int) []int {
	t.Helper()
	var out []int
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		out = append(out, l.Addr().(*net.TCPAddr).Port)
	}
	return out
}
