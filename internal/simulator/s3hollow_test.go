package simulator_test

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"oracle-focus-agent/internal/simulator"
)

// hollow is a simulation whose destination keeps no bytes, and knows one MD5.
func hollow(t *testing.T, known string) *simulator.Simulation {
	t.Helper()
	store, err := simulator.NewS3(simulator.S3Options{
		Keys: map[string]simulator.AccessKey{"AKIAHOLLOW": {Secret: "hollow"}}, Hollow: true,
		KnownMD5: func(size int64, crc32c string) string {
			if size == int64(len(known)) && crc32c == crc32cOf(known) {
				return strings.Repeat("ab", 16)
			}
			return ""
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server, err := simulator.Start(store)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return &simulator.Simulation{S3: store, S3URL: server.URL(), S3Bucket: store.Bucket, S3Region: store.Region, AccessKeyID: "AKIAHOLLOW", SecretAccessKey: "hollow"}
}

// TestHollowPut: what a hollow store says of bytes is said by all of them, and a wrong
// claim is refused, although it keeps none.
func TestHollowPut(t *testing.T) {
	const known = "bytes that their maker knows"
	sim := hollow(t, known)
	client := s3Client(t, sim)
	put := func(body, crc32c string) (*s3.PutObjectOutput, error) {
		return client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &sim.S3Bucket, Key: new(key), Body: strings.NewReader(body), ChecksumCRC32C: &crc32c})
	}
	out, err := put(known, crc32cOf(known))
	if err != nil {
		t.Fatal(err)
	}
	if want := strings.Repeat("ab", 16); strings.Trim(*out.ETag, `"`) != want {
		t.Errorf("etag = %s, want the MD5 that is known: %s", *out.ETag, want)
	}
	_, err = put("other bytes", crc32cOf(known))
	wantS3(t, err, "BadDigest")
	if _, err := put("other bytes", crc32cOf("other bytes")); err != nil {
		t.Fatal(err)
	}
	o := sim.S3.Objects()[0]
	if sum, err := hex.DecodeString(o.MD5); o.Size != 11 || o.CRC32C != crc32cOf("other bytes") || err != nil || len(sum) != 16 {
		t.Errorf("the object is %+v", o)
	}
	head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &sim.S3Bucket, Key: new(key)})
	if err != nil || *head.ContentLength != 11 {
		t.Errorf("HEAD: %+v, %v", head, err)
	}
	content, err := sim.S3.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := content.Read(make([]byte, 1)); err == nil {
		t.Error("a hollow store hands out bytes")
	}
}

// TestHollowMultipart: the sum of the whole is that of the parts together.
func TestHollowMultipart(t *testing.T) {
	sim := hollow(t, "")
	m := threeParts(t, sim)
	_, err := m.complete(func(in *s3.CompleteMultipartUploadInput) { in.ChecksumCRC32C = new(crc32cOf("other")) })
	wantS3(t, err, "BadDigest")
	if _, err := m.complete(); err != nil {
		t.Fatal(err)
	}
	if o := sim.S3.Objects()[0]; o.CRC32C != crc32cOf(m.bytes.String()) || o.Size != int64(m.bytes.Len()) {
		t.Errorf("the object is %+v, want %d bytes with CRC32C %s", o, m.bytes.Len(), crc32cOf(m.bytes.String()))
	}
}
