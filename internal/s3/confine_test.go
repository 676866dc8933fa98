package s3_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/messages"
)

// Whatever leads to a call, none that changes something leaves for a key outside of the
// destination path.
func TestNoWriteLeavesForAKeyOutsideOfThePath(t *testing.T) {
	alone(t)
	const inside = "simulated/0/account/"
	c, err := s3.Open(t.Context(), s3.Options{
		Bucket: "umbrella", Prefix: inside, Region: "us-east-1", Endpoint: "https://liar.invalid", PathStyle: true, AccessKeyID: "AKIA", SecretAccessKey: "a secret of some length",
	})
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{status: 200, header: http.Header{"Etag": {`"e"`}}, body: []byte(`<InitiateMultipartUploadResult><UploadId>u</UploadId></InitiateMultipartUploadResult>`)}
	c.TestingOnlyTransport(l)
	writes := func(key string) map[string]error {
		_, put := c.Put(t.Context(), key, []byte("x"), meta)
		_, create := c.Create(t.Context(), key, meta)
		_, part := c.Part(t.Context(), key, "u", 1, []byte("x"), s3.Sum([]byte("x")))
		_, complete := c.Complete(t.Context(), key, "u", []copier.Part{{Number: 1, ETag: "e", CRC32C: "AAAAAA=="}}, 1, "AAAAAA==")
		return map[string]error{"put": put, "create": create, "part": part, "complete": complete, "abort": c.Abort(t.Context(), key, "u"), "check": c.Check(t.Context(), key)}
	}
	for _, key := range []string{
		"", "x.csv.gz", inside, strings.TrimSuffix(inside, "/"), "simulated/0/accountant/x", "simulated/0/account2/x", "/" + inside + "x", "Simulated/0/account/x",
		inside + "../sibling/x", inside + "a/./x", inside + "..", "simulated/1/account/x", "%73imulated/0/account/x", "simulated//0/account/x", "umbrella/" + inside + "x",
	} {
		for op, err := range writes(key) {
			f, ok := errors.AsType[*messages.Fault](err)
			if !ok || f.Class != messages.Refused || !strings.Contains(err.Error(), "nothing was sent") {
				t.Errorf("%s of %q = %v, want it refused", op, key, err)
			}
		}
		if len(l.asked) > 0 {
			t.Fatalf("%q was asked for", l.asked)
		}
	}
	for _, err := range c.TestingOnlyUnknown(t.Context(), inside+"x") {
		if err == nil || !strings.Contains(err.Error(), "nothing was sent") {
			t.Errorf("a call that the product does not make = %v, want it refused", err)
		}
	}
	if len(l.asked) > 0 {
		t.Errorf("%q was asked for by calls that the product does not make", l.asked)
	}
	for op, err := range writes(inside + "2026-03-01_..x.csv.gz") {
		if err != nil && op != "complete" { // whose answer would be another
			t.Errorf("%s = %v", op, err)
		}
	}
	if len(l.asked) < 7 {
		t.Errorf("only %d requests", len(l.asked))
	}
}
