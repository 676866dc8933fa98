package cli_test

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// What another version left in NATS is told before it matters: what setup brings up
// to date, what it refuses, and what only the newer version reads.
func TestAnotherVersionsTracesAreTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Days: 1, FilesPerDay: 2})
	js, err := jetstream.New(w.external(t).Connect(t).NATS())
	if err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0)
	w.run(t, "version", "--check").want(t, 0)
	edit := func(change func(*jetstream.StreamConfig)) {
		stream, err := js.Stream(t.Context(), "FOCUS_FILES")
		if err != nil {
			t.Fatal(err)
		}
		cfg := stream.CachedInfo().Config
		change(&cfg)
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}

	edit(func(s *jetstream.StreamConfig) { s.Metadata[messages.SchemaKey], s.MaxAge = "0", time.Hour })
	if out := w.run(t, "version", "--check").want(t, 1).stdout; !strings.Contains(out, "stream FOCUS_FILES to this version; run `oracle-focus-agent setup`") {
		t.Errorf("an older stream: %s", out)
	}
	if out := w.run(t, "setup", "--dry-run").want(t, 0).stdout; !strings.Contains(out, "update    stream FOCUS_FILES\n") || !strings.Contains(out, "max_age is 1h0m0s, want 336h0m0s") {
		t.Errorf("setup --dry-run: %s", out)
	}
	w.run(t, "version", "--check").want(t, 1)
	w.run(t, "setup").want(t, 0)
	w.run(t, "version", "--check").want(t, 0)

	edit(func(s *jetstream.StreamConfig) { s.MaxAge = time.Hour })
	if out := w.run(t, "version", "--check").want(t, 2).stdout; !strings.Contains(out, "max_age is 1h0m0s, want 336h0m0s); change them back") {
		t.Errorf("a stream that somebody changed: %s", out)
	}
	if r := w.run(t, "setup", "--dry-run").want(t, 2); !strings.Contains(r.stdout, "refuse    stream FOCUS_FILES") || !strings.Contains(r.stderr, "change nothing") {
		t.Errorf("setup --dry-run: %s %s", r.stdout, r.stderr)
	}

	newer := strconv.Itoa(messages.AssetSchema + 1)
	edit(func(s *jetstream.StreamConfig) { s.Metadata[messages.SchemaKey] = newer })
	w.run(t, "version", "--check").want(t, 0)

	kv, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	for key, value := range map[string]string{"main.2026.01.01.new": `{"schema":2,"status":"copied"}`, "main.2026.01.01.bad": "rubbish"} {
		if _, err := kv.PutString(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	var c struct {
		Values     map[int]int `json:"values"`
		Unreadable int         `json:"unreadable_values"`
		Problems   []string    `json:"problems"`
		Assets     []struct{ Asset, Verdict string }
	}
	if err := json.Unmarshal([]byte(w.run(t, "version", "--check", "--json").want(t, 1).stdout), &c); err != nil {
		t.Fatal(err)
	}
	if c.Values[2] != 1 || c.Values[1] != 4 || c.Unreadable != 1 || len(c.Problems) != 1 || !strings.Contains(c.Problems[0], "newer version") {
		t.Errorf("a newer value: %+v", c)
	}
	if i := slices.IndexFunc(c.Assets, func(a struct{ Asset, Verdict string }) bool { return a.Verdict == "newer" }); i < 0 {
		t.Errorf("no asset is newer: %+v", c.Assets)
	}
}
