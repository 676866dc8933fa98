package nats_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// BenchmarkDurableSteps measures what one file costs at the queue, on an embedded
// server that calls fsync before each answer: each durable step alone, and the
// whole way of a file by one worker and by many.
func BenchmarkDurableSteps(b *testing.B) {
	srv, c := embedded(b, b.TempDir())
	b.Cleanup(func() {
		c.Close()
		_ = srv.Shutdown()
	})
	f := newFileSteps(b, c)

	b.Run("publish", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			f.publish()
		}
		f.perSecond(b, "publishes/s")
		f.drain(b)
	})
	b.Run("next", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			b.StopTimer()
			f.publish()
			b.StartTimer()
			d := f.next()
			b.StopTimer()
			f.ack(d)
			b.StartTimer()
		}
	})
	b.Run("renew", func(b *testing.B) {
		f.t = b
		f.publish()
		d := f.next()
		for b.Loop() {
			if err := d.Renew(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		f.ack(d)
	})
	b.Run("ledger", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			f.record()
		}
		f.perSecond(b, "writes/s")
	})
	b.Run("ack", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			b.StopTimer()
			f.publish()
			d := f.next()
			b.StartTimer()
			f.ack(d)
		}
		f.perSecond(b, "acks/s")
	})
	b.Run("file", func(b *testing.B) {
		f.t = b
		for b.Loop() {
			f.file()
		}
		f.perSecond(b, "files/s")
	})
	for _, workers := range []int{4, 16} {
		b.Run(fmt.Sprintf("file/workers=%d", workers), func(b *testing.B) {
			f.t = b
			b.SetParallelism(max(1, workers/runtime.GOMAXPROCS(0)))
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					f.file()
				}
			})
			f.perSecond(b, "files/s")
		})
	}
}

// fileSteps are the steps of a file, each of which fails the test where it fails.
type fileSteps struct {
	t         testing.TB
	a         messages.Assets
	publisher *nats.Publisher
	queue     *nats.Queue
	ledger    *nats.Ledger
	published atomic.Int64
	recorded  atomic.Int64
}

func newFileSteps(t testing.TB, c *nats.Conn) *fileSteps {
	f := &fileSteps{t: t, a: natstest.Setup(t, c, "focus", "main", 5*time.Minute)}
	f.publisher, f.queue = c.Publisher("focus"), c.Queue(f.a)
	l, err := c.Ledger(t.Context(), f.a.State, "main")
	if err != nil {
		t.Fatal(err)
	}
	f.ledger = l
	return f
}

// file is the whole way of one file, without the copy.
func (f *fileSteps) file() {
	f.publish()
	d := f.next()
	f.record()
	f.ack(d)
}

func (f *fileSteps) publish() {
	m := messages.FileDiscovered{
		Route: "main", Discovered: time.Now(), Scan: "01HZX", Trace: "4bf92f3577b34da6a3ce929d0e0e4736",
		Object: messages.Object{
			Name: fmt.Sprintf("FOCUS Reports/2024/11/28/%016d-00001.csv.gz", f.published.Add(1)),
			ETag: "c4f9a1d2-6f9e-4a55-9a0e-3a4b1d5c7e11", Size: 12345678, MD5: "1B2M2Y8AsgTpgAmY7PhCfg==",
			Created: time.Now(), Modified: time.Now(),
		},
	}
	if ok, err := f.publisher.Publish(f.t.Context(), messages.Live, m); !ok || err != nil {
		f.t.Fatal(ok, err)
	}
}

func (f *fileSteps) next() *copier.Delivery {
	d, err := f.queue.Next(f.t.Context(), false)
	if d == nil || err != nil {
		f.t.Fatal(d, err)
	}
	return d
}

func (f *fileSteps) ack(d *copier.Delivery) {
	if err := d.Settle(f.t.Context(), copier.Verdict{Act: copier.Ack}); err != nil {
		f.t.Fatal(err)
	}
}

// record reads the ledger and writes the record of a copy, as the copier does.
func (f *fileSteps) record() {
	key, value := f.copied()
	f.write(key, value, f.read(key))
}

// copied is the record of the next file, and its key.
func (f *fileSteps) copied() (key string, value []byte) {
	name := fmt.Sprintf("%016d-00001.csv.gz", f.recorded.Add(1))
	value, err := messages.Record{
		Status: messages.StatusCopied, Epoch: 1, Worker: "copier/host/3", Trace: "4bf92f3577b34da6a3ce929d0e0e4736", At: time.Now(),
		Object: messages.Object{Name: "FOCUS Reports/2024/11/28/" + name, ETag: "c4f9a1d2-6f9e-4a55-9a0e-3a4b1d5c7e11", Size: 12345678, MD5: "1B2M2Y8AsgTpgAmY7PhCfg=="},
		Copy:   &messages.FileCopied{Key: "focus/2024-11-28_" + name, ETag: `"9b2cf535f27731c974343645a3985328"`, CRC32C: "yZRlqg==", Verified: messages.ByCRC32C, How: messages.HowCopied, At: time.Now(), Seconds: 1.5},
	}.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	return messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: name}), value
}

func (f *fileSteps) read(key string) (revision uint64) {
	_, revision, err := f.ledger.Read(f.t.Context(), key)
	if err != nil {
		f.t.Fatal(err)
	}
	return revision
}

func (f *fileSteps) write(key string, value []byte, revision uint64) {
	if _, err := f.ledger.Write(f.t.Context(), key, value, revision); err != nil {
		f.t.Fatal(err)
	}
}

// drain empties the queue, outside the time that is measured.
func (f *fileSteps) drain(b *testing.B) {
	b.StopTimer()
	for {
		d, err := f.queue.Next(b.Context(), false)
		if err != nil {
			b.Fatal(err)
		}
		if d == nil {
			return
		}
		f.ack(d)
	}
}

func (f *fileSteps) perSecond(b *testing.B, unit string) {
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), unit)
}
