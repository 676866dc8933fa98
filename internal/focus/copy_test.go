package focus_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"sync"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/focus"
	"oracle-focus-agent/messages"
)

// BenchmarkCopy is what statistics cost: the same copies with and without them, at a
// network of 1 Gbit/s each way, and without one, where only the processor limits.
func BenchmarkCopy(b *testing.B) {
	for name, file := range map[string][]byte{"100KB": report(b, 1, 900), "3MB": report(b, 2, 27_000), "20MB": report(b, 3, 180_000)} {
		for network, rate := range map[string]float64{"1Gbit": 125e6, "memory": 0} {
			for _, statistics := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/statistics=%t", name, network, statistics), func(b *testing.B) { benchmarkCopy(b, file, rate, statistics) })
			}
		}
	}
}

func benchmarkCopy(b *testing.B, file []byte, rate float64, statistics bool) {
	s := &site{file: file, in: wire{rate: rate}, out: wire{rate: rate}, left: b.N}
	c := s.copier(b)
	if statistics {
		c.Inspect = copier.NewInspection(&focus.Inspector{})
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	done, complete := 0, 0
	var mu sync.Mutex
	c.Observe = func(e copier.Event) {
		if e.Kind != copier.Finished {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if e.Record.Copy.Statistics.Complete() {
			complete++
		}
		if done++; done == b.N {
			cancel()
		}
	}
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	b.ResetTimer()
	c.Run(ctx)
	b.StopTimer()
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	spent := after.Utime.Nano() - before.Utime.Nano() + after.Stime.Nano() - before.Stime.Nano()
	b.ReportMetric(float64(spent)/1e6/float64(b.N), "cpu-ms/file")
	b.ReportMetric(100*float64(complete)/float64(b.N), "%complete")
}

// A site is a source, a destination, a queue and a ledger that do nothing but what a
// copy needs of them.
type site struct {
	file    []byte
	in, out wire
	mu      sync.Mutex
	left    int
}

// A wire takes as long for bytes as a network of its rate.
type wire struct {
	rate float64 // bytes per second; 0: none
	mu   sync.Mutex
	free time.Time
}

func (w *wire) pass(n int) {
	if w.rate == 0 {
		return
	}
	w.mu.Lock()
	if now := time.Now(); w.free.Before(now) {
		w.free = now
	}
	w.free = w.free.Add(time.Duration(float64(n) / w.rate * 1e9))
	at := w.free
	w.mu.Unlock()
	time.Sleep(time.Until(at))
}

func (s *site) copier(b *testing.B) *copier.Copier {
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		b.Fatal(err)
	}
	return &copier.Copier{
		Queue: s, Ledger: s, Source: s, Objects: s, Uploads: s, Parts: s,
		Gate: &copier.Gate{Probe: time.Second}, Budget: copier.NewBudget(12, 8<<20),
		Route: "main", Rules: messages.Rules{Prefix: "FOCUS Reports/", MaxSize: 1 << 40, KeyPrefix: "focus/", Naming: naming},
		Worker: "bench", Slots: 3, AckWait: time.Minute, Chunk: 8 << 20, Log: slog.New(slog.DiscardHandler),
	}
}

func sum(b []byte) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))))
}

func (s *site) Next(ctx context.Context, backfill bool) (*copier.Delivery, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left == 0 {
		s.mu.Unlock()
		<-ctx.Done()
		s.mu.Lock()
		return nil, nil
	}
	s.left--
	name := fmt.Sprintf("FOCUS Reports/2026/11/25/%d.csv.gz", s.left)
	m := messages.FileDiscovered{Route: "main", Object: messages.Object{Name: name, ETag: "e", Size: int64(len(s.file)), Modified: time.Now()}}
	data, err := m.Encode()
	return &copier.Delivery{
		Subject: messages.Subject("focus", messages.Live, "main", name), Data: data, Deliveries: 1,
		Renew:  func(context.Context) error { return nil },
		Settle: func(context.Context, copier.Verdict) error { return nil },
	}, err
}

func (s *site) Open(_ context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	file := s.file[r.Offset:]
	if r.Length > 0 {
		file = file[:r.Length]
	}
	body := bytes.NewReader(file)
	return messages.Object{Name: name, ETag: etag, Size: int64(len(s.file))}, io.NopCloser(readerFunc(func(p []byte) (int, error) {
		n, err := body.Read(p[:min(len(p), 64<<10)])
		s.in.pass(n)
		return n, err
	})), nil
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (s *site) Stat(context.Context, string) (messages.Object, error) {
	return messages.Object{}, errors.New("not asked")
}

func (s *site) Put(_ context.Context, key string, body []byte, m copier.Meta) (string, error) {
	s.out.pass(len(body))
	return sum(body), nil
}

func (s *site) Head(context.Context, string) (copier.Stored, error) {
	return copier.Stored{}, messages.Gone
}
func (s *site) Create(context.Context, string, copier.Meta) (string, error) { return "upload", nil }
func (s *site) Abort(context.Context, string, string) error                 { return nil }

func (s *site) Part(_ context.Context, _, _ string, number int32, body []byte, crc32c string) (copier.Part, error) {
	s.out.pass(len(body))
	return copier.Part{Number: number, ETag: "part", CRC32C: crc32c}, nil
}

func (s *site) Complete(context.Context, string, string, []copier.Part, int64, string) (string, error) {
	return "whole", nil
}

func (s *site) Read(_ context.Context, key string) ([]byte, uint64, error) { return nil, 0, nil }

func (s *site) Write(_ context.Context, key string, value []byte, revision uint64) (uint64, error) {
	return 1, nil
}
