package focus

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"syscall"
	"testing"
	"time"

	kgzip "github.com/klauspost/compress/gzip"

	"oracle-focus-agent/internal/simulator"
)

// BenchmarkRows is why this package splits rows by itself, and BenchmarkGunzip why it
// does not unpack with the standard library.
func BenchmarkRows(b *testing.B) {
	_, text := sample(b)
	b.Run("records", func(b *testing.B) {
		perCPU(b, len(text), func() {
			r := &records{in: bytes.NewReader(text), buf: make([]byte, firstBuffer)}
			newTally().header(r)
			for r.next() {
			}
		})
	})
	b.Run("encoding-csv", func(b *testing.B) {
		perCPU(b, len(text), func() {
			r := csv.NewReader(bytes.NewReader(text))
			r.ReuseRecord = true
			for _, err := r.Read(); err == nil; _, err = r.Read() {
			}
		})
	})
	b.Run("counted", func(b *testing.B) {
		perCPU(b, len(text), func() {
			newTally().read(&records{in: bytes.NewReader(text), buf: make([]byte, firstBuffer)})
		})
	})
}

func BenchmarkInspect(b *testing.B) {
	file, text := sample(b)
	var i Inspector
	b.ReportAllocs()
	perCPU(b, len(text), func() { i.Inspect(bytes.NewReader(file)) })
	b.ReportMetric(float64(len(text))/float64(len(file)), "content/stored")
}

func BenchmarkGunzip(b *testing.B) {
	file, text := sample(b)
	b.Run("klauspost", func(b *testing.B) {
		perCPU(b, len(text), func() {
			r, _ := kgzip.NewReader(bytes.NewReader(file))
			io.Copy(io.Discard, r)
		})
	})
	b.Run("standard", func(b *testing.B) {
		perCPU(b, len(text), func() {
			r, _ := gzip.NewReader(bytes.NewReader(file))
			io.Copy(io.Discard, r)
		})
	})
}

// perCPU reports the speed by the time that the process computed, which on a busy
// machine is less than the time that passed.
func perCPU(b *testing.B, bytes int, f func()) {
	b.Helper()
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	for b.Loop() {
		f()
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(bytes)*float64(b.N)/float64(spent)*1e3, "MB/cpu-s")
}

func sample(b *testing.B) (file, text []byte) {
	b.Helper()
	file, err := io.ReadAll(simulator.FocusReport(1, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), 20_000).Open(0))
	if err != nil {
		b.Fatal(err)
	}
	r, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		b.Fatal(err)
	}
	if text, err = io.ReadAll(r); err != nil {
		b.Fatal(err)
	}
	return file, text
}
