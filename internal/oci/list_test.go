package oci_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

var _ scanner.Lister = world{}.client

func numbered(i int) string { return fmt.Sprintf("%s2026/03/01/%06d.csv.gz", prefix, i) }

func fill(w world, n int) {
	w.Source.Generate(n, func(i int) simulator.Object {
		return simulator.Object{Name: numbered(i), Content: simulator.Random(uint64(i), 10), Created: time.Date(2026, 3, 1, 0, 0, i, 0, time.UTC)}
	})
}

func TestListReadsEveryPage(t *testing.T) {
	w := newWorld(t)
	fill(w, 2500)
	w.Source.Add(simulator.Object{Name: "elsewhere/x", Content: simulator.Bytes(nil)})
	objects, err := list(t.Context(), w.client, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) != 2500 || w.OCI.Requests()["ListObjects"] != 3 {
		t.Fatalf("got %d objects in %d pages, want 2500 in 3", len(objects), w.OCI.Requests()["ListObjects"])
	}
	for i, o := range objects {
		if o.Name != numbered(i) {
			t.Fatalf("object %d is %q, want %q", i, o.Name, numbered(i))
		}
	}
	r, _ := w.Source.Report(numbered(1234))
	want := messages.Object{Name: r.Name, ETag: r.ETag, Size: 10, MD5: r.MD5, Created: r.Created, Modified: r.Modified}
	if got := objects[1234]; got != want {
		t.Errorf("object = %+v, want %+v", got, want)
	}
}

func TestListBeginsAtFrom(t *testing.T) {
	w := newWorld(t)
	fill(w, 1500)
	objects, err := list(t.Context(), w.client, numbered(400))
	if err != nil || len(objects) != 1100 || objects[0].Name != numbered(400) {
		t.Errorf("got %d objects, %v; want 1100 from the 400th", len(objects), err)
	}
}

func TestListStopsWhenNobodyReads(t *testing.T) {
	w := newWorld(t)
	fill(w, 2500)
	for range w.client.List(t.Context(), "") {
		break
	}
	if got := w.OCI.Requests()["ListObjects"]; got != 1 {
		t.Errorf("asked for %d pages, want 1", got)
	}
}

func TestEmptyListingIsNoError(t *testing.T) {
	w := newWorld(t)
	if objects, err := list(t.Context(), w.client, ""); err != nil || len(objects) != 0 {
		t.Errorf("List = %v, %v; want nothing", objects, err)
	}
	if p, err := w.client.Check(t.Context()); err != nil || p.Found {
		t.Errorf("Check = %+v, %v; want nothing found", p, err)
	}
}

func TestListFailsWithAnyPage(t *testing.T) {
	w := newWorld(t)
	fill(w, 2500)
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", After: 1, Do: simulator.Status(503, "ServiceUnavailable")})
	objects, err := list(t.Context(), w.client, "")
	wantFault(t, err, messages.Unavailable)
	if len(objects) != 1000 {
		t.Errorf("got %d objects before the error, want the first page", len(objects))
	}
	if got := w.OCI.Requests()["ListObjects"]; got != 4 {
		t.Errorf("made %d requests, want 1 and 3 attempts", got)
	}
}

func TestListRepeatsWhatPasses(t *testing.T) {
	for name, fault := range map[string]simulator.Fault{
		"500":       simulator.Status(500, "InternalServerError"),
		"429":       simulator.Status(429, "TooManyRequests"),
		"reset":     simulator.Reset(),
		"cut":       simulator.Truncate(100, simulator.KeepLength),
		"cut clean": simulator.Truncate(100, simulator.CloseEnds),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			fill(w, 1200)
			w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", After: 1, Times: 2, Do: fault})
			if objects, err := list(t.Context(), w.client, ""); err != nil || len(objects) != 1200 {
				t.Errorf("got %d objects, %v; want all", len(objects), err)
			}
		})
	}
}

func TestListDoesNotRepeatWhatStays(t *testing.T) {
	for _, status := range []int{401, 403, 404, 400} {
		w := newWorld(t)
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Status(status, "Whatever")})
		if _, err := list(t.Context(), w.client, ""); err == nil {
			t.Errorf("%d: no error", status)
		}
		if got := total(w.OCI.Requests()); w.OCI.Requests()["ListObjects"] != 1 {
			t.Errorf("%d: made %d requests, want 1", status, got)
		}
	}
}

// pages serves listings as they are, one per request.
func pages(answers ...string) http.HandlerFunc {
	var n atomic.Int64
	return func(w http.ResponseWriter, _ *http.Request) {
		i := int(n.Add(1)) - 1
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, answers[min(i, len(answers)-1)])
	}
}

func listing(next string, names ...string) string {
	objects := make([]string, len(names))
	for i, n := range names {
		objects[i] = fmt.Sprintf(`{"name":%q,"size":1}`, n)
	}
	s := `{"objects":[` + strings.Join(objects, ",") + `]`
	if next != "" {
		s += fmt.Sprintf(`,"nextStartWith":%q`, next)
	}
	return s + "}"
}

func TestTokenThatDoesNotAdvanceIsAnError(t *testing.T) {
	for name, answers := range map[string][]string{
		"the same":         {listing("c", "a", "b"), listing("c", "c")},
		"before":           {listing("c", "a", "b"), listing("b", "c", "d")},
		"the last name":    {listing("b", "a", "b")},
		"without a page":   {listing("c"), listing("c")},
		"among this page":  {listing("c", "a", "d")},
		"behind the start": {listing("c"), listing("a")},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int64
			answer := pages(answers...)
			c := at(t, func(w http.ResponseWriter, r *http.Request) { asked.Add(1); answer(w, r) })
			_, err := list(t.Context(), c, "")
			wantFault(t, err, messages.Unavailable)
			if got := int(asked.Load()); got != len(answers) {
				t.Errorf("asked for %d pages, want %d", got, len(answers))
			}
			if !strings.Contains(err.Error(), "does not lie behind") {
				t.Errorf("error = %v", err)
			}
		})
	}
}

func TestEqualNamesInARowAreOneObject(t *testing.T) {
	c := at(t, pages(listing("d", "a", "a", "b"), listing("e", "d", "d"), listing("", "e", "c", "c")))
	objects, err := list(t.Context(), c, "")
	var names []string
	for _, o := range objects {
		names = append(names, o.Name)
	}
	if want := []string{"a", "b", "d", "e", "c"}; err != nil || !slices.Equal(names, want) {
		t.Errorf("got %q, %v; want %q", names, err, want)
	}
}

func TestAnswerThatIsNoListingIsAnError(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"empty object":   pages(`{}`),
		"null":           pages(`null`),
		"null objects":   pages(`{"objects":null}`),
		"nothing":        pages(``),
		"page of HTML":   pages(`<html><body>please log in</body></html>`),
		"cut JSON":       pages(`{"objects":[{"name":"a","size":1}`),
		"no size":        pages(`{"objects":[{"name":"a"}]}`),
		"no name":        pages(`{"objects":[{"size":1}]}`),
		"no content":     func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) },
		"not modified":   func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotModified) },
		"redirect blank": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusFound) },
		"event stream": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, listing("", "a"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects, err := list(t.Context(), at(t, answer), "")
			wantFault(t, err, messages.Unavailable, "not an answer of Oracle's")
			if len(objects) != 0 {
				t.Errorf("got objects %v", objects)
			}
		})
	}
}

func TestListingEndsWithItsContext(t *testing.T) {
	t.Run("in a request", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(t)
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Hook(cancel)})
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
		wantEnd(t, func() error { _, err := list(ctx, w.client, ""); return err })
	})
	t.Run("in a pause", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		w := newWorld(t)
		// The pause that the answer asks for is far longer than the test may last.
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Status(503, "ServiceUnavailable", 4*time.Minute)})
		time.AfterFunc(50*time.Millisecond, cancel)
		wantEnd(t, func() error { _, err := list(ctx, w.client, ""); return err })
		if got := w.OCI.Requests()["ListObjects"]; got != 1 {
			t.Errorf("made %d requests, want 1: the pause was not kept", got)
		}
	})
}

func TestStatFindsOneName(t *testing.T) {
	w := newWorld(t)
	fill(w, 3)
	w.Source.Add(simulator.Object{Name: numbered(1) + ".bak", Content: simulator.Bytes([]byte("x"))})
	o, err := w.client.Stat(t.Context(), numbered(1))
	if r, _ := w.Source.Report(numbered(1)); err != nil || o.Name != r.Name || o.ETag != r.ETag || o.Size != r.Size {
		t.Errorf("Stat = %+v, %v; want %+v", o, err, r)
	}
	w.Source.Remove(numbered(1))
	_, err = w.client.Stat(t.Context(), numbered(1))
	wantFault(t, err, messages.Gone)

	for _, code := range []string{"BucketNotFound", "ObjectNotFound"} { // a failed listing proves nothing
		w.OCIFaults.Clear()
		w.OCIFaults.Add(simulator.Rule{Do: simulator.Status(404, code)})
		_, err = w.client.Stat(t.Context(), numbered(1))
		wantFault(t, err, messages.NotFound)
	}
}

func TestCheckShowsTheFirstObject(t *testing.T) {
	w := newWorld(t)
	fill(w, 3)
	p, err := w.client.Check(t.Context())
	if err != nil || !p.Found || p.First.Name != numbered(0) || p.Elapsed <= 0 {
		t.Errorf("Check = %+v, %v", p, err)
	}
}

func TestSumsAreBase64(t *testing.T) {
	w := newWorld(t)
	fill(w, 1)
	o, err := w.client.Stat(t.Context(), numbered(0))
	if sum, e := base64.StdEncoding.DecodeString(o.MD5); err != nil || e != nil || len(sum) != 16 {
		t.Errorf("MD5 = %q, %v", o.MD5, err)
	}
}
