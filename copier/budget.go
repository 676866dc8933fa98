package copier

import (
	"context"
	"slices"
	"sync"
)

// A Budget bounds the bytes that the copies of a process hold at once. They are counted,
// not the buffers: many small files may be held where a few parts may. Whoever waits
// longest comes first, so that small files do not keep a part waiting for ever. What is held
// comes free without another buffer, whoever waits for one (see slot and convoy), so waiting
// always ends.
type Budget struct {
	chunk int64
	limit int64
	spare [32]sync.Pool // of *[]byte with room for chunk>>i

	mu      sync.Mutex
	held    int64
	waiting []*claim // longest first
}

// A claim is what a copy waits for.
type claim struct {
	bytes   int64
	granted chan struct{}
}

// NewBudget allows as many bytes as so many buffers of chunk bytes have.
func NewBudget(buffers int, chunk int64) *Budget {
	return &Budget{chunk: chunk, limit: int64(buffers) * chunk}
}

// InUse is how many buffers of a chunk the bytes would fill that are held now, rounded up.
func (b *Budget) InUse() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return int((b.held + b.chunk - 1) / b.chunk)
}

// Limit is how many buffers of a chunk can be held at once.
func (b *Budget) Limit() int { return int(b.limit / b.chunk) }

// leastClass is the smallest buffer that is worth keeping for another file.
const leastClass = 16 << 10

// take returns a buffer of n bytes when there is room, or the context's cause. One of
// more than everything has all of it to itself.
func (b *Budget) take(ctx context.Context, n int64) ([]byte, error) {
	size := b.room(n)
	if err := b.reserve(ctx, min(size, b.limit)); err != nil {
		return nil, err
	}
	if pool := b.pool(size); pool != nil {
		if p, ok := pool.Get().(*[]byte); ok {
			return (*p)[:n], nil
		}
	}
	return make([]byte, n, size), nil
}

// room is how many bytes a buffer for n of them has: a chunk, halved as long as they fit,
// so that it can be used again for another file of about this size. What is far below the
// smallest of those is not worth it.
func (b *Budget) room(n int64) int64 {
	if n > b.chunk {
		return n
	}
	size := b.chunk
	for size/2 >= max(n, leastClass) {
		size /= 2
	}
	if n < size/2 {
		return n
	}
	return size
}

// pool holds the buffers of a size; nil where none are kept.
func (b *Budget) pool(size int64) *sync.Pool {
	for i := range b.spare {
		if b.chunk>>i == size {
			return &b.spare[i]
		}
	}
	return nil
}

func (b *Budget) reserve(ctx context.Context, bytes int64) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	b.mu.Lock()
	if len(b.waiting) == 0 && b.held+bytes <= b.limit {
		b.held += bytes
		b.mu.Unlock()
		return nil
	}
	mine := &claim{bytes, make(chan struct{})}
	b.waiting = append(b.waiting, mine)
	b.mu.Unlock()
	select {
	case <-mine.granted:
		return nil
	case <-ctx.Done():
		b.withdraw(mine)
		return context.Cause(ctx)
	}
}

// withdraw gives back what was granted at this moment, or no longer waits. Whoever waited
// behind it may have his turn now.
func (b *Budget) withdraw(c *claim) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, c); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	} else {
		b.held -= c.bytes
	}
	b.grant()
}

// grant serves those for whom there is room, the longest waiting first.
func (b *Budget) grant() {
	for len(b.waiting) > 0 && b.held+b.waiting[0].bytes <= b.limit {
		next := b.waiting[0]
		b.waiting = slices.Delete(b.waiting, 0, 1)
		b.held += next.bytes
		close(next.granted)
	}
}

// give returns a buffer. After a request that failed the transport may still be
// reading it, so it is not used again.
func (b *Budget) give(buf []byte, failed bool) {
	size := int64(cap(buf))
	if pool := b.pool(size); pool != nil && !failed {
		pool.Put(&buf)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held -= min(size, b.limit)
	b.grant()
}
