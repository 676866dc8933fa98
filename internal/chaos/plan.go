package chaos

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A Plan is all that a run does, and when. It is drawn from the seed before the run
// begins, so that a seed repeats it; what processes and network make of it is their own.
type Plan struct {
	Seed     uint64
	Duration time.Duration
	// PutOnly: the keys of S3 may do nothing but write.
	PutOnly bool
	// Scanners, Copiers and Slots are how many processes there are, and how many files
	// each copier takes at once.
	Scanners, Copiers, Slots int
	// Latency is the longest that either side takes to answer while nothing is broken:
	// what takes no time is never interrupted.
	Latency time.Duration

	edits     []edit
	faults    []fault
	powerCuts bool
}

// An edit is one change of the source.
type edit struct {
	at     time.Duration
	object simulator.Object // its name alone, where it is deleted
	delete bool
}

// A fault is one thing that breaks, and for how long.
type fault struct {
	at, lasts time.Duration
	hazard    hazard
	seed      uint64
}

const (
	loadAtOnce = 25                      // files that are there when the run begins
	loadBefore = 5                       // of days before those that every scan sees
	editEvery  = 120 * time.Millisecond  // on average
	period     = 1500 * time.Millisecond // of the nemesis
	largest    = 16 << 20                // bytes of a file
)

// NewPlan draws the plan of a seed. Weights say how often each hazard is drawn; nil is
// that of Hazards.
func NewPlan(seed uint64, d time.Duration, weights map[string]int) Plan {
	rng := rand.New(rand.NewPCG(seed, 5))
	p := Plan{Seed: seed, Duration: d, PutOnly: rng.IntN(3) == 0, Scanners: 1 + rng.IntN(2), Copiers: 2 + rng.IntN(2), Slots: 1 + rng.IntN(3),
		Latency: time.Duration(rng.IntN(600)) * time.Millisecond}
	p.drawEdits(rng)
	p.drawFaults(rng, weights)
	return p
}

func (p *Plan) drawEdits(rng *rand.Rand) {
	e := editor{rng: rng, seed: p.Seed, content: map[string][]simulator.Object{}}
	for range loadAtOnce {
		p.edits = append(p.edits, e.add(0))
	}
	for range loadBefore { // for the other lane; only the first scan sees them, so they stay as they are
		p.edits = append(p.edits, e.addOf(0, Lookback+2+rng.IntN(Since-Lookback-4)))
	}
	e.names = e.names[:loadAtOnce]
	for at := time.Duration(0); ; {
		at += time.Duration(rng.ExpFloat64() * float64(editEvery))
		if at > p.Duration*9/10 {
			return
		}
		p.edits = append(p.edits, e.next(at))
	}
}

// An editor makes up the edits of a source.
type editor struct {
	rng     *rand.Rand
	seed    uint64
	count   int
	names   []string // that exist
	content map[string][]simulator.Object
}

func (e *editor) next(at time.Duration) edit {
	switch n := e.rng.IntN(100); {
	case n < 68:
		return e.add(at)
	case n < 92:
		return e.overwrite(at)
	default:
		i := e.rng.IntN(len(e.names))
		name := e.names[i]
		e.names = slices.Delete(e.names, i, i+1)
		return edit{at: at, object: simulator.Object{Name: name}, delete: true}
	}
}

// add is a file that was not there: mostly of these days, sometimes of long ago.
func (e *editor) add(at time.Duration) edit {
	daysAgo := e.rng.IntN(4)
	if e.rng.IntN(10) == 0 {
		daysAgo = 5 + e.rng.IntN(Lookback-10)
	}
	return e.addOf(at, daysAgo)
}

func (e *editor) addOf(at time.Duration, daysAgo int) edit {
	e.count++
	day := time.Now().UTC().AddDate(0, 0, -daysAgo)
	o := e.object(e.name(day), day)
	e.names = append(e.names, o.Name)
	return edit{at: at, object: o}
}

// overwrite gives a file other bytes, or those that it had before.
func (e *editor) overwrite(at time.Duration) edit {
	name := e.names[e.rng.IntN(len(e.names))]
	had := e.content[name]
	o := had[e.rng.IntN(len(had))]
	if e.rng.IntN(4) > 0 {
		o = e.object(name, time.Now().UTC())
	}
	return edit{at: at, object: o}
}

// name is mostly as Oracle writes it; the odd ones are reports, too, but for the last.
func (e *editor) name(day time.Time) string {
	usual := simulator.ReportName(day, int64(1_000_000+e.count), 1)
	folder := simulator.Prefix + messages.DayOf(day).Folder()
	odd := []string{
		"%2F%25-", "a+b&c=d;", "ü-u\u0308-", "日本-", "'\"<x>-", "..-..-", "~!$()*,:@-", "=3D.",
	}
	switch n := e.rng.IntN(100); {
	case n < 90:
		return usual
	case n < 97:
		return fmt.Sprintf("%s%s%d.csv.gz", folder, odd[e.rng.IntN(len(odd))], e.count)
	}
	return []string{
		usual + ".tmp", folder + fmt.Sprint("nested/", e.count, ".csv.gz"), folder + fmt.Sprint("a\x1b[2Jb", e.count, ".csv.gz"),
		simulator.Prefix + fmt.Sprint("2026/13/45/", e.count, ".csv.gz"), folder + fmt.Sprint("with space ", e.count, ".csv.gz"),
	}[e.rng.IntN(5)]
}

// object is content of any size up to the largest, small ones more often, with what a
// bucket may declare of it.
func (e *editor) object(name string, day time.Time) simulator.Object {
	size := int64(math.Exp(e.rng.Float64() * math.Log(largest)))
	switch e.rng.IntN(20) {
	case 0, 1, 2:
		size = PartSize + e.rng.Int64N(largest-PartSize)
	case 3:
		size = []int64{0, 1, PartSize - 1, PartSize, PartSize + 1, 2 * PartSize}[e.rng.IntN(6)]
	}
	o := simulator.Object{Name: name, Content: simulator.Random(e.rng.Uint64(), size)}
	switch e.rng.IntN(10) {
	case 0:
		o.Content, o.ContentEncoding = simulator.FocusReport(e.rng.Uint64(), day, 20), "gzip"
	case 1:
		o.NoCRC32C = true
	case 2:
		o.NoMD5, o.NoCRC32C = true, e.rng.IntN(2) == 0
	case 3:
		if e.rng.IntN(5) == 0 {
			o.CRC32C, o.MD5 = "AAAAAA==", "AAAAAAAAAAAAAAAAAAAAAA=="
		}
	}
	e.content[name] = append(e.content[name], o)
	return o
}

func (p *Plan) drawFaults(rng *rand.Rand, weights map[string]int) {
	all := Hazards()
	total := 0
	for i, h := range all {
		if weights != nil {
			all[i].weight = weights[h.Name]
		}
		total += all[i].weight
	}
	if total == 0 {
		return
	}
	for begin := period / 4; begin < p.Duration; begin += period {
		if rng.IntN(4) == 0 {
			continue
		}
		for range 1 + rng.IntN(3) {
			h := pick(rng, all, total)
			p.faults = append(p.faults, fault{
				at:    begin + time.Duration(rng.Int64N(int64(period/2))),
				lasts: h.least + time.Duration(rng.Int64N(int64(h.most-h.least)+1)), hazard: h, seed: rng.Uint64(),
			})
		}
	}
}

func pick(rng *rand.Rand, all []hazard, total int) hazard {
	n := rng.IntN(total)
	for _, h := range all {
		if n -= h.weight; n < 0 {
			return h
		}
	}
	return all[0] // unreachable: the weights add up to total
}
