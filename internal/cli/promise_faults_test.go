package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

// Some pages of a listing and a few large reports, while a tenth of all calls
// to either side fails in one way or another.
func TestManyReportsSurviveFaultsOnATenthOfTheCalls(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Seed: 5}, "FOCUS_RETRY_MAX_RETRIES=1000", "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=12")
	w.external(t)
	files := 1100
	if os.Getenv("LONG") != "" { // make long
		files = 2500
	}
	for n := range files {
		w.add1(object(1, fmt.Sprintf("%06d.csv.gz", n), int64(100+n%7)))
	}
	for n := range 3 {
		w.add1(object(2, fmt.Sprintf("large-%d.csv.gz", n), worldPart+1000))
	}
	failing := func(faults *simulator.Faults, op string, which ...simulator.Fault) {
		for _, f := range which {
			faults.Add(simulator.Rule{Op: op, Every: 0.1 / float64(len(which)), Do: f})
		}
	}
	// A listing gives up after three tries: it fails as often as it cannot fail a scan.
	for page, f := range []simulator.Fault{simulator.Status(429, "TooManyRequests"), simulator.Status(503, "ServiceUnavailable"), simulator.Reset()} {
		w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", After: 2 * page, Times: 1, Do: f})
	}
	failing(w.OCIFaults, "GetObject", simulator.Status(429, "TooManyRequests"), simulator.Status(500, "InternalServerError"),
		simulator.Status(503, "ServiceUnavailable"), simulator.Reset(), simulator.ResetAfterBytes(50))
	for _, op := range []string{"PutObject", "CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"} {
		failing(w.S3Faults, op, simulator.Status(503, "SlowDown"), simulator.Status(500, "InternalError"), simulator.Reset(), simulator.Lost())
	}

	// One whose answer was lost may be found at the destination afterwards.
	if s := w.sync(t, 0); s.Transferred+s.Adopted != files+3 {
		t.Errorf("sync = %+v, want all %d", s, files+3)
	}
	w.check(t)
	for side, faults := range map[string]*simulator.Faults{"OCI": w.OCIFaults, "S3": w.S3Faults} {
		n := 0
		for _, count := range faults.Count() {
			n += count
		}
		if n < files/20 {
			t.Errorf("%s served %d faults, want about %d", side, n, files/10)
		}
		faults.Clear()
	}
	// After the first thousand, four stretches are listed at once: a page each, or more.
	if got, pages := w.OCI.Requests()["ListObjects"], files/1000+1; got < 2*pages || got > 2*(pages+3) {
		t.Errorf("%d calls for the listing, want %d to %d pages, each with one repeat at most", got, pages, pages+3)
	}
	if s := w.sync(t, 0); s.Skipped != files+3 {
		t.Errorf("the next sync = %+v, want all skipped", s)
	}
}

// The keys at Umbrella may be for writing only: no HEAD, no LIST, no DELETE.
func TestAKeyThatMayOnlyPutIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
	w.add(object(1, "small.csv.gz", 1000), object(1, "large.csv.gz", 2*worldPart+1))
	w.run(t, "test").want(t, 0)
	if got := w.sync(t, 0).Transferred; got != 2 {
		t.Errorf("%d transferred, want 2", got)
	}
	w.check(t)
}

func TestAKeyThatMayOnlyPutIsEnoughUnderFaults(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly}, "FOCUS_RETRY_MAX_RETRIES=20")
	w.add(object(1, "small.csv.gz", 1000), object(2, "small.csv.gz", 1000), object(1, "large.csv.gz", worldPart+1))
	for _, r := range []simulator.Rule{
		{Op: "PutObject", Times: 2, Do: simulator.Lost()},
		{Op: "PutObject", Times: 1, Do: simulator.Status(500, "InternalError")},
		{Op: "CreateMultipartUpload", Times: 1, Do: simulator.Status(503, "SlowDown")},
		{Op: "UploadPart", Times: 1, Do: simulator.Reset()},
		{Op: "UploadPart", Times: 1, Do: simulator.FlipBit(100)},
		{Op: "CompleteMultipartUpload", Times: 1, Do: simulator.EmptyComplete200()},
		{Op: "CompleteMultipartUpload", Times: 1, Do: simulator.EmptyComplete200().Applied()},
		{Op: "CompleteMultipartUpload", Times: 1, Do: simulator.Lost()},
		{Op: "CompleteMultipartUpload", Times: 1, Do: simulator.Status(200, "InternalError")},
	} {
		w.S3Faults.Add(r)
	}
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Times: 2, Do: simulator.FlipBit(700)})
	if got := w.sync(t, 0).Transferred; got != 3 {
		t.Errorf("%d transferred, want 3", got)
	}
	w.check(t)
}

// A bit that flips between us and S3 is refused there; sent again, it is right.
func TestABitThatFlipsOnTheWayToS3IsRefusedThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "small.csv.gz", 1000), object(1, "large.csv.gz", worldPart+1))
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 1, Do: simulator.FlipBit(500)})
	w.S3Faults.Add(simulator.Rule{Op: "UploadPart", Times: 1, Do: simulator.FlipBit(500)})
	w.sync(t, 0)
	w.check(t)
}

func TestAWrongKeyOfOCIIsAnAuthenticationErrorWithItsRemedy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1})
	other, err := simulator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	file, err := simulator.WriteOCIConfig(t.TempDir(), other, w.OCIRegion)
	if err != nil {
		t.Fatal(err)
	}
	w.set("FOCUS_OCI_CONFIG_FILE", file)
	for _, args := range [][]string{{"sync", "--json"}, {"sync", "--dry-run"}, {"test"}} {
		r := w.run(t, args...).want(t, 3)
		if out := r.stdout + r.stderr; !strings.Contains(out, "API key "+other.Fingerprint) || !strings.Contains(out, "still registered") {
			t.Errorf("%q does not say which key to check: %s", args, out)
		}
	}
	if got := len(w.S3.History()); got != 0 {
		t.Errorf("%d commits, want 0", got)
	}
}

// OCI answers 404 to whoever may not list: that is no empty bucket.
func TestABucketThatIsNotFoundNamesThePolicyAndTheHomeRegion(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1})
	w.set("FOCUS_OCI_BUCKET", "ocid1.tenancy.oc1..another")
	for _, args := range [][]string{{"sync", "--json"}, {"sync", "--dry-run"}, {"test"}} {
		r := w.run(t, args...).want(t, 3)
		for _, word := range []string{"404", "policy", "endorse", "home region", "ocid1.tenancy.oc1..another"} {
			if out := r.stdout + r.stderr; !strings.Contains(out, word) {
				t.Errorf("%q does not say %q: %s", args, word, out)
			}
		}
	}
}

func TestAWrongSecretOfS3BuriesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 2})
	w.set("FOCUS_S3_SECRET_ACCESS_KEY", "wrong")
	r := w.run(t, "sync", "--json").want(t, 3)
	if !strings.Contains(r.stderr, "s3.secret_access_key") {
		t.Errorf("no remedy is named: %s", r.stderr)
	}
	if s := decodeSummary(t, r.stdout); s.Transferred != 0 || s.Failed != s.Discovered {
		t.Errorf("sync = %+v, want nothing transferred and all named", s)
	}
	if got := strings.TrimSpace(w.run(t, "failed", "list", "--json").want(t, 0).stdout); got != "[]" {
		t.Errorf("failed list = %s, want []", got)
	}
	if r := w.run(t, "test").want(t, 3); !strings.Contains(r.stdout, "FAIL  s3") || !strings.Contains(r.stdout, "ok    oci") {
		t.Errorf("test = %s, want only S3 to fail", r.stdout)
	}
	w.set("FOCUS_S3_SECRET_ACCESS_KEY", w.SecretAccessKey)
	if got := w.sync(t, 0).Transferred; got != 14 {
		t.Errorf("%d transferred, want 14", got)
	}
	w.check(t)
}

// A listing that breaks off after its first page must not pass for a short one.
func TestAListingThatFailsIsNeverAShortOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 3})
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Rewrite(func(body []byte) []byte { return shortPage(t, body, 10) })})
	end := w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", After: 1, Do: simulator.Status(503, "ServiceUnavailable")})
	r := w.run(t, "sync", "--json").want(t, 1)
	if s := decodeSummary(t, r.stdout); s.Discovered != 10 || !strings.Contains(r.stderr, "list the source") {
		t.Errorf("sync = %+v, want 10 discovered and an error of the listing: %s", s, r.stderr)
	}
	end()
	if s := w.sync(t, 0); s.Discovered != 21 || s.Failed != 0 {
		t.Errorf("sync = %+v, want all 21", s)
	}
	w.check(t)
}

// shortPage cuts a page of a listing after n objects.
func shortPage(t *testing.T, body []byte, n int) []byte {
	var page map[string]any
	if err := json.Unmarshal(body, &page); err != nil {
		t.Error(err)
		return body
	}
	if objects, ok := page["objects"].([]any); ok && len(objects) > n {
		page["objects"], page["nextStartWith"] = objects[:n], objects[n].(map[string]any)["name"]
	}
	body, err := json.Marshal(page)
	if err != nil {
		t.Error(err)
	}
	return body
}
