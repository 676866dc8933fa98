package scanner_test

import (
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// TestF71AFullStreamStopsAScan: the marks stay, and with room the next scan completes.
func TestF71AFullStreamStopsAScan(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		w.add(object(today(), string(rune('a'+i)), "1"))
	}
	before := messages.Marks{Schema: 1, Since: today().Add(-10), Scanned: time.Now().Add(-24 * time.Hour).UTC()}
	w.setMarks(before)
	room := 7
	w.turn = func(op string) verdict {
		if op == "publish" {
			if room--; room < 0 {
				return failsClean
			}
		}
		return works
	}
	st, err := w.scanner().Scan(t.Context())
	if err == nil || st.Published != 7 || st.Failed != 5 || !w.read().Scanned.Equal(before.Scanned) {
		t.Errorf("Scan = %+v, %v, marks %+v, want it ended with the marks of before", st, err, w.read())
	}
	room = 100
	if st, err = w.scanner().Scan(t.Context()); err != nil || st.Published != 13 || st.Queued != 7 || len(w.queue) != 20 || w.read().Scanned.Equal(before.Scanned) {
		t.Errorf("with room Scan = %+v, %v, %d queued", st, err, len(w.queue))
	}
}

// TestF74TheQueueIsLost and the ledger is not: the next scan queues what is not done, and
// nothing else.
func TestF74TheQueueIsLost(t *testing.T) {
	w := five(t)
	if st, err := w.scanner().Scan(t.Context()); err != nil || st.Published != 4 {
		t.Fatalf("Scan = %+v, %v", st, err)
	}
	done := object(today(), "a", "1")
	w.put(messages.Record{Status: messages.StatusCopied, Object: done}) // a copier was quick
	clear(w.queue)
	st, err := w.scanner().Scan(t.Context())
	if err != nil || st.Published != 3 || st.Done != 2 || w.missing("", 0) != nil {
		t.Errorf("Scan = %+v, %v, queued %v", st, err, w.queued())
	}
	if _, ok := w.queue[done.Name]; ok {
		t.Error("what is done was queued again")
	}
}
