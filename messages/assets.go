package messages

import (
	"strings"
	"time"
)

// A Stream defines a JetStream stream. The adapter translates it; nothing else
// in the program says how a stream is made.
type Stream struct {
	Name        string
	Description string
	Subjects    []string
	// WorkQueue removes a message with its ack; otherwise limits apply.
	WorkQueue bool
	// DiscardNew refuses a publish over a limit; otherwise the oldest goes.
	DiscardNew           bool
	DiscardNewPerSubject bool
	MaxMsgsPerSubject    int64
	MaxMsgSize           int32
	MaxAge               time.Duration
	Duplicates           time.Duration
	Replicas             int
}

// A Consumer defines a durable pull consumer with explicit acks.
type Consumer struct {
	Stream        string
	Name          string
	Description   string
	FilterSubject string
	// AckWait is how long a message stays with a worker that is silent.
	AckWait         time.Duration
	MaxDeliver      int
	MaxAckPending   int
	MaxWaiting      int
	MaxRequestBatch int
}

// A Bucket defines a key-value bucket.
type Bucket struct {
	Name         string
	Description  string
	History      uint8
	MaxValueSize int32
	Replicas     int
	// MarkerTTL is how long the marker of an erased value stays.
	MarkerTTL time.Duration
}

// Assets is all that the program needs of a NATS server, for one route.
type Assets struct {
	Files, Dead    Stream
	Live, Backfill Consumer
	State          Bucket
}

// SchemaKey is the metadata key under which each asset carries its schema number.
const SchemaKey = "oracle-focus-agent-schema"

// AssetSchema is the version of the definitions below. An asset with a lower
// number is upgraded by setup.
const AssetSchema = 3

// markerTTL is for readers that look at changes: after it nothing of an erased
// value is left, so that the ledger does not grow with what it forgets.
const markerTTL = 24 * time.Hour

// Define returns the assets of one route. prefix names every asset, so that
// installations share a server without meeting; the streams and the bucket serve
// all routes of a prefix, the consumers one each.
func Define(prefix, route string, replicas int, ackWait time.Duration) Assets {
	files := strings.ToUpper(prefix) + "_FILES"
	return Assets{
		Files: Stream{
			Name:        files,
			Description: "Files waiting to be copied: " + prefix + ".files.<lane>.<route>.<name>, at most one message per file",
			Subjects:    []string{prefix + ".files.*.*.*"},
			WorkQueue:   true, DiscardNew: true, DiscardNewPerSubject: true, MaxMsgsPerSubject: 1,
			MaxMsgSize: MaxSize, MaxAge: 14 * 24 * time.Hour, Duplicates: 2 * time.Minute, Replicas: replicas,
		},
		Dead: Stream{
			Name:        strings.ToUpper(prefix) + "_DEAD",
			Description: "Dead letters: the last failure of each file that was given up, " + prefix + ".dead.<route>.<name>",
			Subjects:    []string{prefix + ".dead.*.*"},
			// The limit must hold the message that failed, quoted, beside its history.
			MaxMsgsPerSubject: 1, MaxMsgSize: 2 * MaxSize, MaxAge: 400 * 24 * time.Hour, Duplicates: 2 * time.Minute, Replicas: replicas,
		},
		Live:     consumer(files, prefix, Live, route, ackWait),
		Backfill: consumer(files, prefix, Backfill, route, ackWait),
		State: Bucket{
			Name:        prefix + "_state",
			Description: "The ledger: what was copied, <route>.<yyyy>.<mm>.<dd>.<file>; <route>.scan, <route>.meta",
			History:     3, MaxValueSize: MaxSize, Replicas: replicas, MarkerTTL: markerTTL,
		},
	}
}

// consumer names the consumers of route "main" copiers-live and
// copiers-backfill, and adds the name of any other route: a copier must never be
// handed the files of a route whose destination it does not know.
func consumer(stream, prefix string, lane Lane, route string, ackWait time.Duration) Consumer {
	name := "copiers-" + string(lane)
	if route != "main" {
		name += "-" + route
	}
	return Consumer{
		Stream: stream, Name: name,
		Description:   "Copiers of route " + route + ", lane " + string(lane),
		FilterSubject: prefix + ".files." + string(lane) + "." + route + ".*",
		AckWait:       ackWait,
		// Deliver for ever: the copier counts attempts in the ledger. A message
		// past MaxDeliver would block its file and could not be removed.
		MaxDeliver: -1, MaxAckPending: 4096, MaxWaiting: 4096, MaxRequestBatch: 1,
	}
}
