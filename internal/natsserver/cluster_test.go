package natsserver_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natsserver"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func clusterOptions(t *testing.T) natsserver.Options {
	o := options(t.TempDir())
	o.Cluster = []string{"nats", "nats-2", "nats-3"}
	return o
}

// Three servers started from one directory form a cluster that keeps three replicas,
// which the roles may use as they do one server's.
func TestThreeServersOfOneDirectoryFormACluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	o := clusterOptions(t)
	write(t, o)
	ports := natstest.FreePorts(t, 3)
	var servers []*natstest.Server
	for i := range 3 {
		t.Setenv("NATS_SERVER_NAME", fmt.Sprintf("nats-%d", i+1))
		file := natstest.ConfigFile(t, filepath.Join(o.Dir, "server", "nats.conf"))
		servers = append(servers, natstest.New(t, file, onLoopback(ports, i)))
	}
	natstest.AwaitLeader(t, servers)
	s := &site{t, o.Dir, servers[0].Running().ClientURL()}
	a := messages.Define("focus", "main", 3, time.Minute)
	if _, err := nats.Setup(t.Context(), s.connect("admin"), a, nats.Create); err != nil {
		t.Fatal(err)
	}
	viewer := s.connect("viewer")
	if err := natstest.Until(func() bool {
		q, err := viewer.Status(t.Context(), a)
		return err == nil && q.Leader != "" && len(q.Lagging) == 0
	}); err != nil {
		t.Fatal("the viewer sees no cluster: ", err)
	}
}

// onLoopback moves the cluster of a configuration to ports of 127.0.0.1.
func onLoopback(ports []int, i int) natstest.Option {
	return func(o *server.Options) {
		o.Cluster.Host, o.Cluster.Port, o.Cluster.PoolSize = "127.0.0.1", ports[i], -1
		o.Routes = nil
		for _, p := range ports {
			o.Routes = append(o.Routes, &url.URL{Scheme: "tls", Host: fmt.Sprintf("127.0.0.1:%d", p)})
		}
	}
}

// Who has no certificate of the authority does not get in among the servers: what
// routes carry is everything.
func TestNobodyElseJoinsTheCluster(t *testing.T) {
	o := clusterOptions(t)
	write(t, o)
	t.Setenv("NATS_SERVER_NAME", "nats")
	ports := natstest.FreePorts(t, 1)
	serve(t, o.Dir, onLoopback(ports, 0))
	cas := x509.NewCertPool()
	cas.AppendCertsFromPEM([]byte(read(t, filepath.Join(o.Dir, "copier", "ca.pem"))))
	answer := func(certificates ...tls.Certificate) error {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", ports[0]))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		c := tls.Client(conn, &tls.Config{RootCAs: cas, ServerName: "nats", Certificates: certificates})
		if err := c.Handshake(); err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 4)) // the server's INFO
		return err
	}
	own, err := tls.LoadX509KeyPair(filepath.Join(o.Dir, "server", "cert.pem"), filepath.Join(o.Dir, "server", "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if err := answer(own); err != nil {
		t.Errorf("a server of the cluster is refused: %v", err)
	}
	if err := answer(); err == nil {
		t.Error("the server talks to a client without a certificate on the port of the cluster")
	}
}

// A server that becomes one of a cluster gets a certificate that its peers take; a run
// without --cluster takes nothing away again.
func TestAServerBecomesOneOfACluster(t *testing.T) {
	o := options(t.TempDir())
	write(t, o)
	isClient := func() bool { return slices.Contains(certificate(t, o.Dir).ExtKeyUsage, x509.ExtKeyUsageClientAuth) }
	if isClient() {
		t.Error("the certificate of a single server is also one of a client")
	}
	o.Cluster = []string{"nats", "nats-2", "nats-3"}
	write(t, o)
	if cert := certificate(t, o.Dir); !isClient() || cert.VerifyHostname("nats-3") != nil {
		t.Errorf("the certificate is good for %v, %v", cert.DNSNames, cert.ExtKeyUsage)
	}
	if r := write(t, o); len(r.Updated) > 0 {
		t.Errorf("a repeat changed %v", r.Updated)
	}
	o.Cluster = nil
	write(t, o)
	if !isClient() {
		t.Error("the peers of the cluster would no longer take the certificate")
	}
}
