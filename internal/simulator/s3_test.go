package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"oracle-focus-agent/internal/simulator"
)

const key = "org/0/account/2026-01-01_0001-00001.csv.gz"

// putInput is a PutObject of content under key.
func putInput(sim *simulator.Simulation, content string, change ...func(*s3.PutObjectInput)) *s3.PutObjectInput {
	in := &s3.PutObjectInput{Bucket: &sim.S3Bucket, Key: new(key), Body: strings.NewReader(content)}
	for _, f := range change {
		f(in)
	}
	return in
}

func wantNothing(t *testing.T, sim *simulator.Simulation) {
	t.Helper()
	if got := sim.S3.Objects(); len(got) != 0 || len(sim.S3.History()) != 0 {
		t.Errorf("objects = %+v, want none", got)
	}
}

func TestPutObject(t *testing.T) {
	for _, dir := range []string{"", t.TempDir()} {
		sim := start(t, simulator.Options{S3Dir: dir})
		client := s3Client(t, sim)
		out, err := client.PutObject(t.Context(), putInput(sim, "hello", func(in *s3.PutObjectInput) {
			in.ChecksumAlgorithm, in.ContentType = types.ChecksumAlgorithmCrc32c, new("application/gzip")
			in.Metadata = map[string]string{"oci-etag": "e1"}
			in.StorageClass, in.ACL = types.StorageClassStandardIa, types.ObjectCannedACLBucketOwnerFullControl
		}))
		if err != nil {
			t.Fatal(err)
		}
		head, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &sim.S3Bucket, Key: new(key), ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if *head.ContentLength != 5 || head.Metadata["oci-etag"] != "e1" || *head.ChecksumCRC32C != crc32cOf("hello") || *head.ETag != *out.ETag ||
			head.ChecksumType != types.ChecksumTypeFullObject || *head.ContentType != "application/gzip" || head.StorageClass != "STANDARD_IA" {
			t.Errorf("head = %+v", head)
		}
		history := sim.S3.History()
		if len(history) != 1 || history[0].How != "put" || history[0].CRC32C != crc32cOf("hello") || history[0].Version != 1 || history[0].Metadata["oci-etag"] != "e1" {
			t.Errorf("history = %+v", history)
		}
		if got := sim.S3.Objects()[0].Headers["x-amz-acl"]; got != "bucket-owner-full-control" {
			t.Errorf("kept acl = %q", got)
		}
		content, err := sim.S3.Open(key)
		if err != nil || read(t, content) != "hello" {
			t.Errorf("Open: %v", err)
		}
	}
}

func TestPutWithEveryChecksum(t *testing.T) {
	sim := start(t, simulator.Options{})
	client := s3Client(t, sim)
	for _, algorithm := range []types.ChecksumAlgorithm{"", "CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"} {
		in := putInput(sim, "hello "+string(algorithm), func(in *s3.PutObjectInput) { in.ChecksumAlgorithm = algorithm })
		if _, err := client.PutObject(t.Context(), in); err != nil {
			t.Errorf("%s: %v", algorithm, err)
			continue
		}
		out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &sim.S3Bucket, Key: new(key), ChecksumMode: types.ChecksumModeEnabled})
		if err != nil {
			t.Fatal(err)
		}
		if got := read(t, out.Body); got != "hello "+string(algorithm) {
			t.Errorf("%s: got %q", algorithm, got)
		}
	}
}

func TestPutRefusals(t *testing.T) {
	type input = *s3.PutObjectInput
	for _, test := range []struct {
		name, code string
		change     func(input)
	}{
		{"wrong crc32c", "BadDigest", func(in input) { in.ChecksumCRC32C = new(crc32cOf("other")) }},
		{"invalid crc32c", "InvalidRequest", func(in input) { in.ChecksumCRC32C = new("abc") }},
		{"wrong md5", "BadDigest", func(in input) { in.ContentMD5 = new("1B2M2Y8AsgTpgAmY7PhCfg==") }},
		{"invalid md5", "InvalidDigest", func(in input) { in.ContentMD5 = new("x") }},
		{"if-match without object", "NoSuchKey", func(in input) { in.IfMatch = new(`"x"`) }},
		{"other bucket", "NoSuchBucket", func(in input) { in.Bucket = new("other") }},
		{"other owner", "AccessDenied", func(in input) { in.ExpectedBucketOwner = new("999999999999") }},
		{"storage class", "InvalidStorageClass", func(in input) { in.StorageClass = "COLD" }},
		{"long key", "KeyTooLongError", func(in input) { in.Key = new(strings.Repeat("k", 1025)) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := start(t, simulator.Options{})
			_, err := s3Client(t, sim).PutObject(t.Context(), putInput(sim, "hello", test.change))
			wantS3(t, err, test.code)
			wantNothing(t, sim)
		})
	}
}

func TestSignatureRefusals(t *testing.T) {
	now := time.Now()
	sim := start(t, simulator.Options{Clock: func() time.Time { return now }})
	secret := func(id, secret string) func(*s3.Options) {
		return func(o *s3.Options) { o.Credentials = credentials.NewStaticCredentialsProvider(id, secret, "") }
	}
	_, err := s3Client(t, sim, secret(sim.AccessKeyID, "wrong")).PutObject(t.Context(), putInput(sim, "x"))
	wantS3(t, err, "SignatureDoesNotMatch")
	_, err = s3Client(t, sim, secret("AKIAOTHER", "x")).PutObject(t.Context(), putInput(sim, "x"))
	wantS3(t, err, "InvalidAccessKeyId")
	_, err = s3Client(t, sim, func(o *s3.Options) { o.Region = "eu-west-1" }).PutObject(t.Context(), putInput(sim, "x"))
	wantS3(t, err, "AuthorizationHeaderMalformed")
	now = now.Add(16 * time.Minute)
	_, err = s3Client(t, sim).PutObject(t.Context(), putInput(sim, "x"))
	wantS3(t, err, "RequestTimeTooSkewed")
	wantNothing(t, sim)
}

func TestConditionalPutHasOneWinner(t *testing.T) {
	sim := start(t, simulator.Options{S3Dir: t.TempDir()})
	client := s3Client(t, sim)
	var wins atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, err := client.PutObject(context.Background(), putInput(sim, "x", func(in *s3.PutObjectInput) { in.IfNoneMatch = new("*") }))
			if err == nil {
				wins.Add(1)
			} else {
				wantS3(t, err, "PreconditionFailed")
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 || len(sim.S3.History()) != 1 {
		t.Errorf("%d winners and %d commits, want one of each", wins.Load(), len(sim.S3.History()))
	}
	etag := sim.S3.Objects()[0].ETag
	if _, err := client.PutObject(t.Context(), putInput(sim, "y", func(in *s3.PutObjectInput) { in.IfMatch = &etag })); err != nil {
		t.Error(err)
	}
	_, err := client.PutObject(t.Context(), putInput(sim, "z", func(in *s3.PutObjectInput) { in.IfMatch = &etag }))
	wantS3(t, err, "PreconditionFailed")
	if got := sim.S3.History()[1].Version; got != 2 {
		t.Errorf("version = %d, want 2", got)
	}
}

// TestShortBodyIsNoObject ends the sending side of the connection early: the
// Content-Length promised more.
func TestShortBodyIsNoObject(t *testing.T) {
	sim := start(t, simulator.Options{S3Dir: t.TempDir()})
	for _, payload := range []string{"UNSIGNED-PAYLOAD", hexSHA256("hello world"), hexSHA256("hello")} {
		r, _ := http.NewRequest(http.MethodPut, sim.S3URL+"/"+sim.S3Bucket+"/"+key, nil)
		r.ContentLength = 11
		sign(t, sim, r, payload)
		conn, err := net.Dial("tcp", r.URL.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 11\r\n", r.URL.Path, r.URL.Host)
		r.Header.Write(conn)
		io.WriteString(conn, "\r\nhello")
		conn.(*net.TCPConn).CloseWrite()
		answer, _ := io.ReadAll(conn)
		conn.Close()
		if !bytes.Contains(answer, []byte("IncompleteBody")) {
			t.Errorf("%s: answer %q", payload, answer)
		}
	}
	wantNothing(t, sim)
}

func sign(t *testing.T, sim *simulator.Simulation, r *http.Request, payload string) {
	t.Helper()
	r.Header.Set("x-amz-content-sha256", payload)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	creds := aws.Credentials{AccessKeyID: sim.AccessKeyID, SecretAccessKey: sim.SecretAccessKey}
	if err := signer.SignHTTP(t.Context(), creds, r, payload, "s3", sim.S3Region, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func TestTooLargeIsRefusedBeforeTheBody(t *testing.T) {
	sim := start(t, simulator.Options{})
	r, _ := http.NewRequest(http.MethodPut, sim.S3URL+"/"+sim.S3Bucket+"/"+key, panicReader{})
	r.ContentLength = 5<<30 + 1
	r.Header.Set("Expect", "100-continue")
	sign(t, sim, r, "UNSIGNED-PAYLOAD")
	tr := transport(t)
	tr.ExpectContinueTimeout = time.Minute
	response, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response.Body); response.StatusCode != 400 || !strings.Contains(body, "EntityTooLarge") {
		t.Errorf("answer = %d %s", response.StatusCode, body)
	}
}

// panicReader is a body that must not be read.
type panicReader struct{}

func (panicReader) Read([]byte) (int, error) { panic("the body was read") }

func TestHeadersMustBeSigned(t *testing.T) {
	sim := start(t, simulator.Options{})
	r, _ := http.NewRequest(http.MethodPut, sim.S3URL+"/"+sim.S3Bucket+"/"+key, strings.NewReader("x"))
	sign(t, sim, r, "UNSIGNED-PAYLOAD")
	r.Header.Set("x-amz-meta-added", "on the way")
	response, err := transport(t).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if body := read(t, response.Body); !strings.Contains(body, "not signed") {
		t.Errorf("answer = %d %s", response.StatusCode, body)
	}
	wantNothing(t, sim)
}

func TestPutOnlyPolicy(t *testing.T) {
	sim := start(t, simulator.Options{Policy: simulator.PutOnly})
	client := s3Client(t, sim)
	if _, err := client.PutObject(t.Context(), putInput(sim, "x")); err != nil {
		t.Error(err)
	}
	for _, k := range []string{key, "absent"} {
		_, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &sim.S3Bucket, Key: &k})
		wantS3(t, err, "Forbidden")
		_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &sim.S3Bucket, Key: &k})
		wantS3(t, err, "AccessDenied")
	}
	_, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &sim.S3Bucket, Key: new(key)})
	wantS3(t, err, "AccessDenied")
	_, err = client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &sim.S3Bucket})
	wantS3(t, err, "AccessDenied")
	_, err = client.HeadBucket(t.Context(), &s3.HeadBucketInput{Bucket: &sim.S3Bucket})
	wantS3(t, err, "Forbidden")
	if got := sim.S3.Requests(); got["PutObject"] != 1 || got["HeadObject"] != 2 {
		t.Errorf("requests = %v", got)
	}
}

func TestHeadOfMissingKey(t *testing.T) {
	head := &s3.HeadObjectInput{Bucket: new("umbrella"), Key: new("absent")}
	_, err := s3Client(t, start(t, simulator.Options{})).HeadObject(t.Context(), head)
	wantS3(t, err, "NotFound")
	unlisted := start(t, simulator.Options{Policy: simulator.Policy(simulator.AllowAll).Deny("ListObjectsV2")})
	_, err = s3Client(t, unlisted).HeadObject(t.Context(), head)
	wantS3(t, err, "Forbidden")
}

func TestReadSide(t *testing.T) {
	sim := start(t, simulator.Options{S3Region: "eu-central-1"})
	client := s3Client(t, sim)
	for _, k := range []string{"a/1", "a/2", "b/1", "c d+e%/größe"} {
		if _, err := client.PutObject(t.Context(), putInput(sim, "0123456789", func(in *s3.PutObjectInput) { in.Key = &k })); err != nil {
			t.Fatal(err)
		}
	}
	var keys []string
	pages := s3.NewListObjectsV2Paginator(client, &s3.ListObjectsV2Input{Bucket: &sim.S3Bucket, MaxKeys: new(int32(3))})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Contents {
			keys = append(keys, *o.Key)
		}
	}
	if got := fmt.Sprint(keys); got != "[a/1 a/2 b/1 c d+e%/größe]" {
		t.Errorf("keys = %s", got)
	}
	folders, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &sim.S3Bucket, Delimiter: new("/")})
	if err != nil || len(folders.CommonPrefixes) != 3 {
		t.Errorf("folders = %+v, %v, want 3", folders, err)
	}
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &sim.S3Bucket, Key: new("a/1"), Range: new("bytes=3-5")})
	if err != nil || read(t, out.Body) != "345" || *out.ContentRange != "bytes 3-5/10" {
		t.Errorf("range = %+v, %v", out, err)
	}
	location, err := client.GetBucketLocation(t.Context(), &s3.GetBucketLocationInput{Bucket: &sim.S3Bucket})
	if err != nil || location.LocationConstraint != "eu-central-1" {
		t.Errorf("location = %+v, %v", location, err)
	}
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &sim.S3Bucket, Key: new("a/1")}); err != nil {
		t.Error(err)
	}
	_, err = client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &sim.S3Bucket, Key: new("a/1")})
	wantS3(t, err, "NoSuchKey")
}

func TestVirtualHostedStyle(t *testing.T) {
	sim := start(t, simulator.Options{})
	address := strings.TrimPrefix(sim.S3URL, "http://")
	tr := transport(t)
	tr.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	client := s3Client(t, sim, func(o *s3.Options) {
		o.UsePathStyle, o.BaseEndpoint, o.HTTPClient = false, new("http://s3.test"), &http.Client{Transport: tr}
	})
	if _, err := client.PutObject(t.Context(), putInput(sim, "x")); err != nil {
		t.Fatal(err)
	}
	if got := sim.S3.Objects(); len(got) != 1 || got[0].Key != key {
		t.Errorf("objects = %+v", got)
	}
}

func TestStoredFilesAreReadable(t *testing.T) {
	if _, err := simulator.NewS3(simulator.S3Options{Dir: "/dev/null/x"}); err == nil {
		t.Error("a directory that cannot be made was accepted")
	}
	sim := start(t, simulator.Options{S3Dir: t.TempDir()})
	client := s3Client(t, sim)
	for _, k := range []string{".", "..", "a", "a/b", "../../x", strings.Repeat("k/", 500)} {
		if _, err := client.PutObject(t.Context(), putInput(sim, k, func(in *s3.PutObjectInput) { in.Key = &k })); err != nil {
			t.Errorf("put %q: %v", k, err)
			continue
		}
		content, err := sim.S3.Open(k)
		if err != nil || read(t, content) != k {
			t.Errorf("open %q: %v", k, err)
		}
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, address := range []string{"0.0.0.0:0", ":0", "192.0.2.1:0"} {
		if s, err := simulator.StartOn(address, "", http.NotFoundHandler()); err == nil {
			s.Close()
			t.Errorf("listening on %s was allowed", address)
		}
	}
	if _, err := simulator.New(simulator.Options{KeyFile: "/nonexistent"}); err == nil || errors.Is(err, io.EOF) {
		t.Errorf("missing key file: %v", err)
	}
}
