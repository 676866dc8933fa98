package messages

// An Invariant names something that must never happen, and that the program can
// notice when it does. It goes on where it can: each of them is guarded against.
// Whoever watches the program is told, because its cause is a fault of the
// program, of an operator, or of somebody who writes where only the program should.
type Invariant string

// The invariants.
const (
	// MessageContract: a queued message cannot be read, names another route or
	// object than its subject, or an object that no scanner would queue.
	MessageContract Invariant = "message-contract"
	// KeyOutsidePrefix: a file was about to be written outside of the destination path.
	KeyOutsidePrefix Invariant = "key-outside-prefix"
	// CommitWithoutETag: the destination called a commit a success and named no etag.
	CommitWithoutETag Invariant = "commit-without-etag"
	// ScanSum: the findings of a scan do not add up to the objects that were listed.
	ScanSum Invariant = "scan-sum"
	// MarkInFuture: the scan marks are of a time to come.
	MarkInFuture Invariant = "mark-in-future"
	// UnreadableRecord: a record of the ledger cannot be read.
	UnreadableRecord Invariant = "unreadable-record"
	// NewerSchema: a newer version of the program wrote a message or a record.
	NewerSchema Invariant = "newer-schema"
	// IdentityLost: the ledger no longer said which destination it speaks of, while
	// a process worked with it.
	IdentityLost Invariant = "identity-lost"
	// Panic: a part of the program panicked, and was caught.
	Panic Invariant = "panic"
)

// Invariants lists all of them.
func Invariants() []Invariant {
	return []Invariant{
		MessageContract, KeyOutsidePrefix, CommitWithoutETag, ScanSum, MarkInFuture,
		UnreadableRecord, NewerSchema, IdentityLost, Panic,
	}
}
