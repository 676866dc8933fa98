package nats_test

import (
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

func act(t *testing.T, l *nats.Ledger, at time.Time, unique, what string) {
	t.Helper()
	if err := l.Audit(t.Context(), messages.Action{Action: what, By: "ann@host", At: at, Count: 2, Files: []string{"a", "b"}}, unique); err != nil {
		t.Fatal(err)
	}
}

func trailOf(t *testing.T, l *nats.Ledger) (names []string) {
	t.Helper()
	all, unreadable, err := l.Actions(t.Context())
	if err != nil || unreadable != 0 {
		t.Fatalf("Actions = %v, %d unreadable", err, unreadable)
	}
	for _, a := range all {
		names = append(names, a.Action)
	}
	return names
}

func TestTheAuditTrailIsInTheOrderOfTimeAndNothingOverwritesIt(t *testing.T) {
	w := newWorld(t, time.Minute)
	l, at := w.ledger(), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	act(t, l, at.Add(time.Second), "A", "second")
	act(t, l, at, "A", "first")
	act(t, l, at.Add(time.Second), "B", "third") // of the same moment
	if got := trailOf(t, l); !slices.Equal(got, []string{"first", "second", "third"}) {
		t.Errorf("Actions = %q", got)
	}
	if err := l.Audit(t.Context(), messages.Action{Action: "other", At: at}, "A"); err == nil {
		t.Error("a second action under the same key replaced the first")
	}
	other, err := w.conn.Ledger(t.Context(), w.assets.State, "other")
	if err != nil {
		t.Fatal(err)
	}
	if got := trailOf(t, other); len(got) != 0 {
		t.Errorf("Actions of another route = %q", got)
	}
	if err := l.Audit(t.Context(), messages.Action{Action: "long", At: at, Detail: string(make([]byte, messages.MaxSize))}, "L"); err == nil {
		t.Error("an action over the limit was written")
	}
}

// A record ends by itself where the bucket can do that, and stays where it cannot.
func TestAnActionIsKeptFor400Days(t *testing.T) {
	w := newWorld(t, time.Minute)
	old := messages.Define("old", "main", 1, time.Minute)
	old.State.MarkerTTL = 0
	if _, err := nats.Setup(t.Context(), w.conn, old, nats.Create); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(w.conn.NATS())
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for bucket, want := range map[string]string{w.assets.State.Name: "34560000", old.State.Name: ""} {
		l, err := w.conn.Ledger(t.Context(), messages.Bucket{Name: bucket, MarkerTTL: time.Hour}, "main")
		if err != nil {
			t.Fatal(err)
		}
		act(t, l, at, "A", "failed retry")
		stream, err := js.Stream(t.Context(), "KV_"+bucket)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), "$KV."+bucket+"."+messages.AuditKey("main", at, "A"))
		if err != nil {
			t.Fatal(err)
		}
		ttl, _ := time.ParseDuration(msg.Header.Get("Nats-TTL"))
		if got := msg.Header.Get("Nats-TTL"); (want == "") != (got == "") || want != "" && ttl != 400*24*time.Hour && got != want {
			t.Errorf("%s: Nats-TTL = %q, want 400 days where the bucket can do that", bucket, got)
		}
	}
}

func TestAnActionThatNobodyCanReadHidesNoOther(t *testing.T) {
	l, at := newWorld(t, time.Minute).ledger(), time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	act(t, l, at, "A", "pause")
	write(t, l, messages.AuditKey("main", at, "B"), []byte("{"), 0)
	if all, unreadable, err := l.Actions(t.Context()); err != nil || unreadable != 1 || len(all) != 1 {
		t.Errorf("Actions = %v, %d unreadable, %v, want the one and 1", all, unreadable, err)
	}
	write(t, l, messages.AuditKey("main", at, "C"), []byte(`{"schema":99}`), 0)
	if _, _, err := l.Actions(t.Context()); err == nil {
		t.Error("an action of a newer version was passed over")
	}
}
