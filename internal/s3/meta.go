package s3

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/url"
	"strings"

	"oracle-focus-agent/copier"
)

// The metadata of an object, which prove its origin.
const (
	metaName   = "oci-name"
	metaETag   = "oci-etag"
	metaCRC32C = "crc32c"
)

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
	return values
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
