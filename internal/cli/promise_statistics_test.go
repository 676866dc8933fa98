package cli_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/focus"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// records is what the ledger holds, by object.
func (w *world) records(t *testing.T) map[string]messages.Record {
	t.Helper()
	conn, end := w.queue(t)
	defer end()
	ledger, err := conn.Ledger(t.Context(), messages.Define("focus", "main", 1, time.Minute).State, "main")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]messages.Record{}
	for e, err := range ledger.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		all[e.Record.Object.Name] = e.Record
	}
	return all
}

// TestReportsAreReadWhileTheyAreCopied, and what they say stands in the ledger and goes
// along with the object; other files are copied as well, with a word about what they are.
func TestReportsAreReadWhileTheyAreCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_INTEGRITY_METADATA=true")
	report, other := object(2, "report.csv.gz", 0), object(1, "other.csv.gz", 500)
	report.Content = simulator.FocusReport(3, time.Now().AddDate(0, 0, -2), 400)
	w.add(report, other)
	w.sync(t, 0)
	w.check(t)
	records := w.records(t)
	got := records[report.Name].Copy.Statistics
	if want := new(focus.Inspector).Inspect(report.Content.Open(0)); !got.Complete() || got.Rows != 400 || len(got.Sums) != 1 || !slices.Equal(got.Sums, want.Sums) {
		t.Errorf("statistics %+v, want %+v", got, want)
	}
	if s := records[other.Name].Copy.Statistics; s == nil || s.Gzip != "it does not begin as a gzip file does" || s.Rows != 0 {
		t.Errorf("statistics of random bytes %+v", s)
	}
	for _, o := range w.S3.Objects() {
		rows := map[bool]string{true: "400"}[strings.Contains(o.Key, "report")]
		if o.Metadata["focus-rows"] != rows {
			t.Errorf("%s has the metadata %v", o.Key, o.Metadata)
		}
	}
}

// TestNothingIsReadWhereNobodyWantsIt, and what must be valid is not copied where it is not.
func TestNothingIsReadWhereNobodyWantsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_INTEGRITY_REQUIRE_VALID_GZIP=true")
	bad := object(1, "bad.csv.gz", 500)
	w.add(bad)
	w.sync(t, 1)
	if r := w.records(t)[bad.Name]; r.Class != messages.InvalidGzip || len(w.S3.History()) > 0 {
		t.Errorf("record %+v, %d commits", r, len(w.S3.History()))
	}
	w.set("FOCUS_INTEGRITY_REQUIRE_VALID_GZIP", "false")
	w.set("FOCUS_INTEGRITY_STATISTICS", "false")
	w.run(t, "failed", "retry", "bad.csv.gz", "--yes").want(t, 0)
	w.sync(t, 0)
	w.check(t)
	if r := w.records(t)[bad.Name]; r.Status != messages.StatusCopied || r.Copy.Statistics != nil {
		t.Errorf("record %+v", r)
	}
}

// TestAnOperatorDecidesAboutChangedBytes: one version is sent, the other stays.
func TestAnOperatorDecidesAboutChangedBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_INTEGRITY_CHANGED=hold")
	sent, kept := object(1, "sent.csv.gz", 500), object(2, "kept.csv.gz", 500)
	w.add(sent, kept)
	w.sync(t, 0)
	before := w.records(t)
	for i, o := range []simulator.Object{sent, kept} {
		w.add(simulator.Object{Name: o.Name, Content: simulator.Random(uint64(90+i), 500)})
	}
	w.sync(t, 1)
	if got := w.failed(t, "--cause", "held"); len(got) != 2 || len(w.S3.History()) != 2 {
		t.Errorf("held: %q, %d commits", got, len(w.S3.History()))
	}
	w.run(t, "failed", "retry", "sent.csv.gz", "--yes").want(t, 0)
	w.run(t, "failed", "discard", "kept.csv.gz", "--reason", "closed", "--yes").want(t, 0)
	w.sync(t, 0)
	after := w.records(t)
	if c, was := after[sent.Name].Copy, before[sent.Name].Copy; c.Replaced == nil || c.Replaced.CRC32C != was.CRC32C || c.CRC32C == was.CRC32C {
		t.Errorf("copy %+v, replaced %+v", c, c.Replaced)
	}
	if r := after[kept.Name]; r.Status != messages.StatusDiscarded || r.Copy == nil || r.Copy.CRC32C != before[kept.Name].Copy.CRC32C {
		t.Errorf("record %+v, copy %+v", r, r.Copy)
	}
	if n := len(w.S3.History()); n != 3 {
		t.Errorf("%d commits, want 3", n)
	}
}
