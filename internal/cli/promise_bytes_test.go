package cli_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// worldPart is that of a world.
const worldPart = 5 << 20

func TestContentEncodingGzipArrivesAsStored(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	o := object(1, "encoded.csv.gz", 0)
	o.Content, o.ContentEncoding = simulator.FocusReport(1, time.Now(), 50), "gzip"
	w.add(o)
	w.sync(t, 0)
	w.check(t)
}

// The one test that takes its time: the body flows for 65 seconds.
func TestABodySlowerThanAMinuteIsNotCut(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes 65 s")
	}
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "slow.csv.gz", 65_000))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.Trickle(1000, time.Second)})
	begin := time.Now()
	w.sync(t, 0)
	if took := time.Since(begin); took < time.Minute {
		t.Errorf("the body took %v, which proves nothing", took)
	}
	if got := w.OCI.Requests()["GetObject"]; got != 1 {
		t.Errorf("%d requests for the body, want 1", got)
	}
	w.check(t)
}

func TestAStalledBodyIsGivenUpAndTriedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_ADVANCED_STALL_TIMEOUT=1")
	w.add(object(1, "small.csv.gz", 10_000), object(1, "large.csv.gz", 2*worldPart))
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "small", Times: 1, Do: simulator.Stall(1000, nil)})
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "large", Times: 1, Do: simulator.Stall(worldPart+1, nil)})
	if got := w.sync(t, 0).Transferred; got != 2 {
		t.Errorf("%d transferred, want 2", got)
	}
	if got := w.OCIFaults.Count()["stall"]; got != 2 {
		t.Errorf("%d bodies stalled, want 2", got)
	}
	w.check(t)
}

// While a fault lasts, the file is not visible and the sync says so; when it
// ends, the next sync copies the file.
func TestABrokenBodyIsNeverVisibleAndIsCopiedWhenTheFaultEnds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		fault simulator.Fault
		dead  bool // is given up, and comes back by `failed retry`
	}{
		{"truncated with the full length", simulator.Truncate(700, simulator.KeepLength), false},
		{"truncated in chunks", simulator.Truncate(700, simulator.NoLength), false},
		{"truncated by the end of the connection", simulator.Truncate(700, simulator.CloseEnds), false},
		{"one byte longer", simulator.Extend(1), false},
		{"cut by a reset", simulator.ResetAfterBytes(700), false},
		{"one bit flipped", simulator.FlipBit(700), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, simulator.Options{})
			small, large := object(1, "victim-small.csv.gz", 1000), object(2, "victim-large.csv.gz", worldPart+1000)
			w.add(small, large, object(1, "good.csv.gz", 1000))
			end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "victim", Do: c.fault})

			s := w.sync(t, 1)
			if got, want := s.failed(), []string{large.Name, small.Name}; !slices.Equal(got, want) || s.Transferred != 1 {
				t.Errorf("failed = %q and %d transferred, want %q and 1", got, s.Transferred, want)
			}
			w.check(t, small.Name, large.Name)
			list := w.run(t, "failed", "list").want(t, 0).stdout
			for _, name := range []string{small.Name, large.Name} {
				if strings.Contains(list, name) != c.dead {
					t.Errorf("`failed list` names %q: %v, want %v: %s", name, !c.dead, c.dead, list)
				}
			}

			end()
			if c.dead {
				w.sync(t, 1) // the dead stay dead, and are reported
				w.run(t, "failed", "retry", "--all", "--yes", "--no-wait").want(t, 0)
			}
			if got := w.sync(t, 0).Transferred; got != 2 {
				t.Errorf("%d transferred after the fault, want 2", got)
			}
			w.check(t)
			if got := strings.TrimSpace(w.run(t, "failed", "list", "--json").want(t, 0).stdout); got != "[]" {
				t.Errorf("failed list = %s, want []", got)
			}
		})
	}
}

// A bucket that declares no sum at all cannot prove a flipped bit; one that
// declares an MD5 can.
func TestEveryRungOfTheLadderVerifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	byCRC, byMD5, bySize := object(1, "crc.csv.gz", 1000), object(1, "md5.csv.gz", 1000), object(1, "size.csv.gz", 1000)
	byMD5.NoCRC32C, bySize.NoCRC32C, bySize.NoMD5 = true, true, true
	w.add(byCRC, byMD5, bySize)
	for _, name := range []string{byCRC.Name, byMD5.Name} {
		w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: name, Times: 1, Do: simulator.FlipBit(5)})
	}
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: bySize.Name, Times: 1, Do: simulator.Truncate(999, simulator.NoLength)})
	if got := w.sync(t, 0).Transferred; got != 3 {
		t.Errorf("%d transferred, want 3", got)
	}
	w.check(t)
}

func TestEverySizeAroundAChunkArrives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	want := map[string]string{} // how the bytes became visible, by key
	for _, size := range []int64{0, 1, worldPart - 1, worldPart, worldPart + 1, 2*worldPart - 1, 2 * worldPart, 2*worldPart + 1} {
		o := object(1, strconv.FormatInt(size, 10)+".csv.gz", size)
		w.add(o)
		key, _ := w.keyOf(o.Name, size)
		if want[key] = "put"; size > worldPart {
			want[key] = "complete"
		}
	}
	w.sync(t, 0)
	w.check(t)
	if got := len(w.S3.History()); got != len(want) {
		t.Errorf("%d commits, want %d", got, len(want))
	}
	for _, c := range w.S3.History() {
		if c.How != want[c.Key] {
			t.Errorf("%s became visible by %q, want %q", c.Key, c.How, want[c.Key])
		}
	}
}

// Its first part comes with the answer that says what its sums are, each other one as a range.
func TestALargeReportIsReadInRanges(t *testing.T) {
	t.Parallel()
	const parts = 6
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "large.csv.gz", (parts-1)*worldPart+1))
	s := w.sync(t, 0)
	w.check(t)
	if got := w.OCI.Requests()["GetObject"]; s.Transferred != 1 || got != parts {
		t.Errorf("sync = %+v with %d requests for %d parts", s, got, parts)
	}
}

// It is generated and never read: a size over the limit is known from the listing.
func TestAReportOverFiveGigabytesIsReportedAndNeverRead(t *testing.T) {
	t.Parallel()
	const size = 5<<30 + 1
	w := newWorld(t, simulator.Options{})
	giant := simulator.Object{Name: nameOf(1, "giant.csv.gz"), Content: simulator.Random(1, size), NoMD5: true, NoCRC32C: true}
	w.add(giant, object(1, "good.csv.gz", 1000))
	for range 2 { // it is not forgotten by the second sync
		s := w.sync(t, 1)
		if s.Failed != 1 || s.Failures[0].Object != giant.Name || !strings.Contains(s.Failures[0].Reason, strconv.Itoa(size)) {
			t.Errorf("failures = %+v, want %q with its size of %d", s.Failures, giant.Name, size)
		}
	}
	if got := w.OCI.BytesServed(); got != 1000 {
		t.Errorf("%d bytes were read, want 1000", got)
	}
	w.check(t)
	if plan := w.run(t, "sync", "--dry-run").want(t, 0).stdout; !strings.Contains(plan, giant.Name) {
		t.Errorf("the plan does not name %q: %s", giant.Name, plan)
	}
}
