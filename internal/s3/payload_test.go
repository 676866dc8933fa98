package s3_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/versitygw"
	"oracle-focus-agent/messages"
)

// A way is between the client and S3: it notes what passes, and flips a bit in each body
// where it is told to.
type way struct {
	http.RoundTripper
	flip bool

	mu   sync.Mutex
	sent map[string][]http.Header // by what a request does
}

func (w *way) around(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		w.mu.Lock()
		does := what(r)
		w.sent[does] = append(w.sent[does], r.Header.Clone())
		w.mu.Unlock()
		if w.flip && (does == "put" || does == "part") {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				return nil, err
			}
			body[len(body)/2] ^= 1
			r = r.Clone(r.Context())
			r.Body = io.NopCloser(bytes.NewReader(body))
		}
		return next.RoundTrip(r)
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func what(r *http.Request) string {
	q := r.URL.Query()
	switch {
	case r.Method == http.MethodPut && q.Has("partNumber"):
		return "part"
	case r.Method == http.MethodPut:
		return "put"
	case r.Method == http.MethodPost && q.Has("uploadId"):
		return "complete"
	}
	return "other"
}

// wantSent looks at each request of a kind that was sent: how its body is signed, and that
// its CRC32C is among what is signed.
func (w *way) wantSent(t *testing.T, does, payload string) {
	t.Helper()
	if len(w.sent[does]) == 0 {
		t.Errorf("no %s was sent", does)
	}
	for _, h := range w.sent[does] {
		got := h.Get("X-Amz-Content-Sha256")
		if payload == "" && len(got) != 64 || payload != "" && got != payload {
			t.Errorf("the body of a %s is signed as %q, want %q (empty: a SHA-256)", does, got, payload)
		}
		if h.Get("X-Amz-Checksum-Crc32c") == "" || !strings.Contains(h.Get("Authorization"), "x-amz-checksum-crc32c") {
			t.Errorf("the CRC32C of a %s is not there, or not signed", does)
		}
	}
}

// TestHowABodyIsSigned: by its SHA-256 over http, and where that is given up, as over https,
// as UNSIGNED-PAYLOAD beside a CRC32C that is signed. What has no CRC32C of its own stays signed.
func TestHowABodyIsSigned(t *testing.T) {
	const name = "UNSIGNED-PAYLOAD"
	for _, c := range []struct {
		title     string
		given     bool
		endpoint  string
		body, xml string
	}{
		{"http", false, "http://s3.invalid", "", ""},
		{"http, unsigned", true, "http://s3.invalid", name, ""},
		{"https", false, "https://s3.invalid", name, ""},
		{"https, unsigned", true, "https://s3.invalid", name, ""},
	} {
		t.Run(c.title, func(t *testing.T) {
			w := &way{sent: map[string][]http.Header{}}
			answer := roundTrip(func(r *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"e"`}}, Request: r,
					Body: io.NopCloser(strings.NewReader(`<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`))}, nil
			})
			client := open(t, s3.Options{
				Bucket: "b", Endpoint: c.endpoint, AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true, UnsignedPayload: c.given,
			})
			client.TestingOnlyTransport(w.around(answer))
			if _, err := client.Put(t.Context(), key, []byte("bytes"), meta); err != nil {
				t.Error(err)
			}
			part, err := client.Part(t.Context(), key, "id", 1, []byte("bytes"), s3.Sum([]byte("bytes")))
			if err != nil {
				t.Error(err)
			}
			if _, err := client.Complete(t.Context(), key, "id", []copier.Part{part}, 5, part.CRC32C); err != nil {
				t.Error(err)
			}
			w.wantSent(t, "put", c.body)
			w.wantSent(t, "part", c.body)
			w.wantSent(t, "complete", c.xml)
		})
	}
}

// TestUnsignedBodiesAreCheckedByTheirCRC32C: with two servers that share no code, bytes
// arrive as they are, and bytes that were changed on the way are refused and not stored.
func TestUnsignedBodiesAreCheckedByTheirCRC32C(t *testing.T) {
	t.Run("simulator", func(t *testing.T) {
		w := newWorld(t, simulator.AllowAll)
		checkUnsigned(t, w.options, func(key string) bool {
			_, err := w.S3.Open(key)
			return err == nil
		})
	})
	t.Run("versitygw", func(t *testing.T) {
		srv := versitygw.Start(t)
		checkUnsigned(t, s3.Options{
			Bucket: srv.Bucket, Region: srv.Region, Endpoint: srv.URL, PathStyle: true,
			AccessKeyID: srv.AccessKeyID, SecretAccessKey: srv.SecretAccessKey, Connections: 2,
		}, func(key string) bool {
			_, ok := srv.Object(t, key)
			return ok
		})
	})
}

func checkUnsigned(t *testing.T, o s3.Options, there func(key string) bool) {
	t.Helper()
	w := &way{sent: map[string][]http.Header{}}
	o.UnsignedPayload, o.Around = true, w.around
	c := open(t, o)
	body := randomBytes(6 << 20)
	if _, err := c.Put(t.Context(), "a/whole", body, meta); err != nil || !there("a/whole") {
		t.Errorf("Put: %v, there: %t", err, there("a/whole"))
	}
	var md5sum [md5.Size]byte
	fips140.WithoutEnforcement(func() { md5sum = md5.Sum(body) }) // the source computes it
	handed := meta
	handed.MD5 = base64.StdEncoding.EncodeToString(md5sum[:])
	if _, err := c.Put(t.Context(), "a/md5", body, handed); err != nil || !there("a/md5") {
		t.Errorf("Put with its MD5: %v, there: %t", err, there("a/md5"))
	}
	handed.MD5 = "AAAAAAAAAAAAAAAAAAAAAA=="
	if _, err := c.Put(t.Context(), "a/other", body, handed); !errors.Is(err, messages.HashMismatch) || there("a/other") {
		t.Errorf("Put with another MD5: %v, there: %t", err, there("a/other"))
	}
	id, sent := sendParts(t, c, "a/large", body)
	if _, err := c.Complete(t.Context(), "a/large", id, sent, int64(len(body)), s3.Sum(body)); err != nil || !there("a/large") {
		t.Errorf("Complete: %v, there: %t", err, there("a/large"))
	}
	w.flip = true
	if _, err := c.Put(t.Context(), "a/flipped", body, meta); !errors.Is(err, messages.HashMismatch) || there("a/flipped") {
		t.Errorf("Put of a body that was changed on the way: %v, there: %t", err, there("a/flipped"))
	}
	id, err := c.Create(t.Context(), "a/flipped", meta)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Part(t.Context(), "a/flipped", id, 1, body, s3.Sum(body)); !errors.Is(err, messages.HashMismatch) {
		t.Errorf("Part of a body that was changed on the way: %v", err)
	}
	w.wantSent(t, "put", "UNSIGNED-PAYLOAD")
	w.wantSent(t, "part", "UNSIGNED-PAYLOAD")
}

// TestABodyGoesOutFromWhereItIs: through the SDK and net/http, which would copy it in pieces
// of 32 KiB.
func TestABodyGoesOutFromWhereItIs(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	var writes, largest atomic.Int64
	transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return s3.TestingOnlyConn(counting{conn, &writes, &largest}, time.Minute), nil
	}}
	t.Cleanup(transport.CloseIdleConnections)
	w.client.TestingOnlyTransport(transport)
	body := random(t, 1, 8<<20)
	if _, err := w.client.Put(t.Context(), key, body, meta); err != nil {
		t.Fatal(err)
	}
	if stored(t, w, key) != string(body) {
		t.Error("other bytes are stored")
	}
	if writes.Load() > 3 || largest.Load() < 8<<20-64<<10 {
		t.Errorf("8 MiB went out in %d pieces, of %d bytes at most; want one, and the head before it", writes.Load(), largest.Load())
	}
}

// counting counts what is written, and how much at once.
type counting struct {
	net.Conn
	writes, largest *atomic.Int64
}

func (c counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	for old := c.largest.Load(); int64(len(p)) > old && !c.largest.CompareAndSwap(old, int64(len(p))); old = c.largest.Load() {
	}
	return c.Conn.Write(p)
}
