package s3_test

import (
	"fmt"
	"testing"

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
