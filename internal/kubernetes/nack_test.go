package kubernetes

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	natsgo "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

// A manager makes on a server what resources of NACK say, as its controller does: field by
// field, and refusing what it does not know.
type manager struct {
	t  *testing.T
	js jetstream.JetStream
}

func jetStream(t *testing.T, s *natstest.Server) jetstream.JetStream {
	t.Helper()
	nc, err := natsgo.Connect("", natsgo.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

func (m manager) apply(o object) {
	m.t.Helper()
	var err error
	switch o.kind() {
	case "Stream":
		_, err = m.js.CreateStream(m.t.Context(), m.stream(o))
	case "Consumer":
		_, err = m.js.CreateConsumer(m.t.Context(), o.text("spec", "streamName"), m.consumer(o))
	}
	if err != nil {
		m.t.Fatalf("%s: %v", o.text("metadata", "name"), err)
	}
}

func (m manager) stream(o object) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name: o.text("spec", "name"), Description: o.text("spec", "description"),
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, Storage: jetstream.FileStorage,
		MaxMsgsPerSubject: int64(number(o, "maxMsgsPerSubject")), MaxMsgSize: int32(number(o, "maxMsgSize")), Replicas: number(o, "replicas"),
		MaxAge: m.duration(o, "maxAge"), Duplicates: m.duration(o, "duplicateWindow"), SubjectDeleteMarkerTTL: m.duration(o, "subjectDeleteMarkerTtl"),
		AllowDirect: o.at("spec", "allowDirect") == true, AllowRollup: o.at("spec", "allowRollup") == true, DenyDelete: o.at("spec", "denyDelete") == true,
		AllowMsgTTL: o.at("spec", "allowMsgTtl") == true, DiscardNewPerSubject: o.at("spec", "discardPerSubject") == true,
		Metadata: metadata(o),
	}
	for _, s := range o.at("spec", "subjects").([]any) {
		c.Subjects = append(c.Subjects, s.(string))
	}
	m.must(c.Retention.UnmarshalJSON(quoted(o, "retention")))
	m.must(c.Discard.UnmarshalJSON(quoted(o, "discard")))
	m.must(c.Storage.UnmarshalJSON(quoted(o, "storage")))
	m.must(c.Compression.UnmarshalJSON(quoted(o, "compression")))
	return c
}

func (m manager) consumer(o object) jetstream.ConsumerConfig {
	name := o.text("spec", "durableName")
	c := jetstream.ConsumerConfig{
		Name: name, Durable: name, Description: o.text("spec", "description"), FilterSubject: o.text("spec", "filterSubject"),
		AckWait: m.duration(o, "ackWait"), MaxDeliver: number(o, "maxDeliver"), MaxAckPending: number(o, "maxAckPending"),
		MaxWaiting: number(o, "maxWaiting"), MaxRequestBatch: number(o, "maxRequestBatch"), Metadata: metadata(o),
	}
	m.must(c.DeliverPolicy.UnmarshalJSON(quoted(o, "deliverPolicy")))
	m.must(c.AckPolicy.UnmarshalJSON(quoted(o, "ackPolicy")))
	m.must(c.ReplayPolicy.UnmarshalJSON(quoted(o, "replayPolicy")))
	return c
}

func (m manager) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m manager) duration(o object, key string) time.Duration {
	m.t.Helper()
	text := o.text("spec", key)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	m.must(err)
	return d
}

func number(o object, key string) int {
	n, _ := o.at("spec", key).(int)
	return n
}

func quoted(o object, key string) []byte { return []byte(strconv.Quote(o.text("spec", key))) }

func metadata(o object) map[string]string {
	out := map[string]string{}
	m, _ := o.at("spec", "metadata").(map[string]any)
	for k, v := range m {
		out[k], _ = v.(string)
	}
	return out
}

// TestWhatNACKMakesIsWhatTheProgramWants: on a real server, whatever the names and the ack
// wait. A consumer of a route that somebody else has is no concern.
func TestWhatNACKMakesIsWhatTheProgramWants(t *testing.T) {
	for _, file := range []string{"usual.yaml", "oke.yaml"} {
		t.Run(file, func(t *testing.T) {
			all := render(t, "-f", filepath.Join(chart, "ci", file), "--set", "nats.manage=nack", "--set", "config.nats.replicas=1")
			c := load(t, all, only(t, all, "Deployment", "scanner"))
			server := natstest.New(t)
			m := manager{t, jetStream(t, server)}
			made := 0
			for _, kind := range []string{"Stream", "Consumer"} {
				for _, o := range all {
					if o.kind() == kind {
						m.apply(o)
						made++
						if o.at("spec", "preventDelete") != true {
							t.Errorf("who deletes %s deletes what it holds", o.text("metadata", "name"))
						}
					}
				}
			}
			want := messages.Define(c.NATS.Prefix, c.OCI.Name, 1, c.NATS.AckWait.Std())
			r, err := nats.Setup(t.Context(), server.Connect(t), want, nats.Verify)
			if err != nil || made != 5 || len(r.Unchanged) != 5 {
				t.Errorf("%d made; Setup = %+v, %v, want 5 unchanged", made, r, err)
			}
			if r, err := nats.Setup(t.Context(), server.Connect(t), want, nats.Create); err != nil || len(r.Unchanged) != 5 {
				t.Errorf("setup would change what NACK has made: %+v, %v", r, err)
			}
		})
	}
}

// TestWithNACKThereIsNoSetup: only one of them makes the streams.
func TestWithNACKThereIsNoSetup(t *testing.T) {
	for manage, want := range map[string][2]bool{"setup": {true, false}, "nack": {false, true}, "none": {false, false}} {
		text := strings.Join(kinds(usual(t, "nats.manage="+manage)), ",")
		if got := [2]bool{strings.Contains(text, "Job"), strings.Contains(text, "Stream")}; got != want {
			t.Errorf("nats.manage %s: Job and Stream %v, want %v: %s", manage, got, want, text)
		}
	}
}

// TestKEDALooksAtTheConsumers that the program takes files from.
func TestKEDALooksAtTheConsumers(t *testing.T) {
	all := render(t, "-f", chart+"/ci/oke.yaml")
	c := load(t, all, only(t, all, "Deployment", "copier"))
	want := messages.Define(c.NATS.Prefix, c.OCI.Name, 3, c.NATS.AckWait.Std())
	scaled := only(t, all, "ScaledObject", "copier")
	if name := scaled.text("spec", "scaleTargetRef", "name"); name != only(t, all, "Deployment", "copier").text("metadata", "name") {
		t.Errorf("KEDA scales %s", name)
	}
	triggers := scaled.list("spec", "triggers")
	if len(triggers) != 2 {
		t.Fatalf("%d triggers", len(triggers))
	}
	for i, consumer := range []messages.Consumer{want.Live, want.Backfill} {
		got := triggers[i]
		if got.text("type") != "nats-jetstream" || got.text("metadata", "stream") != consumer.Stream || got.text("metadata", "consumer") != consumer.Name || got.text("metadata", "lagThreshold") != "30" {
			t.Errorf("trigger %v, want stream %s, consumer %s", got, consumer.Stream, consumer.Name)
		}
	}
}
