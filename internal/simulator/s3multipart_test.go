package simulator_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/internal/simulator"
)

const fiveMiB = 5 << 20

// multipart is an upload with FULL_OBJECT CRC32C, as the product makes it.
type multipart struct {
	t      *testing.T
	sim    *simulator.Simulation
	client *s3.Client
	id     *string
	parts  []types.CompletedPart
	bytes  strings.Builder
}

func newMultipart(t *testing.T, sim *simulator.Simulation) *multipart {
	t.Helper()
	client := s3Client(t, sim)
	out, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: &sim.S3Bucket, Key: new(key), ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c,
		ChecksumType: types.ChecksumTypeFullObject, Metadata: map[string]string{"oci-etag": "e1"},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &multipart{t: t, sim: sim, client: client, id: out.UploadId}
}

func (m *multipart) part(number int32, content string) error {
	m.t.Helper()
	out, err := m.client.UploadPart(m.t.Context(), &s3.UploadPartInput{
		Bucket: &m.sim.S3Bucket, Key: new(key), UploadId: m.id, PartNumber: &number,
		Body: strings.NewReader(content), ChecksumCRC32C: new(crc32cOf(content)),
	})
	if err != nil {
		return err
	}
	m.parts = append(m.parts, types.CompletedPart{PartNumber: &number, ETag: out.ETag, ChecksumCRC32C: out.ChecksumCRC32C})
	m.bytes.WriteString(content)
	return nil
}

func (m *multipart) complete(change ...func(*s3.CompleteMultipartUploadInput)) (*s3.CompleteMultipartUploadOutput, error) {
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &m.sim.S3Bucket, Key: new(key), UploadId: m.id, ChecksumCRC32C: new(crc32cOf(m.bytes.String())),
		ChecksumType: types.ChecksumTypeFullObject, MpuObjectSize: new(int64(m.bytes.Len())),
		MultipartUpload: &types.CompletedMultipartUpload{Parts: m.parts},
	}
	for _, f := range change {
		f(in)
	}
	return m.client.CompleteMultipartUpload(m.t.Context(), in)
}

// threeParts is an upload that is ready to complete.
func threeParts(t *testing.T, sim *simulator.Simulation) *multipart {
	t.Helper()
	m := newMultipart(t, sim)
	for i, content := range []string{strings.Repeat("a", fiveMiB), strings.Repeat("b", fiveMiB+1), "end"} {
		if err := m.part(int32(i+1), content); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func TestMultipart(t *testing.T) {
	dir := t.TempDir()
	for _, dir := range []string{"", dir} {
		sim := start(t, simulator.Options{S3Dir: dir})
		m := threeParts(t, sim)
		if open := sim.S3.OpenUploads(); len(open) != 1 || open[0].Parts != 3 || open[0].Size != 2*fiveMiB+4 || open[0].ID != *m.id {
			t.Errorf("open uploads = %+v", open)
		}
		wantNothing(t, sim)
		out, err := m.complete()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(*out.ETag, `-3"`) || *out.ChecksumCRC32C != crc32cOf(m.bytes.String()) {
			t.Errorf("complete = %+v", out)
		}
		history := sim.S3.History()
		if len(history) != 1 || history[0].How != "complete" || history[0].UploadID != *m.id || history[0].Metadata["oci-etag"] != "e1" ||
			history[0].CRC32C != *out.ChecksumCRC32C || history[0].Size != int64(m.bytes.Len()) {
			t.Errorf("history = %+v", history)
		}
		content, err := sim.S3.Open(key)
		if err != nil || read(t, content) != m.bytes.String() {
			t.Errorf("content differs: %v", err)
		}
		if len(sim.S3.OpenUploads()) != 0 {
			t.Error("the upload is still open")
		}
		_, err = m.complete()
		wantS3(t, err, "NoSuchUpload")
	}
	if left, _ := os.ReadDir(filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("%d files left in staging", len(left))
	}
}

func TestCompleteRefusals(t *testing.T) {
	sim := start(t, simulator.Options{S3Dir: t.TempDir()})
	m := threeParts(t, sim)
	type input = *s3.CompleteMultipartUploadInput
	for _, test := range []struct {
		name, code string
		change     func(input)
	}{
		{"wrong crc of the whole", "BadDigest", func(in input) { in.ChecksumCRC32C = new(crc32cOf("x")) }},
		{"wrong size", "InvalidRequest", func(in input) { in.MpuObjectSize = new(int64(7)) }},
		{"wrong order", "InvalidPartOrder", func(in input) { in.MultipartUpload.Parts = []types.CompletedPart{m.parts[1], m.parts[0]} }},
		{"part twice", "InvalidPartOrder", func(in input) { in.MultipartUpload.Parts = []types.CompletedPart{m.parts[0], m.parts[0]} }},
		{"unknown part", "InvalidPart", func(in input) {
			in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{PartNumber: new(int32(9)), ETag: m.parts[0].ETag})
		}},
		{"wrong part etag", "InvalidPart", func(in input) {
			in.MultipartUpload.Parts = []types.CompletedPart{{PartNumber: new(int32(1)), ETag: m.parts[1].ETag}}
		}},
		{"wrong part checksum", "InvalidPart", func(in input) {
			in.MultipartUpload.Parts = []types.CompletedPart{{PartNumber: new(int32(1)), ETag: m.parts[0].ETag, ChecksumCRC32C: new(crc32cOf("x"))}}
		}},
		{"a part left out", "BadDigest", func(in input) { in.MultipartUpload.Parts, in.MpuObjectSize = m.parts[:2], nil }},
		{"no parts", "MalformedXML", func(in input) { in.MultipartUpload.Parts = nil }},
		{"other type", "InvalidRequest", func(in input) { in.ChecksumType = types.ChecksumTypeComposite }},
		{"unknown upload", "NoSuchUpload", func(in input) { in.UploadId = new("x") }},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := m.complete(test.change)
			wantS3(t, err, test.code)
			wantNothing(t, sim)
		})
	}
	if _, err := m.complete(); err != nil {
		t.Errorf("after all refusals: %v", err)
	}
}

func TestPartRules(t *testing.T) {
	sim := start(t, simulator.Options{})
	m := newMultipart(t, sim)
	_, err := m.client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: m.id, PartNumber: new(int32(1)),
		Body: strings.NewReader("x"), ChecksumCRC32C: new(crc32cOf("y"))})
	wantS3(t, err, "BadDigest")
	_, err = m.client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: m.id, PartNumber: new(int32(1)),
		Body: strings.NewReader("x"), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	wantS3(t, err, "InvalidRequest")
	wantS3(t, m.part(10_001, "x"), "InvalidArgument")
	if err := m.part(1, "small"); err != nil {
		t.Fatal(err)
	}
	if err := m.part(2, "end"); err != nil {
		t.Fatal(err)
	}
	_, err = m.complete()
	wantS3(t, err, "EntityTooSmall")
	wantNothing(t, sim)
}

func TestAbort(t *testing.T) {
	dir := t.TempDir()
	sim := start(t, simulator.Options{S3Dir: dir})
	m := threeParts(t, sim)
	listed, err := m.client.ListParts(t.Context(), &s3.ListPartsInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: m.id})
	if err != nil || len(listed.Parts) != 3 || *listed.Parts[2].ChecksumCRC32C != crc32cOf("end") {
		t.Errorf("parts = %+v, %v", listed, err)
	}
	uploads, err := m.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &sim.S3Bucket})
	if err != nil || len(uploads.Uploads) != 1 || *uploads.Uploads[0].UploadId != *m.id {
		t.Errorf("uploads = %+v, %v", uploads, err)
	}
	abort := &s3.AbortMultipartUploadInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: m.id}
	if _, err := m.client.AbortMultipartUpload(t.Context(), abort); err != nil {
		t.Fatal(err)
	}
	_, err = m.client.AbortMultipartUpload(t.Context(), abort)
	wantS3(t, err, "NoSuchUpload")
	wantS3(t, m.part(4, "late"), "NoSuchUpload")
	_, err = m.complete()
	wantS3(t, err, "NoSuchUpload")
	if left, _ := os.ReadDir(filepath.Join(dir, "staging")); len(left) != 0 {
		t.Errorf("%d files left in staging", len(left))
	}
}

func TestCompositeMultipart(t *testing.T) {
	sim := start(t, simulator.Options{})
	client := s3Client(t, sim)
	created, err := client.CreateMultipartUpload(t.Context(), &s3.CreateMultipartUploadInput{
		Bucket: &sim.S3Bucket, Key: new(key), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
	if err != nil {
		t.Fatal(err)
	}
	var parts []types.CompletedPart
	for i := range int32(2) {
		out, err := client.UploadPart(t.Context(), &s3.UploadPartInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: created.UploadId,
			PartNumber: new(i + 1), Body: bytes.NewReader(make([]byte, fiveMiB)), ChecksumAlgorithm: types.ChecksumAlgorithmSha256})
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: new(i + 1), ETag: out.ETag, ChecksumSHA256: out.ChecksumSHA256})
	}
	complete := &s3.CompleteMultipartUploadInput{Bucket: &sim.S3Bucket, Key: new(key), UploadId: created.UploadId,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{PartNumber: new(int32(1)), ETag: parts[0].ETag}}}}
	_, err = client.CompleteMultipartUpload(t.Context(), complete)
	wantS3(t, err, "InvalidRequest")
	complete.MultipartUpload.Parts = parts
	out, err := client.CompleteMultipartUpload(t.Context(), complete)
	if err != nil || !strings.HasSuffix(*out.ChecksumSHA256, "-2") || out.ChecksumType != types.ChecksumTypeComposite {
		t.Errorf("complete = %+v, %v", out, err)
	}
}

// TestReadersKeepTheirVersion: an overwrite must not change what is being read.
func TestReadersKeepTheirVersion(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		sim := start(t, simulator.Options{S3Dir: dir})
		client := s3Client(t, sim)
		for i := range 2 {
			if _, err := client.PutObject(t.Context(), putInput(sim, fmt.Sprint("version ", i))); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				old, err := sim.S3.Open(key)
				if err != nil {
					t.Fatal(err)
				}
				defer func() {
					if got, _ := io.ReadAll(old); string(got) != "version 0" {
						t.Errorf("an open reader got %q", got)
					}
					old.Close()
				}()
			}
		}
	}
}
