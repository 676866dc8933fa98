package nats_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/nats"
)

// serverSide is what the server says of all assets.
type serverSide struct {
	Streams   map[string]jetstream.StreamConfig
	Consumers map[string]jetstream.ConsumerConfig
}

func readBack(t *testing.T, w *world) serverSide {
	t.Helper()
	js := jetstreamOf(t, w.conn)
	out := serverSide{map[string]jetstream.StreamConfig{}, map[string]jetstream.ConsumerConfig{}}
	strip := func(m map[string]string) {
		maps.DeleteFunc(m, func(k, _ string) bool { return strings.HasPrefix(k, "_nats.") })
	}
	for _, name := range []string{"FOCUS_FILES", "FOCUS_DEAD", "KV_focus_state"} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		strip(cfg.Metadata)
		out.Streams[name] = cfg
	}
	for _, name := range []string{"copiers-live", "copiers-backfill"} {
		c, err := js.Consumer(t.Context(), "FOCUS_FILES", name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := c.CachedInfo().Config
		strip(cfg.Metadata)
		out.Consumers[name] = cfg
	}
	return out
}

// edit changes FOCUS_FILES and copiers-live as an operator would.
func edit(t *testing.T, w *world, f func(*jetstream.StreamConfig, *jetstream.ConsumerConfig)) {
	t.Helper()
	js, has := jetstreamOf(t, w.conn), readBack(t, w)
	s, c := has.Streams["FOCUS_FILES"], has.Consumers["copiers-live"]
	f(&s, &c)
	if _, err := js.UpdateStream(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if _, err := js.UpdateConsumer(t.Context(), "FOCUS_FILES", c); err != nil {
		t.Fatal(err)
	}
}

func jetstreamOf(t *testing.T, c *nats.Conn) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.NATS())
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func chanSeq[T any](c <-chan T) func(func(T) bool) {
	return func(yield func(T) bool) {
		for v := range c {
			if !yield(v) {
				return
			}
		}
	}
}
