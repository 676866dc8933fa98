package s3_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// upload is an upload of two parts that waits for its end.
type upload struct {
	id    string
	body  []byte
	parts []copier.Part
}

func begin(t *testing.T, w world) upload {
	t.Helper()
	u := upload{body: random(t, 3, 5<<20+1000)}
	var err error
	if u.id, err = w.client.Create(t.Context(), key, meta); err != nil {
		t.Fatal(err)
	}
	for i, b := range [][]byte{u.body[:5<<20], u.body[5<<20:]} {
		p, err := w.client.Part(t.Context(), key, u.id, int32(i+1), b, s3.Sum(b))
		if err != nil {
			t.Fatal(err)
		}
		if p.Number != int32(i+1) || p.CRC32C != s3.Sum(b) {
			t.Errorf("part = %+v", p)
		}
		u.parts = append(u.parts, p)
	}
	return u
}

func (u upload) complete(ctx context.Context, w world) (string, error) {
	return w.client.Complete(ctx, key, u.id, u.parts, int64(len(u.body)), s3.Sum(u.body))
}

func TestMultipartNeedsNoRightButPut(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	wantNothing(t, w)
	etag, err := u.complete(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	o := w.S3.Objects()[0]
	if o.ETag != etag || o.ChecksumType != "FULL_OBJECT" || o.Checksum != s3.Sum(u.body) || o.ContentType != "application/gzip" ||
		o.Metadata["oci-name"] != meta.Name || o.Metadata["oci-etag"] != meta.ETag {
		t.Errorf("object = %+v, etag %q", o, etag)
	}
	if stored(t, w, key) != string(u.body) || len(w.S3.OpenUploads()) != 0 {
		t.Errorf("other bytes, or an upload left: %+v", w.S3.OpenUploads())
	}
}

func TestHeadAfterMultipartHasTheSumOfTheWhole(t *testing.T) {
	w := newWorld(t, simulator.AllowAll)
	u := begin(t, w)
	etag, err := u.complete(t.Context(), w)
	if err != nil {
		t.Fatal(err)
	}
	want := copier.Stored{Size: int64(len(u.body)), ETag: etag, CRC32C: s3.Sum(u.body), SourceETag: meta.ETag}
	if got, err := w.client.Head(t.Context(), key); err != nil || got != want {
		t.Errorf("Head = %+v, %v; want %+v", got, err, want)
	}
}

func TestCompleteRefusesOtherBytes(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	_, err := w.client.Complete(t.Context(), key, u.id, u.parts, int64(len(u.body)), s3.Sum([]byte("other")))
	wantFault(t, err, messages.HashMismatch)
	if _, err = w.client.Complete(t.Context(), key, u.id, u.parts, int64(len(u.body))+1, s3.Sum(u.body)); err == nil {
		t.Error("another size was taken")
	}
	wantNothing(t, w)
}

func TestCompleteThatIsNoneIsNotConfirmed(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	w.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Do: simulator.EmptyComplete200()})
	_, err := u.complete(t.Context(), w)
	wantFault(t, err, messages.Unavailable)
	if !strings.Contains(err.Error(), "not confirmed") {
		t.Errorf("error = %v", err)
	}
	wantNothing(t, w)
}

func TestErrorInASuccessfulAnswerIsAnError(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	w.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Do: simulator.Status(200, "InternalError")})
	_, err := u.complete(t.Context(), w)
	wantFault(t, err, messages.Unavailable)
	if got := w.S3.Requests()["CompleteMultipartUpload"]; got != 3 {
		t.Errorf("made %d attempts, want 3", got)
	}
}

func TestSlowCompleteIsAwaited(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	w.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Do: simulator.SlowComplete(5, 10*time.Millisecond)})
	if _, err := u.complete(t.Context(), w); err != nil || len(w.S3.History()) != 1 {
		t.Errorf("history = %+v, %v", w.S3.History(), err)
	}
}

func TestLostCompleteIsNoUpload(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	w.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Times: 1, Do: simulator.Lost()})
	if etag, err := u.complete(t.Context(), w); err != nil {
		wantFault(t, err, messages.NoUpload)
	} else if etag != w.S3.Objects()[0].ETag { // S3 may also repeat its answer
		t.Errorf("etag = %q", etag)
	}
	if len(w.S3.History()) != 1 {
		t.Errorf("history = %+v", w.S3.History())
	}
}

func TestLostCreateLeavesOneUpload(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	w.S3Faults.Add(simulator.Rule{Op: "CreateMultipartUpload", Times: 1, Do: simulator.Lost()})
	_, err := w.client.Create(t.Context(), key, meta)
	wantFault(t, err, messages.Connection)
	if got := w.S3.OpenUploads(); len(got) != 1 || got[0].Parts != 0 {
		t.Errorf("uploads = %+v, want an empty one", got)
	}
}

func TestCreateDemandsAnID(t *testing.T) {
	c := at(t, func(w http.ResponseWriter, _ *http.Request) {})
	_, err := c.Create(t.Context(), key, meta)
	wantFault(t, err, messages.Unavailable)
}

func TestPartIsRepeatedAfterALostAnswer(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	w.S3Faults.Add(simulator.Rule{Op: "UploadPart", Times: 2, Do: simulator.Lost()})
	u := begin(t, w)
	if _, err := u.complete(t.Context(), w); err != nil || stored(t, w, key) != string(u.body) {
		t.Errorf("complete: %v", err)
	}
}

func TestDamagedPartIsRefused(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	id, err := w.client.Create(t.Context(), key, meta)
	if err != nil {
		t.Fatal(err)
	}
	w.S3Faults.Add(simulator.Rule{Op: "UploadPart", Do: simulator.FlipBit(80)})
	body := []byte(strings.Repeat("a", 100))
	_, err = w.client.Part(t.Context(), key, id, 1, body, s3.Sum(body))
	wantFault(t, err, messages.HashMismatch)
}

// TestAPartOfOtherBytesThanWereReadIsRefused: its CRC32C is that of the bytes as they were
// read, so that a buffer that has changed since does not come to stand.
func TestAPartOfOtherBytesThanWereReadIsRefused(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	id, err := w.client.Create(t.Context(), key, meta)
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.client.Part(t.Context(), key, id, 1, []byte("aab"), s3.Sum([]byte("aaa")))
	wantFault(t, err, messages.HashMismatch)
}

func TestAbortLeavesNothing(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	u := begin(t, w)
	if err := w.client.Abort(t.Context(), key, u.id); err != nil {
		t.Fatal(err)
	}
	if got := w.S3.OpenUploads(); len(got) != 0 {
		t.Errorf("uploads = %+v", got)
	}
	wantFault(t, w.client.Abort(t.Context(), key, u.id), messages.NoUpload)
	_, err := w.client.Part(t.Context(), key, u.id, 1, []byte("x"), s3.Sum([]byte("x")))
	wantFault(t, err, messages.NoUpload)
	_, err = u.complete(t.Context(), w)
	wantFault(t, err, messages.NoUpload)
}

func TestCheckLeavesNothing(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	if err := w.client.Check(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if got := w.S3.OpenUploads(); len(got) != 0 {
		t.Errorf("uploads = %+v", got)
	}
	wantNothing(t, w)
}

func TestCheckNamesTheStep(t *testing.T) {
	for op, want := range map[string]string{"CreateMultipartUpload": "s3:PutObject", "AbortMultipartUpload": "s3:AbortMultipartUpload"} {
		w := newWorld(t, simulator.Policy(simulator.PutOnly).Deny(op))
		err := w.client.Check(t.Context(), key)
		wantFault(t, err, messages.Forbidden, "s3:PutObject and s3:AbortMultipartUpload on arn:aws:s3:::umbrella/")
		if !strings.HasPrefix(err.Error(), "check "+want) {
			t.Errorf("error = %q, want the step %s named", err, want)
		}
	}
}

func TestCheckCleansUpThoughItsContextEnds(t *testing.T) {
	w := newWorld(t, simulator.PutOnly)
	ctx, cancel := context.WithCancel(t.Context())
	w.S3Faults.Add(simulator.Rule{Op: "AbortMultipartUpload", Times: 1, Do: simulator.Hook(cancel)})
	if err := w.client.Check(ctx, key); err != nil {
		t.Error(err)
	}
	if got := w.S3.OpenUploads(); len(got) != 0 {
		t.Errorf("uploads = %+v", got)
	}
}

func TestUnfinishedListsTheUploadsBelowThePrefix(t *testing.T) {
	w := newWorld(t, nil)
	ids := map[string]string{}
	for _, key := range []string{"simulated/0/account/a", "simulated/0/account/b", "simulated/0/another"} {
		id, err := w.client.Create(t.Context(), key, meta)
		if err != nil {
			t.Fatal(err)
		}
		ids[id] = key
	}
	n := 0
	for u, err := range w.client.Unfinished(t.Context(), "simulated/0/account/") {
		if n++; err != nil || ids[u.ID] != u.Key || !strings.HasPrefix(u.Key, "simulated/0/account/") || time.Since(u.Begun).Abs() > time.Minute {
			t.Errorf("%+v, %v", u, err)
		}
	}
	if n != 2 {
		t.Errorf("%d uploads, want 2", n)
	}
	w.S3Faults.Add(simulator.Rule{Op: "ListMultipartUploads", Do: simulator.Status(403, "AccessDenied")})
	for _, err := range w.client.Unfinished(t.Context(), "simulated/") {
		wantFault(t, err, messages.Forbidden)
	}
}
