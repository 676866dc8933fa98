package s3

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// The metadata of an object, which prove its origin.
const (
	metaName   = "oci-name"
	metaETag   = "oci-etag"
	metaCRC32C = "crc32c"
	metaTrace  = "trace-id" // of the attempt that sent the object, where that was traced
)

// What a report says of itself, where that is wanted (integrity.metadata).
const (
	metaRows     = "focus-rows"
	metaCurrency = "focus-currency"
	metaBilled   = "focus-billed" // 2026-10=1.5,2026-11=0.25, by billing period
	metaFirst    = "focus-first"  // begin of the earliest charge period
	metaLast     = "focus-last"   // end of the latest one
)

// maxMeta is what S3 takes of names and values.
const maxMeta = 2048

// maxMetaValue keeps a long name from exceeding S3's 2 KB for all metadata.
const maxMetaValue = 1024

const contentType = "application/gzip"

func metadata(m copier.Meta) map[string]string {
	values := map[string]string{}
	for key, value := range map[string]string{metaName: m.Name, metaETag: m.ETag, metaCRC32C: m.CRC32C} {
		if value = printable(value); value != "" && len(value) <= maxMetaValue {
			values[key] = value
		}
	}
	withStatistics(values, m.Statistics)
	if m.TraceID != "" {
		addWhole(values, map[string]string{metaTrace: m.TraceID})
	}
	return values
}

// withStatistics adds what s tells, where all of it fits.
func withStatistics(values map[string]string, s *messages.Statistics) {
	if s == nil {
		return
	}
	more := map[string]string{metaRows: strconv.FormatInt(s.Rows, 10)}
	if !s.First.IsZero() && !s.Last.IsZero() {
		more[metaFirst], more[metaLast] = s.First.UTC().Format(time.RFC3339), s.Last.UTC().Format(time.RFC3339)
	}
	if currency, billed := billed(s.Sums); billed != "" {
		more[metaCurrency], more[metaBilled] = currency, billed
	}
	addWhole(values, more)
}

// addWhole adds all of more to the values, or nothing where it does not fit.
func addWhole(values, more map[string]string) {
	size := 0
	for _, all := range []map[string]string{values, more} {
		for key, value := range all {
			size += len(key) + len(value)
		}
	}
	if size <= maxMeta {
		maps.Copy(values, more)
	}
}

// billed is the sum of each billing period where all are of one currency, else empty.
func billed(sums []messages.Sum) (currency, billed string) {
	var each []string
	for _, s := range sums {
		if s.Currency != sums[0].Currency {
			return "", ""
		}
		currency = s.Currency
		each = append(each, s.Period+"="+s.Billed)
	}
	return currency, strings.Join(each, ",")
}

// printable makes s fit for a header, where only printable ASCII survives, and
// no space at an end or beside another. What it encodes is percent-encoded, as
// is the percent sign itself.
func printable(s string) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		lost := c == ' ' && (i == 0 || i == len(s)-1 || s[i-1] == ' ')
		if c < ' ' || c > '~' || c == '%' || lost {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// original undoes printable; the metadata of others may be anything.
func original(s string) string {
	if o, err := url.PathUnescape(s); err == nil {
		return o
	}
	return s
}

// sum is the CRC32C of b in S3's form.
func sum(b []byte) string {
	crc := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc))
}
