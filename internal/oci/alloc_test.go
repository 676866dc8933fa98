//go:build !race

package oci_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/oci"
)

// TestAllocations: what the client makes anew for each object, the network left out, is not
// a third more than it was when this was written. Who makes it less may lower the bound.
func TestAllocations(t *testing.T) {
	client := open(t, options(t, "https://oci.invalid", func(o *oci.Options) {
		o.Around = func(http.RoundTripper) http.RoundTripper { return answering{} }
	}))
	const most = 124
	got := testing.AllocsPerRun(50, func() {
		_, body, err := client.Open(t.Context(), prefix+"2026/11/27/report.csv.gz", "e", copier.Range{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			t.Fatal(err)
		}
		body.Close()
	})
	if got > most {
		t.Errorf("an object makes %v allocations, want %v at most", got, most)
	}
}

// answering is a source without a network.
type answering struct{}

func (answering) RoundTrip(r *http.Request) (*http.Response, error) {
	h := http.Header{
		"Etag": {"e"}, "Content-Length": {"5"}, "Content-Md5": {"1B2M2Y8AsgTpgAmY7PhCfg=="}, "Content-Type": {"application/gzip"},
		"Last-Modified": {"Fri, 27 Nov 2026 06:00:00 GMT"}, "Opc-Request-Id": {"1"},
	}
	return &http.Response{StatusCode: 200, Status: "200 OK", Header: h, ContentLength: 5, Body: io.NopCloser(strings.NewReader("bytes")), Request: r}, nil
}
