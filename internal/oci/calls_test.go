package oci_test

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
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/messages"
)

// A busy source answers 503 and notes when.
type busy struct {
	start time.Time
	after func() string // Retry-After
	at    []time.Duration
}

func (b *busy) RoundTrip(r *http.Request) (*http.Response, error) {
	b.at = append(b.at, time.Since(b.start))
	h := http.Header{"Content-Type": {"application/json"}}
	if after := b.after(); after != "" {
		h.Set("Retry-After", after)
	}
	return &http.Response{StatusCode: 503, Header: h, Body: io.NopCloser(strings.NewReader(`{"code":"ServiceUnavailable","message":"busy"}`)), Request: r}, nil
}

// TestCallsToABusySource: a listing is asked for three times at most, with pauses that grow,
// or those that Oracle asks for, up to five minutes each. A body is asked for once: the
// next time is the queue's.
func TestCallsToABusySource(t *testing.T) {
	in := func(d time.Duration) func() string {
		return func() string { return time.Now().Add(d).UTC().Format(http.TimeFormat) }
	}
	is := func(s string) func() string { return func() string { return s } }
	short := [][2]time.Duration{{100 * time.Millisecond, 200 * time.Millisecond}, {500 * time.Millisecond, time.Second}}
	each := func(d time.Duration) [][2]time.Duration { return [][2]time.Duration{{d, d}, {d, d}} }
	for title, c := range map[string]struct {
		after  func() string
		pauses [][2]time.Duration // at least, at most
		asked  time.Duration      // in the fault
	}{
		"nothing":            {is(""), short, 0},
		"nonsense":           {is("soon"), short, 0},
		"negative":           {is("-60"), short, 0},
		"far beyond numbers": {is("99999999999999999999"), short, 0},
		"the past":           {in(-time.Hour), short, 0},
		"a second":           {is("1"), each(time.Second), time.Second},
		"a minute":           {is("60"), each(time.Minute), time.Minute},
		"a date":             {in(time.Minute), each(time.Minute), time.Minute},
		"a day":              {is("86400"), each(5 * time.Minute), 5 * time.Minute},
	} {
		for op, call := range map[string]func(context.Context, *oci.Client) error{
			"List": func(ctx context.Context, c *oci.Client) error {
				for _, err := range c.List(ctx, "") {
					return err
				}
				return nil
			},
			"Stat": func(ctx context.Context, c *oci.Client) error {
				_, err := c.Stat(ctx, name)
				return err
			},
			"Open": func(ctx context.Context, c *oci.Client) error {
				_, body, err := c.Open(ctx, name, "", copier.Range{})
				if err == nil {
					body.Close()
				}
				return err
			},
		} {
			t.Run(title+"/"+op, func(t *testing.T) {
				o := options(t, "https://source.example")
				synctest.Test(t, func(t *testing.T) {
					client, err := oci.Open(o)
					if err != nil {
						t.Fatal(err)
					}
					b := &busy{start: time.Now(), after: c.after}
					client.TestingOnlyTransport(b)
					err = call(t.Context(), client)
					f, ok := errors.AsType[*messages.Fault](err)
					if !ok || f.Class != messages.Unavailable || f.RetryAfter != c.asked {
						t.Fatalf("error %#v, want one that asks for %s", err, c.asked)
					}
					pauses := c.pauses
					if op == "Open" {
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
