package s3_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func TestListGivesEveryObjectBelowThePrefix(t *testing.T) {
	w := newWorld(t, nil, func(o *s3.Options) { o.ExpectedBucketOwner = owner })
	var want []s3.Listed
	for i := range 1003 { // more than a page
		key := fmt.Sprintf("simulated/0/account/%04d", i)
		etag, err := w.client.Put(t.Context(), key, fmt.Append(nil, i), meta)
		if err != nil {
			t.Fatal(err)
		}
		l := s3.Listed{Key: key}
		l.Size, l.ETag = int64(len(fmt.Sprint(i))), etag
		want = append(want, l)
	}
	if _, err := w.client.Put(t.Context(), "simulated/0/another", []byte("x"), meta); err != nil {
		t.Fatal(err)
	}
	var got []s3.Listed
	for l, err := range w.client.List(t.Context(), "simulated/0/account/") {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, l)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d objects, want %d", len(got), len(want))
	}
	if n := w.S3.Requests()["ListObjectsV2"]; n != 2 {
		t.Errorf("%d requests, want 2", n)
	}
	w.S3Faults.Add(simulator.Rule{Op: "ListObjectsV2", Do: simulator.Status(403, "AccessDenied")})
	for _, err := range w.client.List(t.Context(), "simulated/") {
		wantFault(t, err, messages.Forbidden)
		if !strings.Contains(err.Error(), "list s3://") {
			t.Errorf("the error does not say what was tried: %v", err)
		}
	}
}
