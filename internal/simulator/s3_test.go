package simulator_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/internal/simulator"
)

func TestPutObject(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		sim := start(t, simulator.Options{S3Dir: dir})
		client := s3Client(t, sim)
		_, err := client.PutObject(t.Context(), &s3.PutObjectInput{
			Bucket: &sim.S3Bucket, Key: new("org/0/acct/2026-01-01_a.csv.gz"), Body: bytes.NewReader([]byte("hello")),
			ChecksumAlgorithm: types.ChecksumAlgorithmCrc32c, Metadata: map[string]string{"oci-etag": "e1"},
			ContentType: new("application/gzip"),
		})
		if err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{
			Bucket: &sim.S3Bucket, Key: new("org/0/acct/2026-01-01_a.csv.gz"), ChecksumMode: types.ChecksumModeEnabled,
		})
		if err != nil {
			t.Fatal(err)
		}
		if *head.ContentLength != 5 || head.Metadata["oci-etag"] != "e1" || *head.ChecksumCRC32C != "mnG7TA==" || head.ChecksumType != types.ChecksumTypeFullObject {
			t.Errorf("head = %+v", head)
		}
		history := sim.S3.History()
		if len(history) != 1 || history[0].How != "put" || history[0].CRC32C != "mnG7TA==" || history[0].Version != 1 {
			t.Errorf("history = %+v", history)
		}
	}
}
