package chaos_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
	"oracle-focus-agent/internal/simulator"
)

const (
	mutantSeeds = 20 // within which a bug must be caught
	soundSeeds  = 3  // at least so many of each hunt must find nothing in the program as it is
)

// planted are the mutants to try. MUTANTS is "all" or the numbers of some, 3,8;
// `make mutants` sets it.
func planted(t *testing.T) (some []mutant) {
	t.Helper()
	switch wanted := os.Getenv("MUTANTS"); wanted {
	case "":
		t.Skip("`make mutants` plants the bugs; each makes a program of its own, which takes a while")
	case "all":
		some = mutants()
	default:
		some = slices.DeleteFunc(mutants(), func(m mutant) bool { return !slices.Contains(strings.Split(wanted, ","), strconv.Itoa(m.number)) })
	}
	return some
}

// TestMutantsAreCaught builds the program with each planted bug and sets the checker on
// it; and on the program as it is, where it must find nothing. With MUTANTS_HUNT=random
// it does so by the plans of `make chaos`, which know nothing of the bugs.
func TestMutantsAreCaught(t *testing.T) {
	some := planted(t)
	g := newGamekeeper(t)
	caught := 0
	fmt.Println("| | bug | caught by | seed | hunt | seconds |\n|---|---|---|---|---|---|")
	for _, m := range some {
		if os.Getenv("MUTANTS_HUNT") == "random" {
			m.hunt = atRandom()
		}
		c := g.chase(m)
		if c.by == "" {
			t.Errorf("mutant %d was not caught within %d seeds: %s", m.number, mutantSeeds, m.bug)
			c.by = "NOT CAUGHT"
		} else {
			caught++
		}
		fmt.Printf("| %d | %s | %s | %d | %s | %.1f |\n", m.number, m.bug, c.by, c.seed, m.hunt.name, c.seconds)
		t.Logf("%d: %s", m.number, c.text)
		if err := g.sound(m, max(c.seed, soundSeeds)); err != nil {
			t.Errorf("mutant %d: the program as it is does not pass the same hunt, so that a catch proves nothing: %v", m.number, err)
		}
	}
	fmt.Printf("%d of %d caught; the program as it is passed %d runs of the same hunts\n", caught, len(some), g.passed)
}

// TestMutantsAreKilledByTests: the tests of a package see its planted bugs as well, with
// no process of the product. One of the bugs makes a test run for ever.
func TestMutantsAreKilledByTests(t *testing.T) {
	some := planted(t)
	killed := 0
	for _, m := range some {
		overlay, err := m.overlay(moduleRoot(t), t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		pkg, test, _ := strings.Cut(m.killedBy, " ")
		cmd := exec.Command("go", "test", "-count=1", "-timeout=2m", "-overlay", overlay, "-run", "^"+test+"$", pkg)
		cmd.Dir = moduleRoot(t)
		out, err := cmd.CombinedOutput()
		if !strings.Contains(string(out), "--- FAIL: "+test) && !strings.Contains(string(out), "test timed out") {
			t.Errorf("mutant %d survives %s (%v): %s\n%s", m.number, m.killedBy, err, m.bug, out)
			continue
		}
		killed++
		fmt.Printf("%d  killed by %s\n", m.number, m.killedBy)
	}
	fmt.Printf("%d of %d killed by a test of their package\n", killed, len(some))
}

// A gamekeeper builds programs and runs hunts.
type gamekeeper struct {
	t       *testing.T
	root    string
	options chaos.Options
	passed  int
	done    map[string]int // seeds of a hunt that the program as it is has passed
}

func newGamekeeper(t *testing.T) *gamekeeper {
	t.Helper()
	g := &gamekeeper{t: t, root: moduleRoot(t), options: options(t), done: map[string]int{}}
	key, err := simulator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	g.options.KeyFile = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(g.options.KeyFile, key.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return g
}

// A catch says which invariants were found violated by which seed.
type catch struct {
	by, text string
	seed     uint64
	seconds  float64
}

func (g *gamekeeper) chase(m mutant) (c catch) {
	g.t.Helper()
	program := g.build(m.edits)
	defer os.Remove(program)
	started := time.Now()
	for c.seed = 1; c.seed <= mutantSeeds && c.by == ""; c.seed++ {
		found, err := g.run(m.hunt, program, c.seed)
		if err != nil {
			g.t.Logf("mutant %d, seed %d: %v", m.number, c.seed, err)
		}
		c.by, c.text = summed(found)
	}
	c.seed--
	c.seconds = time.Since(started).Seconds()
	return c
}

// sound runs the same hunt with the program as it is.
func (g *gamekeeper) sound(m mutant, seeds uint64) error {
	name := fmt.Sprint(m.hunt.name, len(m.control))
	program := g.options.Program
	if len(m.control) > 0 {
		program = g.build(m.control)
		defer os.Remove(program)
	}
	for seed := uint64(g.done[name] + 1); seed <= seeds; seed++ {
		found, err := g.run(m.hunt, program, seed)
		if err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
		if len(found) > 0 {
			return fmt.Errorf("seed %d: %v", seed, found)
		}
		g.done[name]++
		g.passed++
	}
	return nil
}

func (g *gamekeeper) run(h hunt, program string, seed uint64) ([]chaos.Violation, error) {
	dir, err := os.MkdirTemp("", "hunt")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	o := g.options
	o.Dir, o.Program, o.Seed = dir, program, seed
	ctx, cancel := context.WithTimeout(g.t.Context(), 3*time.Minute)
	defer cancel()
	return h.track(ctx, o)
}

// build makes the product with some text replaced.
func (g *gamekeeper) build(edits []edit) (program string) {
	g.t.Helper()
	overlay, err := mutant{edits: edits}.overlay(g.root, g.t.TempDir())
	if err != nil {
		g.t.Fatal(err)
	}
	program = filepath.Join(filepath.Dir(overlay), "oracle-focus-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-overlay", overlay, "-o", program, "./cmd/oracle-focus-agent")
	cmd.Dir, cmd.Env = g.root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		g.t.Fatalf("a mutant does not compile: %v\n%s", err, out)
	}
	return program
}

// summed are the invariants that were violated, and one violation in words.
func summed(found []chaos.Violation) (names, text string) {
	set := map[string]bool{}
	for _, v := range found {
		set[v.Invariant] = true
		text = v.String()
	}
	return strings.Join(slices.Sorted(maps.Keys(set)), " "), text
}
