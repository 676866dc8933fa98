package s3_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/messages"
)

// A busy destination answers 503 and notes when.
type busy struct {
	start time.Time
	after func() string // Retry-After
	at    []time.Duration
}

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		io.Copy(io.Discard, r.Body)
	}
	b.at = append(b.at, time.Since(b.start))
	h := http.Header{}
	if after := b.after(); after != "" {
		h.Set("Retry-After", after)
	}
	return &http.Response{StatusCode: 503, Header: h, Body: io.NopCloser(strings.NewReader("<Error><Code>SlowDown</Code></Error>")), Request: r}, nil
}

// TestCallsToABusyDestination: three attempts in a call at most, with pauses that grow; the
// pause that S3 asks for is kept, and a long one is left to the caller, who has other work.
func TestCallsToABusyDestination(t *testing.T) {
	in := func(d time.Duration) func() string {
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	is := func(s string) func() string { return func() string { return s } }
	short := [][2]time.Duration{{100 * time.Millisecond, 200 * time.Millisecond}, {500 * time.Millisecond, time.Second}}
	for name, c := range map[string]struct {
		after  func() string
		pauses [][2]time.Duration // at least, at most
		asked  time.Duration      // in the fault
	}{
		"nothing":            {is(""), short, 0},
		"nonsense":           {is("soon"), short, 0},
		"negative":           {is("-60"), short, 0},
		"far beyond numbers": {is("99999999999999999999"), short, 0},
		"the past":           {in(-time.Hour), short, 0},
		"a second":           {is("1"), [][2]time.Duration{{time.Second, time.Second}, {time.Second, time.Second}}, time.Second},
		"a minute":           {is("60"), nil, time.Minute},
		"a date":             {in(time.Minute), nil, time.Minute},
		"a day":              {is("86400"), nil, 5 * time.Minute},
	} {
		for op, call := range map[string]func(context.Context, *s3.Client) error{
			"Put": func(ctx context.Context, c *s3.Client) error {
				_, err := c.Put(ctx, key, []byte("x"), meta)
				return err
			},
			"Create": func(ctx context.Context, c *s3.Client) error {
				_, err := c.Create(ctx, key, meta)
				return err
			},
			"Part": func(ctx context.Context, c *s3.Client) error {
				_, err := c.Part(ctx, key, "id", 1, []byte("x"), s3.Sum([]byte("x")))
				return err
			},
			"Complete": func(ctx context.Context, c *s3.Client) error {
				_, err := c.Complete(ctx, key, "id", []copier.Part{{Number: 1, ETag: "e", CRC32C: s3.Sum([]byte("x"))}}, 1, s3.Sum([]byte("x")))
				return err
			},
			"Abort": func(ctx context.Context, c *s3.Client) error { return c.Abort(ctx, key, "id") },
			"Head": func(ctx context.Context, c *s3.Client) error {
				_, err := c.Head(ctx, key)
				return err
			},
		} {
			t.Run(name+"/"+op, func(t *testing.T) {
				alone(t)
				synctest.Test(t, func(t *testing.T) {
					client, err := s3.Open(t.Context(), s3.Options{Bucket: "b", Region: "eu-west-1", AccessKeyID: "a", SecretAccessKey: "s"})
					if err != nil {
						t.Fatal(err)
					}
					b := &busy{start: time.Now(), after: c.after}
					client.TestingOnlyTransport(b)
					err = call(t.Context(), client)
					f, ok := errors.AsType[*messages.Fault](err)
					if !ok || !f.Class.OfSide() || f.RetryAfter != c.asked {
						t.Fatalf("error %#v, want one that asks for %s", err, c.asked)
					}
					pauses := c.pauses
					if op == "Create" { // never repeated: an answer that is lost leaves an upload behind
						pauses = nil
					}
					if len(b.at) != len(pauses)+1 {
						t.Fatalf("requests at %v, want %d", b.at, len(pauses)+1)
					}
					for i, p := range pauses {
						if d := b.at[i+1] - b.at[i]; d < p[0] || d > p[1] {
							t.Errorf("a pause of %s, want %s to %s", d, p[0], p[1])
						}
					}
				})
			})
		}
	}
}
