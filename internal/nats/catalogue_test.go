package nats_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// The names F… are the rows of the failure catalogue in docs/reliability.md.

// takeAll takes and acks what is queued, and returns how often each file came.
func (w *world) takeAll() map[string]int {
	w.Helper()
	seen := map[string]int{}
	for tries := 0; w.status().Messages > 0; { // an ack reaches replicas a little later
		d, err := w.conn.Queue(w.assets).Next(w.Context(), true) // a server that has just started may be late
		if d == nil {
			if tries++; tries > 30 {
				w.Fatalf("nothing comes of %d messages: %v", w.status().Messages, err)
			}
			continue
		}
		m, err := messages.DecodeDiscovered(d.Data)
		if err != nil {
			w.Errorf("%s holds %q: %v", d.Subject, d.Data, err)
		}
		seen[m.Object.Name]++
		w.settle(d, copier.Verdict{Act: copier.Ack})
	}
	return seen
}

// back waits until the connection is there again.
func (w *world) back() {
	w.Helper()
	if err := natstest.Until(func() bool { return w.conn.Health() == nil }); err != nil {
		w.Fatal(err)
	}
}

// TestF68LeadersChange while files are queued and records written: each scan repeats
// what failed, and each file is queued once.
func TestF68LeadersChange(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	servers := natstest.Cluster(t)
	w := &world{t, servers[0], servers[0].Connect(t), messages.Define("focus", "main", 3, time.Minute)}
	if _, err := nats.Setup(t.Context(), w.conn, w.assets, nats.Create); err != nil {
		t.Fatal(err)
	}
	ledger, publisher := w.ledger(), w.conn.Publisher("focus")
	queued, failed := 0, 0
	for i := range 30 {
		if i%10 == 5 {
			for _, stream := range []string{w.assets.Files.Name, "KV_" + w.assets.State.Name} {
				if _, err := w.conn.NATS().Request("$JS.API.STREAM.LEADER.STEPDOWN."+stream, nil, 5*time.Second); err != nil {
					t.Errorf("step down: %v", err)
				}
			}
		}
		name := fmt.Sprint("f", i)
		deadline := time.Now().Add(20 * time.Second)
		for {
			ok, err := publisher.Publish(t.Context(), messages.Live, file(name))
			if err == nil {
				if ok {
					queued++
				}
				break
			}
			if failed++; messages.ClassOf(err) != messages.Queue || time.Now().After(deadline) {
				t.Fatalf("Publish = %v, want class queue for a moment at most", err)
			}
		}
		key := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: name})
		for {
			_, revision, err := ledger.Read(t.Context(), key)
			if err == nil && revision > 0 {
				break
			}
			_, err = ledger.Write(t.Context(), key, recordOf(t, name, messages.StatusCopied), revision)
			if err == nil {
				break
			}
			if failed++; time.Now().After(deadline) {
				t.Fatalf("Write = %v", err)
			}
		}
	}
	seen := w.takeAll()
	for name, n := range seen {
		if n != 1 {
			t.Errorf("%s came %d times", name, n)
		}
	}
	if day, err := ledger.Day(t.Context(), "2024-11-28"); err != nil || len(day) != 30 || len(seen) != 30 {
		t.Errorf("%d files came and %d records are there, %v; want 30", len(seen), len(day), err)
	}
	t.Logf("%d queued at once, %d calls failed", queued, failed)
}

// TestF71AFullStream refuses a message with an error and drops none; when there is room,
// the refused one is taken.
func TestF71AFullStream(t *testing.T) {
	w := newWorld(t, 5*time.Second)
	edit(t, w, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxBytes = 4000 })
	fills(t, w, func() {})
}

// fills queues files until one is refused, makes room, and finds all of them.
func fills(t *testing.T, w *world, room func()) {
	t.Helper()
	publisher := w.conn.Publisher("focus")
	large := func(i int) messages.FileDiscovered {
		m := file(fmt.Sprintf("f%03d", i))
		m.Trace = strings.Repeat("x", 500)
		return m
	}
	refused := -1
	for i := 0; refused < 0 && i < 1000; i++ {
		if ok, err := publisher.Publish(t.Context(), messages.Live, large(i)); err != nil {
			if refused = i; ok || messages.ClassOf(err) != messages.Queue {
				t.Errorf("Publish = %t, %v, want class queue", ok, err)
			}
		}
	}
	if s := w.status(); refused < 2 || s.Messages != uint64(refused) {
		t.Fatalf("%d files are queued when the one after %d was refused", s.Messages, refused)
	}
	if ok, err := publisher.Publish(t.Context(), messages.Live, large(refused)); err == nil {
		t.Errorf("the same again = %t, without an error", ok)
	}
	room()
	var d *copier.Delivery // its ack makes room, too
	for tries := 0; d == nil && tries < 10; tries++ {
		var err error
		if d, err = w.conn.Queue(w.assets).Next(t.Context(), true); err != nil {
			t.Log("a server that has just started: ", err)
		}
	}
	if d == nil {
		t.Fatal("nothing comes")
	}
	w.settle(d, copier.Verdict{Act: copier.Ack})
	if ok, err := publisher.Publish(t.Context(), messages.Live, large(refused)); !ok || err != nil {
		t.Errorf("with room Publish = %t, %v", ok, err)
	}
	if seen := w.takeAll(); len(seen) != refused || seen[large(refused).Object.Name] != 1 {
		t.Errorf("then came %v, want the %d others", seen, refused)
	}
}

// TestF78AServerForgetsMsgIDsOfWhatWasAcked when it starts again. So the same file can be
// queued once more: the copier finds it done.
func TestF78AServerForgetsMsgIDsOfWhatWasAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.mustPublish(messages.Live, "acked")
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		w.mustPublish(messages.Live, "waits")
		w.srv.Restart(t)
		w.back()
		if w.publish(messages.Live, file("waits")) {
			t.Error("what waits was queued twice")
		}
		w.publish(messages.Live, file("acked")) // either is fine
		// A repair within the window has an id of its own.
		again := file("acked")
		again.Generation = 1
		w.publish(messages.Live, again)
		if seen := w.takeAll(); seen["acked"] != 1 || seen["waits"] != 1 {
			t.Errorf("came %v, want each once", seen)
		}
	})
}

// TestF82NoNumberOfDeliveriesEndsAMessage, or blocks its file.
func TestF82NoNumberOfDeliveriesEndsAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		w.mustPublish(messages.Live, "a")
		const times = 100
		for i := range times {
			d := w.take()
			if d.Deliveries != i+1 {
				t.Fatalf("delivery %d is counted as %d", i+1, d.Deliveries)
			}
			if i%2 == 0 {
				w.settle(d, copier.Verdict{Act: copier.Nak})
			} // else the ack wait ends it
			if s := w.status(); s.Messages != 1 || s.Live.Waiting+uint64(s.Live.InFlight) != 1 {
				t.Fatalf("after %d deliveries the status is %+v: a message is stuck", i+1, s)
			}
		}
		w.settle(w.take(), copier.Verdict{Act: copier.Ack})
		again := file("a")
		again.Generation = 1
		if !w.publish(messages.Live, again) {
			t.Error("the file cannot be queued again")
		}
	})
}

// TestF87NoRoomForTheServer is an error to whoever writes; what was acknowledged is there
// when there is room again.
func TestF87NoRoomForTheServer(t *testing.T) {
	limit := func(bytes int64) natstest.Option {
		return func(o *server.Options) { o.JetStreamMaxStore = bytes }
	}
	w := newWorld(t, 5*time.Second, limit(16<<10))
	fills(t, w, func() {
		w.srv.Restart(t, limit(1<<30))
		w.back()
	})
}

// TestF88AFlippedBitInTheStore brings no other message, and none twice. What the server
// cannot read any more may block its file, as server 2.15 keeps the count of a subject
// whose message it has lost; making the stream anew, as docs/reliability.md says, and the
// next scan bring all that did not come.
func TestF88AFlippedBitInTheStore(t *testing.T) {
	for _, at := range []float64{0, 0.1, 0.5, 0.9, 1} {
		t.Run(fmt.Sprintf("F88 at %.0f %%", at*100), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, time.Minute, func(o *server.Options) { o.StoreDir = dir })
				for i := range 20 {
					w.mustPublish(messages.Live, fmt.Sprint("f", i))
				}
				w.srv.Stop()
				flip(t, dir, at)
				w.srv.Restart(t)
				w.back()
				time.Sleep(3 * time.Minute) // the Msg-Ids of what was lost may be remembered for two
				again := w.queueRest(nil)
				seen := map[string]int{}
				w.collect(seen)
				came := len(seen)
				if at == 0.1 || at == 0.9 { // as an embedded server is mended
					w.srv.Stop()
					if err := os.RemoveAll(filepath.Join(dir, "jetstream", "$G", "streams", w.assets.Files.Name)); err != nil {
						t.Fatal(err)
					}
					w.srv.Restart(t)
					w.back()
				} else if err := jetstreamOf(t, w.conn).DeleteStream(t.Context(), w.assets.Files.Name); err != nil {
					t.Fatal(err)
				}
				natstest.Setup(t, w.conn, "focus", "main", time.Minute)
				blocked := w.queueRest(seen)
				w.collect(seen)
				for i := range 20 {
					if n := seen[fmt.Sprint("f", i)]; n != 1 {
						t.Errorf("f%d came %d times", i, n)
					}
				}
				t.Logf("%d came, of which %d were lost and queued again; %d were blocked", came, again, blocked)
			})
		})
	}
}

// queueRest is the next scan, for which the seen ones are done.
func (w *world) queueRest(seen map[string]int) (queued int) {
	w.Helper()
	for i := range 20 {
		name := fmt.Sprint("f", i)
		if seen[name] == 0 && w.publish(messages.Live, file(name)) {
			queued++
		}
	}
	return queued
}

// collect takes what comes, which must be what was queued.
func (w *world) collect(seen map[string]int) {
	w.Helper()
	for d := w.next(true); d != nil; d = w.next(true) {
		m, err := messages.DecodeDiscovered(d.Data)
		if err != nil || m.Object != file(m.Object.Name).Object || d.Subject != messages.Subject("focus", messages.Live, "main", m.Object.Name) {
			w.Errorf("%s holds %q: %v", d.Subject, d.Data, err)
		}
		seen[m.Object.Name]++
		w.settle(d, copier.Verdict{Act: copier.Ack})
	}
}

// flip changes a bit of the stream's messages on the disk.
func flip(t *testing.T, dir string, at float64) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", "FOCUS_FILES", "msgs", "*.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("the blocks of the stream are %v, %v", blocks, err)
	}
	raw, err := os.ReadFile(blocks[0])
	if err != nil || len(raw) == 0 {
		t.Fatalf("the block has %d bytes, %v", len(raw), err)
	}
	changed := bytes.Clone(raw)
	changed[min(int(at*float64(len(raw))), len(raw)-1)] ^= 4
	if err := os.WriteFile(blocks[0], changed, 0o600); err != nil {
		t.Fatal(err)
	}
}
