// Package model_test runs scanners and copiers together, against a source, a
// destination, a queue and a ledger in memory, through random histories: files are
// added, overwritten, also with bytes of before, and deleted; scans run side by side;
// calls fail with and without effect, processes die at any call, freeze for longer than
// their loans, are stopped; messages are lost, repeats ordered, days pass, the
// destination moves. What must always hold is checked with every effect; in the end all
// faults are over, there is one scan, and nothing may be missing.
//
// Every call of a port waits until the history lets it go on, one at a time. So a
// history is a list of decisions, and rapid finds a short one for each failure:
//
//	go test ./internal/model -run 'Histories$' -rapid.checks 10000
//
// The queue and the ledger in memory do what those of a real server do: the same
// operations are tried on both, and the same histories run on a server.
package model_test

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/messages"
)

func TestMain(m *testing.M) { natstest.Main(m) }

// TestHistories: whatever happens, nothing is lost, nothing corrupt or older becomes
// visible, nothing is left behind.
func TestHistories(t *testing.T) {
	contents := newContents()
	check(t, 120, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			history(t, newMemory(ackWait), contents, false)
		})
	})
}

// contents are what versions can hold: few, so that bytes of before come back.
type contents struct{ small, large []*content }

func newContents() contents {
	var c contents
	for _, size := range []int{0, 10, chunk, chunk + 1, 40} {
		for seed := range byte(2) {
			c.small = append(c.small, newContent(size, seed))
		}
	}
	for seed := range byte(2) {
		c.large = append(c.large, newContent(2*leastMPU+100, seed), newContent(5*leastMPU+1, seed)) // the second is read in ranges
	}
	return c
}

// A machine is a world with its processes.
type machine struct {
	*world
	contents
	start    messages.Day
	scanners []*process
	copiers  []*process
	slots    int
	born     int  // processes ever
	slow     bool // the broker takes its time
	calm     bool // nothing goes wrong
}

func history(t *rapid.T, b broker, all contents, slow bool) {
	m := &machine{world: newWorld(t, b), contents: all, start: messages.DayOf(time.Now()), slow: slow}
	m.putOnly = rapid.Bool().Draw(t, "put only")
	m.noSums = rapid.Bool().Draw(t, "no sums")
	m.hold = rapid.IntRange(0, 7).Draw(t, "hold changed") == 7
	if rapid.Bool().Draw(t, "since") {
		m.since = m.start.Add(-20)
	}
	m.calm = rapid.IntRange(0, 7).Draw(t, "calm") == 7
	m.slots = rapid.IntRange(1, 2).Draw(t, "slots")
	if rapid.IntRange(0, 9).Draw(t, "large") < 9 {
		m.large = nil
	}
	defer m.close(t)
	for range rapid.IntRange(1, 3).Draw(t, "scanners") {
		m.scanners = append(m.scanners, nil)
	}
	for range rapid.IntRange(1, 3).Draw(t, "copiers") {
		m.copiers = append(m.copiers, nil)
	}
	m.renew()
	actions := map[string]func(*rapid.T){
		"write": m.writeFile, "write more": m.writeFile, "remove": m.removeFile,
		"scan": m.beginScan, "scan more": m.beginScan,
		"work": m.work, "work more": m.work, "work on": m.work,
		"advance": m.advance, "stop": m.stopCopier,
	}
	if !m.calm {
		actions["fail"], actions["fail more"] = m.fail, m.fail
		actions["crash"], actions["crash more"] = m.crashOne, m.crashOne
		actions["freeze"], actions["thaw"], actions["overtake"], actions["deafen"] = m.freezeOne, m.thawOne, m.overtake, m.deafen
		actions["outage"], actions["lose"], actions["end uploads"] = m.beginOutage, m.loseMessage, m.endUploads
		actions["order"], actions["move"] = m.order, m.move
	}
	if m.large != nil && !m.calm {
		actions["interrupt"], actions["interrupt more"] = m.interrupt, m.interrupt
	}
	t.Repeat(actions)
	m.settle(t)
}

// files are the names that histories speak of: neighbours that a careless encoding would
// take for one, the same file name on several days, and what is no report.
func (m *machine) files() []string {
	name := func(back int, base string) string { return prefix + m.start.Add(-back).Folder() + base }
	return []string{
		name(0, "r.csv.gz"), name(0, "r_1.csv.gz"), name(0, "r.1.csv.gz"), name(1, "r.csv.gz"),
		name(2, "late.csv.gz"), name(9, "r.csv.gz"), name(0, "no report.csv.gz"), name(0, "r.txt"),
	}
}

func (m *machine) file(t *rapid.T) string { return rapid.SampledFrom(m.files()).Draw(t, "file") }

func (m *machine) writeFile(t *rapid.T) {
	from := m.small
	if m.large != nil && rapid.IntRange(0, 3).Draw(t, "large") < 3 {
		from = m.large
	}
	m.write(m.file(t), rapid.SampledFrom(from).Draw(t, "content"), rapid.Bool().Draw(t, "MD5"), rapid.Bool().Draw(t, "CRC32C"))
}

func (c *content) String() string { return fmt.Sprintf("%d bytes, %s", len(c.bytes), c.crc32c) }

// GoString keeps megabytes out of the story of a failure.
func (c *content) GoString() string { return c.String() }

func (m *machine) removeFile(t *rapid.T) { m.erase(m.file(t)) }

func (m *machine) process(id string) *process {
	m.born++
	return m.world.process(fmt.Sprintf("%s-%d", id, m.born))
}

// renew starts what is not there.
func (m *machine) renew() {
	for i, p := range m.scanners {
		if p == nil || p.isEnded() {
			m.scanners[i] = m.process("scanner")
		}
	}
	for i, p := range m.copiers {
		if p != nil && !p.isEnded() {
			continue
		}
		p = m.process("copier")
		p.copier = p.newCopier(m.slots)
		p.slots.Go(func() { p.copier.Run(p.ctx) })
		m.copiers[i] = p
	}
}

func (m *machine) all() []*process { return slices.Concat(m.scanners, m.copiers) }

// busy are the processes that can go on; all of them where none can.
func (m *machine) busy() []*process {
	synctest.Wait()
	can := slices.DeleteFunc(m.all(), func(p *process) bool { return len(m.possible(p)) == 0 })
	if len(can) == 0 {
		return m.all()
	}
	return can
}

// one is one of some processes.
func one(t *rapid.T, of []*process) *process {
	return of[rapid.IntRange(0, len(of)-1).Draw(t, "process")]
}

// beginScan has a scanner that has nothing to do begin a scan, or a backfill.
func (m *machine) beginScan(t *rapid.T) {
	p := one(t, m.scanners)
	kind := rapid.IntRange(0, 9).Draw(t, "kind")
	if m.calm {
		kind = 0
	}
	m.scanWith(p, kind)
}

func (m *machine) scanWith(p *process, kind int) *scan {
	if p.scan != nil && !p.scan.isOver(p) {
		return p.scan
	}
	s := &scan{begin: time.Now(), judged: map[string]bool{}, plain: kind < 8, backfill: kind >= 8}
	p.scan = s
	p.slots.Go(func() {
		switch {
		case s.plain:
			s.stats, s.err = p.scanner().Scan(p.ctx)
		default:
			r := messages.Range{From: m.start.Add(-20), To: m.start}
			s.stats, s.err = p.scanner().Backfill(p.ctx, r, kind == 9)
		}
		p.local.Lock()
		defer p.local.Unlock()
		s.over = true
	})
	return s
}

// order has a scanner order a repeat of a file that is there, as `failed retry` does; it
// may die before the message follows.
func (m *machine) order(t *rapid.T) {
	p := one(t, m.scanners)
	name := m.file(t)
	v, report := m.present[name], messages.Report{}
	report, ok := m.report(name)
	if v == nil || !ok || p.scan != nil && !p.scan.isOver(p) {
		return
	}
	s := &scan{begin: time.Now(), judged: map[string]bool{}}
	p.scan = s
	p.slots.Go(func() {
		r, err := p.scanner().Order(p.ctx, v.object, report)
		if err == nil {
			_, err = p.Publish(p.ctx, messages.Live, messages.FileDiscovered{
				Route: route, Object: v.object, Generation: r.Generation, Epoch: p.epoch, Discovered: time.Now(), Scan: "order", Trace: "order",
			})
		}
		p.local.Lock()
		defer p.local.Unlock()
		s.err, s.over = err, true
	})
}

// step lets one call of p go on, if there is one that can.
func (m *machine) step(p *process, choose func(n int) int, o outcome) bool {
	synctest.Wait()
	can := m.possible(p)
	if len(can) == 0 {
		return false
	}
	c := can[0]
	if len(can) > 1 {
		c = can[choose(len(can))]
	}
	if c.op == "next" && o.effective() && o != works && o != dying { // a message that nobody knows of comes again
		o = works
	}
	defer synctest.Wait()
	return p.let(c, o)
}

// possible are the calls of p that can go on. One that would wait for a message does not.
func (m *machine) possible(p *process) []*call {
	return slices.DeleteFunc(p.waiting(), func(c *call) bool {
		b, ok := m.broker.(*memory)
		return c.op == "next" && ok && !b.ready(c.number == anyLane)
	})
}

func (m *machine) first(int) int { return 0 }

func (m *machine) chosen(t *rapid.T) func(int) int {
	return func(n int) int { return rapid.IntRange(0, n-1).Draw(t, "call") }
}

// proceed lets p go on for some calls.
func (m *machine) proceed(t *rapid.T, p *process) {
	for range rapid.SampledFrom([]int{0, 1, 2, 3, 4, 6, 8, 12, 100}).Draw(t, "calls") {
		if !m.step(p, m.chosen(t), works) {
			return
		}
	}
}

func (m *machine) work(t *rapid.T) {
	m.feed(t)
	m.proceed(t, one(t, m.busy()))
}

// fail lets p go on for some calls and fails the next one.
func (m *machine) fail(t *rapid.T) {
	m.feed(t)
	p := one(t, m.busy())
	m.proceed(t, p)
	o := rapid.SampledFrom([]outcome{fails, obscure, panics, works}).Draw(t, "outcome")
	p.class = rapid.SampledFrom([]messages.Class{messages.Unavailable, messages.Connection, messages.Unknown, messages.Throttled, messages.Forbidden}).Draw(t, "class")
	if o == works {
		p.how = rapid.SampledFrom([]mangling{flipped, short, long, reset}).Draw(t, "body")
	}
	m.step(p, m.chosen(t), o)
	m.renew() // a scanner that panics is dead
}

// interrupt breaks off a file of many parts in its middle, perhaps after a note of it was
// written; perhaps the file changes before another attempt goes on.
func (m *machine) interrupt(t *rapid.T) {
	m.feed(t)
	p := one(t, m.copiers)
	parts := func() (found []*call) {
		synctest.Wait()
		return slices.DeleteFunc(p.waiting(), func(c *call) bool { return c.op != "part" })
	}
	sent := rapid.IntRange(1, 2).Draw(t, "parts")
	for i := 0; i < 30 && sent > 0; i++ {
		if n := len(parts()); n > 0 {
			m.sleep(rapid.SampledFrom([]time.Duration{0, 11 * time.Second}).Draw(t, "time"))
			sent--
		}
		m.step(p, m.first, works)
	}
	left := parts()
	if len(left) == 0 {
		return
	}
	name := left[0].name
	p.class = messages.Unavailable
	p.let(left[0], rapid.SampledFrom([]outcome{fails, obscure, dies, dying}).Draw(t, "outcome"))
	synctest.Wait()
	if rapid.IntRange(0, 2).Draw(t, "write") == 2 {
		m.write(name, rapid.SampledFrom(m.large).Draw(t, "content"), true, true)
	}
	m.renew()
}

// crashOne lets p go on for some calls and kills it at the next one. Another one takes
// its place.
func (m *machine) crashOne(t *rapid.T) {
	m.feed(t)
	p := one(t, m.busy())
	m.proceed(t, p)
	o := rapid.SampledFrom([]outcome{dies, dying}).Draw(t, "outcome")
	m.step(p, m.chosen(t), o)
	m.kill(p)
	m.renew()
}

// kill ends p, but not while it mends.
func (m *machine) kill(p *process) {
	if p.mending() {
		return
	}
	p.crash()
	synctest.Wait()
}

// has reports whether p works on a file, with a loan or without.
func (p *process) has(name string) bool {
	return slices.ContainsFunc(p.loans, func(l *loan) bool { return l.message.Object.Name == name && !l.over })
}

// sleep lets time pass, once nobody mends any more.
func (m *machine) sleep(d time.Duration) {
	for range 600 {
		synctest.Wait()
		mending := slices.DeleteFunc(slices.Clone(m.copiers), func(p *process) bool { return !p.mending() })
		if len(mending) == 0 {
			break
		}
		if !slices.ContainsFunc(mending, func(p *process) bool { return m.step(p, m.first, works) }) {
			time.Sleep(time.Second)
		}
	}
	time.Sleep(d)
}

// mending reports whether p has to be left alone: see tolerable.
func (p *process) mending() bool {
	if p.isEnded() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.ContainsFunc(p.loans, func(l *loan) bool { return !l.over && p.mends(l.message.Object.Name) })
}

// freezeOne freezes a process at the call that it is at.
func (m *machine) freezeOne(t *rapid.T) {
	p := one(t, m.busy())
	m.proceed(t, p)
	m.freeze(p)
}

func (m *machine) freeze(p *process) {
	if !p.mending() {
		p.freeze()
		m.note(p.id, "freezes", "", works, nil)
	}
}

// thawOne thaws one of those that are frozen.
func (m *machine) thawOne(t *rapid.T) {
	frozen := slices.DeleteFunc(m.all(), func(p *process) bool { return !p.isFrozen() })
	if len(frozen) > 0 {
		m.thaw(one(t, frozen))
	}
}

func (m *machine) thaw(p *process) {
	m.note(p.id, "thaws", "", works, nil)
	p.thaw()
	synctest.Wait()
}

// feed sees to it that there is something to copy: a file, and a scan that queues it.
func (m *machine) feed(t *rapid.T) {
	if b, ok := m.broker.(*memory); !ok || b.ready(true) {
		return
	}
	m.writeFile(t)
	p := one(t, m.scanners)
	m.scanWith(p, 0)
	for m.step(p, m.first, works) {
	}
}

// overtake freezes a copier in the middle of a file for so long that another one gets it,
// which perhaps changes meanwhile; then it goes on.
func (m *machine) overtake(t *rapid.T) {
	m.feed(t)
	p := one(t, m.copiers)
	at := rapid.SampledFrom([]string{"next", "put", "complete", "write", "body", "part", "settle"}).Draw(t, "at")
	find := func() *call {
		synctest.Wait()
		for _, c := range m.possible(p) {
			if c.op == at {
				return c
			}
		}
		return nil
	}
	for i := 0; i < 30 && find() == nil; i++ {
		m.step(p, m.first, works)
	}
	c := find()
	if c == nil || p.mending() {
		return
	}
	name := c.name
	if at == "next" {
		p.dazed = true
		m.step(p, func(int) int { return slices.Index(m.possible(p), c) }, works)
		if p.dazed = false; !p.isFrozen() {
			return
		}
		name = p.last[c.number].message.Object.Name
		m.note(p.id, "freezes", name, works, nil)
	} else {
		m.freeze(p)
	}
	m.sleep(ackWait + time.Second)
	if rapid.Bool().Draw(t, "write") {
		m.write(name, rapid.SampledFrom(m.small).Draw(t, "content"), true, true)
	}
	for _, other := range m.copiers {
		if other != p && rapid.IntRange(0, 3).Draw(t, "finish") < 3 {
			for m.step(other, m.first, works) {
			}
		} else if other != p {
			m.proceed(t, other)
		}
	}
	if rapid.IntRange(0, 3).Draw(t, "outage") == 3 { // so that he cannot mend
		m.away(rapid.SampledFrom([]side{source, destination}).Draw(t, "side"))
		m.note(string(m.out), "outage", "", works, nil)
	}
	m.thaw(p)
	m.proceed(t, p)
}

// deafen keeps the renewals of a copier from the queue, or lets them through again.
func (m *machine) deafen(t *rapid.T) {
	p := one(t, m.copiers)
	deaf := rapid.Bool().Draw(t, "deaf")
	p.local.Lock()
	defer p.local.Unlock()
	p.deaf = deaf
}

// stopCopier is a SIGTERM. Another process takes its place once it has ended.
func (m *machine) stopCopier(t *rapid.T) {
	i := rapid.IntRange(0, len(m.copiers)-1).Draw(t, "copier")
	p := m.copiers[i]
	p.thaw()
	p.stop()
	m.note(p.id, "stops", "", works, nil)
	for m.step(p, m.first, works) {
	}
	m.sleep(21 * time.Second) // the grace
	for m.step(p, m.first, works) {
	}
	for i := 0; i < 20 && p.copier.AtWork() > 0; i++ {
		m.sleep(pause)
		for m.step(p, m.first, works) {
		}
	}
	if p.copier.AtWork() > 0 {
		t.Errorf("I12: %s does not end", p.id)
	}
	p.crash()
	m.renew()
}

func (m *machine) advance(t *rapid.T) {
	times := []time.Duration{time.Second, 11 * time.Second, 31 * time.Second, 2*time.Minute + time.Second, ackWait + time.Second, 20 * time.Minute}
	switch {
	case m.calm:
		times = times[:3]
	case !m.slow: // a server would live through each minute of it
		times = append(times, 2*time.Hour, 25*time.Hour, 80*time.Hour, 100*24*time.Hour)
	}
	m.sleep(rapid.SampledFrom(times).Draw(t, "time"))
	m.note("clock", "advance", "", works, nil)
}

// loseMessage takes a message out of the queue that nobody has.
func (m *machine) loseMessage(t *rapid.T) {
	name := m.file(t)
	if slices.ContainsFunc(m.copiers, func(p *process) bool { return p.has(name) }) {
		return
	}
	// What was committed and not recorded only the next delivery of this message knows of:
	// were it lost, and the bytes of before came back, they would count as delivered.
	if r, ok := m.report(name); !ok || m.visible[r.Key].version != nil && !m.recorded(name) {
		return
	}
	m.broker.remove(name)
	delete(m.loans, name)
	m.excuses[name]++
	m.note("operator", "lose", name, works, nil)
}

// recorded reports whether the record of a file is of what is visible of it.
func (m *machine) recorded(name string) bool {
	r, _ := m.report(name)
	copied := m.records[messages.RecordKey(route, r)].Copy
	return copied != nil && copied.ETag == m.visible[r.Key].etag
}

// beginOutage has a whole side fail, or ends that.
func (m *machine) beginOutage(t *rapid.T) {
	m.away(rapid.SampledFrom([]side{none, none, source, destination, queue}).Draw(t, "side"))
	m.note(string(m.out), "outage", "", works, nil)
}

// endUploads ends every upload at the destination, as a lifecycle rule of the bucket does.
func (m *machine) endUploads(*rapid.T) {
	clear(m.uploads)
	m.note("destination", "ends", "uploads", works, nil)
}

// move gives the route another destination: everything is due again, and every process
// of the old one is ended.
func (m *machine) move(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "move") != 3 {
		return
	}
	for _, p := range m.all() {
		p.thaw()
		p.crash()
	}
	synctest.Wait()
	m.epoch++
	clear(m.commits) // of the other destination
	m.rules.KeyPrefix = fmt.Sprintf("focus%d/", m.epoch)
	m.note("operator", "move", "", works, nil)
	m.renew()
}

// drain lets everybody go on until nothing is left to do.
func (m *machine) drain() {
	m.Helper()
	idle := 0
	for range 100_000 {
		moved := false
		for _, p := range m.all() {
			for m.step(p, m.first, works) {
				moved = true
			}
		}
		switch {
		case moved:
		case m.broker.waiting() == 0 && m.resting():
			return
		default:
			if idle++; idle > 2*24*60*2 {
				m.Errorf("I13: the queue does not drain: %d messages are left", m.broker.waiting())
				return
			}
			m.sleep(pause)
		}
	}
	m.Errorf("I13: the work never ends")
}

// resting reports whether nobody is at work.
func (m *machine) resting() bool {
	for _, p := range m.scanners {
		if p.scan != nil && !p.scan.isOver(p) {
			return false
		}
	}
	for _, p := range m.copiers {
		if p.copier.AtWork() > 0 {
			return false
		}
	}
	return true
}

func (s *scan) isOver(p *process) bool {
	p.local.Lock()
	defer p.local.Unlock()
	return s.over
}

// settle ends all faults; then one scan must find all that is missing.
func (m *machine) settle(t *rapid.T) {
	m.note("settle", "", "", works, nil)
	m.away(none)
	for _, p := range m.all() {
		p.thaw()
		p.local.Lock()
		p.deaf, p.how = false, intact
		p.local.Unlock()
	}
	synctest.Wait()
	m.drain()
	time.Sleep(25 * time.Hour) // so that the scan is a sweep
	s := m.scanWith(m.scanners[0], 0)
	m.drain()
	if s.err != nil {
		t.Errorf("the last scan failed without a fault: %v", s.err)
	}
	m.settled()
	if m.slow {
		return
	}
	time.Sleep(8 * 24 * time.Hour) // so that nobody can be at an upload
	m.sweep(t)
	m.swept()
}

// sweep ends what uploads are noted, as a copier does each hour.
func (m *machine) sweep(t *rapid.T) {
	p := m.copiers[0]
	for range 3 { // an upload that could not be aborted is tried again
		notes, err := m.broker.Uploads(p.ctx)
		if err != nil {
			t.Errorf("the notes of uploads cannot be read: %v", err)
		}
		for _, n := range notes {
			p.slots.Go(func() {
				if _, err := p.copier.Sweep(p.ctx, n.Name, n.Upload, n.Revision); err != nil {
					t.Errorf("the sweep of %s failed: %v", n.Name, err)
				}
			})
			for m.step(p, m.first, works) {
			}
		}
	}
}

// close ends every process, and tells the history of a failure.
func (m *machine) close(t *rapid.T) {
	if t.Failed() {
		t.Log(m.diary.String())
	}
	for _, p := range m.all() {
		if p != nil {
			p.crash()
		}
	}
	synctest.Wait()
	for _, p := range m.all() {
		if p != nil {
			p.slots.Wait()
		}
	}
}
