package simulator

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// payload reads the body of an upload in any of S3's encodings. It ends with
// io.EOF only when the body is whole and every signature in it is right;
// anything else is an error, at the latest instead of the EOF.
type payload struct {
	r       io.Reader
	length  int64 // decoded
	trailer http.Header
}

// open prepares the body. Nothing is read yet, so that S3's early refusals
// come before the client has sent anything.
func (r *s3Request) open(limit int64) (*payload, *s3Error) {
	p := &payload{r: r.Body, length: r.ContentLength, trailer: http.Header{}}
	if r.ContentLength < 0 {
		return nil, errNotImplemented() // Transfer-Encoding: chunked
	}
	streaming := strings.HasPrefix(r.id.payload, "STREAMING-")
	if streaming {
		n, err := strconv.ParseInt(r.Header.Get("x-amz-decoded-content-length"), 10, 64)
		if err != nil {
			return nil, &s3Error{status: http.StatusLengthRequired, code: "MissingContentLength",
				message: "You must provide the Content-Length HTTP header."}
		}
		p.length = n
	}
	if p.length > limit {
		e := errInvalid("EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
		return nil, e.with("ProposedSize", strconv.FormatInt(p.length, 10)).with("MaxSizeAllowed", strconv.FormatInt(limit, 10))
	}
	switch {
	case streaming:
		return p, p.decode(r)
	case r.id.payload == "UNSIGNED-PAYLOAD":
		return p, nil
	case len(r.id.payload) == 2*sha256.Size:
		p.r = &literalReader{r: r.Body, want: r.id.payload, sum: sha256.New()}
		return p, nil
	}
	return nil, errInvalid("InvalidArgument", "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, a STREAMING- value, or a valid sha256 value.")
}

func (p *payload) decode(r *s3Request) *s3Error {
	c := &chunkReader{r: bufio.NewReaderSize(r.Body, 64<<10), p: p, id: r.id, previous: r.id.signature, sum: sha256.New()}
	switch r.id.payload {
	case "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
		c.trailers = true
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD":
		c.signed = true
	case "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER":
		c.signed, c.trailers = true, true
	default:
		return errNotImplemented()
	}
	for name := range strings.SplitSeq(strings.ToLower(r.Header.Get("x-amz-trailer")), ",") {
		if name = strings.TrimSpace(name); name != "" {
			c.announced = append(c.announced, name)
		}
	}
	p.r = c
	return nil
}

// Read implements io.Reader; errors are *s3Error.
func (p *payload) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if _, known := errors.AsType[*s3Error](err); err == nil || err == io.EOF || known {
		return n, err
	}
	return n, errInvalid("IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header")
}

// literalReader compares the body with the hash that was signed.
type literalReader struct {
	r    io.Reader
	want string
	sum  hash.Hash
}

func (l *literalReader) Read(b []byte) (int, error) {
	n, err := l.r.Read(b)
	l.sum.Write(b[:n])
	if err != io.EOF {
		return n, err
	}
	if got := hex.EncodeToString(l.sum.Sum(nil)); got != l.want {
		e := errInvalid("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' header does not match what was computed.")
		return n, e.with("ClientComputedContentSHA256", l.want).with("S3ComputedContentSHA256", got)
	}
	return n, err
}
