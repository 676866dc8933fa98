package s3_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// silent is a server that reads what read says of each request, and then neither
// reads nor answers: a host that went away without a word.
func silent(t *testing.T, read func(*http.Request)) (url string, requests *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	requests = new(atomic.Int32)
	done := make(chan struct{})
	go func() {
		defer close(done)
		var open []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				for _, c := range open {
					c.Close()
				}
				return
			}
			open = append(open, conn)
			if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				requests.Add(1)
				read(req)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String(), requests
}

// TestASilentDestinationIsGivenUp: however a destination falls silent, each
// attempt ends once nothing moves for the stall time.
func TestASilentDestinationIsGivenUp(t *testing.T) {
	for name, read := range map[string]func(*http.Request){
		"before the body": func(*http.Request) {},
		"after the body":  func(req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) },
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := silent(t, read)
			w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.Endpoint, o.Stall = url, 300*time.Millisecond })
			begin := time.Now()
			_, err := w.client.Put(t.Context(), key, random(t, 1, 16<<20), meta) // more than the buffers of two kernels
			if class := messages.ClassOf(err); class != messages.Connection {
				t.Errorf("class %q of %v", class, err)
			}
			if n := requests.Load(); n != 3 {
				t.Errorf("%d requests, want 3", n)
			}
			if took := time.Since(begin); took > 20*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// TestASlowDestinationIsNotGivenUp: however long a piece of a body takes, it goes on while
// bytes of it are taken; and ends, within two stall times, once none is.
func TestASlowDestinationIsNotGivenUp(t *testing.T) {
	const stall, most = time.Minute, 1 << 20
	for name, send := range map[string]func(to net.Conn, body io.Reader) error{
		"a body": func(to net.Conn, body io.Reader) error {
			_, err := io.Copy(to, body)
			return err
		},
		"a write": func(to net.Conn, body io.Reader) error {
			all, _ := io.ReadAll(body) // in memory
			_, err := to.Write(all)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				body := random(t, 1, most)
				sent := make(chan error, 1)
				go func() { sent <- send(s3.TestingOnlyConn(near, stall), io.LimitReader(bytes.NewReader(body), most)) }()
				got := make([]byte, most/2)
				for n := 0; n < len(got); n += 1 << 10 {
					time.Sleep(stall * 9 / 10)
					if _, err := io.ReadFull(far, got[n:n+1<<10]); err != nil {
						t.Fatalf("after %d bytes: %v", n, err)
					}
				}
				if !bytes.Equal(got, body[:len(got)]) {
					t.Error("other bytes came")
				}
				silent := time.Now()
				if err := <-sent; !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("the end is %v", err)
				}
				if took := time.Since(silent); took < stall || took > 2*stall {
					t.Errorf("given up after %v of silence, want %v to %v", took, stall, 2*stall)
				}
			})
		})
	}
}
