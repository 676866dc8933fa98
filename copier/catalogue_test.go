package copier_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// An answer is what a side or the queue says instead of doing what it is asked, so
// often that no repetition within one delivery helps.
type answer struct {
	row   string
	op    string
	class messages.Class
	times int
}

// TestFAnswers meets each failing answer in a pair: once nothing was done, once it was
// done all the same. Nothing is lost, nothing is given up for it, no more is sent than
// what may have been lost, and nobody is asked in a hurry.
func TestFAnswers(t *testing.T) {
	for _, a := range []answer{
		{"F01 a key that OCI does not know", "open", messages.Unauthenticated, 3},
		{"F02 a bucket that may not be read", "open", messages.NotFound, 3},
		{"F04 OCI throttles", "open", messages.Throttled, 3},
		{"F06 OCI is down", "open", messages.Unavailable, 9},
		{"F08 the connection breaks in the body", "body", messages.Connection, 3},
		{"F34 the clock is wrong for OCI", "open", messages.ClockSkew, 3},
		{"F38 no name is resolved", "open", messages.Connection, 9},
		{"F41 S3 throttles", "put", messages.Throttled, 9},
		{"F42 S3 fails", "put", messages.Unavailable, 9},
		{"F43 S3 forbids", "put", messages.Forbidden, 3},
		{"F44 the keys of S3 have expired", "put", messages.Unauthenticated, 3},
		{"F45 the clock is wrong for S3", "put", messages.ClockSkew, 3},
		{"F46 there is no such bucket", "put", messages.NotFound, 3},
		{"F48 an error in a success", "complete", messages.Unavailable, 2},
		{"F50 the answer to the commit is lost", "complete", messages.Connection, 1},
		{"F50 the upload is said to be none", "complete", messages.NoUpload, 1},
		{"F52 the answer to the put is lost", "put", messages.Connection, 2},
		{"F54 no part is taken", "part", messages.Connection, 3},
		{"F54 no upload begins", "create", messages.Unavailable, 2},
		{"F55 S3 finds other bytes", "part", messages.HashMismatch, 2},
		{"F57 a conflict at S3", "put", messages.Unknown, 3},
		{"F57 a conflict at S3, of an upload", "complete", messages.Unknown, 2},
		{"F67 the ledger is away before the copy", "read", messages.Queue, 4},
		{"F67 the ledger is away after the copy", "write", messages.Queue, 4},
		{"F67 the ack does not arrive", "settle", messages.Queue, 3},
	} {
		size := 10
		if slices.Contains([]string{"complete", "part", "create"}, a.op) {
			size = 40
		}
		for _, applied := range []bool{false, true} {
			for _, putOnly := range []bool{false, true} {
				bubble(t, fmt.Sprintf("%s/applied=%t,putOnly=%t", a.row, applied, putOnly), func(t *testing.T, w *world) {
					w.putOnly = putOnly
					meet(t, w, a, size, applied)
				})
			}
		}
	}
}

func meet(t *testing.T, w *world, a answer, size int, applied bool) {
	side := messages.Destination
	switch a.op {
	case "open", "body":
		side = messages.Source
	case "read", "write", "settle":
		side = ""
	}
	failed, effects := 0, 0
	w.turn = func(_ *host, op string) verdict {
		if op != a.op || failed == a.times {
			return verdict{}
		}
		failed++
		if applied {
			effects++
		}
		return verdict{clean: !applied, dirty: applied, err: &messages.Fault{Class: a.class, Side: side, Op: op, Err: errors.New("injected")}}
	}
	w.publish(w.write("a", body(size, 1)))
	took, empty := w.run(2*time.Hour, w.host("one").copier())
	if !empty || failed == 0 || !applied && failed != a.times { // what took effect is found, and not asked for again
		t.Fatalf("after %s the queue is empty: %t, and %d of %d faults were met", took, empty, failed, a.times)
	}
	w.converged(applied && a.op == "create") // an upload without parts that nobody learned of
	commits := 1
	if a.op == "put" || a.op == "complete" {
		commits += effects
	}
	if len(w.commits) > commits || len(w.dead) > 0 {
		t.Errorf("commits %v, want at most %d; dead letters %v", w.commits, commits, w.dead)
	}
	if calls, most := w.count(a.op), a.times+4*(a.times+1); calls > most {
		t.Errorf("%s was called %d times in %s, want at most %d", a.op, calls, took, most)
	}
}

// TestF20DeletedWhileItIsRead: a body that still arrives is the version that was
// listed; one that breaks leaves nothing, and the file is gone.
func TestF20DeletedWhileItIsRead(t *testing.T) {
	for _, breaks := range []bool{false, true} {
		for _, size := range []int{10, 40} {
			bubble(t, fmt.Sprintf("breaks=%t/%d", breaks, size), func(t *testing.T, w *world) {
				w.publish(w.write("a", body(size, 1)))
				w.turn = func(_ *host, op string) verdict {
					if op == "body" {
						w.remove("a")
					}
					return verdict{clean: breaks && op == "body"}
				}
				w.run(time.Hour, w.host("one").copier())
				w.converged(false)
				want := map[bool]messages.Status{false: messages.StatusCopied, true: messages.StatusGone}[breaks]
				if r := w.record(name("a")); r.Status != want || breaks == (len(w.commits) > 0) || len(w.dead) > 0 {
					t.Errorf("record %+v, commits %v, dead letters %v, want %s", r, w.commits, w.dead, want)
				}
			})
		}
	}
}

// TestF22AListingThatLags shows a file for a while that cannot be read any more. It is
// not gone before the listing says so, too, and no dead letter.
func TestF22AListingThatLags(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(10, 1)))
		w.turn = fails(verdict{clean: true, err: &messages.Fault{Class: messages.Gone, Side: messages.Source, Op: "open"}}, "open")
		time.AfterFunc(20*time.Minute, func() {
			if r := w.record(name("a")); r.Status != messages.StatusRetrying || r.Attempts < 5 || r.Attempts > 20 {
				t.Errorf("while it is listed the record is %+v", r)
			}
			w.remove("a")
		})
		took, empty := w.run(time.Hour, w.host("one").copier())
		if r := w.record(name("a")); !empty || took > 26*time.Minute || r.Status != messages.StatusGone || len(w.dead) > 0 {
			t.Errorf("after %s record %+v, dead letters %v", took, r, w.dead)
		}
	})
}

// TestF56ACommitThatTakesLong is one commit: the message stays with its worker.
func TestF56ACommitThatTakesLong(t *testing.T) {
	for op, size := range map[string]int{"put": 10, "complete": 40} {
		for _, takes := range []time.Duration{4 * time.Minute, 14 * time.Minute} {
			bubble(t, fmt.Sprint(op, "/", takes), func(t *testing.T, w *world) {
				w.turn = once(op, verdict{freeze: takes})
				w.publish(w.write("a", body(size, 1)))
				one, two := w.host("one").copier(), w.host("two").copier()
				w.run(time.Hour, one, two)
				w.converged(false)
				if renewals := w.count("renew"); len(w.commits) != 1 || len(w.settled) != 1 || renewals < int(takes/time.Minute)-1 {
					t.Errorf("commits %v, settled %v, %d renewals", w.commits, w.settled, renewals)
				}
			})
		}
	}
}

// TestF69AStaleRead says that an older version is done. The newest one is sent all the
// same, and never is a file left out for it.
func TestF69AStaleRead(t *testing.T) {
	for _, putOnly := range []bool{false, true} {
		bubble(t, fmt.Sprint("putOnly=", putOnly), func(t *testing.T, w *world) {
			w.putOnly = putOnly
			copyOf(w, w.write("a", body(10, 1)))
			r := w.record(name("a"))
			v := w.write("a", body(10, 2))
			r.Status, r.Object, r.Attempts = messages.StatusRetrying, v.object, 1
			w.setRecord(r) // the newest; what is read is the copy of the version before
			w.publish(v)
			w.stale = true
			w.run(time.Second, w.host("one").copier())
			w.stale = false
			w.settle(w.host("one").copier())
			w.converged(false)
			for _, c := range w.commits {
				if c != w.key(v.object)+" "+v.object.ETag {
					t.Errorf("committed %s, want only version %s", c, v.object.ETag)
				}
			}
		})
	}
}

// TestF78WhatIsDoneIsAckedAtOnce when it is queued again, and neither side is asked.
func TestF78WhatIsDoneIsAckedAtOnce(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		for i := range 20 {
			v := w.write(fmt.Sprint(i), body(10, 1))
			copyOf(w, v)
			w.publish(v)
		}
		took, empty := w.run(time.Minute, w.host("one").copier())
		w.converged(false)
		if asked := w.count("open") + w.count("stat") + w.count("head") + w.count("put"); !empty || took > 50*time.Millisecond || asked > 0 || len(w.commits) > 0 {
			t.Errorf("it took %s, with %d requests and the commits %v", took, asked, w.commits)
		}
	})
}

// TestF106AClockThatWasWrong has written when a file failed first. No file dies of that,
// and none waits longer for it.
func TestF106AClockThatWasWrong(t *testing.T) {
	for when, first := range map[string]func() time.Time{
		"an hour ahead": func() time.Time { return time.Now().Add(time.Hour) },
		"a year ahead":  func() time.Time { return time.Now().AddDate(1, 0, 0) },
		"1970":          func() time.Time { return time.Unix(0, 0) },
	} {
		bubble(t, when, func(t *testing.T, w *world) {
			c := w.host("one").copier()
			copyAnother(w, c)
			v := w.write("a", body(10, 1))
			v.object.Created = time.Now().Add(-time.Hour).UTC()
			w.setRecord(messages.Record{Status: messages.StatusRetrying, Object: v.object, Attempts: 1, FirstFailed: first(), At: first(), Worker: "two"})
			w.publish(v)
			w.turn = fails(verdict{clean: true, err: errors.New("x")}, "open")
			w.run(time.Second, c)
			r := w.record(name("a"))
			if last := w.settled[len(w.settled)-1]; r.Status != messages.StatusRetrying || r.Attempts != 2 || last.Delay < 0 || last.Delay > 10*time.Second {
				t.Errorf("record %+v, settled by %+v", r, last)
			}
			w.turn = fails(verdict{})
			w.settle(c)
			w.converged(false)
		})
	}
}

// TestF114AFileOnWhichTheProgramPanics is tried again in its turn, and holds up no other.
func TestF114AFileOnWhichTheProgramPanics(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			poison := func(_ context.Context, v *version) io.Reader {
				if v.object.Name == name("a") {
					return reads(func([]byte) (int, error) { panic("poison") })
				}
				return nil
			}
			w.bodies = poison
			for _, base := range []string{"a", "b", "c", "d"} {
				w.publish(w.write(base, body(size, 1)))
			}
			c := w.host("one").copier()
			told := violations(c)
			w.run(time.Hour, c)
			r := w.record(name("a"))
			if r.Status != messages.StatusRetrying || r.Class != messages.Unknown || r.Attempts < 5 || r.Attempts > 30 || len(w.commits) != 3 {
				t.Errorf("record %+v, commits %v", r, w.commits)
			}
			if n := len(told()); n != r.Attempts || told()[0] != messages.Panic {
				t.Errorf("told %d times of %d panics: %v", n, r.Attempts, told())
			}
			w.bodies = nil
			w.settle(c)
			w.converged(false)
		})
	}
}

// reads is a reader made of a function.
type reads func([]byte) (int, error)

func (r reads) Read(p []byte) (int, error) { return r(p) }

// TestF115CopiesLeaveNothingRunning, five hundred of them: a bubble with one does not end.
func TestF115CopiesLeaveNothingRunning(t *testing.T) {
	bubble(t, "", func(t *testing.T, w *world) {
		c := w.host("one").copier()
		c.Slots = 4
		finished := 0
		c.Observe = func(e copier.Event) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if e.Kind == copier.Finished {
				finished++
			}
		}
		for round := range 125 {
			clear(w.history)
			clear(w.visible)
			for _, e := range w.ledger {
				e.older = nil
			}
			w.calls, w.effects, w.settled, w.commits = nil, nil, nil, nil
			for i := range 4 {
				w.publish(w.write(fmt.Sprint(i), body(10+i%2*30, byte(round))))
			}
			w.run(time.Hour, c)
		}
		w.converged(false)
		if finished != 500 || len(w.dead) > 0 {
			t.Errorf("%d copies, dead letters %v", finished, w.dead)
		}
	})
}
