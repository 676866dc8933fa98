package s3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

const key = "simulated/0/account/2026-03-01_0001000002103533-00001.csv.gz"

var meta = copier.Meta{Name: "FOCUS Reports/2026/03/01/0001000002103533-00001.csv.gz", ETag: "etag-1"}

// testKey is made once: RSA keys are slow to make, and S3 needs none.
var testKey = sync.OnceValues(simulator.NewKey)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a client of a simulated bucket.
type world struct {
	*simulator.Simulation
	client  *s3.Client
	options s3.Options
}

func newWorld(t testing.TB, policy simulator.Policy, change ...func(*s3.Options)) world {
	t.Helper()
	return worldOf(t, simulator.Options{Policy: policy}, change...)
}

func worldOf(t testing.TB, so simulator.Options, change ...func(*s3.Options)) world {
	t.Helper()
	rsa, err := testKey()
	if err != nil {
		t.Fatal(err)
	}
	so.KeyFile = write(t, "key.pem", string(rsa.PEM()))
	sim, err := simulator.New(so)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	o := s3.Options{
		Bucket: sim.S3Bucket, Region: sim.S3Region, Endpoint: sim.S3URL, PathStyle: true,
		AccessKeyID: sim.AccessKeyID, SecretAccessKey: sim.SecretAccessKey, Connections: 2,
	}
	for _, f := range change {
		f(&o)
	}
	return world{sim, open(t, o), o}
}

func open(t testing.TB, o s3.Options) *s3.Client {
	t.Helper()
	alone(t)
	c, err := s3.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	c.TestingOnlyPauses(time.Microsecond)
	t.Cleanup(c.Close)
	return c
}

// alone hides the AWS configuration of the machine, unless the test has its own.
func alone(t testing.TB) {
	t.Helper()
	for name, value := range map[string]string{
		"AWS_CONFIG_FILE":             filepath.Join(t.TempDir(), "none"),
		"AWS_SHARED_CREDENTIALS_FILE": filepath.Join(t.TempDir(), "none"),
		"AWS_EC2_METADATA_DISABLED":   "true",
	} {
		if !strings.HasPrefix(os.Getenv(name), os.TempDir()) {
			t.Setenv(name, value)
		}
	}
}

// at is a client of any server.
func at(t *testing.T, h http.HandlerFunc) *s3.Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return open(t, s3.Options{
		Bucket: "umbrella", Region: "us-east-1", Endpoint: server.URL, PathStyle: true,
		AccessKeyID: "AKIA", SecretAccessKey: "a secret of some length",
	})
}

// wantFault checks the class, the side, and that the remedy says some words.
func wantFault(t *testing.T, err error, class messages.Class, remedy ...string) {
	t.Helper()
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok {
		t.Fatalf("error = %v, want a fault of class %s", err, class)
	}
	if f.Class != class || f.Side != messages.Destination {
		t.Errorf("fault %v has class %q of side %q, want %q of the destination", err, f.Class, f.Side, class)
	}
	for _, words := range remedy {
		if !strings.Contains(f.Remedy, words) {
			t.Errorf("remedy = %q, want %q in it", f.Remedy, words)
		}
	}
	if strings.Contains(err.Error(), "\n") || len(err.Error()) > 1000 {
		t.Errorf("error is no line: %q", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v passes for the end of a context", err)
	}
}

// stored is the content under key.
func stored(t *testing.T, w world, key string) string {
	t.Helper()
	r, err := w.S3.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func wantNothing(t *testing.T, w world) {
	t.Helper()
	if h := w.S3.History(); len(h) != 0 {
		t.Errorf("became visible: %+v", h)
	}
}

func random(t *testing.T, seed uint64, size int64) []byte {
	t.Helper()
	b, err := io.ReadAll(simulator.Random(seed, size).Open(0))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
