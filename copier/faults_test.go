package copier_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// A scene is a file in some state for which a message waits.
type scene struct {
	name    string
	putOnly bool
	// set prepares the world and publishes the message.
	set func(w *world)
	how string // of the copy in the end
	// dies says that the file is a dead letter in the end.
	dies bool
	// ranged says that the copier has parts of which the file has many.
	ranged bool
}

func (s scene) copier(h *host) *copier.Copier {
	if s.ranged {
		return h.ranged(3)
	}
	return h.copier()
}

func scenes() []scene {
	small, large := body(10, 1), body(40, 2) // of a chunk of 16: one request, or one part
	return []scene{
		{name: "small", set: func(w *world) { w.publish(w.write("a", small)) }},
		{name: "large", set: func(w *world) { w.publish(w.write("a", large)) }},
		{name: "in ranges", ranged: true, set: func(w *world) { w.publish(w.write("a", body(5*part+1, 4))) }},
		{name: "small, put only", putOnly: true, set: func(w *world) { w.publish(w.write("a", small)) }},
		{name: "large, put only", putOnly: true, set: func(w *world) { w.publish(w.write("a", large)) }},
		{name: "large, due, and lost at the destination", set: func(w *world) { due(w, large) }, how: messages.HowCopied},
		{name: "small, due, and lost at the destination", set: func(w *world) { due(w, small) }, how: messages.HowCopied},
		{name: "overwritten since the scan", set: func(w *world) {
			w.publish(w.write("a", large))
			w.write("a", body(33, 3))
		}},
		{name: "a new etag for the same bytes", set: func(w *world) {
			copyOf(w, w.write("a", small))
			w.publish(w.write("a", small))
		}},
		{name: "an upload left open", set: func(w *world) {
			v := w.write("a", large)
			w.uploads["old"] = &upload{key: w.key(v.object), parts: map[int32][]byte{1: large}, sent: 1}
			note(w, messages.Upload{Key: w.key(v.object), ID: "old", Worker: "elsewhere"}, v.object.Name)
			w.publish(v)
		}},
		{name: "gone since the scan", set: func(w *world) {
			w.publish(w.write("a", small))
			w.remove("a")
		}},
		{name: "small, and always damaged", dies: true, set: func(w *world) { damaged(w, small) }},
		{name: "large, and always damaged", dies: true, set: func(w *world) { damaged(w, large) }},
	}
}

// copyOf makes v a version that was copied and recorded before.
func copyOf(w *world, v *version) messages.Record {
	m := meta(v)
	w.mu.Lock()
	etag := w.commit(w.key(v.object), v.body, m)
	w.commits = nil
	w.mu.Unlock()
	r := messages.Record{
		Status: messages.StatusCopied, Object: v.object, Worker: "elsewhere", At: time.Now().UTC(),
		Copy: &messages.FileCopied{
			Key: w.key(v.object), ETag: etag, Size: v.object.Size, CRC32C: crc(v.body), MD5: v.object.MD5,
			Verified: messages.ByCRC32C, How: messages.HowCopied, At: time.Now().UTC(),
		},
	}
	w.setRecord(r)
	return r
}

// due orders a repeat of a copy that the destination has lost.
func due(w *world, b []byte) {
	v := w.write("a", b)
	r := copyOf(w, v)
	r.Status, r.Generation = messages.StatusDue, 1
	w.setRecord(r)
	delete(w.visible, w.key(v.object))
	w.publish(v)
}

// damaged makes a file whose bytes never have the declared checksum.
func damaged(w *world, b []byte) {
	w.publish(w.write("a", b))
	w.bodies = func(_ context.Context, v *version) io.Reader {
		b := bytes.Clone(v.body)
		b[len(b)/2] ^= 1
		return bytes.NewReader(b)
	}
}

func note(w *world, u messages.Upload, name string) {
	b, err := u.Encode()
	if err != nil {
		w.tb.Errorf("%v", err)
	}
	w.set(messages.UploadKey(route, name), b)
}

// TestCopySurvivesEveryFault fails each port call of a copy in turn: without
// and with its effect, by an error, a panic, or the end of the process. Then
// another process takes over, and everything must come out as without a fault.
func TestCopySurvivesEveryFault(t *testing.T) {
	kinds := []verdict{
		{clean: true}, {dirty: true}, {clean: true, crash: true}, {dirty: true, crash: true},
		{clean: true, panics: true}, {dirty: true, panics: true},
		{clean: true, err: fmt.Errorf("an error without a class")}, {dirty: true, err: fmt.Errorf("an error without a class")},
	}
	for _, s := range scenes() {
		var calls []string
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.putOnly = s.putOnly
			s.set(w)
			_, empty := w.run(time.Hour, s.copier(w.host("one")))
			if !empty {
				t.Fatalf("%s: the queue did not empty without any fault", s.name)
			}
			w.converged(false)
			if attempts := map[bool]int{true: 3, false: 1}[s.dies]; len(w.commits) > 1 || len(w.settled) != attempts {
				t.Errorf("%s: without a fault %d commits, %d settled", s.name, len(w.commits), len(w.settled))
			}
			calls = w.calls
		})
		for i, op := range calls {
			for _, k := range kinds {
				if op == "next" && k.dirty {
					continue // the queue lends again what got lost; the scene of a crash covers it
				}
				t.Run(fmt.Sprintf("%s/%d-%s/clean=%t,crash=%t,panic=%t,class=%t", s.name, i, op, k.clean, k.crash, k.panics, k.err == nil), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { survive(t, s, i, op, k) })
				})
			}
		}
	}
}

func survive(t *testing.T, s scene, at int, op string, k verdict) {
	w := newWorld(t)
	w.putOnly = s.putOnly
	s.set(w)
	n := -1
	w.turn = func(*host, string) verdict {
		w.mu.Lock()
		defer w.mu.Unlock()
		if n++; n == at {
			return k
		}
		return verdict{}
	}
	w.run(time.Hour, s.copier(w.host("one")))
	w.settle(s.copier(w.host("two")))
	// Between Create and its note an upload without parts may be left.
	w.converged(op == "create" && k.dirty || op == "write" && (k.crash || k.panics))
	if (len(w.dead) > 0) != s.dies {
		t.Errorf("dead letters: %v", w.dead)
	}
	r := w.record(name("a"))
	if s.how != "" && (r.Copy == nil || r.Copy.How != s.how) {
		t.Errorf("the copy in the end is %+v, want %s", r.Copy, s.how)
	}
	most := 1
	if s.putOnly || s.how != "" { // nobody can ask whether the first arrived
		most = 2
	}
	if len(w.commits) > most {
		t.Errorf("%d commits, want at most %d: %v", len(w.commits), most, w.commits)
	}
}
