package simulator

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// serveObject answers GetObject and HeadObject. The stored bytes are sent as
// they are, whatever their Content-Encoding.
func (o *OCI) serveObject(w http.ResponseWriter, r *http.Request, name string) *ociError {
	e, ok := o.source.lookup(name)
	if !ok {
		return &ociError{http.StatusNotFound, "ObjectNotFound", fmt.Sprintf(
			"The object '%s' does not exist in bucket '%s' with namespace '%s'", name, o.Bucket, o.Namespace)}
	}
	if want := r.Header.Get("If-Match"); want != "" && want != "*" && unquote(want) != e.ETag {
		return &ociError{http.StatusPreconditionFailed, "IfMatchFailed",
			"The current entity tag did not match the if-match condition"}
	}
	if have := r.Header.Get("If-None-Match"); have != "" && unquote(have) == e.ETag {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	size := e.Content.Size()
	part, err := parseRange(r.Header.Get("Range"), size)
	if err != nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return &ociError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange", err.Error()}
	}
	e.writeHeaders(w.Header())
	part.writeHeaders(w)
	if r.Method != http.MethodHead {
		body := &countingReader{r: io.LimitReader(e.Content.Open(part.start), part.length), n: &o.sent}
		io.CopyBuffer(onlyWriter{w}, body, make([]byte, min(part.length+1, 64<<10)))
	}
	return nil
}

func (e *entry) writeHeaders(h http.Header) {
	md5, crc32c := e.declared()
	setUnlessEmpty(h, "etag", shown(e.NoETag, e.ETag, ""))
	setUnlessEmpty(h, "content-md5", md5)
	setUnlessEmpty(h, "opc-content-crc32c", crc32c)
	setUnlessEmpty(h, "content-encoding", e.ContentEncoding)
	h.Set("content-type", shown(false, e.ContentType, "application/octet-stream"))
	h.Set("last-modified", e.Modified.UTC().Format(http.TimeFormat))
	h.Set("accept-ranges", "bytes")
	h.Set("storage-tier", "Standard")
}

func setUnlessEmpty(h http.Header, name, value string) {
	if value != "" {
		h.Set(name, value)
	}
}

// byteRange is a resolved range of an object.
type byteRange struct {
	start, length, size int64
	partial             bool
}

// parseRange resolves a Range header of a single range; none is the whole.
func parseRange(header string, size int64) (byteRange, error) {
	whole := byteRange{length: size, size: size}
	spec, ok := strings.CutPrefix(header, "bytes=")
	if header == "" || !ok {
		return whole, nil
	}
	unsatisfiable := fmt.Errorf("the range '%s' cannot be satisfied for %d bytes", header, size)
	first, last, ok := strings.Cut(spec, "-")
	if !ok || strings.Contains(spec, ",") {
		return whole, unsatisfiable
	}
	start, end := int64(0), size-1
	var err error
	if first == "" {
		var n int64
		n, err = strconv.ParseInt(last, 10, 64)
		start = max(size-n, 0)
	} else {
		start, err = strconv.ParseInt(first, 10, 64)
		if err == nil && last != "" {
			end, err = strconv.ParseInt(last, 10, 64)
		}
	}
	end = min(end, size-1)
	if err != nil || start < 0 || start > end {
		return whole, unsatisfiable
	}
	return byteRange{start: start, length: end - start + 1, size: size, partial: true}, nil
}

// writeHeaders sends the status with the length of the range.
func (b byteRange) writeHeaders(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.FormatInt(b.length, 10))
	if !b.partial {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", b.start, b.start+b.length-1, b.size))
	w.WriteHeader(http.StatusPartialContent)
}

func unquote(etag string) string { return strings.Trim(etag, `"`) }

// countingReader adds what was read to n.
type countingReader struct {
	r io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

// onlyWriter hides ReadFrom, so that every byte passes through Write, where
// faults act on it.
type onlyWriter struct{ io.Writer }
