package nats_test

import (
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// The oldest message of a lane is the one that waits longest for its end: lent,
// resting or waiting. An empty lane has none.
func TestTheOldestMessageOfEachLane(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Hour)
		want := func(what string, live, backfill time.Time) {
			t.Helper()
			s := w.status()
			if !s.Live.Oldest.Equal(live) || !s.Backfill.Oldest.Equal(backfill) {
				t.Errorf("%s: oldest %v and %v, want %v and %v", what, s.Live.Oldest, s.Backfill.Oldest, live, backfill)
			}
		}
		want("an empty queue", time.Time{}, time.Time{})
		var queued []time.Time
		for _, lane := range []messages.Lane{messages.Backfill, messages.Live, messages.Live} {
			queued = append(queued, time.Now().UTC())
			w.mustPublish(lane, "a/"+time.Now().Format(time.RFC3339)+".csv.gz")
			time.Sleep(time.Minute)
		}
		want("waiting", queued[1], queued[0])
		first := w.take()
		want("lent", queued[1], queued[0])
		w.settle(first, copier.Verdict{Act: copier.Nak, Delay: 5 * time.Minute})
		want("resting", queued[1], queued[0])
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		want("the second is done", queued[1], queued[0])
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		want("backfill is done", queued[1], time.Time{})
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		want("all done", time.Time{}, time.Time{})
	})
}
