// Package versitygw runs VersityGW for tests: a strict S3 server that shares no
// code with this project, as a process of its own. It holds the project's S3
// client, and its simulator, to somebody else's reading of S3.
package versitygw

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A Server is a running VersityGW with one bucket.
type Server struct {
	URL, Bucket, Region          string
	AccessKeyID, SecretAccessKey string

	dir string
}

// Start runs the program that VERSITYGW names until the end of the test. `make
// test` builds it at a pinned version; without it the test is skipped.
func Start(t testing.TB) Server {
	t.Helper()
	program := os.Getenv("VERSITYGW")
	if program == "" {
		t.Skip("VERSITYGW does not name the versitygw program; `make test` builds it and runs this test")
	}
	address := freeAddress(t)
	s := Server{
		URL: "http://" + address, Bucket: "umbrella", Region: "us-east-1",
		AccessKeyID: "strict", SecretAccessKey: "strict-secret-key", dir: t.TempDir(),
	}
	if err := os.Mkdir(filepath.Join(s.dir, s.Bucket), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--port", address, "posix", "--sidecar", t.TempDir(), s.dir)
	cmd.Env = []string{"ROOT_ACCESS_KEY=" + s.AccessKeyID, "ROOT_SECRET_KEY=" + s.SecretAccessKey}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("versitygw: %s", log.Bytes())
		}
	})
	s.await(t)
	return s
}

// freeAddress is a loopback address that nobody listens on; versitygw cannot
// choose one itself.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (s Server) await(t testing.TB) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(time.Minute)
	for {
		resp, err := client.Get(s.URL)
		if err == nil {
			resp.Body.Close()
			return
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("versitygw does not answer: %v", err)
		}
	}
}

// Object returns the bytes that stand under key; ok is false where none do.
func (s Server) Object(t testing.TB, key string) (body []byte, ok bool) {
	t.Helper()
	body, err := os.ReadFile(filepath.Join(s.dir, s.Bucket, key))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return body, err == nil
}
