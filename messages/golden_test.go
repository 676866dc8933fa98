package messages_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

var update = flag.Bool("update", false, "rewrite the golden files of testdata")

// at is an instant with a nanosecond part, so that a format that loses it shows.
func at(hour int) time.Time { return time.Date(2024, 11, 29, hour, 4, 5, 678901234, time.UTC) }

func object() messages.Object {
	return messages.Object{
		Name: "FOCUS Reports/2024/11/28/0001000002103533-00001.csv.gz",
		ETag: "6b1c4f5e-8f0b-4a7e-9d43-2f1f0a7a9c11",
		Size: 1_234_567,
		MD5:  "1B2M2Y8AsgTpgAmY7PhCfg==", CRC32C: "4waSgw==",
		Created: at(1), Modified: at(2),
	}
}

func copied() *messages.FileCopied {
	return &messages.FileCopied{
		Key: "focus/2024-11-28_0001000002103533-00001.csv.gz", ETag: `"9b2cf535f27731c974343645a3985328-2"`,
		Size: 1_234_567, CRC32C: "4waSgw==", MD5: "1B2M2Y8AsgTpgAmY7PhCfg==",
		Verified: messages.ByCRC32C, How: messages.HowCopied, At: at(4), Seconds: 1.25,
	}
}

// golden compares got with a file of testdata, or rewrites it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	got = append(bytes.Clone(got), '\n')
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; go test ./messages -update writes it", err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s has changed: what outlives a process must stay readable.\n got %s\nwant %s", file, got, want)
	}
}

// format is one of the formats that outlive a process.
type format struct {
	file   string
	value  any
	encode func() ([]byte, error)
	decode func([]byte) (any, error)
}

func decoder[T any](f func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

func formats() []format {
	message := messages.FileDiscovered{
		Schema: 1, Route: "main", Object: object(), Generation: 2, Epoch: 1, Discovered: at(3), Scan: "K7QZ2MNA", Trace: "4TWPLQ6RAXYZ",
	}
	done := messages.Record{
		Schema: 1, Status: messages.StatusCopied, Epoch: 1, Object: object(), Copy: copied(), Generation: 2,
		Worker: "host-1", Trace: "4TWPLQ6RAXYZ", At: at(4),
	}
	retrying := messages.Record{
		Schema: 1, Status: messages.StatusRetrying, Object: object(), Copy: copied(), Repeat: true, Attempts: 2, Mismatches: 1,
		FirstFailed: at(3), Class: messages.HashMismatch, Error: "verify: the sums differ", Worker: "host-1", At: at(5),
	}
	failed := retrying
	failed.Repeat = false
	failed.Status, failed.Copy, failed.Attempts, failed.Mismatches = messages.StatusFailed, nil, 3, 3
	imported := done
	imported.Copy = &messages.FileCopied{Key: copied().Key, Size: copied().Size, How: messages.HowImported, At: at(4), Seconds: 12.5}
	traced := done
	traced.TraceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	due := done
	due.Status, due.Generation, due.Worker, due.Trace = messages.StatusDue, 3, "", ""
	upload := messages.Upload{
		Schema: 1, Key: copied().Key, ID: "2~upload", ETag: object().ETag, PartSize: 8 << 20,
		Abandoned: []string{"2~older"}, Worker: "host-1", Started: at(4),
	}
	partly := upload
	partly.Size, partly.MD5, partly.CRC32C, partly.Epoch, partly.Updated = 20<<20, object().MD5, "Dzn2nw==", 1, at(5)
	partly.Parts = []messages.UploadPart{{ETag: `"9b2cf535f27731c974343645a3985328"`, CRC32C: "yZRlqg=="}}
	partly.Sums = &messages.PrefixSums{CRC32C: "yZRlqg==", MD5: []byte("md5\x01state")}
	marks := messages.Marks{Schema: 1, Epoch: 1, Since: "2024-10-25", Scanned: at(6), Swept: at(5)}
	identity := messages.Identity{
		Schema: 1, Namespace: "bling", Bucket: "ocid1.tenancy.oc1..aaaa", Prefix: "FOCUS Reports/",
		S3Bucket: "umbrella", S3Prefix: "focus/", Template: "{YYYY}-{MM}-{DD}_{basename}", Epoch: 1, Created: at(0),
	}
	letter := messages.DeadLetter{
		Schema: 1, Route: "main", Name: object().Name, Object: object(), Class: messages.HashMismatch, Error: "verify: the sums differ",
		Subject: "focus.files.live.main.x", Message: `{"schema":1}`, Attempts: 3, Worker: "host-1", At: at(7),
	}
	verification := messages.Verification{
		Schema: 1, Epoch: 1, From: "2024-10-25", To: "2024-11-29", Started: at(6), Seconds: 12.5, Worker: "host-1/7", Scheduled: true,
		Destination: "head", Listed: true, Equal: 240, Pending: 2, Missing: 1, OnlyThere: 1, Different: 1, Errors: 1, Ingested: 3, Discarded: 1,
		Ordered: 2, Full: at(1), Claimed: at(7), ClaimedBy: "host-2/9",
		Differences: []messages.Deviation{{Mark: "+", Day: "2024-11-28", Object: object().Name, Key: copied().Key, Why: "it is not at the destination"}},
	}
	digest := messages.DigestNote{Schema: 1, Until: at(6), By: "host-1/7", At: at(7)}
	backfilled := messages.Marks{Schema: 1, Since: "2024-10-25", Scanned: at(6), Swept: at(5), Ranges: []messages.Range{{From: "2024-01-01", To: "2024-03-31"}, {From: "2024-06-01", To: "2024-06-01"}}}
	pause := messages.Pause{Schema: 1, Reason: "the bucket moves", By: "ann@host-1", At: at(6)}
	action := messages.Action{
		Schema: 1, Action: "failed discard", By: "ann@host-1", At: at(7), Reason: "a test file", Detail: "cause held", Count: 1, Files: []string{object().Name},
	}
	record := decoder(messages.DecodeRecord)
	return []format{
		{"marks-ranges.v1.json", backfilled, backfilled.Encode, decoder(messages.DecodeMarks)},
		{"pause.v1.json", pause, pause.Encode, decoder(messages.DecodePause)},
		{"action.v1.json", action, action.Encode, decoder(messages.DecodeAction)},
		{"verification.v1.json", verification, verification.Encode, decoder(messages.DecodeVerification)},
		{"discovered.v1.json", message, message.Encode, decoder(messages.DecodeDiscovered)},
		{"record-copied.v1.json", done, done.Encode, record},
		{"record-traced.v1.json", traced, traced.Encode, record},
		{"record-retrying.v1.json", retrying, retrying.Encode, record},
		{"record-failed.v1.json", failed, failed.Encode, record},
		{"record-due.v1.json", due, due.Encode, record},
		{"record-imported.v1.json", imported, imported.Encode, record},
		{"upload.v1.json", upload, upload.Encode, decoder(messages.DecodeUpload)},
		{"upload-parts.v1.json", partly, partly.Encode, decoder(messages.DecodeUpload)},
		{"marks.v1.json", marks, marks.Encode, decoder(messages.DecodeMarks)},
		{"identity.v1.json", identity, identity.Encode, decoder(messages.DecodeIdentity)},
		{"digest.v1.json", digest, digest.Encode, decoder(messages.DecodeDigestNote)},
		{"dead-letter.v1.json", letter, letter.Encode, decoder(messages.DecodeDeadLetter)},
	}
}

func TestGoldenFormats(t *testing.T) {
	for _, f := range formats() {
		b, err := f.encode()
		if err != nil {
			t.Fatalf("%s: %v", f.file, err)
		}
		golden(t, f.file, b)
		kept, err := os.ReadFile(filepath.Join("testdata", f.file))
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.decode(kept)
		if err != nil || !reflect.DeepEqual(got, f.value) {
			t.Errorf("%s decodes to\n%+v, %v, want\n%+v", f.file, got, err, f.value)
		}
	}
}

// TestEncodeStampsTheSchema: a caller cannot forget or forge it.
func TestEncodeStampsTheSchema(t *testing.T) {
	for _, e := range []func() ([]byte, error){
		messages.FileDiscovered{Schema: 7}.Encode, messages.Record{Schema: 7}.Encode, messages.Upload{}.Encode,
		messages.Marks{}.Encode, messages.Identity{Schema: -1}.Encode, messages.DeadLetter{}.Encode,
	} {
		b, err := e()
		if err != nil || !strings.HasPrefix(string(b), `{"schema":1,`) {
			t.Errorf("Encode = %s, %v", b, err)
		}
	}
}

func TestGoldenAssets(t *testing.T) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	for _, a := range []messages.Assets{
		messages.Define("focus", "main", 1, 5*time.Minute),
		messages.Define("acme", "eu", 3, 30*time.Second),
	} {
		if err := enc.Encode(a); err != nil {
			t.Fatal(err)
		}
	}
	golden(t, "assets.json", bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// TestAssetsKeepTheirPromises names the fields on which a promise rests, so that
// -update cannot change them unread.
func TestAssetsKeepTheirPromises(t *testing.T) {
	a := messages.Define("focus", "main", 3, time.Minute)
	if f := a.Files; !f.WorkQueue || !f.DiscardNew || !f.DiscardNewPerSubject || f.MaxMsgsPerSubject != 1 || f.Duplicates != 2*time.Minute {
		t.Errorf("a file can be queued twice: %+v", f)
	}
	if d := a.Dead; d.WorkQueue || d.DiscardNew || d.MaxMsgsPerSubject != 1 || d.MaxAge != 400*24*time.Hour {
		t.Errorf("dead letters are not kept, one a file: %+v", d)
	}
	if a.Dead.MaxMsgSize <= a.Files.MaxMsgSize {
		t.Errorf("a dead letter of %d bytes cannot hold a message of %d", a.Dead.MaxMsgSize, a.Files.MaxMsgSize)
	}
	for _, c := range []messages.Consumer{a.Live, a.Backfill} {
		if c.MaxDeliver != -1 || c.AckWait != time.Minute || c.MaxAckPending != 4096 || c.MaxWaiting != 4096 || c.MaxRequestBatch != 1 || c.Stream != a.Files.Name {
			t.Errorf("consumer %+v", c)
		}
	}
	if a.State.History != 3 || a.State.MaxValueSize != messages.MaxSize {
		t.Errorf("bucket %+v", a.State)
	}
	for _, r := range []int{a.Files.Replicas, a.Dead.Replicas, a.State.Replicas} {
		if r != 3 {
			t.Errorf("%d replicas, want 3", r)
		}
	}
	if b := messages.Define("focus", "eu", 3, time.Minute); b.Live.Name == a.Live.Name || b.Live.FilterSubject == a.Live.FilterSubject {
		t.Errorf("two routes share the consumer %q", b.Live.Name)
	}
}

func TestGoldenNames(t *testing.T) {
	var out strings.Builder
	n, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	rules := messages.Rules{Prefix: "FOCUS Reports/", Naming: n, KeyPrefix: "focus/"}
	for _, base := range []string{
		"0001000002103533-00001.csv.gz", "a+b%20#c&=.csv.gz", "é.csv.gz", "e\u0301.csv.gz", "\U0001F4B0.csv.gz", "A.B..csv.gz", `*>"'.csv.gz`,
	} {
		o := object()
		o.Name = "FOCUS Reports/2024/02/29/" + base
		r, err := rules.Report(o)
		if err != nil {
			t.Fatal(err)
		}
		m := messages.FileDiscovered{Route: "main", Object: o, Generation: 3}
		fmt.Fprintf(&out, "%s\n  key     %s\n  record  %s\n  live    %s\n  any     %s\n  dead    %s\n  upload  %s\n  msg-id  %s\n",
			o.Name, r.Key, messages.RecordKey("main", r), messages.Subject("focus", messages.Live, "main", o.Name),
			messages.AnyLane("focus", "main", o.Name), messages.DeadSubject("focus", "main", o.Name), messages.UploadKey("main", o.Name), m.MsgID())
	}
	without := object()
	without.ETag = ""
	fmt.Fprintf(&out, "without an etag\n  msg-id  %s\n", messages.FileDiscovered{Route: "main", Object: without}.MsgID())
	fmt.Fprintf(&out, "others\n  day     %s\n  marks   %s\n  meta    %s\n  subject %s\n",
		messages.DayPrefix("eu", "2024-02-29"), messages.MarksKey("eu"), messages.IdentityKey("eu"), messages.Subject("acme", messages.Backfill, "eu", "x/y"))
	golden(t, "names.txt", []byte(strings.TrimSuffix(out.String(), "\n")))
}
