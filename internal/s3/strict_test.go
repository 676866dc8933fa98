package s3_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"maps"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/s3"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/versitygw"
	"oracle-focus-agent/messages"
)

func TestStrictServer(t *testing.T) {
	srv := versitygw.Start(t)
	o := s3.Options{
		Bucket: srv.Bucket, Region: srv.Region, Endpoint: srv.URL, PathStyle: true,
		AccessKeyID: srv.AccessKeyID, SecretAccessKey: srv.SecretAccessKey, Connections: 2,
	}
	c := open(t, o)
	stored := func(t *testing.T, key string, want []byte) {
		t.Helper()
		if got, ok := srv.Object(t, key); !ok || !bytes.Equal(got, want) {
			t.Errorf("%s holds %d bytes (there: %t), want %d", key, len(got), ok, len(want))
		}
	}
	absent := func(t *testing.T, key string) {
		t.Helper()
		if _, ok := srv.Object(t, key); ok {
			t.Errorf("%s is visible", key)
		}
	}

	t.Run("put and head", func(t *testing.T) {
		body := randomBytes(300_000)
		etag, err := c.Put(t.Context(), "a/b_1.csv.gz", body, meta)
		if err != nil || etag == "" {
			t.Fatalf("Put = %q, %v", etag, err)
		}
		stored(t, "a/b_1.csv.gz", body)
		got, err := c.Head(t.Context(), "a/b_1.csv.gz")
		if err != nil || got.Size != 300_000 || got.SourceETag != meta.ETag || got.CRC32C != s3.Sum(body) {
			t.Errorf("Head = %+v, %v", got, err)
		}
	})
	t.Run("odd keys", func(t *testing.T) {
		for _, key := range []string{"a/x+y%41#ü.csv.gz", "a/日本.csv.gz", "a/&=;.csv.gz"} {
			if _, err := c.Put(t.Context(), key, []byte(key), meta); err != nil {
				t.Errorf("Put(%q): %v", key, err)
			}
			stored(t, key, []byte(key))
		}
	})
	t.Run("multipart", func(t *testing.T) {
		const key = "a/large.csv.gz"
		body := randomBytes(11 << 20)
		id, parts := sendParts(t, c, key, body)
		absent(t, key)
		if _, err := c.Complete(t.Context(), key, id, parts, int64(len(body)), s3.Sum([]byte("other"))); err == nil {
			t.Error("Complete with the checksum of other bytes is accepted")
		}
		absent(t, key)
		id, parts = sendParts(t, c, key, body)
		etag, err := c.Complete(t.Context(), key, id, parts, int64(len(body)), s3.Sum(body))
		if err != nil || etag == "" {
			t.Fatalf("Complete = %q, %v", etag, err)
		}
		stored(t, key, body)
		if got, err := c.Head(t.Context(), key); err != nil || got.CRC32C != s3.Sum(body) || got.Size != int64(len(body)) {
			t.Errorf("Head = %+v, %v", got, err)
		}
		// A repeated Complete may be told of its success, or that the upload is no more.
		if _, err := c.Complete(t.Context(), key, id, parts, int64(len(body)), s3.Sum(body)); err != nil && !errors.Is(err, messages.NoUpload) {
			t.Errorf("a second Complete = %v", err)
		}
		stored(t, key, body)
	})
	t.Run("abort", func(t *testing.T) {
		id, _ := sendParts(t, c, "a/aborted.csv.gz", randomBytes(6<<20))
		if err := c.Abort(t.Context(), "a/aborted.csv.gz", id); err != nil {
			t.Fatal(err)
		}
		if err := c.Abort(t.Context(), "a/aborted.csv.gz", id); !errors.Is(err, messages.NoUpload) {
			t.Errorf("a second Abort = %v, want NoUpload", err)
		}
		absent(t, "a/aborted.csv.gz")
	})
	t.Run("check leaves nothing", func(t *testing.T) {
		if err := c.Check(t.Context(), "a/check"); err != nil {
			t.Error(err)
		}
		absent(t, "a/check")
	})
	t.Run("missing", func(t *testing.T) {
		if _, err := c.Head(t.Context(), "a/none.csv.gz"); !errors.Is(err, messages.Gone) {
			t.Errorf("Head of a missing key = %v, want Gone", err)
		}
	})
	t.Run("wrong secret", func(t *testing.T) {
		wrong := o
		wrong.SecretAccessKey = "another-secret-key"
		if _, err := open(t, wrong).Put(t.Context(), "a/forged.csv.gz", []byte("x"), meta); !errors.Is(err, messages.Unauthenticated) {
			t.Errorf("Put = %v, want Unauthenticated", err)
		}
		absent(t, "a/forged.csv.gz")
	})
	client := sdk.New(sdk.Options{
		BaseEndpoint: &o.Endpoint, Region: o.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(o.AccessKeyID, o.SecretAccessKey, ""),
		HTTPClient:  &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	t.Run("tags", func(t *testing.T) {
		// Storage classes and encryption leave no trace there that could be read back.
		with := o
		with.Extras = s3.Extras{StorageClass: "STANDARD_IA", Tags: "team=fin%20ops&env=a%2Bb"}
		c := open(t, with)
		if _, err := c.Put(t.Context(), "a/tagged.csv.gz", []byte("x"), meta); err != nil {
			t.Fatal(err)
		}
		body := randomBytes(6 << 20)
		id, parts := sendParts(t, c, "a/tagged-large.csv.gz", body)
		if _, err := c.Complete(t.Context(), "a/tagged-large.csv.gz", id, parts, int64(len(body)), s3.Sum(body)); err != nil {
			t.Fatal(err)
		}
		for _, key := range []string{"a/tagged.csv.gz", "a/tagged-large.csv.gz"} {
			out, err := client.GetObjectTagging(t.Context(), &sdk.GetObjectTaggingInput{Bucket: &o.Bucket, Key: &key})
			if err != nil {
				t.Fatal(err)
			}
			tags := map[string]string{}
			for _, tag := range out.TagSet {
				tags[*tag.Key] = *tag.Value
			}
			if !maps.Equal(tags, map[string]string{"team": "fin ops", "env": "a+b"}) {
				t.Errorf("%s has the tags %v", key, tags)
			}
		}
		if err := c.Check(t.Context(), "a/check"); err != nil {
			t.Error(err)
		}
	})
	t.Run("other owner", func(t *testing.T) {
		with := o
		with.ExpectedBucketOwner = "999999999999"
		c := open(t, with)
		if _, err := c.Put(t.Context(), "a/foreign.csv.gz", []byte("x"), meta); !errors.Is(err, messages.Forbidden) {
			t.Errorf("Put = %v, want Forbidden", err)
		}
		if err := c.Check(t.Context(), "a/check"); !errors.Is(err, messages.Forbidden) {
			t.Errorf("Check = %v, want Forbidden", err)
		}
		absent(t, "a/foreign.csv.gz")
	})
	t.Run("conditional writes", func(t *testing.T) {
		// The product's puts are unconditional. This holds the server to what an
		// operator's own tools may rely on beside it.
		put := func() error {
			_, err := client.PutObject(t.Context(), &sdk.PutObjectInput{
				Bucket: &o.Bucket, Key: aws.String("a/once.csv.gz"), Body: bytes.NewReader([]byte("x")), IfNoneMatch: aws.String("*"),
			})
			return err
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		if put() == nil {
			t.Error("a second put with If-None-Match: * is accepted")
		}
		if _, err := c.Put(t.Context(), "a/once.csv.gz", []byte("y"), meta); err != nil {
			t.Errorf("an overwrite by the product: %v", err)
		}
		stored(t, "a/once.csv.gz", []byte("y"))
	})
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

// sendParts sends all parts of body in a new upload, and does not complete it.
func sendParts(t *testing.T, c *s3.Client, key string, body []byte) (id string, parts []copier.Part) {
	t.Helper()
	id, err := c.Create(t.Context(), key, meta)
	if err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(body); n += 5 << 20 {
		b := body[n:min(n+5<<20, len(body))]
		p, err := c.Part(t.Context(), key, id, int32(len(parts)+1), b, s3.Sum(b))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	return id, parts
}
