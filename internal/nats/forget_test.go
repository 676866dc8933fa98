package nats_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/messages"
)

func keyOf(d messages.Day, base string) string {
	return messages.RecordKey("main", messages.Report{Day: d, Basename: base})
}

func TestForgetErasesOnlyTheRecordThatItWasGiven(t *testing.T) {
	l := newWorld(t, time.Minute).ledger()
	key := keyOf("2024-11-28", "a")
	r, err := messages.DecodeRecord(recordOf(t, "a", messages.StatusCopied))
	if err != nil {
		t.Fatal(err)
	}
	forget := func(want bool) {
		t.Helper()
		if erased, err := l.Forget(t.Context(), key, r); err != nil || erased != want {
			t.Errorf("Forget = %t, %v, want %t", erased, err, want)
		}
	}
	forget(false) // there is none
	rev := write(t, l, key, recordOf(t, "a", messages.StatusRetrying), 0)
	forget(false) // it is another
	rev = write(t, l, key, []byte("unreadable"), rev)
	if erased, err := l.Forget(t.Context(), key, r); err == nil || erased {
		t.Errorf("Forget of what cannot be read = %t, %v", erased, err)
	}
	write(t, l, key, recordOf(t, "a", messages.StatusCopied), rev)
	forget(true)
	if day, err := l.Day(t.Context(), "2024-11-28"); err != nil || len(day) != 0 {
		t.Errorf("Day = %v, %v, want no record", day, err)
	}
	forget(false)
}

// Nothing of an erased record stays for ever.
func TestTheMarkerOfAnErasedValueEndsByItself(t *testing.T) {
	w := newWorld(t, time.Minute)
	a := messages.Define("short", "main", 1, time.Minute)
	a.State.MarkerTTL = time.Second
	if _, err := nats.Setup(t.Context(), w.conn, a, nats.Create); err != nil {
		t.Fatal(err)
	}
	l, err := w.conn.Ledger(t.Context(), a.State, "main")
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "main.scan", nil, write(t, l, "main.scan", []byte("1"), 0))
	write(t, l, "main.meta", []byte("1"), 0)
	stream, err := jetstreamOf(t, w.conn).Stream(t.Context(), "KV_"+a.State.Name)
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		info, err := stream.Info(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("the marker is still there: %+v, %v", info.State, err)
		}
		if info.State.Msgs == 1 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	write(t, l, "main.scan", []byte("2"), 0)
}

// A bucket that was made by the version before, and not upgraded, still works.
func TestErasingWorksInABucketWithoutTTLs(t *testing.T) {
	w := newWorld(t, time.Minute)
	b := messages.Bucket{Name: "before", History: 3, MaxValueSize: messages.MaxSize, Replicas: 1}
	if _, err := jetstreamOf(t, w.conn).CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: b.Name, History: b.History}); err != nil {
		t.Fatal(err)
	}
	b.MarkerTTL = time.Hour
	l, err := w.conn.Ledger(t.Context(), b, "main")
	if err != nil {
		t.Fatal(err)
	}
	write(t, l, "main.scan", nil, write(t, l, "main.scan", []byte("1"), 0))
	conflict(t, l, "main.scan", nil, 99)
	if v, _, err := l.Read(t.Context(), "main.scan"); v != nil || err != nil {
		t.Errorf("Read = %q, %v, want nothing", v, err)
	}
}

func TestRawGivesEveryValueOfTheRoutePageByPage(t *testing.T) {
	w := newWorld(t, time.Minute)
	l := w.ledger()
	other, err := w.conn.Ledger(t.Context(), w.assets.State, "other")
	if err != nil {
		t.Fatal(err)
	}
	write(t, other, "other.scan", []byte("foreign"), 0)
	var want []string
	for i := range 7 {
		key := keyOf("2024-11-28", fmt.Sprint(i))
		rev := write(t, l, key, fmt.Append(nil, "value ", i), 0)
		if i == 3 || i == 4 {
			write(t, l, key, nil, rev)
			continue
		}
		want = append(want, key+fmt.Sprint("value ", i))
	}
	for _, key := range []string{messages.IdentityKey("main"), messages.MarksKey("main"), messages.UploadKey("main", "a/b")} {
		write(t, l, key, []byte("value"), 0)
		want = append(want, key+"value")
	}
	for _, limit := range []int{1, 2, 3, 100} {
		var got []string
		for after := ""; ; {
			values, last, err := l.Raw(t.Context(), after, limit)
			if err != nil || len(values) > limit {
				t.Fatalf("%d values, %v", len(values), err)
			}
			for _, v := range values {
				got = append(got, v.Key+string(v.Value))
			}
			if after = last; after == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("by %d: %q\nwant %q", limit, got, want)
		}
	}
}

// A ledger that was deleted and made again is younger than the consumers.
func TestALedgerThatWasMadeAgainIsTold(t *testing.T) {
	w := newWorld(t, time.Minute)
	remade := func(want bool) {
		t.Helper()
		if got, err := w.conn.Remade(t.Context(), w.assets); err != nil || got != want {
			t.Errorf("Remade = %t, %v, want %t", got, err, want)
		}
	}
	remade(false)
	if err := jetstreamOf(t, w.conn).DeleteKeyValue(t.Context(), w.assets.State.Name); err != nil {
		t.Fatal(err)
	}
	if _, err := nats.Setup(t.Context(), w.conn, w.assets, nats.Create); err != nil {
		t.Fatal(err)
	}
	remade(true)
}
