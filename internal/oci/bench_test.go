package oci_test

import (
	"io"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/simulator"
)

// BenchmarkOpen is one small report over a kept connection: what its request costs at the
// source beside its bytes, the signature included; and what the simulated server takes.
func BenchmarkOpen(b *testing.B) {
	w := worldOf(b, simulator.Options{})
	name := prefix + "2026/11/27/report.csv.gz"
	w.Source.Add(simulator.Object{Name: name, Content: simulator.Random(1, 4096)})
	b.ReportAllocs()
	for b.Loop() {
		_, body, err := w.client.Open(b.Context(), name, "", copier.Range{})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, body); err != nil {
			b.Fatal(err)
		}
		if err := body.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
