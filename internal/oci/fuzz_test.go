package oci_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A liar answers every request alike, whoever it is: Oracle, a proxy, or somebody
// who pretends to be one of them. It answers four times at most.
type liar struct {
	status int
	header http.Header
	body   []byte
	asked  int
}

func (s *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	if s.asked++; s.asked > 4 {
		return nil, errors.New("asked too often")
	}
	return &http.Response{
		Status: fmt.Sprint(s.status, " ", http.StatusText(s.status)), StatusCode: s.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: s.header.Clone(), Body: io.NopCloser(bytes.NewReader(s.body)), ContentLength: int64(len(s.body)),
	}, nil
}

// fuzzed is a client that speaks with a liar, and one request at a time.
func fuzzed(f *testing.F) (*oci.Client, *liar) {
	k, err := testKey()
	if err != nil {
		f.Fatal(err)
	}
	path, err := simulator.WriteOCIConfig(f.TempDir(), k, "us-ashburn-1")
	if err != nil {
		f.Fatal(err)
	}
	c, err := oci.Open(oci.Options{ConfigFile: path, Namespace: "bling", Bucket: k.Tenancy, Prefix: prefix, Endpoint: "https://liar.invalid"})
	if err != nil {
		f.Fatal(err)
	}
	c.TestingOnlyPauses(time.Microsecond, time.Microsecond)
	s := &liar{}
	c.TestingOnlyTransport(s)
	return c, s
}

// said wants an error that has a class, is one line, shows all of itself, and is not the
// end of a context, which nobody ended.
func said(t *testing.T, err error) {
	t.Helper()
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok || f.Class == "" || f.Side != messages.Source || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%T %v is not a fault of the source", err, err)
	}
	text := err.Error()
	if len(text) > 4000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("the error is not a readable line: %q", text)
	}
}

// FuzzListing holds that no answer to a listing breaks the client or passes for a
// listing that it is not.
func FuzzListing(f *testing.F) {
	const page = `{"objects":[{"name":"FOCUS Reports/2026/03/01/1.csv.gz","size":7,"etag":"e","md5":"m","timeCreated":"2026-03-01T00:00:00Z","timeModified":"2026-03-01T00:00:00.5Z"}]`
	for _, body := range []string{
		page + "}", page + `,"nextStartWith":"FOCUS Reports/2026/03/01/2"}`, page + `,"nextStartWith":"A"}`, page + `,"nextStartWith":""}`,
		page, "", "null", "[]", "{}", `{"objects":null}`, `{"objects":[]}`, `{"objects":[null]}`, `{"objects":[{}]}`, `{"objects":{}}`, `{"Objects":[{"NAME":"x","SIZE":1}]}`,
		`{"objects":[{"name":"x","size":-1}]}`, `{"objects":[{"name":"x","size":1e30}]}`, `{"objects":[{"name":"x","size":"1"}]}`, `{"objects":[{"name":"","size":1}]}`,
		`{"objects":[{"name":"x\u001b\u202e\n","size":1,"etag":"\n","timeCreated":"never"}]}`, `{"objects":[{"name":"x","size":1,"timeCreated":"9999-12-31T23:59:59+14:00"}]}`,
		`{"objects":[{"name":"x","size":1}],"objects":[]}`, "<html>a proxy</html>", "\xff\xfe", strings.Repeat("[", 20000), `{"objects":[` + strings.Repeat(`{"name":"x","size":1},`, 2000) + `{"name":"y","size":1}]}`,
	} {
		f.Add(200, body)
	}
	f.Add(204, "")
	f.Add(206, page+"}")
	f.Add(304, "")
	f.Add(302, page+"}")
	f.Add(500, `{"code":"InternalServerError","message":"x"}`)
	c, s := fuzzed(f)
	f.Fuzz(func(t *testing.T, status int, body string) {
		s.status, s.body, s.asked = 200+((status-200)%400+400)%400, []byte(body), 0
		s.header = http.Header{"Content-Type": {"application/json"}}
		last, failed := "", false
		for o, err := range c.List(t.Context(), "") {
			if err != nil {
				said(t, err)
				failed = true
				continue
			}
			if failed || o.Size < 0 {
				t.Fatalf("an object %+v, after an error: %t", o, failed)
			}
			last = o.Name
		}
		if failed {
			return
		}
		var listing struct{ Objects []json.RawMessage }
		if err := json.NewDecoder(strings.NewReader(body)).Decode(&listing); s.status != 200 || err != nil || listing.Objects == nil {
			t.Fatalf("%d %q passed for a listing up to %q", s.status, body, last)
		}
	})
}

// FuzzOracleError holds that no explanation of a failure breaks the client, forges a
// line, or makes an object gone that nobody said is.
func FuzzOracleError(f *testing.F) {
	for _, body := range []string{
		`{"code":"ObjectNotFound","message":"The object was not found"}`, `{"code":"NotAuthenticated","message":"clock skew"}`, `{"code":"x","message":"two\nlines \u001b[31m\u202e"}`,
		`{"code":null,"message":null}`, `{"code":7}`, "", "null", "[]", "<html>\n<b>proxy</b>", "\xff\xfe", `{"code":"` + strings.Repeat("x", 5000) + `"}`, strings.Repeat("{", 20000),
	} {
		for _, status := range []int{400, 401, 404, 429, 503} {
			f.Add(status, body, "7", "Thu, 26 Nov 2026 18:00:00 GMT", "id")
		}
	}
	f.Add(404, `{"code":"ObjectNotFound"}`, "-1", "yesterday", "a\nb\x1b")
	f.Add(429, "", "99999999999999999999", "", "")
	c, s := fuzzed(f)
	f.Fuzz(func(t *testing.T, status int, body, retryAfter, date, id string) {
		s.status, s.body = 300+((status-300)%300+300)%300, []byte(body)
		s.header = http.Header{"Content-Type": {"application/json"}, "Retry-After": {retryAfter}, "Date": {date}, "Opc-Request-Id": {id}}
		for _, call := range []func() error{
			func() error { _, err := c.Check(t.Context()); return err },
			func() error { _, err := fetch(t.Context(), c, name, "etag"); return err },
			func() error { _, err := c.Stat(t.Context(), name); return err },
		} {
			s.asked = 0
			err := call()
			s.header.Del("Retry-After") // the calls that follow repeat, and would wait
			if err == nil {
				t.Fatalf("%d %q is no error", s.status, body)
			}
			said(t, err)
			if fault, _ := errors.AsType[*messages.Fault](err); fault.RetryAfter < 0 || fault.RetryAfter > 5*time.Minute {
				t.Fatalf("Retry-After %q asks for %v", retryAfter, fault.RetryAfter)
			}
			if gone := errors.Is(err, messages.Gone); gone && (s.status != 404 || !strings.Contains(body, "ObjectNotFound") && !strings.Contains(body, `\u`)) {
				t.Fatalf("%d %q says that the object is gone", s.status, body)
			}
		}
	})
}
