package messages

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// A Class says what kind of trouble an error is, and so what is done about it.
// Each class is one value, and an error itself: errors.Is(err, messages.Gone).
type Class string

// The classes. "Side" below means the source or the destination as a whole.
const (
	// Connection: no answer, a reset, a stall. Transient; three objects in a row open the side.
	Connection Class = "connection"
	// Unavailable: the side answered 5xx. Transient; three objects in a row open the side.
	Unavailable Class = "unavailable"
	// Throttled: 429 or SlowDown. Transient; three objects in a row open the side.
	Throttled Class = "throttled"
	// Unauthenticated: the side does not accept the credentials. Transient, since
	// credentials are renewed; three objects in a row open the side; sync ends with 3.
	Unauthenticated Class = "unauthenticated"
	// Forbidden: the credentials are known but not allowed to do this. As Unauthenticated.
	Forbidden Class = "forbidden"
	// ClockSkew: the clock of this machine is too far off for signatures. As Unauthenticated.
	ClockSkew Class = "clock-skew"
	// NotFound: a bucket, or a listing, is not there for these credentials. At OCI
	// this is how a missing policy or the wrong region looks. As Unauthenticated.
	NotFound Class = "not-found"
	// Changed: the object is no longer the version that was asked for.
	Changed Class = "changed"
	// Gone: this object does not exist. Proven only by a listing that lacks it.
	Gone Class = "gone"
	// Length: fewer or more bytes than the listing declares. Transient.
	Length Class = "length"
	// HashMismatch: the bytes differ from the declared checksum. Permanent after three times.
	HashMismatch Class = "hash-mismatch"
	// Refused: a name or message that will never be accepted. Permanent.
	Refused Class = "refused"
	// InvalidGzip: the bytes are as declared, but no gzip file, and the configuration
	// asks for one. Permanent.
	InvalidGzip Class = "invalid-gzip"
	// Held: a delivered file has other bytes now, and the configuration wants an
	// operator to decide. Permanent: failed retry sends it, failed discard keeps the old one.
	Held Class = "held"
	// NoUpload: the multipart upload does not exist, any more or at all.
	NoUpload Class = "no-upload"
	// Conflict: someone else wrote the ledger record first.
	Conflict Class = "conflict"
	// LeaseLost: the message may by now belong to another worker.
	LeaseLost Class = "lease-lost"
	// Queue: the broker or the ledger did not answer. Transient.
	Queue Class = "queue"
	// Unknown is every other error. Transient: what is not understood is tried again.
	Unknown Class = "unknown"
)

// Error makes a Class usable with errors.Is.
func (c Class) Error() string { return string(c) }

// OfSide reports whether the class speaks of a whole side rather than of one object.
func (c Class) OfSide() bool {
	switch c {
	case Connection, Unavailable, Throttled:
		return true
	}
	return c.Credentials()
}

// Credentials reports whether the class calls for other credentials, a policy or
// a clock: sync ends with exit code 3.
func (c Class) Credentials() bool {
	switch c {
	case Unauthenticated, Forbidden, ClockSkew, NotFound:
		return true
	}
	return false
}

// A Side is where a fault arose.
type Side string

// The sides of a route.
const (
	Source      Side = "source"
	Destination Side = "destination"
)

// A Fault is an error with its class. Adapters return one for every failed call.
type Fault struct {
	Class Class
	Side  Side   // empty where neither side is to blame
	Op    string // what was tried, verb and object
	// Remedy says what an operator can do about it; may be empty.
	Remedy string
	// RetryAfter is the pause that the side asked for; zero where it named none.
	RetryAfter time.Duration
	Err        error
}

// MaxPause bounds the pause that a side can ask for.
const MaxPause = 5 * time.Minute

// PauseOf is the pause that a side asked for with err, [MaxPause] at most; zero where it
// named none.
func PauseOf(err error) time.Duration {
	if f, ok := errors.AsType[*Fault](err); ok {
		return min(f.RetryAfter, MaxPause)
	}
	return 0
}

func (f *Fault) Error() string {
	var b strings.Builder
	if f.Op != "" {
		fmt.Fprintf(&b, "%s: ", f.Op)
	}
	if f.Err != nil {
		b.WriteString(f.Err.Error())
	} else {
		b.WriteString(string(f.Class))
	}
	if f.Remedy != "" {
		fmt.Fprintf(&b, "; %s", f.Remedy)
	}
	return b.String()
}

// Unwrap yields the class and the cause.
func (f *Fault) Unwrap() []error {
	if f.Err == nil {
		return []error{f.Class}
	}
	return []error{f.Class, f.Err}
}

// ClassOf returns the class of err: that of its outermost Fault, or Unknown.
func ClassOf(err error) Class {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Class
	}
	if c, ok := errors.AsType[Class](err); ok {
		return c
	}
	return Unknown
}

// SideOf returns the side that err blames, if any.
func SideOf(err error) Side {
	if f, ok := errors.AsType[*Fault](err); ok {
		return f.Side
	}
	return ""
}
