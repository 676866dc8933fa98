package chaos_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
	"oracle-focus-agent/internal/failpoint"
	"oracle-focus-agent/internal/simulator"
)

// A crash is one row of the matrix: a point, and how a process comes to it.
type crash struct {
	point failpoint.Point
	files func(*chaos.World, *rand.Rand)
	// role is the one that dies where each has a process of its own; empty where only
	// `run` with its queue inside comes to the point. All others are tried in both ways.
	role string
	args string // of run
	// arrivals is how often the point is come to at least.
	arrivals int
	// planned: the plan that run makes at its first start comes to it as often as a scan.
	planned bool
	// heads: the keys must be allowed to ask.
	heads bool
	// during is what happens to the process while it works; nil: nothing.
	during func(context.Context, *chaos.World, *chaos.Process) error
	// quick rows are tried with every change; the others by make crash.
	quick bool
}

func matrix() []crash {
	copies := func(p failpoint.Point, arrivals int, files func(*chaos.World, *rand.Rand)) crash {
		return crash{point: p, role: "copier", arrivals: arrivals, files: files}
	}
	scans := func(p failpoint.Point, arrivals int, files func(*chaos.World, *rand.Rand)) crash {
		return crash{point: p, role: "scanner", arrivals: arrivals, files: files}
	}
	starts := func(p failpoint.Point, arrivals int) crash {
		return crash{point: p, arrivals: arrivals, files: smallFiles}
	}
	stops := func(p failpoint.Point, arrivals int) crash {
		return crash{point: p, role: "copier", arrivals: arrivals, files: slowFiles, during: terminate}
	}
	quick := func(c crash) crash { c.quick = true; return c }
	planned := func(c crash) crash { c.planned = true; return c }
	looked := copies(failpoint.Looked, 2, lostAnswers)
	looked.heads = true
	locked := starts(failpoint.PIDLocked, 2)
	locked.args = " --pid-file agent.pid"
	return []crash{
		copies(failpoint.Fetched, 5, mixedFiles),
		copies(failpoint.Validated, 5, mixedFiles),
		copies(failpoint.RecordRead, 5, mixedFiles),
		copies(failpoint.Opened, 5, mixedFiles),
		quick(copies(failpoint.UploadCreated, 2, largeFiles)),
		copies(failpoint.UploadNoted, 2, largeFiles),
		copies(failpoint.FirstPart, 2, largeFiles),
		quick(copies(failpoint.SecondPartHalf, 2, largeFiles)),
		copies(failpoint.LastPart, 2, largeFiles),
		copies(failpoint.Compared, 2, largeFiles),
		quick(copies(failpoint.CompleteSent, 2, largeFiles)),
		copies(failpoint.CompleteAnswered, 2, largeFiles),
		looked,
		copies(failpoint.Recorded, 2, largeFiles),
		quick(copies(failpoint.AckSent, 5, mixedFiles)),
		copies(failpoint.AckConfirmed, 5, mixedFiles),

		copies(failpoint.Buffered, 5, smallFiles),
		quick(copies(failpoint.PutSent, 5, smallFiles)),
		copies(failpoint.PutAnswered, 5, smallFiles),
		quick(copies(failpoint.PutRecorded, 5, smallFiles)),

		copies(failpoint.AbortSent, 3, lyingFiles),
		copies(failpoint.HandedBack, 4, lyingFiles),
		quick(copies(failpoint.Buried, 2, lyingFiles)),
		copies(failpoint.Terminated, 2, lyingFiles),

		planned(scans(failpoint.FirstPage, 1, manyNames)),
		planned(scans(failpoint.FifthPageHalf, 1, manyNames)),
		planned(scans(failpoint.DayRead, 5, smallFiles)),
		quick(scans(failpoint.PublishSent, 5, smallFiles)),
		scans(failpoint.Published, 5, smallFiles),
		quick(scans(failpoint.MarksBefore, 1, smallFiles)),
		scans(failpoint.MarksSaved, 1, smallFiles),

		locked,
		starts(failpoint.StreamCreated, 2),
		quick(starts(failpoint.BucketCreated, 1)),
		starts(failpoint.ConsumerCreated, 2),
		stops(failpoint.Signalled, 1),
		quick(stops(failpoint.Draining, 2)),
		quick(stops(failpoint.Ending, 1)),
	}
}

// smallFiles are five reports of five days that are sent whole.
func smallFiles(w *chaos.World, rng *rand.Rand) {
	for i := range 5 {
		w.AddReport(i, 1+i, rng.Int64N(100_000))
	}
}

// largeFiles are two reports of three parts each, beside a small one.
func largeFiles(w *chaos.World, rng *rand.Rand) {
	for i := range 2 {
		w.AddReport(i, 1+i, 2*chaos.PartSize+1+rng.Int64N(2<<20))
	}
	w.AddReport(2, 3, 1000)
}

func mixedFiles(w *chaos.World, rng *rand.Rand) {
	largeFiles(w, rng)
	w.AddReport(3, 4, 0)
	w.AddReport(4, 5, rng.Int64N(chaos.PartSize))
}

// lyingFiles are two reports whose declared sum is not that of their bytes, and a good one.
func lyingFiles(w *chaos.World, rng *rand.Rand) {
	for i, size := range []int64{chaos.PartSize + 1 + rng.Int64N(1<<20), 1000} {
		name := simulator.ReportName(time.Now().UTC().AddDate(0, 0, -i), int64(1+i), 1)
		w.Add(simulator.Object{Name: name, Content: simulator.Random(rng.Uint64(), size), CRC32C: "AAAAAA=="})
	}
	w.AddReport(2, 3, rng.Int64N(100_000))
}

// lostAnswers are two large reports the answers to whose Complete are lost.
func lostAnswers(w *chaos.World, rng *rand.Rand) {
	for i := range 2 {
		v := w.AddReport(i, 1+i, 2*chaos.PartSize+1+rng.Int64N(2<<20))
		w.Sim.S3Faults.Add(simulator.Rule{Op: "CompleteMultipartUpload", Name: v.Key, Times: 1, Do: simulator.Lost()})
	}
}

// manyNames are so many objects that a listing has more than five pages: few reports
// among what is none.
func manyNames(w *chaos.World, rng *rand.Rand) {
	day := time.Now().UTC().AddDate(0, 0, -2).Format("2006/01/02")
	w.Sim.Source.Generate(4900, func(i int) simulator.Object {
		return simulator.Object{Name: fmt.Sprintf("%s%s/note-%05d.txt", simulator.Prefix, day, i), Content: simulator.Random(1, 1), Created: time.Now()}
	})
	smallFiles(w, rng)
}

// slowFiles are small reports that take their time on the way to the destination.
func slowFiles(w *chaos.World, rng *rand.Rand) {
	smallFiles(w, rng)
	w.Sim.S3Faults.Add(simulator.Rule{Op: "PutObject", Do: simulator.Latency(300 * time.Millisecond)})
}

// terminate is SIGTERM while two copies are in flight.
func terminate(ctx context.Context, w *chaos.World, p *chaos.Process) error {
	for w.Sim.S3.Requests()["PutObject"] < 2 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no copies in flight: %w", context.Cause(ctx))
		case <-time.After(5 * time.Millisecond):
		}
	}
	p.Term()
	return nil
}

// A tally counts the trials of one point.
type tally struct {
	mu                               sync.Mutex
	trials, kills, voids, violations int
	took                             time.Duration
}

// TestCrash kills the product at each point of the matrix, starts it again, and holds
// what came of it against the invariants. CRASH is how often (default once, at the quick
// rows), CRASH_POINT one point, CRASH_SEED the number of the first trial. A trial whose
// process does not die at its point proves nothing, and fails.
func TestCrash(t *testing.T) {
	t.Parallel()
	trials, all := number(t, "CRASH")
	first, _ := number(t, "CRASH_SEED")
	only := failpoint.Point(os.Getenv("CRASH_POINT"))
	if only != "" && !slices.Contains(failpoint.Points(), only) {
		t.Fatalf("CRASH_POINT=%s is no point; there are %v", only, failpoint.Points())
	}
	tallies := map[failpoint.Point]*tally{}
	began := time.Now()
	t.Run("points", func(t *testing.T) {
		for row, c := range matrix() {
			if only != "" && only != c.point || !all && only == "" && !c.quick {
				continue
			}
			from, to := first, first+max(trials, 1)
			if !all { // in both ways, over all rows
				from, to = row, row+1
			}
			sum := &tally{}
			tallies[c.point] = sum
			t.Run(string(c.point), func(t *testing.T) {
				t.Parallel()
				for trial := from; trial < to; trial++ {
					c.try(t, row, trial, sum)
				}
			})
		}
	})
	var b strings.Builder
	total := tally{}
	fmt.Fprintf(&b, "%-28s %7s %6s %5s %11s %6s\n", "point", "trials", "kills", "void", "violations", "each")
	for _, p := range failpoint.Points() {
		s := tallies[p]
		if s == nil {
			continue
		}
		fmt.Fprintf(&b, "%-28s %7d %6d %5d %11d %5.1fs\n", p, s.trials, s.kills, s.voids, s.violations, s.took.Seconds()/float64(max(s.trials, 1)))
		total.trials, total.kills, total.voids, total.violations = total.trials+s.trials, total.kills+s.kills, total.voids+s.voids, total.violations+s.violations
	}
	fmt.Fprintf(&b, "%d points, %d trials, %d kills, %d void, %d violations, %v\n", len(tallies), total.trials, total.kills, total.voids, total.violations, time.Since(began).Round(time.Second))
	t.Log("\n" + b.String())
}

// number is that of an environment variable; 0 and false where it is not set.
func number(t *testing.T, variable string) (n int, set bool) {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q: give a number", variable, text)
	}
	return n, true
}

// try is one trial.
func (c crash) try(t *testing.T, row, trial int, sum *tally) {
	began := time.Now()
	rng := rand.New(rand.NewPCG(uint64(row), uint64(trial)))
	dir, err := os.MkdirTemp("", "crash")
	if err != nil {
		t.Fatal(err)
	}
	o := chaos.Options{
		Seed: uint64(row<<20 + trial), Dir: dir, AckWait: 2 * time.Second, KeyFile: keyFile(t),
		Program: crashProgram(t), Server: program(t, "CHAOS_SERVER", "nats-server"),
		Embedded: c.role == "" || trial%2 == 1, PutOnly: !c.heads && rng.IntN(3) == 0,
		Relays:  rng.IntN(2) == 0,
		Environ: []string{"FOCUS_ADVANCED_STALL_TIMEOUT=60"}, // a machine under load is no side that is silent
	}
	if o.Embedded { // a restart does not wait for it
		o.AckWait = time.Minute
	}
	w, err := chaos.NewWorld(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	kills, err := c.kill(t.Context(), w, o, rng)
	sum.mu.Lock()
	defer sum.mu.Unlock()
	sum.trials++
	sum.kills += kills
	var found []chaos.Violation
	if err != nil {
		sum.voids++
		t.Errorf("VOID trial=%d: %v", trial, err)
	} else {
		if err := w.Settle(t.Context()); err != nil {
			found = append(found, chaos.Violation{Invariant: "I13", Text: err.Error()})
		}
		found = append(found, w.Check()...)
		if o.Embedded {
			found = append(found, repeats(w, kills)...)
		}
	}
	sum.violations += len(found)
	for _, v := range found {
		t.Errorf("FAIL %v\n%s", v, w.Timeline(v.Object))
	}
	sum.took += time.Since(began)
	if err == nil && len(found) == 0 {
		os.RemoveAll(dir)
		return
	}
	t.Errorf("artifacts: %s; repeat: make crash N=1 POINT=%s SEED=%d", dir, c.point, trial)
}

// repeats are the versions that were sent more often than processes died (I4). With a
// queue inside, nothing else is known of who had which message.
func repeats(w *chaos.World, kills int) (found []chaos.Violation) {
	type version struct{ key, etag string }
	sent := map[version]int{}
	for _, c := range w.Sim.S3.History() {
		v := version{c.Key, c.Metadata["oci-etag"]}
		if sent[v]++; sent[v] == kills+2 {
			found = append(found, chaos.Violation{Invariant: "I4", Key: c.Key, Commit: c.Version, Text: fmt.Sprintf("etag %s was sent %d times, after %d kills", v.etag, sent[v], kills)})
		}
	}
	return found
}

// kill starts the processes, and returns when the one has died at its point. Each third
// time the next one is killed as well, soon and perhaps at the same point.
func (c crash) kill(ctx context.Context, w *chaos.World, o chaos.Options, rng *rand.Rand) (kills int, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, fmt.Errorf("it did not come to the point within a minute"))
	defer cancel()
	c.files(w, rng)
	role, arrivals := c.role, c.arrivals
	if o.Embedded {
		role = "run" + c.args
		if c.planned {
			arrivals *= 2
		}
	}
	if role == "copier" {
		if _, err := w.Start("scanner"); err != nil {
			return 0, err
		}
	}
	n := 1 + rng.IntN(arrivals)
	if err := c.killAt(ctx, w, o, role, n); err != nil {
		return 0, err
	}
	if rng.IntN(2) == 0 {
		overwriteOne(w, rng)
	}
	if rng.IntN(3) > 0 {
		return 1, nil
	}
	p, err := w.Start(role, fmt.Sprintf("OFA_FAILPOINT=%s:1", c.point))
	if err != nil {
		return 1, err
	}
	select {
	case <-p.Done():
	case <-time.After(time.Duration(rng.IntN(1000)) * time.Millisecond):
	}
	p.Kill()
	return 2, nil
}

// killAt starts a process that dies when it comes to the point for the n-th time.
func (c crash) killAt(ctx context.Context, w *chaos.World, o chaos.Options, role string, n int) error {
	log := filepath.Join(o.Dir, "points")
	p, err := w.Start(role, fmt.Sprintf("OFA_FAILPOINT=%s:%d", c.point, n), "OFA_FAILPOINT_LOG="+log)
	if err != nil {
		return err
	}
	if c.during != nil {
		if err := c.during(ctx, w, p); err != nil {
			return err
		}
	}
	code, err := p.Wait(ctx)
	if err != nil {
		return fmt.Errorf("%d. arrival: %w", n, err)
	}
	p.Kill() // it is meant to be dead
	text, err := os.ReadFile(log)
	reached := strings.Fields(string(text))
	here := 0
	for _, name := range reached {
		if name == string(c.point) {
			here++
		}
	}
	if err != nil || code != -1 || here != n || reached[len(reached)-1] != string(c.point) {
		return fmt.Errorf("%s ended with %d, after %d of %d arrivals, at %v: %s", p.Name, code, here, n, reached[max(0, len(reached)-1):], p.Output())
	}
	return nil
}

// overwriteOne gives one of the reports other bytes, while nobody is at work.
func overwriteOne(w *chaos.World, rng *rand.Rand) {
	var names []string
	for name, v := range w.History.Present() {
		if v.Key != "" && !v.Lies {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	w.Overwrite(names[rng.IntN(len(names))], simulator.Random(rng.Uint64(), rng.Int64N(100_000)))
}

// TestTheMatrixHasEveryPoint: in the order in which they are defined.
func TestTheMatrixHasEveryPoint(t *testing.T) {
	var rows []failpoint.Point
	for _, c := range matrix() {
		rows = append(rows, c.point)
	}
	if points := failpoint.Points(); !slices.Equal(rows, points) {
		t.Errorf("the rows are %v, want %v", rows, points)
	}
}

// What is no point must not pass for a crash that was survived.
func TestTheProgramRefusesAPointThatItDoesNotHave(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{"copier.nowhere:1", "copier.opened", "copier.opened:", "copier.opened:-1", "copier.opened:1,x:1"} {
		cmd := exec.Command(crashProgram(t), "version")
		cmd.Env = append(os.Environ(), "OFA_FAILPOINT="+bad)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), "OFA_FAILPOINT: ") {
			t.Errorf("OFA_FAILPOINT=%s: %v: %s, want exit code 2 and why", bad, err, out)
		}
	}
}

// crashProgram is the product with the points in it, built once. CRASH_PROGRAM names
// another one.
func crashProgram(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("CRASH_PROGRAM"); path != "" {
		return path
	}
	path, err := crashBuild()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var crashBuild = sync.OnceValues(func() (path string, err error) {
	dir, err := workshop()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "oracle-focus-agent-failpoints")
	build := exec.Command("go", "build", "-trimpath", "-tags", "failpoints", "-o", path, "oracle-focus-agent/cmd/oracle-focus-agent")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// keyFile is a key of OCI for all worlds, since making one takes long.
func keyFile(t testing.TB) string {
	t.Helper()
	path, err := crashKey()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

var crashKey = sync.OnceValues(func() (path string, err error) {
	key, err := simulator.NewKey()
	if err != nil {
		return "", err
	}
	dir, err := workshop()
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "key.pem")
	return path, os.WriteFile(path, key.PEM(), 0o600)
})
