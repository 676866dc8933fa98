package nats_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func TestLiveComesBeforeBackfill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.mustPublish(messages.Backfill, "old")
		w.mustPublish(messages.Live, "fresh")
		// The consumer learns of a message a moment after the stream has stored it.
		if err := natstest.Until(func() bool { return w.status().Live.Waiting == 1 }); err != nil {
			t.Fatal(err)
		}
		if d := w.next(true); d == nil || d.Subject != "focus.files.live.main.fresh" || d.Deliveries != 1 {
			t.Fatalf("Next = %+v, want fresh", d)
		}
		if d := w.next(false); d != nil {
			t.Fatalf("Next without backfill = %+v, want nothing", d)
		}
		d := w.next(true)
		if d == nil || d.Subject != "focus.files.backfill.main.old" {
			t.Fatalf("Next = %+v, want old", d)
		}
		m, err := messages.DecodeDiscovered(d.Data)
		if err != nil || m.Object.Name != "old" {
			t.Errorf("the message is %+v, %v, want old", m, err)
		}
	})
}

func TestNextWaitsForALiveMessage(t *testing.T) {
	w := newWorld(t, time.Minute)
	var wg sync.WaitGroup
	wg.Go(func() {
		for w.status().Live.Workers == 0 { // until Next waits
		}
		w.publish(messages.Live, file("late"))
	})
	defer wg.Wait()
	if d := w.next(true); d == nil || d.Subject != "focus.files.live.main.late" {
		t.Errorf("Next = %+v, want late", d)
	}
}

// However many slots have nothing to do, the server is asked by one of them; and when
// files come, each slot has one at once.
func TestIdleSlotsAskForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const slots = 16
		w := newWorld(t, time.Minute)
		var asked, taken atomic.Int64
		sub, err := w.conn.NATS().Subscribe("$JS.API.CONSUMER.MSG.NEXT.>", func(*natsgo.Msg) { asked.Add(1) })
		if err != nil {
			t.Fatal(err)
		}
		defer sub.Unsubscribe()
		ctx, cancel := context.WithCancel(t.Context())
		queue := w.conn.Queue(w.assets)
		var all sync.WaitGroup
		for n := range slots {
			all.Go(func() {
				for ctx.Err() == nil {
					d, err := queue.Next(ctx, n > 0)
					if err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					if d != nil {
						taken.Add(1)
						<-ctx.Done() // a long copy
					}
				}
			})
		}
		time.Sleep(time.Minute)
		// Three questions in two seconds by who takes from both lanes, two by who does not;
		// and at the begin two of each.
		if n := asked.Load(); n < 30 || n > 150+2*slots {
			t.Errorf("%d idle slots ask %d times a minute", slots, n)
		}
		w.mustPublish(messages.Backfill, "old")
		time.Sleep(3 * time.Second)
		if taken.Load() != 1 {
			t.Error("a file of the backfill lane waits although nobody has anything to do")
		}
		for n := range slots - 1 {
			w.mustPublish(messages.Live, fmt.Sprint(n))
		}
		time.Sleep(3 * time.Second)
		if n := taken.Load(); n != slots {
			t.Errorf("%d of %d files were taken in three seconds", n, slots)
		}
		cancel()
		all.Wait()
	})
}

// With the shortest ack wait there is, a message that comes while it is waited for must
// be worth its work: the loan is dated from the question.
func TestALoanIsDatedFromItsQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Second)
		var wg sync.WaitGroup
		wg.Go(func() {
			time.Sleep(1900 * time.Millisecond)
			w.publish(messages.Live, file("late"))
		})
		defer wg.Wait() // its answer may come after the message that it announces
		d, begun := w.take(), time.Now()
		if age := begun.Sub(d.Asked); d.Asked.IsZero() || age < 0 || age > w.assets.Live.AckWait/2 {
			t.Errorf("asked at %v, taken %v later, with an ack wait of %v", d.Asked, age, w.assets.Live.AckWait)
		}
	})
}

func TestOneRouteNeverGetsTheFilesOfAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		other := natstest.Setup(t, w.conn, "focus", "other", time.Minute)
		w.mustPublish(messages.Live, "mine")
		d, err := w.conn.Queue(other).Next(t.Context(), true)
		if d != nil || err != nil {
			t.Errorf("Next of the other route = %+v, %v, want nothing", d, err)
		}
	})
}

func TestRedeliveryExactlyAfterAckWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*time.Minute)
		w.mustPublish(messages.Live, "a")
		w.take()
		lent := time.Now()
		d := w.take()
		// Next asks every two seconds and its last request was waiting.
		if got := time.Since(lent); got < 5*time.Minute || got > 5*time.Minute+100*time.Millisecond {
			t.Errorf("redelivered after %v, want 5m", got)
		}
		if d.Deliveries != 2 {
			t.Errorf("Deliveries = %d, want 2", d.Deliveries)
		}
	})
}

func TestRenewalsKeepTheMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*time.Minute)
		w.mustPublish(messages.Live, "a")
		d := w.take()
		for range 20 {
			time.Sleep(time.Minute)
			if err := d.Renew(t.Context()); err != nil {
				t.Fatalf("Renew: %v", err)
			}
			if other := w.next(false); other != nil {
				t.Fatalf("redelivered in spite of renewals")
			}
		}
		w.settle(d, copier.Verdict{Act: copier.Ack})
		if s := w.status(); s.Messages != 0 || s.Live.InFlight != 0 {
			t.Errorf("after the ack %+v, want an empty queue", s)
		}
	})
}

func TestNakDelayIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, want := range []time.Duration{0, time.Second, 7 * time.Minute, 3 * time.Hour} {
			w := newWorld(t, 5*time.Minute)
			w.mustPublish(messages.Live, "a")
			w.settle(w.take(), copier.Verdict{Act: copier.Nak, Delay: want})
			begin := time.Now()
			time.Sleep(want - time.Second) // Next waits for two
			d := w.take()
			if got := time.Since(begin); got < want || got > want+100*time.Millisecond {
				t.Errorf("handed out after %v, want %v", got, want)
			}
			if d.Deliveries != 2 {
				t.Errorf("Deliveries = %d, want 2", d.Deliveries)
			}
		}
	})
}

func TestTermFreesTheSubjectAndGivesTheReason(t *testing.T) {
	w := newWorld(t, time.Minute)
	advisories, err := w.conn.NATS().SubscribeSync("$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.>")
	if err != nil {
		t.Fatal(err)
	}
	w.mustPublish(messages.Live, "a")
	d := w.take()
	w.settle(d, copier.Verdict{Act: copier.Term, Reason: "hash differs three times"})
	again := file("a")
	again.Generation = 1
	if !w.publish(messages.Backfill, again) {
		t.Error("Publish after Term = false, want true")
	}
	msg, err := advisories.NextMsg(5 * time.Second)
	if err != nil || !strings.Contains(string(msg.Data), "hash differs three times") {
		t.Errorf("advisory = %v, %v, want the reason", msg, err)
	}
}

// The library's Consume and Messages ask for a second message after a reconnect.
func TestReconnectNeverPrefetches(t *testing.T) {
	w := newWorld(t, time.Minute)
	for _, n := range []string{"a", "b", "c", "d"} {
		w.mustPublish(messages.Live, n)
	}
	for range 3 {
		d := w.take()
		before := w.conn.NATS().Stats().Reconnects
		if err := w.conn.NATS().ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		// The reconnect happens in its own time: health alone may still be that of before.
		if err := natstest.Until(func() bool { return w.conn.NATS().Stats().Reconnects > before && w.conn.Health() == nil }); err != nil {
			t.Fatal(err)
		}
		if s := w.status(); s.Live.InFlight != 1 {
			t.Errorf("InFlight = %d after a reconnect while busy, want 1", s.Live.InFlight)
		}
		if d.Deliveries != 1 {
			t.Errorf("Deliveries = %d, want 1", d.Deliveries)
		}
		w.settle(d, copier.Verdict{Act: copier.Ack})
	}
}

func TestRestartOfTheServerLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*time.Minute)
		for _, n := range []string{"a", "b", "c"} {
			w.mustPublish(messages.Live, n)
		}
		first := w.take()
		w.srv.Restart(t)
		if err := natstest.Until(func() bool { return w.conn.Health() == nil }); err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		for len(seen) < 3 {
			d := w.take()
			seen[d.Subject] = d.Deliveries
			w.settle(d, copier.Verdict{Act: copier.Ack})
		}
		if seen[first.Subject] != 2 {
			t.Errorf("Deliveries of the one in flight = %d, want 2", seen[first.Subject])
		}
		if s := w.status(); s.Messages != 0 {
			t.Errorf("%d messages left, want 0", s.Messages)
		}
	})
}

// A restart of the server does not end the loan of a message, however long it had
// waited in the queue before.
func TestRestartOfTheServerEndsNoLoan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.mustPublish(messages.Live, "a")
		time.Sleep(2 * time.Minute)
		w.take()
		lent := time.Now()
		time.Sleep(time.Second)
		w.srv.Restart(t)
		if err := natstest.Until(func() bool { return w.conn.Health() == nil }); err != nil {
			t.Fatal(err)
		}
		d := w.take()
		if got := time.Since(lent); got < 58*time.Second || d.Deliveries != 2 {
			t.Errorf("lent again after %v, for the time %d; want after the ack wait of a minute, for the second time", got, d.Deliveries)
		}
	})
}

func TestCancelledNextHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 5*time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_, err := w.conn.Queue(w.assets).Next(ctx, true)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) > 1100*time.Millisecond {
			t.Errorf("Next = %v after %v, want the error of its context after 1s", err, time.Since(begin))
		}
		w.mustPublish(messages.Live, "a")
		if d := w.next(false); d == nil || d.Deliveries != 1 {
			t.Errorf("Next = %+v, want the first delivery", d)
		}
	})
}

// However late the taker goes away, its message is there for the next one, and
// not only after the ack wait.
func TestAMessageOnItsWayToATakerWhoLeftIsHandedBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Hour)
		w.mustPublish(messages.Live, "a")
		spy := w.srv.Connect(t).NATS()
		pulls, err := spy.SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
		if err != nil {
			t.Fatal(err)
		}
		patience, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if err := spy.FlushWithContext(patience); err != nil {
			t.Fatal(err)
		}
		left := 0
		for range 100 {
			ctx, leave := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() { // the taker leaves when its request is on its way
				if _, err := pulls.NextMsgWithContext(patience); err != nil {
					t.Error(err)
				}
				leave()
			})
			d, err := w.conn.Queue(w.assets).Next(ctx, false)
			wg.Wait()
			if (d == nil) != errors.Is(err, context.Canceled) {
				t.Fatalf("Next = %v, %v, want a message or the error of its context", d, err)
			}
			if d == nil {
				left++
				d = w.next(false)
			}
			if d == nil {
				t.Fatal("the message is gone until the ack wait ends")
			}
			w.settle(d, copier.Verdict{Act: copier.Nak})
			for n, _, _ := pulls.Pending(); n > 0; n-- {
				_, _ = pulls.NextMsgWithContext(patience)
			}
		}
		t.Logf("left in time %d times of 100", left)
	})
}

func TestDeletedConsumerIsAnErrorThatSaysSo(t *testing.T) {
	w := newWorld(t, time.Minute)
	js, _ := jetstream.New(w.conn.NATS())
	var wg sync.WaitGroup
	wg.Go(func() {
		for w.status().Live.Workers == 0 {
		}
		if err := js.DeleteConsumer(t.Context(), w.assets.Live.Stream, w.assets.Live.Name); err != nil {
			t.Error(err)
		}
	})
	_, err := w.conn.Queue(w.assets).Next(t.Context(), true)
	wg.Wait()
	if messages.ClassOf(err) != messages.Queue || !strings.Contains(err.Error(), "Consumer Deleted") {
		t.Errorf("Next while the consumer is deleted = %v, want that it was deleted", err)
	}
	_, err = w.conn.Queue(w.assets).Next(t.Context(), true)
	if messages.ClassOf(err) != messages.Queue || !strings.Contains(err.Error(), "setup") {
		t.Errorf("Next of a deleted consumer = %v, want a remedy", err)
	}
}

func TestSettleOfADeletedConsumerIsAnError(t *testing.T) {
	w := newWorld(t, time.Minute)
	w.mustPublish(messages.Live, "a")
	d := w.take()
	js, _ := jetstream.New(w.conn.NATS())
	if err := js.DeleteStream(t.Context(), w.assets.Files.Name); err != nil {
		t.Fatal(err)
	}
	for _, v := range []copier.Verdict{{Act: copier.Ack}, {Act: copier.Nak}, {Act: copier.Term}} {
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond) // as long as it is asked
		err := d.Settle(ctx, v)
		if cancel(); messages.ClassOf(err) != messages.Queue {
			t.Errorf("Settle(%+v) = %v, want class queue", v, err)
		}
	}
	if err := d.Renew(t.Context()); messages.ClassOf(err) != messages.Queue {
		t.Errorf("Renew = %v, want class queue", err)
	}
}

func TestNextWithoutAConnectionIsAnErrorAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.srv.Stop()
		if err := natstest.Until(func() bool { return w.conn.Health() != nil }); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		d, err := w.conn.Queue(w.assets).Next(t.Context(), true)
		if d != nil || messages.ClassOf(err) != messages.Queue || time.Since(begin) > 0 {
			t.Errorf("Next = %v, %v after %v, want class queue at once", d, err, time.Since(begin))
		}
		if s, err := w.conn.Status(t.Context(), w.assets); err == nil || s.Connected {
			t.Errorf("Status = %+v, %v, want that it is not connected", s, err)
		}
	})
}
