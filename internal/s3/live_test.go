package s3_test

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/live"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
)

const livePrefix = "simulated/0/account/"

// A variant is another destination than the usual one.
type variant struct {
	name    string
	policy  simulator.Policy
	ignores []string
	proxy   func(http.Handler) http.Handler
	options func(*s3.Options)
	skew    time.Duration // of the store's clock
	keys    []string      // that are there
	// lies is set where the proxy says that an upload was completed, and it was not.
	lies bool
	want map[string]live.Verdict
	// left is what stays behind, by name.
	left []string
}

// usual are the answers of Amazon's S3 for keys that may do everything.
func usual() map[string]live.Verdict {
	answers := map[string]live.Verdict{}
	for id := range strings.FieldsSeq(`s3.list s3.clock s3.layout s3.depth s3.head.missing s3.uploads
		s3.create s3.part s3.part.crc32c s3.part.md5 s3.parts s3.abort
		s3.put s3.head s3.head.crc32c s3.head.metadata s3.get s3.overwrite s3.ifnonematch s3.put.crc32c s3.put.md5 s3.sse s3.delete
		s3.complete s3.complete.head s3.complete.part s3.complete.crc32c s3.complete.size`) {
		answers[id] = live.Yes
	}
	answers["s3.alias"], answers["s3.versions"], answers["s3.owner"] = live.No, live.No, live.Unknown
	return answers
}

// unknown are dependent questions that a variant leaves open.
func unknown(ids string, more map[string]live.Verdict) map[string]live.Verdict {
	for id := range strings.FieldsSeq(ids) {
		more[id] = live.Unknown
	}
	return more
}

func variants() []variant {
	all := simulator.Policy(simulator.AllowAll)
	type is = map[string]live.Verdict
	ours := []string{"2026-03-01_a.csv.gz"}
	return []variant{
		{name: "Amazon's", policy: all, keys: ours},
		{name: "no LIST", policy: all.Deny("ListObjectsV2"), keys: ours,
			want: unknown("s3.layout s3.depth", is{"s3.list": live.No, "s3.head.missing": live.No})},
		{name: "another layout", policy: all, keys: []string{"2026-03-01_a.csv.gz", "2026_03_01/a.csv.gz"}, want: is{"s3.layout": live.No}},
		{name: "deep", policy: all, keys: []string{"2026-03-01_a.csv.gz", "2026/03/01/a.txt"}, want: is{"s3.depth": live.No}},
		{name: "empty path", policy: all, want: unknown("s3.layout s3.depth", is{})},
		{name: "no list of uploads", policy: all.Deny("ListMultipartUploads"), keys: ours, want: is{"s3.uploads": live.No}},
		{name: "clock", policy: all, keys: ours, skew: time.Hour, proxy: edited(func(*http.Request) bool { return true }, func(h http.Header) {
			h.Set("Date", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		}), want: is{"s3.clock": live.No}},
		{name: "no uploads", policy: all.Deny("CreateMultipartUpload"), keys: ours,
			want: unknown("s3.part s3.part.crc32c s3.part.md5 s3.parts s3.abort s3.complete.head s3.complete.part s3.complete.crc32c s3.complete.size",
				is{"s3.create": live.No, "s3.complete": live.No})},
		{name: "no parts", policy: all.Deny("UploadPart"), keys: ours,
			want: unknown("s3.part.crc32c s3.part.md5 s3.parts s3.complete.head s3.complete.part s3.complete.crc32c s3.complete.size",
				is{"s3.part": live.No, "s3.complete": live.No})},
		{name: "part with any CRC32C", policy: all, keys: ours, proxy: answered(partWith(2), http.StatusOK), want: is{"s3.part.crc32c": live.No}},
		{name: "part with any MD5", policy: all, keys: ours, proxy: answered(partWith(3), http.StatusOK), want: is{"s3.part.md5": live.No}},
		{name: "no list of parts", policy: all.Deny("ListParts"), keys: ours, want: is{"s3.parts": live.No}},
		{name: "no abort", policy: all.Deny("AbortMultipartUpload"), keys: ours, want: is{"s3.abort": live.No},
			left: []string{"an upload to " + s3.LiveUpload, "an upload to " + s3.LiveUpload}}, // of two steps
		{name: "no PUT", policy: all.Deny("PutObject"), keys: ours,
			want: unknown("s3.head s3.head.crc32c s3.head.metadata s3.get s3.overwrite s3.versions s3.ifnonematch s3.put.crc32c s3.put.md5 s3.sse s3.delete",
				is{"s3.put": live.No})},
		{name: "no HEAD and no GET", policy: all.Deny("HeadObject", "GetObject"), keys: ours,
			want: unknown("s3.head.crc32c s3.head.metadata s3.complete.head", is{"s3.head": live.No, "s3.get": live.No, "s3.head.missing": live.No})},
		{name: "no HEAD", policy: all.Deny("HeadObject"), keys: ours,
			want: unknown("s3.head.crc32c s3.head.metadata s3.complete.head", is{"s3.head": live.No, "s3.head.missing": live.No})},
		{name: "no GET", policy: all.Deny("GetObject"), keys: ours, want: is{"s3.get": live.No}},
		{name: "no sums in HEAD", policy: all, keys: ours, proxy: edited(method("HEAD"), without("x-amz-checksum-crc32c")),
			want: is{"s3.head.crc32c": live.No, "s3.complete.head": live.No}},
		{name: "sums of sums", policy: all, keys: ours, proxy: edited(headOf(s3.LiveUpload), func(h http.Header) { h.Set("x-amz-checksum-type", "COMPOSITE") }),
			want: is{"s3.complete.head": live.No}},
		{name: "no metadata", policy: all, keys: ours, proxy: edited(method("HEAD"), func(h http.Header) { delete(h, "x-amz-meta-oci-etag") }),
			want: is{"s3.head.metadata": live.No}},
		{name: "write once", policy: all, keys: ours, proxy: answered(again(), http.StatusForbidden),
			want: unknown("s3.ifnonematch s3.put.crc32c s3.put.md5", is{"s3.overwrite": live.No, "s3.sse": live.No})},
		{name: "the first bytes stay", policy: all, keys: ours, proxy: edited(headOf(s3.LiveObject), func(h http.Header) {
			if h.Get("Content-Length") != fmt.Sprint(len("oracle-focus-agent live test, first\n")) {
				h.Set("Content-Length", "36")
			}
		}), want: is{"s3.overwrite": live.No}},
		{name: "versions", policy: all, keys: ours, proxy: edited(method("PUT"), func(h http.Header) { h.Set("x-amz-version-id", "v1") }),
			want: is{"s3.versions": live.Yes}},
		{name: "versions that stay", policy: all, keys: ours, proxy: chain(edited(method("PUT"), func(h http.Header) { h.Set("x-amz-version-id", "v1") }),
			answered(func(r *http.Request) bool { return r.URL.Query().Has("versionId") }, http.StatusForbidden)),
			want: is{"s3.versions": live.Yes}, left: []string{s3.LiveObject}},
		{name: "If-None-Match ignored", policy: all, keys: ours, ignores: []string{"If-None-Match"}, want: is{"s3.ifnonematch": live.No}},
		{name: "any CRC32C", policy: all, keys: ours, ignores: []string{"x-amz-checksum-crc32c"},
			want: is{"s3.put.crc32c": live.No, "s3.part.crc32c": live.No, "s3.complete.crc32c": live.No, "s3.head.crc32c": live.No}},
		{name: "any MD5", policy: all, keys: ours, ignores: []string{"Content-Md5"}, want: is{"s3.put.md5": live.No, "s3.part.md5": live.No}},
		{name: "no encryption by header", policy: all, keys: ours, proxy: answered(func(r *http.Request) bool {
			return r.Header.Get("x-amz-server-side-encryption") != ""
		}, http.StatusNotImplemented), want: is{"s3.sse": live.No}},
		{name: "the right owner", policy: all, keys: ours, options: func(o *s3.Options) { o.ExpectedBucketOwner = "111122223333" },
			want: is{"s3.owner": live.Yes}},
		{name: "an owner that is not known", policy: all, keys: ours, options: func(o *s3.Options) { o.ExpectedBucketOwner = "111122223333" },
			proxy: answered(func(r *http.Request) bool {
				return r.Method == "PUT" && r.Header.Get("x-amz-expected-bucket-owner") != "" && !r.URL.Query().Has("uploadId")
			}, http.StatusBadRequest),
			want: unknown("s3.put s3.head s3.head.crc32c s3.head.metadata s3.get s3.overwrite s3.versions s3.ifnonematch s3.put.crc32c s3.put.md5 s3.sse s3.delete",
				is{"s3.owner": live.No})},
		{name: "no DELETE", policy: all.Deny("DeleteObject"), keys: ours, want: is{"s3.delete": live.No}, left: []string{s3.LiveObject, s3.LiveUpload}},
		{name: "no complete", policy: all.Deny("CompleteMultipartUpload"), keys: ours,
			want: unknown("s3.complete.head s3.complete.part s3.complete.crc32c s3.complete.size", is{"s3.complete": live.No})},
		{name: "any part", policy: all, keys: ours, lies: true, proxy: answered(completion("d41d8cd98f00b204e9800998ecf8427e"), http.StatusOK), want: is{"s3.complete.part": live.No}},
		{name: "any size", policy: all, keys: ours, ignores: []string{"x-amz-mp-object-size"}, want: is{"s3.complete.size": live.No}},
		{name: "put only", policy: simulator.PutOnly, keys: ours,
			want: unknown("s3.layout s3.depth s3.head.crc32c s3.head.metadata s3.complete.head", is{"s3.list": live.No, "s3.head.missing": live.No,
				"s3.uploads": live.No, "s3.parts": live.No, "s3.head": live.No, "s3.get": live.No, "s3.delete": live.No}),
			left: []string{s3.LiveObject, s3.LiveUpload}},
	}
}

// liveRun takes all steps, with consent, against a simulation with a proxy before it.
func liveRun(t *testing.T, v variant) (*simulator.Simulation, []live.Result) {
	t.Helper()
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) {
		if v.options != nil {
			v.options(o)
		}
	})
	for _, key := range v.keys {
		putAs(t, w, livePrefix+key)
	}
	w.S3.Ignores = v.ignores
	w.S3.Keys[w.AccessKeyID] = simulator.AccessKey{Secret: w.SecretAccessKey, Policy: v.policy}
	w.S3.Clock = func() time.Time { return time.Now().Add(v.skew) }
	o := w.options
	if v.proxy != nil {
		server := httptest.NewServer(v.proxy(w.S3))
		t.Cleanup(server.Close)
		o.Endpoint = server.URL
	}
	c := open(t, o) // a new one, since the SDK learns the other side's clock
	t.Cleanup(c.Close)
	results, err := live.Run(t.Context(), c.LiveSteps(s3.LivePlace{Prefix: livePrefix, Ours: func(key string) bool {
		return strings.HasPrefix(key, "2026-03-01_")
	}}), func(context.Context, live.Step) (bool, error) { return true, nil }, nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.Simulation, results
}

// TestEachVariantFlipsItsAnswer: a variant of the destination changes the answers that
// it is about, and no other; and nothing that was written is left there unnamed.
func TestEachVariantFlipsItsAnswer(t *testing.T) {
	flipped := map[string]bool{}
	for _, v := range variants() {
		t.Run(v.name, func(t *testing.T) {
			sim, results := liveRun(t, v)
			want := usual()
			maps.Copy(want, v.want)
			for _, r := range results {
				for _, a := range r.Answers {
					if a.Verdict != want[a.ID] || a.Evidence == "" {
						t.Errorf("%s: %s (%s), want %s", a.ID, a.Verdict, a.Evidence, want[a.ID])
					}
					delete(want, a.ID)
				}
			}
			if len(want) > 0 {
				t.Errorf("no answers to %v", slices.Sorted(maps.Keys(want)))
			}
			checkLeft(t, sim, results, v)
		})
		for id, verdict := range v.want {
			flipped[id] = flipped[id] || verdict != live.Unknown
		}
	}
	for id := range usual() {
		if !flipped[id] && id != "s3.alias" {
			t.Errorf("no variant flips %s", id)
		}
	}
}

// checkLeft holds what is named as left behind against what is there.
func checkLeft(t *testing.T, sim *simulator.Simulation, results []live.Result, v variant) {
	t.Helper()
	named := live.Report{Steps: results}.LeftBehind()
	for i, w := range named {
		if i >= len(v.left) || w.Name != v.left[i] || w.Why == "" {
			t.Errorf("left behind: %+v, want %v", w, v.left)
		}
	}
	if len(named) != len(v.left) {
		t.Errorf("%d things left behind, want %v", len(named), v.left)
	}
	for _, o := range sim.S3.Objects() {
		name := strings.TrimPrefix(o.Key, livePrefix)
		if !slices.Contains(v.keys, name) && !slices.Contains(v.left, name) {
			t.Errorf("%s is there, and nobody says so", o.Key)
		}
	}
	if n := len(sim.S3.OpenUploads()); n > 0 && !v.lies && !slices.Contains(v.left, "an upload to "+s3.LiveUpload) {
		t.Errorf("%d uploads are open, and nobody says so", n)
	}
}

// TestNothingIsWrittenWithoutConsent, and what is not asked stays open.
func TestNothingIsWrittenWithoutConsent(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	refuse := func(_ context.Context, s live.Step) (bool, error) { return false, nil }
	results, err := live.Run(t.Context(), w.client.LiveSteps(s3.LivePlace{Prefix: livePrefix, Ours: func(string) bool { return true }}), refuse, nil)
	if err != nil {
		t.Fatal(err)
	}
	for op := range w.S3.Requests() {
		if !slices.Contains([]string{"", "ListObjectsV2", "HeadObject", "ListMultipartUploads"}, op) {
			t.Errorf("%s without consent", op)
		}
	}
	for _, r := range results[1:] {
		if r.Asked || r.Writes == "" {
			t.Errorf("%s: asked %t", r.Step, r.Asked)
		}
		for _, a := range r.Answers {
			if a.Verdict != live.Unknown {
				t.Errorf("%s: %s", a.ID, a.Verdict)
			}
		}
	}
}

// TestAnEndedLiveTestLeavesNothingBehind: a signal at any request of it.
func TestAnEndedLiveTestLeavesNothingBehind(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	var left atomic.Int32 // requests until the signal
	var end context.CancelFunc
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if left.Add(-1) == 0 {
			end()
		}
		w.S3.ServeHTTP(rw, r)
	}))
	t.Cleanup(server.Close)
	o := w.options
	o.Endpoint = server.URL
	c := open(t, o)
	t.Cleanup(c.Close)
	for n := int32(1); ; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		left.Store(n)
		end = cancel
		results, err := live.Run(ctx, c.LiveSteps(s3.LivePlace{Prefix: livePrefix, Ours: func(string) bool { return true }}),
			func(context.Context, live.Step) (bool, error) { return true, nil }, nil)
		cancel()
		if behind := (live.Report{Steps: results}).LeftBehind(); len(behind)+len(w.S3.Objects())+len(w.S3.OpenUploads()) > 0 {
			t.Errorf("ended at request %d: left behind %v; there are %d objects and %d uploads", n, behind, len(w.S3.Objects()), len(w.S3.OpenUploads()))
		}
		if err == nil {
			if n < 20 {
				t.Errorf("only %d requests", n)
			}
			return
		}
	}
}

// TestALostAnswerIsNoProof: what may have been written is named, even where the
// deletion went well: the store may still be about to write it.
func TestALostAnswerIsNoProof(t *testing.T) {
	for op, want := range map[string]string{"PutObject": s3.LiveObject, "CompleteMultipartUpload": s3.LiveUpload, "CreateMultipartUpload": "an upload to " + s3.LiveUpload} {
		w := newWorld(t, simulator.AllowAll)
		w.S3Faults.Add(simulator.Rule{Op: op, Times: 1, Do: simulator.Lost()})
		results, err := live.Run(t.Context(), w.client.LiveSteps(s3.LivePlace{Prefix: livePrefix, Ours: func(string) bool { return true }}),
			func(context.Context, live.Step) (bool, error) { return true, nil }, nil)
		if err != nil {
			t.Fatal(err)
		}
		left := live.Report{Steps: results}.LeftBehind()
		if len(left) != 1 || left[0].Name != want || left[0].Fate == live.Removed {
			t.Errorf("%s: left behind %+v, want %s", op, left, want)
		}
	}
}

func TestAnAliasIsSeenByItsName(t *testing.T) {
	w := newWorld(t, simulator.AllowAll, func(o *s3.Options) { o.Bucket = "example-abcdefg-s3alias" })
	results, err := live.Run(t.Context(), w.client.LiveSteps(s3.LivePlace{Prefix: livePrefix})[:1], nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if a := results[0].Answers[0]; a.ID != "s3.alias" || a.Verdict != live.Yes {
		t.Errorf("%+v", a)
	}
}
