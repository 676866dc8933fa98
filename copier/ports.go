package copier

import (
	"context"
	"errors"
	"io"
	"time"

	"oracle-focus-agent/messages"
)

// Every error of a port is or wraps a *messages.Fault, or is the context's.
// What has no class counts as messages.Unknown and is tried again.

// A Source holds the reports.
type Source interface {
	// Open starts reading an object; with an etag, only that version (Changed
	// otherwise). The Object is what the answer declares: ETag, MD5 and CRC32C as
	// far as it names them, Size -1 where it names no length. The reader yields the
	// stored bytes, never decoded; it gives up with Connection when no byte comes
	// for the stall time. It may end early or late without an error: the caller
	// counts. An answer "no such object" is Gone, which only Stat can confirm.
	//
	// Of a range the reader yields only that, of that version: the etag must be given then,
	// and the answer names it, so that what is read in pieces is one version. Size is still
	// that of the whole object, and MD5 and CRC32C are empty, since nobody promises that
	// those of such an answer are of the whole. A source that sends anything but this range
	// is ErrNoRange.
	Open(ctx context.Context, name, etag string, r Range) (messages.Object, io.ReadCloser, error)
	// Stat lists this one name. It is Gone only when the listing succeeded and
	// lacks the name.
	Stat(ctx context.Context, name string) (messages.Object, error)
}

// A Range is a stretch of an object, in bytes: Length of them from Offset on or, where
// Length is 0, all of them. The zero Range is the whole object.
type Range struct{ Offset, Length int64 }

// ErrNoRange is in the error of an Open of a range that the source did not heed.
var ErrNoRange = errors.New("the source does not send the range of the object that was asked for")

// Meta goes with an object to the destination and proves its origin there.
type Meta struct {
	Name   string // of the source object
	ETag   string // of the source object
	CRC32C string // base64; empty where it is not known before the bytes are
	MD5    string // base64; empty where the destination is not to verify it
	// TraceID is that of the trace of the attempt; empty of none.
	TraceID string
	// Statistics go along where that is wanted and they are known and complete.
	Statistics *messages.Statistics
}

// Stored is what a destination tells of an object.
type Stored struct {
	Size       int64
	ETag       string
	CRC32C     string // of the whole object, computed by the destination; may be empty
	SourceETag string // from Meta; empty on a foreign object
}

// Objects puts and inspects whole objects.
type Objects interface {
	// Put stores body under key in one request of known length, with its CRC32C and the MD5
	// of m, if any, so that the destination refuses other bytes, as HashMismatch. After nil the
	// object is durable and has the returned, never empty, etag. After an error it may or may
	// not be there, but never in part: repeating is harmless.
	Put(ctx context.Context, key string, body []byte, m Meta) (etag string, err error)
	// Head is Gone where there is no such object, and Forbidden where the
	// credentials may not ask, which says nothing about the object.
	Head(ctx context.Context, key string) (Stored, error)
}

// Uploads begins and gives up multipart uploads.
type Uploads interface {
	// Create begins an upload. Nothing is visible under key before Complete.
	Create(ctx context.Context, key string, m Meta) (id string, err error)
	// Abort frees the parts of an upload. NoUpload means there is nothing to abort.
	Abort(ctx context.Context, key, id string) error
}

// ErrUnconfirmed is in the error of a write that the destination called a
// success without naming an etag: whether the object is there is not known.
var ErrUnconfirmed = errors.New("the answer is a success without an etag")

// A Part is one stored part of an upload.
type Part struct {
	Number int32 // from 1
	ETag   string
	CRC32C string // base64
}

// Parts fills and completes multipart uploads.
type Parts interface {
	// Part stores one part with the given CRC32C, in base64, so that the destination refuses
	// other bytes: it is that of body as it was read. Repeating it is harmless.
	Part(ctx context.Context, key, id string, number int32, body []byte, crc32c string) (Part, error)
	// Complete makes the object visible if its size and CRC32C are the given ones.
	// After nil it is durable and has the returned, never empty, etag. NoUpload can
	// mean that an earlier Complete worked and its answer was lost.
	Complete(ctx context.Context, key, id string, parts []Part, size int64, crc32c string) (etag string, err error)
}

// A Stream is the bytes of a part as they come from the source.
type Stream struct {
	// Reader yields Size bytes, or an error. It may be read until Relay has returned and
	// even after an error of it, in vain.
	io.Reader
	Size int64
	// Buffer is what they may be moved through; it is not used after Relay returned nil.
	Buffer []byte
	// CRC32C is theirs, in base64, once all were read.
	CRC32C func() string
}

// ErrNoRelay is in the error of a relayed part that the destination may not have checked.
var ErrNoRelay = errors.New("the destination does not confirm a checksum that comes behind the bytes")

// Relays fill multipart uploads with parts that are not in memory.
type Relays interface {
	// Relaying reports whether that can be asked for now.
	Relaying() bool
	// Relay stores a part as Part does, but with the CRC32C behind the bytes, so that it need
	// not be known before. It is tried once, since the bytes come but once. After nil the
	// destination has shown that it computed the same CRC32C; after an error the part is not
	// there, or is another one, and can be sent again.
	Relay(ctx context.Context, key, id string, number int32, s Stream) (Part, error)
}

// An Inspector reads what reports say of themselves.
type Inspector interface {
	// Inspect reads r, the stored bytes of one report, to its end and tells what it
	// found. Where r fails with another error than io.EOF, that is why the rest was
	// skipped, word for word, and Inspect returns within moments. It holds no more
	// memory than its statistics take when it has returned, is called for several files at
	// the same time, and a panic of it costs nothing but the statistics.
	Inspect(r io.Reader) messages.Statistics
}

// A Delivery is one message, lent to this worker for the ack wait.
type Delivery struct {
	Subject string
	Data    []byte
	// Deliveries counts from 1 how often the message was handed out.
	Deliveries int
	// Asked is when this worker asked for a message: the loan began then or later. Zero is
	// when it is handled.
	Asked time.Time
	// Headers are those of the message, by their exact names. Anybody may have set them.
	Headers map[string][]string
	// Trace follows the work on the message; nil of nobody does, which costs nothing.
	Trace Trace
	// Renew extends the loan by the ack wait and returns when the broker has confirmed it.
	Renew func(context.Context) error
	// Settle ends the loan. After nil the broker has confirmed it.
	Settle func(context.Context, Verdict) error
}

// A Trace follows the work on one delivery. It is called from any goroutine while the
// work waits: it must be quick, and it cannot fail.
type Trace interface {
	// ID names the trace in the log, in the ledger and at the destination; empty where
	// nobody would find it.
	ID() string
	// Within is the context in which the work is to be done.
	Within(ctx context.Context) context.Context
	// Tell is told of the events of the file, but for Progress.
	Tell(e Event)
	// End is told that the message was settled or left alone, and why the attempt
	// failed if it did.
	End(err error)
}

// An Act is what becomes of a message.
type Act int

// Ack removes it as done, Nak hands it out again after a delay, Term removes it
// as given up, with a reason in the broker's advisory.
const (
	Ack Act = iota
	Nak
	Term
)

// A Verdict settles a delivery.
type Verdict struct {
	Act    Act
	Delay  time.Duration // of Nak
	Reason string        // of Term
}

// A Queue hands out messages one at a time.
type Queue interface {
	// Next waits a few seconds at most for a message of the live lane and, where
	// backfill is true, takes one of the backfill lane when live has none. It returns
	// nil, nil when nothing came. It never holds a second message for the caller.
	Next(ctx context.Context, backfill bool) (*Delivery, error)
}

// A Ledger holds the records.
type Ledger interface {
	// Read returns the value and its revision, or nil and 0 where there is none.
	// It may be older than the newest write: only Write decides.
	Read(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Write replaces the value of the given revision (0: there must be none) and
	// returns the new revision. A nil value erases. Conflict means that another
	// write came first and nothing was changed; after any other error the write may
	// have been applied.
	Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// DeadLetters keeps the history of files that were given up.
type DeadLetters interface {
	// Bury is durable after nil. Repeating it is harmless.
	Bury(ctx context.Context, d messages.DeadLetter) error
}
