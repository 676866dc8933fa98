package nats

import (
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/messages"
)

// uncompressed is how all is stored. nats-server 2.15.2 that was killed with a million
// messages on its disk could not read some of its compressed blocks any more ("s2:
// unsupported input"), and the routes whose consumers it led stood still. What s2 saved
// was 0.5 KB a file.
const uncompressed = jetstream.NoCompression

// streamConfig spells out what the server would fill in, so that the server's
// answer can be compared with it field by field.
func streamConfig(s messages.Stream) jetstream.StreamConfig {
	cfg := jetstream.StreamConfig{
		Name: s.Name, Description: s.Description, Subjects: s.Subjects,
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		DiscardNewPerSubject: s.DiscardNewPerSubject,
		MaxMsgsPerSubject:    s.MaxMsgsPerSubject, MaxMsgSize: s.MaxMsgSize,
		MaxAge: s.MaxAge, Duplicates: s.Duplicates,
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1,
		Storage: jetstream.FileStorage, Compression: uncompressed,
		Replicas: s.Replicas, AllowDirect: true,
		Metadata: metadata(),
	}
	if s.WorkQueue {
		cfg.Retention = jetstream.WorkQueuePolicy
	}
	if s.DiscardNew {
		cfg.Discard = jetstream.DiscardNew
	}
	return cfg
}

// bucketConfig is the stream that a key-value bucket is: the same that the
// library makes of a jetstream.KeyValueConfig.
func bucketConfig(b messages.Bucket) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: "KV_" + b.Name, Description: b.Description, Subjects: []string{"$KV." + b.Name + ".>"},
		Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew,
		MaxMsgsPerSubject: int64(b.History), MaxMsgSize: b.MaxValueSize,
		Duplicates:   kvDuplicates,
		MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1,
		Storage: jetstream.FileStorage, Compression: uncompressed,
		Replicas: b.Replicas, AllowDirect: true, AllowRollup: true, DenyDelete: true,
		AllowMsgTTL: b.MarkerTTL > 0, SubjectDeleteMarkerTTL: b.MarkerTTL,
		Metadata: metadata(),
	}
}

func consumerConfig(c messages.Consumer) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Name: c.Name, Durable: c.Name, Description: c.Description, FilterSubject: c.FilterSubject,
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		ReplayPolicy: jetstream.ReplayInstantPolicy,
		AckWait:      c.AckWait, MaxDeliver: c.MaxDeliver, MaxAckPending: c.MaxAckPending,
		MaxWaiting: c.MaxWaiting, MaxRequestBatch: c.MaxRequestBatch,
		Metadata: metadata(),
	}
}

func metadata() map[string]string {
	return map[string]string{messages.SchemaKey: strconv.Itoa(messages.AssetSchema)}
}

// schemaOf is the schema number in the metadata of an asset, 0 where it has none.
func schemaOf(metadata map[string]string) int {
	n, _ := strconv.Atoi(metadata[messages.SchemaKey])
	return n
}

// ours drops what the server adds to the metadata of an asset.
func ours(metadata map[string]string) map[string]string {
	out := maps.Clone(metadata)
	maps.DeleteFunc(out, func(k, _ string) bool { return strings.HasPrefix(k, "_nats.") })
	return out
}
