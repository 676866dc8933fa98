package oci

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/messages"
)

const (
	pageSize     = 1000 // the most that one listing call returns
	listDeadline = 60 * time.Second
	// fields must be asked for: a listing holds only names otherwise.
	fields = "name,size,etag,md5,timeCreated,timeModified"
)

// List implements scanner.Lister. It asks page by page while it is read. Equal
// names in a row are one object. A page that fails, an answer that is no
// listing, or a next page that does not lie behind this one is an error: the
// listing never ends early without one.
func (c *Client) List(ctx context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		last := ""
		for start := from; ; {
			page, err := c.retry(ctx, c.listOp(), c.request(start, pageSize))
			if err != nil {
				yield(messages.Object{}, err)
				return
			}
			for _, o := range page.objects {
				if o.Name == last {
					continue
				}
				last = o.Name
				if !yield(o, nil) {
					return
				}
			}
			if page.next == "" {
				return
			}
			if page.next <= start || page.next <= last {
				yield(messages.Object{}, c.stuck(start, last, page.next))
				return
			}
			start = page.next
		}
	}
}

func (c *Client) stuck(start, last, next string) error {
	return &messages.Fault{
		Class: messages.Unavailable, Side: messages.Source, Op: c.listOp(),
		Err: fmt.Errorf("the page from %q up to %q says that the next one begins at %q, which does not lie behind it", start, last, next),
	}
}

// Stat implements copier.Source.
func (c *Client) Stat(ctx context.Context, name string) (messages.Object, error) {
	op := "look up " + name
	if err := c.checkName(op, name); err != nil {
		return messages.Object{}, err
	}
	req := c.request(name, 10)
	req.Prefix = &name
	page, err := c.retry(ctx, op, req)
	if err != nil {
		return messages.Object{}, err
	}
	for _, o := range page.objects {
		if o.Name == name {
			return o, nil
		}
	}
	return messages.Object{}, &messages.Fault{
		Class: messages.Gone, Side: messages.Source, Op: op,
		Err: errors.New("the listing no longer holds the object"),
	}
}

func (c *Client) listOp() string {
	return fmt.Sprintf("list %q in bucket %s of namespace %s", c.options.Prefix, c.options.Bucket, c.options.Namespace)
}

func (c *Client) request(start string, limit int) objectstorage.ListObjectsRequest {
	r := objectstorage.ListObjectsRequest{
		NamespaceName: &c.options.Namespace, BucketName: &c.options.Bucket,
		Prefix: &c.options.Prefix, Limit: &limit, Fields: new(fields),
	}
	if start != "" {
		r.Start = &start
	}
	return r
}

// retry repeats a listing call as again does.
func (c *Client) retry(ctx context.Context, op string, req objectstorage.ListObjectsRequest) (page, error) {
	return again(ctx, c.pauses, op, func() (page, error) { return c.list(ctx, op, req) })
}

// again repeats a call that only reads, after failures that pass by themselves and
// as often as there are pauses. It waits as long as the answer asks, up to five
// minutes, and stops with ctx.
func again[T any](ctx context.Context, pauses []time.Duration, op string, call func() (T, error)) (T, error) {
	for attempt := 0; ; attempt++ {
		v, err := call()
		if err == nil || attempt == len(pauses) || !passes(err) {
			return v, err
		}
		if !wait(ctx, pause(err, pauses[attempt])) {
			var none T
			return none, fmt.Errorf("%s: %w", op, ctx.Err())
		}
	}
}

func passes(err error) bool {
	switch messages.ClassOf(err) {
	case messages.Connection, messages.Unavailable, messages.Throttled:
		return true
	}
	return false
}

// pause is what the answer asked for, or d with jitter.
func pause(err error, d time.Duration) time.Duration {
	if f, ok := errors.AsType[*messages.Fault](err); ok && f.RetryAfter > 0 {
		return f.RetryAfter
	}
	return d/2 + rand.N(d/2+1)
}

func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

type page struct {
	objects []messages.Object
	next    string
}

// list makes one call.
func (c *Client) list(ctx context.Context, op string, req objectstorage.ListObjectsRequest) (page, error) {
	limited, cancel := context.WithTimeout(ctx, listDeadline)
	defer cancel()
	resp, err := c.sdk.ListObjects(detach(limited), req)
	if err = foreign(err); err == nil {
		var p page
		if p, err = read(resp); err == nil {
			return p, nil
		}
		err = notOracle{err}
	}
	return page{}, c.listFault(c.fault(ctx, op, err, resp.RawResponse))
}

// listFault keeps a 404 of a listing from passing for a proof that an object is
// gone, whatever its code says.
func (c *Client) listFault(err error) error {
	if f, ok := errors.AsType[*messages.Fault](err); ok && f.Class == messages.Gone {
		f.Class, f.Remedy = messages.NotFound, c.policyRemedy()
	}
	return err
}

// read refuses what is not a complete listing, in particular an answer of some
// proxy that would otherwise pass for an empty one.
func read(resp objectstorage.ListObjectsResponse) (page, error) {
	if resp.RawResponse.StatusCode != http.StatusOK {
		return page{}, fmt.Errorf("the answer has the status %s", resp.RawResponse.Status)
	}
	if resp.Objects == nil {
		return page{}, errors.New("the answer is not a listing")
	}
	p := page{objects: make([]messages.Object, len(resp.Objects))}
	for i, o := range resp.Objects {
		if text(o.Name) == "" || o.Size == nil || *o.Size < 0 {
			return page{}, errors.New("the listing holds an object without a name or a size")
		}
		p.objects[i] = messages.Object{
			Name: *o.Name, Size: *o.Size, ETag: text(o.Etag), MD5: text(o.Md5),
			Created: stamp(o.TimeCreated), Modified: stamp(o.TimeModified),
		}
	}
	p.next = text(resp.NextStartWith)
	return p, nil
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func stamp(t *common.SDKTime) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}
