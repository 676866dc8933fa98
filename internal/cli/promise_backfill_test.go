package cli_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// marks are how far the scans came, while no command runs.
func (w *world) readMarks(t *testing.T) (m messages.Marks) {
	t.Helper()
	w.changeMarks(t, func(now *messages.Marks) { m = *now })
	return m
}

func TestABackfillAloneBringsPastDaysAndIsResponsibleForThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=5")
	for n := range 6 {
		w.add(object(n, "fresh.csv.gz", 500))
	}
	w.from = daysAgo(5)
	w.sync(t, 0)
	w.check(t)
	old, older, later := object(20, "old.csv.gz", 500), object(30, "older.csv.gz", 500), object(20, "later.csv.gz", 500)
	w.add(old, older)

	days := []string{"--from", daysAgo(25), "--to", daysAgo(10)}
	args := func(more ...string) []string { return append(append([]string{"backfill"}, days...), more...) }
	dry := w.run(t, args("--dry-run")...).want(t, 0).stdout
	for _, want := range []string{daysAgo(20) + "     1 to copy", "to copy     1 file, 500 B", "15 days", "about 1s with the"} {
		if !strings.Contains(dry, want) {
			t.Errorf("the preview lacks %q: %s", want, dry)
		}
	}
	w.run(t, args()...).want(t, 2) // nobody to ask
	if got, m := len(w.S3.History()), w.readMarks(t); got != 6 || m.Ranges != nil || len(w.audited(t)) != 0 {
		t.Errorf("a preview copied %d, noted %+v", got-6, m)
	}

	var done struct{ Copied summary }
	r := w.run(t, args("--yes", "--json")...).want(t, 0)
	if err := json.Unmarshal([]byte(r.stdout), &done); err != nil || done.Copied.Transferred != 1 || done.Copied.Discovered != 1 {
		t.Errorf("backfill --json = %s, %v", r.stdout, err)
	}
	w.from = daysAgo(25)
	w.check(t)
	want := []messages.Range{{From: messages.Day(daysAgo(25)), To: messages.Day(daysAgo(10))}}
	if m := w.readMarks(t); !slices.Equal(m.Ranges, want) {
		t.Errorf("the marks are %+v, want the range", m)
	}
	// The next sweep looks after these days, and not after those between.
	w.add(later)
	w.changeMarks(t, func(m *messages.Marks) { m.Swept = m.Swept.Add(-25 * time.Hour) })
	if s := w.sync(t, 0); s.Transferred != 1 {
		t.Errorf("the sweep = %+v, want 1 transferred", s)
	}
	w.check(t)

	before := len(w.S3.History())
	w.run(t, args("--yes")...).want(t, 0)
	if got := len(w.S3.History()) - before; got != 0 {
		t.Errorf("a second backfill copied %d", got)
	}
	if r := w.run(t, args("--all", "--yes")...).want(t, 0); !strings.Contains(r.stdout, "2 of them once more") || !strings.Contains(r.stdout, "Backfill complete: 2 transferred") {
		t.Errorf("backfill --all prints %q", r.stdout)
	}
	if got := len(w.S3.History()) - before; got != 2 {
		t.Errorf("backfill --all copied %d, want 2", got)
	}
	w.check(t)
	if acts := w.audited(t); len(acts) != 3 || acts[0].Count != 1 || !strings.Contains(acts[2].Detail, "all") {
		t.Errorf("the trail is %+v", acts)
	}
	for _, wrong := range [][]string{{"--from", daysAgo(3)}, {"--from", "x", "--to", daysAgo(1)}, {"--from", daysAgo(1), "--to", daysAgo(3)}, {"--from", daysAgo(1), "--to", daysAgo(-9)}} {
		w.run(t, append([]string{"backfill", "--yes"}, wrong...)...).want(t, 2)
	}
}

// Where the ledger is lost, what is noted beside it includes the days of backfills.
func TestALedgerThatIsBegunAnewIsResponsibleForTheDaysOfBackfills(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=5")
	w.add(object(1, "fresh.csv.gz", 500), object(20, "old.csv.gz", 500))
	w.run(t, "backfill", "--from", daysAgo(25), "--to", daysAgo(18), "--dry-run").want(t, 0)
	if _, err := os.Stat(w.dir); !os.IsNotExist(err) {
		t.Errorf("a preview has made the state directory: %v", err)
	}
	w.sync(t, 0)
	w.run(t, "backfill", "--from", daysAgo(25), "--to", daysAgo(18), "--yes").want(t, 0)
	note := w.readMarks(t)
	w.loseQueue(t)
	w.run(t, "sync").want(t, 2)
	w.run(t, "state", "rebuild", "--yes").want(t, 0)
	before := len(w.S3.History())
	w.changeMarks(t, func(m *messages.Marks) { m.Swept = m.Swept.Add(-25 * time.Hour) })
	w.sync(t, 0)
	if m := w.readMarks(t); !slices.Equal(m.Ranges, note.Ranges) || len(w.S3.History()) != before {
		t.Errorf("after a rebuild the marks are %+v, and %d files were sent again", m, len(w.S3.History())-before)
	}
	w.loseQueue(t)
	w.sync(t, 0, "--resend")
	if m := w.readMarks(t); !slices.Equal(m.Ranges, note.Ranges) || len(m.Ranges) != 1 {
		t.Errorf("the new marks are %+v, want the ranges of %+v", m, note)
	}
	w.check(t)
}

func TestABackfillBesideAnAgentIsTheAgentsWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=5")
	w.add(object(1, "fresh.csv.gz", 500), object(20, "old.csv.gz", 500), object(21, "old.csv.gz", 500))
	w.from = daysAgo(5)
	agent := w.startAgent(t, 1)
	r := w.run(t, "backfill", "--from", daysAgo(20), "--to", daysAgo(20), "--yes").want(t, 0)
	if !strings.Contains(r.stdout, "Backfill complete: 1 transferred") {
		t.Errorf("backfill beside an agent prints %q", r.stdout)
	}
	eventually(t, "the agent counts the copy as its own", func() bool { s, _ := w.status(t); return s.Totals.Transferred == 2 })
	r = w.run(t, "backfill", "--from", daysAgo(21), "--to", daysAgo(21), "--yes", "--no-wait").want(t, 0)
	if !strings.Contains(r.stdout, "Backfill queued: 1 files") {
		t.Errorf("backfill --no-wait prints %q", r.stdout)
	}
	eventually(t, "the agent has copied it", func() bool { s, _ := w.status(t); return s.Totals.Transferred == 3 })
	w.from = daysAgo(21)
	w.check(t)
	agent.stop().want(t, 0)
}

// While a route is paused, nothing is copied, by nobody and after no restart; nothing is
// lost; and everybody is told who did it and why.
func TestAPausedRouteCopiesNothingAndSaysWhy(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	first, second := object(1, "first.csv.gz", 500), object(2, "second.csv.gz", 500)
	w.add(first)
	w.run(t, "pause").want(t, 2)
	w.run(t, "pause", "--reason", " ").want(t, 2)
	w.run(t, "pause", "--reason", "the bucket moves", "--wait").want(t, 0)
	if r := w.run(t, "sync").want(t, 1); !strings.Contains(r.stderr, "the bucket moves") || !strings.Contains(r.stderr, "oracle-focus-agent resume") {
		t.Errorf("sync while paused says %q", r.stderr)
	}

	agent, probe := w.listen(t, "run")
	eventually(t, "the agent has scanned", func() bool { s, code := w.status(t); return code == 0 && s.LastScan != nil && s.Queue["live"] == 1.0 })
	text := w.run(t, "status").want(t, 0).stdout
	for _, want := range []string{"PAUSED", "the bucket moves", "ready         yes", "1 waiting", "nothing is taken"} {
		if !strings.Contains(text, want) {
			t.Errorf("status lacks %q: %s", want, text)
		}
	}
	// A probe learns that it is paused, which is no failure, and not by whom and why.
	if code, _, body := probe.ready(); code != 200 || !strings.Contains(body, `"paused_since": "20`) || strings.Contains(body, "bucket moves") {
		t.Errorf("readyz while paused = %d %s", code, body)
	}
	probe.wants(map[string]float64{"focus_paused": 1})
	if r := w.run(t, "sync").want(t, 1); !strings.Contains(r.stderr, "the bucket moves") {
		t.Errorf("sync beside a paused agent says %q", r.stderr)
	}
	// Again: the first reason stays, unless there is a new one.
	w.run(t, "pause").want(t, 0)
	if r := w.run(t, "pause", "--reason", "it takes longer", "--json").want(t, 0); !strings.Contains(r.stdout, `"reason": "it takes longer"`) || !strings.Contains(r.stdout, `"reason": "the bucket moves"`) {
		t.Errorf("pause again prints %s", r.stdout)
	}
	w.add(second)
	if got := len(w.S3.History()); got != 0 {
		t.Errorf("%d files were copied while paused", got)
	}
	if r := w.run(t, "resume").want(t, 0); !strings.Contains(r.stdout, "it takes longer") {
		t.Errorf("resume prints %q", r.stdout)
	}
	if r := w.run(t, "resume").want(t, 0); !strings.Contains(r.stdout, "not paused") {
		t.Errorf("resume of what is not paused prints %q", r.stdout)
	}
	w.sync(t, 0)
	w.check(t)
	probe.wants(map[string]float64{"focus_paused": 0})
	if log := agent.stop().want(t, 0).stderr; !strings.Contains(log, "paused: no file is taken") || !strings.Contains(log, "resumed: files are taken") {
		t.Errorf("the log of the agent does not tell of both ends")
	}
	var acts []string
	for _, a := range w.audited(t) {
		acts = append(acts, a.Action+" "+a.Reason)
	}
	if want := []string{"pause the bucket moves", "pause it takes longer", "resume "}; !slices.Equal(acts, want) {
		t.Errorf("the trail is %q, want %q", acts, want)
	}
	// What operators did is a part of the export.
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.run(t, "state", "export", "-o", file).want(t, 0)
	w.loseQueue(t)
	w.run(t, "state", "import", file, "--yes").want(t, 0)
	if got := len(w.audited(t)); got != 3 {
		t.Errorf("the trail has %d actions after a restore, want 3", got)
	}
}

// What is in flight when a pause begins is finished, and --wait waits for that, also
// where no byte has moved yet.
func TestAPauseWaitsForWhatIsInFlight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	slow := object(1, "slow.csv.gz", 500)
	release := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "slow", Do: simulator.Stall(0, nil)})
	w.add(slow)
	agent := w.start(t, "run")
	eventually(t, "the agent works on the slow file", func() bool { return w.OCI.Requests()["GetObject"] > 0 })
	pause := make(chan result, 1)
	go func() { pause <- w.run(t, "pause", "--reason", "a test", "--wait") }()
	eventually(t, "the agent is paused", func() bool { return strings.Contains(w.run(t, "status").stdout, "PAUSED") })
	if len(pause) > 0 {
		t.Error("pause --wait ended while a file was in flight")
	}
	release()
	if r := <-pause; r.code != 0 || !strings.Contains(r.stderr, "1 file in flight") {
		t.Errorf("pause --wait = %+v", r)
	}
	w.check(t)
	agent.stop().want(t, 0)
}

// Over a NATS of its own, one pause holds the copiers of every process.
func TestAPauseHoldsTheCopiersOfEveryHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_NATS_SERVICE=false")
	w.external(t)
	w.add(object(1, "a.csv.gz", 500))
	w.run(t, "pause", "--reason", "a test").want(t, 0)
	if r := w.run(t, "setup").want(t, 0); !strings.Contains(r.stdout, "paused by") {
		t.Errorf("setup of a paused route prints %q", r.stdout)
	}
	copier := w.start(t, "copier")
	w.sync(t, 1) // it queues, and it copies as little as the copier
	if got := len(w.S3.History()); got != 0 {
		t.Errorf("%d files were copied while paused", got)
	}
	w.run(t, "resume").want(t, 0)
	w.sync(t, 0)
	w.check(t)
	if log := copier.stop().want(t, 0).stderr; !strings.Contains(log, "paused: no file is taken") {
		t.Error("the log of the copier does not tell of the pause")
	}
}
