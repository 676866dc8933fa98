package messages

import (
	"fmt"
	"time"
)

// A Verification is the outcome of a comparison of the source's listing, the ledger and
// the destination. The last one of a route stands in the ledger.
type Verification struct {
	Schema int `json:"schema"`
	Epoch  int `json:"epoch"`
	// From and To are the first and the last report day that were compared.
	From    Day       `json:"from"`
	To      Day       `json:"to"`
	Started time.Time `json:"started"`
	Seconds float64   `json:"seconds"`
	// Worker is who compared, Scheduled whether nobody had asked for it.
	Worker    string `json:"worker,omitempty"`
	Scheduled bool   `json:"scheduled,omitempty"`
	// Destination says how the destination was looked at, "head" or "list"; or it is
	// "unreadable", and then the comparison is one of source and ledger alone.
	Destination string `json:"destination"`
	// Of the files that were compared, each is counted once.
	Equal     int `json:"equal"`
	Pending   int `json:"pending"` // not due to be there yet: waiting, in flight, or too new
	Missing   int `json:"missing"`
	OnlyThere int `json:"only_there"`
	Different int `json:"different"`
	Errors    int `json:"errors"`
	// Ingested were delivered and are absent, where verify.absent says that the
	// destination takes files away; Discarded an operator gave up.
	Ingested  int `json:"ingested,omitempty"`
	Discarded int `json:"discarded,omitempty"`
	// Listed says that the destination was listed: without it nothing can be found that
	// is only there.
	Listed bool `json:"listed,omitempty"`
	// Ordered is how many repairs were ordered.
	Ordered int `json:"ordered,omitempty"`
	// Full is when the last comparison of all days began that the route is responsible for.
	Full time.Time `json:"full,omitzero"`
	// Claimed is when a process began the next scheduled comparison, and ClaimedBy which
	// one; the result takes their place. What else the value says is of the last one.
	Claimed   time.Time `json:"claimed,omitzero"`
	ClaimedBy string    `json:"claimed_by,omitempty"`
	// Differences are the first hundred that are not equal, by day and name.
	Differences []Deviation `json:"differences,omitempty"`
}

// Differ is how many files are not as they should be.
func (v Verification) Differ() int { return v.Missing + v.OnlyThere + v.Different + v.Errors }

// A Deviation is one file that a verification found to be not as it should be.
type Deviation struct {
	// Mark is one of + - * and !; where all files are listed also = and ~, which is
	// pending.
	Mark   string `json:"mark"`
	Day    Day    `json:"day"`
	Object string `json:"object,omitempty"` // at the source
	Key    string `json:"key,omitempty"`    // at the destination
	Why    string `json:"why"`
}

// Encode returns the JSON form of v.
func (v Verification) Encode() ([]byte, error) {
	v.Schema = Schema
	return encode("verification", v)
}

// DecodeVerification reads what Encode wrote.
func DecodeVerification(b []byte) (Verification, error) {
	var v Verification
	if err := decode("verification", b, &v); err != nil {
		return Verification{}, err
	}
	return v, nil
}

// VerificationKey is the ledger key of the last verification of a route.
func VerificationKey(route string) string { return route + ".verified" }

// A Pause says that no file of a route is to be taken from the queue, until somebody
// says otherwise. The consumers of the route are paused as well, which is what holds
// the copiers; this is what tells who did it and why, and by which consumers that were
// made anew are paused again.
type Pause struct {
	Schema int       `json:"schema"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Encode returns the JSON form of p.
func (p Pause) Encode() ([]byte, error) {
	p.Schema = Schema
	return encode("pause", p)
}

// DecodePause reads what Encode wrote.
func DecodePause(b []byte) (Pause, error) {
	var p Pause
	if err := decode("pause", b, &p); err != nil {
		return Pause{}, err
	}
	return p, nil
}

// PauseKey is the ledger key of the pause of a route.
func PauseKey(route string) string { return route + ".paused" }

// An Action is what an operator did: the audit trail of a route.
type Action struct {
	Schema int `json:"schema"`
	// Action is the command, such as "failed retry".
	Action string    `json:"action"`
	By     string    `json:"by"` // user@host
	At     time.Time `json:"at"`
	// Reason is in the operator's words.
	Reason string `json:"reason,omitempty"`
	// Detail says what it was applied to, Count to how many files, Files which: at most
	// a hundred of them.
	Detail string   `json:"detail,omitempty"`
	Count  int      `json:"count"`
	Files  []string `json:"files,omitempty"`
}

// Encode returns the JSON form of a.
func (a Action) Encode() ([]byte, error) {
	a.Schema = Schema
	return encode("audit record", a)
}

// DecodeAction reads what Encode wrote.
func DecodeAction(b []byte) (Action, error) {
	var a Action
	if err := decode("audit record", b, &a); err != nil {
		return Action{}, err
	}
	return a, nil
}

// AuditPrefix is what the ledger keys of the audit trail of a route begin with, without
// the last dot.
func AuditPrefix(route string) string { return route + ".audit" }

// AuditKey is the ledger key of one action: <route>.audit.<time>-<unique>, so that keys
// are in the order of time.
func AuditKey(route string, at time.Time, unique string) string {
	return AuditPrefix(route) + "." + at.UTC().Format("20060102T150405") + fmt.Sprintf("%03d", at.UnixMilli()%1000) + "-" + unique
}

// A Range is a span of report days, both included.
type Range struct {
	From Day `json:"from"`
	To   Day `json:"to"`
}
