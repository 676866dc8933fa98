package copier

import (
	"context"
	"sync"
)

// A Budget bounds the buffers that the copies of a process hold at once. A copy
// that waits for a buffer holds none that is not being sent, so waiting always ends.
type Budget struct {
	tokens chan struct{}
	chunk  int64
	spare  sync.Pool // of *[]byte with room for a chunk
}

// NewBudget allows buffers of up to chunk bytes each.
func NewBudget(buffers int, chunk int64) *Budget {
	return &Budget{tokens: make(chan struct{}, buffers), chunk: chunk}
}

// InUse is how many buffers are held now.
func (b *Budget) InUse() int { return len(b.tokens) }

// Limit is how many buffers can be held at once.
func (b *Budget) Limit() int { return cap(b.tokens) }

// take returns a buffer of n bytes when there is room, or the context's cause.
func (b *Budget) take(ctx context.Context, n int64) ([]byte, error) {
	select {
	case b.tokens <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if n < b.chunk/2 || n > b.chunk {
		return make([]byte, n), nil
	}
	if p, ok := b.spare.Get().(*[]byte); ok {
		return (*p)[:n], nil
	}
	return make([]byte, n, b.chunk), nil
}

// give returns a buffer. After a request that failed the transport may still be
// reading it, so it is not used again.
func (b *Budget) give(buf []byte, failed bool) {
	if int64(cap(buf)) == b.chunk && !failed {
		b.spare.Put(&buf)
	}
	<-b.tokens
}
