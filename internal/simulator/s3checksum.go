package simulator

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
	"net/http"
	"strings"
)

// algorithms are the checksums that S3 knows by header.
func algorithms() []string { return []string{"CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} }

func newHash(algorithm string) hash.Hash {
	switch algorithm {
	case "CRC32":
		return crc32.NewIEEE()
	case "CRC32C":
		return crc32.New(castagnoli())
	case "CRC64NVME":
		return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5))
	case "SHA1":
		return sha1.New()
	}
	return sha256.New()
}

func checksumHeader(algorithm string) string { return "x-amz-checksum-" + strings.ToLower(algorithm) }

// claim is what a client says about its bytes.
type claim struct {
	algorithm string // "" for none
	value     string // base64; "" when it comes in the trailer
	md5       string // base64 Content-MD5, or ""
}

// claimOf reads the checksum headers of a request.
func claimOf(h http.Header) (claim, *s3Error) {
	c := claim{md5: h.Get("Content-MD5")}
	if sum, err := base64.StdEncoding.DecodeString(c.md5); err != nil || c.md5 != "" && len(sum) != md5.Size {
		return c, errInvalid("InvalidDigest", "The Content-MD5 you specified was invalid.")
	}
	found := 0
	for _, algorithm := range algorithms() {
		value := h.Get(checksumHeader(algorithm))
		trailing := strings.Contains(strings.ToLower(h.Get("x-amz-trailer"))+",", checksumHeader(algorithm)+",")
		if value == "" && !trailing {
			continue
		}
		found++
		c.algorithm, c.value = algorithm, value
		if value != "" && !validSum(algorithm, value) {
			return c, errInvalid("InvalidRequest", "Value for "+checksumHeader(algorithm)+" header is invalid.")
		}
	}
	if found > 1 {
		return c, errInvalid("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
	}
	if named := h.Get("x-amz-sdk-checksum-algorithm"); named != "" && !strings.EqualFold(named, c.algorithm) {
		return c, errInvalid("InvalidRequest", "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.")
	}
	return c, nil
}

func validSum(algorithm, value string) bool {
	sum, err := base64.StdEncoding.DecodeString(value)
	return err == nil && len(sum) == newHash(algorithm).Size()
}

// digests is the sums of a body: CRC32C, MD5 unless the store is hollow, and one of
// the client's choice.
type digests struct {
	md5, crc32c hash.Hash
	algorithm   string
	chosen      hash.Hash
}

func newDigests(algorithm string) *digests {
	d := &digests{md5: md5.New(), crc32c: newHash("CRC32C"), algorithm: algorithm}
	d.chosen = d.crc32c
	if algorithm != "CRC32C" {
		d.chosen = newHash(algorithm)
	}
	return d
}

func (d *digests) writer() io.Writer {
	all := []io.Writer{d.crc32c}
	if d.chosen != d.crc32c {
		all = append(all, d.chosen)
	}
	if d.md5 != nil {
		all = append(all, d.md5)
	}
	return io.MultiWriter(all...)
}

// received is a body that is whole and matches everything claimed about it.
type received struct {
	staged    staged
	size      int64
	md5       []byte
	crc32c    string
	algorithm string // the client's, or "CRC64NVME", which S3 then adds itself
	checksum  string
}

func (r *received) etag() string { return hex.EncodeToString(r.md5) }

// receive reads and verifies the body of an upload into the store's staging.
// On an error nothing of it is left.
func (s *S3) receive(r *s3Request) (*received, *s3Error) {
	c, err := claimOf(r.Header)
	if err != nil {
		return nil, err
	}
	body, err := r.open(s.MaxPut)
	if err != nil {
		return nil, err
	}
	dst, ioErr := s.store.stage()
	if ioErr != nil {
		return nil, errInternal(ioErr)
	}
	got, err := s.copyBody(dst, body, c)
	if err != nil {
		dst.discard()
		return nil, err
	}
	return got, nil
}

func (s *S3) copyBody(dst staged, body *payload, c claim) (*received, *s3Error) {
	d := s.digests(c.algorithm)
	n, err := io.CopyBuffer(io.MultiWriter(dst, d.writer()), body, make([]byte, min(body.length+1, 256<<10)))
	if err != nil {
		return nil, asS3Error(err)
	}
	if err := dst.close(); err != nil {
		return nil, errInternal(err)
	}
	got := &received{staged: dst, size: n, crc32c: base64Sum(d.crc32c), algorithm: d.algorithm, checksum: base64Sum(d.chosen)}
	if d.md5 != nil {
		got.md5 = d.md5.Sum(nil)
	} else {
		got.md5 = s.assumedMD5(n, got.crc32c, c.md5)
	}
	return got, c.compare(got, body.trailer)
}

// digests are those of a body whose client chose an algorithm; empty: none.
func (s *S3) digests(algorithm string) *digests {
	switch {
	case !s.Hollow:
		return newDigests(shown(false, algorithm, "CRC64NVME"))
	case algorithm == "":
		algorithm = "CRC32C" // which is computed anyhow
	}
	d := newDigests(algorithm)
	d.md5 = nil
	return d
}

func asS3Error(err error) *s3Error {
	if e, ok := err.(*s3Error); ok {
		return e
	}
	return errInternal(err)
}

// compare refuses bytes that are not what was claimed.
func (c claim) compare(got *received, trailer http.Header) *s3Error {
	if want, _ := base64.StdEncoding.DecodeString(c.md5); c.md5 != "" && !bytes.Equal(want, got.md5) {
		return errInvalid("BadDigest", "The Content-MD5 you specified did not match what we received.")
	}
	want := c.value
	if want == "" && c.algorithm != "" {
		want = trailer.Get(checksumHeader(c.algorithm))
	}
	if c.algorithm != "" && want != got.checksum {
		return errInvalid("BadDigest", fmt.Sprintf("The %s you specified did not match the calculated checksum.", c.algorithm))
	}
	return nil
}
