package chaos

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A Kind says what an Event is.
type Kind string

// The kinds. Those of the queue and the ledger are what a process and the server said
// to each other, at the moment at which it passed the proxy between them: what was
// never said is not in the history, and what was said and perhaps not heard is in it as
// what it is, a request without an answer.
const (
	Edited  Kind = "edited"  // the source: a version was added
	Deleted Kind = "deleted" // the source: the name is gone

	Published Kind = "published" // a scanner asked to queue a file
	Queued    Kind = "queued"    // the server has it
	Delivered Kind = "delivered" // a copier was handed a message
	Renewed   Kind = "renewed"   // a copier asked to keep a message, and may; at the time of the question
	Settled   Kind = "settled"   // a copier sent +ACK, -NAK or +TERM
	Wrote     Kind = "wrote"     // the ledger was asked to take a record
	Written   Kind = "written"   // the server has it
	Refused   Kind = "refused"   // the server has not: somebody else was first, or the queue has the file
	Read      Kind = "read"      // the server showed a record
	Buried    Kind = "buried"    // the server has a dead letter

	Noted Kind = "noted" // a copier noted an upload in the ledger

	Commit Kind = "commit" // bytes became visible at the destination

	Began  Kind = "began"  // a process was started
	Ended  Kind = "ended"  // a process is gone
	Fault  Kind = "fault"  // a fault begins
	Healed Kind = "healed" // and ends
)

// An Event is one thing that happened.
type Event struct {
	At      time.Time `json:"at"`
	Kind    Kind      `json:"kind"`
	Process string    `json:"process,omitempty"` // whose doing it is
	Object  string    `json:"object,omitempty"`  // name at the source
	ETag    string    `json:"etag,omitempty"`    // of the source's version
	// Status is that of a record, or the word of a settlement.
	Status string `json:"status,omitempty"`
	Number uint64 `json:"number,omitempty"` // of deliveries, of the ledger's revision, or of the message in the queue
	Text   string `json:"text,omitempty"`
}

// A Version is what a name of the source was from some moment on.
type Version struct {
	Name string
	ETag string
	// Key is where it belongs at the destination; empty for what is no report.
	Key    string
	Number int // from 1, for each name
	Size   int64
	CRC32C string // of its bytes, whatever the bucket declares
	At     time.Time
	// Lies: the bucket declares a checksum that the bytes do not have, so that the file
	// has to be given up.
	Lies bool
}

// A History is all that is known of a run, in the order in which it became known.
type History struct {
	started time.Time

	mu       sync.Mutex
	events   []Event
	versions map[string][]Version // by name, in their order
	deleted  map[string]bool      // names that the source does not have now
}

func newHistory() *History {
	return &History{started: time.Now(), versions: map[string][]Version{}, deleted: map[string]bool{}}
}

// note adds an event; its time is now, if it has none.
func (h *History) note(e Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.At.IsZero() {
		e.At = time.Now()
	}
	h.events = append(h.events, e)
}

func (h *History) edited(v Version) Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	v.Number, v.At = len(h.versions[v.Name])+1, time.Now()
	h.versions[v.Name] = append(h.versions[v.Name], v)
	delete(h.deleted, v.Name)
	h.events = append(h.events, Event{At: v.At, Kind: Edited, Object: v.Name, ETag: v.ETag,
		Text: fmt.Sprintf("version %d, %d bytes, %s", v.Number, v.Size, v.CRC32C)})
	return v
}

func (h *History) removed(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.deleted[name] = true
	h.events = append(h.events, Event{At: time.Now(), Kind: Deleted, Object: name})
}

// Events are all so far, in the order of their times.
func (h *History) Events() []Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.events)
}

// Versions are those of every name, in their order.
func (h *History) Versions() map[string][]Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make(map[string][]Version, len(h.versions))
	for name, versions := range h.versions {
		all[name] = slices.Clone(versions)
	}
	return all
}

// Present are the newest versions of what the source has now.
func (h *History) Present() map[string]Version {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]Version{}
	for name, versions := range h.versions {
		if !h.deleted[name] {
			all[name] = versions[len(versions)-1]
		}
	}
	return all
}

// merged are all events with the commits of the destination between them.
func (w *World) merged() []Event {
	events := w.History.Events()
	for _, c := range w.Sim.S3.History() {
		events = append(events, w.commitEvent(c))
	}
	slices.SortStableFunc(events, func(a, b Event) int { return a.At.Compare(b.At) })
	return events
}

func (w *World) commitEvent(c simulator.Commit) Event {
	return Event{At: c.Time, Kind: Commit, Process: w.owner(c.AccessKey), Object: w.nameOf(c.Key), ETag: c.Metadata["oci-etag"],
		Text: fmt.Sprintf("version %d of %s, %d bytes, %s, by %s", c.Version, c.Key, c.Size, c.CRC32C, c.How)}
}

// Timeline is what happened to one object, and what happened to everybody meanwhile. What
// a scanner sees and asks for at each scan stands there once.
func (w *World) Timeline(object string) string {
	var b strings.Builder
	last := map[Kind]Event{}
	for _, e := range w.merged() {
		if e.Object != object && e.Object != "" {
			continue
		}
		if strings.HasPrefix(e.Process, "scanner") && e.Object != "" {
			l := last[e.Kind]
			if last[e.Kind] = e; l.ETag == e.ETag && l.Status == e.Status && l.Number == e.Number {
				continue
			}
		}
		fmt.Fprintf(&b, "%9.3f  %s\n", e.At.Sub(w.History.started).Seconds(), e)
	}
	return b.String()
}

func (e Event) String() string {
	words := []string{fmt.Sprintf("%-9s", e.Kind)}
	if e.Process != "" {
		words = append(words, e.Process)
	}
	if e.ETag != "" {
		words = append(words, "etag "+e.ETag[:min(8, len(e.ETag))])
	}
	if e.Status != "" {
		words = append(words, e.Status)
	}
	if e.Number > 0 {
		words = append(words, fmt.Sprintf("#%d", e.Number))
	}
	if e.Text != "" {
		words = append(words, e.Text)
	}
	return strings.Join(words, " ")
}

// writeHistory keeps all events as lines of JSON.
func (w *World) writeHistory() (path string, err error) {
	path = filepath.Join(w.options.Dir, "history.jsonl")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	buffer := bufio.NewWriter(f)
	lines := json.NewEncoder(buffer)
	for _, e := range w.merged() {
		if err := lines.Encode(e); err != nil {
			return "", err
		}
	}
	return path, buffer.Flush()
}

// nameOf is the object of a key; empty for a key that belongs to none.
func (w *World) nameOf(key string) string {
	rest, ok := strings.CutPrefix(key, w.Rules.KeyPrefix)
	if !ok {
		return ""
	}
	day, base, ok := w.Rules.Naming.Parse(rest)
	if !ok {
		return ""
	}
	return w.Rules.Prefix + day.Folder() + base
}

// keyOf is where a name belongs; empty for what is no report.
func keyOf(rules messages.Rules, name string) string {
	r, err := rules.Report(messages.Object{Name: name})
	if err != nil {
		return ""
	}
	return r.Key
}
