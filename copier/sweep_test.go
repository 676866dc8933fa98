package copier_test

import (
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

func TestSweepsEndWhatNobodyOwns(t *testing.T) {
	const day = 24 * time.Hour
	for _, c := range []struct {
		name   string
		age    time.Duration
		status messages.Status // of the record; empty: none
		epoch  int
		edit   func(*world, *messages.Upload)
		abort  verdict
		swept  bool
		left   []string // uploads that stay open
		noted  bool
	}{
		{name: "of a file that is copied", age: 25 * time.Hour, status: messages.StatusCopied, swept: true},
		{name: "of a file that is gone", age: 25 * time.Hour, status: messages.StatusGone, swept: true},
		{name: "of a file that is copied, still moving", age: 23 * time.Hour, status: messages.StatusCopied, left: []string{"u"}, noted: true},
		{name: "begun long ago, still moving", age: 9 * day, status: messages.StatusCopied, edit: func(_ *world, u *messages.Upload) { u.Updated = time.Now().Add(-time.Hour) }, left: []string{"u"}, noted: true},
		{name: "of a file that is tried again", age: 6 * day, status: messages.StatusRetrying, left: []string{"u"}, noted: true},
		{name: "of a file that another destination has", age: 6 * day, status: messages.StatusCopied, epoch: 3, left: []string{"u"}, noted: true},
		{name: "of a file without a record", age: 6 * day, left: []string{"u"}, noted: true},
		{name: "of a file that is tried again, for a week", age: 7 * day, status: messages.StatusRetrying, swept: true},
		{name: "of a file without a record, for a week", age: 7 * day, swept: true},
		{name: "that could not be aborted before", edit: func(w *world, u *messages.Upload) { u.ID, u.Abandoned = "", []string{"u"} }, swept: true},
		{name: "that cannot be aborted now", age: 8 * day, abort: verdict{clean: true, err: &messages.Fault{Class: messages.Forbidden}}, swept: true, left: []string{"u"}, noted: true},
		{name: "below another key", age: 8 * day, edit: func(_ *world, u *messages.Upload) { u.Key = "elsewhere" }, swept: true},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			v := w.write("a", body(40, 1))
			w.uploads["u"] = &upload{key: w.key(v.object), parts: map[int32][]byte{1: v.body}, sent: 1}
			u := messages.Upload{Key: w.key(v.object), ID: "u", Started: time.Now().Add(-c.age)}
			if c.edit != nil {
				c.edit(w, &u)
			}
			note(w, u, v.object.Name)
			if c.status != "" {
				w.setRecord(messages.Record{Status: c.status, Epoch: c.epoch, Object: v.object, Copy: &messages.FileCopied{}})
			}
			w.turn = fails(c.abort, "abort")
			swept, err := w.host("one").copier().Sweep(t.Context(), v.object.Name, u, w.ledger[messages.UploadKey(route, v.object.Name)].revision)
			var left []string
			for id := range w.uploads {
				left = append(left, id)
			}
			if now, noted := w.noted("a"); swept != c.swept || err != nil || !slices.Equal(left, c.left) || noted != c.noted || noted && c.swept && !slices.Equal(now.Abandoned, c.left) {
				t.Errorf("swept %t, %v; open %v, noted %t %+v", swept, err, left, noted, now)
			}
		})
	}
}

// TestASweepThatCollides leaves the upload to whoever wrote the note since.
func TestASweepThatCollides(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		v := w.write("a", body(40, 1))
		w.uploads["u"] = &upload{key: w.key(v.object), parts: map[int32][]byte{1: v.body}, sent: 1}
		u := messages.Upload{Key: w.key(v.object), ID: "u", Started: time.Now().Add(-30 * 24 * time.Hour)}
		note(w, u, v.object.Name)
		was := w.ledger[messages.UploadKey(route, v.object.Name)].revision
		note(w, u, v.object.Name)
		if _, err := w.host("one").copier().Sweep(t.Context(), v.object.Name, u, was); err != nil || len(w.uploads) != 1 {
			t.Errorf("Sweep = %v, %d uploads", err, len(w.uploads))
		}
		u.ID = "other"
		if _, err := w.host("one").copier().Sweep(t.Context(), "elsewhere/x", u, was); err != nil || len(w.uploads) != 1 {
			t.Errorf("Sweep of a name of no report = %v, %d uploads", err, len(w.uploads))
		}
	})
}
