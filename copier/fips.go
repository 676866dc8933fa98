package copier

import (
	"crypto/fips140"
	"crypto/md5"
	"encoding/base64"

	"oracle-focus-agent/messages"
)

// wantsMD5 reports whether the ladder needs the MD5 of o: where the source declares
// one and nothing better. With GODEBUG=fips140=only it never does, because the
// standard library then refuses to compute it; such a file is verified by its size,
// and S3 checks what it receives against the CRC32C of what was read.
func wantsMD5(o messages.Object) bool {
	return o.CRC32C == "" && o.MD5 != "" && !fips140.Enforced()
}

// handsMD5 reports whether the destination can verify the MD5 of o. It must be one: what no
// header can hold would look like a broken connection.
func handsMD5(o messages.Object) bool {
	sum, err := base64.StdEncoding.DecodeString(o.MD5)
	return o.CRC32C == "" && err == nil && len(sum) == md5.Size
}

// tellFIPS says once what a file without a CRC32C is worth where MD5 is refused.
func (c *Copier) tellFIPS() {
	if fips140.Enforced() && !c.HandMD5 {
		c.Log.Warn("GODEBUG=fips140=only allows no MD5: where the source declares no CRC32C, a report is verified by its size and by the CRC32C that S3 checks")
	}
}
