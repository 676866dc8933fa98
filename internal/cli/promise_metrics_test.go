package cli_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// What an operator is alerted about is in the metrics of a real agent: the age of
// the queue, open uploads, files that were given up or are too large, and what must
// never happen.
func TestMetricsTellWhatIsWrong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_ADVANCED_MAX_FILE_SIZE_GB=1")
	server := w.external(t)
	w.run(t, "setup").want(t, 0)
	js, err := jetstream.New(server.Connect(t).NATS())
	if err != nil {
		t.Fatal(err)
	}
	ledger, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
	note, err := messages.Upload{ID: "2", Key: "k", Abandoned: []string{"1"}, Started: begun}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ledger.Create(t.Context(), messages.UploadKey("main", "elsewhere.csv.gz"), note); err != nil {
		t.Fatal(err)
	}

	agent, p := w.listen(t, "run")
	p.wants(map[string]float64{
		"focus_open_uploads": 2, "focus_oldest_open_upload_timestamp_seconds": float64(begun.Unix()),
		"focus_scan_dead_files": 0, "focus_scan_too_large_files": 0, "focus_poll_interval_seconds": 600, `focus_route_info{route="main"}`: 1,
	})
	for _, i := range messages.Invariants() {
		p.wants(map[string]float64{`focus_invariant_violations_total{invariant="` + string(i) + `"}`: 0})
	}

	huge := object(1, "huge.csv.gz", 1<<30+1)
	huge.NoMD5, huge.NoCRC32C = true, true
	bad := object(1, "bad.csv.gz", 1000)
	bad.CRC32C = "AAAAAA=="
	w.Source.Add(huge, bad)
	w.run(t, "sync").want(t, 1) // it ends when the file is given up
	w.run(t, "sync").want(t, 1) // and this one finds it so
	p.wants(map[string]float64{"focus_scan_dead_files": 1, "focus_scan_too_large_files": 1, `focus_dead_total{class="hash-mismatch"}`: 1, "focus_dead_letters": 1})

	end := w.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Status(500, "InternalError")})
	queued := time.Now()
	w.Source.Add(object(1, "waits.csv.gz", 1000))
	const oldest = `focus_queue_oldest_message_timestamp_seconds{lane="live"}`
	if _, known := p.metrics()[oldest]; known {
		t.Error("an empty queue has an oldest message")
	}
	w.run(t, "sync", "--timeout", "1s").want(t, 1)
	eventually(t, "the age of the waiting file is known", func() bool {
		at, known := p.metrics()[oldest]
		return known && at >= float64(queued.Unix()) && at <= float64(time.Now().Unix()+1)
	})
	end()
	eventually(t, "it is copied", func() bool { _, known := p.metrics()[oldest]; return !known })

	if _, err := js.Publish(t.Context(), messages.Subject("focus", messages.Live, "main", "forged"), []byte("rm -rf /")); err != nil {
		t.Fatal(err)
	}
	if err := ledger.Purge(t.Context(), messages.IdentityKey("main")); err != nil {
		t.Fatal(err)
	}
	p.wants(map[string]float64{
		`focus_invariant_violations_total{invariant="message-contract"}`: 1,
		`focus_invariant_violations_total{invariant="identity-lost"}`:    1,
		`focus_invariant_violations_total{invariant="panic"}`:            0,
	})
	agent.stop().want(t, 0)
}
