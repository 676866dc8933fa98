package s3_test

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/s3"
)

// putAs puts an object there by the client of the world.
func putAs(t *testing.T, w world, key string) {
	t.Helper()
	if _, err := w.client.Put(t.Context(), key, []byte("report"), meta); err != nil {
		t.Fatal(err)
	}
}

// edited is a proxy that changes the headers of some answers before they go out.
func edited(when func(*http.Request) bool, edit func(http.Header)) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if when(r) {
				w = &editor{ResponseWriter: w, edit: edit}
			}
			next.ServeHTTP(w, r)
			if e, ok := w.(*editor); ok && !e.done {
				e.WriteHeader(http.StatusOK)
			}
		})
	}
}

type editor struct {
	http.ResponseWriter
	edit func(http.Header)
	done bool
}

func (e *editor) WriteHeader(status int) {
	if !e.done {
		e.edit(e.Header())
	}
	e.done = true
	e.ResponseWriter.WriteHeader(status)
}

func (e *editor) Write(p []byte) (int, error) {
	if !e.done {
		e.WriteHeader(http.StatusOK)
	}
	return e.ResponseWriter.Write(p)
}

// answered is a proxy that answers some requests by itself: with 200 it takes what S3
// would refuse.
func answered(when func(*http.Request) bool, status int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !when(r) {
				next.ServeHTTP(w, r)
				return
			}
			w.Header().Set("Date", time.Now().UTC().Format(http.TimeFormat))
			w.Header().Set("ETag", `"taken"`)
			w.WriteHeader(status)
			if r.Method == http.MethodPost {
				io.WriteString(w, `<CompleteMultipartUploadResult><ETag>"taken"</ETag></CompleteMultipartUploadResult>`)
			}
		})
	}
}

func chain(outer, inner func(http.Handler) http.Handler) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return outer(inner(next)) }
}

func without(header string) func(http.Header) {
	return func(h http.Header) { h.Del(header) }
}

func method(m string) func(*http.Request) bool {
	return func(r *http.Request) bool { return r.Method == m }
}

func headOf(name string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		return r.Method == http.MethodHead && strings.HasSuffix(r.URL.Path, "/"+name)
	}
}

// partWith is the upload of a part of a number.
func partWith(number int) func(*http.Request) bool {
	want := string(rune('0' + number))
	return func(r *http.Request) bool {
		return r.Method == http.MethodPut && r.URL.Query().Get("partNumber") == want
	}
}

// again is every write of the test's object but the first.
func again() func(*http.Request) bool {
	var puts atomic.Int32
	return func(r *http.Request) bool {
		return r.Method == http.MethodPut && strings.HasSuffix(r.URL.Path, "/"+s3.LiveObject) && puts.Add(1) > 1
	}
}

// completion is one whose body has a text.
func completion(text string) func(*http.Request) bool {
	return func(r *http.Request) bool {
		if r.Method != http.MethodPost || !r.URL.Query().Has("uploadId") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		return strings.Contains(string(body), text)
	}
}
