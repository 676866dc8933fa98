package nats_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func pauseOf(t *testing.T, why string) []byte {
	t.Helper()
	raw, err := messages.Pause{Reason: why, By: "ann@host", At: time.Now()}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (w *world) apply() *messages.Pause {
	w.Helper()
	p, err := w.conn.ApplyPause(w.Context(), w.assets, w.ledger())
	if err != nil {
		w.Fatalf("ApplyPause: %v", err)
	}
	return p
}

func (w *world) js() jetstream.JetStream {
	w.Helper()
	js, err := jetstream.New(w.conn.NATS())
	if err != nil {
		w.Fatal(err)
	}
	return js
}

// held are the ends of the pauses of both consumers; zero of one that is not paused.
func (w *world) held() (until [2]time.Time) {
	w.Helper()
	for i, c := range []messages.Consumer{w.assets.Live, w.assets.Backfill} {
		found, err := w.js().Consumer(w.Context(), c.Stream, c.Name)
		if err != nil {
			w.Fatal(err)
		}
		if info := found.CachedInfo(); info.Config.PauseUntil != nil && info.Paused {
			until[i] = *info.Config.PauseUntil
		}
	}
	return until
}

func TestAPausedRouteHandsOutNothingAndLosesNothing(t *testing.T) {
	w := newWorld(t, time.Minute)
	w.mustPublish(messages.Live, "lent")
	lent := w.take()
	revision := write(t, w.ledger(), messages.PauseKey("main"), pauseOf(t, "a move"), 0)
	if p := w.apply(); p == nil || p.Reason != "a move" {
		t.Errorf("ApplyPause = %+v", p)
	}
	w.mustPublish(messages.Live, "fresh")
	w.mustPublish(messages.Backfill, "old")
	if d := w.next(true); d != nil {
		t.Errorf("a paused route handed out %s", d.Subject)
	}
	// What is in flight ends in order; what it hands back rests.
	if err := lent.Renew(t.Context()); err != nil {
		t.Errorf("renew while paused: %v", err)
	}
	w.settle(lent, copier.Verdict{Act: copier.Nak})
	if d := w.next(true); d != nil {
		t.Errorf("a paused route handed out %s again", d.Subject)
	}
	if s := w.status(); s.Messages != 3 {
		t.Errorf("%d messages in the queue, want 3", s.Messages)
	}
	write(t, w.ledger(), messages.PauseKey("main"), nil, revision)
	if p := w.apply(); p != nil {
		t.Errorf("ApplyPause after the end = %+v", p)
	}
	for range 3 {
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
	}
}

// The key is the decision. Whatever a crash left of the consumers, the next look mends it.
func TestTheConsumersFollowTheLedger(t *testing.T) {
	w := newWorld(t, time.Minute)
	far := time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name           string
		live, backfill bool // are paused by us
		key            bool
	}{
		{"crash of pause after the key", false, false, true},
		{"crash of pause between the consumers", true, false, true},
		{"crash of resume after the key", true, true, false},
		{"crash of resume between the consumers", false, true, false},
		{"in order, paused", true, true, true},
		{"in order, at work", false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w.T = t
			_, revision, err := w.ledger().Read(t.Context(), messages.PauseKey("main"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, w.ledger(), messages.PauseKey("main"), nil, revision)
			if c.key {
				write(t, w.ledger(), messages.PauseKey("main"), pauseOf(t, c.name), 0)
			}
			for name, paused := range map[string]bool{w.assets.Live.Name: c.live, w.assets.Backfill.Name: c.backfill} {
				until := time.Time{}
				if paused {
					until = far
				}
				if _, err := w.js().PauseConsumer(t.Context(), w.assets.Live.Stream, name, until); err != nil {
					t.Fatal(err)
				}
			}
			if p := w.apply(); (p != nil) != c.key {
				t.Errorf("ApplyPause = %+v, want a pause: %t", p, c.key)
			}
			want := [2]time.Time{}
			if c.key {
				want = [2]time.Time{far, far}
			}
			if got := w.held(); got != want {
				t.Errorf("the consumers are paused until %v, want %v", got, want)
			}
		})
	}
}

// A pause for maintenance, made with the nats command line, is not ours to end.
func TestAPauseOfOthersStays(t *testing.T) {
	w := newWorld(t, time.Minute)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if _, err := w.js().PauseConsumer(t.Context(), w.assets.Live.Stream, w.assets.Live.Name, until); err != nil {
		t.Fatal(err)
	}
	if p := w.apply(); p != nil {
		t.Errorf("ApplyPause = %+v", p)
	}
	if got := w.held(); !got[0].Equal(until) || !got[1].IsZero() {
		t.Errorf("the consumers are paused until %v, want the live one until %v", got, until)
	}
}

func TestAPauseThatCannotBeReadHolds(t *testing.T) {
	w := newWorld(t, time.Minute)
	revision := uint64(0)
	for _, raw := range []string{"{", `{"schema":99}`} {
		revision = write(t, w.ledger(), messages.PauseKey("main"), []byte(raw), revision)
		if p := w.apply(); p == nil || p.Reason == "" || w.held()[0].IsZero() {
			t.Errorf("%s: ApplyPause = %+v, want a pause", raw, p)
		}
	}
}

// Neither a setup, nor an upgrade, nor the start of an embedded server ends a pause.
func TestSetupAndAStartKeepAPause(t *testing.T) {
	w := newWorld(t, time.Minute)
	write(t, w.ledger(), messages.PauseKey("main"), pauseOf(t, "kept"), 0)
	p := w.apply()
	far := w.held()
	longer := messages.Define("focus", "main", 1, 2*time.Minute)
	if r, err := nats.Setup(t.Context(), w.conn, longer, nats.Create); err != nil || len(r.Updated) != 2 {
		t.Fatalf("Setup with another ack wait = %+v, %v", r, err)
	}
	if got := w.held(); got != far || far[0].IsZero() {
		t.Errorf("after an update the consumers are paused until %v, want %v", got, far)
	}
	if r, err := nats.Setup(t.Context(), w.conn, longer, nats.Verify); err != nil {
		t.Errorf("Setup of paused consumers, only compared = %+v, %v", r, err)
	}
	if err := nats.RecreateConsumers(t.Context(), w.conn, longer, p); err != nil {
		t.Fatal(err)
	}
	if got := w.held(); got != far {
		t.Errorf("made anew, the consumers are paused until %v, want %v", got, far)
	}
}

// knows waits until the consumers know of so many messages: they learn of one a moment
// after the stream has stored it.
func (w *world) knows(live, backfill uint64) {
	w.Helper()
	if err := natstest.Until(func() bool {
		s := w.status()
		return s.Live.Waiting == live && s.Backfill.Waiting == backfill
	}); err != nil {
		w.Fatal(err)
	}
}

// A slot takes an old file only when no fresh one waits, however many old ones there are.
func TestTheBackfillLaneNeverDelaysAFreshFile(t *testing.T) {
	w := newWorld(t, time.Minute)
	for _, name := range []string{"old1", "old2", "old3"} {
		w.mustPublish(messages.Backfill, name)
	}
	w.mustPublish(messages.Live, "fresh1")
	w.mustPublish(messages.Live, "fresh2")
	w.knows(2, 3)
	for i, want := range []messages.Lane{messages.Live, messages.Live, messages.Backfill} {
		d := w.take()
		if d.Subject[:len("focus.files.")+len(want)] != "focus.files."+string(want) {
			t.Errorf("take %d = %s, want one of lane %s", i, d.Subject, want)
		}
		if i == 2 { // a fresh one that comes now is the next
			w.mustPublish(messages.Live, "fresh3")
			w.knows(1, 2)
		}
		w.settle(d, copier.Verdict{Act: copier.Ack})
	}
	if d := w.take(); d.Subject != messages.Subject("focus", messages.Live, "main", "fresh3") {
		t.Errorf("took %s, want the fresh file", d.Subject)
	}
}

func TestTheLetterOfAFileIsFound(t *testing.T) {
	w := newWorld(t, time.Minute)
	dead := w.conn.DeadLetters("focus")
	if d, err := dead.Letter(t.Context(), w.assets.Dead.Name, "main", "FOCUS Reports/x"); d != nil || err != nil {
		t.Errorf("Letter of nothing = %+v, %v", d, err)
	}
	if err := dead.Bury(t.Context(), messages.DeadLetter{Route: "main", Name: "FOCUS Reports/x", Error: "why", At: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if d, err := dead.Letter(t.Context(), w.assets.Dead.Name, "main", "FOCUS Reports/x"); err != nil || d == nil || d.Error != "why" {
		t.Errorf("Letter = %+v, %v", d, err)
	}
}

func TestAFileIsFoundByItsFileNameOnEveryDay(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	for _, d := range []messages.Day{"2024-11-28", "2024-11-29"} {
		write(t, l, keyOf(d, "a.csv.gz"), recordOf(t, "p/a.csv.gz", messages.StatusCopied), 0)
	}
	write(t, l, keyOf("2024-11-28", "b.csv.gz"), recordOf(t, "p/b.csv.gz", messages.StatusCopied), 0)
	all, err := l.Named(t.Context(), "a.csv.gz")
	if err != nil || len(all) != 2 || all[0].Day != "2024-11-28" || all[1].Day != "2024-11-29" {
		t.Errorf("Named = %+v, %v", all, err)
	}
	if all, err := l.Named(t.Context(), "none"); err != nil || len(all) != 0 {
		t.Errorf("Named of nothing = %+v, %v", all, err)
	}
}
