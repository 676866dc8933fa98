package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/messages"
)

// Open implements copier.Source. ctx must live until the reader is closed.
func (c *Client) Open(ctx context.Context, name, etag string) (messages.Object, io.ReadCloser, error) {
	op := "get " + name
	if err := c.checkName(op, name); err != nil {
		return messages.Object{}, nil, err
	}
	req := objectstorage.GetObjectRequest{NamespaceName: &c.options.Namespace, BucketName: &c.options.Bucket, ObjectName: &name}
	if etag != "" {
		req.IfMatch = &etag
	}
	resp, err := c.sdk.GetObject(detach(ctx), req)
	raw := resp.RawResponse
	if err = foreign(err); err == nil && raw.StatusCode != http.StatusOK {
		err = notOracle{fmt.Errorf("the answer has the status %s", raw.Status)}
	}
	if err == nil && etag != "" && raw.Header.Get("etag") != "" && raw.Header.Get("etag") != etag {
		err = otherVersion{raw.Header.Get("etag")}
	}
	if err != nil {
		if raw != nil && raw.Body != nil {
			raw.Body.Close()
		}
		return messages.Object{}, nil, c.fault(ctx, op, err, raw)
	}
	return declared(name, raw), &reader{raw.Body, c, ctx, op}, nil
}

// declared leaves the times out: the header has whole seconds only, so they
// would never equal those of a listing.
func declared(name string, r *http.Response) messages.Object {
	return messages.Object{
		Name: name, Size: r.ContentLength, ETag: r.Header.Get("etag"),
		MD5: r.Header.Get("content-md5"), CRC32C: r.Header.Get("opc-content-crc32c"),
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
