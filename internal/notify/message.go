package notify

import (
	"encoding/json"
	"strings"
	"time"

	"oracle-focus-agent/internal/network"
)

// A Condition is something that can fail, by its name in messages.
type Condition string

// The conditions.
const (
	Scan        Condition = "scan"         // the source cannot be listed
	Source      Condition = "source"       // every file fails to be read
	Destination Condition = "destination"  // every file fails to be written
	Queue       Condition = "queue"        // NATS does not answer
	DeadLetters Condition = "dead_letters" // files were given up
)

// An Event is what a message tells of its condition.
type Event string

// The events.
const (
	Failed    Event = "failure"
	Recovered Event = "recovery"
	Tested    Event = "test"
)

// A Failure is the begin of a condition.
type Failure struct {
	Condition Condition
	Class     string // of the error
	// Text says what fails, Remedy what to do about it; one line each.
	Text, Remedy string
	// Since is when it began; zero is now.
	Since time.Time
	// After is how long it must last before it is told, and its end likewise, so
	// that what comes and goes is told once or not at all.
	After time.Duration
	// Again tells it although the condition stands: there is more of it.
	Again bool
}

// A Message is the body of a request to the webhook. Its shape is stable: fields
// may be added, and none goes or changes its meaning.
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
}

func (m Message) encode() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // unreachable: texts and times
	}
	return b
}

// plain makes a text of others safe to show: on one line, and without the
// brackets by which chat systems mark links and calls for everybody.
func plain(s string) string {
	return strings.NewReplacer("<", "‹", ">", "›").Replace(network.OneLine(s))
}

// words are the text of a message, for people.
func (m Message) words(what string) string {
	what = strings.TrimRight(plain(what), ".")
	head := "oracle-focus-agent " + strings.ToUpper(string(m.Event)) + ", route " + m.Route + ", " + m.Instance + ": " + what
	switch {
	case m.Event == Tested:
		return head + "."
	case m.Event == Recovered:
		return head + ". It failed from " + stamp(m.Since) + " to " + stamp(m.At) + "."
	case m.Remedy == "":
		return head + ", since " + stamp(m.Since) + "."
	}
	return head + ", since " + stamp(m.Since) + ". What to do: " + strings.TrimRight(m.Remedy, ".") + "."
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
