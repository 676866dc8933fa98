package s3_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// TestStatisticsGoAlong as metadata: of one currency, per period; and where they do not
// fit beside what proves the origin, not at all.
func TestStatisticsGoAlong(t *testing.T) {
	at := time.Date(2026, 11, 25, 5, 0, 0, 0, time.UTC)
	sum := func(period, currency, billed string) messages.Sum {
		return messages.Sum{Period: period, Currency: currency, Billed: billed, Effective: "1"}
	}
	many := make([]messages.Sum, 64)
	for i := range many {
		many[i] = sum(fmt.Sprintf("20%02d-01", i), "EUR", "0.12345678901234567890")
	}
	for title, c := range map[string]struct {
		name string
		s    messages.Statistics
		want map[string]string
	}{
		"one currency": {
			s: messages.Statistics{Rows: 12, First: at, Last: at.Add(time.Hour), Sums: []messages.Sum{sum("2026-10", "EUR", "-1.5"), sum("2026-11", "EUR", "0.25")}},
			want: map[string]string{
				"focus-rows": "12", "focus-first": "2026-11-25T05:00:00Z", "focus-last": "2026-11-25T06:00:00Z",
				"focus-currency": "EUR", "focus-billed": "2026-10=-1.5,2026-11=0.25",
			},
		},
		"two currencies": {s: messages.Statistics{Rows: 3, Sums: []messages.Sum{sum("2026-11", "EUR", "1"), sum("2026-11", "USD", "2")}}, want: map[string]string{"focus-rows": "3"}},
		"no rows":        {want: map[string]string{"focus-rows": "0"}},
		"no room":        {name: strings.Repeat("a", 900), s: messages.Statistics{Rows: 3, Sums: many}, want: map[string]string{}},
	} {
		t.Run(title, func(t *testing.T) {
			w := newWorld(t, simulator.PutOnly)
			if _, err := w.client.Put(t.Context(), key, []byte("x"), copier.Meta{Name: "a" + c.name, ETag: "e", Statistics: &c.s}); err != nil {
				t.Fatal(err)
			}
			got := w.S3.Objects()[0].Metadata
			if got["oci-name"] == "" || got["oci-etag"] == "" || got["crc32c"] == "" {
				t.Errorf("what proves the origin is missing: %v", got)
			}
			maps.DeleteFunc(got, func(key, _ string) bool { return !strings.HasPrefix(key, "focus-") })
			if !maps.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}
