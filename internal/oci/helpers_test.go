package oci_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

const prefix = "FOCUS Reports/"

// testKey is made once: RSA keys are slow to make.
var testKey = sync.OnceValues(simulator.NewKey)

// strangerKey is the one of those whom no simulation knows.
var strangerKey = sync.OnceValues(simulator.NewKey)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a client of a simulated bucket.
type world struct {
	*simulator.Simulation
	client  *oci.Client
	options oci.Options
}

func newWorld(t *testing.T, change ...func(*oci.Options)) world {
	t.Helper()
	return worldOf(t, simulator.Options{}, change...)
}

func worldOf(t testing.TB, so simulator.Options, change ...func(*oci.Options)) world {
	t.Helper()
	so.KeyFile = write(t, "key.pem", string(key(t).PEM()))
	sim, err := simulator.New(so)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	path, err := sim.WriteOCIConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := oci.Options{
		ConfigFile: path, Namespace: sim.Namespace, Bucket: sim.OCIBucket,
		Prefix: prefix, Endpoint: sim.OCIURL, Connections: 2,
	}
	for _, f := range change {
		f(&o)
	}
	return world{sim, open(t, o), o}
}

func open(t testing.TB, o oci.Options) *oci.Client {
	t.Helper()
	c, err := oci.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	c.TestingOnlyPauses(time.Microsecond, time.Microsecond)
	t.Cleanup(c.Close)
	return c
}

// at is a client of any server, with credentials that the server may ignore.
func at(t *testing.T, h http.HandlerFunc, change ...func(*oci.Options)) *oci.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	c := open(t, options(t, server.URL, change...))
	t.Cleanup(c.Close) // before the server, which waits for connections
	return c
}

func options(t *testing.T, endpoint string, change ...func(*oci.Options)) oci.Options {
	t.Helper()
	path, err := simulator.WriteOCIConfig(t.TempDir(), key(t), "us-ashburn-1")
	if err != nil {
		t.Fatal(err)
	}
	o := oci.Options{ConfigFile: path, Namespace: "bling", Bucket: key(t).Tenancy, Prefix: prefix, Endpoint: endpoint}
	for _, f := range change {
		f(&o)
	}
	return o
}

func key(t testing.TB) *simulator.Key {
	t.Helper()
	key, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// stranger signs with a key that no simulation knows.
func stranger(t *testing.T) func(*oci.Options) {
	t.Helper()
	key, err := strangerKey()
	if err != nil {
		t.Fatal(err)
	}
	path, err := simulator.WriteOCIConfig(t.TempDir(), key, "us-ashburn-1")
	if err != nil {
		t.Fatal(err)
	}
	return func(o *oci.Options) { o.ConfigFile = path }
}

// list reads a listing to its end or error.
func list(ctx context.Context, c *oci.Client, from string) ([]messages.Object, error) {
	var objects []messages.Object
	for o, err := range c.List(ctx, from) {
		if err != nil {
			return objects, err
		}
		objects = append(objects, o)
	}
	return objects, nil
}

// wantFault checks the class, the side, and that the remedy says some words.
func wantFault(t *testing.T, err error, class messages.Class, remedy ...string) {
	t.Helper()
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok {
		t.Fatalf("error = %v, want a fault of class %s", err, class)
	}
	if f.Class != class || f.Side != messages.Source {
		t.Errorf("fault %v has class %q of side %q, want %q of the source", err, f.Class, f.Side, class)
	}
	for _, words := range remedy {
		if !strings.Contains(f.Remedy, words) {
			t.Errorf("remedy = %q, want %q in it", f.Remedy, words)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error has more than one line: %q", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v passes for the end of a context", err)
	}
}

// wantEnd checks that a call ends with its context, and soon.
func wantEnd(t *testing.T, call func() error) {
	t.Helper()
	start := time.Now()
	if err := call(); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want the context's", err)
	}
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %v to end", took)
	}
}

func total(requests map[string]int) int {
	n := 0
	for _, count := range requests {
		n += count
	}
	return n
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
