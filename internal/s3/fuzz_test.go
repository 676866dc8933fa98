package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/messages"
)

// A liar answers every request alike, whoever it is: S3, a proxy, or somebody who
// pretends to be one of them.
type liar struct {
	status int
	header http.Header
	body   []byte
	asked  []string
}

func (l *liar) RoundTrip(r *http.Request) (*http.Response, error) {
	if l.asked = append(l.asked, r.URL.Host+r.URL.EscapedPath()); len(l.asked) > 30 {
		return nil, errors.New("asked too often")
	}
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	body := l.body
	if r.Method == http.MethodHead {
		body = nil
	}
	return &http.Response{
		Status: fmt.Sprint(l.status, " ", http.StatusText(l.status)), StatusCode: l.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
		Header: l.header.Clone(), Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}, nil
}

// fuzzed is a client that speaks with a liar, and makes one call at a time.
func fuzzed(f *testing.F) (*s3.Client, *liar) {
	for _, name := range []string{"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		f.Setenv(name, filepath.Join(f.TempDir(), "none"))
	}
	c, err := s3.Open(f.Context(), s3.Options{
		Bucket: "umbrella", Region: "us-east-1", Endpoint: "https://liar.invalid", PathStyle: true, AccessKeyID: "AKIA", SecretAccessKey: "a secret of some length",
	})
	if err != nil {
		f.Fatal(err)
	}
	c.TestingOnlyPauses(time.Microsecond)
	l := &liar{}
	c.TestingOnlyTransport(l)
	return c, l
}

// said wants an error that has a class, is one line, shows all of itself, asks for no
// endless pause, and is not the end of a context, which nobody ended.
func said(t *testing.T, err error) {
	t.Helper()
	f, ok := errors.AsType[*messages.Fault](err)
	if !ok || f.Class == "" || f.Side != messages.Destination || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%T %v is not a fault of the destination", err, err)
	}
	if f.RetryAfter < 0 || f.RetryAfter > 5*time.Minute {
		t.Fatalf("it asks for a pause of %v", f.RetryAfter)
	}
	text := err.Error()
	if len(text) > 4000 || strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Fatalf("the error is not a readable line: %q", text)
	}
}

// FuzzS3Answer holds that no answer breaks the client, forges a line, leads a request
// elsewhere, or passes for a confirmation that it is not.
func FuzzS3Answer(f *testing.F) {
	const failure = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>r</RequestId></Error>`
	for _, code := range []string{"AccessDenied", "NoSuchUpload", "NoSuchKey", "SlowDown", "InvalidAccessKeyId", "PermanentRedirect", "BadDigest", "", "two\nlines&#27;[31m&#x202e;", strings.Repeat("x", 5000)} {
		for _, status := range []int{200, 400, 403, 404, 503} {
			f.Add(status, fmt.Sprintf(failure, code, "m"), "", "id", "us-east-1")
		}
	}
	for _, body := range []string{
		"", "null", "<", "<html>\n<b>proxy</b></html>", "<Error/>", "<Error><Code/><Code>x</Code></Error>", "\xff\xfe", "<Error><Message>" + strings.Repeat("<a>", 5000),
		`<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]><Error><Code>&b;</Code></Error>`, `<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`,
		`<InitiateMultipartUploadResult><UploadId></UploadId></InitiateMultipartUploadResult>`, `<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>`,
		`<CompleteMultipartUploadResult><ETag>""</ETag></CompleteMultipartUploadResult>`, `<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>simulated/x</Key><Size>-1</Size></Contents></ListBucketResult>`,
	} {
		f.Add(200, body, `"e"`, "a\nb\x1b", "eu\n\x1b[31m")
		f.Add(301, body, "", "", "eu-west-1")
		f.Add(500, body, "", "", "")
	}
	c, l := fuzzed(f)
	f.Fuzz(func(t *testing.T, status int, body, etag, id, region string) {
		l.status, l.body = 200+((status-200)%400+400)%400, []byte(body)
		l.header = http.Header{"Etag": {etag}, "X-Amz-Request-Id": {id}, "X-Amz-Bucket-Region": {region}, "Location": {"https://elsewhere.invalid/x"}, "Date": {region}}
		for _, call := range []func() (confirmed string, err error){
			func() (string, error) { return c.Put(t.Context(), key, []byte("x"), meta) },
			func() (string, error) { return c.Create(t.Context(), key, meta) },
			func() (string, error) {
				p, err := c.Part(t.Context(), key, "u", 1, []byte("x"), s3.Sum([]byte("x")))
				return p.ETag, err
			},
			func() (string, error) {
				return c.Complete(t.Context(), key, "u", []copier.Part{{Number: 1, ETag: "e", CRC32C: "AAAAAA=="}}, 1, "AAAAAA==")
			},
			func() (string, error) { return "no value", c.Abort(t.Context(), key, "u") },
			func() (string, error) { _, err := c.Head(t.Context(), key); return "no value", err },
			func() (string, error) { return "no value", list(t, c) },
		} {
			l.asked = nil
			confirmed, err := call()
			switch {
			case err != nil:
				said(t, err)
			case l.status >= 300 || strings.Trim(confirmed, `"`) == "":
				t.Fatalf("%d %q passed for a confirmation, %q", l.status, body, confirmed)
			}
			for _, asked := range l.asked {
				if asked != "liar.invalid/umbrella/"+key && asked != "liar.invalid/umbrella" && asked != "liar.invalid/umbrella/" {
					t.Fatalf("a request went to %q", asked)
				}
			}
		}
	})
}

// list reads at most a hundred entries.
func list(t *testing.T, c *s3.Client) error {
	n := 0
	for o, err := range c.List(t.Context(), "simulated/") {
		if err != nil {
			return err
		}
		if n++; n > 100 || o.Key == "" {
			break
		}
	}
	return nil
}
