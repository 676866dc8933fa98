package oci_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

var _ copier.Source = world{}.client

const name = prefix + "2026/03/01/0001000002103533-00001.csv.gz"

func add(w world, o simulator.Object) simulator.Report {
	if o.Name == "" {
		o.Name = name
	}
	w.Source.Add(o)
	r, _ := w.Source.Report(o.Name)
	return r
}

// fetch opens and reads an object to its end or error.
func fetch(ctx context.Context, c *oci.Client, name, etag string) ([]byte, error) {
	_, r, err := c.Open(ctx, name, etag)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestOpenYieldsTheStoredBytes(t *testing.T) {
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	z.Write(bytes.Repeat([]byte("a,b,c\n"), 1000))
	z.Close()
	for title, o := range map[string]simulator.Object{
		"plain":    {Content: simulator.Bytes([]byte("hello"))},
		"empty":    {Content: simulator.Bytes(nil)},
		"encoded":  {Content: simulator.Bytes(zipped.Bytes()), ContentEncoding: "gzip"},
		"large":    {Content: simulator.Random(1, 3<<20)},
		"odd name": {Name: prefix + "a b+c%20d?e#f/é\u00a0ü//x&y=z;:@.csv.gz", Content: simulator.Bytes([]byte("odd"))},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			r := add(w, o)
			got, body, err := w.client.Open(t.Context(), r.Name, r.ETag)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			want := messages.Object{Name: r.Name, ETag: r.ETag, Size: r.Size, MD5: r.MD5, CRC32C: r.CRC32C}
			if got != want {
				t.Errorf("Object = %+v, want %+v", got, want)
			}
			data, err := io.ReadAll(body)
			stored, _ := io.ReadAll(o.Content.Open(0))
			if err != nil || !bytes.Equal(data, stored) {
				t.Errorf("read %d bytes, %v; want the %d stored ones", len(data), err, len(stored))
			}
		})
	}
}

func TestOpenDoesNotTakeTheSumOfParts(t *testing.T) {
	w := newWorld(t)
	r := add(w, simulator.Object{Content: simulator.Bytes([]byte("hello")), NoMD5: true, NoCRC32C: true})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Reply(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("opc-multipart-md5", "bm90IGEgc3VtIG9mIGJ5dGVz-2")
		io.WriteString(w, "hello")
	})})
	o, body, err := w.client.Open(t.Context(), r.Name, "")
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if o.MD5 != "" || o.CRC32C != "" {
		t.Errorf("sums = %q, %q; want none", o.MD5, o.CRC32C)
	}
}

func TestBodyThatEndsEarlyOrLate(t *testing.T) {
	for title, c := range map[string]struct {
		fault simulator.Fault
		size  int64 // -1: no length declared
		fails bool
	}{
		"cut with a length":   {simulator.Truncate(40_000, simulator.KeepLength), 100_000, true},
		"reset":               {simulator.ResetAfterBytes(40_000), 100_000, true},
		"cut without length":  {simulator.Truncate(40_000, simulator.NoLength), -1, false},
		"cut by closing":      {simulator.Truncate(40_000, simulator.CloseEnds), -1, false},
		"longer than it says": {simulator.Extend(7), 100_007, false},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			r := add(w, simulator.Object{Content: simulator.Random(1, 100_000)})
			w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: c.fault})
			o, body, err := w.client.Open(t.Context(), r.Name, r.ETag)
			if err != nil {
				t.Fatal(err)
			}
			defer body.Close()
			if o.Size != c.size {
				t.Errorf("Size = %d, want %d", o.Size, c.size)
			}
			data, err := io.ReadAll(body)
			if c.fails {
				wantFault(t, err, messages.Connection)
			} else if err != nil || int64(len(data)) == r.Size {
				t.Errorf("read %d bytes, %v; want another number without an error", len(data), err)
			}
		})
	}
}

func TestStallIsGivenUp(t *testing.T) {
	short := func(o *oci.Options) { o.Stall = 50 * time.Millisecond }
	t.Run("in a body", func(t *testing.T) {
		w := newWorld(t, short)
		r := add(w, simulator.Object{Content: simulator.Random(1, 100_000)})
		w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Stall(50_000, nil)})
		data, err := fetch(t.Context(), w.client, r.Name, r.ETag)
		wantFault(t, err, messages.Connection)
		if len(data) == 0 || !strings.Contains(err.Error(), "no byte came for 50ms") {
			t.Errorf("read %d bytes, then %v", len(data), err)
		}
	})
	t.Run("in the explanation of an error", func(t *testing.T) {
		c := at(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusServiceUnavailable)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		}, short)
		_, err := fetch(t.Context(), c, name, "")
		wantFault(t, err, messages.Unavailable)
	})
	t.Run("in a listing", func(t *testing.T) {
		w := newWorld(t, short)
		fill(w, 100)
		w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Stall(50, nil)})
		_, err := w.client.Check(t.Context())
		wantFault(t, err, messages.Connection)
	})
}

func TestSlowBodyIsNotCut(t *testing.T) {
	w := newWorld(t, func(o *oci.Options) { o.Stall = 150 * time.Millisecond })
	r := add(w, simulator.Object{Content: simulator.Random(1, 400)})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Trickle(10, 10*time.Millisecond)})
	start := time.Now()
	data, err := fetch(t.Context(), w.client, r.Name, r.ETag)
	if err != nil || len(data) != 400 {
		t.Errorf("read %d bytes, %v; want 400", len(data), err)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("took %v, want more than the stall time", took)
	}
}

func TestSlowReaderIsNoStall(t *testing.T) {
	stall := 20 * time.Millisecond
	w := newWorld(t, func(o *oci.Options) { o.Stall = stall })
	r := add(w, simulator.Object{Content: simulator.Random(1, 4<<20)})
	_, body, err := w.client.Open(t.Context(), r.Name, r.ETag)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.CopyN(io.Discard, body, 1000); err != nil {
		t.Fatal(err)
	}
	<-time.After(4 * stall) // the pause of the reader is the subject
	if n, err := io.Copy(io.Discard, body); err != nil || n != 4<<20-1000 {
		t.Errorf("read %d more bytes, %v", n, err)
	}
}

func TestOpenEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	r := add(w, simulator.Object{Content: simulator.Random(1, 100_000)})
	t.Run("before the answer", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer w.OCIFaults.Clear()
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Hook(cancel)})
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
		wantEnd(t, func() error { _, err := fetch(ctx, w.client, r.Name, ""); return err })
	})
	t.Run("in the body", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer w.OCIFaults.Clear()
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Stall(50_000, nil)})
		_, body, err := w.client.Open(ctx, r.Name, "")
		if err != nil {
			t.Fatal(err)
		}
		defer body.Close()
		time.AfterFunc(20*time.Millisecond, cancel)
		wantEnd(t, func() error { _, err := io.ReadAll(body); return err })
	})
}

func TestOpenOnlyTheVersionAskedFor(t *testing.T) {
	w := newWorld(t)
	old := add(w, simulator.Object{Content: simulator.Bytes([]byte("old"))})
	add(w, simulator.Object{Content: simulator.Bytes([]byte("new"))})
	_, err := fetch(t.Context(), w.client, name, old.ETag)
	wantFault(t, err, messages.Changed)
	if data, err := fetch(t.Context(), w.client, name, ""); err != nil || string(data) != "new" {
		t.Errorf("without a condition: %q, %v", data, err)
	}

	c := at(t, func(w http.ResponseWriter, _ *http.Request) { // a proxy that drops the condition
		w.Header().Set("ETag", "other")
		io.WriteString(w, "new")
	})
	_, err = fetch(t.Context(), c, name, "this")
	wantFault(t, err, messages.Changed)
}

func TestOpenOfNoObjectIsGone(t *testing.T) {
	w := newWorld(t)
	_, err := fetch(t.Context(), w.client, name, "")
	wantFault(t, err, messages.Gone)
}

func TestOpenTakesNothingButAnObject(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified, http.StatusMultipleChoices} {
		c := at(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
		_, err := fetch(t.Context(), c, name, "")
		wantFault(t, err, messages.Unavailable, "not an answer of Oracle's")
	}
}

func TestRefusedNamesCauseNoRequest(t *testing.T) {
	w := newWorld(t)
	for _, bad := range []string{
		"", "/" + name, "../../otherbucket/o/x", prefix + "../x", prefix + "2026/./x", prefix + "..", prefix + ".",
		prefix + "a\nb", prefix + "a\x00b", prefix + "a\x7f", prefix + "\xff", "Other Reports/x", "FOCUS Report", strings.ToLower(name),
	} {
		_, err := fetch(t.Context(), w.client, bad, "")
		wantFault(t, err, messages.Refused)
		_, err = w.client.Stat(t.Context(), bad)
		wantFault(t, err, messages.Refused)
	}
	if got := total(w.OCI.Requests()); got != 0 {
		t.Errorf("made %d requests, want none", got)
	}
}

func TestRedirectsAreRefused(t *testing.T) {
	var followed atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := at(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		_, err := fetch(t.Context(), c, name, "")
		wantFault(t, err, messages.Connection, "does not redirect")
		_, err = c.Check(t.Context())
		wantFault(t, err, messages.Connection, "does not redirect")
	}
	if followed.Load() != 0 {
		t.Errorf("%d signed requests went to another host", followed.Load())
	}
}

func TestCloseEarlyReleasesTheConnection(t *testing.T) {
	w := newWorld(t)
	r := add(w, simulator.Object{Content: simulator.Random(1, 50<<20)})
	for range 5 {
		_, body, err := w.client.Open(t.Context(), r.Name, r.ETag)
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	} // goleak looks for what stays
}
