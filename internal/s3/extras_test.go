package s3_test

import (
	"bytes"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

const owner = "111122223333" // of the simulated bucket

// everything is each extra at once.
func everything(o *s3.Options) {
	o.Extras = s3.Extras{
		StorageClass: "STANDARD_IA", SSE: "aws:kms", KMSKeyID: "arn:aws:kms:us-east-1:111122223333:key/k", ACL: "bucket-owner-full-control",
		Tags: "team=fin%20ops&env=a%2Bb",
	}
	o.ExpectedBucketOwner = owner
}

// wanted are the headers of everything.
func wanted() map[string]string {
	return map[string]string{
		"x-amz-storage-class": "STANDARD_IA", "x-amz-server-side-encryption": "aws:kms",
		"x-amz-server-side-encryption-aws-kms-key-id": "arn:aws:kms:us-east-1:111122223333:key/k",
		"x-amz-acl": "bucket-owner-full-control", "x-amz-tagging": "team=fin%20ops&env=a%2Bb", "x-amz-expected-bucket-owner": owner,
	}
}

// recorder keeps the headers that come in, by operation.
type recorder struct {
	http.Handler
	mu   sync.Mutex
	seen []string // "PUT /key?query owner"
}

func (r *recorder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.seen = append(r.seen, req.Method+" "+req.URL.RequestURI()+" "+req.Header.Get("x-amz-expected-bucket-owner"))
	r.mu.Unlock()
	r.Handler.ServeHTTP(w, req)
}

// Both ways to write give each object its extras, and every call names the owner.
func TestObjectsGetTheirExtras(t *testing.T) {
	w := newWorld(t, nil)
	seen := &recorder{Handler: w.S3}
	server := httptest.NewServer(seen)
	t.Cleanup(server.Close)
	o := w.options
	o.Endpoint = server.URL
	everything(&o)
	c := open(t, o)

	body := random(t, 1, 11<<20)
	etag, err := c.Put(t.Context(), key, body[:1000], meta)
	if err != nil {
		t.Fatal(err)
	}
	id, parts := sendParts(t, c, key+"2", body)
	large, err := c.Complete(t.Context(), key+"2", id, parts, int64(len(body)), s3.Sum(body))
	if err != nil {
		t.Fatal(err)
	}
	history := w.S3.History()
	if len(history) != 2 {
		t.Fatalf("%d commits", len(history))
	}
	for i, commit := range history {
		if !maps.Equal(commit.Headers, wanted()) {
			t.Errorf("%s by %s has the headers %v", commit.Key, commit.How, commit.Headers)
		}
		// An etag of KMS says nothing about the bytes, and nothing here needs it to.
		if got := []string{etag, large}[i]; got != commit.ETag || got == commit.MD5 {
			t.Errorf("%s: the etag is %s, of MD5 %s", commit.Key, got, commit.MD5)
		}
	}
	if got := stored(t, w, key+"2"); !bytes.Equal([]byte(got), body) {
		t.Errorf("%d bytes are stored, want %d", len(got), len(body))
	}
	if s, err := c.Head(t.Context(), key); err != nil || s.CRC32C != s3.Sum(body[:1000]) || s.ETag != etag {
		t.Errorf("Head = %+v, %v", s, err)
	}
	if err := c.Check(t.Context(), key); err != nil {
		t.Errorf("Check = %v", err)
	}
	for _, request := range seen.seen {
		if !strings.HasSuffix(request, " "+owner) {
			t.Errorf("does not name the owner: %s", request)
		}
	}
	if len(seen.seen) < 9 { // put, create, three parts, complete, head, create, abort
		t.Errorf("only %d requests: %q", len(seen.seen), seen.seen)
	}
}

func TestNothingIsAddedByDefault(t *testing.T) {
	w := newWorld(t, nil)
	if _, err := w.client.Put(t.Context(), key, []byte("x"), meta); err != nil {
		t.Fatal(err)
	}
	if h := w.S3.History()[0].Headers; len(h) != 0 {
		t.Errorf("headers %v", h)
	}
}

// Each extra can stand alone.
func TestExtrasStandAlone(t *testing.T) {
	for header, extras := range map[string]s3.Extras{
		"x-amz-storage-class": {StorageClass: "GLACIER_IR"}, "x-amz-server-side-encryption": {SSE: "AES256"},
		"x-amz-acl": {ACL: "private"}, "x-amz-tagging": {Tags: "a="},
	} {
		w := newWorld(t, nil, func(o *s3.Options) { o.Extras = extras })
		if _, err := w.client.Put(t.Context(), key, []byte("x"), meta); err != nil {
			t.Fatal(err)
		}
		if h := w.S3.History()[0].Headers; len(h) != 1 || h[header] == "" {
			t.Errorf("headers %v, want %s alone", h, header)
		}
	}
}

// The bucket of somebody else gets nothing.
func TestOtherOwnerIsRefused(t *testing.T) {
	w := newWorld(t, nil, func(o *s3.Options) { o.ExpectedBucketOwner = "999999999999" })
	ctx := t.Context()
	for title, call := range map[string]func() error{
		"head":   func() error { _, err := w.client.Head(ctx, key); return err },
		"create": func() error { _, err := w.client.Create(ctx, key, meta); return err },
		"part":   func() error { _, err := w.client.Part(ctx, key, "id", 1, []byte("x"), s3.Sum([]byte("x"))); return err },
		"complete": func() error {
			_, err := w.client.Complete(ctx, key, "id", []copier.Part{{Number: 1}}, 1, s3.Sum([]byte("x")))
			return err
		},
		"abort": func() error { return w.client.Abort(ctx, key, "id") },
	} {
		t.Run(title, func(t *testing.T) { wantFault(t, call(), messages.Forbidden) })
	}
	_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
	wantFault(t, err, messages.Forbidden, "must belong to the account 999999999999 (s3.expected_bucket_owner)")
	wantNothing(t, w)
}

// A check finds out which right is missing, also where S3 does not say it.
func TestCheckNamesTheRight(t *testing.T) {
	put := simulator.Policy(simulator.PutOnly)
	for _, c := range []struct {
		policy simulator.Policy
		lacks  string
	}{
		{put.And("PutObjectAcl", "kms:GenerateDataKey"), "lacks s3:PutObjectTagging, which s3.tags needs"},
		{put.And("PutObjectTagging", "kms:GenerateDataKey"), "lacks s3:PutObjectAcl, which s3.acl needs"},
		{put.And("PutObjectTagging", "PutObjectAcl"), "lacks kms:GenerateDataKey: "},
		{put, "check s3:PutObject, s3:PutObjectTagging, s3:PutObjectAcl: "},
		{put.And("PutObjectTagging", "PutObjectAcl", "kms:GenerateDataKey").Deny("PutObject", "CreateMultipartUpload"), "check s3:PutObject, s3:PutObjectTagging, s3:PutObjectAcl: "},
	} {
		w := newWorld(t, c.policy, everything)
		err := w.client.Check(t.Context(), key)
		if err == nil || !strings.Contains(err.Error(), c.lacks) {
			t.Errorf("Check = %v, want %q in it", err, c.lacks)
			continue
		}
		f, _ := errors.AsType[*messages.Fault](err)
		for _, words := range []string{"s3:PutObject, s3:AbortMultipartUpload, s3:PutObjectTagging and s3:PutObjectAcl", "on the key of s3.sse"} {
			if !strings.Contains(f.Remedy, words) {
				t.Errorf("remedy = %q, want %q in it", f.Remedy, words)
			}
		}
		if open := w.S3.OpenUploads(); len(open) > 0 {
			t.Errorf("uploads stay: %+v", open)
		}
		wantNothing(t, w)
	}
	w := newWorld(t, put.And("PutObjectTagging", "PutObjectAcl", "kms:GenerateDataKey"), everything)
	if err := w.client.Check(t.Context(), key); err != nil {
		t.Errorf("with all rights: %v", err)
	}
}

func TestBucketsThatRefuseAnExtra(t *testing.T) {
	for code, remedy := range map[string]string{
		"AccessControlListNotSupported": "remove s3.acl", "InvalidStorageClass": "s3.storage_class", "InvalidTag": "s3.tags",
	} {
		w := newWorld(t, nil, everything)
		w.S3Faults.Add(simulator.Rule{Do: simulator.Status(400, code)})
		_, err := w.client.Put(t.Context(), key, []byte("x"), meta)
		wantFault(t, err, messages.Forbidden, remedy)
	}
}
