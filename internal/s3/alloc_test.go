//go:build !race

package s3_test

import (
	"io"
	"net/http"
	"testing"

	"oracle-focus-agent/internal/s3"
)

// TestAllocations: what the client makes anew for each object, the network left out, is not
// a third more than it was when this was written. Who makes it less may lower the bound.
func TestAllocations(t *testing.T) {
	client := open(t, s3.Options{Bucket: "b", Endpoint: "https://s3.invalid", AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true})
	client.TestingOnlyTransport(roundTrip(func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return &http.Response{StatusCode: 200, Header: http.Header{"Etag": {`"e"`}}, Body: http.NoBody, Request: r}, err
	}))
	body := make([]byte, 200<<10)
	const most = 630
	got := testing.AllocsPerRun(200, func() {
		if _, err := client.Put(t.Context(), key, body, meta); err != nil {
			t.Fatal(err)
		}
	})
	if got > most {
		t.Errorf("a put makes %v allocations, want %v at most", got, most)
	}
}
