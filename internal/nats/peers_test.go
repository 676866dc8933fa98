package nats_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"oracle-focus-agent/internal/natstest"
)

// claiming is a proxy before srv that changes the version it says it has.
func claiming(t *testing.T, srv *natstest.Server, version string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { relay(client, strings.TrimPrefix(url(srv)[0], "nats://"), version) })
		}
	})
	return "nats://" + l.Addr().String()
}

func relay(client net.Conn, addr, version string) {
	defer client.Close()
	upstream, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer upstream.Close()
	go func() {
		_, _ = io.Copy(upstream, client)
		upstream.Close()
	}()
	// The server may tell its version again after the greeting.
	actual, claimed := []byte(`"version":"`+server.VERSION+`"`), []byte(`"version":"`+version+`"`)
	for r := bufio.NewReader(upstream); ; {
		line, err := r.ReadBytes('\n')
		if _, werr := client.Write(bytes.Replace(line, actual, claimed, 1)); err != nil || werr != nil {
			return
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func seedFile(t *testing.T, kp nkeys.KeyPair) string { return writeFile(t, must(kp.Seed())) }

func pemFile(t *testing.T, kind string, der []byte) string {
	return writeFile(t, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// issue makes a certificate for 127.0.0.1, signed by ca or by itself.
func issue(t *testing.T, ca *x509.Certificate, caKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IsCA:        ca == nil, BasicConstraintsValid: true,
	}
	if ca == nil {
		ca, caKey = template, key
	}
	der := must(x509.CreateCertificate(rand.Reader, template, ca, &key.PublicKey, caKey))
	return must(x509.ParseCertificate(der)), key
}
