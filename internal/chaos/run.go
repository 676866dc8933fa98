package chaos

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// A Report is what came of a run.
type Report struct {
	Seed                     uint64
	Files, Versions, Commits int
	Faults                   map[string]int // that met something, by kind
	Settled                  time.Duration
	Violations               []Violation
	// Void says why the run proves nothing, although nothing was violated.
	Void string
	// Dir holds logs, the history and the queue; empty where all was well.
	Dir string
	// Timelines are those of the objects of the violations, each once.
	Timelines []string
}

// Green reports whether the run proves something, and nothing was violated.
func (r *Report) Green() bool { return len(r.Violations) == 0 && r.Void == "" }

func (r *Report) String() string {
	line := fmt.Sprintf("seed %d: %d files, %d versions, %d commits, %d faults of %d kinds, settled in %.1f s, %d violations",
		r.Seed, r.Files, r.Versions, r.Commits, sum(r.Faults), len(r.Faults), r.Settled.Seconds(), len(r.Violations))
	if r.Void != "" {
		line += ", VOID: " + r.Void
	}
	return line
}

// Details are what to look at where something was violated.
func (r *Report) Details(repeat string) string {
	var b strings.Builder
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "FAIL %s seed=%d object=%q key=%q commit=%d: %s\n", v.Invariant, r.Seed, v.Object, v.Key, v.Commit, v.Text)
	}
	for _, t := range r.Timelines {
		b.WriteString(t)
	}
	fmt.Fprintf(&b, "again: %s\nkept:  %s\n", repeat, r.Dir)
	return b.String()
}

// Run carries a plan out in a new world, lets it settle, and checks it. Its error is one
// of the test, not of what is tested.
func Run(ctx context.Context, o Options, p Plan) (*Report, error) {
	o.Seed, o.PutOnly, o.PowerCuts, o.Relays = p.Seed, p.PutOnly, p.powerCuts, p.Seed%2 == 0
	if o.AckWait == 0 {
		o.AckWait = 1500 * time.Millisecond
	}
	w, err := NewWorld(ctx, o)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	hits, err := w.carryOut(ctx, p)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	stuck := w.Settle(ctx)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := w.report(p, hits)
	r.Settled = time.Since(begun)
	if stuck != nil {
		r.Violations = append(r.Violations, Violation{Invariant: "I13", Text: stuck.Error()})
	}
	return r, w.conclude(r)
}

// carryOut runs the processes, the driver and the nemesis for the time of the plan.
func (w *World) carryOut(ctx context.Context, p Plan) (hits map[string]int, err error) {
	for _, e := range p.edits {
		if e.at == 0 {
			w.Add(e.object)
		}
	}
	w.slow(p)
	slots := fmt.Sprint("FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=", p.Slots)
	for role, n := range map[string]int{"scanner": p.Scanners, "copier": p.Copiers} {
		for range n {
			if _, err := w.Start(role, slots); err != nil {
				return nil, err
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, p.Duration)
	defer cancel()
	n := &nemesis{w: w, ctx: ctx, hits: map[hit]int{}}
	begun := time.Now()
	var work sync.WaitGroup
	work.Go(func() { w.drive(ctx, begun, p.edits) })
	work.Go(func() { w.kick(ctx) })
	for _, f := range p.faults {
		work.Go(func() { n.carryOut(begun, f) })
	}
	work.Wait()
	<-ctx.Done()
	return n.counts(), nil
}

// slow makes some requests take their time, so that faults find something under way.
func (w *World) slow(p Plan) {
	for i := range time.Duration(4) {
		latency := simulator.Rule{Every: 0.5, Do: simulator.Latency(p.Latency * (i + 1) / 4)}
		latency.Op = "GetObject"
		w.Sim.OCIFaults.Add(latency)
		latency.Op = []string{"PutObject", "UploadPart", "CompleteMultipartUpload", "CreateMultipartUpload"}[i]
		w.Sim.S3Faults.Add(latency)
	}
}

// drive edits the source.
func (w *World) drive(ctx context.Context, begun time.Time, edits []edit) {
	for _, e := range edits {
		if e.at == 0 {
			continue // was there before
		}
		if !sleepUntil(ctx, begun.Add(e.at)) {
			return
		}
		if e.delete {
			w.Delete(e.object.Name)
			continue
		}
		w.Add(e.object)
	}
}

// kick makes the scanners scan again as soon as they have scanned: no configuration lets
// them do so more often than each minute.
func (w *World) kick(ctx context.Context) {
	for sleepUntil(ctx, time.Now().Add(200*time.Millisecond)) {
		w.Scan()
	}
}

// Scan makes the scanners that rest scan at once.
func (w *World) Scan() {
	for _, p := range w.running("scanner") {
		p.Scan()
	}
}

func (w *World) report(p Plan, hits map[string]int) *Report {
	r := &Report{Seed: p.Seed, Faults: hits, Commits: len(w.Sim.S3.History()), Violations: w.Check(), Dir: w.options.Dir}
	for _, versions := range w.History.Versions() {
		r.Files++
		r.Versions += len(versions)
	}
	seconds := p.Duration.Seconds()
	switch faults := sum(hits); {
	case r.Commits < int(2*seconds):
		r.Void = fmt.Sprintf("only %d commits in %.0f s", r.Commits, seconds)
	case faults < int(seconds/4):
		r.Void = fmt.Sprintf("only %d faults in %.0f s", faults, seconds)
	}
	return r
}

func sum(counts map[string]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}

// conclude keeps what is needed to find a fault, and nothing where there is none.
func (w *World) conclude(r *Report) error {
	if len(r.Violations) == 0 {
		w.Close()
		r.Dir = ""
		return os.RemoveAll(w.options.Dir)
	}
	var objects []string
	for _, v := range r.Violations {
		if v.Object != "" && !slices.Contains(objects, v.Object) && len(objects) < 3 {
			objects = append(objects, v.Object)
			r.Timelines = append(r.Timelines, fmt.Sprintf("%q\n%s", v.Object, w.Timeline(v.Object)))
		}
	}
	_, err := w.writeHistory()
	return err
}
