package copier_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
)

// bubble runs a subtest on a fake clock.
func bubble(t *testing.T, name string, f func(t *testing.T, w *world)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { f(t, newWorld(t)) })
	})
}

// fails makes every call of one of the ops fail.
func fails(v verdict, ops ...string) func(*host, string) verdict {
	return func(_ *host, op string) verdict {
		if slices.Contains(ops, op) {
			return v
		}
		return verdict{}
	}
}

// events collects what the copier tells.
func events(c *copier.Copier) func() []copier.Event {
	var mu sync.Mutex
	var all []copier.Event
	c.Observe = func(e copier.Event) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, e)
	}
	return func() []copier.Event {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
}

// byOrSize is the rung, or the one that takes the place of MD5 where that is refused.
func byOrSize(rung string) string {
	if rung == messages.ByMD5 && fips140.Enforced() { // make fips
		return messages.BySize
	}
	return rung
}

func TestChecksumLadder(t *testing.T) {
	byMD5, wrongMD5 := byOrSize(messages.ByMD5), messages.HashMismatch
	if byMD5 == messages.BySize {
		wrongMD5 = ""
	}
	for _, c := range []struct {
		name     string
		crc, md5 func(*version) string
		verified string
		class    messages.Class
	}{
		{"CRC32C", func(v *version) string { return v.crc32c }, func(v *version) string { return v.object.MD5 }, messages.ByCRC32C, ""},
		{"CRC32C alone", func(v *version) string { return v.crc32c }, nil, messages.ByCRC32C, ""},
		{"MD5", nil, func(v *version) string { return v.object.MD5 }, byMD5, ""},
		{"neither", nil, nil, messages.BySize, ""},
		{"a wrong CRC32C beside a right MD5", func(*version) string { return "AAAAAA==" }, func(v *version) string { return v.object.MD5 }, "", messages.HashMismatch},
		{"a wrong MD5", nil, func(*version) string { return "1B2M2Y8AsgTpgAmY7PhCfg==" }, messages.BySize, wrongMD5},
	} {
		for _, size := range []int{0, 10, 40} {
			bubble(t, fmt.Sprint(c.name, "/", size), func(t *testing.T, w *world) {
				v := w.write("a", body(size, 1))
				sum := func(f func(*version) string) string {
					if f == nil {
						return ""
					}
					return f(v)
				}
				v.crc32c, v.object.MD5 = sum(c.crc), sum(c.md5)
				if size == 0 && c.class != "" {
					v.object.MD5 = strings.Replace(v.object.MD5, "1B2M2Y8AsgTpgAmY7PhCfg==", "AAAAAAAAAAAAAAAAAAAAAA==", 1)
					if v.crc32c != "" {
						v.crc32c = "BBBBBA=="
					}
				}
				w.publish(v)
				w.run(time.Second, w.host("one").copier())
				r := w.record(v.object.Name)
				if c.class != "" {
					if r.Class != c.class || r.Mismatches != 1 || len(w.commits) != 0 {
						t.Errorf("record %+v, commits %v, want %s", r, w.commits, c.class)
					}
					return
				}
				if r.Copy == nil || r.Copy.Verified != c.verified || r.Copy.CRC32C != crc(v.body) || r.Copy.MD5 != v.object.MD5 || r.Copy.How != messages.HowCopied {
					t.Errorf("record %+v, copy %+v, want it verified by %q", r, r.Copy, c.verified)
				}
				if m := w.visible[r.Copy.Key].meta; m.Name != v.object.Name || m.ETag != v.object.ETag || len(v.body) <= 16 && m.CRC32C != crc(v.body) {
					t.Errorf("metadata %+v", m)
				}
			})
		}
	}
}

// TestTheDestinationVerifiesAnMD5 that is handed on: the promise is the same, and so is who is
// blamed.
func TestTheDestinationVerifiesAnMD5(t *testing.T) {
	badDigest := &messages.Fault{Class: messages.HashMismatch, Side: messages.Destination, Op: "put", Err: errors.New("BadDigest")}
	bySource := messages.Source
	if fips140.Enforced() { // nobody computes it here
		bySource = messages.Destination
	}
	for _, c := range []struct {
		name   string
		size   int
		change func(w *world, v *version)
		handed bool
		blamed messages.Side
	}{
		{"right", 16, func(*world, *version) {}, true, ""},
		{"empty", 0, func(*world, *version) {}, true, ""},
		{"wrong", 16, func(_ *world, v *version) { v.object.MD5 = "AAAAAAAAAAAAAAAAAAAAAA==" }, true, bySource},
		{"other bytes arrive", 16, func(w *world, _ *version) {
			w.turn = func(_ *host, op string) verdict { return verdict{clean: op == "put", err: badDigest} }
		}, true, messages.Destination},
		{"a CRC32C beside it", 16, func(_ *world, v *version) { v.crc32c = crc(v.body) }, false, ""},
		{"none", 16, func(_ *world, v *version) { v.object.MD5 = "" }, false, ""},
		{"in parts", 17, func(*world, *version) {}, false, ""},
		{"no MD5 at all", 16, func(_ *world, v *version) { v.object.MD5 = "a header\r\nx: y" }, false, messages.Source},
	} {
		if c.blamed == messages.Source && !c.handed && fips140.Enforced() {
			continue // it is verified by its size
		}
		bubble(t, c.name, func(t *testing.T, w *world) {
			v := w.write("a", body(c.size, 1))
			v.crc32c = ""
			c.change(w, v)
			h := w.host("one")
			cp := h.copier()
			cp.HandMD5 = true
			puts := handed{Objects: h}
			cp.Objects = &puts
			told := events(cp)
			w.publish(v)
			w.run(time.Second, cp)
			if (puts.md5 != "") != c.handed {
				t.Errorf("the MD5 that went along is %q, want one: %t", puts.md5, c.handed)
			}
			if c.blamed == "" {
				if r := w.record(v.object.Name); c.handed && r.Copy.Verified != messages.ByMD5 || len(w.commits) != 1 {
					t.Errorf("record %+v, commits %v", r.Copy, w.commits)
				}
				return
			}
			for _, e := range told() {
				if e.Kind == copier.Retrying && (messages.ClassOf(e.Err) != messages.HashMismatch || messages.SideOf(e.Err) != c.blamed) {
					t.Errorf("%v blames %q, want %q", e.Err, messages.SideOf(e.Err), c.blamed)
				}
			}
			if r := w.record(v.object.Name); r.Mismatches != 1 || len(w.commits) != 0 {
				t.Errorf("record %+v, commits %v", r, w.commits)
			}
		})
	}
}

// handed notes the MD5 that goes along with a Put.
type handed struct {
	copier.Objects
	md5 string
}

func (h *handed) Put(ctx context.Context, key string, body []byte, m copier.Meta) (string, error) {
	h.md5 = m.MD5
	return h.Objects.Put(ctx, key, body, m)
}

// TestWrongBytesAreNeverVisible: the world checks every commit; here the body is
// wrong in every way, for the first two attempts.
func TestWrongBytesAreNeverVisible(t *testing.T) {
	cut := func(n int) func([]byte) io.Reader {
		return func(b []byte) io.Reader { return bytes.NewReader(b[:min(n, len(b)-1)]) }
	}
	for _, c := range []struct {
		name  string
		spoil func([]byte) io.Reader
		class messages.Class
	}{
		{"empty", cut(0), messages.Length},
		{"one byte", cut(1), messages.Length},
		{"one byte short", cut(1 << 30), messages.Length},
		{"one byte long", func(b []byte) io.Reader { return io.MultiReader(bytes.NewReader(b), strings.NewReader("x")) }, messages.Length},
		{"twice", func(b []byte) io.Reader { return bytes.NewReader(slices.Concat(b, b)) }, messages.Length},
		{"first bit flipped", func(b []byte) io.Reader { b[0] ^= 128; return bytes.NewReader(b) }, messages.HashMismatch},
		{"last bit flipped", func(b []byte) io.Reader { b[len(b)-1] ^= 1; return bytes.NewReader(b) }, messages.HashMismatch},
		{"cut off by an error", func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(fault("body")))
		}, messages.Unavailable},
		{"an error after the last byte", func(b []byte) io.Reader {
			return io.MultiReader(bytes.NewReader(b), iotest.ErrReader(io.ErrUnexpectedEOF))
		}, messages.Unknown},
	} {
		for _, size := range []int{10, 16, 40} {
			for _, declared := range []bool{true, false} {
				bubble(t, fmt.Sprintf("%s/%d/length=%t", c.name, size, declared), func(t *testing.T, w *world) {
					v := w.write("a", body(size, 1))
					n := 0
					w.bodies = func(context.Context, *version) io.Reader {
						if n++; n > 2 {
							return nil
						}
						return c.spoil(bytes.Clone(v.body))
					}
					if !declared {
						w.answer = func(o *messages.Object) { o.Size = -1 }
					}
					h := w.host("one")
					cp := h.copier()
					told := events(cp)
					w.publish(v)
					if _, empty := w.run(time.Hour, cp); !empty {
						t.Fatal("the queue did not empty")
					}
					w.converged(false)
					if len(w.commits) != 1 || len(w.settled) != 3 {
						t.Errorf("%d commits, %d attempts, want 1 and 3", len(w.commits), len(w.settled))
					}
					var classes []messages.Class
					for _, e := range told() {
						if e.Kind == copier.Retrying {
							classes = append(classes, messages.ClassOf(e.Err))
						}
					}
					if !slices.Equal(classes, []messages.Class{c.class, c.class}) {
						t.Errorf("classes %v, want %s twice", classes, c.class)
					}
				})
			}
		}
	}
}

// TestSlowAndOddReaders: a reader may return few bytes, none, or the last ones
// together with the end.
func TestSlowAndOddReaders(t *testing.T) {
	for name, wrap := range map[string]func(io.Reader) io.Reader{"one byte": iotest.OneByteReader, "half": iotest.HalfReader, "data with the end": iotest.DataErrReader} {
		for _, size := range []int{0, 1, 16, 17, 40} {
			bubble(t, fmt.Sprint(name, "/", size), func(t *testing.T, w *world) {
				w.bodies = func(_ context.Context, v *version) io.Reader { return wrap(bytes.NewReader(v.body)) }
				w.publish(w.write("a", body(size, 1)))
				w.run(time.Hour, w.host("one").copier())
				w.converged(false)
			})
		}
	}
}

func TestTheAnswerMustAgreeWithTheListing(t *testing.T) {
	for class, answer := range map[messages.Class]func(*messages.Object){
		messages.Length:  func(o *messages.Object) { o.Size++ },
		messages.Changed: func(o *messages.Object) { o.ETag = "another" },
	} {
		bubble(t, string(class), func(t *testing.T, w *world) {
			w.answer = answer
			v := w.write("a", body(10, 1))
			w.publish(v)
			w.run(time.Second, w.host("one").copier())
			if r := w.record(v.object.Name); r.Class != class || len(w.commits) != 0 {
				t.Errorf("record %+v, want %s", r, class)
			}
		})
	}
}

func TestThreeMismatchesEndAFileInOrder(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			damaged(w, body(size, 1))
			c := w.host("one").copier()
			told := events(c)
			w.run(time.Hour, c)
			r := w.record(name("a"))
			d := w.dead[name("a")]
			if r.Status != messages.StatusFailed || r.Mismatches != 3 || r.Attempts != 3 || r.Class != messages.HashMismatch || !strings.Contains(r.Error, "the source declares CRC32C") {
				t.Errorf("record %+v", r)
			}
			if d.Class != messages.HashMismatch || d.Attempts != 3 || d.Object.ETag != r.Object.ETag || d.Message == "" {
				t.Errorf("dead letter %+v", d)
			}
			order := slices.DeleteFunc(slices.Clone(w.effects), func(op string) bool { return op == "read" || op == "next" })
			if n := len(order); n < 3 || !slices.Equal(order[n-3:], []string{"bury", "write", "settle"}) {
				t.Errorf("the effects are %v, want bury, write, settle in the end", order)
			}
			if last := w.settled[len(w.settled)-1]; last.Act != copier.Term || !strings.HasPrefix(last.Reason, "hash-mismatch: ") {
				t.Errorf("settled by %+v", last)
			}
			if e := told(); e[len(e)-1].Kind != copier.Died {
				t.Errorf("told %+v", e[len(e)-1])
			}
		})
	}
}

func TestRefusedMessagesAreBuriedUnseen(t *testing.T) {
	good := messages.FileDiscovered{Route: route, Object: messages.Object{Name: name("a"), ETag: "1", Size: 10}}
	change := func(f func(*messages.FileDiscovered)) (string, string) {
		m := good
		f(&m)
		b, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return messages.Subject("focus", messages.Live, route, m.Object.Name), string(b)
	}
	subject, data := change(func(*messages.FileDiscovered) {})
	_, wrongRoute := change(func(m *messages.FileDiscovered) { m.Route = "other" })
	_, wrongName := change(func(m *messages.FileDiscovered) { m.Object.Name = name("b") })
	outsideSubject, outside := change(func(m *messages.FileDiscovered) { m.Object.Name = "secret/2024/11/28/a.csv.gz" })
	dottedSubject, dotted := change(func(m *messages.FileDiscovered) { m.Object.Name = prefix + "2024/11/28/../a.csv.gz" })
	spaceSubject, space := change(func(m *messages.FileDiscovered) { m.Object.Name = name("a b") })
	largeSubject, large := change(func(m *messages.FileDiscovered) { m.Object.Size = 1<<40 + 1 })
	for _, c := range []struct{ name, subject, data, dead string }{
		{"not JSON", subject, "\xff\x00{", name("a")},
		{"nothing", subject, "", name("a")},
		{"without a schema", subject, `{"route":"main"}`, name("a")},
		{"too long", subject, data + strings.Repeat(" ", messages.MaxSize), name("a")},
		{"of another route", subject, wrongRoute, name("a")},
		{"of another name than its subject", subject, wrongName, name("a")},
		{"on a subject of another route", strings.Replace(subject, ".main.", ".other.", 1), data, name("a")},
		{"of another route, on its subject", strings.Replace(subject, ".main.", ".other.", 1), wrongRoute, name("a")},
		{"on a subject that is no name", "focus.files.live.main.=ZZ", "{}", "=ZZ"},
		{"outside the prefix", outsideSubject, outside, "secret/2024/11/28/a.csv.gz"},
		{"with a dotted path", dottedSubject, dotted, prefix + "2024/11/28/../a.csv.gz"},
		{"with a space", spaceSubject, space, name("a b")},
		{"too large", largeSubject, large, name("a")},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			w.send(c.subject, []byte(c.data))
			w.run(time.Hour, w.host("one").copier())
			if got := slices.DeleteFunc(slices.Clone(w.effects), func(op string) bool { return op == "next" }); !slices.Equal(got, []string{"bury", "settle"}) {
				t.Errorf("effects %v, want bury and settle alone", got)
			}
			if d := w.dead[c.dead]; d.Class != messages.Refused || d.Subject != c.subject || len(d.Message) > 4096 {
				t.Errorf("dead letters %+v", w.dead)
			}
			if len(w.settled) != 1 || w.settled[0].Act != copier.Term {
				t.Errorf("settled by %+v", w.settled)
			}
		})
		for _, op := range []string{"bury", "settle"} {
			for _, v := range []verdict{{clean: true}, {dirty: true}, {clean: true, panics: true}, {dirty: true, panics: true}} {
				bubble(t, fmt.Sprintf("%s/%s/%t,%t", c.name, op, v.dirty, v.panics), func(t *testing.T, w *world) {
					n := 0
					w.turn = func(_ *host, o string) verdict {
						if o == op {
							n++
						}
						if o == op && n == 1 {
							return v
						}
						return verdict{}
					}
					w.send(c.subject, []byte(c.data))
					if _, empty := w.run(time.Hour, w.host("one").copier()); !empty || len(w.dead) != 1 {
						t.Errorf("queue empty %t, dead letters %+v", empty, w.dead)
					}
				})
			}
		}
	}
}

// TestAMessageNamesNoDestination: fields of its own are unknown, and ignored.
func TestAMessageNamesNoDestination(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		v := w.write("a", body(10, 1))
		l := w.publish(v)
		l.data = []byte(strings.Replace(string(l.data), "{", `{"key":"../../evil","bucket":"evil","endpoint":"https://evil.example","destination":{"key":"evil"},`, 1))
		w.run(time.Hour, w.host("one").copier())
		w.converged(false)
		if len(w.visible) != 1 {
			t.Errorf("visible: %v", w.commits)
		}
	})
}

// TestNewerVersionsAreLeftAlone: during a rolling upgrade an older copier waits.
func TestNewerVersionsAreLeftAlone(t *testing.T) {
	for what, set := range map[string]func(*world, *version){
		"message": func(w *world, v *version) {
			l := w.publish(v)
			l.data = bytes.Replace(l.data, []byte(`"schema":1`), []byte(`"schema":2`), 1)
		},
		"record": func(w *world, v *version) {
			w.publish(v)
			w.set(w.recordKey(v.object.Name), []byte(`{"schema":2}`))
		},
		"upload": func(w *world, v *version) {
			w.publish(v)
			w.set(messages.UploadKey(route, v.object.Name), []byte(`{"schema":2}`))
		},
	} {
		bubble(t, what, func(t *testing.T, w *world) {
			set(w, w.write("a", body(40, 1)))
			w.run(time.Minute, w.host("one").copier())
			if len(w.settled) != 1 || w.settled[0].Act != copier.Nak || w.settled[0].Delay < 3*time.Minute || w.settled[0].Delay > 5*time.Minute {
				t.Errorf("settled by %+v, want a nak of minutes", w.settled)
			}
			for _, op := range w.effects {
				if op != "next" && op != "read" && op != "settle" {
					t.Errorf("effects %v", w.effects)
					break
				}
			}
		})
	}
}

// TestTheLedgerIsACache: what cannot be read there is written anew.
func TestTheLedgerIsACache(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			v := w.write("a", body(size, 1))
			broken := []byte("\x00\x00")
			w.mu.Lock()
			for _, key := range []string{messages.RecordKey(route, messages.Report{Day: "2024-11-28", Basename: "a.csv.gz"}), messages.UploadKey(route, v.object.Name)} {
				w.seq++
				w.ledger[key] = &entry{value: broken, revision: uint64(w.seq)}
			}
			w.mu.Unlock()
			m := messages.FileDiscovered{Route: route, Object: v.object}
			data, _ := m.Encode()
			w.send(messages.Subject("focus", messages.Live, route, v.object.Name), data)
			w.run(time.Hour, w.host("one").copier())
			w.converged(false)
			if len(w.dead) != 0 || len(w.commits) != 1 {
				t.Errorf("commits %v, dead letters %v", w.commits, w.dead)
			}
		})
	}
}

func TestDueIsSentWithoutALook(t *testing.T) {
	for _, size := range []int{10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			due(w, body(size, 1))
			for _, l := range w.queue {
				l.deliveries = 3 // a redelivery is a reason to look, else
			}
			n := 0
			w.turn = func(_ *host, op string) verdict {
				if op == "put" || op == "complete" {
					n++
				}
				if n == 1 && (op == "put" || op == "complete") {
					return verdict{clean: true, err: errors.New("once")}
				}
				return verdict{}
			}
			c := w.host("one").copier()
			c.Born = time.Now().Add(time.Hour)
			w.run(time.Hour, c)
			w.converged(false)
			r := w.record(name("a"))
			if r.Generation != 1 || r.Copy.How != messages.HowCopied || r.Repeat {
				t.Errorf("record %+v, copy %+v", r, r.Copy)
			}
			if size == 10 && w.count("head") != 0 {
				t.Error("an ordered repeat asked for what is there")
			}
		})
	}
}

// TestAHigherGenerationIsOrdered: a stale read of the record does not swallow it.
func TestAHigherGenerationIsOrdered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		due(w, body(10, 1)) // older value: copied, generation 0; newest: due, 1
		w.stale = true
		w.run(time.Second, w.host("one").copier())
		w.stale = false
		w.settle(w.host("one").copier())
		w.converged(false)
		if r := w.record(name("a")); r.Generation != 1 {
			t.Errorf("record %+v", r)
		}
	})
}

// TestAMendThatFailsIsOwed: v1 was committed late, over v2, which another worker had
// recorded; and the copy of v2 that is to mend that fails. The message is gone by then.
func TestAMendThatFailsIsOwed(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault verdict
		at    string
	}{
		{"the destination is away", verdict{clean: true}, "put"},
		{"the source is away", verdict{clean: true}, "open"},
		{"the lease is lost, too", verdict{freeze: 2 * ackWait, clean: true}, "put"},
		{"panics", verdict{clean: true, panics: true}, "put"},
	} {
		bubble(t, tt.name, func(t *testing.T, w *world) {
			w.publish(w.write("a", body(10, 1)))
			c, puts := w.host("one").copier(), 0
			w.turn = func(_ *host, op string) verdict {
				if op == "put" && puts == 0 {
					puts++
					copyOf(w, w.write("a", body(10, 2)))
					return verdict{}
				}
				if op == tt.at && puts == 1 {
					puts++
					w.mu.Lock()
					clear(w.queue)
					w.mu.Unlock()
					return tt.fault
				}
				return verdict{clean: op == "renew" || op == "next" && c.AtWork() > 0} // where it freezes, as a whole
			}
			w.tainted = true
			w.run(time.Hour, c)
			if s := w.record(name("a")).Status; puts != 2 || s != messages.StatusDue && s != messages.StatusRetrying {
				t.Errorf("%d puts; the record says %q", puts, s)
			}
			w.turn, w.tainted = fails(verdict{}), false
			w.settle(w.host("two").copier())
			w.converged(false)
		})
	}
}

func TestSameBytesUnderANewETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := copyOf(w, w.write("a", body(40, 1)))
		v := w.write("a", body(40, 1))
		w.publish(v)
		w.run(time.Hour, w.host("one").copier())
		r := w.record(v.object.Name)
		if len(w.commits) != 0 || r.Object.ETag != v.object.ETag || r.Copy == nil || r.Copy.How != messages.HowRecorded || r.Copy.ETag != first.Copy.ETag {
			t.Errorf("commits %v, record %+v, copy %+v", w.commits, r, r.Copy)
		}
		if w.count("head") != 0 {
			t.Error("the destination was asked")
		}
	})
}

// TestAReversionIsSent: the record of v1 says nothing of what an attempt on v2
// left at the destination, when v3 has the bytes of v1 again.
func TestAReversionIsSent(t *testing.T) {
	for _, putOnly := range []bool{false, true} {
		for _, crash := range []bool{false, true} {
			bubble(t, fmt.Sprintf("putOnly=%t,crash=%t", putOnly, crash), func(t *testing.T, w *world) {
				w.putOnly = putOnly
				copyOf(w, w.write("a", body(10, 1)))
				w.publish(w.write("a", body(10, 2)))
				w.turn = func(_ *host, op string) verdict {
					if op == "put" {
						return verdict{dirty: true, crash: crash}
					}
					return verdict{}
				}
				w.run(time.Second, w.host("one").copier())
				w.turn = fails(verdict{})
				w.write("a", body(10, 1))
				w.settle(w.host("two").copier())
				w.converged(false)
			})
		}
	}
}

func TestAdoption(t *testing.T) {
	ours := func(v *version) (stored, bool) {
		return stored{body: v.body, meta: meta(v), etag: `"there"`}, true
	}
	for _, c := range []struct {
		name       string
		deliveries int
		old        bool
		there      func(*version) (stored, bool)
		how        string
		heads      int
	}{
		{"first delivery of a fresh file", 0, false, ours, messages.HowCopied, 0},
		{"redelivery", 1, false, ours, messages.HowAdopted, 1},
		{"older than the ledger", 0, true, ours, messages.HowAdopted, 1},
		{"redelivery, nothing there", 1, false, func(*version) (stored, bool) { return stored{}, false }, messages.HowCopied, 1},
		{"redelivery, an older version there", 1, false, func(v *version) (stored, bool) {
			s, _ := ours(v)
			s.meta.ETag = "older"
			return s, true
		}, messages.HowCopied, 1},
		{"redelivery, a foreign object there", 1, false, func(v *version) (stored, bool) {
			s, _ := ours(v)
			s.meta = copier.Meta{}
			return s, true
		}, messages.HowCopied, 1},
		{"redelivery, another size there", 1, false, func(v *version) (stored, bool) {
			s, _ := ours(v)
			s.body = append(bytes.Clone(s.body), 'x')
			return s, true
		}, messages.HowCopied, 1},
		{"redelivery, another size there, without sums", 1, false, func(v *version) (stored, bool) {
			s, _ := ours(v)
			s.body = append(bytes.Clone(s.body), 'x')
			return s, true
		}, messages.HowCopied, 1},
		{"redelivery, without sums", 1, false, ours, messages.HowAdopted, 1},
		{"redelivery, other bytes there", 1, false, func(v *version) (stored, bool) {
			s, _ := ours(v)
			s.body = body(len(s.body), 9)
			return s, true
		}, messages.HowCopied, 1},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			w.noSums = strings.Contains(c.name, "without sums")
			v := w.write("a", body(10, 1))
			l := w.publish(v)
			l.deliveries = c.deliveries
			there, ok := c.there(v)
			cp := w.host("one").copier()
			if c.old {
				cp.Born = time.Now().Add(time.Hour)
			}
			cp.Observe = func(e copier.Event) { // after the checks of the world's own effects
				if e.Kind == copier.Started && !slices.Contains([]string{messages.HowCopied}, c.how) {
					t.Error("bytes were sent")
				}
			}
			if ok {
				w.visible[w.key(v.object)] = there
				w.history[v.object.Name] = append(w.history[v.object.Name], // what stands there is not the copier's fault
					&version{object: messages.Object{Name: v.object.Name, ETag: "older"}, body: there.body},
					&version{object: messages.Object{Name: v.object.Name, ETag: there.meta.ETag}, body: there.body})
				w.history[""] = []*version{{object: v.object, body: there.body}}
				w.history[""][0].object.ETag = ""
			}
			w.run(time.Hour, cp)
			r := w.record(v.object.Name)
			if r.Copy == nil || r.Copy.How != c.how || w.count("head") != c.heads || !bytes.Equal(w.visible[r.Copy.Key].body, v.body) {
				t.Errorf("copy %+v, %d heads, want %s, %d", r.Copy, w.count("head"), c.how, c.heads)
			}
			if c.how == messages.HowAdopted && (r.Copy.ETag != there.etag || !w.noSums && r.Copy.CRC32C != crc(v.body) || w.noSums == (r.Copy.Verified == messages.ByCRC32C)) {
				t.Errorf("adopted as %+v", r.Copy)
			}
		})
	}
}

// TestHeadNeverMatters: forbidden, unknown or absurd, the file is sent; and after
// a Forbidden it is not asked again for an hour.
func TestHeadNeverMatters(t *testing.T) {
	bubble(t, "forbidden", func(t *testing.T, w *world) {
		w.putOnly = true
		c := w.host("one").copier()
		for i := range 10 {
			w.publish(w.write(fmt.Sprint(i), body(10+i*3, 1))).deliveries = 1
		}
		w.run(time.Hour, c)
		w.converged(false)
		if n := w.count("head"); n != 1 {
			t.Errorf("HEAD was asked %d times, want once", n)
		}
		time.Sleep(time.Hour + time.Minute)
		w.publish(w.write("later", body(10, 1))).deliveries = 1
		w.run(time.Hour, c)
		w.converged(false)
		if n := w.count("head"); n != 2 {
			t.Errorf("HEAD was asked %d times, want once more after an hour", n)
		}
	})
	for _, err := range []error{errors.New("405"), &messages.Fault{Class: messages.Unknown, Side: messages.Destination}, &messages.Fault{Class: messages.Refused}} {
		bubble(t, err.Error(), func(t *testing.T, w *world) {
			w.turn = fails(verdict{clean: true, err: err}, "head")
			w.publish(w.write("a", body(10, 1))).deliveries = 1
			w.run(time.Hour, w.host("one").copier())
			w.converged(false)
			if len(w.settled) != 1 {
				t.Errorf("%d attempts, want one", len(w.settled))
			}
		})
	}
}

func TestOverwrittenSinceTheScan(t *testing.T) {
	bubble(t, "copied", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(10, 1)))
		v := w.write("a", body(12, 2))
		w.run(time.Hour, w.host("one").copier())
		w.converged(false)
		if len(w.commits) != 1 || len(w.settled) != 1 {
			t.Errorf("commits %v, want the present version alone", w.commits)
		}
		if n := w.scan(); n != 0 || w.record(v.object.Name).Object.Size != 12 {
			t.Errorf("the next scan finds %d to do", n)
		}
	})
	bubble(t, "done by now", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(10, 1)))
		copyOf(w, w.write("a", body(12, 2)))
		c := w.host("one").copier()
		told := events(c)
		w.run(time.Hour, c)
		w.converged(false)
		if len(w.commits) != 0 || len(told()) != 1 || told()[0].Kind != copier.Skipped {
			t.Errorf("commits %v, events %+v", w.commits, told())
		}
	})
	for _, op := range []string{"open", "stat"} {
		bubble(t, "done by now, and "+op+" fails", func(t *testing.T, w *world) {
			w.putOnly = true
			old := w.write("a", body(10, 1))
			time.Sleep(time.Minute)
			w.publish(w.write("a", body(12, 2)))
			c := w.host("one").copier()
			w.run(time.Hour, c)
			w.publish(old) // by a scanner that had listed before
			failed := 0
			w.turn = func(_ *host, o string) verdict {
				if o == op && failed < 2 {
					failed++
					return verdict{clean: true}
				}
				return verdict{}
			}
			w.run(time.Hour, c)
			w.converged(false)
			if failed != 2 || len(w.commits) != 1 || w.record(old.object.Name).Status != messages.StatusCopied {
				t.Errorf("%d failures, commits %v, want one", failed, w.commits)
			}
		})
	}
	bubble(t, "too large by now", func(t *testing.T, w *world) {
		w.publish(w.write("a", body(10, 1)))
		w.write("a", body(40, 2))
		c := w.host("one").copier()
		c.Rules.MaxSize = 20
		w.run(time.Hour, c)
		if r := w.record(name("a")); r.Status != messages.StatusFailed || r.Object.Size != 40 || len(w.commits) != 0 {
			t.Errorf("record %+v", r)
		}
	})
}

func TestGoneOnlyWhenTheListingLacksIt(t *testing.T) {
	gone := &messages.Fault{Class: messages.Gone, Side: messages.Source, Op: "open"}
	bubble(t, "gone", func(t *testing.T, w *world) {
		v := w.write("a", body(10, 1))
		w.publish(v)
		w.remove("a")
		c := w.host("one").copier()
		told := events(c)
		w.run(time.Hour, c)
		r := w.record(v.object.Name)
		if r.Status != messages.StatusGone || !r.Done(v.object, 0) || r.Object.Size != 10 {
			t.Errorf("record %+v", r)
		}
		if e := told(); len(e) != 1 || e[0].Kind != copier.Vanished || e[0].Object.Name != v.object.Name {
			t.Errorf("events %+v", e)
		}
	})
	bubble(t, "listed, but not to be read", func(t *testing.T, w *world) {
		v := w.write("a", body(10, 1))
		w.publish(v)
		w.turn = fails(verdict{clean: true, err: gone}, "open")
		w.run(time.Second, w.host("one").copier())
		if r := w.record(v.object.Name); r.Status != messages.StatusRetrying || r.Class != messages.Unknown || r.Attempts != 1 {
			t.Errorf("record %+v", r)
		}
	})
	bubble(t, "the listing fails, too", func(t *testing.T, w *world) {
		v := w.write("a", body(10, 1))
		w.publish(v)
		w.turn = func(h *host, op string) verdict {
			if op == "open" {
				return verdict{clean: true, err: gone}
			}
			return fails(verdict{clean: true, err: &messages.Fault{Class: messages.NotFound, Side: messages.Source}}, "stat")(h, op)
		}
		w.run(time.Minute, w.host("one").copier())
		r := w.record(v.object.Name)
		if r.Status != messages.StatusRetrying || r.Class != messages.NotFound || r.Object.ETag != v.object.ETag {
			t.Errorf("record %+v", r)
		}
		if r.Attempts < 2 {
			t.Errorf("%d attempts are counted after %d", r.Attempts, len(w.settled))
		}
		w.turn = fails(verdict{})
		w.settle(w.host("one").copier())
		w.converged(false)
	})
}

func TestALostAnswerToComplete(t *testing.T) {
	for _, putOnly := range []bool{false, true} {
		for _, class := range []messages.Class{messages.Connection, messages.NoUpload, messages.Unknown} {
			bubble(t, fmt.Sprintf("putOnly=%t,%s", putOnly, class), func(t *testing.T, w *world) {
				w.putOnly = putOnly
				n := 0
				w.turn = func(_ *host, op string) verdict {
					if op == "complete" {
						n++
					}
					if op == "complete" && n == 1 {
						return verdict{dirty: true, err: &messages.Fault{Class: class, Side: messages.Destination}}
					}
					return verdict{}
				}
				w.publish(w.write("a", body(40, 1)))
				w.run(time.Hour, w.host("one").copier())
				w.converged(false)
				commits := 1
				if putOnly {
					commits = 2
				}
				if len(w.commits) != commits || len(w.settled) != commits {
					t.Errorf("%d commits in %d attempts, want %d", len(w.commits), len(w.settled), commits)
				}
			})
		}
	}
}

func TestRetryDelays(t *testing.T) {
	for _, c := range []struct {
		name     string
		attempts int // before this one
		err      error
		low      time.Duration
		high     time.Duration
	}{
		{"first", 0, errors.New("x"), 3750 * time.Millisecond, 5 * time.Second},
		{"second", 1, errors.New("x"), 7500 * time.Millisecond, 10 * time.Second},
		{"fifth", 4, errors.New("x"), 60 * time.Second, 80 * time.Second},
		{"at the cap", 6, errors.New("x"), 225 * time.Second, 300 * time.Second},
		{"far over the cap", 5000, errors.New("x"), 225 * time.Second, 300 * time.Second},
		{"a side fails", 6, fault("open"), 22500 * time.Millisecond, 30 * time.Second},
		{"the side asks for a pause", 0, &messages.Fault{Class: messages.Throttled, Side: messages.Source, RetryAfter: 2 * time.Minute}, 2 * time.Minute, 2 * time.Minute},
		{"the side asks for an hour", 0, &messages.Fault{Class: messages.Throttled, Side: messages.Source, RetryAfter: time.Hour}, 5 * time.Minute, 5 * time.Minute},
		{"the ledger fails", 6, fault("read"), 3750 * time.Millisecond, 5 * time.Second},
	} {
		seen := map[time.Duration]bool{}
		for range 20 {
			bubble(t, c.name, func(t *testing.T, w *world) {
				v := w.write("a", body(10, 1))
				if c.attempts > 0 {
					w.setRecord(messages.Record{Status: messages.StatusRetrying, Object: v.object, Attempts: c.attempts, FirstFailed: time.Now(), At: time.Now(), Worker: "one"})
				}
				w.publish(v)
				w.turn = fails(verdict{clean: true, err: c.err}, "open")
				w.run(time.Millisecond, w.host("one").copier())
				if len(w.settled) != 1 || w.settled[0].Act != copier.Nak || w.settled[0].Delay < c.low || w.settled[0].Delay > c.high {
					t.Errorf("settled by %+v, want a delay of %s to %s", w.settled, c.low, c.high)
				}
				seen[w.settled[0].Delay] = true
				if r := w.record(v.object.Name); messages.ClassOf(c.err) != messages.Queue && r.Attempts != c.attempts+1 {
					t.Errorf("%d attempts are recorded", r.Attempts)
				}
			})
		}
		if len(seen) < 2 && c.low != c.high {
			t.Errorf("%s: no jitter", c.name)
		}
	}
}

// TestAgeKillsOnlyWhileOthersAreCopied: so that no outage and no pause makes a
// backlog of dead letters.
func TestAgeKillsOnlyWhileOthersAreCopied(t *testing.T) {
	for _, c := range []struct {
		name  string
		age   time.Duration
		other func(w *world, c *copier.Copier)
		dies  bool
	}{
		{"nothing was copied", 100 * time.Hour, func(*world, *copier.Copier) {}, false},
		{"another was copied", 72 * time.Hour, copyAnother, true},
		{"another was copied, but the file is young", 71 * time.Hour, copyAnother, false},
		{"another was copied over an hour ago", 100 * time.Hour, func(w *world, c *copier.Copier) {
			copyAnother(w, c)
			time.Sleep(time.Hour + time.Minute)
		}, false},
		{"another was found gone", 100 * time.Hour, func(w *world, c *copier.Copier) {
			w.publish(w.write("b", body(10, 1)))
			w.remove("b")
			w.run(time.Hour, c)
		}, false},
		{"another was only recorded", 100 * time.Hour, func(w *world, c *copier.Copier) {
			copyOf(w, w.write("b", body(10, 1)))
			w.publish(w.write("b", body(10, 1)))
			w.run(time.Hour, c)
		}, false},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			cp := w.host("one").copier()
			c.other(w, cp)
			v := w.write("a", body(10, 1))
			w.setRecord(messages.Record{Status: messages.StatusRetrying, Object: v.object, Attempts: 9, FirstFailed: time.Now().Add(-c.age), At: time.Now(), Worker: "one"})
			w.publish(v)
			w.turn = fails(verdict{clean: true, err: errors.New("x")}, "open")
			w.run(time.Millisecond, cp)
			if r := w.record(v.object.Name); (r.Status == messages.StatusFailed) != c.dies || r.Attempts != 10 {
				t.Errorf("record %+v, want it dead %t", r, c.dies)
			}
		})
	}
}

func copyAnother(w *world, c *copier.Copier) {
	w.publish(w.write("b", body(10, 1)))
	w.run(time.Hour, c)
}

// TestANewVersionBeginsAnew: attempts, age and mismatches belong to a version.
func TestANewVersionBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		old := w.write("a", body(10, 1))
		w.setRecord(messages.Record{Status: messages.StatusRetrying, Object: old.object, Attempts: 9, Mismatches: 2, FirstFailed: time.Now().Add(-100 * time.Hour), At: time.Now(), Worker: "one"})
		damaged(w, body(12, 2))
		w.run(time.Millisecond, w.host("one").copier())
		if r := w.record(name("a")); r.Attempts != 1 || r.Mismatches != 1 || !r.FirstFailed.Equal(r.At) || r.Object.Size != 12 {
			t.Errorf("record %+v", r)
		}
	})
}

// TestTheEarlierCopyIsKept while a newer version is still failing.
func TestTheEarlierCopyIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := copyOf(w, w.write("a", body(10, 1)))
		w.publish(w.write("a", body(12, 2)))
		w.turn = fails(verdict{clean: true}, "open")
		w.run(time.Millisecond, w.host("one").copier())
		if r := w.record(name("a")); r.Status != messages.StatusRetrying || r.Copy == nil || r.Copy.ETag != first.Copy.ETag {
			t.Errorf("record %+v, copy %+v", r, r.Copy)
		}
	})
}

// TestUploadsThatMayNotBeAborted are remembered and tried again.
func TestUploadsThatMayNotBeAborted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		v := w.write("a", body(40, 1))
		w.publish(v)
		w.turn = func(h *host, op string) verdict {
			if op == "abort" {
				return verdict{clean: true, err: &messages.Fault{Class: messages.Forbidden, Side: messages.Destination}}
			}
			return fails(verdict{clean: true, err: errors.New("x")}, "body")(h, op)
		}
		w.run(30*time.Second, w.host("one").copier())
		if len(w.uploads) < 2 {
			t.Fatalf("%d uploads are open, want one an attempt", len(w.uploads))
		}
		w.turn = fails(verdict{})
		w.run(time.Hour, w.host("one").copier())
		w.converged(false)
	})
}

func TestEvents(t *testing.T) {
	for _, size := range []int{0, 10, 40} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			told := events(c)
			v := w.write("a", body(size, 1))
			w.publish(v)
			w.run(time.Hour, c)
			e := told()
			var moved int64
			for _, e := range e {
				moved += e.Bytes
				if e.Object.Name != v.object.Name || e.Report.Basename != "a.csv.gz" {
					t.Errorf("event %+v", e)
				}
			}
			if e[0].Kind != copier.Started || e[len(e)-1].Kind != copier.Finished || e[len(e)-1].Record.Status != messages.StatusCopied || moved != int64(size) {
				t.Errorf("%d bytes have moved in %+v", moved, e)
			}
		})
	}
}

// TestSizes sends real parts: none, one, many, and one byte to either side.
func TestSizes(t *testing.T) {
	const chunk = 5 << 20
	all := body(12*chunk+1, 3)
	for _, size := range []int{0, 1, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 2*chunk + 1, 12*chunk + 1} {
		bubble(t, fmt.Sprint(size), func(t *testing.T, w *world) {
			c := w.host("one").copier()
			c.Chunk, c.Budget = chunk, copier.NewBudget(3, chunk)
			v := w.write("a", all[:size])
			w.bodies = func(_ context.Context, v *version) io.Reader { return bytes.NewReader(v.body) }
			w.turn = func(_ *host, op string) verdict {
				if op == "part" { // each part takes a while, so that they overlap
					return verdict{freeze: time.Second}
				}
				return verdict{}
			}
			w.publish(v)
			w.run(time.Hour, c)
			w.converged(false)
			parts := 0
			if size > chunk {
				parts = (size + chunk - 1) / chunk
			}
			if w.count("part") != parts || w.count("put") != 1-min(parts, 1) {
				t.Errorf("%d parts and %d puts, want %d parts", w.count("part"), w.count("put"), parts)
			}
			if w.held > 3*chunk || parts >= 3 && w.held <= 2*chunk {
				t.Errorf("%d bytes were sent at once, want those of three buffers", w.held)
			}
		})
	}
}

// TestWhatBeganIsToldToEnd, also where nothing is decided: an observer that
// counts what is under way would count it for ever.
func TestWhatBeganIsToldToEnd(t *testing.T) {
	for _, c := range []struct {
		name, op string
		class    messages.Class
	}{
		{"the ledger does not answer", "write", messages.Queue},
		{"the lease is lost", "renew", messages.LeaseLost},
	} {
		bubble(t, c.name, func(t *testing.T, w *world) {
			w.slow(time.Minute)
			w.turn = fails(verdict{clean: true}, c.op)
			v := w.write("a", body(10, 1))
			found := time.Now()
			w.publish(v)
			cp := w.host("one").copier()
			told := events(cp)
			w.run(15*time.Minute, cp)
			var kinds []copier.Kind
			for _, e := range told() {
				if e.Kind == copier.Progress || e.Kind == copier.Inspected {
					continue
				}
				if len(kinds) == 1 && e.Kind == copier.Started {
					continue // the other hand is handed the message that the first one has lost
				}
				if kinds = append(kinds, e.Kind); len(kinds) > 2 {
					break
				}
				if !e.Discovered.Equal(found) {
					t.Errorf("%s: discovered at %v, want %v", e.Kind, e.Discovered, found)
				}
				if e.Kind == copier.Returned && messages.ClassOf(e.Err) != c.class {
					t.Errorf("returned for %v, want %s", e.Err, c.class)
				}
			}
			if len(kinds) < 2 || kinds[0] != copier.Started || kinds[1] != copier.Returned {
				t.Errorf("told %v, want started and returned", kinds)
			}
			w.turn, w.bodies = fails(verdict{}), nil
			w.settle(w.host("two").copier())
		})
	}
}
