package verify_test

import (
	"context"
	"errors"
	"iter"
	"net/http/httptest"
	"strings"
	"testing"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/verify"
)

// A bucket is a real client of a simulated S3, as the program wires it.
type bucket struct{ *s3.Client }

func (b bucket) Head(ctx context.Context, key string) (verify.Stored, error) {
	s, err := b.Client.Head(ctx, key)
	return verify.Stored(s), err
}

func (b bucket) List(ctx context.Context, prefix string) iter.Seq2[verify.Listed, error] {
	return func(yield func(verify.Listed, error) bool) {
		for l, err := range b.Client.List(ctx, prefix) {
			if !yield(verify.Listed{Key: l.Key, Stored: verify.Stored(l.Stored)}, err) {
				return
			}
		}
	}
}

const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYSIMULATED00"

// TestEveryMarkUnderEveryRight: what the keys of a destination may do decides what can
// be found there, and nothing is found that cannot be seen.
func TestEveryMarkUnderEveryRight(t *testing.T) {
	all := simulator.Policy(simulator.AllowAll)
	server, err := simulator.NewS3(simulator.S3Options{Keys: map[string]simulator.AccessKey{
		"AKIAWRITER": {Secret: secret, Policy: all}, "AKIAALL": {Secret: secret, Policy: all},
		"AKIAPUT": {Secret: secret, Policy: simulator.PutOnly}, "AKIAHEAD": {Secret: secret, Policy: all.Deny("ListObjectsV2")},
		"AKIALIST": {Secret: secret, Policy: all.Deny("GetObject", "HeadObject")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(server)
	t.Cleanup(web.Close)
	open := func(key string) bucket {
		c, err := s3.Open(t.Context(), s3.Options{
			Bucket: "umbrella", Region: "us-east-1", Endpoint: web.URL, PathStyle: true, AccessKeyID: key, SecretAccessKey: secret, Connections: 4,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return bucket{c}
	}
	writer, w := open("AKIAWRITER"), newWorld()
	// send is what a copier does: the object, and the record of what became of it.
	send := func(base, content, version string) {
		key := "p/" + string(day(-1)) + "_" + base
		etag, err := writer.Put(t.Context(), key, []byte(content), copier.Meta{Name: base, ETag: version})
		if err != nil {
			t.Fatal(err)
		}
		w.list(day(-1), base, content, version)
		w.record(day(-1), base, content, version)
		w.records[day(-1)][base].Copy.ETag = etag
	}
	overwrite := func(base, content, version string) {
		if _, err := writer.Put(t.Context(), "p/"+string(day(-1))+"_"+base, []byte(content), copier.Meta{Name: base, ETag: version}); err != nil {
			t.Fatal(err)
		}
	}
	send("equal.csv.gz", "the bytes", "e-2")
	send("again.csv.gz", "the bytes", "e-2")
	overwrite("again.csv.gz", "the bytes", "e-2") // a repeat after a fault
	send("flipped.csv.gz", "the bytes", "e-2")
	overwrite("flipped.csv.gz", "the Bytes", "e-2")
	send("zombie.csv.gz", "the bytes", "e-2")
	overwrite("zombie.csv.gz", "old bytes", "e-1") // of a worker that was frozen
	send("short.csv.gz", "the bytes", "e-2")
	overwrite("short.csv.gz", "the", "e-2")
	send("missing.csv.gz", "the bytes", "e-2")
	server.Delete("p/" + string(day(-1)) + "_missing.csv.gz")
	overwrite("stranger.csv.gz", "of another program", "")
	w.list(day(-1), "pending.csv.gz", "x", "e-1")

	const (
		e, p, m, o, d, f = verify.Equal, verify.Pending, verify.Missing, verify.OnlyThere, verify.Different, verify.Failed
	)
	for _, c := range []struct {
		key, method string
		listed      bool
		// of equal, again, flipped, zombie, short, missing, stranger and pending
		results []verify.Result
	}{
		{"AKIAALL", verify.ByHead, true, []verify.Result{e, e, d, d, d, m, o, p}},
		{"AKIAHEAD", verify.ByHead, false, []verify.Result{e, e, d, d, d, f, "", p}},
		{"AKIALIST", verify.ByList, true, []verify.Result{e, e, d, d, d, m, o, p}},
		{"AKIAPUT", verify.Unreadable, false, []verify.Result{e, e, e, e, e, e, "", p}},
	} {
		v := w.verifier(t, flat)
		v.Destination = open(c.key)
		sum, found := run(t, v)
		results := map[string]verify.Result{}
		for i, base := range []string{"equal", "again", "flipped", "zombie", "short", "missing", "stranger", "pending"} {
			if c.results[i] != "" {
				results[base+".csv.gz"] = c.results[i]
			}
		}
		t.Run(c.key, func(t *testing.T) { want(t, found, results, nil) })
		if sum.Destination != c.method || sum.Listed != c.listed {
			t.Errorf("%s: by %s, listed %t", c.key, sum.Destination, sum.Listed)
		}
		why := map[string]string{
			"AKIAALL": "version e-1 of the source", "AKIAHEAD": "version e-1 of the source", "AKIALIST": "its etag is ",
		}[c.key]
		if f := found["flipped.csv.gz"]; c.method == verify.ByHead && !strings.Contains(f.Why, "CRC32C") {
			t.Errorf("%s: %+v", c.key, f)
		}
		if z := found["zombie.csv.gz"]; !strings.Contains(z.Why, why) || z.Repairable != (z.Result == d) {
			t.Errorf("%s: %+v", c.key, z)
		}
	}
	if n := server.Requests(); n["GetObject"]+n["DeleteObject"] > 0 || n["PutObject"] != 11 {
		t.Errorf("a comparison only looks: %v", n)
	}
	// A failure in the middle of a listing is none of an empty destination.
	server.Faults.Add(simulator.Rule{Op: "ListObjectsV2", After: 3, Do: simulator.Status(500, "InternalError")})
	v := w.verifier(t, flat)
	v.Destination = open("AKIALIST")
	if sum, err := v.Run(t.Context()); err == nil || errors.Is(err, context.Canceled) || sum.Differ() > 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}
