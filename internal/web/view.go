package web

import (
	"context"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// A View is what a process knows of its route. The page shows it and /api/v1 is its JSON
// form. Each call may be made many times a second: what costs more than memory is kept
// for a while, and says how old it is. An error is a *Problem where the caller can do
// something about it.
type View interface {
	// Summary is the route at a glance.
	Summary(ctx context.Context) (Summary, error)
	// Days are the report days of a range, both ends included, each judged as by `report`.
	// Without a range they are those of 13 months up to today.
	Days(ctx context.Context, from, to messages.Day) (Days, error)
	// Day compares the source's listing, the ledger and the destination of one day.
	Day(ctx context.Context, day messages.Day) (DayPage, error)
	// Files are those that a filter chooses, those that changed last first.
	Files(ctx context.Context, f Filter) (FilesPage, error)
	// File tells all that is known of one file, by its object or file name.
	File(ctx context.Context, name string) (FilePage, error)
	// Charts tell how much came and went in a time that ends now.
	Charts(ctx context.Context, w Window) (Charts, error)
	// Trail is what operators did, the newest first.
	Trail(ctx context.Context) (Trail, error)
	// Jobs are the actions that were ordered here since the start of the process, the
	// newest first; at most 50 are kept.
	Jobs(ctx context.Context) ([]Job, error)
}

// A Summary is the route at a glance.
type Summary struct {
	At      time.Time `json:"at"`
	Verdict Verdict   `json:"verdict"`
	Numbers Numbers   `json:"numbers"`
	Agent   Process   `json:"agent"`
	// Paused says who holds the queue back and why; nil while nobody does.
	Paused *messages.Pause `json:"paused,omitempty"`
	// LastScan is nil before the first one has ended.
	LastScan     *agent.Scan            `json:"last_scan,omitempty"`
	NextScan     time.Time              `json:"next_scan,omitzero"`
	InProgress   []Transfer             `json:"in_progress"`
	Failed       []Cause                `json:"failed"` // those with the most files first
	Recent       []FileRow              `json:"recent"` // the last ten that changed
	Workers      []Worker               `json:"workers"`
	Dependencies []Check                `json:"dependencies"`
	Verification *messages.Verification `json:"verification,omitempty"`
	Notes        []string               `json:"notes"` // what of this is not known, and why
}

// A Verdict says in one sentence how the route stands.
type Verdict struct {
	State    VerdictState `json:"state"`
	Sentence string       `json:"sentence"`
	// Remedy is what to do; empty where nothing is.
	Remedy string `json:"remedy,omitempty"`
	// Since is when it came into this state, as far as the process has seen it.
	Since time.Time `json:"since,omitzero"`
}

// A VerdictState is a verdict in one word.
type VerdictState string

// The verdicts, worst first.
const (
	IsFailing  VerdictState = "failing"  // something does not work, or files are given up
	IsPaused   VerdictState = "paused"   // an operator holds the queue back
	IsBehind   VerdictState = "behind"   // files have been waiting for long, or days are not complete
	IsStarting VerdictState = "starting" // no scan has ended yet
	IsWorking  VerdictState = "working"  // files are on their way
	IsCurrent  VerdictState = "up-to-date"
)

// Numbers count what a route is made of.
type Numbers struct {
	Waiting  uint64 `json:"waiting"`  // in the queue, backfill left out
	Backfill uint64 `json:"backfill"` // in the queue of backfills
	// Undelivered are those that wait, are being copied, or are tried again later; Oldest is
	// since when the one is queued that is queued longest, and zero where there is none.
	Undelivered uint64    `json:"undelivered"`
	Oldest      time.Time `json:"oldest_waiting,omitzero"`
	Copying     int       `json:"copying"` // on all hosts
	// Today are those delivered since midnight UTC, and their bytes.
	Today      int   `json:"delivered_today"`
	TodayBytes int64 `json:"delivered_today_bytes"`
	Failed     int   `json:"failed"`
	// DeadLetters are histories: they stay when a file was copied later.
	DeadLetters uint64 `json:"dead_letters"`
	Discarded   int    `json:"discarded"`
	Files       int    `json:"files"` // that are known
	// Delay is the time from the appearance of a file at the source to its delivery that
	// 95 of 100 files delivered in the last 24 hours did not exceed, in seconds; zero where
	// there was none.
	Delay float64 `json:"delay_p95_seconds"`
	// Days count the report days of the calendar by state.
	Days map[report.State]int `json:"report_days"`
	// Newest is the last report day that is complete; empty where none is.
	Newest messages.Day `json:"newest_complete_day,omitempty"`
}

// Process is the process that answers.
type Process struct {
	Role        string    `json:"role"`
	Version     string    `json:"version"`
	Revision    string    `json:"revision,omitempty"`
	Instance    string    `json:"instance"` // host/pid
	Started     time.Time `json:"started"`
	Route       string    `json:"route"`
	Source      string    `json:"source"`
	Destination string    `json:"destination"`
	// Since is the first report day that the installation is responsible for, Ranges days
	// before it that backfills made it responsible for, too.
	Since  messages.Day     `json:"since,omitempty"`
	Ranges []messages.Range `json:"ranges,omitempty"`
	// ConfigFile is where its configuration was read; empty where all is from variables.
	ConfigFile string `json:"config_file,omitempty"`
	// ReadOnly: actions are refused.
	ReadOnly bool `json:"read_only"`
}

// A Transfer is one file on its way.
type Transfer struct {
	agent.Transfer
	Worker string `json:"worker"` // host/pid
	// Rate is in bytes per second since it began, Left how many seconds it is likely to
	// take from now on; both zero where nothing came yet.
	Rate float64 `json:"rate"`
	Left float64 `json:"left_seconds"`
	// Percent is 0 to 100.
	Percent int `json:"percent"`
}

// A Cause groups the files that were given up for one reason.
type Cause struct {
	Class   messages.Class `json:"class"`
	Meaning string         `json:"meaning"`
	Remedy  string         `json:"remedy"`
	Count   int            `json:"count"`
	Bytes   int64          `json:"bytes"`
	First   time.Time      `json:"first"`
	Last    time.Time      `json:"last"`
	// Files are the first few, by name.
	Files []FileRow `json:"files"`
}

// A Worker is one process of the product, on any host.
type Worker struct {
	Role     string    `json:"role"`
	Instance string    `json:"instance"` // host/pid
	Version  string    `json:"version"`
	Started  time.Time `json:"started"`
	Ready    bool      `json:"ready"`
	Problem  string    `json:"problem,omitempty"`
	Copying  int       `json:"copying"`
	// Delivered and DeliveredBytes are of the last 24 hours.
	Delivered      int       `json:"delivered_24h"`
	DeliveredBytes int64     `json:"delivered_24h_bytes"`
	LastSuccess    time.Time `json:"last_success,omitzero"`
	// Heard is when it last answered; Stale tells that it does not any more.
	Heard time.Time `json:"heard"`
	Stale bool      `json:"stale"`
	// Skew tells that its version is another than that of the process that answers.
	Skew bool `json:"version_skew"`
	Self bool `json:"self"` // it is the process that answers
}

// Days are report days, each as `report` would show it.
type Days struct {
	From messages.Day `json:"from"`
	To   messages.Day `json:"to"`
	// Read is how far the evidence was read: false while it is read for the first time.
	Read bool `json:"read"`
	// At is when the oldest of the evidence was read, Age the seconds since then.
	At  time.Time `json:"at,omitzero"`
	Age float64   `json:"age_seconds"`
	// Basis and Notes are those of a report: what it is made from, what to know first.
	Basis  string               `json:"basis"`
	Notes  []string             `json:"notes"`
	States map[report.State]int `json:"states"`
	Days   []report.Day         `json:"days"` // oldest first, without a gap
}

// A DayPage is one report day on all three sides.
type DayPage struct {
	Day report.Day `json:"report_day"`
	// At is when the sides were looked at.
	At  time.Time `json:"at"`
	Age float64   `json:"age_seconds"`
	// Destination is how the destination was looked at: head, list or unreadable.
	Destination string `json:"destination"`
	// Problem says why the sides could not be compared; Files are then those of the ledger.
	Problem string    `json:"problem,omitempty"`
	Differ  int       `json:"differ"` // how many files are not as they should be
	Files   []DayFile `json:"files"`  // by name; at most 2,000
	More    int       `json:"more_files,omitempty"`
	// Previous and Next are the days beside it.
	Previous messages.Day `json:"previous"`
	Next     messages.Day `json:"next"`
	// Commands are what an operator can type about the day.
	Commands []string `json:"commands"`
}

// A DayFile is one file on all three sides; a side that does not have it is nil.
type DayFile struct {
	Object string `json:"object,omitempty"`
	Name   string `json:"name"` // without the path
	Key    string `json:"key"`
	// Mark is that of `verify`: = equal, ~ not due yet, + missing, - only there, * different,
	// ! not looked at.
	Mark   string `json:"mark"`
	Result string `json:"result"` // the mark in a word
	Why    string `json:"why,omitempty"`

	Source      *messages.Object `json:"source,omitempty"`
	Ledger      *LedgerSide      `json:"ledger,omitempty"`
	Destination *Stored          `json:"destination,omitempty"`
}

// A LedgerSide is what the ledger says of a file.
type LedgerSide struct {
	Status   messages.Status `json:"status"`
	At       time.Time       `json:"at"`
	Size     int64           `json:"size"`
	ETag     string          `json:"etag,omitempty"` // of the source's version
	CRC32C   string          `json:"crc32c,omitempty"`
	Verified string          `json:"verified,omitempty"`
	Class    messages.Class  `json:"class,omitempty"`
	Error    string          `json:"error,omitempty"`
	Attempts int             `json:"attempts,omitempty"`
}

// A Stored is what the destination tells of an object; all but Size may be empty.
type Stored struct {
	Size       int64  `json:"size"`
	ETag       string `json:"etag,omitempty"`
	CRC32C     string `json:"crc32c,omitempty"`
	SourceETag string `json:"source_etag,omitempty"` // noted with the object when it was sent
}

// A FileState is how a file stands, in one word.
type FileState string

// The states of files.
const (
	FileWaiting   FileState = "waiting" // queued, or to be queued
	FileCopying   FileState = "copying"
	FileRetrying  FileState = "retrying" // at least one attempt failed, and it is tried again
	FileFailed    FileState = "failed"   // given up
	FileCopied    FileState = "copied"
	FileDiscarded FileState = "discarded" // an operator gave it up
	FileGone      FileState = "gone"      // the source no longer has it
)

// FileStates are all of them, in the order of a list to choose from.
func FileStates() []FileState {
	return []FileState{FileCopying, FileWaiting, FileRetrying, FileFailed, FileCopied, FileDiscarded, FileGone}
}

// A Filter chooses files. The zero value is all of them. Its tags are the names of the
// parameters in a URL.
type Filter struct {
	State FileState      `json:"state,omitempty"`
	Day   messages.Day   `json:"day,omitempty"`
	Cause messages.Class `json:"cause,omitempty"`
	// Text is a part of the object's name, in any case of letters.
	Text string `json:"text,omitempty"`
	// After is the Next of the page before; empty for the first page.
	After string `json:"after,omitempty"`
	// Limit is how many files a page has; 0 for 50, at most 200.
	Limit int `json:"limit,omitempty"`
}

// A FileRow is one file in a list.
type FileRow struct {
	Object string         `json:"object"`
	Name   string         `json:"name"` // without the path
	Day    messages.Day   `json:"day"`
	State  FileState      `json:"state"`
	Size   int64          `json:"size"`
	At     time.Time      `json:"at"` // of its last change
	Class  messages.Class `json:"class,omitempty"`
	// Error and Attempts are of files that failed or are being tried again.
	Error    string `json:"error,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
}

// A FilesPage is a part of the files that a filter chose.
type FilesPage struct {
	Files []FileRow `json:"files"`
	// Next is After of the next page; empty at the end.
	Next string `json:"next,omitempty"`
	// Total is how many files the filter chose, Known how many there are.
	Total int `json:"total"`
	Known int `json:"known"`
	// Read is false while the ledger is read for the first time: then these are not all.
	Read bool `json:"read"`
}

// A FilePage is all that is known of one file.
type FilePage struct {
	FileRow
	Key string `json:"key,omitempty"` // at the destination
	// LedgerKey is the key of Record in the ledger.
	LedgerKey string          `json:"ledger_key"`
	Record    messages.Record `json:"record"`
	// Meaning and Remedy explain the class of a failure.
	Meaning string `json:"meaning,omitempty"`
	Remedy  string `json:"remedy,omitempty"`
	// Letter is the last dead letter; it stays when the file was copied later.
	Letter *messages.DeadLetter `json:"dead_letter,omitempty"`
	// Progress is set while the file is being copied.
	Progress *Transfer `json:"progress,omitempty"`
	Timeline []Moment  `json:"timeline"` // oldest first
	// Commands are what an operator can type about the file.
	Commands []string `json:"commands"`
	// Others are objects of the same file name, of other days.
	Others []string `json:"others"`
}

// A Moment is one line in the life of a file.
type Moment struct {
	At time.Time `json:"at"`
	// What is one of appeared, first-failed, attempt, failed, copied, replaced,
	// dead-letter, operator, ordered, gone, discarded.
	What string `json:"what"`
	Text string `json:"text"`
	Who  string `json:"who,omitempty"` // a worker or an operator
}

// A Window is a length of time that charts tell of.
type Window string

// The windows.
const (
	LastHour  Window = "1h"
	LastDay   Window = "24h"
	LastWeek  Window = "7d"
	LastMonth Window = "30d"
)

// Windows are all of them, shortest first.
func Windows() []Window { return []Window{LastHour, LastDay, LastWeek, LastMonth} }

// Charts tell how much came and went, in equal steps. What was delivered follows from
// the ledger, whichever host did it; a file that was delivered twice counts where it was
// delivered last. How many were waiting is seen by this process alone.
type Charts struct {
	Window Window    `json:"window"`
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Step   float64   `json:"step_seconds"`
	// Appeared are the files by when the source had them, Delivered by when they came to
	// the destination.
	Appeared  []Point `json:"appeared"`
	Delivered []Point `json:"delivered"`
	// Backlog is how many files waited, and Since from when on that is known.
	Backlog []Sample  `json:"backlog"`
	Since   time.Time `json:"backlog_since"`
	// Read is false while the ledger is read for the first time: then more will be known.
	Read bool `json:"read"`
}

// A Point is what happened in the step that began At.
type Point struct {
	At    time.Time `json:"at"`
	Files int       `json:"files"`
	Bytes int64     `json:"bytes"`
}

// A Sample is what waited in the queue.
type Sample struct {
	At       time.Time `json:"at"`
	Waiting  uint64    `json:"waiting"`
	Backfill uint64    `json:"backfill"`
}

// A Trail is what operators did.
type Trail struct {
	Actions []messages.Action `json:"actions"`
	// Unreadable counts records that nobody can read any more.
	Unreadable int `json:"unreadable,omitempty"`
}
