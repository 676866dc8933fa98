package chaos

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/messages"
)

// A wire reads what one process and the NATS server say to each other, and writes into
// the history what of it is about files.
type wire struct {
	world   *World
	process string
}

func newWire(w *World, process string) *wire { return &wire{w, process} }

// A line is one connection of it. Questions wait here for their answers.
type line struct {
	*wire
	toServer, toClient parser

	mu    sync.Mutex
	asked map[string]Event // by the subject of the answer
}

func (w *wire) connection() *line {
	l := &line{wire: w, asked: map[string]Event{}}
	l.toServer.message, l.toClient.message = l.question, l.answer
	return l
}

// said takes what the process sends, heard what it receives, in pieces of any size.
func (l *line) said(b []byte)  { l.toServer.write(b) }
func (l *line) heard(b []byte) { l.toClient.write(b) }

// question is a message that the process sends.
func (l *line) question(m message) {
	e, ok := l.asks(m)
	if !ok {
		return
	}
	e.Process, e.At = l.process, time.Now()
	if e.Kind != Renewed { // one that is not granted is of no interest
		l.world.History.note(e)
	}
	if m.reply != "" {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.asked[m.reply] = e
	}
}

func (l *line) asks(m message) (e Event, ok bool) {
	switch {
	case strings.HasPrefix(m.subject, "$JS.ACK."):
		word, rest, _ := strings.Cut(string(m.payload), " ")
		if word == "+WPI" {
			return Event{Kind: Renewed, Object: l.world.lent(m.subject), Text: "asked"}, m.reply != ""
		}
		return Event{Kind: Settled, Object: l.world.lent(m.subject), Status: word, Number: inStream(m.subject), Text: rest}, true
	case strings.HasPrefix(m.subject, kvSubject):
		return l.writes(strings.TrimPrefix(m.subject, kvSubject), m.payload)
	case strings.HasPrefix(m.subject, filesSubject):
		d, err := messages.DecodeDiscovered(m.payload)
		return Event{Kind: Published, Object: d.Object.Name, ETag: d.Object.ETag, Text: m.header.Get("Nats-Msg-Id")}, err == nil
	case strings.HasPrefix(m.subject, deadSubject):
		d, err := messages.DecodeDeadLetter(m.payload)
		return Event{Kind: Buried, Object: d.Name, ETag: d.Object.ETag, Status: string(d.Class), Text: "asked: " + d.Error}, err == nil
	}
	return e, false
}

// inStream is the number of the message that an acknowledgement is about.
func inStream(ack string) uint64 {
	f := strings.Split(ack, ".")
	n, _ := strconv.ParseUint(f[max(0, len(f)-4)], 10, 64)
	return n
}

// writes is a write to the ledger: of a record, or of the note of an upload.
func (l *line) writes(key string, value []byte) (e Event, ok bool) {
	if token, ok := strings.CutPrefix(key, route+".upload."); ok {
		name, err := messages.DecodeToken(token)
		e = Event{Kind: Noted, Object: name, Text: "the upload is over"}
		if u, err := messages.DecodeUpload(value); err == nil {
			e.ETag, e.Text = u.ETag, fmt.Sprintf("upload %q with %d parts, abandoned %q", u.ID, len(u.Parts), u.Abandoned)
		}
		return e, err == nil
	}
	e, ok = l.record(key, value)
	e.Kind = Wrote
	return e, ok
}

// answer is a message that the process receives.
func (l *line) answer(m message) {
	if strings.HasPrefix(m.subject, filesSubject) && strings.HasPrefix(m.reply, "$JS.ACK.") {
		l.delivery(m)
		return
	}
	if shown := m.header.Get("Nats-Subject"); strings.HasPrefix(shown, kvSubject) {
		if e, ok := l.record(strings.TrimPrefix(shown, kvSubject), m.payload); ok && m.header.Get("Kv-Operation") == "" {
			e.Kind, e.Process = Read, l.process
			e.Number, _ = strconv.ParseUint(m.header.Get("Nats-Sequence"), 10, 64)
			l.world.History.note(e)
		}
		return
	}
	l.mu.Lock()
	e, ok := l.asked[m.subject]
	delete(l.asked, m.subject)
	l.mu.Unlock()
	if !ok {
		return
	}
	if e.Kind == Renewed {
		if len(m.payload) == 0 {
			l.world.History.note(Event{Kind: Renewed, Process: e.Process, Object: e.Object, At: e.At, Text: "granted"})
		}
		return
	}
	var ack struct {
		Error     *struct{ Description string } `json:"error"`
		Stream    string                        `json:"stream"`
		Seq       uint64                        `json:"seq"`
		Duplicate bool                          `json:"duplicate"`
	}
	if json.Unmarshal(m.payload, &ack) != nil || ack.Error == nil && ack.Stream == "" {
		return
	}
	e.Number = ack.Seq
	switch e.Kind {
	case Wrote:
		e.Kind = Written
	case Published:
		e.Kind = Queued
	case Buried:
		e.Text = "stored"
	case Noted, Settled:
		return
	}
	if ack.Error != nil || ack.Duplicate {
		e.Kind, e.Text = Refused, e.Text+": it was there already"
		if ack.Error != nil {
			e.Text = ack.Error.Description
		}
	}
	l.world.History.note(Event{Kind: e.Kind, Process: e.Process, Object: e.Object, ETag: e.ETag, Status: e.Status, Number: e.Number, Text: e.Text})
}

func (l *line) delivery(m message) {
	d, err := messages.DecodeDiscovered(m.payload)
	if err != nil {
		return
	}
	e := Event{Kind: Delivered, Process: l.process, Object: d.Object.Name, ETag: d.Object.ETag, Number: 1}
	if f := strings.Split(m.reply, "."); len(f) >= 5 {
		e.Number, _ = strconv.ParseUint(f[len(f)-5], 10, 64)
	}
	l.world.lend(m.reply, d.Object.Name)
	l.world.History.note(e)
}

// record is what a value of the ledger says of a file.
func (l *line) record(key string, value []byte) (e Event, ok bool) {
	_, day, base, ok := messages.ParseRecordKey(key)
	if !ok {
		return e, false
	}
	e.Object = l.world.Rules.Prefix + day.Folder() + base
	r, err := messages.DecodeRecord(value)
	if err != nil {
		return e, false
	}
	e.ETag, e.Status = r.Object.ETag, string(r.Status)
	if r.Copy != nil && r.Status == messages.StatusCopied {
		e.Text = r.Copy.How + " " + r.Copy.CRC32C
	}
	if r.Error != "" {
		e.Text = string(r.Class) + ": " + r.Error
	}
	return e, true
}

// A message is one of the NATS protocol, in either direction.
type message struct {
	subject, reply string
	header         textproto.MIMEHeader
	payload        []byte
}

// A parser finds the messages in one direction of a connection.
type parser struct {
	message func(message)
	rest    []byte // of what is not complete yet
}

func (p *parser) write(b []byte) {
	p.rest = append(p.rest, b...)
	for {
		n := p.next(p.rest)
		if n == 0 {
			p.rest = bytes.Clone(p.rest)
			return
		}
		p.rest = p.rest[n:]
	}
}

// next reads one line with what belongs to it, and returns its length; 0 while it is
// not complete.
func (p *parser) next(b []byte) (n int) {
	end := bytes.Index(b, []byte("\r\n"))
	if end < 0 {
		return 0
	}
	words := strings.Fields(string(b[:end]))
	n = end + 2
	if len(words) < 2 {
		return n
	}
	verb, args := strings.ToUpper(words[0]), words[1:]
	headed := verb == "HPUB" || verb == "HMSG"
	if !headed && verb != "PUB" && verb != "MSG" {
		return n
	}
	size, err := strconv.Atoi(args[len(args)-1])
	if err != nil {
		return n
	}
	if len(b) < n+size+2 {
		return 0
	}
	m := message{subject: args[0]}
	m.header, m.payload = headers(b[n:n+size], args, headed)
	args = args[1 : len(args)-1]
	if headed {
		args = args[:len(args)-1]
	}
	if strings.HasSuffix(verb, "MSG") {
		args = args[1:] // the number of the subscription
	}
	if len(args) > 0 {
		m.reply = args[0]
	}
	p.message(m)
	return n + size + 2
}

func headers(body []byte, args []string, headed bool) (textproto.MIMEHeader, []byte) {
	h := textproto.MIMEHeader{}
	if !headed {
		return h, bytes.Clone(body)
	}
	size, err := strconv.Atoi(args[len(args)-2])
	if err != nil || size > len(body) {
		return h, nil
	}
	for _, l := range strings.Split(string(body[:size]), "\r\n")[1:] {
		if name, value, ok := strings.Cut(l, ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h, bytes.Clone(body[size:])
}
