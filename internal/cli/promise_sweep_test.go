package cli_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// An upload that a worker left to nobody is ended by the next copier that starts, with
// the rights of its role; one of a file that is still to come is left.
func TestACopierEndsUploadsThatNobodyOwns(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
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
	dest, err := s3.Open(t.Context(), s3.Options{
		Bucket: w.S3Bucket, Region: w.S3Region, Endpoint: w.S3URL, PathStyle: true, AccessKeyID: w.AccessKeyID, SecretAccessKey: w.SecretAccessKey,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer dest.Close()
	var young string
	for base, age := range map[string]time.Duration{"old.csv.gz": 8 * 24 * time.Hour, "young.csv.gz": time.Hour} {
		name := object(1, base, 1).Name
		key, _ := w.keyOf(name, 1)
		id, err := dest.Create(t.Context(), key, copier.Meta{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if base == "young.csv.gz" {
			young = id
		}
		note, err := messages.Upload{ID: id, Key: key, Started: time.Now().Add(-age)}.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Create(t.Context(), messages.UploadKey("main", name), note); err != nil {
			t.Fatal(err)
		}
	}
	agent, p := w.listen(t, "copier")
	p.wants(map[string]float64{"focus_swept_uploads_total": 1, "focus_bytes_resumed_total": 0})
	if open := w.S3.OpenUploads(); len(open) != 1 || open[0].ID != young {
		t.Errorf("open are %+v, want %s", open, young)
	}
	if _, known := p.metrics()["focus_unnoted_uploads"]; known {
		t.Error("keys that may not list know how many uploads there are")
	}
	agent.stop().want(t, 0)
}
