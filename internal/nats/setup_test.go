package nats_test

import (
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

var update = flag.Bool("update", false, "rewrite the golden files")

const consumers = 2

// The golden file is what the server itself says of the assets.
func TestAssetsAreWhatTheServerSays(t *testing.T) {
	w := newWorld(t, 5*time.Minute)
	got, err := json.MarshalIndent(readBack(t, w), "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", "assets.json")
	if *update {
		if err := os.WriteFile(path, append(got, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got)+"\n" != string(want) {
		t.Errorf("the server has\n%s\nwant\n%s", got, want)
	}
}

func TestTheBucketIsOneForTheLibrary(t *testing.T) {
	w := newWorld(t, time.Minute)
	js := jetstreamOf(t, w.conn)
	kv, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := status.Config()
	if cfg.History != 3 || cfg.Compression || cfg.MaxValueSize != messages.MaxSize || cfg.Storage != jetstream.FileStorage {
		t.Errorf("bucket = %+v", cfg)
	}
	// What the library would make of it is exactly what is there.
	want := readBack(t, w)
	if _, err := js.UpdateKeyValue(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if got := readBack(t, w); string(marshal(t, got)) != string(marshal(t, want)) {
		t.Errorf("the library changed the bucket to\n%s\nfrom\n%s", marshal(t, got), marshal(t, want))
	}
}

func TestSetupAgainChangesNothing(t *testing.T) {
	w := newWorld(t, time.Minute)
	for _, m := range []nats.Manage{nats.Create, nats.Verify} {
		r, err := nats.Setup(t.Context(), w.conn, w.assets, m)
		if err != nil || len(r.Unchanged) != 5 || len(r.Created)+len(r.Updated) != 0 {
			t.Errorf("Setup(%s) = %+v, %v, want 5 unchanged", m, r, err)
		}
	}
	if r, err := nats.Setup(t.Context(), w.conn, messages.Define("absent", "main", 1, time.Minute), nats.None); err != nil || len(r.Created) > 0 {
		t.Errorf("Setup(none) = %+v, %v, want nothing", r, err)
	}
}

func TestManyMaySetUpAtOnce(t *testing.T) {
	srv := natstest.New(t)
	a := messages.Define("focus", "main", 1, time.Minute)
	var wg sync.WaitGroup
	for range 8 {
		c := srv.Connect(t)
		wg.Go(func() {
			if _, err := nats.Setup(t.Context(), c, a, nats.Create); err != nil {
				t.Errorf("Setup = %v", err)
			}
		})
	}
	wg.Wait()
}

func TestASecondRouteSharesTheStreams(t *testing.T) {
	w := newWorld(t, time.Minute)
	r, err := nats.Setup(t.Context(), w.conn, messages.Define("focus", "other", 1, time.Minute), nats.Create)
	if err != nil || len(r.Created) != consumers || len(r.Unchanged) != 3 {
		t.Errorf("Setup = %+v, %v, want two consumers created", r, err)
	}
}

func TestVerifyNamesWhatIsMissing(t *testing.T) {
	c := natstest.New(t).Connect(t)
	_, err := nats.Setup(t.Context(), c, messages.Define("focus", "main", 1, time.Minute), nats.Verify)
	missing, ok := errors.AsType[*nats.MissingError](err)
	if !ok || len(missing.Assets) != 5 || !containsAll(err, "FOCUS_FILES", "copiers-backfill", "`oracle-focus-agent setup`") {
		t.Errorf("Setup(verify) = %v, want the five assets", err)
	}
	if names := jetstreamOf(t, c).StreamNames(t.Context()); len(slices.Collect(chanSeq(names.Name()))) != 0 {
		t.Error("verify created a stream")
	}
}

func TestHandEditedAssetsAreRefused(t *testing.T) {
	for _, tt := range []struct {
		field string
		edit  func(*jetstream.StreamConfig, *jetstream.ConsumerConfig)
	}{
		{"max_age", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxAge = time.Hour }},
		{"discard_new_per_subject", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.DiscardNewPerSubject = false }},
		{"subjects", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.Subjects = append(s.Subjects, "more") }},
		{"description", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.Description = "mine" }},
		{"max_msgs", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxMsgs = 5 }},
		{"deny_delete", func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.DenyDelete = true }},
		{"max_deliver", func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.MaxDeliver = 5 }},
		{"backoff", func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
			c.BackOff = []time.Duration{c.AckWait, time.Hour}
		}},
		{"max_batch", func(_ *jetstream.StreamConfig, c *jetstream.ConsumerConfig) { c.MaxRequestBatch = 0 }},
	} {
		t.Run(tt.field, func(t *testing.T) {
			w := newWorld(t, time.Minute)
			edit(t, w, tt.edit)
			before := marshal(t, readBack(t, w))
			for _, m := range []nats.Manage{nats.Create, nats.Verify} {
				r, err := nats.Setup(t.Context(), w.conn, w.assets, m)
				diff, ok := errors.AsType[*nats.DifferenceError](err)
				if !ok || len(diff.Differences) != 1 || diff.Differences[0].Field != tt.field || len(r.Updated) > 0 {
					t.Errorf("Setup(%s) = %+v, %v, want a difference in %s", m, r, err, tt.field)
				}
				if diff != nil && (diff.Remedy == "" || diff.Differences[0].Has == diff.Differences[0].Wants) {
					t.Errorf("Setup(%s) = %v, want both values and a remedy", m, err)
				}
			}
			if after := marshal(t, readBack(t, w)); string(after) != string(before) {
				t.Errorf("something was changed:\n%s\nwas\n%s", after, before)
			}
		})
	}
}

func TestWhatIsTheOperatorsStays(t *testing.T) {
	w := newWorld(t, time.Minute)
	until := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	edit(t, w, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		s.MaxBytes = 1 << 20
		s.Metadata["io.nats.monitor.msgs-warn"] = "7"
		c.Metadata["team"] = "billing"
	})
	if _, err := jetstreamOf(t, w.conn).PauseConsumer(t.Context(), "FOCUS_FILES", "copiers-live", until); err != nil {
		t.Fatal(err)
	}
	longer := messages.Define("focus", "main", 1, 9*time.Minute)
	r, err := nats.Setup(t.Context(), w.conn, longer, nats.Create)
	if err != nil || len(r.Updated) != consumers {
		t.Fatalf("Setup with another ack wait = %+v, %v, want two updates", r, err)
	}
	got := readBack(t, w)
	live := got.Consumers["copiers-live"]
	if live.AckWait != 9*time.Minute || live.Metadata["team"] != "billing" || live.PauseUntil == nil || !live.PauseUntil.Equal(until) {
		t.Errorf("consumer = %+v, want the new ack wait and the rest kept", live)
	}
	files := got.Streams["FOCUS_FILES"]
	if files.MaxBytes != 1<<20 || files.Metadata["io.nats.monitor.msgs-warn"] != "7" {
		t.Errorf("stream = %+v, want the operator's settings kept", files)
	}
	_, err = nats.Setup(t.Context(), w.conn, w.assets, nats.Verify)
	if !containsAll(err, "consumer copiers-live: ack_wait is 9m0s, want 1m0s", "setup") {
		t.Errorf("Setup(verify) with another ack wait = %v, want the difference", err)
	}
}

func TestALowerSchemaIsUpgraded(t *testing.T) {
	for _, schema := range []string{"", "0"} {
		w := newWorld(t, time.Minute)
		edit(t, w, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
			for _, m := range []map[string]string{s.Metadata, c.Metadata} {
				delete(m, messages.SchemaKey)
				if schema != "" {
					m[messages.SchemaKey] = schema
				}
				m["team"] = "billing"
			}
			s.MaxAge, s.MaxMsgsPerSubject, s.MaxBytes = time.Hour, 9, 1<<20
			c.MaxAckPending = 10
		})
		r, err := nats.Setup(t.Context(), w.conn, w.assets, nats.Create)
		if err != nil || len(r.Updated) != 2 {
			t.Fatalf("Setup = %+v, %v, want the stream and a consumer updated", r, err)
		}
		got := readBack(t, w)
		files, live := got.Streams["FOCUS_FILES"], got.Consumers["copiers-live"]
		if files.MaxAge != w.assets.Files.MaxAge || files.MaxMsgsPerSubject != 1 || files.MaxBytes != 1<<20 || live.MaxAckPending != 4096 {
			t.Errorf("upgraded to %+v and %+v", files, live)
		}
		for _, m := range []map[string]string{files.Metadata, live.Metadata} {
			if m["team"] != "billing" || m[messages.SchemaKey] != strconv.Itoa(messages.AssetSchema) {
				t.Errorf("metadata = %v, want ours and theirs", m)
			}
		}
		if r, err := nats.Setup(t.Context(), w.conn, w.assets, nats.Create); err != nil || len(r.Unchanged) != 5 {
			t.Errorf("Setup again = %+v, %v, want nothing to do", r, err)
		}
	}
}

// The bucket of schema 1 kept the markers of erased values for ever.
func TestABucketOfSchemaOneIsUpgraded(t *testing.T) {
	w := newWorld(t, time.Minute)
	js, old := jetstreamOf(t, w.conn), readBack(t, w).Streams["KV_focus_state"]
	if err := js.DeleteKeyValue(t.Context(), w.assets.State.Name); err != nil {
		t.Fatal(err)
	}
	old.AllowMsgTTL, old.SubjectDeleteMarkerTTL, old.Metadata = false, 0, map[string]string{messages.SchemaKey: "1"}
	if _, err := js.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	write(t, w.ledger(), "main.scan", []byte("1"), 0)
	if r, err := nats.Setup(t.Context(), w.conn, w.assets, nats.Create); err != nil || !slices.Equal(r.Updated, []string{"stream KV_focus_state"}) {
		t.Fatalf("Setup = %+v, %v, want the bucket updated", r, err)
	}
	if got := readBack(t, w).Streams["KV_focus_state"]; !got.AllowMsgTTL || got.Metadata[messages.SchemaKey] != strconv.Itoa(messages.AssetSchema) {
		t.Errorf("the bucket is %+v", got)
	}
	if v, _, err := w.ledger().Read(t.Context(), "main.scan"); string(v) != "1" || err != nil {
		t.Errorf("it holds %q, %v, want what it held", v, err)
	}
}

func TestAHigherSchemaIsLeftAlone(t *testing.T) {
	w := newWorld(t, time.Minute)
	higher := strconv.Itoa(messages.AssetSchema + 1)
	edit(t, w, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		s.Metadata[messages.SchemaKey], c.Metadata[messages.SchemaKey] = higher, higher
	})
	r, err := nats.Setup(t.Context(), w.conn, messages.Define("focus", "main", 1, time.Hour), nats.Create)
	if err != nil || len(r.Updated) != consumers {
		t.Fatalf("Setup = %+v, %v, want the ack wait updated", r, err)
	}
	if got := readBack(t, w).Consumers["copiers-live"]; got.Metadata[messages.SchemaKey] != higher || got.AckWait != time.Hour {
		t.Errorf("consumer = %+v, want the higher schema and the new ack wait", got)
	}
	edit(t, w, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		s.MaxAge, s.AllowMsgTTL, c.MaxAckPending = time.Hour, true, 10
	})
	for _, m := range []nats.Manage{nats.Create, nats.Verify} {
		r, err := nats.Setup(t.Context(), w.conn, messages.Define("focus", "main", 1, time.Hour), m)
		if err != nil || len(r.Updated) > 0 {
			t.Errorf("Setup(%s) = %+v, %v, want that a newer version's decision is left alone", m, r, err)
		}
	}
	got := readBack(t, w)
	if s, c := got.Streams["FOCUS_FILES"], got.Consumers["copiers-live"]; s.MaxAge != time.Hour || !s.AllowMsgTTL || c.MaxAckPending != 10 {
		t.Errorf("%+v and %+v, want what the newer version made", s, c)
	}
}

// Inspect tells, asset by asset, what Setup would do, and does nothing.
func TestInspectTellsWhatSetupWouldDo(t *testing.T) {
	w := newWorld(t, time.Minute)
	edit(t, w, func(s *jetstream.StreamConfig, c *jetstream.ConsumerConfig) {
		s.MaxAge = time.Hour
		c.Metadata[messages.SchemaKey] = strconv.Itoa(messages.AssetSchema + 1)
	})
	before := marshal(t, readBack(t, w))
	verdicts := func(a messages.Assets) (got []string, remedy string) {
		all, remedy, err := nats.Inspect(t.Context(), w.conn, a)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			got = append(got, i.Asset+" "+string(i.Verdict))
		}
		return got, remedy
	}
	got, remedy := verdicts(w.assets)
	want := []string{"stream FOCUS_FILES refused", "stream FOCUS_DEAD current", "stream KV_focus_state current", "consumer copiers-live newer", "consumer copiers-backfill current"}
	if !slices.Equal(got, want) || !strings.Contains(remedy, "nats command line") {
		t.Errorf("Inspect = %q, %q, want %q", got, remedy, want)
	}
	if after := marshal(t, readBack(t, w)); string(after) != string(before) {
		t.Errorf("something was changed:\n%s\nwas\n%s", after, before)
	}
	edit(t, w, func(s *jetstream.StreamConfig, _ *jetstream.ConsumerConfig) { s.MaxAge = w.assets.Files.MaxAge })
	if err := jetstreamOf(t, w.conn).DeleteStream(t.Context(), "FOCUS_DEAD"); err != nil {
		t.Fatal(err)
	}
	got, remedy = verdicts(messages.Define("focus", "main", 1, time.Hour))
	want = []string{"stream FOCUS_FILES current", "stream FOCUS_DEAD missing", "stream KV_focus_state current", "consumer copiers-live outdated", "consumer copiers-backfill outdated"}
	if !slices.Equal(got, want) || remedy != "" {
		t.Errorf("Inspect = %q, %q, want %q", got, remedy, want)
	}
}

func TestImmutableFieldsAreRefusedAtAnySchema(t *testing.T) {
	c := natstest.New(t).Connect(t)
	js := jetstreamOf(t, c)
	a := messages.Define("focus", "main", 1, time.Minute)
	old := jetstream.StreamConfig{Name: a.Files.Name, Subjects: a.Files.Subjects, Storage: jetstream.MemoryStorage}
	if _, err := js.CreateStream(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	consumer := jetstream.ConsumerConfig{Durable: a.Live.Name, FilterSubject: a.Live.FilterSubject, MaxWaiting: 512}
	if _, err := js.CreateConsumer(t.Context(), a.Files.Name, consumer); err != nil {
		t.Fatal(err)
	}
	r, err := nats.Setup(t.Context(), c, a, nats.Create)
	diff, ok := errors.AsType[*nats.DifferenceError](err)
	if !ok || len(r.Created) > 0 {
		t.Fatalf("Setup = %+v, %v, want a difference and nothing done", r, err)
	}
	var got []string
	for _, d := range diff.Differences {
		if !d.Immutable {
			t.Errorf("%+v is refused, want only what is immutable", d)
		}
		got = append(got, d.Field)
	}
	if want := []string{"retention", "storage", "max_waiting"}; !slices.Equal(got, want) {
		t.Errorf("refused %q, want %q", got, want)
	}
	if !strings.Contains(diff.Remedy, "delete") {
		t.Errorf("remedy = %q, want that it says to delete the asset", diff.Remedy)
	}
}

func TestReplicasThatTheServerCannotHold(t *testing.T) {
	c := natstest.New(t).Connect(t)
	_, err := nats.Setup(t.Context(), c, messages.Define("focus", "main", 3, time.Minute), nats.Create)
	if messages.ClassOf(err) != messages.Queue || !containsAll(err, "nats.replicas") {
		t.Errorf("Setup with 3 replicas on one server = %v, want a remedy", err)
	}
}
