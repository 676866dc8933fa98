package simulator

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"
	"strings"
)

// minChunk is the least length of a signed chunk that is not the last.
const minChunk = 8 << 10

// chunkReader decodes aws-chunked and verifies the signature of each chunk and
// of the trailer, each of which covers the one before. Bytes are passed on
// before the signature of their chunk is known, so the reader of a body must
// not use it until the EOF.
type chunkReader struct {
	r         *bufio.Reader
	p         *payload
	id        *identity
	signed    bool
	trailers  bool
	announced []string // trailers named in x-amz-trailer

	previous  string    // signature
	sum       hash.Hash // SHA-256 of this chunk
	signature string    // of this chunk
	size      int64     // of this chunk
	left      int64     // in this chunk
	decoded   int64     // before now, in all
	started   bool
	small     bool // a chunk below the minimum was seen: it must be the last
	err       error
}

func (c *chunkReader) Read(b []byte) (int, error) {
	for c.err == nil && c.left == 0 {
		c.err = c.nextChunk()
	}
	if c.err != nil {
		return 0, c.err
	}
	n, err := c.r.Read(b[:min(int64(len(b)), c.left)])
	if c.signed {
		c.sum.Write(b[:n])
	}
	c.left -= int64(n)
	c.decoded += int64(n)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	c.err = err
	return n, err
}

// nextChunk ends the present chunk and reads the head of the next; io.EOF is
// the verified end of the body.
func (c *chunkReader) nextChunk() error {
	if c.started {
		if err := c.endChunk(); err != nil {
			return err
		}
	}
	if err := c.beginChunk(); err != nil {
		return err
	}
	if c.size > 0 {
		return nil
	}
	if err := c.verifyChunk(); err != nil {
		return err
	}
	return c.finish()
}

func (c *chunkReader) beginChunk() error {
	line, err := c.line()
	if err != nil {
		return err
	}
	text, extension, _ := strings.Cut(line, ";")
	size, err := strconv.ParseInt(text, 16, 64)
	if err != nil || size < 0 || size > c.p.length-c.decoded {
		return errInvalid("IncompleteBody", "The chunked body does not have the length that x-amz-decoded-content-length says")
	}
	if size > 0 && c.small && c.signed {
		return &s3Error{status: 403, code: "InvalidChunkSizeError", message: "Only the last chunk is allowed to have a size less than 8192 bytes"}
	}
	c.started, c.size, c.left, c.small = true, size, size, size < minChunk
	c.signature = strings.TrimPrefix(extension, "chunk-signature=")
	c.sum.Reset()
	return nil
}

func (c *chunkReader) endChunk() error {
	if line, err := c.line(); err != nil || line != "" {
		return errInvalid("IncompleteBody", "The chunked body is malformed: a chunk must end with CRLF")
	}
	return c.verifyChunk()
}

func (c *chunkReader) verifyChunk() error {
	if !c.signed {
		return nil
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256-PAYLOAD", c.id.date, c.id.scope, c.previous,
		hexSum(nil), hex.EncodeToString(c.sum.Sum(nil))}, "\n")
	if !c.id.signed(text, c.signature) {
		return &s3Error{status: 403, code: "SignatureDoesNotMatch", message: "The signature of a chunk does not match"}
	}
	c.previous = c.signature
	return nil
}

// finish reads what follows the empty chunk.
func (c *chunkReader) finish() error {
	if c.decoded != c.p.length {
		return errInvalid("IncompleteBody", "You did not provide the number of bytes specified by the x-amz-decoded-content-length header")
	}
	signed, signature := "", ""
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		if name == "x-amz-trailer-signature" {
			signature = value
			continue
		}
		if !c.trailers || !slices.Contains(c.announced, name) {
			return errInvalid("MalformedTrailerError", fmt.Sprintf("The trailer %q was not announced", name))
		}
		c.p.trailer.Set(name, value)
		signed += name + ":" + value + "\n"
	}
	return c.verifyTrailer(signed, signature)
}

func (c *chunkReader) verifyTrailer(signed, signature string) error {
	if len(c.p.trailer) != len(c.announced) {
		return errInvalid("MalformedTrailerError", "The request contained trailing data that was not well-formed or did not conform to our published schema.")
	}
	if !c.signed || !c.trailers {
		return io.EOF
	}
	text := strings.Join([]string{"AWS4-HMAC-SHA256-TRAILER", c.id.date, c.id.scope, c.previous, hexSum([]byte(signed))}, "\n")
	if !c.id.signed(text, signature) {
		return &s3Error{status: 403, code: "SignatureDoesNotMatch", message: "The signature of the trailer does not match"}
	}
	return io.EOF
}

// line reads up to CRLF. A body that ends inside a line is cut short.
func (c *chunkReader) line() (string, error) {
	line, err := c.r.ReadSlice('\n')
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return strings.TrimRight(string(line), "\r\n"), err
}
