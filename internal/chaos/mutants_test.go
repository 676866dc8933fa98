package chaos_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

// A mutant is a planted bug: the program with some text replaced. It is built with an
// overlay, so that nothing of it is ever in the tree. Where the program has several
// guards against one fault, a mutant removes each of them, or it would be no bug.
type mutant struct {
	number int
	bug    string
	edits  []edit
	hunt   hunt // how the checker is set on it
	// control is that part of the edits which is no bug by itself.
	control []edit
	// killedBy is a test of the package itself that fails as well.
	killedBy string
}

// An edit replaces text that stands in a file exactly once.
type edit struct{ file, old, new string }

// mutants are the bugs that the checker must find.
func mutants() []mutant {
	return []mutant{
		{
			number: 1, bug: "the source is read without If-Match, and no etag is compared",
			hunt: overwrittenWhileRead(),
			edits: []edit{
				{"internal/oci/open.go", `req.Header.Set("If-Match", etag)`, "_ = etag"},
				{"internal/oci/open.go", `raw.Header.Get("etag") != "" && raw.Header.Get("etag") != etag`, "false"},
				{"copier/version.go", `case o.ETag != "" && got.ETag != "" && o.ETag != got.ETag:`, "case false:"},
			},
			killedBy: "./copier TestTheAnswerMustAgreeWithTheListing",
		},
		{
			number: 2, bug: "a body without a length may be shorter than the listing says",
			hunt: cutShort(simulator.NoLength),
			edits: []edit{
				{"copier/convoy.go", "\tmoved func(n int)\n", "\tmoved func(n int)\n\tcame  int\n"},
				{"copier/convoy.go", "in.look.pass(buf[n:n+m], nil)\n\t\tn += m\n", "in.look.pass(buf[n:n+m], nil)\n\t\tn += m\n\t\tin.came = n\n"},
				{"copier/send.go", "if err := in.fill(buf); err != nil {\n\t\treturn nil, err\n", `if err := in.fill(buf); messages.ClassOf(err) == messages.Length {
		buf = buf[:in.came]
		in.sums.add(extend(0, buf), buf)
	} else if err != nil {
		return nil, err
`},
			},
			killedBy: "./copier TestWrongBytesAreNeverVisible",
		},
		{
			number: 3, bug: "io.ErrUnexpectedEOF counts as the end of a body, and what is missing of the buffer stays as it was",
			hunt: cutShort(simulator.KeepLength),
			edits: []edit{
				{"internal/oci/open.go", "n, err := r.ReadCloser.Read(p)\n", "n, err := r.ReadCloser.Read(p)\n\tif errors.Is(err, io.ErrUnexpectedEOF) {\n\t\terr = io.EOF\n\t}\n"},
				{"copier/convoy.go", "case err == io.EOF && n < len(buf):\n", "case err == io.EOF && n < len(buf):\n\t\t\tn, crc = len(buf), extend(0, buf)\n\t\tcase false:\n"},
			},
			killedBy: "./copier TestWrongBytesAreNeverVisible",
		},
		{
			number: 4, bug: "the transport asks for gzip, and unpacks what has a Content-Encoding",
			hunt:     packed(),
			edits:    []edit{{"internal/oci/transport.go", "DisableCompression: true", "DisableCompression: false"}},
			killedBy: "./internal/oci TestOpenYieldsTheStoredBytes",
		},
		{
			number: 5, bug: "the checksums are compared after Complete",
			hunt: flippedBits(),
			edits: []edit{
				{"copier/send.go", `parts, err := c.sendAll(j, in, up)
	if err != nil {
		return nil, err
	}
	crc, verified, err := in.finish(j.object)
	if err != nil {
		return nil, err
	}
`, `parts, err := c.sendAll(j, in, up)
	if err != nil {
		return nil, err
	}
	crc, verified, mismatch := in.finish(j.object)
`},
				{"copier/send.go", "return c.receipt(j, etag, crc, verified, messages.HowCopied), nil", "return c.receipt(j, etag, crc, verified, messages.HowCopied), mismatch"},
			},
			killedBy: "./copier TestChecksumLadder",
		},
		{
			number: 6, bug: "the record is written before the commit",
			hunt: calm(),
			edits: []edit{
				{"copier/send.go", "etag, err := c.Objects.Put(", `early := c.newRecord(j, messages.StatusCopied)
	early.Copy = c.receipt(j, "", crc, verified, messages.HowCopied)
	if _, err := c.write(j, early); err != nil {
		return nil, err
	}
	etag, err := c.Objects.Put(`},
				{"copier/send.go", "etag, err := c.Parts.Complete(", `early := c.newRecord(j, messages.StatusCopied)
	early.Copy = c.receipt(j, "", crc, verified, messages.HowCopied)
	if _, err := c.write(j, early); err != nil {
		return nil, err
	}
	etag, err := c.Parts.Complete(`},
			},
			killedBy: "./copier TestF56ACommitThatTakesLong",
		},
		{
			number: 7, bug: "the message is acknowledged before the record is written",
			hunt: calm(),
			edits: []edit{{"copier/copier.go", "j.succeed(r.Copy)\n", `j.succeed(r.Copy)
	if err := j.delivery.Settle(j.ctx, Verdict{Act: Ack}); err != nil {
		return false, err
	}
`}},
			killedBy: "./copier TestF56ACommitThatTakesLong",
		},
		{
			number: 8, bug: "an upload is aborted with the context whose end ended the copy, and struck from the ledger",
			hunt: stoppedInACopy(),
			edits: []edit{{"copier/upload.go", "\tcase !completed && up.stands() > 0 && keeps(failure):\n", `	case failure != nil:
		_ = c.Uploads.Abort(j.ctx, up.Key, up.ID)
		u := up.Upload
		u.ID = ""
		return c.writeUpload(ctx, j.object.Name, u, c.noteRevision(ctx, j, up))
	case !completed && up.stands() > 0 && keeps(failure):
`}},
			killedBy: "./copier TestAShutdownKeepsTheUpload",
		},
		{
			number: 9, bug: "a commit without an etag counts",
			hunt: emptyAnswers(),
			edits: []edit{
				{"internal/s3/objects.go", `if e := unquote(etag); e != "" {`, "if e := unquote(etag); true {"},
				{"copier/send.go", `if err == nil && etag == "" {`, "if false {"},
			},
			killedBy: "./copier TestACommitWithoutAnETagIsTold",
		},
		{
			number: 10, bug: "the Msg-Id does not name the version, so that a changed file is not queued again",
			hunt:     changed(),
			edits:    []edit{{"messages/names.go", `id := fmt.Sprintf("%s/%s@%s#%d", m.Route, m.Object.Name, m.Object.Version(), m.Generation)`, `id := fmt.Sprintf("%s/%s#%d", m.Route, m.Object.Name, m.Generation)`}},
			killedBy: "./messages TestGoldenNames",
		},
		{
			number: 11, bug: "the queue has room for eight messages, and drops the oldest",
			hunt: backlog(),
			edits: []edit{
				{"internal/nats/assets.go", "DiscardNewPerSubject: s.DiscardNewPerSubject,", "DiscardNewPerSubject: false,"},
				{"internal/nats/assets.go", "cfg.Retention = jetstream.WorkQueuePolicy\n", "cfg.Retention, cfg.MaxMsgs = jetstream.WorkQueuePolicy, 8\n"},
				{"internal/nats/assets.go", "cfg.Discard = jetstream.DiscardNew\n", "cfg.Discard = jetstream.DiscardOld\n"},
			},
			killedBy: "./internal/nats TestF71AFullStream",
		},
		{
			number: 12, bug: "the marks move after a page of the listing that failed",
			hunt: failedListing(),
			edits: []edit{{"scanner/scanner.go", `err = p.list(ctx)
	if err == nil {
		err = s.advance(ctx, marks, revision, w, started)
	}
`, "err = errors.Join(p.list(ctx), s.advance(ctx, marks, revision, w, started))\n"}},
			killedBy: "./scanner TestScanSurvivesEveryFault",
		},
		{
			number: 13, bug: "what is not understood is taken for a failure for good",
			hunt:     oddAnswers(),
			edits:    []edit{{"copier/failure.go", "case r.Class == messages.Refused ||", "case r.Class == messages.Unknown || r.Class == messages.Refused ||"}},
			killedBy: "./copier TestFAnswers",
		},
		{
			number: 14, bug: "an upload that is gone cannot be aborted, and that is a failure",
			hunt:     lostCommits(),
			edits:    []edit{{"copier/upload.go", "case err == nil || errors.Is(err, messages.NoUpload):", "case err == nil:"}},
			killedBy: "./copier TestFAnswers",
		},
		{
			number: 15, bug: "a worker takes many messages ahead and lets them wait",
			hunt: backlog(),
			edits: []edit{
				{"messages/assets.go", "MaxRequestBatch: 1,", "MaxRequestBatch: 512,"},
				{"internal/nats/queue.go", "live, backfill messages.Consumer\n", "live, backfill messages.Consumer\n\tahead          chan *natsgo.Msg\n"},
				{"internal/nats/queue.go", "return &Queue{c, a.Live, a.Backfill, ", "return &Queue{c, a.Live, a.Backfill, make(chan *natsgo.Msg, 4096), "},
				{"internal/nats/queue.go", "\tnc := q.conn.nc\n", `	nc := q.conn.nc
	for len(q.ahead) > 0 {
		if msg := <-q.ahead; !isStatus(msg) {
			return q.delivery(msg, time.Now())
		}
	}
`},
				{"internal/nats/queue.go", "inbox := make(chan *natsgo.Msg, 8)", "inbox := q.ahead"},
				{"internal/nats/queue.go", "\tdefer sub.Unsubscribe()\n", ""},
				{"internal/nats/queue.go", "{\"batch\":1,\"no_wait\":true}", "{\"batch\":500,\"no_wait\":true}"},
				{"internal/nats/queue.go", "{\"batch\":1,\"expires\":%d}", "{\"batch\":500,\"expires\":%d}"},
			},
			killedBy: "./internal/nats TestReconnectNeverPrefetches",
		},
		{
			number: 16, bug: "the window of a scan is made of local days",
			hunt:     farZone(),
			edits:    []edit{{"messages/reports.go", "return Day(t.UTC().Format(time.DateOnly))", "return Day(t.Local().Format(time.DateOnly))"}},
			killedBy: "./scanner TestWindowInEveryZone",
		},
		{
			number: 17, bug: "a message that is given up leaves the queue before its dead letter is written",
			hunt: lies(),
			edits: []edit{{"copier/failure.go", "if err := c.Dead.Bury(ctx, messages.DeadLetter{", `if err := j.delivery.Settle(ctx, Verdict{Act: Term, Reason: string(class)}); err != nil {
		return nil
	}
	if err := c.Dead.Bury(ctx, messages.DeadLetter{`}},
			killedBy: "./copier TestCopySurvivesEveryFault",
		},
		{
			number: 18, bug: "a secret hides from slog alone, and a role logs its configuration",
			hunt: talkative(),
			edits: []edit{
				{"internal/config/secret.go", "type Secret struct{ value *string }", "type Secret struct{ value string }"},
				{"internal/config/secret.go", "return Secret{&value}", "return Secret{value}"},
				{"internal/config/secret.go", "\treturn *s.value\n", "\treturn s.value\n"},
				{"internal/config/secret.go", "func (s Secret) Reveal() string {\n\tif s.value == nil {", "func (s Secret) Reveal() string {\n\tif s.value == \"\" {"},
				{"internal/config/secret.go", "return s.value != nil", `return s.value != ""`},
				{"internal/config/secret.go", "func (s Secret) String() string {\n\tif s.value == nil {\n\t\treturn \"\"\n\t}\n\treturn mask\n", "func (s Secret) String() string {\n\treturn s.value\n"},
				{"internal/config/secret.go", "func (s Secret) GoString() string { return s.String() }", ""},
				{"internal/config/secret.go", "func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }", ""},
				{"internal/config/secret.go", "return slog.StringValue(s.String())", "return slog.StringValue(mask)"},
				{"internal/config/secret.go", "func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }", ""},
				{"internal/config/secret.go", "func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`\"` + s.String() + `\"`), nil }", ""},
				{"internal/config/secret.go", "func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }", ""},
				{"internal/config/secret.go", "\t\"fmt\"\n", ""},
				logsItsConfiguration(),
			},
			control:  []edit{logsItsConfiguration()},
			killedBy: "./internal/config TestSecretIsNeverPrinted",
		},
		{
			number: 19, bug: "a worker commits without a lease",
			hunt:     frozenCopier(),
			edits:    []edit{{"copier/lease.go", "l.gone || age > l.wait*3/4", "false"}},
			killedBy: "./copier TestNoCommitWithoutALease",
		},
	}
}

// logsItsConfiguration is no bug as long as secrets hide from every formatter.
func logsItsConfiguration() edit {
	return edit{"internal/cli/run.go", `log.Info("started", "role", name, `, `log.Info("started", "role", name, "config", *cfg, `}
}

// sources are the files that the mutant changes, by their path in the module.
func (m mutant) sources(root string) (map[string]string, error) {
	changed := map[string]string{}
	for _, e := range m.edits {
		text, ok := changed[e.file]
		if !ok {
			raw, err := os.ReadFile(filepath.Join(root, e.file))
			if err != nil {
				return nil, err
			}
			text = string(raw)
		}
		if n := strings.Count(text, e.old); n != 1 {
			return nil, fmt.Errorf("mutant %d: the text stands %d times in %s, and must stand there once; bring the mutant up to the program of today:\n%s", m.number, n, e.file, e.old)
		}
		changed[e.file] = strings.Replace(text, e.old, e.new, 1)
	}
	return changed, nil
}

// overlay writes the changed files and what makes the go command take them.
func (m mutant) overlay(root, dir string) (path string, err error) {
	changed, err := m.sources(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for file, text := range changed {
		to := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, file)] = to
	}
	raw, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, raw, 0o600)
}

// TestMutantsApply: each planted bug still has its place in the program.
func TestMutantsApply(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	for i, m := range mutants() {
		if m.number != i+1 {
			t.Errorf("mutant %d stands at place %d", m.number, i+1)
		}
		if _, err := m.sources(root); err != nil {
			t.Error(err)
		}
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
