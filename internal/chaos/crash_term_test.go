package chaos_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
	"oracle-focus-agent/internal/simulator"
)

const (
	// termWithin is the longest that a process may take to end after SIGTERM.
	termWithin = 25 * time.Second
	// handover is the longest that another worker may wait for what one hands back.
	handover = 2 * time.Second
	// hearing is what a signal takes to arrive, on a machine with much else to do.
	hearing = 250 * time.Millisecond
)

// terms is what the trials of SIGTERM came to.
type terms struct {
	mu                                           sync.Mutex
	took                                         []time.Duration
	inFlight, finished, handedBack, voids, found int
}

// TestTerm ends a copier at a drawn moment of its work by SIGTERM. TERM_TRIALS is how
// often; default once. The ack wait is long, so that what another worker goes on with
// was handed back.
func TestTerm(t *testing.T) {
	t.Parallel()
	trials, set := number(t, "TERM_TRIALS")
	if !set {
		trials = 1
	}
	first, _ := number(t, "TERM_SEED")
	var sum terms
	t.Run("trials", func(t *testing.T) {
		for i := range trials {
			t.Run(fmt.Sprint(first+i), func(t *testing.T) {
				t.Parallel()
				sum.try(t, first+i, set)
			})
		}
	})
	slices.Sort(sum.took)
	if n := len(sum.took); n > 0 {
		t.Logf("%d trials, %d copies in flight, of which %d were finished and %d handed back; median %v, longest %v; %d void, %d violations", trials,
			sum.inFlight, sum.finished, sum.handedBack, sum.took[n/2].Round(10*time.Millisecond), sum.took[n-1].Round(10*time.Millisecond), sum.voids, sum.found)
	}
}

func (sum *terms) try(t *testing.T, trial int, all bool) {
	rng := rand.New(rand.NewPCG(12, uint64(trial)))
	dir, err := os.MkdirTemp("", "term")
	if err != nil {
		t.Fatal(err)
	}
	w, err := chaos.NewWorld(t.Context(), chaos.Options{
		Seed: uint64(trial), Dir: dir, AckWait: time.Minute, KeyFile: keyFile(t),
		Program: crashProgram(t), Server: program(t, "CHAOS_SERVER", "nats-server"), PutOnly: rng.IntN(3) == 0,
		Environ: []string{"FOCUS_ADVANCED_STALL_TIMEOUT=60"}, // a slow link is no silent one
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	part := []time.Duration{time.Second, 4 * time.Second, 40 * time.Second}[trial%3]
	if !all {
		part = time.Second // none that outlives the grace of 20 s
	}
	p, told, err := underLoad(t.Context(), w, rng, part)
	var problems []string
	if err == nil {
		problems = sum.end(t.Context(), w, p, told)
		if err := w.Settle(t.Context()); err != nil {
			problems = append(problems, err.Error())
		}
		for _, v := range w.Check() {
			problems = append(problems, v.String()+"\n"+w.Timeline(v.Object))
		}
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.found += len(problems)
	for _, problem := range problems {
		t.Errorf("FAIL I12 trial=%d: %s", trial, problem)
	}
	if err != nil {
		sum.voids++
		t.Errorf("VOID trial=%d: %v", trial, err)
	}
	if !t.Failed() {
		os.RemoveAll(dir)
		return
	}
	t.Errorf("artifacts: %s; repeat: make term N=1 SEED=%d", dir, trial)
}

// underLoad starts a copier whose link to the destination is slow, so that a part takes
// about so long; gives it all that it can hold; starts another one beside it, whose link
// is not slow; and tells the first one to end.
func underLoad(ctx context.Context, w *chaos.World, rng *rand.Rand, part time.Duration) (p *chaos.Process, told time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("it was not under load within a minute"))
	defer cancel()
	for i := range 2 { // the oldest, and so the first
		w.AddReport(20-i, 1+i, 2*chaos.PartSize+1+rng.Int64N(2<<20))
	}
	for i := range 12 {
		w.AddReport(i, 10+i, rng.Int64N(int64(1)<<rng.IntN(21)))
	}
	if p, err = w.Start("copier"); err != nil {
		return p, told, err
	}
	part = part/2 + time.Duration(rng.Int64N(int64(part)))
	const tick = 50 * time.Millisecond
	w.Sim.S3Faults.Add(simulator.Rule{Op: "UploadPart", Match: p.Sent, Do: simulator.Trickle(int(chaos.PartSize*tick/part), tick)})
	w.Sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Match: p.Sent, Do: simulator.Latency(time.Duration(rng.Int64N(int64(500 * time.Millisecond))))})
	if _, err = w.Start("scanner"); err != nil {
		return p, told, err
	}
	for holds(w, p, time.Now()) == nil {
		select {
		case <-ctx.Done():
			return p, told, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	if _, err = w.Start("copier"); err != nil {
		return p, told, err
	}
	time.Sleep(time.Duration(rng.Int64N(int64(min(part, 3*time.Second))))) // to the moment that is drawn
	told = time.Now()
	if len(holds(w, p, told)) == 0 {
		err = errors.New("nothing was in flight")
	}
	p.Term()
	return p, told, err
}

// holds are the objects of the messages that a process had at a time.
func holds(w *chaos.World, p *chaos.Process, at time.Time) (objects []string) {
	for _, e := range w.History.Events() {
		if e.Process != p.Name || e.At.After(at) {
			continue
		}
		switch e.Kind {
		case chaos.Delivered:
			objects = append(objects, e.Object)
		case chaos.Settled:
			objects = slices.DeleteFunc(objects, func(o string) bool { return o == e.Object })
		}
	}
	return objects
}

// end waits for the end, and lists what was not as promised.
func (sum *terms) end(ctx context.Context, w *chaos.World, p *chaos.Process, told time.Time) (problems []string) {
	bad := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	limit, cancel := context.WithTimeoutCause(ctx, termWithin, fmt.Errorf("%v after SIGTERM", termWithin))
	defer cancel()
	code, err := p.Wait(limit)
	took := time.Since(told)
	if err != nil || code != 0 {
		bad("exit code %d, %v: %s", code, err, p.Output())
		p.Kill()
	}
	if left := holds(w, p, time.Now()); len(left) > 0 {
		bad("it ended with messages that it neither settled nor handed back: %q", left)
	}
	held := holds(w, p, told.Add(hearing))
	done, back := 0, 0
	for _, object := range held {
		switch at, word := settled(w, p, object); word {
		case "+ACK":
			done++
		case "-NAK":
			back++
			if wait := untilTaken(ctx, w, p, object, at); wait > handover {
				bad("%q was handed back, and taken %v later", object, wait)
			}
		default:
			bad("%q was settled with %q", object, word)
		}
	}
	for _, e := range w.History.Events() {
		if e.Kind != chaos.Delivered || e.Process != p.Name || !e.At.After(told.Add(hearing)) {
			continue
		}
		if _, word := settled(w, p, e.Object); word != "-NAK" {
			bad("%q was fetched %v after the signal, and settled with %q", e.Object, e.At.Sub(told), word)
		}
	}
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.took = append(sum.took, took)
	sum.inFlight, sum.finished, sum.handedBack = sum.inFlight+len(held), sum.finished+done, sum.handedBack+back
	return problems
}

// settled is how and when a process settled the last message of an object.
func settled(w *chaos.World, p *chaos.Process, object string) (at time.Time, word string) {
	for _, e := range w.History.Events() {
		if e.Kind == chaos.Settled && e.Process == p.Name && e.Object == object {
			at, word = e.At, e.Status
		}
	}
	return at, word
}

// untilTaken is how long after a time another process was handed an object's message.
func untilTaken(ctx context.Context, w *chaos.World, p *chaos.Process, object string, since time.Time) time.Duration {
	for {
		for _, e := range w.History.Events() {
			if e.Kind == chaos.Delivered && e.Process != p.Name && e.Object == object && e.At.After(since) {
				return e.At.Sub(since)
			}
		}
		if ctx.Err() != nil || time.Since(since) > 2*handover {
			return time.Since(since)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
