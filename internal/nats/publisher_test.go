package nats_test

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

func TestAFileIsQueuedOnceOverBothLanes(t *testing.T) {
	w := newWorld(t, time.Minute)
	for _, first := range []messages.Lane{messages.Live, messages.Backfill} {
		name := "first in " + string(first)
		w.mustPublish(first, name)
		refuse := func(when string) {
			t.Helper()
			m := file(name)
			m.Generation = 7 // another Msg-Id: not the duplicate window refuses it
			for _, lane := range []messages.Lane{messages.Live, messages.Backfill} {
				if w.publish(lane, m) {
					t.Errorf("%s, %s: Publish in %s = true, want false", name, when, lane)
				}
			}
		}
		refuse("waiting")
		d := w.next(true)
		refuse("in flight")
		w.settle(d, copier.Verdict{Act: copier.Nak, Delay: time.Hour})
		refuse("delayed")
		if s := w.status(); s.Messages != 1 {
			t.Fatalf("%d messages, want 1", s.Messages)
		}
		purge(t, w)
	}
}

func TestAFileCanBeQueuedAgainAfterTheAck(t *testing.T) {
	w := newWorld(t, time.Minute)
	w.mustPublish(messages.Live, "a")
	w.settle(w.take(), copier.Verdict{Act: copier.Ack})
	again := file("a")
	again.Generation = 1
	if !w.publish(messages.Backfill, again) {
		t.Error("Publish of the next generation after the ack = false, want true")
	}
}

func TestTheDuplicateWindowEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.mustPublish(messages.Live, "a")
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		time.Sleep(time.Minute)
		if w.publish(messages.Live, file("a")) {
			t.Error("Publish of the same Msg-Id within the window = true, want false")
		}
		time.Sleep(3 * time.Minute)
		if !w.publish(messages.Live, file("a")) {
			t.Error("Publish of the same Msg-Id after the window = false, want true")
		}
	})
}

func TestRacingPublishersQueueOnce(t *testing.T) {
	w := newWorld(t, time.Minute)
	p := w.conn.Publisher("focus")
	for range 10 {
		var queued atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				m := file("raced")
				m.Generation = i
				lane := messages.Live
				if i%2 == 1 {
					lane = messages.Backfill
				}
				ok, err := p.Publish(t.Context(), lane, m)
				if err != nil {
					t.Error(err)
				}
				if ok {
					queued.Add(1)
				}
			})
		}
		wg.Wait()
		if queued.Load() != 1 {
			t.Errorf("queued %d times, want once", queued.Load())
		}
		purge(t, w)
	}
}

func TestTheLongestNameWorksEndToEnd(t *testing.T) {
	w := newWorld(t, time.Minute)
	name := strings.Repeat("/", 1024)
	w.mustPublish(messages.Live, name)
	d := w.take()
	if want := messages.Subject("focus", messages.Live, "main", name); d.Subject != want || len(want) > 4096 {
		t.Errorf("subject of %d bytes, want %d", len(d.Subject), len(want))
	}
	if m, err := messages.DecodeDiscovered(d.Data); err != nil || m.Object.Name != name {
		t.Errorf("decoded %v, want the name", err)
	}
	letter := messages.DeadLetter{Route: "main", Name: name, Class: messages.Refused, Subject: d.Subject, At: time.Now()}
	if err := w.conn.DeadLetters("focus").Bury(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	key := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: name})
	if _, err := w.ledger().Write(t.Context(), key, recordOf(t, name, messages.StatusFailed), 0); err != nil {
		t.Fatal(err)
	}
	day, err := w.ledger().Day(t.Context(), "2024-11-28")
	if err != nil || day[name].Status != messages.StatusFailed {
		t.Errorf("Day = %v, %v, want the record", day, err)
	}
	w.settle(d, copier.Verdict{Act: copier.Term, Reason: "refused"})
	if s := w.status(); s.Messages != 0 || s.Dead != 1 || s.Records != 1 {
		t.Errorf("Status = %+v, want no message, one dead letter, one record", s)
	}
}

func TestPublishWithoutAStreamIsAnError(t *testing.T) {
	w := newWorld(t, time.Minute)
	js, _ := jetstream.New(w.conn.NATS())
	if err := js.DeleteStream(t.Context(), w.assets.Files.Name); err != nil {
		t.Fatal(err)
	}
	queued, err := w.conn.Publisher("focus").Publish(t.Context(), messages.Live, file("a"))
	if queued || messages.ClassOf(err) != messages.Queue {
		t.Errorf("Publish = %v, %v, want class queue", queued, err)
	}
}

// An answer that is lost must not queue twice: here the server goes away while
// publishers work, and comes back.
func TestPublishSurvivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Hour)
		p := w.conn.Publisher("focus")
		var queued, refused atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				for j := range 25 {
					m := file(string(rune('a'+i)) + string(rune('a'+j)))
					ok, err := p.Publish(t.Context(), messages.Live, m)
					for err != nil { // the next scan
						time.Sleep(time.Second)
						ok, err = p.Publish(t.Context(), messages.Live, m)
					}
					if ok {
						queued.Add(1)
					} else {
						refused.Add(1)
					}
				}
			})
		}
		w.srv.Restart(t)
		wg.Wait()
		w.back()
		if s := w.status(); s.Messages != 200 || s.Live.Waiting != 200 {
			t.Errorf("%d messages, %d waiting after %d queued and %d found, want 200", s.Messages, s.Live.Waiting, queued.Load(), refused.Load())
		}
	})
}

func TestDeadLettersKeepTheLastOfEachFile(t *testing.T) {
	w := newWorld(t, time.Minute)
	js, _ := jetstream.New(w.conn.NATS())
	stream, err := js.Stream(t.Context(), w.assets.Dead.Name)
	if err != nil {
		t.Fatal(err)
	}
	letters := w.conn.DeadLetters("focus")
	for _, tt := range []struct {
		letter messages.DeadLetter
		want   string
	}{
		{messages.DeadLetter{Route: "main", Name: "a/b"}, "focus.dead.main.a=2Fb"},
		{messages.DeadLetter{Route: "main", Subject: "focus.files.live.main.a=2Fc"}, "focus.dead.main.a=2Fc"},
		{messages.DeadLetter{Subject: "focus.files.live.other.=zz"}, "focus.dead.other." + messages.EncodeToken("=zz")},
		{messages.DeadLetter{Route: "no route!", Name: "x"}, "focus.dead.unknown.x"},
		{messages.DeadLetter{}, "focus.dead.unknown.="},
	} {
		for _, text := range []string{"first", "second"} {
			tt.letter.Error = text
			if err := letters.Bury(t.Context(), tt.letter); err != nil {
				t.Fatal(err)
			}
		}
		msg, err := stream.GetLastMsgForSubject(t.Context(), tt.want)
		if err != nil {
			t.Errorf("%+v is not on %s: %v", tt.letter, tt.want, err)
			continue
		}
		if d, err := messages.DecodeDeadLetter(msg.Data); err != nil || d.Error != "second" {
			t.Errorf("letter = %+v, %v, want the second", d, err)
		}
	}
	if s := w.status(); s.Dead != 5 {
		t.Errorf("Dead = %d, want 5", s.Dead)
	}
}

func purge(t *testing.T, w *world) {
	t.Helper()
	js, _ := jetstream.New(w.conn.NATS())
	stream, err := js.Stream(t.Context(), w.assets.Files.Name)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context()); err != nil && !errors.Is(err, natsgo.ErrTimeout) {
		t.Fatal(err)
	}
}
