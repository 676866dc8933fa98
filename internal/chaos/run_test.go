package chaos_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
)

// CHAOS_SEEDS is a seed or a range of them, such as 1-100, CHAOS_DURATION how long each
// lasts before it settles; `make chaos` sets both. CHAOS_POWER cuts the power of the NATS
// server in every third seed, which needs root. A run of which something is to be
// looked at stays in a directory below CHAOS_DIR.
func TestChaos(t *testing.T) {
	first, last := seeds(t)
	duration := 3 * time.Second
	if s := os.Getenv("CHAOS_DURATION"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	var all total
	t.Cleanup(func() { fmt.Println(&all) })
	for seed := first; seed <= last; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			p := chaos.NewPlan(seed, duration, nil)
			if os.Getenv("CHAOS_POWER") != "" && seed%3 == 0 {
				p.CutPower()
			}
			r := run(t, p)
			fmt.Println(r)
			all.add(r)
			if !r.Green() { // at once: others still run
				fmt.Print(r.Details(fmt.Sprintf("make chaos SEED=%d DURATION=%v", seed, duration)))
				t.Error(r)
			}
		})
	}
}

func seeds(t *testing.T) (first, last uint64) {
	t.Helper()
	from, to, ranged := strings.Cut(os.Getenv("CHAOS_SEEDS"), "-")
	if from == "" {
		return 1, 1
	}
	if !ranged {
		to = from
	}
	first, err := strconv.ParseUint(from, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	if last, err = strconv.ParseUint(to, 10, 64); err != nil {
		t.Fatal(err)
	}
	return first, last
}

// run carries out a plan in a directory that stays where something was violated.
func run(t *testing.T, p chaos.Plan) *chaos.Report {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv("CHAOS_DIR"), fmt.Sprintf("chaos-%d-", p.Seed))
	if err != nil {
		t.Fatal(err)
	}
	o := options(t)
	o.Dir, o.AckWait = dir, 0
	r, err := chaos.Run(t.Context(), o, p)
	if err != nil {
		t.Fatalf("%v; see %s", err, dir)
	}
	return r
}

// A total is what came of all runs.
type total struct {
	mu                                    sync.Mutex
	runs, green, files, versions, commits int
	faults                                map[string]int
}

func (a *total) add(r *chaos.Report) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.faults == nil {
		a.faults = map[string]int{}
	}
	a.runs++
	if r.Green() {
		a.green++
	}
	a.files, a.versions, a.commits = a.files+r.Files, a.versions+r.Versions, a.commits+r.Commits
	for kind, n := range r.Faults {
		a.faults[kind] += n
	}
}

func (a *total) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	faults, kinds := 0, []string{}
	for _, kind := range slices.Sorted(maps.Keys(a.faults)) {
		faults += a.faults[kind]
		kinds = append(kinds, fmt.Sprint(a.faults[kind], " ", kind))
	}
	return fmt.Sprintf("%d of %d seeds green: %d files, %d versions, %d commits, %d faults: %s",
		a.green, a.runs, a.files, a.versions, a.commits, faults, strings.Join(kinds, ", "))
}
