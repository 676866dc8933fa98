package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/oracle/oci-go-sdk/v65/objectstorage"

	"oracle-focus-agent/internal/simulator"
)

const content = "0123456789"

// withObject is a simulation with one object and a fault on reading it.
func withObject(t *testing.T, rule simulator.Rule) (*simulator.Simulation, objectstorage.ObjectStorageClient) {
	t.Helper()
	sim := start(t, simulator.Options{})
	put(sim, "a", content)
	sim.OCIFaults.Add(rule)
	return sim, ociClient(t, sim, sim.Key)
}

// body reads an object to the end or the error.
func body(t *testing.T, sim *simulator.Simulation, client objectstorage.ObjectStorageClient) (string, error) {
	t.Helper()
	response, err := get(sim, client, "a")
	if err != nil {
		return "", err
	}
	defer response.Content.Close()
	data, err := io.ReadAll(response.Content)
	return string(data), err
}

func TestFaultsOnReading(t *testing.T) {
	for _, test := range []struct {
		name  string
		fault simulator.Fault
		want  string
		err   error
	}{
		{"truncated, length kept", simulator.Truncate(4, simulator.KeepLength), "0123", io.ErrUnexpectedEOF},
		{"truncated, chunked", simulator.Truncate(4, simulator.NoLength), "0123", nil},
		{"truncated, close-delimited", simulator.Truncate(4, simulator.CloseEnds), "0123", nil},
		{"truncated beyond the end", simulator.Truncate(40, simulator.KeepLength), content, nil},
		{"flipped", simulator.FlipBit(1), "0023456789", nil},
		{"trickled", simulator.Trickle(3, time.Millisecond), content, nil},
		{"late", simulator.Latency(time.Millisecond), content, nil},
		{"hooked", simulator.Hook(func() {}), content, nil},
		{"hooked in mid-body", simulator.Hook(func() {}).AfterBytes(5), content, nil},
		{"reset in mid-body", simulator.ResetAfterBytes(5), "", syscall.ECONNRESET},
		{"reset", simulator.Reset(), "", syscall.ECONNRESET},
		{"lost", simulator.Lost(), "", syscall.ECONNRESET},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim, client := withObject(t, simulator.Rule{Op: "GetObject", Name: "a", Do: test.fault})
			got, err := body(t, sim, client)
			if !errors.Is(err, test.err) && !(test.err == syscall.ECONNRESET && errors.Is(err, io.EOF)) {
				t.Errorf("error = %v, want %v", err, test.err)
			}
			if test.err != syscall.ECONNRESET && got != test.want { // RST overtakes data
				t.Errorf("body = %q, want %q", got, test.want)
			}
			if n := len(sim.OCIFaults.Count()); n != 1 {
				t.Errorf("count = %v, want one kind", sim.OCIFaults.Count())
			}
		})
	}
}

func TestExtendedBody(t *testing.T) {
	sim, client := withObject(t, simulator.Rule{Do: simulator.Extend(7)})
	got, err := body(t, sim, client)
	if err != nil || len(got) != 17 || !strings.HasPrefix(got, content) {
		t.Errorf("body = %q, %v, want 7 bytes more", got, err)
	}
}

func TestStatusFaults(t *testing.T) {
	sim, client := withObject(t, simulator.Rule{Times: 1, Do: simulator.Status(429, "TooManyRequests", 7*time.Second)})
	response, err := get(sim, client, "a")
	wantOCI(t, err, 429, "TooManyRequests")
	if got := response.RawResponse.Header.Get("Retry-After"); got != "7" {
		t.Errorf("Retry-After = %q, want 7", got)
	}
	if got, err := body(t, sim, client); err != nil || got != content {
		t.Errorf("after one fault: %q, %v", got, err)
	}
	remove := sim.OCIFaults.Add(simulator.Rule{Do: simulator.Reply(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "<html>proxy</html>", http.StatusTooManyRequests)
	})})
	_, err = get(sim, client, "a")
	wantOCI(t, err, 429, "BadErrorResponse")
	remove()
	remove() // twice is harmless
	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Status(503, "ServiceUnavailable")})
	sim.OCIFaults.Clear()
	if got, err := body(t, sim, client); err != nil || got != content {
		t.Errorf("after Clear: %q, %v", got, err)
	}
}

func TestRuleConditions(t *testing.T) {
	sim := start(t, simulator.Options{Seed: 3})
	client := ociClient(t, sim, sim.Key)
	put(sim, "a", content)
	remove := sim.OCIFaults.Add(simulator.Rule{After: 1, Times: 2, Do: simulator.Status(500, "InternalError")})
	var got strings.Builder
	for range 5 {
		if _, err := body(t, sim, client); err != nil {
			got.WriteByte('x')
		} else {
			got.WriteByte('.')
		}
	}
	if got.String() != ".xx.." {
		t.Errorf("after 1, 2 times = %s, want .xx..", got.String())
	}
	remove()
	sim.OCIFaults.Add(simulator.Rule{Every: 0.3, Do: simulator.Status(500, "InternalError")})
	failed := 0
	for range 100 {
		if _, err := body(t, sim, client); err != nil {
			failed++
		}
	}
	if failed < 15 || failed > 45 {
		t.Errorf("%d of 100 failed, want about 30", failed)
	}
	sim.OCIFaults.Clear()
	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Status(500, "InternalError"), Op: "HeadObject"})
	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Status(500, "InternalError"), Name: "b"})
	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Status(500, "InternalError"), Match: func(*http.Request) bool { return false }})
	if _, err := body(t, sim, client); err != nil {
		t.Errorf("rules for others hit: %v", err)
	}
}

func TestHookOverwritesBetweenListAndGet(t *testing.T) {
	sim, client := withObject(t, simulator.Rule{})
	sim.OCIFaults.Clear()
	report, _ := sim.Source.Report("a")
	sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Times: 1, Do: simulator.Hook(func() { put(sim, "a", "newer") })})
	_, err := get(sim, client, "a", func(r *objectstorage.GetObjectRequest) { r.IfMatch = &report.ETag })
	wantOCI(t, err, 412, "IfMatchFailed")
}

func TestDeletedInMidBody(t *testing.T) {
	sim := start(t, simulator.Options{})
	sim.Source.Add(simulator.Object{Name: "a", Content: simulator.Random(1, 1<<20)})
	sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Hook(func() { sim.Source.Remove("a") }).AfterBytes(1000)})
	client := ociClient(t, sim, sim.Key)
	if got, err := body(t, sim, client); err != nil || len(got) != 1<<20 {
		t.Errorf("read %d bytes, %v, want the whole old version", len(got), err)
	}
	_, err := get(sim, client, "a")
	wantOCI(t, err, 404, "ObjectNotFound")
}

func TestRewrittenListing(t *testing.T) {
	sim := start(t, simulator.Options{})
	put(sim, "a", "")
	sim.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Rewrite(func(body []byte) []byte {
		return bytes.Replace(body, []byte(`"prefixes"`), []byte(`"nextStartWith":"a","prefixes"`), 1)
	})})
	page := list(t, sim, func(*objectstorage.ListObjectsRequest) {})
	if len(page.Objects) != 1 || *page.NextStartWith != "a" {
		t.Errorf("page = %+v, want one that points to itself", page)
	}
}

// TestStallEnds: a stall ends when the client gives up, when the rule is
// removed, when its channel closes, and when the server closes.
func TestStallEnds(t *testing.T) {
	until := make(chan struct{})
	sim, client := withObject(t, simulator.Rule{Times: 1, Do: simulator.Stall(4, until)})
	response, err := get(sim, client, "a")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 4)
	if _, err := io.ReadFull(response.Content, first); err != nil || string(first) != "0123" {
		t.Fatalf("before the stall: %q, %v", first, err)
	}
	close(until)
	if rest := read(t, response.Content); rest != "456789" {
		t.Errorf("after the stall: %q", rest)
	}

	started := make(chan struct{}, 1)
	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Hook(func() { started <- struct{}{} })})
	remove := sim.OCIFaults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
	go func() {
		<-started
		remove()
	}()
	if got, err := body(t, sim, client); err != nil || got != content {
		t.Errorf("after removing the rule: %q, %v", got, err)
	}

	sim.OCIFaults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
	go func() {
		<-started
		sim.Close()
	}()
	if _, err := body(t, sim, client); err == nil {
		t.Error("closing the server ended a stall with success")
	}
}

// TestStallEndsWithTheClient asks the S3 side, because the OCI SDK has a data
// race of its own when a request is cancelled.
func TestStallEndsWithTheClient(t *testing.T) {
	sim := start(t, simulator.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	sim.S3Faults.Add(simulator.Rule{Do: simulator.Hook(cancel)})
	sim.S3Faults.Add(simulator.Rule{Do: simulator.Stall(0, nil)})
	_, err := s3Client(t, sim).HeadObject(ctx, &s3.HeadObjectInput{Bucket: &sim.S3Bucket, Key: new(key)})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}

func TestFaultsOnUploading(t *testing.T) {
	for _, test := range []struct {
		name      string
		fault     simulator.Fault
		committed bool
		code      string // "" for a broken connection, "ok" for success
	}{
		{"503 before the body", simulator.Status(503, "SlowDown"), false, "SlowDown"},
		{"503 in mid-body", simulator.Status(503, "SlowDown").AfterBytes(4), false, "SlowDown"},
		{"503 after commit", simulator.Status(503, "SlowDown").Applied(), true, "SlowDown"},
		{"reset before the body", simulator.Reset(), false, ""},
		{"reset in mid-body", simulator.ResetAfterBytes(4), false, ""},
		{"response lost", simulator.Lost(), true, ""},
		{"bit flipped", simulator.FlipBit(3), false, "XAmzContentSHA256Mismatch"},
		{"slow", simulator.Trickle(4, time.Millisecond), true, "ok"},
		{"late after commit", simulator.Latency(time.Millisecond).Applied(), true, "ok"},
		{"redirect", simulator.Status(301, "PermanentRedirect"), false, "PermanentRedirect"},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := start(t, simulator.Options{})
			sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: test.fault})
			_, err := s3Client(t, sim).PutObject(t.Context(), putInput(sim, content))
			switch {
			case test.code == "ok" && err != nil:
				t.Error(err)
			case test.code == "" && (err == nil || errors.As(err, new(smithy.APIError))):
				t.Errorf("error = %v, want a broken connection", err)
			case test.code != "" && test.code != "ok":
				wantS3(t, err, test.code)
			}
			if got := len(sim.S3.History()) == 1; got != test.committed {
				t.Errorf("committed = %v, want %v", got, test.committed)
			}
		})
	}
}

func TestFaultsOnComplete(t *testing.T) {
	for _, test := range []struct {
		name      string
		fault     simulator.Fault
		committed bool
		check     func(out *s3.CompleteMultipartUploadOutput, err error) bool
	}{
		{"empty 200", simulator.EmptyComplete200(), false, func(out *s3.CompleteMultipartUploadOutput, err error) bool {
			return err != nil || out.ETag == nil
		}},
		{"empty 200 after commit", simulator.EmptyComplete200().Applied(), true, func(out *s3.CompleteMultipartUploadOutput, err error) bool {
			return err != nil || out.ETag == nil
		}},
		{"error in 200", simulator.Status(200, "InternalError"), false, func(_ *s3.CompleteMultipartUploadOutput, err error) bool {
			return err != nil
		}},
		{"slow", simulator.SlowComplete(3, 50*time.Millisecond), true, func(out *s3.CompleteMultipartUploadOutput, err error) bool {
			return err == nil && out.ETag != nil && *out.ChecksumCRC32C == crc32cOf("only")
		}},
		{"lost", simulator.Lost(), true, func(_ *s3.CompleteMultipartUploadOutput, err error) bool {
			return err != nil
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			sim := start(t, simulator.Options{})
			m := newMultipart(t, sim)
			if err := m.part(1, "only"); err != nil {
				t.Fatal(err)
			}
			sim.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Times: 1, Do: test.fault})
			if out, err := m.complete(); !test.check(out, err) {
				t.Errorf("complete = %+v, %v", out, err)
			}
			if got := len(sim.S3.History()) == 1; got != test.committed {
				t.Errorf("committed = %v, want %v", got, test.committed)
			}
			_, err := m.complete()
			if test.committed {
				wantS3(t, err, "NoSuchUpload")
			} else if err != nil {
				t.Errorf("repeated: %v", err)
			}
		})
	}
}

func TestStalledUpload(t *testing.T) {
	sim := start(t, simulator.Options{})
	until := make(chan struct{})
	sim.S3Faults.Add(simulator.Rule{Do: simulator.Stall(4, until)})
	sim.S3Faults.Add(simulator.Rule{Do: simulator.Hook(func() { close(until) })})
	if _, err := s3Client(t, sim).PutObject(t.Context(), putInput(sim, content)); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(sim.S3Faults.Count()); got != "map[hook:1 stall:1]" {
		t.Errorf("count = %s", got)
	}
}
