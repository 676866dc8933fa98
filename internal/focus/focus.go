// Package focus reads FOCUS reports by Oracle while they pass, and tells what they say
// of themselves: whether the gzip is whole, which columns there are, how many rows,
// what they cost, and when.
//
// It judges nothing but the gzip: whatever else is odd is told in words, and counted
// as far as it can be. Its memory is bounded whatever the input, and no input ends it
// with a panic. A sum is exact, or the statistics are not called complete.
package focus

import (
	"bufio"
	"io"
	"sync"

	"github.com/klauspost/compress/gzip"

	"oracle-focus-agent/messages"
)

// The bounds of what is read. What goes beyond them is skipped, with the reason.
const (
	maxContent = 16 << 30 // bytes of content; a report has a million rows of one or two KB
	maxRatio   = 200      // content to compressed bytes, beyond the first freeContent; reports have about 10
	maxRow     = 1 << 20  // bytes of one row
	maxColumns = 1000     // of the header; Oracle has 49

	freeContent = 16 << 20
	firstBuffer = 64 << 10 // for rows, until one is longer
)

// An Inspector inspects any number of reports, at the same time where wanted. The zero
// value is ready.
type Inspector struct {
	spare sync.Pool // of *engine
}

// An engine is what one inspection needs and the next can use again.
type engine struct {
	zip *gzip.Reader
	in  *bufio.Reader
	buf []byte
}

func (i *Inspector) engine() *engine {
	if e, ok := i.spare.Get().(*engine); ok {
		return e
	}
	return &engine{zip: new(gzip.Reader), in: bufio.NewReaderSize(nil, 16<<10), buf: make([]byte, firstBuffer)}
}

// Inspect reads r, the stored bytes of a report, and tells what it found. An error of r
// other than io.EOF is why the rest was skipped.
func (i *Inspector) Inspect(r io.Reader) messages.Statistics {
	e := i.engine()
	content := newContent(r, e)
	rows := &records{in: content, buf: e.buf}
	t := newTally()
	t.read(rows)
	content.drain(e.buf)
	s := t.statistics()
	content.tell(&s)
	e.in.Reset(nil)
	i.spare.Put(e) // not after a panic
	return s
}
