package cli

import (
	"context"
	"io"
	"iter"
	"sync/atomic"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/messages"
)

// Sides are the clients of the source and the destination as the scanner and the
// copiers use them. A reload replaces both, with credentials read anew: every
// request that begins from then on is made by the new ones, and what is being read
// or sent goes on as it began.
type sides struct{ now atomic.Pointer[clients] }

type clients struct {
	source *oci.Client
	dest   *s3.Client
}

func (s *sides) set(source *oci.Client, dest *s3.Client) { s.now.Store(&clients{source, dest}) }

// close drops the connections that are not in use.
func (s *sides) close() {
	if c := s.now.Load(); c != nil {
		c.source.Close()
		c.dest.Close()
	}
}

func (s *sides) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return s.now.Load().source.List(ctx, from)
}

func (s *sides) Open(ctx context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	return s.now.Load().source.Open(ctx, name, etag, r)
}

func (s *sides) Stat(ctx context.Context, name string) (messages.Object, error) {
	return s.now.Load().source.Stat(ctx, name)
}

func (s *sides) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	return s.now.Load().dest.Put(ctx, key, body, m)
}

func (s *sides) Head(ctx context.Context, key string) (copier.Stored, error) {
	return s.now.Load().dest.Head(ctx, key)
}

func (s *sides) Create(ctx context.Context, key string, m copier.Meta) (string, error) {
	return s.now.Load().dest.Create(ctx, key, m)
}

func (s *sides) Abort(ctx context.Context, key, id string) error {
	return s.now.Load().dest.Abort(ctx, key, id)
}

// keys are those at the destination. They are not counted as requests: one an hour is asked for.
func (s *sides) keys(ctx context.Context, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for l, err := range s.now.Load().dest.List(ctx, prefix) {
			if !yield(l.Key, err) {
				return
			}
		}
	}
}

// unfinished is no port: only a sweep asks, and only to count.
func (s *sides) unfinished(ctx context.Context, prefix string) iter.Seq2[s3.Unfinished, error] {
	return s.now.Load().dest.Unfinished(ctx, prefix)
}

func (s *sides) Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (copier.Part, error) {
	return s.now.Load().dest.Part(ctx, key, id, number, body, crc32c)
}

func (s *sides) Relaying() bool { return s.now.Load().dest.Relaying() }

func (s *sides) Relay(ctx context.Context, key, id string, number int32, part copier.Stream) (copier.Part, error) {
	return s.now.Load().dest.Relay(ctx, key, id, number, part)
}

func (s *sides) Complete(ctx context.Context, key, id string, parts []copier.Part, size int64, crc32c string) (string, error) {
	return s.now.Load().dest.Complete(ctx, key, id, parts, size, crc32c)
}
