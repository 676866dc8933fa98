package simulator_test

import (
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/oracle/oci-go-sdk/v65/common"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"
	"go.uber.org/goleak"

	"oracle-focus-agent/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newKey(t *testing.T) *simulator.Key {
	t.Helper()
	key, err := simulator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func start(t *testing.T, opts simulator.Options) *simulator.Simulation {
	t.Helper()
	sim, err := simulator.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	return sim
}

// transport is what the product uses: no silent gunzip, no shared connections.
func transport(t *testing.T) *http.Transport {
	tr := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 20}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func ociClient(t *testing.T, sim *simulator.Simulation, key *simulator.Key) objectstorage.ObjectStorageClient {
	t.Helper()
	provider := common.NewRawConfigurationProvider(key.Tenancy, key.User, sim.OCIRegion, key.Fingerprint, string(key.PEM()), nil)
	client, err := objectstorage.NewObjectStorageClientWithConfigurationProvider(provider)
	if err != nil {
		t.Fatal(err)
	}
	client.HTTPClient = &http.Client{Transport: transport(t)}
	client.Configuration.CircuitBreaker = nil
	policy := common.NoRetryPolicy()
	client.SetCustomClientConfiguration(common.CustomClientConfiguration{RetryPolicy: &policy})
	client.Host = sim.OCIURL
	return client
}

// proto11 makes the SDK wait for 100 Continue, as it means to.
type proto11 struct{ next http.RoundTripper }

func (p proto11) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	return p.next.RoundTrip(r)
}

func s3Client(t *testing.T, sim *simulator.Simulation, change ...func(*s3.Options)) *s3.Client {
	t.Helper()
	tr := transport(t)
	tr.ExpectContinueTimeout = 5 * time.Second
	opts := s3.Options{
		Region:                     sim.S3Region,
		BaseEndpoint:               aws.String(sim.S3URL),
		UsePathStyle:               true,
		Credentials:                credentials.NewStaticCredentialsProvider(sim.AccessKeyID, sim.SecretAccessKey, ""),
		HTTPClient:                 &http.Client{Transport: proto11{tr}},
		RetryMaxAttempts:           1,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
	for _, f := range change {
		f(&opts)
	}
	return s3.New(opts)
}

// wantS3 checks the code of an S3 error.
func wantS3(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("error = %v, want code %s", err, code)
	}
}

// wantOCI checks status and code of an OCI error.
func wantOCI(t *testing.T, err error, status int, code string) {
	t.Helper()
	var service common.ServiceError
	if !errors.As(err, &service) || service.GetHTTPStatusCode() != status || service.GetCode() != code {
		t.Errorf("error = %v, want %d %s", err, status, code)
	}
}

func read(t *testing.T, r io.ReadCloser) string {
	t.Helper()
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
