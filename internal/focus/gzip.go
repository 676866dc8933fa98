package focus

import (
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"

	"oracle-focus-agent/messages"
)

// errIncomplete ends the content where it is known not to be the whole.
var errIncomplete = errors.New("the content is not whole")

// A content reads what a gzip file holds, member after member, and judges the file:
// the reader of each member holds its checksum and length against its trailer.
type content struct {
	*engine
	stored  counted
	bytes   int64
	members int
	zeros   int64 // that follow a member, as some tools pad

	open    bool
	ended   bool
	verdict string // messages.GzipValid, or what is wrong
	skipped string // why it was not read to its end
}

func newContent(r io.Reader, e *engine) *content {
	c := &content{engine: e, stored: counted{in: r}}
	e.in.Reset(&c.stored)
	return c
}

// Read implements io.Reader. It ends with io.EOF where the content is whole.
func (c *content) Read(p []byte) (int, error) {
	for !c.ended {
		if !c.open && !c.next() {
			break
		}
		n, err := c.zip.Read(p)
		c.bytes += int64(n)
		switch {
		case err == io.EOF:
			c.members++
			c.open = false
		case err != nil:
			c.broken(err)
		case c.bytes > maxContent:
			c.skip(fmt.Sprintf("it holds more than %d GiB", maxContent>>30))
		case c.bytes > freeContent && c.bytes/maxRatio > c.stored.bytes:
			c.skip(fmt.Sprintf("it holds more than %d times its size", maxRatio))
		}
		if n > 0 {
			return n, nil
		}
	}
	if c.verdict == messages.GzipValid {
		return 0, io.EOF
	}
	return 0, errIncomplete
}

// next opens the next member; it is false where there is none.
func (c *content) next() bool {
	if c.members > 0 && c.isEnd() {
		c.end(messages.GzipValid)
		return false
	}
	if c.ended {
		return false
	}
	if err := c.zip.Reset(c.in); err != nil {
		c.broken(err)
		return false
	}
	c.zip.Multistream(false)
	c.open = true
	return true
}

// isEnd skips what a file may be padded with and reports whether nothing else follows.
func (c *content) isEnd() bool {
	for {
		b, err := c.in.ReadByte()
		switch {
		case err == io.EOF && c.stored.err == nil:
			return true
		case err != nil:
			c.broken(err)
			return false
		case b != 0:
			if err := c.in.UnreadByte(); err != nil {
				c.broken(err)
			}
			return false
		}
		c.zeros++
	}
}

func (c *content) end(verdict string) { c.ended, c.verdict = true, verdict }
func (c *content) skip(why string)    { c.ended, c.skipped = true, why }

// broken ends the content at an error, which is of the input or of the file.
func (c *content) broken(err error) {
	switch member := c.members + 1; {
	case c.stored.err != nil:
		c.skip(c.stored.err.Error())
	case c.stored.bytes == 0:
		c.end("it is empty")
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		c.end(fmt.Sprintf("it ends early, in member %d", member))
	case errors.Is(err, gzip.ErrHeader) && c.members == 0:
		c.end("it does not begin as a gzip file does")
	case errors.Is(err, gzip.ErrHeader):
		c.end(fmt.Sprintf("what follows member %d is no gzip", c.members))
	case errors.Is(err, gzip.ErrChecksum):
		c.end(fmt.Sprintf("checksum or length in the trailer of member %d are not those of its content", member))
	default:
		c.end(fmt.Sprintf("member %d cannot be read: %v", member, err))
	}
}

// drain reads what nobody else wants, for the verdict.
func (c *content) drain(buf []byte) {
	for !c.ended {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

func (c *content) tell(s *messages.Statistics) {
	s.Gzip, s.Members, s.Bytes = c.verdict, c.members, c.bytes
	if c.skipped != "" {
		s.Skipped = short(c.skipped)
	}
	if c.zeros > 0 {
		s.Problems = append(s.Problems, fmt.Sprintf("%d zero bytes follow the last member", c.zeros))
	}
}

// A counted reader remembers how much it gave, and the error that is not the end.
type counted struct {
	in    io.Reader
	bytes int64
	err   error
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.bytes += int64(n)
	if err != nil && err != io.EOF {
		c.err = err
	}
	return n, err
}
