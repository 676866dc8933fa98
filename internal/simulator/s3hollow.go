package simulator

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// hollowStore takes bytes and keeps none of them.
type hollowStore struct{}

func (hollowStore) stage() (staged, error)      { return nothing{}, nil }
func (hollowStore) commit(string, staged) error { return nil }
func (hollowStore) remove(string) error         { return nil }

// open is what HEAD needs; a GET breaks off after its headers.
func (hollowStore) open(string) (io.ReadSeekCloser, error) { return nothing{}, nil }

// nothing is all that a hollow store has of any bytes.
type nothing struct{}

func (nothing) Write(b []byte) (int, error)    { return len(b), nil }
func (nothing) Read([]byte) (int, error)       { return 0, errHollow() }
func (nothing) Seek(int64, int) (int64, error) { return 0, errHollow() }
func (nothing) Close() error                   { return nil }
func (nothing) close() error                   { return nil }
func (nothing) discard()                       {}
func (n nothing) open() (io.ReadCloser, error) { return n, nil }

func errHollow() error { return errors.New("this simulated s3 is hollow: it keeps no bytes") }

// assumedMD5 is the MD5 that a hollow store shows: the one that whoever made the bytes
// knows, else the one that the client claims, whom nobody then contradicts, else no MD5
// at all but what tells contents apart, as with encryption by KMS.
func (s *S3) assumedMD5(size int64, crc32c, claimed string) []byte {
	if s.KnownMD5 != nil {
		if sum, err := hex.DecodeString(s.KnownMD5(size, crc32c)); err == nil && len(sum) == md5.Size {
			return sum
		}
	}
	if sum, err := base64.StdEncoding.DecodeString(claimed); err == nil && len(sum) == md5.Size {
		return sum
	}
	sum := md5.Sum(fmt.Append(nil, size, crc32c))
	return sum[:]
}

// combine describes an object by its parts, of which no bytes are left. Of a whole only
// CRC32C can be told, so that another claim about the whole is refused.
func (s *S3) combine(u *upload, o *ObjectInfo, parts []*part) {
	var whole uint32
	for _, p := range parts {
		whole = combineCRC32C(whole, crcOf(p.crc32c), p.size)
		o.Size += p.size
	}
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], whole)
	o.CRC32C = base64.StdEncoding.EncodeToString(sum[:])
	o.ETag, o.MD5 = etagFor(u.header, multipartETag(parts)), hex.EncodeToString(s.assumedMD5(o.Size, o.CRC32C, ""))
	switch {
	case u.kind == "COMPOSITE":
		o.Checksum = composite(o.Algorithm, parts)
	case o.Algorithm == "CRC32C":
		o.Checksum = o.CRC32C
	}
}

func crcOf(text string) uint32 {
	sum, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(sum) != 4 {
		panic("a CRC32C that was computed here has four bytes") // unreachable
	}
	return binary.BigEndian.Uint32(sum)
}

// combineCRC32C is the CRC32C of a sequence of bytes whose beginning has the CRC32C a
// and whose rest, of so many bytes, has b. Following a with n zero bytes is linear in
// the bits of a: a matrix, squared for each bit of n.
func combineCRC32C(a, b uint32, n int64) uint32 {
	zero := oneZeroBit()
	for range 3 {
		zero = square(zero) // one zero byte
	}
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			a = times(zero, a)
		}
		zero = square(zero)
	}
	return a ^ b
}

// oneZeroBit is the operator that follows a CRC with one bit of zero.
func oneZeroBit() (m [32]uint32) {
	m[0] = crc32.Castagnoli
	for i := 1; i < 32; i++ {
		m[i] = 1 << (i - 1)
	}
	return m
}

func times(m [32]uint32, v uint32) (sum uint32) {
	for i := 0; v != 0; i, v = i+1, v>>1 {
		if v&1 == 1 {
			sum ^= m[i]
		}
	}
	return sum
}

func square(m [32]uint32) (s [32]uint32) {
	for i := range m {
		s[i] = times(m, m[i])
	}
	return s
}
