package web

import (
	"context"
	"io"
	"time"

	"oracle-focus-agent/messages"
)

// Actions are what an operator can order. Each does what the command of the same name
// does, and is on record in the audit trail before it has an effect. An action that would
// change another number of files than its order confirms does nothing, and is a *Problem
// with the number.
//
// The Job that is returned has ended, or goes on in the background: see Job.State. An
// error means that nothing was begun.
type Actions interface {
	// Scan looks at once for new files and queues them, as `sync` begins.
	Scan(ctx context.Context, by Actor) (Job, error)
	// FailedPreview tells what Retry or Discard would be about.
	FailedPreview(ctx context.Context, s Selection) (FailedPreview, error)
	// Retry orders another copy of files that were given up: `failed retry`.
	Retry(ctx context.Context, by Actor, o FailedOrder) (Job, error)
	// Discard gives files up for good: `failed discard`. It needs a reason.
	Discard(ctx context.Context, by Actor, o FailedOrder) (Job, error)
	// BackfillPreview lists the days at the source and tells what Backfill would copy.
	BackfillPreview(ctx context.Context, o BackfillOrder) (BackfillPreview, error)
	// Backfill queues the reports of past days: `backfill --no-wait`.
	Backfill(ctx context.Context, by Actor, o BackfillOrder) (Job, error)
	// Pause stops the copies on all hosts; what is in flight is finished. It needs a reason.
	Pause(ctx context.Context, by Actor) (Job, error)
	Resume(ctx context.Context, by Actor) (Job, error)
	// Verify compares source, ledger and destination: `verify`, without --repair.
	Verify(ctx context.Context, by Actor, o VerifyOrder) (Job, error)
	// TestAlert sends a test message by every channel: `alerts test`.
	TestAlert(ctx context.Context, by Actor) (Job, error)
	// Report writes what `report` prints. It changes nothing, and is not on record.
	Report(ctx context.Context, o ReportOrder, w io.Writer) error
}

// An Actor is who orders an action, and why.
type Actor struct {
	// Who is the name as it was proven: that of the user, or "token"; where nobody has to
	// prove anything it is "somebody".
	Who string `json:"-"`
	// From is the address that the order came from.
	From string `json:"-"`
	// Via is what the order was given by: "page" or "API".
	Via string `json:"-"`
	// Reason is in the operator's words.
	Reason string `json:"reason,omitempty"`
}

// A Selection is which of the files that were given up an order is about. The zero value
// is all of them.
type Selection struct {
	// Files are object names; Causes and the days, both included, choose further.
	Files  []string         `json:"files,omitempty"`
	Causes []messages.Class `json:"causes,omitempty"`
	From   messages.Day     `json:"from,omitempty"`
	To     messages.Day     `json:"to,omitempty"`
	// Until leaves out what failed later: that of the preview.
	Until time.Time `json:"until,omitzero"`
}

// A FailedPreview is what an order about failed files would be about.
type FailedPreview struct {
	Count int       `json:"count"`
	Bytes int64     `json:"bytes"`
	Until time.Time `json:"until,omitzero"`
	Files []FileRow `json:"files"` // the first hundred, by name
}

// A FailedOrder is about failed files. Confirm is the Count of the preview.
type FailedOrder struct {
	Selection
	Confirm int `json:"confirm"`
}

// A BackfillOrder is about the report days from From to To. Confirm is the Files of the
// preview.
type BackfillOrder struct {
	From messages.Day `json:"from"`
	To   messages.Day `json:"to"`
	// All copies again what is delivered or was given up, too.
	All     bool `json:"all,omitempty"`
	Confirm int  `json:"confirm"`
}

// A BackfillPreview is what a backfill would do.
type BackfillPreview struct {
	From  messages.Day `json:"from"`
	To    messages.Day `json:"to"`
	All   bool         `json:"all"`
	Files int          `json:"files"`
	Bytes int64        `json:"bytes"`
	// Again counts those of Files that are delivered or were given up already.
	Again     int `json:"again"`
	Done      int `json:"already_done"`
	Discarded int `json:"discarded"`
	// Failed are files that it does not bring, with the reason.
	Failed []Unfit `json:"failed"`
	// Days are in order, without those of which nothing is listed.
	Days []BackfillDay `json:"days"`
	// Seconds is how long one process is likely to take; zero where that is not known.
	Seconds float64 `json:"estimated_seconds"`
}

// A BackfillDay counts the files of one report day.
type BackfillDay struct {
	Day   messages.Day `json:"day"`
	Files int          `json:"files"`
	Bytes int64        `json:"bytes"`
	Done  int          `json:"already_done"`
}

// An Unfit is a file that is not brought.
type Unfit struct {
	Object string         `json:"object"`
	Reason string         `json:"reason"`
	Class  messages.Class `json:"class,omitempty"`
}

// A VerifyOrder says what to compare: the days from From to To, or, where there are none,
// those of a scan, or all with Full.
type VerifyOrder struct {
	From messages.Day `json:"from,omitempty"`
	To   messages.Day `json:"to,omitempty"`
	Full bool         `json:"full,omitempty"`
}

// A ReportOrder says what to report: the days from From to To, or a month.
type ReportOrder struct {
	From   messages.Day `json:"from,omitempty"`
	To     messages.Day `json:"to,omitempty"`
	Month  string       `json:"month,omitempty"`  // YYYY-MM
	Format string       `json:"format,omitempty"` // csv (the default), json or html
	// Section is one of report.Sections, ErrorsOnly leaves out what is as it should be.
	Section    string `json:"section,omitempty"`
	ErrorsOnly bool   `json:"errors_only,omitempty"`
}

// A Job is an action that was ordered.
type Job struct {
	ID int `json:"id"` // since the start of the process
	// Action is the command, such as "failed retry".
	Action  string    `json:"action"`
	By      string    `json:"by"`
	Reason  string    `json:"reason,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
	State   JobState  `json:"state"`
	// Text says what was done, or what went wrong, in a sentence.
	Text string `json:"text"`
	// Count is how many files it was about.
	Count int `json:"count"`
	// Verification is that of Verify, with the files that differ; Alerts are those of TestAlert.
	Verification *messages.Verification `json:"verification,omitempty"`
	Alerts       []TriedAlert           `json:"alerts,omitempty"`
}

// A JobState is how far a job is.
type JobState string

// The states of a job.
const (
	JobRunning JobState = "running"
	JobDone    JobState = "done"
	JobFailed  JobState = "failed"
)

// A TriedAlert is what came of a test message.
type TriedAlert struct {
	Channel string `json:"channel"`
	Host    string `json:"host,omitempty"`
	Status  int    `json:"status,omitempty"` // of HTTP or SMTP
	Text    string `json:"text,omitempty"`
	Error   string `json:"error,omitempty"` // empty where it was taken
}
