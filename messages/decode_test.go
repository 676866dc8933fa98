package messages_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

// permanent are the two ways in which decoding may fail.
func permanent(err error) bool {
	return errors.Is(err, messages.Refused) != errors.Is(err, messages.ErrNewer)
}

func TestDecodeRefuses(t *testing.T) {
	for _, f := range formats() {
		good, err := f.encode()
		if err != nil {
			t.Fatal(err)
		}
		deep := strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001)
		pad := func(n int) string { // a valid value of exactly n bytes
			head := strings.TrimSuffix(string(good), "}") + `,"later":"`
			return head + strings.Repeat("x", n-len(head)-2) + `"}`
		}
		for _, c := range []struct {
			name, in, text string
			newer          bool
		}{
			{"nothing", "", "", false},
			{"null", "null", "schema 0 is unknown", false},
			{"an array", "[]", "", false},
			{"no schema", "{}", "schema 0 is unknown", false},
			{"a schema below 1", `{"schema":-1}`, "schema -1 is unknown", false},
			{"a newer schema", `{"schema":2,"object":17}`, "schema 2: written by a newer version; upgrade this program", true},
			{"a newer schema, last", strings.TrimSuffix(string(good), "}") + `,"schema":2}`, "schema 2: ", true},
			{"a schema in words", `{"schema":"1"}`, "", false},
			{"a fraction", `{"schema":1.5}`, "", false},
			{"not a number", `{"schema":NaN}`, "", false},
			{"a second object", string(good) + "{}", "", false},
			{"trailing text", string(good) + " x", "", false},
			{"cut short", string(good[:len(good)-1]), "", false},
			{"nested 10,000 deep", `{"schema":1,"later":` + deep + `}`, "", false},
			{"one byte over the limit", pad(messages.MaxSize + 1), "65537 bytes are more than the limit of 65536", false},
			{"white space over the limit", string(good) + strings.Repeat(" ", messages.MaxSize), "more than the limit", false},
		} {
			got, err := f.decode([]byte(c.in))
			if err == nil || !permanent(err) || errors.Is(err, messages.ErrNewer) != c.newer || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: decode of %s = %v, want an error, newer %t, with %q", f.file, c.name, err, c.newer, c.text)
			}
			if !reflect.ValueOf(got).IsZero() {
				t.Errorf("%s: decode of %s left %+v behind", f.file, c.name, got)
			}
		}
		for name, in := range map[string]string{
			"the limit":     pad(messages.MaxSize),
			"a later field": strings.TrimSuffix(string(good), "}") + `,"later":{"a":[1,2]}}`,
			"white space":   " \n" + string(good) + "\n",
		} {
			if got, err := f.decode([]byte(in)); err != nil || !reflect.DeepEqual(got, f.value) {
				t.Errorf("%s: decode with %s = %+v, %v, want %+v", f.file, name, got, err, f.value)
			}
		}
	}
}

func TestDecodeDiscoveredRefusesWhatNoScannerWrites(t *testing.T) {
	for _, in := range []string{
		`{"schema":1,"route":"main","object":{"size":1}}`,
		`{"schema":1,"route":"main","object":{"name":"x","size":-1}}`,
		`{"schema":1,"route":"main","object":{"name":"x"},"generation":-1}`,
		`{"schema":1,"route":"","object":{"name":"x"}}`,
		`{"schema":1,"route":"a.b","object":{"name":"x"}}`,
		`{"schema":1,"route":"a b","object":{"name":"x"}}`,
		`{"schema":1,"route":"*","object":{"name":"x"}}`,
		`{"schema":1,"route":"` + strings.Repeat("a", 33) + `","object":{"name":"x"}}`,
		`{"schema":1,"route":"main","object":{"name":"x","size":1e400}}`,
		`{"schema":1,"route":"main","object":{"name":"x","created":"yesterday"}}`,
	} {
		if m, err := messages.DecodeDiscovered([]byte(in)); !errors.Is(err, messages.Refused) {
			t.Errorf("DecodeDiscovered(%s) = %+v, %v, want Refused", in, m, err)
		}
	}
	if m, err := messages.DecodeMarks([]byte(`{"schema":1,"since":"2024-02-30"}`)); !errors.Is(err, messages.Refused) {
		t.Errorf("DecodeMarks of a day that is none = %+v, %v, want Refused", m, err)
	}
}

// TestEncodeRefusesWhatNobodyCouldStore: the limit of the stream and the bucket.
func TestEncodeRefusesWhatNobodyCouldStore(t *testing.T) {
	m := messages.FileDiscovered{Route: "main", Trace: strings.Repeat("x", messages.MaxSize)}
	if b, err := m.Encode(); !errors.Is(err, messages.Refused) || b != nil {
		t.Errorf("Encode of %d bytes: %v, want Refused", len(b), err)
	}
	if _, err := (messages.Record{At: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}).Encode(); err == nil {
		t.Error("Encode of the year 10000 succeeded")
	}
}

// law is what holds for every decoder and every input: it fails for good, or it
// yields a value that survives being written and read again.
func law[T any](decode func([]byte) (T, error), encode func(T) ([]byte, error)) func(*testing.T, []byte) {
	return func(t *testing.T, in []byte) {
		v, err := decode(in)
		if err != nil {
			if !permanent(err) {
				t.Fatalf("the error is neither Refused nor ErrNewer: %v", err)
			}
			return
		}
		out, err := encode(v)
		if errors.Is(err, messages.Refused) && strings.Contains(err.Error(), "more than the limit") {
			return // the escapes of the encoder made it grow
		}
		if err != nil {
			t.Fatalf("%+v was read, but cannot be written: %v", v, err)
		}
		w, err := decode(out)
		if err != nil {
			t.Fatalf("%s was written, but cannot be read: %v", out, err)
		}
		if a, b := canon(v), canon(w); !reflect.DeepEqual(a, b) {
			t.Fatalf("read\n%+v, wrote and read again\n%+v", a, b)
		}
		if bytes.Contains(out, []byte("\n")) {
			t.Fatalf("more than one line: %q", out)
		}
	}
}

// canon returns v with its schema set, its times in UTC, and without empty slices.
func canon[T any](v T) T {
	r := reflect.ValueOf(&v).Elem()
	var walk func(reflect.Value)
	walk = func(r reflect.Value) {
		if at, ok := r.Interface().(time.Time); ok {
			r.Set(reflect.ValueOf(at.UTC().Round(0)))
			return
		}
		switch r.Kind() {
		case reflect.Struct:
			for _, field := range r.Fields() {
				walk(field)
			}
		case reflect.Pointer:
			if !r.IsNil() {
				walk(r.Elem())
			}
		case reflect.Slice:
			if r.Len() == 0 {
				r.SetZero()
			}
		}
	}
	walk(r)
	r.FieldByName("Schema").SetInt(messages.Schema)
	return v
}

func seeds(f *testing.F) {
	files, err := filepath.Glob("testdata/*.v1.json")
	if err != nil || len(files) < 9 {
		f.Fatalf("the golden files are missing: %v, %v", files, err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	for _, s := range []string{
		"", "null", "{}", `{"schema":1}`, `{"schema":2}`, `{"SCHEMA":1,"Route":"main","object":{"NAME":"x"}}`,
		`{"schema":1,"route":"main","object":{"name":"` + "\xff\u2028" + `","created":"2024-01-01T00:00:00+23:59"}}`,
		`{"schema":1,"object":{"created":"0001-01-01T01:00:00+01:00"},"copy":{},"abandoned":[]}`,
		`{"schema":1,"since":"2024-02-29","scanned":"9999-12-31T23:59:59.999999999-12:00"}`,
		`{"schema":1,"at":"0000-01-01T00:00:00+14:00","first_failed":"0000-01-01T00:00:00+14:00"}`,
	} {
		f.Add([]byte(s))
	}
}

func FuzzDecodeDiscovered(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeDiscovered, messages.FileDiscovered.Encode))
}

func FuzzDecodeRecord(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeRecord, messages.Record.Encode))
}

func FuzzDecodeUpload(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeUpload, messages.Upload.Encode))
}

func FuzzDecodeMarks(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeMarks, messages.Marks.Encode))
}

func FuzzDecodeIdentity(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeIdentity, messages.Identity.Encode))
}

func FuzzDecodeDeadLetter(f *testing.F) {
	seeds(f)
	f.Fuzz(law(messages.DecodeDeadLetter, messages.DeadLetter.Encode))
}

func TestSameVersion(t *testing.T) {
	base := object()
	with := func(change func(*messages.Object)) messages.Object {
		o := base
		change(&o)
		return o
	}
	none := with(func(o *messages.Object) { o.ETag = "" })
	for _, c := range []struct {
		name string
		a, b messages.Object
		want bool
	}{
		{"equal", base, base, true},
		{"another name", base, with(func(o *messages.Object) { o.Name += "x" }), false},
		{"another etag, all else equal", base, with(func(o *messages.Object) { o.ETag = "x" }), false},
		{"equal etags, all else different", base, messages.Object{Name: base.Name, ETag: base.ETag, Size: 1}, true},
		{"no etags, equal", none, none, true},
		{"one etag missing, equal", base, none, true},
		{"one etag missing, another size", none, with(func(o *messages.Object) { o.Size++ }), false},
		{"one etag missing, another time", none, with(func(o *messages.Object) { o.Modified = at(9) }), false},
		{"one etag missing, created differs", none, with(func(o *messages.Object) { o.Created = at(9) }), false},
		{"no etags, one common time", none, with(func(o *messages.Object) { o.ETag, o.Created = "", time.Time{} }), true},
		{"no etags, the times have nothing in common", with(func(o *messages.Object) { o.ETag, o.Created = "", time.Time{} }), with(func(o *messages.Object) { o.ETag, o.Modified = "", time.Time{} }), false},
		{"no etags, no times", messages.Object{Name: "x"}, messages.Object{Name: "x"}, false},
		{"equal instants in two zones", none, with(func(o *messages.Object) { o.Modified = o.Modified.In(time.FixedZone("", 3600)) }), true},
	} {
		if got := c.a.SameVersion(c.b); got != c.want {
			t.Errorf("%s: SameVersion = %t, want %t", c.name, got, c.want)
		}
		if got := c.b.SameVersion(c.a); got != c.want {
			t.Errorf("%s: SameVersion is not symmetric", c.name)
		}
	}
}

func TestSameBytes(t *testing.T) {
	o := func(size int64, crc, md5 string) messages.Object {
		return messages.Object{ETag: fmt.Sprint(size, crc, md5), Size: size, CRC32C: crc, MD5: md5}
	}
	for _, c := range []struct {
		name string
		a, b messages.Object
		want bool
	}{
		{"equal sums under two etags", o(1, "c", "m"), o(1, "c", "m"), true},
		{"another size", o(1, "c", "m"), o(2, "c", "m"), false},
		{"the CRC32C decides", o(1, "c", "m"), o(1, "d", "m"), false},
		{"the CRC32C suffices", o(1, "c", "m"), o(1, "c", "n"), true},
		{"one CRC32C missing, equal MD5", o(1, "", "m"), o(1, "c", "m"), true},
		{"one CRC32C missing, another MD5", o(1, "", "m"), o(1, "c", "n"), false},
		{"no common sum", o(1, "c", ""), o(1, "", "m"), false},
		{"no sums", o(1, "", ""), o(1, "", ""), false},
	} {
		if c.a.SameBytes(c.b) != c.want || c.b.SameBytes(c.a) != c.want {
			t.Errorf("%s: SameBytes is not %t", c.name, c.want)
		}
	}
}

func TestVersionTellsVersionsApart(t *testing.T) {
	o := object()
	if o.Version() != o.ETag {
		t.Errorf("Version = %q, want the etag", o.Version())
	}
	o.ETag = ""
	p, q := o, o
	p.Size++
	q.Modified = at(9)
	if o.Version() == p.Version() || o.Version() == q.Version() || o.Version() == "" {
		t.Errorf("versions %q, %q, %q", o.Version(), p.Version(), q.Version())
	}
	q.Modified = time.Time{}
	if q.Version() == o.Version() {
		t.Error("the time of creation does not count where no other is known")
	}
}

// TestDone: a record is done for one version in one epoch, and only when final.
func TestDone(t *testing.T) {
	for status, final := range map[messages.Status]bool{
		messages.StatusCopied: true, messages.StatusGone: true, messages.StatusFailed: true, messages.StatusDiscarded: true,
		messages.StatusDue: false, messages.StatusRetrying: false, "": false, "later": false,
	} {
		r := messages.Record{Status: status, Epoch: 2, Object: object()}
		if status.Final() != final || r.Done(object(), 2) != final {
			t.Errorf("%q: Final %t, Done %t, want %t", status, status.Final(), r.Done(object(), 2), final)
		}
		newer := object()
		newer.ETag = "newer"
		if r.Done(newer, 2) || r.Done(object(), 1) || r.Done(object(), 3) {
			t.Errorf("%q: done for another version or another epoch", status)
		}
	}
}

func TestDifferences(t *testing.T) {
	a := messages.Identity{Namespace: "n", Bucket: "b", Prefix: "p", S3Bucket: "s", S3Prefix: "x", Template: "t"}
	b := a
	b.Epoch, b.Created, b.Schema = 7, at(1), 1
	if d := a.Differences(b); d != nil {
		t.Errorf("epoch, birth and schema count as %v", d)
	}
	b = messages.Identity{}
	want := []messages.Difference{
		{Field: "oci.namespace", Old: "n"}, {Field: "oci.bucket", Old: "b"}, {Field: "oci.prefix", Old: "p"},
		{Field: "s3.bucket_path (bucket)", Old: "s"}, {Field: "s3.bucket_path (path)", Old: "x"}, {Field: "naming.template", Old: "t"},
	}
	if d := a.Differences(b); !reflect.DeepEqual(d, want) {
		t.Errorf("Differences = %v, want %v", d, want)
	}
}
