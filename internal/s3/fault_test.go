package s3_test

import (
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestAnswersHaveAClass(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	for _, c := range []struct {
		status   int
		code     string
		class    messages.Class
		attempts int
		remedy   string
	}{
		{400, "ExpiredToken", messages.Unauthenticated, 1, "access key"},
		{400, "InvalidToken", messages.Unauthenticated, 1, "access key"},
		{403, "InvalidAccessKeyId", messages.Unauthenticated, 1, "access key"},
		{403, "SignatureDoesNotMatch", messages.Unauthenticated, 1, "access key"},
		{401, "Whatever", messages.Unauthenticated, 1, "access key"},
		{403, "RequestTimeTooSkewed", messages.ClockSkew, 1, "set the clock"},
		{403, "AccessDenied", messages.Forbidden, 1, "s3:AbortMultipartUpload"},
		{403, "AccountProblem", messages.Forbidden, 1, "s3:PutObject"},
		{400, "KMS.DisabledException", messages.Forbidden, 1, "kms:GenerateDataKey"},
		{404, "NoSuchBucket", messages.NotFound, 1, "s3.bucket_path"},
		{404, "NoSuchAccessPoint", messages.NotFound, 1, "s3.bucket_path"},
		{404, "Whatever", messages.NotFound, 1, "s3.bucket_path"},
		{404, "NoSuchUpload", messages.NoUpload, 1, ""},
		{404, "NoSuchKey", messages.Gone, 1, ""},
		{301, "PermanentRedirect", messages.NotFound, 1, "set s3.region"},
		{400, "AuthorizationHeaderMalformed", messages.NotFound, 1, "set s3.region"},
		{307, "TemporaryRedirect", messages.Unavailable, 1, ""},
		{407, "ProxyAuthenticationRequired", messages.Connection, 1, "HTTPS_PROXY"},
		{429, "Whatever", messages.Throttled, 1, ""},
		{503, "SlowDown", messages.Throttled, 3, ""},
		{500, "InternalError", messages.Unavailable, 3, ""},
		{503, "ServiceUnavailable", messages.Unavailable, 3, ""},
		{400, "RequestTimeout", messages.Connection, 3, ""},
		{400, "BadDigest", messages.HashMismatch, 1, ""},
		{400, "InvalidDigest", messages.HashMismatch, 1, ""},
		{400, "XAmzContentChecksumMismatch", messages.HashMismatch, 1, ""},
		{400, "KeyTooLongError", messages.Refused, 1, ""},
		{400, "EntityTooLarge", messages.Unknown, 1, ""},
		{409, "OperationAborted", messages.Unknown, 1, ""},
	} {
		t.Run(fmt.Sprint(c.status, c.code), func(t *testing.T) {
			defer w.S3Faults.Clear()
			pause, answer := 7*time.Second, simulator.Status(c.status, c.code, 7*time.Second)
			if c.attempts > 1 { // within a call nobody waits for so long
				pause, answer = 0, simulator.Status(c.status, c.code)
			}
			w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: answer})
			before := w.S3.Requests()["PutObject"]
			_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
			wantFault(t, err, c.class, c.remedy)
			if got := w.S3.Requests()["PutObject"] - before; got != c.attempts {
				t.Errorf("made %d attempts, want %d", got, c.attempts)
			}
			if f, _ := errors.AsType[*messages.Fault](err); f.RetryAfter != pause {
				t.Errorf("RetryAfter = %v, want %v", f.RetryAfter, pause)
			}
			if want := fmt.Sprintf("put s3://umbrella/%s: %d %s: simulated %s (request id ", key, c.status, c.code, c.code); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("error = %q, want %q", err, want)
			}
		})
	}
}

func TestRegionIsNamed(t *testing.T) {
	w := worldOf(t, simulator.Options{S3Region: "eu-west-1"}, func(o *s3.Options) { o.Region = "us-east-1" })
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.NotFound, "not in us-east-1: set s3.region to eu-west-1")

	moved := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("x-amz-bucket-region", "eu-west-1")
			w.WriteHeader(status)
		}
	}
	for _, status := range []int{301, 400} {
		_, err := at(t, moved(status)).Head(t.Context(), key) // without a body, and so without a code
		wantFault(t, err, messages.NotFound, "set s3.region to eu-west-1")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	var followed atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { followed.Add(1) }))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		c := at(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := c.Put(t.Context(), key, []byte("x"), meta); err == nil {
			t.Errorf("%d: no error", status)
		}
	}
	if followed.Load() != 0 {
		t.Errorf("%d signed requests went to another host", followed.Load())
	}
}

func TestWrongClockShowsBothTimes(t *testing.T) {
	remote := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	c := at(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Date", remote.Format(http.TimeFormat))
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>`)
	})
	_, err := c.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.ClockSkew, "it says "+time.Now().UTC().Format("2006-01-02T"), "S3's says 2026-03-01T12:00:00Z")
}

func TestPageOfAProxyIsShortened(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusBadGateway)
		io.WriteString(w, strings.Repeat("<p>\nno\n</p>", 10_000))
	})
	_, err := c.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Unavailable)
}

func TestAnswerThatIsNoneIsNotConfirmed(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "<html>please log in") })
	_, err := c.Create(t.Context(), key, meta)
	wantFault(t, err, messages.Unavailable, "s3.endpoint")
}

func TestUnreachableIsConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	c := open(t, s3.Options{Bucket: "b", Endpoint: "http://" + address, AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true})
	_, err = c.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Connection)
}

func TestCutAnswerIsConnection(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, "<InitiateMultipartUploadResult><UploadId>")
	})
	_, err := c.Create(t.Context(), key, meta)
	wantFault(t, err, messages.Connection)
}

func TestCertificatesAreChecked(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"x"`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	o := s3.Options{Bucket: "b", Endpoint: server.URL, AccessKeyID: "a", SecretAccessKey: "s", PathStyle: true}
	_, err := open(t, o).Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Connection, "AWS_CA_BUNDLE")

	bundle := write(t, "ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	t.Setenv("AWS_CA_BUNDLE", bundle)
	c := open(t, o)
	if etag, err := c.Put(t.Context(), key, []byte("x"), meta); err != nil || etag != "x" {
		t.Errorf("with the CA: %q, %v", etag, err)
	}
	c.Close()
}
