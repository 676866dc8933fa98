// Package agent is what a running agent knows of itself and how others on the
// same host ask it: its status, and requests over a Unix socket. It holds
// nothing that a restart would miss; the ledger is the memory.
package agent

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// Status is what the agent tells of itself. It is also the status file.
type Status struct {
	Running bool      `json:"running"`
	Phase   Phase     `json:"phase"`
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started,omitzero"`
	At      time.Time `json:"at,omitzero"`
	// Role is scanner, copier or agent, which is both in one process.
	Role string `json:"role"`
	// Instance is host/pid, as in the records of the ledger.
	Instance    string `json:"instance"`
	Route       string `json:"route"`
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Ready is false while nothing can be copied; Problem says why.
	Ready   bool   `json:"ready"`
	Problem string `json:"problem,omitempty"`
	// Paused says who holds the queue back and why; nil while nobody does. The agent is
	// ready all the same, and scans.
	Paused *messages.Pause `json:"paused,omitempty"`
	// Since is the first report day that the agent is responsible for.
	Since messages.Day `json:"since,omitempty"`
	// Ranges are days before Since that backfills made it responsible for, too.
	Ranges []messages.Range `json:"ranges,omitempty"`
	// SinceSet tells that the operator chose that day.
	SinceSet bool      `json:"since_set"`
	LastScan *Scan     `json:"last_scan,omitempty"`
	NextScan time.Time `json:"next_scan,omitzero"`
	// Expiring is how many reports are not delivered and will soon be deleted at the
	// source, as the last scan of all days found them; ExpiringOldest is since when the
	// source has the oldest.
	Expiring       int       `json:"expiring,omitempty"`
	ExpiringOldest time.Time `json:"expiring_oldest,omitzero"`
	// LastSuccess is the end of the last complete scan.
	LastSuccess time.Time  `json:"last_success,omitzero"`
	InFlight    []Transfer `json:"in_flight"`
	// AtWork is how many files are held, those in flight and those whose source is still
	// being opened.
	AtWork     int       `json:"at_work"`
	LastCopied *Transfer `json:"last_copied,omitempty"`
	// ReportDays is how the days of the last complete scan stand.
	ReportDays *ReportDays `json:"report_days,omitempty"`
	// Newest is the report of the latest day that is known to be at the destination.
	Newest *Delivered       `json:"newest_delivered,omitempty"`
	Queue  Queue            `json:"queue"`
	Totals Totals           `json:"totals"`
	Recent Totals           `json:"last_24h"` // of Totals
	Gate   copier.GateState `json:"gate"`
	// Verification is the last comparison of source, ledger and destination, whoever made it.
	Verification *messages.Verification `json:"verification,omitempty"`
}

// A Phase is a part of the life of an agent.
type Phase string

// The phases. An agent that starts may wait for its queue; one that stops finishes
// the copies in flight.
const (
	Starting Phase = "starting"
	Working  Phase = "running"
	Stopping Phase = "stopping"
	Stopped  Phase = "stopped"
)

// A Delivered is a report at the destination.
type Delivered struct {
	Day    messages.Day `json:"day"`
	Object string       `json:"object"`
	Key    string       `json:"key"`
	At     time.Time    `json:"at"`
}

// after tells whether d is newer than o: of a later day, or of the same day and
// delivered later.
func (d Delivered) after(o *Delivered) bool {
	return o == nil || d.Day > o.Day || d.Day == o.Day && d.At.After(o.At)
}

// ReportDays counts the report days from one on up to today, by state.
type ReportDays struct {
	From   messages.Day   `json:"from"`
	States map[string]int `json:"states"`
	// Filling is how many of the partial days lack nothing yet: their files still come, or
	// were found by this scan and are on their way.
	Filling int `json:"filling"`
}

// Scan is how the last scan went.
type Scan struct {
	scanner.Stats
	Error string `json:"error,omitempty"`
}

// Queue counts what the broker holds.
type Queue struct {
	Live        uint64 `json:"live"`
	Backfill    uint64 `json:"backfill"`
	InFlight    int    `json:"in_flight"`
	DeadLetters uint64 `json:"dead_letters"`
	// Leader is the server of a cluster that keeps the queue, and Lagging are those of
	// its replicas that are away or behind.
	Leader  string   `json:"leader,omitempty"`
	Lagging []string `json:"lagging,omitempty"`
	Error   string   `json:"error,omitempty"`
}

// A Transfer is one file on its way or at its end.
type Transfer struct {
	Object  string    `json:"object"`
	Key     string    `json:"key"`
	Size    int64     `json:"size"`
	Bytes   int64     `json:"bytes"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended,omitzero"`
}

// Totals count since the start of the process.
type Totals struct {
	Transferred int   `json:"transferred"`
	Adopted     int   `json:"adopted"`
	Recorded    int   `json:"recorded"`
	Retried     int   `json:"retried"`
	Failed      int   `json:"failed"`
	Bytes       int64 `json:"bytes"`
	Scans       int   `json:"scans"`
	ScansFailed int   `json:"scans_failed"`
}

func (t *Totals) add(o Totals) {
	t.Transferred += o.Transferred
	t.Adopted += o.Adopted
	t.Recorded += o.Recorded
	t.Retried += o.Retried
	t.Failed += o.Failed
	t.Bytes += o.Bytes
	t.Scans += o.Scans
	t.ScansFailed += o.ScansFailed
}

// An hour is what happened in one hour since the Unix epoch.
type hour struct {
	number int64
	Totals
}

func thisHour() int64 { return time.Now().Unix() / 3600 }

// A Board gathers the status from what happens. It is safe for concurrent use.
type Board struct {
	mu     sync.Mutex
	status Status
	flight map[string]Transfer
	hours  [24]hour // this one and the 23 before, each at its number modulo 24
}

// count adds to the totals since the start and to those of this hour.
func (b *Board) count(t Totals) {
	b.status.Totals.add(t)
	now := thisHour()
	h := &b.hours[now%24]
	if h.number != now {
		*h = hour{number: now}
	}
	h.add(t)
}

func (b *Board) recent() (sum Totals) {
	now := thisHour()
	for _, h := range b.hours {
		if h.number > now-24 {
			sum.add(h.Totals)
		}
	}
	return sum
}

// NewBoard starts with what is known at the start.
func NewBoard(s Status) *Board {
	s.Running, s.Phase, s.Started = true, Working, time.Now().UTC()
	return &Board{status: s, flight: map[string]Transfer{}}
}

// Copier takes an event of the copier.
func (b *Board) Copier(e copier.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := e.Object.Name
	switch e.Kind {
	case copier.Started:
		b.flight[name] = Transfer{Object: name, Key: e.Report.Key, Size: e.Object.Size, Started: time.Now().UTC()}
		return
	case copier.Progress:
		t := b.flight[name]
		t.Bytes += e.Bytes
		b.flight[name] = t
		return
	case copier.Finished:
		b.finished(e)
	case copier.Retrying, copier.Held:
		b.count(Totals{Retried: 1})
	case copier.Died:
		b.count(Totals{Failed: 1})
	}
	delete(b.flight, name)
}

func (b *Board) finished(e copier.Event) {
	t := b.flight[e.Object.Name]
	t.Object, t.Key, t.Size, t.Ended = e.Object.Name, e.Report.Key, e.Object.Size, time.Now().UTC()
	switch e.Record.Copy.How {
	case messages.HowAdopted:
		b.count(Totals{Adopted: 1})
	case messages.HowRecorded:
		b.count(Totals{Recorded: 1})
	default:
		b.count(Totals{Transferred: 1, Bytes: e.Object.Size})
		b.status.LastCopied = &t
	}
	b.delivered(e.Report.Day, e.Object.Name, e.Report.Key, t.Ended)
}

func (b *Board) delivered(day messages.Day, object, key string, at time.Time) {
	if d := (Delivered{day, object, key, at}); d.after(b.status.Newest) {
		b.status.Newest = &d
	}
}

// Found takes what a scan found of one object.
func (b *Board) Found(o scanner.Outcome) {
	if r := o.Record; o.Finding == scanner.Done && r.Status == messages.StatusCopied && r.Copy != nil {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.delivered(o.Report.Day, o.Object.Name, r.Copy.Key, r.Copy.At)
	}
}

// Scanned takes the end of a scan and when the next one is due.
func (b *Board) Scanned(st scanner.Stats, err error, next time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Scan{Stats: st}
	if err != nil {
		b.count(Totals{ScansFailed: 1})
		s.Error = err.Error()
	} else {
		b.count(Totals{Scans: 1})
		b.status.LastSuccess = time.Now().UTC()
		if st.Sweep { // the others do not see days so old
			b.status.Expiring, b.status.ExpiringOldest = st.Expiring, st.Oldest
		}
	}
	b.status.LastScan, b.status.NextScan = &s, next.UTC()
}

// Days takes how the report days stand; nil: that is not known anew.
func (b *Board) Days(d *ReportDays) {
	if d == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.ReportDays = d
}

// Gate takes a change of the copier's gate.
func (b *Board) Gate(g copier.GateState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Gate = g
}

// Verified takes the last comparison of source, ledger and destination.
func (b *Board) Verified(v messages.Verification) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Verification = &v
}

// Responsible takes the report days that the agent is responsible for.
func (b *Board) Responsible(since messages.Day, ranges []messages.Range) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Since, b.status.Ranges = since, ranges
}

// Paused takes that the route was paused or, by nil, resumed, and reports whether that
// is news.
func (b *Board) Paused(p *messages.Pause) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	was := b.status.Paused
	b.status.Paused = p
	return (was == nil) != (p == nil) || p != nil && *was != *p
}

// Stop takes the begin of the end.
func (b *Board) Stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Phase = Stopping
}

// Status returns a copy of what is known now.
func (b *Board) Status() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	s.At, s.Recent = time.Now().UTC(), b.recent()
	s.InFlight = slices.AppendSeq([]Transfer{}, maps.Values(b.flight))
	slices.SortFunc(s.InFlight, func(x, y Transfer) int { return strings.Compare(x.Object, y.Object) })
	s.Ready, s.Problem = true, ""
	switch {
	case s.Phase == Stopping:
		s.Ready, s.Problem = false, "it was told to stop and finishes what is in flight"
	case s.Gate.Open:
		s.Ready, s.Problem = false, "the "+string(s.Gate.Side)+" fails for every file ("+string(s.Gate.Class)+")"
		if s.Gate.Err != nil {
			s.Problem += ": " + s.Gate.Err.Error()
		}
	case s.LastScan != nil && s.LastScan.Error != "":
		s.Ready, s.Problem = false, s.LastScan.Error
	}
	return s
}

// Problem is the error of the queue, or nil.
func (q Queue) Problem() error {
	if q.Error == "" {
		return nil
	}
	return errors.New(q.Error)
}
