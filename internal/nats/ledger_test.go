package nats_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	natsgo "github.com/nats-io/nats.go"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func recordOf(t testing.TB, name string, s messages.Status) []byte {
	t.Helper()
	b, err := messages.Record{Status: s, Object: messages.Object{Name: name}}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t testing.TB, l *nats.Ledger, key string, value []byte, revision uint64) uint64 {
	t.Helper()
	next, err := l.Write(t.Context(), key, value, revision)
	if err != nil {
		t.Fatalf("Write(%s, rev %d): %v", key, revision, err)
	}
	return next
}

func conflict(t testing.TB, l *nats.Ledger, key string, value []byte, revision uint64) {
	t.Helper()
	before, rev, _ := l.Read(t.Context(), key)
	_, err := l.Write(t.Context(), key, value, revision)
	if messages.ClassOf(err) != messages.Conflict {
		t.Errorf("Write(%s, %d bytes, rev %d) = %v, want a conflict", key, len(value), revision, err)
	}
	after, now, _ := l.Read(t.Context(), key)
	if string(before) != string(after) || rev != now {
		t.Errorf("a conflict changed the value")
	}
}

func TestCompareAndSwap(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	const key = "main.scan"
	if v, rev, err := l.Read(t.Context(), key); v != nil || rev != 0 || err != nil {
		t.Fatalf("Read of nothing = %q, %d, %v, want nil, 0, nil", v, rev, err)
	}
	conflict(t, l, key, []byte("x"), 9)
	one := write(t, l, key, []byte("1"), 0)
	conflict(t, l, key, []byte("x"), 0)
	two := write(t, l, key, []byte("2"), one)
	conflict(t, l, key, []byte("x"), one)
	conflict(t, l, key, nil, one)
	conflict(t, l, key, nil, 0)
	if v, rev, err := l.Read(t.Context(), key); string(v) != "2" || rev != two || err != nil {
		t.Fatalf("Read = %q, %d, %v, want 2, %d, nil", v, rev, err, two)
	}
	if next := write(t, l, key, nil, two); next != 0 {
		t.Errorf("erasing returned revision %d, want 0: there is none", next)
	}
	if v, rev, err := l.Read(t.Context(), key); v != nil || rev != 0 || err != nil {
		t.Fatalf("Read after erasing = %q, %d, %v, want nil, 0, nil", v, rev, err)
	}
	write(t, l, key, nil, 0) // nothing to erase
	conflict(t, l, key, []byte("x"), two)
	three := write(t, l, key, []byte("3"), 0) // over the tombstone
	if three <= two {
		t.Errorf("revision %d after %d, want a higher one", three, two)
	}
}

func TestRacingCreatesHaveOneWinner(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	for _, over := range []string{"nothing", "a tombstone"} {
		key := "main.scan"
		if over == "a tombstone" {
			_, rev, _ := l.Read(t.Context(), key)
			write(t, l, key, nil, rev)
		}
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				_, err := l.Write(t.Context(), key, fmt.Append(nil, i), 0)
				switch {
				case err == nil:
					won.Add(1)
				case messages.ClassOf(err) == messages.Conflict:
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 15 {
			t.Errorf("over %s: %d won, %d lost, want 1 and 15", over, won.Load(), lost.Load())
		}
	}
}

func TestAValueOverTheLimitIsRefused(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	if _, err := l.Write(t.Context(), "main.scan", make([]byte, messages.MaxSize+1), 0); messages.ClassOf(err) != messages.Refused {
		t.Errorf("Write = %v, want refused", err)
	}
}

func TestDayHasTheRecordsOfTheDayAndNoOthers(t *testing.T) {
	w := newWorld(t, time.Minute)
	l := w.ledger()
	if day, err := l.Day(t.Context(), "2024-11-28"); len(day) != 0 || day == nil || err != nil {
		t.Fatalf("Day of an empty ledger = %v, %v, want an empty map", day, err)
	}
	put := func(route string, day messages.Day, name string) (string, uint64) {
		key := messages.RecordKey(route, messages.Report{Day: day, Basename: name})
		return key, write(t, l, key, recordOf(t, name, messages.StatusCopied), 0)
	}
	put("main", "2024-11-28", "a.csv.gz")
	put("main", "2024-11-28", "b c/d")
	put("main", "2024-11-29", "tomorrow")
	put("other", "2024-11-28", "foreign")
	key, rev := put("main", "2024-11-28", "erased")
	write(t, l, key, nil, rev)
	write(t, l, messages.MarksKey("main"), []byte("{}"), 0)
	day, err := l.Day(t.Context(), "2024-11-28")
	if err != nil || len(day) != 2 || day["a.csv.gz"].Object.Name != "a.csv.gz" || day["b c/d"].Object.Name != "b c/d" {
		t.Errorf("Day = %v, %v, want a.csv.gz and b c/d", day, err)
	}
	var got []string
	for e, err := range l.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Day)+" "+e.Basename)
	}
	if want := []string{"2024-11-28 a.csv.gz", "2024-11-28 b c/d", "2024-11-29 tomorrow"}; !slices.Equal(got, want) {
		t.Errorf("Records = %q, want %q", got, want)
	}
}

// A record that nobody can read is as good as none: its file is looked at again.
// One of a newer version is an error, and both are named.
func TestAnUnreadableRecordIsNamed(t *testing.T) {
	for _, tt := range []struct {
		value string
		is    error // of Day
	}{{`not json`, nil}, {`{"schema":99}`, messages.ErrNewer}} {
		l := newWorld(t, time.Minute).ledger()
		bad := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: "bad"})
		write(t, l, bad, []byte(tt.value), 0)
		good := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: "good"})
		write(t, l, good, recordOf(t, "good", messages.StatusCopied), 0)
		day, err := l.Day(t.Context(), "2024-11-28")
		if tt.is == nil && (err != nil || len(day) != 1 || day["good"].Status != messages.StatusCopied) {
			t.Errorf("Day = %v, %v, want the good record alone", day, err)
		}
		if tt.is != nil && (day != nil || !errors.Is(err, tt.is) || !containsAll(err, bad)) {
			t.Errorf("Day = %v, %v, want no map and an error that names %s", day, err, bad)
		}
		var seen []string
		for e, err := range l.Records(t.Context()) {
			if (err != nil) != (e.Key == bad) {
				t.Errorf("Records yields %s with error %v", e.Key, err)
			}
			seen = append(seen, e.Key)
		}
		if len(seen) != 2 {
			t.Errorf("Records yields %q, want both", seen)
		}
	}
}

// Over the server's limit of 1024 answers, while records are overwritten and the
// connection breaks again and again.
func TestDayIsNeverAPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, time.Minute)
		l := w.ledger()
		const files = 1100
		fill(t, w, "2024-11-28", files)
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				key := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: fmt.Sprint(i % 3)})
				_, rev, _ := l.Read(ctx, key)
				_, _ = l.Write(ctx, key, recordOf(t, "again", messages.StatusRetrying), rev)
			}
		})
		complete := 0
		for i := range 4 {
			if i%2 == 0 {
				wg.Go(func() { _ = w.conn.NATS().ForceReconnect() })
			}
			day, err := l.Day(ctx, "2024-11-28")
			switch {
			case err == nil && len(day) != files:
				t.Errorf("Day has %d records and no error, want %d", len(day), files)
			case err == nil:
				complete++
			case messages.ClassOf(err) != messages.Queue:
				t.Errorf("Day = %v, want class queue", err)
			}
		}
		cancel()
		wg.Wait()
		if complete < 2 {
			t.Errorf("%d of 4 were complete, want at least those without a reconnect", complete)
		}
	})
}

// fill writes n records of a day, faster than one by one.
func fill(t testing.TB, w *world, day messages.Day, n int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprint(i)
		key := messages.RecordKey("main", messages.Report{Day: day, Basename: name})
		msg := natsgo.NewMsg("$KV." + w.assets.State.Name + "." + key)
		msg.Data = recordOf(t, name, messages.StatusCopied)
		if i == n-1 { // answered after all before it
			if _, err := w.conn.NATS().RequestMsgWithContext(t.Context(), msg); err != nil {
				t.Fatal(err)
			}
		} else if err := w.conn.NATS().PublishMsg(msg); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUploads(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	note := func(name, id string) (string, uint64) {
		b, err := messages.Upload{Key: "k", ID: id, Started: time.Now()}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		key := messages.UploadKey("main", name)
		return key, write(t, l, key, b, 0)
	}
	key, rev := note("done", "1")
	write(t, l, key, nil, rev)
	key, rev = note("a/b.csv.gz", "2")
	got, err := l.Uploads(t.Context())
	if err != nil || len(got) != 1 || got[0].Name != "a/b.csv.gz" || got[0].Upload.ID != "2" || got[0].Key != key || got[0].Revision != rev {
		t.Errorf("Uploads = %+v, %v, want a/b.csv.gz", got, err)
	}
	write(t, l, messages.UploadKey("main", "bad"), []byte("x"), 0)
	if got, err := l.Uploads(t.Context()); err != nil || len(got) != 1 || got[0].Name != "a/b.csv.gz" {
		t.Errorf("Uploads = %+v, %v, want a/b.csv.gz beside a note that cannot be read", got, err)
	}
	write(t, l, messages.UploadKey("main", "newer"), []byte(`{"schema":2}`), 0)
	if _, err := l.Uploads(t.Context()); !errors.Is(err, messages.ErrNewer) || !containsAll(err, messages.UploadKey("main", "newer")) {
		t.Errorf("Uploads = %v, want an error that names the key", err)
	}
}

func TestWatchSeesEveryChangeAcrossARestart(t *testing.T) {
	w := newWorld(t, time.Minute, natstest.Listen())
	l := w.ledger()
	key := messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: "a"})
	rev := write(t, l, key, recordOf(t, "a", messages.StatusDue), 0)
	ctx, cancel := context.WithCancel(t.Context())
	var mu sync.Mutex
	var last nats.Entry
	seen := func(s messages.Status, erased bool) func() bool {
		return func() bool {
			mu.Lock()
			defer mu.Unlock()
			return last.Basename == "a" && last.Day == "2024-11-28" && last.Record.Status == s && last.Erased == erased
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		err := l.Watch(ctx, true, func(e nats.Entry) {
			mu.Lock()
			defer mu.Unlock()
			last = e
		})
		if err != nil {
			t.Errorf("Watch = %v, want nil", err)
		}
	})
	expect := func(what string, ok func() bool) {
		t.Helper()
		if err := natstest.Until(ok); err != nil {
			t.Errorf("%s: %v; last %+v", what, err, last)
		}
	}
	expect("initial", seen(messages.StatusDue, false))
	rev = write(t, l, key, recordOf(t, "a", messages.StatusRetrying), rev)
	expect("update", seen(messages.StatusRetrying, false))
	w.srv.Restart(t)
	expect("reconnect", func() bool { return w.conn.Health() == nil })
	rev = write(t, l, key, recordOf(t, "a", messages.StatusCopied), rev)
	expect("update after a restart", seen(messages.StatusCopied, false))
	write(t, l, key, nil, rev)
	expect("erased", seen("", true))
	cancel()
	wg.Wait()
}

func TestWatchWithoutInitialValues(t *testing.T) {
	for range 2 { // two bubbles, since the library shares timers
		synctest.Test(t, func(t *testing.T) {
			l := newWorld(t, time.Minute).ledger()
			key := func(n string) string {
				return messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: n})
			}
			write(t, l, key("old"), recordOf(t, "old", messages.StatusCopied), 0)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			wg.Go(func() {
				time.Sleep(30 * time.Second)
				write(t, l, key("new"), recordOf(t, "new", messages.StatusCopied), 0)
			})
			var got []string
			if err := l.Watch(ctx, false, func(e nats.Entry) { got = append(got, e.Basename) }); err != nil {
				t.Error(err)
			}
			wg.Wait()
			if !slices.Equal(got, []string{"new"}) {
				t.Errorf("Watch saw %q, want new", got)
			}
		})
	}
}

func TestLedgerWithoutABucketSaysSetup(t *testing.T) {
	w := newWorld(t, time.Minute)
	_, err := w.conn.Ledger(t.Context(), messages.Bucket{Name: "missing"}, "main")
	if messages.ClassOf(err) != messages.Queue || !containsAll(err, "setup") {
		t.Errorf("Ledger = %v, want class queue and a remedy", err)
	}
}

// Whoever mirrors the ledger knows when it has all that stood there.
func TestAMirrorTellsWhenItIsComplete(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Minute)
	l := w.ledger()
	fill(t, w, "2026-11-21", 50)
	ctx, cancel := context.WithCancel(t.Context())
	seen, complete, done := 0, make(chan int, 1), make(chan error, 1)
	later := make(chan nats.Entry, 1)
	go func() {
		done <- l.Mirror(ctx, func(e nats.Entry) {
			if seen++; seen > 50 {
				later <- e
			}
		}, func() { complete <- seen })
	}()
	if n := <-complete; n != 50 {
		t.Errorf("it was told complete after %d records of 50", n)
	}
	key := messages.RecordKey("main", messages.Report{Day: "2026-11-22", Basename: "later.csv.gz"})
	write(t, l, key, recordOf(t, "later.csv.gz", messages.StatusCopied), 0)
	if e := <-later; e.Key != key {
		t.Errorf("then came %+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
