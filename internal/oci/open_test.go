package oci_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
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
	_, r, err := c.Open(ctx, name, etag, copier.Range{})
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
			got, body, err := w.client.Open(t.Context(), r.Name, r.ETag, copier.Range{})
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
	o, body, err := w.client.Open(t.Context(), r.Name, "", copier.Range{})
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
			o, body, err := w.client.Open(t.Context(), r.Name, r.ETag, copier.Range{})
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
	_, body, err := w.client.Open(t.Context(), r.Name, r.ETag, copier.Range{})
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
		_, body, err := w.client.Open(ctx, r.Name, "", copier.Range{})
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
		_, body, err := w.client.Open(t.Context(), r.Name, r.ETag, copier.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if err := body.Close(); err != nil {
			t.Error(err)
		}
	} // goleak looks for what stays
}

// A forged message can bring such an etag. As a broken connection it would come again
// for ever, and stop the work on all other files.
func TestAnETagThatNoHeaderCanHoldIsRefused(t *testing.T) {
	w := newWorld(t)
	add(w, simulator.Object{Content: simulator.Bytes([]byte("x"))})
	for _, etag := range []string{"e\r\nX-Forged: 1", "\n", "\x00", "e\x7f"} {
		_, err := fetch(t.Context(), w.client, name, etag)
		wantFault(t, err, messages.Refused)
	}
	if n := w.OCI.Requests()["GetObject"]; n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestARangeYieldsItsBytes(t *testing.T) {
	w := newWorld(t)
	content := simulator.Random(1, 100_000)
	r := add(w, simulator.Object{Content: content})
	all, _ := io.ReadAll(content.Open(0))
	for stretch, end := range map[copier.Range]int64{
		{Offset: 1}: 100_000, {Offset: 50_000}: 100_000, {Offset: 99_999}: 100_000,
		{Length: 1}: 1, {Length: 100_000}: 100_000, {Offset: 1, Length: 50_000}: 50_001, {Offset: 99_999, Length: 1}: 100_000,
	} {
		got, body, err := w.client.Open(t.Context(), r.Name, r.ETag, stretch)
		if err != nil {
			t.Fatal(err)
		}
		if want := (messages.Object{Name: r.Name, ETag: r.ETag, Size: r.Size}); got != want {
			t.Errorf("%+v: Object = %+v, want %+v, without sums, which may be those of the range", stretch, got, want)
		}
		if b, err := io.ReadAll(body); err != nil || !bytes.Equal(b, all[stretch.Offset:end]) {
			t.Errorf("%+v: %d bytes, %v", stretch, len(b), err)
		}
		body.Close()
	}
	for _, stretch := range []copier.Range{{Offset: 5}, {Offset: 5, Length: 5}} {
		_, _, err := w.client.Open(t.Context(), r.Name, "another", stretch)
		wantFault(t, err, messages.Changed)
	}
}

// A range that is not the one asked for must not pass for it, nor one of any version.
func TestARangeThatIsNotHeeded(t *testing.T) {
	const version = "the-version"
	reply := func(status int, etag, header string, n int) simulator.Fault {
		return simulator.Reply(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("etag", etag)
			if header != "" {
				w.Header().Set("Content-Range", header)
			}
			w.WriteHeader(status)
			w.Write(make([]byte, n))
		})
	}
	rest, middle := copier.Range{Offset: 40}, copier.Range{Offset: 40, Length: 10}
	for title, c := range map[string]struct {
		fault   simulator.Fault
		asked   copier.Range
		noRange bool
	}{
		"the whole":                        {reply(200, version, "", 100), rest, true},
		"no Content-Range":                 {reply(206, version, "", 60), rest, true},
		"another begin":                    {reply(206, version, "bytes 41-99/100", 59), rest, true},
		"another end":                      {reply(206, version, "bytes 40-98/100", 59), rest, true},
		"of an unknown size":               {reply(206, version, "bytes 40-99/*", 60), rest, true},
		"another length":                   {reply(206, version, "bytes 40-99/100", 59), rest, true},
		"without a version":                {reply(206, "", "bytes 40-99/100", 60), rest, true},
		"beyond the end":                   {reply(416, version, "bytes */100", 0), copier.Range{Offset: 140}, true},
		"a part without asking":            {reply(206, version, "bytes 0-99/100", 100), copier.Range{}, false},
		"no content":                       {reply(204, version, "", 0), rest, false},
		"unavailable":                      {reply(503, version, "", 0), rest, false},
		"another version":                  {reply(206, "another", "bytes 40-99/100", 60), rest, false},
		"the whole for a piece":            {reply(200, version, "", 100), middle, true},
		"the rest for a piece":             {reply(206, version, "bytes 40-99/100", 60), middle, true},
		"a piece that begins elsewhere":    {reply(206, version, "bytes 39-48/100", 10), middle, true},
		"a piece that ends early":          {reply(206, version, "bytes 40-48/100", 9), middle, true},
		"a piece that ends late":           {reply(206, version, "bytes 40-50/100", 11), middle, true},
		"a shorter piece than it says":     {reply(206, version, "bytes 40-49/100", 9), middle, true},
		"a longer piece than it says":      {reply(206, version, "bytes 40-49/100", 11), middle, true},
		"a piece beyond the end":           {reply(206, version, "bytes 40-49/45", 10), middle, true},
		"a piece of an unknown size":       {reply(206, version, "bytes 40-49/*", 10), middle, true},
		"a piece in other words":           {reply(206, version, "bytes 40-49/100, 50-59/100", 10), middle, true},
		"a piece without a version":        {reply(206, "", "bytes 40-49/100", 10), middle, true},
		"a piece of another version":       {reply(206, "another", "bytes 40-49/100", 10), middle, false},
		"a piece as asked, that is no 206": {reply(200, version, "bytes 40-49/100", 10), middle, true},
		"multipart":                        {reply(206, version, "", 10), middle, true},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t)
			r := add(w, simulator.Object{Content: simulator.Random(1, 100)})
			w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: c.fault})
			_, _, err := w.client.Open(t.Context(), r.Name, version, c.asked)
			if f, ok := errors.AsType[*messages.Fault](err); !ok || f.Side != messages.Source || errors.Is(err, copier.ErrNoRange) != c.noRange {
				t.Errorf("Open = %v, want ErrNoRange: %t", err, c.noRange)
			}
		})
	}
}

// TestARangeIsAskedForOnlyWithItsVersion: else two pieces could be of two versions.
func TestARangeIsAskedForOnlyWithItsVersion(t *testing.T) {
	w := newWorld(t)
	r := add(w, simulator.Object{Content: simulator.Random(1, 100)})
	_, _, err := w.client.Open(t.Context(), r.Name, "", copier.Range{Offset: 40, Length: 10})
	wantFault(t, err, messages.Refused)
	if n := w.OCI.Requests()["GetObject"]; n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}
