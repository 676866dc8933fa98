package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oracle/oci-go-sdk/v65/common"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// Open implements copier.Source. ctx must live until the reader is closed.
//
// The request is made here and sent by the SDK, which signs it. The SDK's GetObject does
// the same, but searches what it would log for secrets, whether it logs or not: a quarter
// of what a small file cost at the source, its signature included (BenchmarkOpen).
func (c *Client) Open(ctx context.Context, name, etag string, r copier.Range) (messages.Object, io.ReadCloser, error) {
	op := "get " + name
	if err := c.checkName(op, name); err != nil {
		return messages.Object{}, nil, err
	}
	declared, want := whole, http.StatusOK
	req := common.MakeDefaultHTTPRequest(http.MethodGet, "/n/"+c.options.Namespace+"/b/"+c.options.Bucket+"/o/"+name)
	ranged := r != copier.Range{}
	if rule := badETag(etag, ranged); rule != "" {
		return messages.Object{}, nil, &messages.Fault{
			Class: messages.Refused, Side: messages.Source, Op: op, Err: fmt.Errorf("the etag %q is refused: %s", etag, rule),
		}
	}
	if etag != "" {
		req.Header.Set("If-Match", etag)
	}
	if ranged {
		declared, want = within(r, etag), http.StatusPartialContent
		req.Header.Set("Range", asked(r))
	}
	raw, err := c.sdk.CallWithServiceAndOperationName(detach(ctx), &req, "objectStorage", "GetObject")
	switch err = foreign(err); {
	case ranged && raw != nil && (raw.StatusCode == http.StatusOK || raw.StatusCode == http.StatusRequestedRangeNotSatisfiable):
		err = fmt.Errorf("%w: the answer to %s is %s", copier.ErrNoRange, asked(r), raw.Status)
	case err == nil && raw.StatusCode != want:
		err = notOracle{fmt.Errorf("the answer has the status %s", raw.Status)}
	}
	if err == nil && etag != "" && raw.Header.Get("etag") != "" && raw.Header.Get("etag") != etag {
		err = otherVersion{raw.Header.Get("etag")}
	}
	var o messages.Object
	if err == nil {
		o, err = declared(name, raw)
	}
	if err != nil {
		if raw != nil && raw.Body != nil {
			raw.Body.Close()
		}
		return messages.Object{}, nil, c.fault(ctx, op, err, raw)
	}
	return o, &reader{raw.Body, c, ctx, op}, nil
}

func badETag(etag string, ranged bool) string {
	switch {
	case strings.IndexFunc(etag, unicode.IsControl) >= 0: // the transport would call it a broken connection
		return "it has a control character"
	case ranged && etag == "": // the bytes of two versions could be taken for one
		return "a range is asked for by its version"
	}
	return ""
}

// whole leaves the times out: the header has whole seconds only, so they
// would never equal those of a listing.
func whole(name string, r *http.Response) (messages.Object, error) {
	return messages.Object{
		Name: name, Size: r.ContentLength, ETag: r.Header.Get("etag"),
		MD5: r.Header.Get("content-md5"), CRC32C: r.Header.Get("opc-content-crc32c"),
	}, nil
}

// asked is the header that asks for a range.
func asked(r copier.Range) string {
	if r.Length == 0 {
		return fmt.Sprintf("bytes=%d-", r.Offset)
	}
	return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)
}

// within is what the answer to a range tells. It must be of this range and no other byte,
// and name the version: an answer that does not may be of any, and the bytes of two would
// be taken for one.
func within(r copier.Range, etag string) func(string, *http.Response) (messages.Object, error) {
	refused := func(format string, args ...any) (messages.Object, error) {
		return messages.Object{}, fmt.Errorf("%w: the answer to %s %s", copier.ErrNoRange, asked(r), fmt.Sprintf(format, args...))
	}
	return func(name string, resp *http.Response) (messages.Object, error) {
		header := resp.Header.Get("Content-Range")
		_, total, _ := strings.Cut(header, "/")
		size, err := strconv.ParseInt(total, 10, 64)
		last := size - 1
		if r.Length > 0 {
			last = r.Offset + r.Length - 1
		}
		switch length := last - r.Offset + 1; {
		case err != nil || last >= size || header != fmt.Sprintf("bytes %d-%d/%d", r.Offset, last, size):
			return refused("has the Content-Range %q", header)
		case resp.ContentLength >= 0 && resp.ContentLength != length:
			return refused("has %d bytes of %d", resp.ContentLength, length)
		case resp.Header.Get("etag") != etag:
			return refused("does not name the version %q", etag)
		}
		return messages.Object{Name: name, Size: size, ETag: etag}, nil
	}
}

// A reader gives the errors of a body their class.
type reader struct {
	io.ReadCloser
	c   *Client
	ctx context.Context // of Open, to tell its end from other failures
	op  string
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = r.c.fault(r.ctx, r.op, err, nil)
	}
	return n, err
}

// checkName refuses, before any request, names that would reach another object
// than they say: the SDK puts "../.." into the path of the URL as it is.
func (c *Client) checkName(op, name string) error {
	rule := badName(name)
	if rule == "" && !strings.HasPrefix(name, c.options.Prefix) {
		rule = fmt.Sprintf("it lies outside the prefix %q", c.options.Prefix)
	}
	if rule == "" {
		return nil
	}
	verb, _, _ := strings.Cut(op, name)
	return &messages.Fault{
		Class: messages.Refused, Side: messages.Source, Op: fmt.Sprintf("%s%q", verb, name),
		Err: errors.New("the name is refused: " + rule),
	}
}

func badName(name string) string {
	switch {
	case name == "":
		return "it is empty"
	case name[0] == '/':
		return "it begins with a slash"
	case !utf8.ValidString(name):
		return "it is not valid UTF-8"
	case strings.IndexFunc(name, unicode.IsControl) >= 0:
		return "it has a control character"
	}
	for segment := range strings.SplitSeq(name, "/") {
		if segment == "." || segment == ".." {
			return "it has the path segment " + segment
		}
	}
	return ""
}
