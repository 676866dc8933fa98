package notify

import (
	"fmt"
	"strings"
	"time"

	"oracle-focus-agent/internal/network"
)

// A Condition is what a message is about, by its name in messages.
type Condition string

// The conditions. Changed and Digest have no end: they are told, and that is all.
const (
	Scan        Condition = "scan"         // the source cannot be listed
	Source      Condition = "source"       // every file fails to be read
	Destination Condition = "destination"  // every file fails to be written
	Queue       Condition = "queue"        // NATS does not answer
	DeadLetters Condition = "dead_letters" // files were given up
	Held        Condition = "held"         // delivered files have other bytes, and wait for a decision
	Expiring    Condition = "expiring"     // files that are not delivered will soon be gone from the source
	Changed     Condition = "changed"      // delivered files had other bytes and were replaced
	Digest      Condition = "digest"       // how a day went
)

// An Event is what a message tells of its condition.
type Event string

// The events.
const (
	Failed    Event = "failure"
	Recovered Event = "recovery"
	Noticed   Event = "notice"
	Digested  Event = "digest"
	Tested    Event = "test"
)

// maxFiles is how many files a message names, and how many details it has of files.
const maxFiles = 5

// A Failure is the begin of a condition.
type Failure struct {
	Condition Condition
	// Cause keeps apart failures of one condition that begin and end by themselves;
	// may be empty.
	Cause string
	Class string // of the error
	// Text says what fails, Remedy what to do about it; one line each.
	Text, Remedy string
	// Files are those that it is about, Count how many.
	Files []string
	Count int
	// Since is when it began; zero is now.
	Since time.Time
	// After is how long it must last before it is told, and its end likewise, so
	// that what comes and goes is told once or not at all.
	After time.Duration
	// Again tells it although the condition stands: there is more of it.
	Again bool
}

// A Notice is what happened to one file, and has no end.
type Notice struct {
	Condition Condition
	Class     string
	// One says it where it happened to one file, Many where to more, with %d for how many.
	One, Many string
	File      string
	Detail    string // what else there is to say of this file, in one line
	Remedy    string
	// After is for how long others of the same condition join the message of the first.
	After time.Duration
}

// A Message is the body of a request to the webhook, and what the other channels
// are made from. Its shape is stable: fields may be added, and none goes or changes
// its meaning.
type Message struct {
	Event     Event     `json:"event"`
	Condition Condition `json:"condition"`
	Class     string    `json:"class"`
	// Text is all of it in words, for people: chat systems show this field.
	Text     string `json:"text"`
	Remedy   string `json:"remedy"`
	Route    string `json:"route"`
	Instance string `json:"instance"`
	// Since is when the failure began, At when that or its end was noticed.
	Since   time.Time `json:"since"`
	At      time.Time `json:"at"`
	Version string    `json:"version"`
	// Count is how many files it is about, Files the names of the first of them.
	Count int      `json:"count"`
	Files []string `json:"files"`
	// Details are further facts, one line each.
	Details []string `json:"details"`

	what string // the statement of Text
}

// plain makes a text of others safe to show: on one line, and without the
// brackets by which chat systems mark links and calls for everybody.
func plain(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›").Replace(network.OneLine(s))
}

// say completes a message that states what.
func (m *Message) say(what string) {
	m.what = strings.TrimRight(plain(what), ".")
	if m.Files == nil {
		m.Files = []string{}
	}
	if m.Details == nil {
		m.Details = []string{}
	}
	m.Text = "oracle-focus-agent " + strings.ToUpper(string(m.Event)) + ", route " + m.Route + ", " + m.Instance + ": " + m.statement() + m.times() + "."
	for _, d := range m.Details {
		m.Text += " " + d + "."
	}
	if m.Remedy != "" {
		m.Text += " What to do: " + m.todo()
	}
}

// statement says what is the case, with the files in the same line.
func (m *Message) statement() string {
	if len(m.Files) == 0 {
		return m.what
	}
	return m.what + ": " + strings.Join(m.Files, ", ") + m.more(" and %d more")
}

// more tells of files that are not named.
func (m *Message) more(format string) string {
	if n := m.Count - len(m.Files); n > 0 {
		return fmt.Sprintf(format, n)
	}
	return ""
}

func (m *Message) times() string {
	switch m.Event {
	case Failed:
		return ", since " + stamp(m.Since)
	case Recovered:
		return ". It failed from " + stamp(m.Since) + " to " + stamp(m.At)
	}
	return ""
}

func (m *Message) todo() string { return strings.TrimRight(m.Remedy, ".") + "." }

// headline is the message in a few words.
func (m *Message) headline() string {
	return "oracle-focus-agent " + strings.ToUpper(string(m.Event)) + ", route " + m.Route + ": " + string(m.Condition)
}

// lines are the whole message where there is room for more than one line.
func (m *Message) lines() []string {
	lines := []string{m.what + m.times() + "."}
	for _, f := range m.Files {
		lines = append(lines, "• "+f)
	}
	if more := m.more("and %d more"); more != "" {
		lines = append(lines, more)
	}
	lines = append(lines, m.Details...)
	if m.Remedy != "" {
		lines = append(lines, "What to do: "+m.todo())
	}
	return append(lines, "("+m.Instance+", version "+m.Version+")")
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
