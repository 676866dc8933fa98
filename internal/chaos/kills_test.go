package chaos_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"oracle-focus-agent/internal/chaos"
)

// TestKills kills the NATS server under load, about four times a second, as often as
// CHAOS_KILLS says: a scanner and two copiers at work, and a new file for each kill. In
// the end all files are there, and nothing was violated.
func TestKills(t *testing.T) {
	t.Parallel()
	kills := 8
	if s := os.Getenv("CHAOS_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	o := options(t)
	w, err := chaos.NewWorld(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, role := range []string{"scanner", "copier", "copier"} {
		if _, err := w.Start(role); err != nil {
			t.Fatal(err)
		}
	}
	rng := rand.New(rand.NewPCG(o.Seed, 11))
	begun := time.Now()
	for n := range kills {
		w.AddReport(n%30, 1000+n, int64(rng.IntN(64<<10)))
		w.Scan()
		lives := time.Duration(20 * math.Exp(rng.Float64()*math.Log(40)) * float64(time.Millisecond)) // 20 to 800 ms, 210 on average
		select {
		case <-time.After(lives):
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		}
		w.KillServer()
		if err := w.StartServer(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	took, copied := time.Since(begun), len(w.Sim.S3.History())
	if err := w.Settle(t.Context()); err != nil {
		t.Error(err)
	}
	violations := w.Check()
	for _, v := range violations {
		t.Error(v)
		if v.Object != "" {
			t.Log(w.Timeline(v.Object))
		}
	}
	fmt.Printf("%d kills of nats-server in %v: %d files, %d of them copied meanwhile, %d commits in all, %d violations\n",
		kills, took.Round(time.Second), kills, copied, len(w.Sim.S3.History()), len(violations))
}
