package verify_test

import (
	"cmp"
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const prefix = "FOCUS Reports/"

// copiedAt is when everything was copied: long ago.
func copiedAt() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) }

func crcOf(content string) string {
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.Checksum([]byte(content), crc32.MakeTable(crc32.Castagnoli))))
}

func md5Of(content string) []byte { sum := md5.Sum([]byte(content)); return sum[:] }

// A world is a source, a ledger and a destination in memory.
type world struct {
	objects map[string]messages.Object // by name
	records map[messages.Day]map[string]messages.Record
	stored  map[string]verify.Stored // by key
	// mayHead and mayList are the rights at the destination.
	mayHead, mayList bool
	// failAfter ends each listing of the source after so many objects; 0: never.
	failAfter int
	// headErr is the answer to each Head of a key.
	headErr map[string]error
	// changes are made when the destination is asked for the first time.
	change func()

	mu           sync.Mutex
	heads, lists int
	days         int // that were read from the ledger
	listErr      error
}

func newWorld() *world {
	return &world{
		objects: map[string]messages.Object{}, records: map[messages.Day]map[string]messages.Record{}, stored: map[string]verify.Stored{},
		headErr: map[string]error{}, mayHead: true, mayList: true,
	}
}

func (w *world) List(_ context.Context, from string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		n := 0
		for _, name := range slices.Sorted(maps.Keys(w.objects)) {
			if name < from {
				continue
			}
			if n++; w.failAfter > 0 && n > w.failAfter {
				yield(messages.Object{}, &messages.Fault{Class: messages.Unavailable, Side: messages.Source, Err: errors.New("planted")})
				return
			}
			if !yield(w.objects[name], nil) {
				return
			}
		}
	}
}

func (w *world) Day(_ context.Context, d messages.Day) (map[string]messages.Record, error) {
	w.days++
	return maps.Clone(w.records[d]), nil
}

// A destination is the world as a verify.Destination.
type destination struct{ *world }

func (d destination) Head(_ context.Context, key string) (verify.Stored, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.heads++
	s, ok := d.stored[key]
	if d.change != nil {
		defer d.change()
		d.change = nil
	}
	switch err := d.headErr[key]; {
	case err != nil:
		return verify.Stored{}, err
	case !d.mayHead, !ok && !d.mayList:
		return verify.Stored{}, &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Err: errors.New("403")}
	case !ok:
		return verify.Stored{}, &messages.Fault{Class: messages.Gone, Side: messages.Destination, Err: errors.New("404")}
	}
	return s, nil
}

func (d destination) List(_ context.Context, prefix string) iter.Seq2[verify.Listed, error] {
	return func(yield func(verify.Listed, error) bool) {
		d.lists++
		if !d.mayList {
			yield(verify.Listed{}, &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Err: errors.New("403")})
			return
		}
		for _, key := range slices.Sorted(maps.Keys(d.stored)) {
			s := d.stored[key]
			if !strings.HasPrefix(key, prefix) {
				continue
			}
			if !yield(verify.Listed{Key: key, Stored: verify.Stored{Size: s.Size, ETag: s.ETag}}, nil) {
				return
			}
		}
		if d.listErr != nil {
			yield(verify.Listed{}, d.listErr)
		}
	}
}

func rules(t testing.TB, template string) messages.Rules {
	t.Helper()
	n, err := messages.NewNaming(template, "%Y-%m-%d", "_", true)
	if err != nil {
		t.Fatal(err)
	}
	return messages.Rules{Prefix: prefix, KeyPrefix: "p/", Naming: n, MaxSize: 1000}
}

const flat = "{date}{separator}{basename}"

// today is the first day of all these worlds; -1 is the one before.
func day(n int) messages.Day { return messages.DayOf(time.Now()).Add(n) }

// list puts a version into the source.
func (w *world) list(d messages.Day, base, content, etag string) messages.Object {
	o := messages.Object{Name: prefix + d.Folder() + base, ETag: etag, Size: int64(len(content)), MD5: base64.StdEncoding.EncodeToString(md5Of(content))}
	w.objects[o.Name] = o
	return o
}

// record puts a record of a copy into the ledger.
func (w *world) record(d messages.Day, base, content, etag string, change ...func(*messages.Record)) {
	o := messages.Object{Name: prefix + d.Folder() + base, ETag: etag, Size: int64(len(content)), MD5: base64.StdEncoding.EncodeToString(md5Of(content))}
	r := messages.Record{Status: messages.StatusCopied, Object: o, At: copiedAt(), Copy: &messages.FileCopied{
		ETag: hex.EncodeToString(md5Of(content)), Size: o.Size, CRC32C: crcOf(content), MD5: o.MD5, How: messages.HowCopied, At: copiedAt(),
	}}
	for _, f := range change {
		f(&r)
	}
	if w.records[d] == nil {
		w.records[d] = map[string]messages.Record{}
	}
	w.records[d][base] = r
}

// put stores an object.
func (w *world) put(key, content, etag string) {
	w.stored[key] = verify.Stored{Size: int64(len(content)), ETag: hex.EncodeToString(md5Of(content)), CRC32C: crcOf(content), SourceETag: etag}
}

// delivered is a file that is everywhere.
func (w *world) delivered(d messages.Day, base, content string) {
	w.list(d, base, content, "e-"+content)
	w.record(d, base, content, "e-"+content)
	w.put("p/"+string(d)+"_"+base, content, "e-"+content)
}

func (w *world) verifier(t testing.TB, template string) *verify.Verifier {
	return &verify.Verifier{
		Source: w, Ledger: w, Destination: destination{w}, Rules: rules(t, template), Concurrency: 4,
		Ranges:      []messages.Range{{From: day(-10)}},
		Responsible: func(d messages.Day) bool { return d >= day(-5) },
	}
}

// run compares, and returns the findings by file name.
func run(t testing.TB, v *verify.Verifier) (messages.Verification, map[string]verify.Finding) {
	t.Helper()
	found := map[string]verify.Finding{}
	v.Found = func(f verify.Finding) {
		if _, twice := found[f.Report.Basename]; twice {
			t.Errorf("%s was told twice", f.Report.Basename)
		}
		found[f.Report.Basename] = f
	}
	sum, err := v.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	counts := map[verify.Result]int{}
	for _, f := range found {
		counts[f.Result]++
	}
	for r, n := range map[verify.Result]int{
		verify.Equal: sum.Equal, verify.Pending: sum.Pending, verify.Missing: sum.Missing, verify.OnlyThere: sum.OnlyThere,
		verify.Different: sum.Different, verify.Failed: sum.Errors, verify.Ingested: sum.Ingested, verify.Discarded: sum.Discarded,
	} {
		if counts[r] != n {
			t.Errorf("%d files are %s, the sum says %d", counts[r], r, n)
		}
	}
	if len(sum.Differences) != min(sum.Differ(), 100) {
		t.Errorf("%d differences are told of %d", len(sum.Differences), sum.Differ())
	}
	if !slices.IsSortedFunc(sum.Differences, func(a, b messages.Deviation) int { return cmp.Compare(a.Day, b.Day) }) {
		t.Errorf("the differences are not in the order of their days: %+v", sum.Differences)
	}
	return sum, found
}
