package cli_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A message is a hint that says no more than a name. Whatever else stands in
// one, no request leaves the configured bucket and path, and the message ends
// among the dead letters instead of coming back for ever.
func TestNoMessageMakesARequestOutsideTheConfiguredPaths(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	conn := server.Connect(t)
	good := object(1, "good.csv.gz", 500)
	secret := simulator.Object{Name: "private/secret.csv.gz", Content: simulator.Random(1, 500)}
	w.add(good, secret)

	message := func(name string, more string) string {
		return fmt.Sprintf(`{"schema":1,"route":"main","object":{"name":%q,"size":500},"generation":0,"discovered":"2026-01-02T03:04:05Z"%s}`, name, more)
	}
	subject := func(name string) string { return messages.Subject("focus", messages.Live, "main", name) }
	evil := []struct{ subject, body string }{
		{subject(secret.Name), message(secret.Name, "")},
		{subject("FOCUS Reports/../private/secret.csv.gz"), message("FOCUS Reports/../private/secret.csv.gz", "")},
		{subject("FOCUS Reports/2026/01/02/../../../../private/secret.csv.gz"), message("FOCUS Reports/2026/01/02/../../../../private/secret.csv.gz", "")},
		{subject("FOCUS Reports/2026/01/02/..%2F..%2Fsecret.csv.gz/x"), message("FOCUS Reports/2026/01/02/..%2F..%2Fsecret.csv.gz/x", "")},
		{subject("https://example.com/x.csv.gz"), message("https://example.com/x.csv.gz", "")},
		{subject(nameOf(1, "other-route.csv.gz")), strings.Replace(message(nameOf(1, "other-route.csv.gz"), ""), `"main"`, `"other"`, 1)},
		{subject(nameOf(1, "other-subject.csv.gz")), message(good.Name, "")},
		{subject("not json"), "rm -rf /"},
		{subject("empty"), ""},
		{subject("array"), "[1,2,3]"},
		{subject("null"), "null"},
		{subject("no schema"), `{"route":"main"}`},
		{subject("large"), `{"schema":1,"route":"` + strings.Repeat("x", 60<<10) + `"}`},
		{subject("deep"), strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000)},
		{subject("deep array"), strings.Repeat("[", 20000)},
		{subject("not utf-8"), "\xff\xfe\x00{"},
		{subject("huge number"), `{"schema":1e999}`},
		{subject("negative"), `{"schema":1,"route":"main","object":{"name":"negative","size":-1}}`},
	}
	for _, e := range evil {
		reply, err := conn.NATS().Request(e.subject, []byte(e.body), 10*time.Second)
		if err != nil || strings.Contains(string(reply.Data), "error") {
			t.Fatalf("publish on %s: %s, %v", e.subject, reply.Data, err)
		}
	}
	// What the stream itself does not take: 64 KiB are the limit.
	reply, err := conn.NATS().Request(subject("too large"), make([]byte, 64<<10+1), 10*time.Second)
	if err != nil || !strings.Contains(string(reply.Data), "error") {
		t.Errorf("65537 bytes were answered by %s, %v; want an error", reply.Data, err)
	}
	// A message with a destination of its own is read for the name alone.
	named := object(1, "named.csv.gz", 500)
	w.add(named)
	body := message(named.Name, `,"bucket":"evil","key":"../../evil","s3_key":"evil","endpoint":"http://127.0.0.1:1","oci_bucket":"evil","url":"http://127.0.0.1:1"`)
	if _, err := conn.NATS().Request(subject(named.Name), []byte(body), 10*time.Second); err != nil {
		t.Fatal(err)
	}

	copier := w.start(t, "copier")
	dead := func() uint64 {
		s, err := conn.Status(t.Context(), messages.Define("focus", "main", 1, 5*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if s.Live.Waiting+uint64(s.Live.InFlight) > 0 {
			return 0
		}
		return s.Dead
	}
	eventually(t, "every hostile message is a dead letter", func() bool { return dead() >= uint64(len(evil)) })
	copier.stop().want(t, 0)
	if got := dead(); got != uint64(len(evil)) {
		t.Errorf("%d dead letters, want %d", got, len(evil))
	}
	letter, err := conn.NATS().Request("$JS.API.STREAM.MSG.GET.FOCUS_DEAD",
		fmt.Appendf(nil, `{"last_by_subj":%q}`, messages.DeadSubject("focus", "main", secret.Name)), 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var stored struct {
		Message struct {
			Data []byte `json:"data"`
		} `json:"message"`
	}
	if err := json.Unmarshal(letter.Data, &stored); err != nil {
		t.Fatal(err)
	}
	if d, err := messages.DecodeDeadLetter(stored.Message.Data); err != nil || d.Class != messages.Refused || !strings.Contains(d.Error, "outside the prefix") {
		t.Errorf("the dead letter of %q = %+v, %v; want it refused as outside the prefix", secret.Name, d, err)
	}

	if got := w.OCI.Requests()["GetObject"]; got != 1 {
		t.Errorf("%d objects read, want only %q", got, named.Name)
	}
	if got := w.OCI.Requests()["Other"]; got != 0 {
		t.Errorf("%d requests at OCI went astray", got)
	}
	for op, n := range w.S3.Requests() { // the list is that of the copier's sweep
		if op != "" && op != "PutObject" && op != "HeadObject" && op != "ListMultipartUploads" || n > 1 {
			t.Errorf("%d requests %s at S3, want one PutObject", n, op)
		}
	}
	w.check(t, good.Name)

	// And the queue goes on: the same names can be discovered as usual.
	if got := w.sync(t, 0).Transferred; got != 1 {
		t.Errorf("%d transferred, want 1", got)
	}
	w.check(t)
}
