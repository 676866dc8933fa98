package simulator

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
	"sync"
)

// Content is the bytes of an object, described rather than held. Open may be
// called any number of times, from any goroutine, and always yields the same
// Size() bytes, less the first offset ones.
type Content interface {
	Size() int64
	Open(offset int64) io.Reader
}

// Bytes is literal content. The slice must not change afterwards.
func Bytes(b []byte) Content { return literal(b) }

type literal []byte

func (l literal) Size() int64 { return int64(len(l)) }

func (l literal) Open(offset int64) io.Reader {
	return bytes.NewReader(l[min(offset, l.Size()):])
}

// Random is an incompressible stream of exactly size bytes. It is generated
// while it is read, from any offset at the same cost.
func Random(seed uint64, size int64) Content {
	return random{seed: seed, size: size}
}

type random struct {
	seed uint64
	size int64
}

func (c random) Size() int64 { return c.size }

// Open starts an AES-CTR key stream at the block of the offset: fast, and
// seekable without generating what comes before.
func (c random) Open(offset int64) io.Reader {
	var seed [8]byte
	binary.BigEndian.PutUint64(seed[:], c.seed)
	key := sha256.Sum256(seed[:])
	block, err := aes.NewCipher(key[:16])
	if err != nil {
		panic(err) // unreachable: the key has 16 bytes
	}
	var iv [aes.BlockSize]byte
	binary.BigEndian.PutUint64(iv[8:], uint64(offset/aes.BlockSize))
	stream := keyStream{cipher.NewCTR(block, iv[:])}
	skip := make([]byte, offset%aes.BlockSize)
	stream.Read(skip)
	return io.LimitReader(stream, c.size-offset)
}

type keyStream struct{ cipher.Stream }

func (s keyStream) Read(p []byte) (int, error) {
	clear(p)
	s.XORKeyStream(p, p)
	return len(p), nil
}

// sums computes what a bucket declares about its bytes on first use, in one
// pass, and only the sums that are wanted: a hidden one costs nothing.
type sums struct {
	once   sync.Once
	md5    string
	crc32c string
}

// summed is content that knows its sums from making it.
type summed interface {
	declared() (md5, crc32c string)
}

func (s *sums) of(c Content, wantMD5, wantCRC bool) (string, string) {
	s.once.Do(func() {
		if known, ok := c.(summed); ok && (wantMD5 || wantCRC) {
			s.md5, s.crc32c = known.declared()
			return
		}
		s.md5, s.crc32c = digest(c, wantMD5, wantCRC)
	})
	return s.md5, s.crc32c
}

func digest(content Content, wantMD5, wantCRC bool) (string, string) {
	var writers []io.Writer
	m, c := md5.New(), crc32.New(castagnoli())
	if wantMD5 {
		writers = append(writers, m)
	}
	if wantCRC {
		writers = append(writers, c)
	}
	if len(writers) > 0 {
		buffer := make([]byte, min(content.Size()+1, 256<<10)) // small ones are listed by the thousand
		io.CopyBuffer(io.MultiWriter(writers...), content.Open(0), buffer)
	}
	return base64Sum(m), base64Sum(c)
}

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

func base64Sum(h hash.Hash) string { return base64.StdEncoding.EncodeToString(h.Sum(nil)) }
