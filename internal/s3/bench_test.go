package s3_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
)

// BenchmarkPut is one report in one request over a kept connection: what the client takes,
// and what the simulated server takes to check its signature and its sums.
func BenchmarkPut(b *testing.B) {
	for _, size := range []int64{4 << 10, 200 << 10, 8 << 20} {
		b.Run(fmt.Sprint(size>>10, "KiB"), func(b *testing.B) {
			w := newWorld(b, simulator.AllowAll)
			body := make([]byte, size)
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.client.Put(b.Context(), key, body, meta); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBody is a part of a large file to a server that drops it: what it takes to send
// bytes, and, in the same process, what it takes to receive them.
func BenchmarkBody(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.CopyBuffer(struct{ io.Writer }{io.Discard}, r.Body, make([]byte, 1<<20))
		w.Header().Set("ETag", `"e"`)
	}))
	b.Cleanup(server.Close)
	for _, unsigned := range []bool{false, true} {
		b.Run(fmt.Sprint("unsigned=", unsigned), func(b *testing.B) {
			client := open(b, s3.Options{
				Bucket: "b", Endpoint: server.URL, AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true, Connections: 2, UnsignedPayload: unsigned,
			})
			body := make([]byte, 8<<20)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			before := processor(b)
			for b.Loop() {
				if _, err := client.Put(b.Context(), key, body, meta); err != nil {
					b.Fatal(err)
				}
			}
			const gib = 1 << 30
			b.ReportMetric((processor(b)-before).Seconds()/(float64(b.N)*float64(len(body))/gib), "CPU-s/GiB")
		})
	}
}

// processor is the time of the processors that this process took.
func processor(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
