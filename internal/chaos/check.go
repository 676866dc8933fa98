package chaos

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A Violation is a promise that was not kept. The invariants are those of
// docs/reliability.md.
type Violation struct {
	Invariant string // such as "I4"
	Object    string // at the source
	Key       string // at the destination
	Commit    int    // version of the key; 0 where it is about no commit
	Text      string
}

func (v Violation) String() string {
	s := fmt.Sprintf("%s object=%q", v.Invariant, v.Object)
	if v.Commit > 0 {
		s += fmt.Sprintf(" commit=%d", v.Commit)
	}
	return s + ": " + v.Text
}

// A checker holds what was seen against what is promised.
type checker struct {
	w        *World
	versions map[string][]Version
	present  map[string]Version
	events   []Event
	byObject map[string][]Event // with the commits
	commits  []simulator.Commit
	sent     []sending
	found    []Violation
}

// Check judges a world that has settled. It may be called for one that has not: then
// what is missing is found as well.
func (w *World) Check() []Violation {
	c := &checker{
		w: w, versions: w.History.Versions(), present: w.History.Present(), events: w.merged(),
		byObject: map[string][]Event{}, commits: w.Sim.S3.History(),
	}
	w.mu.Lock()
	c.sent = slices.Clone(w.sent)
	w.mu.Unlock()
	for _, e := range c.events {
		if e.Object != "" {
			c.byObject[e.Object] = append(c.byObject[e.Object], e)
		}
	}
	c.checkCommits()
	for _, name := range slices.Sorted(maps.Keys(c.byObject)) {
		c.checkRecords(name)
		c.checkSettlements(name)
		c.checkRepeats(name)
		c.checkOrder(name)
		c.checkQueue(name)
		c.checkOwners(name)
	}
	c.checkLeases()
	c.checkAhead()
	c.checkEnd()
	c.checkUploads()
	c.checkProcesses()
	c.checkSecrets()
	return c.found
}

func (c *checker) violated(v Violation) { c.found = append(c.found, v) }

// version finds the version of a name by its etag.
func (c *checker) version(name, etag string) (Version, bool) {
	for _, v := range c.versions[name] {
		if v.ETag == etag {
			return v, true
		}
	}
	return Version{}, false
}

// checkCommits: what became visible was, byte for byte, a version of the report that the
// key belongs to (I2), and says which (I3). It was below the configured path (I14).
func (c *checker) checkCommits() {
	for _, k := range c.commits {
		name := c.w.nameOf(k.Key)
		v := Violation{Object: name, Key: k.Key, Commit: k.Version}
		same := func(w Version) bool { return w.Key == k.Key && w.Size == k.Size && w.CRC32C == k.CRC32C }
		if !slices.ContainsFunc(c.versions[name], same) {
			v.Invariant, v.Text = "I2", fmt.Sprintf("%d bytes with CRC32C %s became visible at %s, which no version of %q has", k.Size, k.CRC32C, k.Key, name)
			c.violated(v)
			continue
		}
		if named, ok := c.version(name, k.Metadata["oci-etag"]); !ok || !same(named) {
			v.Invariant, v.Text = "I3", fmt.Sprintf("the object says that it is of etag %q, whose bytes it does not have", k.Metadata["oci-etag"])
			c.violated(v)
		}
	}
	for _, request := range c.w.strays() {
		c.violated(Violation{Invariant: "I14", Text: "outside of the configured places: " + request})
	}
}

func (w *World) strays() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.foreign)
}

// checkRecords: nothing is recorded as copied before its bytes stand at its key (I6).
func (c *checker) checkRecords(name string) {
	var visible []string
	for _, e := range c.byObject[name] {
		switch {
		case e.Kind == Commit:
			visible = append(visible, e.Text)
		case e.Kind == Wrote && e.Status == string(messages.StatusCopied):
			_, crc, _ := strings.Cut(e.Text, " ")
			if !slices.ContainsFunc(visible, func(text string) bool { return strings.Contains(text, crc) }) {
				c.violated(Violation{Invariant: "I6", Object: name, Text: fmt.Sprintf("%s records a copy of etag %s before its bytes are visible", e.Process, e.ETag)})
			}
		}
	}
}

// checkSettlements: a message leaves the queue only when who settles it knows that its
// outcome is on record (I8): he wrote that himself and was answered, or he read it. A
// file that is given up has its dead letter first.
func (c *checker) checkSettlements(name string) {
	type knowledge struct {
		number int // of the newest version with an outcome
		buried int
	}
	known := map[string]*knowledge{}
	asked := map[string]int{} // version of the message by process
	for _, e := range c.byObject[name] {
		if known[e.Process] == nil {
			known[e.Process] = &knowledge{}
		}
		k := known[e.Process]
		number := 0
		if v, ok := c.version(name, e.ETag); ok {
			number = v.Number
		}
		switch e.Kind {
		case Delivered:
			asked[e.Process] = number
		case Written, Read:
			if messages.Status(e.Status).Final() {
				k.number = max(k.number, number)
			}
		case Buried:
			if e.Text == "stored" {
				k.buried = max(k.buried, number)
			}
		case Settled:
			c.checkSettlement(name, e, k.number, k.buried, asked[e.Process])
		}
	}
}

func (c *checker) checkSettlement(name string, e Event, recorded, buried, asked int) {
	v := Violation{Invariant: "I8", Object: name}
	switch {
	case e.Status == "+ACK" && recorded < asked:
		v.Text = fmt.Sprintf("%s acknowledges the message of version %d, and knows only of an outcome of version %d", e.Process, asked, recorded)
	case e.Status == "+TERM" && (buried < asked || recorded < asked):
		v.Text = fmt.Sprintf("%s gives up version %d without a dead letter and a record before", e.Process, asked)
	default:
		return
	}
	c.violated(v)
}

// checkRepeats: a version is sent once (I4). It may be sent again where nobody could know
// that it had been, and then with the same bytes, which checkCommits sees to: in another
// delivery, as long as no record of it was there when that began; and in the same one,
// where the answer to the first commit was lost or the ledger refused the record.
func (c *checker) checkRepeats(name string) {
	type holding struct {
		handed   int  // deliveries to this process, since it had none
		open     int  // of those that it has not settled
		recorded bool // the version was on record when the message came
		commits  int
		refused  bool
		since    time.Time
	}
	record := Event{} // as the ledger has it
	holds := map[string]*holding{}
	for _, e := range c.byObject[name] {
		h := holds[e.Process]
		switch e.Kind {
		case Delivered:
			if h == nil || h.open == 0 {
				h = &holding{since: e.At, recorded: true}
				holds[e.Process] = h
			}
			h.handed++
			h.open++
			h.recorded = h.recorded && record.ETag == e.ETag && record.Status == string(messages.StatusCopied)
		case Settled:
			if h != nil && h.open > 0 {
				h.open--
			}
		case Written:
			if e.Number > record.Number {
				record = e
			}
			for _, h := range holds { // what it says now may call for another copy
				h.recorded = h.recorded && e.Status == string(messages.StatusCopied)
			}
		case Refused:
			if h != nil {
				h.refused = true
			}
		case Commit:
			if h == nil && c.w.server != nil {
				c.violated(Violation{Invariant: "I4", Object: name, Text: e.Process + " sends a file that it was not handed"})
			}
			if h == nil || h.refused {
				continue
			}
			h.commits++
			switch {
			case h.recorded:
				c.violated(Violation{Invariant: "I4", Object: name, Text: fmt.Sprintf("%s sends etag %s, although what it was handed was on record", e.Process, e.ETag)})
			case h.commits > h.handed && !c.excused(name, e, h.since):
				c.violated(Violation{Invariant: "I4", Object: name, Text: fmt.Sprintf("%s sends etag %s for the %d. time, with no fault that would explain it", e.Process, e.ETag, h.commits)})
			}
		}
	}
}

// excused reports whether something kept the answer to an earlier commit of this
// delivery from its process: a fault that met it, or that the process was frozen.
func (c *checker) excused(name string, e Event, since time.Time) bool {
	key := keyOf(c.w.Rules, name)
	for _, s := range c.sent {
		if s.key == key && s.process == e.Process && s.fault && !s.at.Before(since) && s.at.Before(e.At) {
			return true
		}
	}
	return slices.ContainsFunc(c.events, func(f Event) bool {
		return f.Kind == Fault && f.Process == e.Process && !f.At.Before(since) && f.At.Before(e.At)
	})
}

// checkOrder: an older version takes the place of a newer one only by the late answer to
// a process that had lost its message to another one (I5).
func (c *checker) checkOrder(name string) {
	newest, deliveries := 0, 0
	first := map[string]int{} // of the deliveries that a process has not settled, by its place among all
	for _, e := range c.byObject[name] {
		switch e.Kind {
		case Delivered:
			deliveries++
			if first[e.Process] == 0 {
				first[e.Process] = deliveries
			}
		case Settled:
			delete(first, e.Process)
		case Commit:
			v, ok := c.version(name, e.ETag)
			if !ok {
				continue
			}
			if v.Number < newest && c.w.server != nil && first[e.Process] == deliveries {
				c.violated(Violation{Invariant: "I5", Object: name, Text: fmt.Sprintf("%s sends version %d after version %d, and nobody else had the message", e.Process, v.Number, newest)})
			}
			newest = max(newest, v.Number)
		}
	}
}

// unsure is by how much a copier may be late with a commit after it has looked at its
// lease: the time until the request arrives, on a machine with better things to do.
const unsure = time.Second

// checkLeases: nothing is sent for good by a copier whose last renewal is older than the
// ack wait, since the message may be another one's by then (I5): what is asked for is
// three quarters of it. He looks right before he sends; so who was just woken up may
// have looked before, and who was refused a record has to send again.
func (c *checker) checkLeases() {
	if c.w.server == nil {
		return
	}
	for _, s := range c.sent {
		name := c.w.nameOf(s.key)
		var renewed, looked time.Time
		for _, e := range c.byObject[name] {
			if e.Process != s.process || !e.At.Before(s.at) {
				continue
			}
			switch e.Kind {
			case Delivered:
				renewed, looked = e.At, time.Time{}
			case Renewed:
				renewed = e.At
			case Refused, Commit:
				looked = s.at // another try of the same delivery
			}
		}
		if looked.IsZero() && !renewed.IsZero() && s.at.Sub(renewed) > c.w.options.AckWait+unsure && !c.triedBefore(s, renewed) && !c.wokenBefore(s) {
			c.violated(Violation{Invariant: "I5", Object: name, Key: s.key, Text: fmt.Sprintf("%s sends it %v after its last renewal", s.process, s.at.Sub(renewed))})
		}
	}
}

// triedBefore reports whether the process has sent the same since, so that this is the
// repetition of one call.
func (c *checker) triedBefore(s sending, since time.Time) bool {
	return slices.ContainsFunc(c.sent, func(o sending) bool {
		return o.key == s.key && o.process == s.process && o.at.After(since) && o.at.Before(s.at)
	})
}

// wokenBefore reports whether the process was frozen until right before.
func (c *checker) wokenBefore(s sending) bool {
	return slices.ContainsFunc(c.events, func(e Event) bool {
		return e.Process == s.process && e.Kind == Healed && e.At.Before(s.at) && s.at.Sub(e.At) < unsure
	})
}

// checkEnd: in the end each report has its newest version at its key or is given up for
// good reason (I1), with one record that says so (I7); a record is of what stands there
// (I6); and the queue is empty (I9).
func (c *checker) checkEnd() {
	there := map[string]simulator.ObjectInfo{}
	for _, o := range c.w.Sim.S3.Objects() {
		there[o.Key] = o
	}
	for _, name := range slices.Sorted(maps.Keys(c.present)) {
		v := c.present[name]
		if v.Key == "" {
			continue
		}
		o, ok := there[v.Key]
		r, recorded := c.w.end.records[name]
		right := ok && o.Size == v.Size && o.CRC32C == v.CRC32C
		bad := Violation{Object: name, Key: v.Key}
		switch {
		case c.w.end.seen && (!recorded || !r.Status.Final() || r.Object.ETag != v.ETag):
			bad.Invariant, bad.Text = "I7", fmt.Sprintf("its version %d has no outcome on record, but %q of etag %s", v.Number, r.Status, r.Object.ETag)
		case right && (!c.w.end.seen || r.Status == messages.StatusCopied && r.Copy != nil && r.Copy.CRC32C == v.CRC32C):
			continue
		case r.Status == messages.StatusFailed && v.Lies && r.Class == messages.HashMismatch:
			continue
		case r.Status == messages.StatusFailed && r.Class == messages.HashMismatch && r.Mismatches >= 3 && c.flipped(name):
			continue
		case ok && !right && c.lateAndKilled(name, o):
			continue
		case right:
			bad.Invariant, bad.Text = "I6", fmt.Sprintf("its record says %q, %+v", r.Status, r.Copy)
		case r.Status == messages.StatusFailed:
			bad.Invariant, bad.Text = "I1", fmt.Sprintf("version %d was given up without a good reason: %s: %s", v.Number, r.Class, r.Error)
		default:
			bad.Invariant, bad.Text = "I1", fmt.Sprintf("version %d is not at its key; there stands %d bytes, CRC32C %s", v.Number, o.Size, o.CRC32C)
		}
		c.violated(bad)
	}
	if c.w.end.queue > 0 {
		c.violated(Violation{Invariant: "I9", Text: fmt.Sprintf("%d messages are left in the queue", c.w.end.queue)})
	}
	if !c.w.end.seen {
		c.violated(Violation{Invariant: "I13", Text: "the world did not come to rest, and what is left could not be looked at"})
	}
}

// lateAndKilled is what remains of I5 by the documentation: an older version stands behind
// a newer record where a frozen process was killed between its late commit and the write
// by which it would have noticed.
func (c *checker) lateAndKilled(name string, o simulator.ObjectInfo) bool {
	newest, late, wrote := 0, Event{}, false
	for _, e := range c.byObject[name] {
		v, ok := c.version(name, e.ETag)
		switch {
		case e.Kind == Commit && ok:
			late, wrote = Event{}, false
			if v.Number < newest && v.CRC32C == o.CRC32C {
				late = e
			}
			newest = max(newest, v.Number)
		case e.Kind == Wrote && e.Process == late.Process:
			wrote = true
		}
	}
	return late.Process != "" && !wrote && c.killedAfter(late.Process, late.At)
}

// flipped reports whether faults changed bytes of an object on their way.
func (c *checker) flipped(name string) bool {
	return slices.ContainsFunc(c.byObject[name], func(e Event) bool { return e.Kind == Fault })
}

// checkUploads: no upload with parts is left open (I10). One without parts is what a crash
// leaves between its creation and its note. And where a copier is killed that was at a
// file which another one had done meanwhile, the sweep of the next day ends what it noted.
func (c *checker) checkUploads() {
	for _, u := range c.w.Sim.S3.OpenUploads() {
		name := c.w.nameOf(u.Key)
		noted := c.w.end.uploads[name]
		swept := (noted.ID == u.ID || slices.Contains(noted.Abandoned, u.ID)) && c.w.end.records[name].Status.Final() && c.killedAtIt(noted)
		if u.Parts > 0 && !swept {
			c.violated(Violation{Invariant: "I10", Object: c.w.nameOf(u.Key), Key: u.Key, Text: fmt.Sprintf("upload %s is left open with %d parts", u.ID, u.Parts)})
		}
	}
}

// killedAtIt reports whether the worker that noted an upload was killed after that.
func (c *checker) killedAtIt(u messages.Upload) bool {
	_, pid, _ := strings.Cut(u.Worker, "/")
	return slices.ContainsFunc(c.w.Processes(), func(p *Process) bool {
		return fmt.Sprint(p.cmd.Process.Pid) == pid && c.killedAfter(p.Name, u.Started)
	})
}

// killedAfter reports whether a process was killed after a moment.
func (c *checker) killedAfter(process string, at time.Time) bool {
	return slices.ContainsFunc(c.events, func(e Event) bool {
		return e.Kind == Ended && e.Process == process && e.At.After(at) && strings.Contains(e.Text, "killed")
	})
}

// checkProcesses: none ends by itself, and all end in order when they are told to (I12).
func (c *checker) checkProcesses() {
	for _, p := range c.w.Processes() {
		if p.died() {
			c.violated(Violation{Invariant: "I12", Text: fmt.Sprintf("%s ended by itself: %v: %s", p.Name, p.cmd.ProcessState, lastLines(p.Output(), 5))})
		}
		if p.Says("panic") || p.Says("DATA RACE") {
			c.violated(Violation{Invariant: "I12", Text: p.Name + " panicked: see " + p.Log})
		}
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	for _, err := range c.w.ends {
		c.violated(Violation{Invariant: "I12", Text: err.Error()})
	}
}

// checkSecrets: no secret is in anything that the processes wrote, or that NATS or S3
// were given to keep (I15).
func (c *checker) checkSecrets() {
	secrets := map[string]string{
		"S3 secret": s3Secret, "pass phrase of the OCI key": passPhrase, "OCI key": base64.StdEncoding.EncodeToString(c.w.key)[:64],
	}
	if c.w.server != nil {
		secrets["NATS key"] = string(c.w.server.seed)
	}
	search := func(where string, text []byte) {
		for what, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte(secret)))) {
				c.violated(Violation{Invariant: "I15", Text: where + " holds the " + what})
			}
		}
	}
	for _, p := range c.w.Processes() {
		search(p.Log, []byte(p.Output()))
	}
	for _, dir := range []string{"state", "nats", "disk"} {
		filepath.WalkDir(filepath.Join(c.w.options.Dir, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				text, _ := os.ReadFile(path)
				search(path, text)
			}
			return nil
		})
	}
	for _, o := range c.w.Sim.S3.Objects() {
		search(o.Key, fmt.Append(nil, o.Metadata, o.Headers))
	}
}
