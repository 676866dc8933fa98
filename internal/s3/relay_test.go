package s3_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/versitygw"
	"oracle-focus-agent/messages"
)

// streamOf is a stream of bytes that r yields.
func streamOf(r io.Reader, size int64) copier.Stream {
	var read bytes.Buffer
	return copier.Stream{
		Reader: io.TeeReader(r, &read), Size: size, Buffer: make([]byte, 64<<10),
		CRC32C: func() string { return s3.Sum(read.Bytes()) },
	}
}

// TestARelayedPartIsCheckedByWhatComesBehindIt: with two servers that share no code, its bytes
// arrive as they are, and bytes that were changed on the way are refused.
func TestARelayedPartIsCheckedByWhatComesBehindIt(t *testing.T) {
	t.Run("simulator", func(t *testing.T) {
		w := newWorld(t, simulator.AllowAll)
		checkRelay(t, w.options, func(key string) []byte { return []byte(stored(t, w, key)) })
	})
	t.Run("versitygw", func(t *testing.T) {
		srv := versitygw.Start(t)
		checkRelay(t, s3.Options{
			Bucket: srv.Bucket, Region: srv.Region, Endpoint: srv.URL, PathStyle: true,
			AccessKeyID: srv.AccessKeyID, SecretAccessKey: srv.SecretAccessKey, Connections: 2,
		}, func(key string) []byte {
			b, _ := srv.Object(t, key)
			return b
		})
	})
}

func checkRelay(t *testing.T, o s3.Options, object func(key string) []byte) {
	t.Helper()
	const part = 5 << 20
	w := &way{sent: map[string][]http.Header{}}
	o.UnsignedPayload = true
	c := open(t, o)
	body := randomBytes(2*part + 1)
	id, err := c.Create(t.Context(), "a/large", meta)
	if err != nil {
		t.Fatal(err)
	}
	var parts []copier.Part
	for from := 0; from < len(body); from += part {
		b := body[from:min(from+part, len(body))]
		p, err := c.Relay(t.Context(), "a/large", id, int32(len(parts)+1), streamOf(iotest.HalfReader(bytes.NewReader(b)), int64(len(b))))
		if err != nil || p.CRC32C != s3.Sum(b) {
			t.Fatalf("Relay = %+v, %v", p, err)
		}
		parts = append(parts, p)
	}
	if _, err := c.Complete(t.Context(), "a/large", id, parts, int64(len(body)), s3.Sum(body)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(object("a/large"), body) {
		t.Error("other bytes are there")
	}
	o.Around = w.around
	w.flip = true
	c = open(t, o)
	if id, err = c.Create(t.Context(), "a/flipped", meta); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Relay(t.Context(), "a/flipped", id, 1, streamOf(bytes.NewReader(body), int64(len(body)))); !errors.Is(err, messages.HashMismatch) {
		t.Errorf("Relay of bytes that were changed on the way: %v", err)
	}
	if got := w.sent["part"]; len(got) != 1 || got[0].Get("X-Amz-Content-Sha256") != "STREAMING-UNSIGNED-PAYLOAD-TRAILER" {
		t.Errorf("%d parts were sent, want one, with its CRC32C behind it: %v", len(got), got)
	}
}

// TestADestinationThatDoesNotCheckIsNotBelieved: one that knows no trailers may take them for
// bytes of the part.
func TestADestinationThatDoesNotCheckIsNotBelieved(t *testing.T) {
	for name, told := range map[string]string{"nothing": "", "another sum": s3.Sum([]byte("5\r\nbytes"))} {
		t.Run(name, func(t *testing.T) {
			c := open(t, s3.Options{Bucket: "b", Endpoint: "https://s3.invalid", AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true})
			c.TestingOnlyTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
				sent, err := io.ReadAll(r.Body)
				if want := "5\r\nbytes\r\n0\r\nx-amz-checksum-crc32c:" + s3.Sum([]byte("bytes")) + "\r\n\r\n"; string(sent) != want || err != nil || r.ContentLength != int64(len(want)) {
					t.Errorf("sent %q, %v, with a length of %d, want %q", sent, err, r.ContentLength, want)
				}
				h := http.Header{"Etag": {`"e"`}}
				if told != "" {
					h.Set("x-amz-checksum-crc32c", told)
				}
				return &http.Response{StatusCode: 200, Header: h, Request: r, Body: io.NopCloser(strings.NewReader(""))}, nil
			}))
			_, err := c.Relay(t.Context(), key, "id", 1, streamOf(strings.NewReader("bytes"), 5))
			wantFault(t, err, messages.Unknown)
			if !errors.Is(err, copier.ErrNoRelay) {
				t.Errorf("Relay = %v, want it to say that nothing was checked", err)
			}
		})
	}
}

// TestARelayIsTriedOnce: its bytes come but once, and none is stored that came in part.
func TestARelayIsTriedOnce(t *testing.T) {
	for name, from := range map[string]io.Reader{
		"the source fails":      io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), iotest.ErrReader(errors.New("gone"))),
		"the source ends early": bytes.NewReader(make([]byte, 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.UnsignedPayload = true })
			id, err := w.client.Create(t.Context(), key, meta)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.client.Relay(t.Context(), key, id, 1, streamOf(from, 5<<20)); err == nil {
				t.Error("Relay = nil")
			}
			if open := w.S3.OpenUploads(); len(open) != 1 || open[0].Parts != 0 {
				t.Errorf("a part is stored: %+v", open)
			}
		})
	}
	requests := 0
	c := at(t, func(w http.ResponseWriter, r *http.Request) {
		requests++
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := c.Relay(t.Context(), key, "id", 1, streamOf(bytes.NewReader(make([]byte, 1<<20)), 1<<20))
	wantFault(t, err, messages.Unavailable)
	if requests != 1 {
		t.Errorf("%d requests, want one", requests)
	}
}

// TestWhereARelayIsPossible: the SHA-256 of a body that is signed must be known before it.
func TestWhereARelayIsPossible(t *testing.T) {
	for _, c := range []struct {
		endpoint, environ string
		unsigned, want    bool
	}{
		{"", "", false, true},
		{"https://s3.invalid", "", false, true},
		{"http://s3.invalid", "", false, false},
		{"http://s3.invalid", "", true, true},
		{"", "http://s3.invalid", false, false},
	} {
		if c.environ != "" {
			t.Setenv("AWS_ENDPOINT_URL", c.environ)
		}
		if got := open(t, s3.Options{Bucket: "b", Endpoint: c.endpoint, UnsignedPayload: c.unsigned}).Relaying(); got != c.want {
			t.Errorf("%+v: Relaying = %t", c, got)
		}
	}
}
