package scanner

import (
	"context"
	"iter"

	"oracle-focus-agent/messages"
)

// A Lister enumerates the source. Of a large source several listings are under way at once.
type Lister interface {
	// List yields the objects below the route's prefix whose names are not less
	// than from, in the order of their names. An error ends it: a listing that
	// failed is never a short listing.
	List(ctx context.Context, from string) iter.Seq2[messages.Object, error]
}

// A Ledger knows what was copied. Of a large source several days are read at once.
type Ledger interface {
	// Day returns the records of one report day by file name, or an error: never
	// a part of them.
	Day(ctx context.Context, day messages.Day) (map[string]messages.Record, error)
}

// Marks keeps how far the scanner has come, and takes the orders of repeats.
type Marks interface {
	// Read returns the value and its revision, or nil and 0 where there is none.
	Read(ctx context.Context, key string) (value []byte, revision uint64, err error)
	// Write replaces the value of the given revision (0: there must be none).
	// Conflict means that another scanner wrote first.
	Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error)
}

// A Publisher queues files for the copiers.
type Publisher interface {
	// Publish makes the message durable, or finds that the file already waits or is
	// in flight in either lane: then queued is false. After an error it may or may
	// not be queued; publishing it again is harmless.
	Publish(ctx context.Context, lane messages.Lane, m messages.FileDiscovered) (queued bool, err error)
}

// A Forgetter erases records.
type Forgetter interface {
	// Forget erases the record under a key if it is still r. erased is false where it
	// was written or erased since.
	Forget(ctx context.Context, key string, r messages.Record) (erased bool, err error)
}
