package copier_test

import (
	"fmt"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// deliver copies a version with a copier.
func deliver(t *testing.T, w *world, c *copier.Copier, v *version) messages.Record {
	t.Helper()
	w.publish(v)
	if _, empty := w.run(200*time.Hour, c); !empty {
		t.Errorf("%s is still in the queue", v.object.ETag)
	}
	return w.record(v.object.Name)
}

// order orders a repeat as failed retry does.
func order(w *world, r messages.Record) {
	r.Status, r.Generation = messages.StatusDue, r.Generation+1
	w.setRecord(r)
}

// TestBothVersionsAreKept: the record of a copy that took the place of other bytes has
// those, with what they said of themselves; a repeat of the same bytes leaves it so.
func TestBothVersionsAreKept(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			told := events(c)
			one := w.write("a", body(size, 1))
			was := deliver(t, w, c, one)
			if was.Copy.Replaced != nil {
				t.Errorf("the first one replaced %+v", was.Copy.Replaced)
			}
			time.Sleep(time.Hour)
			two := w.write("a", body(size+3, 2))
			now := deliver(t, w, c, two)
			check := func(r messages.Record) {
				t.Helper()
				e := r.Copy.Replaced
				if e == nil || e.ETag != one.object.ETag || e.Size != int64(size) || e.CRC32C != crc(one.body) || !e.At.Equal(was.Copy.At) || !e.Statistics.Complete() || e.Statistics.Rows != int64(size) {
					t.Errorf("replaced %+v", e)
				}
				if s := r.Copy.Statistics; !s.Complete() || s.Rows != int64(size+3) {
					t.Errorf("statistics %+v", s)
				}
			}
			check(now)
			order(w, now)
			check(deliver(t, w, c, two))
			if len(w.commits) != 3 {
				t.Errorf("commits %v", w.commits)
			}
			var replaced []bool
			for _, e := range told() {
				if e.Kind == copier.Finished {
					replaced = append(replaced, e.Replaced)
				}
			}
			if fmt.Sprint(replaced) != "[false true false]" {
				t.Errorf("replaced: %v", replaced)
			}
		})
	}
}

// TestTheEarlierVersionIsKeptOverFailures, too.
func TestTheEarlierVersionIsKeptOverFailures(t *testing.T) {
	for name, v := range map[string]verdict{"without effect": {clean: true}, "with effect": {dirty: true}} {
		bubble(t, name, func(t *testing.T, w *world) {
			h := w.host("one")
			c := h.copier()
			one := w.write("a", body(10, 1))
			deliver(t, w, c, one)
			failed := false
			w.turn = func(_ *host, op string) verdict {
				if op == "put" && !failed {
					failed = true
					return v
				}
				return verdict{}
			}
			r := deliver(t, w, c, w.write("a", body(10, 2)))
			if e := r.Copy.Replaced; r.Status != messages.StatusCopied || e == nil || e.CRC32C != crc(one.body) || !e.Statistics.Complete() {
				t.Errorf("record %+v, copy %+v, replaced %+v", r, r.Copy, e)
			}
		})
	}
}

// TestTheSameBytesKeepTheirStatistics, recorded under a new etag or adopted.
func TestTheSameBytesKeepTheirStatistics(t *testing.T) {
	bubble(t, "recorded", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		c.HoldChanged = true
		deliver(t, w, c, w.write("a", body(10, 1)))
		r := deliver(t, w, c, w.write("a", body(10, 1)))
		if r.Copy.How != messages.HowRecorded || !r.Copy.Statistics.Complete() || r.Copy.Replaced != nil || len(w.commits) != 1 {
			t.Errorf("copy %+v, commits %v", r.Copy, w.commits)
		}
	})
	bubble(t, "adopted", func(t *testing.T, w *world) {
		h := w.host("one")
		c := h.copier()
		one := w.write("a", body(10, 1))
		deliver(t, w, c, one)
		two := w.write("a", body(10, 1))
		two.crc32c, two.object.MD5 = "", "" // nothing tells that these are the same bytes, before they are sent
		failed := false
		w.turn = func(_ *host, op string) verdict {
			if op == "put" && !failed {
				failed = true
				return verdict{dirty: true}
			}
			return verdict{}
		}
		r := deliver(t, w, c, two)
		if r.Copy.How != messages.HowAdopted || !r.Copy.Statistics.Complete() || r.Copy.Statistics.Rows != 10 || r.Copy.Replaced != nil {
			t.Errorf("copy %+v", r.Copy)
		}
	})
}

// TestChangedBytesAreHeld until somebody decides: nothing of them is visible, the
// earlier copy stays what it is, and an order sends them.
func TestChangedBytesAreHeld(t *testing.T) {
	for _, size := range []int{10, 40} {
		for name, c := range map[string]struct {
			grow   int
			forget func(*version) // what is declared
			reads  bool           // it takes the bytes to know
		}{
			"another size":           {3, func(*version) {}, false},
			"another CRC32C":         {0, func(v *version) { v.object.MD5 = "" }, false},
			"another MD5":            {0, func(v *version) { v.crc32c = "" }, false},
			"nothing declares a sum": {0, func(v *version) { v.crc32c, v.object.MD5 = "", "" }, true},
		} {
			bubble(t, fmt.Sprint(size, " ", name), func(t *testing.T, w *world) {
				cop := w.host("one").copier()
				cop.HoldChanged = true
				one := w.write("a", body(size, 1))
				was := deliver(t, w, cop, one)
				two := w.write("a", body(size+c.grow, 2))
				c.forget(two)
				reads := w.count("body")
				held := deliver(t, w, cop, two)
				if held.Status != messages.StatusFailed || held.Class != messages.Held || held.Copy == nil || held.Copy.CRC32C != was.Copy.CRC32C || w.dead[two.object.Name].Class != messages.Held {
					t.Errorf("record %+v, copy %+v, dead letter %+v", held, held.Copy, w.dead[two.object.Name])
				}
				if len(w.commits) != 1 || len(w.uploads) > 0 || w.visible[was.Copy.Key].meta.ETag != one.object.ETag {
					t.Errorf("commits %v, %d uploads, %+v", w.commits, len(w.uploads), w.visible[was.Copy.Key].meta)
				}
				if read := w.count("body") > reads; read != c.reads {
					t.Errorf("its bytes were read: %t", read)
				}
				three := w.write("a", body(size+c.grow+1, 3)) // a later version is held as well
				if again := deliver(t, w, cop, three); again.Class != messages.Held || again.Copy.CRC32C != was.Copy.CRC32C {
					t.Errorf("record %+v, copy %+v", again, again.Copy)
				}
				order(w, w.record(three.object.Name))
				sent := deliver(t, w, cop, three)
				if e := sent.Copy.Replaced; sent.Status != messages.StatusCopied || e == nil || e.CRC32C != crc(one.body) || !e.Statistics.Complete() || sent.Copy.CRC32C != crc(three.body) {
					t.Errorf("record %+v, replaced %+v", sent, e)
				}
			})
		}
	}
}

// TestAnOrderIsSentOverFailures: hold does not ask again for what was ordered.
func TestAnOrderIsSentOverFailures(t *testing.T) {
	bubble(t, "put fails once", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		c.HoldChanged = true
		deliver(t, w, c, w.write("a", body(10, 1)))
		two := w.write("a", body(10, 2))
		order(w, deliver(t, w, c, two))
		failed := false
		w.turn = func(_ *host, op string) verdict {
			if op == "put" && !failed {
				failed = true
				return verdict{clean: true}
			}
			return verdict{}
		}
		if r := deliver(t, w, c, two); r.Status != messages.StatusCopied || r.Copy.CRC32C != crc(two.body) || !failed {
			t.Errorf("record %+v", r)
		}
	})
}

// TestWhatThePythonAgentDeliveredIsNotHeld: of its bytes nothing is known.
func TestWhatThePythonAgentDeliveredIsNotHeld(t *testing.T) {
	bubble(t, "imported", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		c.HoldChanged = true
		one := w.write("a", body(10, 1))
		r := copyOf(w, one)
		r.Copy.How = messages.HowImported
		w.setRecord(r)
		two := w.write("a", body(12, 2))
		if r := deliver(t, w, c, two); r.Status != messages.StatusCopied || r.Copy.CRC32C != crc(two.body) || r.Copy.Replaced != nil {
			t.Errorf("record %+v, copy %+v", r, r.Copy)
		}
	})
}
