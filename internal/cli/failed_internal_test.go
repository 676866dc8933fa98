package cli

import (
	"context"
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// failedRoute is a route over a queue of its own, with one file that was given up after an
// earlier version of it was delivered.
func failedRoute(t *testing.T) (r *route, key string, revision uint64) {
	t.Helper()
	conn := natstest.New(t).Connect(t)
	r = &route{cfg: &config.Config{}, log: quietLog(), conn: conn, assets: natstest.Setup(t, conn, "focus", "main", time.Minute)}
	r.cfg.OCI.Name, r.cfg.NATS.Prefix, r.cfg.Agent.LookbackDays = "main", "focus", 5
	var err error
	if r.ledger, err = conn.Ledger(t.Context(), r.assets.State, "main"); err != nil {
		t.Fatal(err)
	}
	key = messages.RecordKey("main", messages.Report{Day: "2026-01-05", Basename: "a.csv.gz"})
	return r, key, put(t, r, key, givenUp(messages.Held), 0)
}

func givenUp(c messages.Class) messages.Record {
	return messages.Record{
		Status: messages.StatusFailed, Class: c, Error: "why", Attempts: 3, Generation: 4, At: time.Now().Add(-time.Hour).UTC(),
		Object: messages.Object{Name: "FOCUS Reports/2026/01/05/a.csv.gz", ETag: "new", Size: 2},
		Copy:   &messages.FileCopied{Key: "k", ETag: "old", Size: 1, How: messages.HowCopied},
	}
}

func put(t *testing.T, r *route, key string, rec messages.Record, revision uint64) uint64 {
	t.Helper()
	raw, err := rec.Encode()
	if err == nil {
		revision, err = r.ledger.Write(t.Context(), key, raw, revision)
	}
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func (r *route) recordOf(t *testing.T, key string) messages.Record {
	t.Helper()
	raw, _, err := r.ledger.Read(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	rec, err := messages.DecodeRecord(raw)
	if err != nil {
		t.Fatal(err)
	}
	return rec
}

func theFailed(t *testing.T, r *route) nats.Entry {
	t.Helper()
	entries, err := selection{}.entries(t.Context(), r.ledger)
	if err != nil || len(entries) != 1 {
		t.Fatalf("entries = %+v, %v, want one", entries, err)
	}
	return entries[0]
}

func TestADiscardKeepsTheOldCopyAndTheHistory(t *testing.T) {
	r, key, _ := failedRoute(t)
	done, err := r.discardFailed(t.Context(), failedChange{By: "ann@host", Reason: "booked"})
	if err != nil || len(done) != 1 {
		t.Fatalf("discardFailed = %q, %v", done, err)
	}
	got, want := r.recordOf(t, key), givenUp(messages.Held)
	if got.Status != messages.StatusDiscarded || got.Copy == nil || got.Copy.ETag != "old" || got.Class != want.Class || got.Attempts != want.Attempts || got.Generation != want.Generation {
		t.Errorf("the record is %+v, want that of before with another status", got)
	}
	if !got.Done(want.Object, 0) || got.Done(messages.Object{Name: want.Object.Name, ETag: "newer", Size: 3}, 0) {
		t.Error("a discard must end the work on this version, and on no later one")
	}
}

// Another process writes between the look and the write.
func TestADiscardChangesOnlyWhatIsStillFailed(t *testing.T) {
	r, key, revision := failedRoute(t)
	seen := theFailed(t, r)
	again := givenUp(messages.HashMismatch) // it failed once more
	put(t, r, key, again, revision)
	if ok, err := r.discard(t.Context(), seen); !ok || err != nil || r.recordOf(t, key).Class != messages.HashMismatch {
		t.Errorf("discard of a file that failed again = %t, %v", ok, err)
	}
	_, revision, _ = r.ledger.Read(t.Context(), key)
	copied := givenUp("")
	copied.Status = messages.StatusCopied
	put(t, r, key, copied, revision)
	if ok, err := r.discard(t.Context(), seen); ok || err != nil || r.recordOf(t, key).Status != messages.StatusCopied {
		t.Errorf("discard of a file that was copied since = %t, %v: %+v", ok, err, r.recordOf(t, key))
	}
}

// The order stands in the ledger before its message. A crash between leaves a file that is
// due, which the next look queues; and what has come to its end is not queued again.
func TestAnOrderWhoseMessageWasLostIsQueuedAgain(t *testing.T) {
	r, key, revision := failedRoute(t)
	e := theFailed(t, r)
	due := givenUp("")
	due.Status, due.Generation = messages.StatusDue, e.Record.Generation+1
	revision = put(t, r, key, due, revision) // and then the crash
	waiting := func() [2]uint64 {
		s, err := r.conn.Status(t.Context(), r.assets)
		if err != nil {
			t.Fatal(err)
		}
		return [2]uint64{s.Messages, s.Backfill.Waiting}
	}
	p := r.conn.Publisher("focus")
	for range 2 { // twice is once
		if err := r.queueAgain(t.Context(), e, p); err != nil {
			t.Fatal(err)
		}
	}
	if err := natstest.Until(func() bool { return waiting() == [2]uint64{1, 1} }); err != nil {
		t.Errorf("%v in the queue and its backfill lane, want 1 and 1: a file of January delays no fresh one", waiting())
	}
	d, err := r.conn.Queue(r.assets).Next(t.Context(), true)
	if err != nil || d == nil {
		t.Fatal(d, err)
	}
	if m, err := messages.DecodeDiscovered(d.Data); err != nil || m.Generation != due.Generation {
		t.Errorf("the message is %+v, %v, want generation %d", m, err, due.Generation)
	}
	due.Status = messages.StatusCopied
	put(t, r, key, due, revision)
	r.cfg.NATS.Prefix = "focus"
	if err := r.queueAgain(t.Context(), e, r.conn.Publisher("focus")); err != nil || waiting()[0] != 1 {
		t.Errorf("a file that is copied was queued again: %v, %v", err, waiting())
	}
}

// What cannot be put on record is not done.
func TestNothingIsDoneWithoutARecord(t *testing.T) {
	r, key, _ := failedRoute(t)
	action := messages.Action{Action: "x", By: "ann@host", Detail: string(make([]byte, messages.MaxSize))}
	if err := r.audit(t.Context(), action); err == nil {
		t.Fatal("an action over the limit was put on record")
	}
	tooLong := failedChange{By: string(make([]byte, messages.MaxSize)), Reason: "r"}
	if done, err := r.discardFailed(t.Context(), tooLong); err == nil || len(done) > 0 || r.recordOf(t, key).Status != messages.StatusFailed {
		t.Errorf("discardFailed without a record = %q, %v", done, err)
	}
	if done, err := r.retryFailed(t.Context(), tooLong); err == nil || len(done) > 0 || r.recordOf(t, key).Status != messages.StatusFailed {
		t.Errorf("retryFailed without a record = %v, %v", done, err)
	}
	if _, err := r.pause(t.Context(), pauseRequest{By: tooLong.By, Reason: "r"}); err == nil {
		t.Error("a pause without a record")
	}
	if p, _, err := r.ledger.Pause(t.Context()); p != nil || err != nil {
		t.Errorf("Pause = %+v, %v, want none", p, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.queueBackfill(ctx, backfillRequest{Days: messages.Range{From: "2026-01-01", To: "2026-01-02"}}); err == nil {
		t.Error("a backfill without a record")
	}
	if m, _, err := r.readMarks(t.Context()); m != nil || err != nil {
		t.Errorf("the marks are %+v, %v, want none", m, err)
	}
}

// Only what was shown is changed: a file that fails while the operator thinks is not.
func TestASelectionEndsWithWhatWasShown(t *testing.T) {
	r, _, _ := failedRoute(t)
	later := givenUp(messages.Refused)
	later.Object.Name, later.At = "FOCUS Reports/2026/01/06/b.csv.gz", time.Now().UTC()
	put(t, r, messages.RecordKey("main", messages.Report{Day: "2026-01-06", Basename: "b.csv.gz"}), later, 0)
	for _, c := range []struct {
		name string
		s    selection
		want []string
	}{
		{"all", selection{}, []string{"held", "refused"}},
		{"until a moment", selection{Until: time.Now().Add(-30 * time.Minute)}, []string{"held"}},
		{"by cause", selection{Causes: []messages.Class{messages.Refused}}, []string{"refused"}},
		{"by day", selection{From: "2026-01-06", To: "2026-01-06"}, []string{"refused"}},
		{"up to a day", selection{To: "2026-01-05"}, []string{"held"}},
		{"by name and day", selection{Names: []string{"b.csv.gz"}, From: "2026-01-07"}, nil},
	} {
		files, err := r.listFailed(t.Context(), c.s)
		var got []string
		for _, f := range files {
			got = append(got, string(f.Class))
		}
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
	}
	if _, err := r.listFailed(t.Context(), selection{Names: []string{"none.csv.gz"}}); err == nil {
		t.Error("a name that is none was passed over")
	}
}
