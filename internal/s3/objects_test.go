package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestPutStoresTheBytesAndTheirOrigin(t *testing.T) {
	for title, body := range map[string][]byte{
		"small": []byte("hello"), "empty": {}, "large": random(t, 1, 6<<20), // over the threshold of Expect: 100-continue
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, simulator.PutOnly)
			etag, err := w.client.Put(t.Context(), key, body, meta)
			if err != nil {
				t.Fatal(err)
			}
			if got := stored(t, w, key); got != string(body) {
				t.Errorf("stored %d bytes, want %d", len(got), len(body))
			}
			o := w.S3.Objects()[0]
			if o.ETag != etag || o.ContentType != "application/gzip" || o.Algorithm != "CRC32C" || o.Checksum != s3.Sum(body) || len(o.Headers) != 0 {
				t.Errorf("object = %+v, etag %q", o, etag)
			}
			if m := o.Metadata; m["oci-name"] != meta.Name || m["oci-etag"] != meta.ETag || m["crc32c"] != s3.Sum(body) || len(m) != 3 {
				t.Errorf("metadata = %v", m)
			}
		})
	}
}

func TestPutOfOtherBytesThanVerifiedIsRefused(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	m := meta
	m.CRC32C = s3.Sum([]byte("what was verified"))
	_, err := w.client.Put(t.Context(), key, []byte("what is in memory now"), m)
	wantFault(t, err, messages.HashMismatch)
	wantNothing(t, w)
}

func TestPutIsNotConfirmedWithoutAnETag(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	_, err := c.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Unavailable)
	if !strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("error = %v", err)
	}
}

func TestPutIsRepeatedAfterALostAnswer(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 1, Do: simulator.Lost()})
	etag, err := w.client.Put(t.Context(), key, []byte("hello"), meta)
	if err != nil {
		t.Fatal(err)
	}
	h := w.S3.History()
	if len(h) != 2 || h[0].MD5 != h[1].MD5 || h[1].ETag != etag {
		t.Errorf("history = %+v, want the same bytes twice", h)
	}
}

func TestKeysAreSentExactly(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	for _, key := range []string{"a b", "a+b", "a%20b", "a%b", "a#b?c=d&e", "é/ü\u00a0", "日本語.csv.gz", "a//b", "~*'()!;:@$,=[]", `back\slash"quote`} {
		if _, err := w.client.Put(t.Context(), key, []byte(key), meta); err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		if got := stored(t, w, key); got != key {
			t.Errorf("%q holds %q", key, got)
		}
		if s, err := w.client.Head(t.Context(), key); err != nil || s.Size != int64(len(key)) {
			t.Errorf("head %q: %+v, %v", key, s, err)
		}
		if err := w.client.Check(t.Context(), key); err != nil {
			t.Errorf("check %q: %v", key, err)
		}
	}
}

func TestMetadataSurvivesTheHeader(t *testing.T) {
	for title, c := range map[string]struct{ name, want string }{
		"plain":     {"FOCUS Reports/a.csv.gz", "FOCUS Reports/a.csv.gz"},
		"unicode":   {"Rapports/é.csv.gz", "Rapports/%C3%A9.csv.gz"},
		"percent":   {"100%.csv.gz", "100%25.csv.gz"},
		"spaces":    {" a  b ", "%20a %20b%20"},
		"controls":  {"a\nb", "a%0Ab"},
		"just fits": {strings.Repeat("a", 1024), strings.Repeat("a", 1024)},
		"too long":  {strings.Repeat("é", 500), ""},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, simulator.AllowAll)
			if _, err := w.client.Put(t.Context(), key, []byte("x"), copier.Meta{Name: c.name, ETag: `"é" 1%`}); err != nil {
				t.Fatal(err)
			}
			if got := w.S3.Objects()[0].Metadata["oci-name"]; got != c.want {
				t.Errorf("oci-name = %q, want %q", got, c.want)
			}
			if s, err := w.client.Head(t.Context(), key); err != nil || s.SourceETag != `"é" 1%` {
				t.Errorf("Head = %+v, %v", s, err)
			}
		})
	}
}

// TestATraceIsNamedWhereItFits: an object without a trace has no word of it, and one
// whose own metadata leave no room is stored without it.
func TestATraceIsNamedWhereItFits(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	long := strings.Repeat("a", 1000)
	for title, c := range map[string]struct {
		meta copier.Meta
		want string
	}{
		"no trace": {copier.Meta{Name: "a"}, ""},
		"a trace":  {copier.Meta{Name: "a", TraceID: id}, id},
		"no room":  {copier.Meta{Name: long, ETag: long, TraceID: id}, ""},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, simulator.AllowAll)
			if _, err := w.client.Put(t.Context(), key, []byte("x"), c.meta); err != nil {
				t.Fatal(err)
			}
			if got := w.S3.Objects()[0].Metadata; got["trace-id"] != c.want || got["oci-name"] != c.meta.Name {
				t.Errorf("metadata %v, want the trace %q", got, c.want)
			}
		})
	}
}

func TestHeadTellsWhatIsStored(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	etag, err := w.client.Put(t.Context(), key, []byte("hello"), meta)
	if err != nil {
		t.Fatal(err)
	}
	want := copier.Stored{Size: 5, ETag: etag, CRC32C: s3.Sum([]byte("hello")), SourceETag: meta.ETag}
	if got, err := w.client.Head(t.Context(), key); err != nil || got != want {
		t.Errorf("Head = %+v, %v; want %+v", got, err, want)
	}
	_, err = w.client.Head(t.Context(), "other")
	wantFault(t, err, messages.Gone)
}

func TestHeadDoesNotTakeASumOfSums(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("ETag", `"x-2"`)
		w.Header().Set("x-amz-checksum-crc32c", "AAAAAA==-2")
		w.Header().Set("x-amz-checksum-type", "COMPOSITE")
	})
	if s, err := c.Head(t.Context(), key); err != nil || s.CRC32C != "" || s.ETag != "x-2" {
		t.Errorf("Head = %+v, %v; want no checksum", s, err)
	}
}

func TestHeadMayBeForbiddenWhereWritingIsNot(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	if _, err := w.client.Put(t.Context(), key, []byte("hello"), meta); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{key, "other"} {
		_, err := w.client.Head(t.Context(), k)
		wantFault(t, err, messages.Forbidden, "copying works without it", "s3:GetObject")
	}
}

func TestLargeBodyWaitsForLeave(t *testing.T) {
	// S3 refuses once it has seen the header, and closes. A body that is already on
	// its way then turns the refusal into a reset connection.
	early := make(chan int, 3)
	c := at(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		n, _ := rw.Read(make([]byte, 1))
		early <- n
		io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n<Error><Code>AccessDenied</Code></Error>")
	})
	_, err := c.Put(t.Context(), key, random(t, 1, 4<<20), meta)
	wantFault(t, err, messages.Forbidden)
	if len(early) != 1 || <-early != 0 {
		t.Error("the body was sent before S3 had asked for it, or more than once")
	}
}

func TestCallsEndWithTheirContext(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	for title, call := range map[string]func(context.Context) error{
		"put":    func(ctx context.Context) error { _, err := w.client.Put(ctx, key, []byte("x"), meta); return err },
		"head":   func(ctx context.Context) error { _, err := w.client.Head(ctx, key); return err },
		"create": func(ctx context.Context) error { _, err := w.client.Create(ctx, key, meta); return err },
		"part": func(ctx context.Context) error {
			_, err := w.client.Part(ctx, key, "id", 1, []byte("x"), s3.Sum([]byte("x")))
			return err
		},
		"complete": func(ctx context.Context) error {
			_, err := w.client.Complete(ctx, key, "id", []copier.Part{{Number: 1, ETag: "e"}}, 1, "")
			return err
		},
		"abort": func(ctx context.Context) error { return w.client.Abort(ctx, key, "id") },
	} {
		t.Run(title, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer w.S3Faults.Clear()
			w.S3Faults.Add(simulator.Rule{Do: simulator.Hook(cancel)})
			w.S3Faults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
			start := time.Now()
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("error = %v, want the context's", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v to end", took)
			}
		})
	}
}

func TestBodiesOnTheWayAreWatched(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	body := random(t, 2, 100_000)
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 2, Do: simulator.ResetAfterBytes(50_000)})
	if _, err := w.client.Put(t.Context(), key, body, meta); err != nil {
		t.Fatalf("the third attempt failed: %v", err)
	}
	if h := w.S3.History(); len(h) != 1 || !bytes.Equal([]byte(stored(t, w, key)), body) {
		t.Errorf("history = %+v", h)
	}
}
