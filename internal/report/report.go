// Package report tells what became of every file and of every report day: from what
// the source lists and what the ledger says. It asks nobody: whoever calls it brings
// the evidence, and prints what it makes of it.
package report

import (
	"time"

	"oracle-focus-agent/messages"
)

// Schema is the version of the JSON forms of Report and Statement. Fields are only
// ever added.
const Schema = 1

// Evidence is what is known of one file.
type Evidence struct {
	// Object is the version that the source lists, or the one of the record where it
	// lists none.
	Object messages.Object `json:"object"`
	Listed bool            `json:"listed,omitempty"`
	// Day and Key are of the report; empty for what is none.
	Day messages.Day `json:"day,omitempty"`
	Key string       `json:"key,omitempty"`
	// Reason and Rule say why it is not copied; empty for a report.
	Reason messages.Reason `json:"reason,omitempty"`
	Rule   string          `json:"rule,omitempty"`
	// Record is the ledger's; nil where there is none.
	Record *messages.Record `json:"record,omitempty"`
}

// appeared is when the source had the file; zero where nobody knows.
func (e Evidence) appeared() time.Time {
	if e.Object.Created.IsZero() {
		return e.Object.Modified
	}
	return e.Object.Created
}

// A Section is the part of a report that a file stands in. Each file stands in one.
type Section string

// The sections of files. Verified holds no files, but what the last verification found.
const (
	Transferred Section = "transferred"
	Skipped     Section = "skipped"
	Failed      Section = "failed"
	Pending     Section = "pending"
	Verified    Section = "verified"
)

// The reasons for which a file is skipped.
const (
	IsIneligible = "ineligible" // no report, by a rule
	IsDiscarded  = "discarded"  // an operator gave it up
	IsGone       = "gone"       // the source no longer had it when it was its turn
	IsRecorded   = "recorded"   // the same bytes had been delivered as another version
	IsInherited  = "inherited"  // the Python agent delivered it
	IsBeforeUs   = "before-us"  // of a day that this installation is not responsible for
)

// A File is what became of one file.
type File struct {
	Section Section `json:"section"`
	// Reason is one word: of the skipped, how it was transferred, or the class of the failure.
	Reason string `json:"reason"`
	// Why says it in words, where there is more to say.
	Why    string       `json:"why,omitempty"`
	Day    messages.Day `json:"day,omitempty"`
	Object string       `json:"object"`
	Key    string       `json:"key,omitempty"`
	Size   int64        `json:"size"`
	// Listed is false of a file that only the ledger knows.
	Listed   bool      `json:"listed"`
	Appeared time.Time `json:"appeared,omitzero"`
	// Delivered is when this version was delivered; zero of one that was not.
	Delivered time.Time `json:"delivered,omitzero"`
	// Verified is how its bytes were proven before they became visible.
	Verified string `json:"verified,omitempty"`
	CRC32C   string `json:"crc32c,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	// Rows, Corrections and Cost are those of complete statistics; Counted tells whether
	// there are such.
	Counted     bool   `json:"counted"`
	Rows        int64  `json:"rows,omitempty"`
	Corrections int64  `json:"corrections,omitempty"`
	Cost        []Cost `json:"cost,omitempty"`
}

// A Cost is money in one currency, in exact decimals.
type Cost struct {
	Currency  string `json:"currency"`
	Billed    string `json:"billed"`
	Effective string `json:"effective"`
}

// A Difference is one object for which the source's listing and the ledger do not
// agree.
type Difference struct {
	Day    messages.Day `json:"day,omitempty"`
	Object string       `json:"object"`
	Why    string       `json:"why"`
}

// What a report is made from.
const (
	FromListing = "listing and ledger"
	FromLedger  = "ledger alone"
)

// A Head says what a report or a statement is about.
type Head struct {
	Schema      int       `json:"schema"`
	Route       string    `json:"route"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	Made        time.Time `json:"made"`
	// Basis says what it is made from, Notes what a reader has to know first.
	Basis string   `json:"basis"`
	Notes []string `json:"notes"`
}

// A Report is what became of the files of a range of report days.
type Report struct {
	Head
	From messages.Day `json:"from"`
	To   messages.Day `json:"to"`
	// Since is the first day that the installation is responsible for; empty where it
	// does not know.
	Since messages.Day `json:"since,omitempty"`
	// Cadence is the one by which the last day is judged.
	Cadence Cadence       `json:"cadence"`
	Totals  Totals        `json:"totals"`
	States  map[State]int `json:"states"`
	Days    []Day         `json:"days"`
	Files   []File        `json:"files"`
	// Verification is the last one; nil where there was none.
	Verification *messages.Verification `json:"verification,omitempty"`
	// Differences are the objects that do not add up.
	Differences []Difference `json:"differences"`
}

// Totals count the files of a report. What the source lists is in exactly one
// section: Listed = Transferred + Skipped + Failed + Pending - Unlisted.
type Totals struct {
	Listed      int            `json:"listed"`
	ListedBytes int64          `json:"listed_bytes"`
	Transferred int            `json:"transferred"`
	Skipped     int            `json:"skipped"`
	Reasons     map[string]int `json:"skipped_reasons"`
	Failed      int            `json:"failed"`
	Pending     int            `json:"pending"`
	// Unlisted are those of the sections that only the ledger knows.
	Unlisted int `json:"unlisted"`
	// Bytes are those of the transferred files, by their size at the destination.
	Bytes int64 `json:"transferred_bytes"`
	// Proven counts the transferred files by how their bytes were proven.
	Proven map[string]int `json:"proven"`
	Rows   int64          `json:"rows"`
	// Corrections are rows that refer back to an earlier one.
	Corrections int64 `json:"corrections"`
	// Cost is that of the delivered files with complete statistics, Uncounted how many have none.
	Cost      []Cost `json:"cost"`
	Uncounted int    `json:"uncounted"`
}

// Add reports whether the sections hold what the source lists, and nothing twice.
func (t Totals) Add() bool {
	skipped := 0
	for _, n := range t.Reasons {
		skipped += n
	}
	return t.Listed == t.Transferred+t.Skipped+t.Failed+t.Pending-t.Unlisted && skipped == t.Skipped
}
