package copier_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

// keysOf yields all that is visible, and so many of others; it counts how often somebody asks.
func (w *world) keysOf(asked *int, others int, fault error) func(context.Context, string) iter.Seq2[string, error] {
	return func(_ context.Context, under string) iter.Seq2[string, error] {
		*asked++
		return func(yield func(string, error) bool) {
			if under != rules(w.tb).KeyPrefix {
				w.tb.Errorf("keys below %q are asked for", under)
			}
			w.mu.Lock()
			var all []string
			for key := range w.visible {
				all = append(all, key)
			}
			w.mu.Unlock()
			for i := range others {
				all = append(all, fmt.Sprint(under, "of-another-", i))
			}
			for _, key := range all {
				if !yield(key, nil) {
					return
				}
			}
			if fault != nil {
				yield("", fault)
			}
		}
	}
}

// TestAHeadIsForWhatStands: of files older than the ledger only those cost a HEAD that a
// listing shows; where it cannot tell, each does.
func TestAHeadIsForWhatStands(t *testing.T) {
	for _, c := range []struct {
		name         string
		there, heads int // of five files
		others       int // objects that are not ours
		fault        error
	}{
		{"nothing stands", 0, 0, 0, nil},
		{"two stand", 2, 2, 0, nil},
		{"with others beside them", 2, 2, 500, nil},
		{"with more than one listing shows", 0, 5, 1000, nil},
		{"the listing is forbidden", 1, 5, 0, &messages.Fault{Class: messages.Forbidden, Side: messages.Destination}},
		{"the listing fails", 0, 5, 0, errors.New("503")},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			var files []*version
			for i := range 5 {
				v := w.write(fmt.Sprint(i), body(10, 1))
				files = append(files, v)
				if i < c.there {
					w.visible[w.key(v.object)] = stored{body: v.body, meta: meta(v), etag: `"there"`}
				}
				w.publish(v)
			}
			asked := 0
			cp := w.host("one").copier()
			cp.Born, cp.Keys = time.Now().Add(time.Hour), w.keysOf(&asked, c.others, c.fault)
			w.run(time.Minute, cp)
			for i, v := range files {
				if r, how := w.record(v.object.Name), map[bool]string{true: messages.HowAdopted, false: messages.HowCopied}[i < c.there]; r.Copy == nil || r.Copy.How != how {
					t.Errorf("file %d: %+v, want %s", i, r.Copy, how)
				}
			}
			if n := w.count("head"); n != c.heads || asked != 1 {
				t.Errorf("%d HEAD and %d listings, want %d and 1", n, asked, c.heads)
			}
		})
	}
}

// TestAnOldListingIsNotBelieved: after an hour it is made anew; and it says nothing about a
// message that comes again.
func TestAnOldListingIsNotBelieved(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		asked := 0
		cp := w.host("one").copier()
		cp.Born, cp.Keys = time.Now().Add(24*time.Hour), w.keysOf(&asked, 0, nil)
		stands := func(name string, deliveries, listings, heads int) {
			t.Helper()
			v := w.write(name, body(10, 1))
			w.visible[w.key(v.object)] = stored{body: v.body, meta: meta(v), etag: `"there"`}
			w.publish(v).deliveries = deliveries
			w.run(time.Minute, cp)
			if n := w.count("head"); n != heads || asked != listings {
				t.Errorf("%s: %d HEAD and %d listings, want %d and %d", name, n, asked, heads, listings)
			}
		}
		stands("first", 0, 1, 1)
		stands("not-in-the-listing", 0, 1, 1) // it is sent: the same bytes under the same key
		stands("delivered-before", 1, 1, 2)
		time.Sleep(time.Hour + time.Minute)
		stands("in-a-new-listing", 0, 2, 3)
	})
}

// TestAListingThatPanicsEndsNothing: the file is looked for by itself.
func TestAListingThatPanicsEndsNothing(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(10, 1)))
		cp := w.host("one").copier()
		cp.Born = time.Now().Add(time.Hour)
		cp.Keys = func(context.Context, string) iter.Seq2[string, error] { panic("a broken port") }
		w.run(time.Minute, cp)
		w.converged(false)
		if n := w.count("head"); n != 1 {
			t.Errorf("%d HEAD, want 1", n)
		}
	})
}
