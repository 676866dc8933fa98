package copier_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// violations collects what a copier tells that must never happen.
func violations(c *copier.Copier) func() []messages.Invariant {
	var mu sync.Mutex
	var all []messages.Invariant
	c.Violated = func(i messages.Invariant) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, i)
	}
	return func() []messages.Invariant {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// forged queues what no scanner would.
func forged(f func(*messages.FileDiscovered)) func(*world, *version) {
	return func(w *world, v *version) {
		m := messages.FileDiscovered{Route: route, Object: v.object}
		f(&m)
		data, err := m.Encode()
		if err != nil {
			w.tb.Errorf("%v", err)
		}
		w.send(messages.Subject("focus", messages.Live, route, m.Object.Name), data)
	}
}

func TestWhatMustNeverHappenIsTold(t *testing.T) {
	stranger := func(m *messages.FileDiscovered) { m.Object.Name = "secret/2024/11/28/a.csv.gz" }
	for _, c := range []struct {
		name string
		size int
		set  func(*world, *version)
		want []messages.Invariant
	}{
		{"nothing", 40, func(w *world, v *version) { w.publish(v) }, nil},
		{"a retry", 10, func(w *world, v *version) {
			w.publish(v)
			w.turn = once("put", verdict{clean: true})
		}, nil},
		{"no JSON", 10, func(w *world, v *version) { w.publish(v).data = []byte("x") }, []messages.Invariant{messages.MessageContract}},
		{"another route", 10, forged(func(m *messages.FileDiscovered) { m.Route = "other" }), []messages.Invariant{messages.MessageContract}},
		{"no report", 10, forged(stranger), []messages.Invariant{messages.MessageContract}},
		{"too large for this copier alone", 10, forged(func(m *messages.FileDiscovered) { m.Object.Size = 1 << 50 }), nil},
		{"a newer message", 10, func(w *world, v *version) {
			l := w.publish(v)
			l.data = bytes.Replace(l.data, []byte(`"schema":1`), []byte(`"schema":2`), 1)
		}, []messages.Invariant{messages.NewerSchema}},
		{"an unreadable record", 10, func(w *world, v *version) {
			w.publish(v)
			w.plant(w.recordKey(v.object.Name), "x")
		}, []messages.Invariant{messages.UnreadableRecord}},
		{"an unreadable note of an upload", 10, func(w *world, v *version) {
			w.publish(v)
			w.plant(messages.UploadKey(route, v.object.Name), "x")
		}, []messages.Invariant{messages.UnreadableRecord}},
		{"a panic", 10, func(w *world, v *version) {
			w.publish(v)
			w.turn = once("settle", verdict{clean: true, panics: true})
		}, []messages.Invariant{messages.Panic}},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			one := w.host("one").copier()
			told := violations(one)
			c.set(w, w.write("a", body(c.size, 1)))
			w.run(time.Minute, one)
			if got := told(); !slices.Equal(got, c.want) {
				t.Errorf("told %v, want %v", got, c.want)
			}
		})
	}
}

// A message that waited while its destination was given up is no forgery.
func TestAnOldEpochIsNoViolation(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		one := w.host("one").copier()
		one.Epoch = 1
		told := violations(one)
		forged(func(m *messages.FileDiscovered) { m.Object.Name = "old prefix/2024/11/28/a.csv.gz" })(w, w.write("a", body(10, 1)))
		w.run(time.Minute, one)
		if got := told(); len(got) != 0 || len(w.dead) != 1 {
			t.Errorf("told %v, dead letters %v", got, w.dead)
		}
	})
}

// once makes the first call of op fail.
func once(op string, v verdict) func(*host, string) verdict {
	done := false
	return func(_ *host, o string) verdict {
		if o != op || done {
			return verdict{}
		}
		done = true
		return v
	}
}

// plant puts bytes into the ledger that the program would not write.
func (w *world) plant(key, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seq++
	w.ledger[key] = &entry{value: []byte(value), revision: uint64(w.seq)}
}

// A mute destination answers its first commit without an etag.
type mute struct {
	*host
	err error // of that answer
	mu  sync.Mutex
	n   int
}

func (m *mute) first() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.n++
	return m.n == 1
}

func (m *mute) Put(ctx context.Context, key string, body []byte, meta copier.Meta) (string, error) {
	if m.first() {
		return "", m.err
	}
	return m.host.Put(ctx, key, body, meta)
}

func (m *mute) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	if m.first() {
		return "", m.err
	}
	return m.host.Complete(ctx, key, id, parts, size, crc32c)
}

// A commit without an etag is none: nothing is recorded, and the file is sent again.
func TestACommitWithoutAnETagIsTold(t *testing.T) {
	adapters := &messages.Fault{Class: messages.Unavailable, Side: messages.Destination, Err: fmt.Errorf("not confirmed: %w", copier.ErrUnconfirmed)}
	for _, size := range []int{10, 40} {
		for _, err := range []error{nil, adapters} {
			bubble(t, fmt.Sprintf("%d bytes, %v", size, err), func(t *testing.T, w *world) {
				one := w.host("one")
				c, m := one.copier(), &mute{host: one, err: err}
				c.Objects, c.Parts = m, m
				told := violations(c)
				w.publish(w.write("a", body(size, 1)))
				w.run(time.Hour, c)
				w.converged(false)
				if got := told(); !slices.Equal(got, []messages.Invariant{messages.CommitWithoutETag}) || len(w.commits) != 1 {
					t.Errorf("told %v, commits %v", got, w.commits)
				}
			})
		}
	}
}
