package cli_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// layouts are the ways in which the Python agent named objects, with the template
// that does the same.
var layouts = map[string]string{
	"2006-01-02_": "{YYYY}-{MM}-{DD}_{basename}", "2006_01_02/": "{YYYY}_{MM}_{DD}/{basename}", "2006/01/02/": "{YYYY}/{MM}/{DD}/{basename}",
}

// python writes the state.json that the Python agent would have left after it had
// transferred the given objects, in the words of that agent.
func (w *world) python(t *testing.T, layout string, objects ...simulator.Object) string {
	t.Helper()
	files := map[string]any{}
	for _, o := range objects {
		day, err := time.Parse("2006/01/02", strings.TrimPrefix(o.Name, simulator.Prefix)[:10])
		if err != nil {
			t.Fatal(err)
		}
		key := day.Format(layout) + filepath.Base(o.Name)
		files[key] = map[string]any{
			"oci_object_name": o.Name, "s3_key": key, "size": o.Content.Size(), "checksum_md5": "", "duration_seconds": 1.5,
			"time_created":     o.Created.Format("2006-01-02T15:04:05.000000+00:00"),
			"time_transferred": o.Created.Add(time.Hour).Format("2006-01-02T15:04:05.000000+00:00"),
		}
	}
	raw, err := json.MarshalIndent(map[string]any{"version": "1.0", "last_sync": "2026-01-01T00:00:00.000001Z", "files": files}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "state.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// delivered puts reports into the source that are as old as their days.
func (w *world) delivered(daysAgo ...int) (objects []simulator.Object) {
	for _, n := range daysAgo {
		o := object(n, fmt.Sprintf("%04d.csv.gz", n), int64(500+n))
		o.Created = time.Now().UTC().AddDate(0, 0, -n).Truncate(time.Millisecond)
		w.add(o)
		objects = append(objects, o)
	}
	return objects
}

// says wants the command to end with the code and to name all the words.
func (w *world) says(t *testing.T, code int, args []string, words ...string) {
	t.Helper()
	r := w.run(t, args...).want(t, code)
	for _, word := range words {
		if !strings.Contains(r.stdout+r.stderr, word) {
			t.Errorf("%q does not say %q:\n%s%s", args, word, r.stdout, r.stderr)
		}
	}
}

// loseQueue loses the queue with the ledger, and nothing else.
func (w *world) loseQueue(t *testing.T) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(w.dir, "nats")); err != nil {
		t.Fatal(err)
	}
}

func TestWhatThePythonAgentDeliveredIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for layout, template := range layouts {
		w := newWorld(t, simulator.Options{}, "FOCUS_NAMING_TEMPLATE="+template, "FOCUS_NAMING_ALLOW_NESTED=true")
		file := w.python(t, layout, w.delivered(9, 5, 1)...)
		w.set("FOCUS_STATE_FILE", file)
		for _, args := range [][]string{{"sync"}, {"sync", "--dry-run"}, {"run"}} {
			w.says(t, 2, args, "3 files", "state import "+file, "state rebuild", "--resend")
		}
		w.says(t, 0, []string{"state", "import", file, "--dry-run"}, template+", as configured", "3 files, listed as they were", "0 files have no entry")
		w.says(t, 2, []string{"state", "import", file}, "add --yes", "nothing was written")
		if len(w.S3.Requests()) > 0 {
			t.Errorf("requests at S3: %v", w.S3.Requests())
		}
		w.says(t, 0, []string{"state", "import", file, "--yes"}, "responsible", daysAgo(35))
		w.says(t, 0, []string{"sync", "--dry-run"}, "to copy    0 files", "done       3 files, 3 of them by the Python agent")
		if s := w.sync(t, 0); s.Transferred+s.Adopted != 0 || s.Skipped != 3 {
			t.Errorf("%s: the first sync = %+v, want 3 skipped", template, s)
		}
		// And what changes after that is copied, be it of the same size.
		w.add(simulator.Object{Name: nameOf(5, "0005.csv.gz"), Content: simulator.Random(1, 505)}, object(9, "late.csv.gz", 700))
		if s := w.sync(t, 0); s.Transferred != 2 || s.Skipped != 2 {
			t.Errorf("%s: the second sync = %+v, want 2 transferred and 2 skipped", template, s)
		}
	}
}

func TestALayoutThatIsNotTheConfiguredOneIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	objects := w.delivered(9, 5, 1)
	w.says(t, 2, []string{"state", "import", "--yes", w.python(t, "2006_01_02/", objects...)},
		`naming:`+"\n  "+`template: "{YYYY}_{MM}_{DD}/{basename}"`, "nothing was written")
	mixed, err := os.ReadFile(w.python(t, "2006_01_02/", objects[:1]...))
	if err != nil {
		t.Fatal(err)
	}
	flat, err := os.ReadFile(w.python(t, "2006-01-02_", objects[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	_, first, _ := strings.Cut(string(mixed), `"files": {`)
	file := filepath.Join(t.TempDir(), "mixed.json")
	text := strings.Replace(string(flat), `"files": {`, `"files": {`+first[:strings.Index(first, "}")+1]+",", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	w.says(t, 2, []string{"state", "import", "--yes", file}, "1 entries  {YYYY}_{MM}_{DD}/{basename}", "2 entries  {YYYY}-{MM}-{DD}_{basename}")
	if s := w.sync(t, 0); s.Transferred != 3 {
		t.Errorf("sync = %+v, want 3 transferred: nothing was imported", s)
	}
}

// Of three reports the Python agent remembers two, of which one is another version
// by now. A fourth came after all that.
func TestWhatThePythonAgentForgotCountsAsDeliveredUnlessToldOtherwise(t *testing.T) {
	t.Parallel()
	for _, resend := range []bool{false, true} {
		w := newWorld(t, simulator.Options{})
		objects := w.delivered(30, 20, 10)
		file := w.python(t, "2006-01-02_", objects[1:]...)
		w.add(simulator.Object{Name: objects[2].Name, Content: simulator.Random(3, 999)}, object(30, "late.csv.gz", 700))
		args := []string{"state", "import", file, "--yes"}
		words := []string{"1 files from " + daysAgo(30) + " on are older", "1 files differ", "1 files have no entry", "count as delivered"}
		want := []string{nameOf(10, "0010.csv.gz"), nameOf(30, "late.csv.gz")}
		if resend {
			args, words[3], want = append(args, "--resend"), "will be copied", append(want, objects[0].Name)
		}
		w.says(t, 0, args, words...)
		if s := w.sync(t, 0); s.Transferred != len(want) || s.Skipped != 4-len(want) {
			t.Errorf("resend %t: sync = %+v, want %d transferred", resend, s, len(want))
		}
		for _, name := range want {
			if key, _ := w.keyOf(name, 0); !slices.ContainsFunc(w.S3.Objects(), func(o simulator.ObjectInfo) bool { return o.Key == key }) {
				t.Errorf("resend %t: %s did not arrive", resend, name)
			}
		}
		w.says(t, 0, []string{"state", "import", file, "--yes"}, "4 files have a record already") // once more changes nothing
		if s := w.sync(t, 0); s.Skipped != 4 {
			t.Errorf("resend %t: another sync = %+v, want 4 skipped", resend, s)
		}
	}
}

// The state.json of another tenancy, or one whose clock was wrong, keeps no file back.
func TestAStateThatIsNotOfThisTenancyPresumesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	elsewhere := newWorld(t, simulator.Options{})
	foreign := w.python(t, "2006-01-02_", elsewhere.delivered(4)...)
	w.delivered(30, 20)
	w.says(t, 2, []string{"state", "import", foreign, "--yes"}, "2 files from "+daysAgo(30)+" on are older", "Oracle lists none of its files", "another tenancy", "--resend")
	ahead := simulator.Object{Name: nameOf(20, "0020.csv.gz"), Content: simulator.Random(1, 520), Created: time.Now().UTC().AddDate(1, 0, 0)}
	w.says(t, 2, []string{"state", "import", w.python(t, "2006-01-02_", ahead), "--yes"}, "is in the future", "no entry of the file can be used")
	w.says(t, 0, []string{"state", "import", foreign, "--yes", "--resend"}, "2 files from "+daysAgo(30)+" on are older than the oldest entry: they will be copied")
	if s := w.sync(t, 0); s.Transferred != 2 {
		t.Errorf("sync = %+v, want 2 transferred", s)
	}
}

// A ledger that is begun empty has no begin of responsibility before its first scan.
func TestAFreshStartTellsFromWhichDayItIsResponsible(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.set("FOCUS_STATE_FILE", w.python(t, "2006-01-02_", w.delivered(5, 1)...))
	agent := w.start(t, "run", "--resend")
	eventually(t, "status tells the first report day", func() bool {
		s, _ := w.status(t)
		return s.Since == daysAgo(35)
	})
	if r := agent.stop(); r.code != 0 {
		t.Errorf("the agent ended with %d: %s", r.code, r.stderr)
	}
}

func TestAFreshStartBesideThePythonAgentIsAllowedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.set("FOCUS_STATE_FILE", w.python(t, "2006-01-02_", w.delivered(5, 1)...))
	w.says(t, 0, []string{"sync", "--dry-run", "--resend"}, "2 files of 2 days")
	w.S3Faults.Add(simulator.Rule{Op: "PutObject", Times: 1, Do: simulator.Status(500, "InternalError")})
	if s := w.sync(t, 0, "--resend"); s.Transferred != 2 {
		t.Errorf("sync --resend = %+v, want 2 transferred", s)
	}
	if s := w.sync(t, 0); s.Skipped != 2 {
		t.Errorf("sync = %+v, want 2 skipped, without another word", s)
	}
	w.set("FOCUS_STATE_FILE", filepath.Join(t.TempDir(), "broken.json"))
	if err := os.WriteFile(w.environment("FOCUS_STATE_FILE"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0) // it is nobody's business any more
	w.forget(t)
	w.says(t, 2, []string{"sync"}, "cannot be read", "state.file", "--resend")
	w.says(t, 2, []string{"state", "import", "--yes", w.environment("FOCUS_STATE_FILE")}, "no JSON")
}

func (w *world) environment(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.env[name]
}

// The restore drill of docs/restore.md.
func TestALostLedgerIsRestoredAndNothingIsSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly}, "FOCUS_AGENT_SINCE="+daysAgo(60))
	w.delivered(50, 5, 1)
	w.sync(t, 0)
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.says(t, 0, []string{"state", "export", "-o", file}, "3 records")
	w.loseQueue(t)
	w.unset("FOCUS_AGENT_SINCE")
	for _, args := range [][]string{{"sync"}, {"run"}, {"sync", "--dry-run"}} {
		w.says(t, 2, args, "this installation had one, with reports from "+daysAgo(60)+" on", "state import", "state rebuild", "--resend", "nothing was copied")
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, whole[:len(whole)-20], 0o600); err != nil {
		t.Fatal(err)
	}
	w.says(t, 2, []string{"state", "import", "--yes", file}, "nothing was written: use an older export")
	if err := os.WriteFile(file, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	w.says(t, 0, []string{"state", "import", "--dry-run", file}, "3, for reports of "+daysAgo(50)+" to "+daysAgo(1))
	w.says(t, 2, []string{"sync"}, "state import") // the dry run has changed nothing
	w.says(t, 0, []string{"state", "import", "--yes", file})
	w.add(object(1, "new.csv.gz", 500))
	if s := w.sync(t, 0); s.Transferred != 1 || s.Adopted != 0 {
		t.Errorf("sync = %+v, want only the new file", s)
	}
	if got := len(w.S3.History()); got != 4 {
		t.Errorf("%d commits, want 4", got)
	}
	w.check(t)
	w.set("FOCUS_OCI_NAME", "second")
	w.says(t, 2, []string{"state", "import", "--yes", file}, `route "main"`, `oci.name is "second"`)
}

// An import that ended before its last write has left no marks, on a host that knew
// of no ledger before.
func TestAnImportThatWasCutShortIsRepeated(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
	objects := w.delivered(5, 1)
	w.sync(t, 0)
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.says(t, 0, []string{"state", "export", "-o", file}, "2 records")
	for _, args := range [][]string{{"state", "import", "--yes", file}, {"state", "import", "--yes", w.python(t, "2006-01-02_", objects...)}} {
		w.forget(t)
		w.says(t, 0, args)
		conn, done := w.queue(t)
		ledger := ledgerOf(t, conn)
		_, revision, err := ledger.Read(t.Context(), messages.MarksKey("main"))
		if err == nil {
			_, err = ledger.Write(t.Context(), messages.MarksKey("main"), nil, revision)
		}
		done()
		if err != nil {
			t.Fatal(err)
		}
		w.says(t, 2, []string{"sync"}, "state import")
		w.says(t, 0, args)
		if s := w.sync(t, 0); s.Skipped != 2 {
			t.Errorf("sync = %+v, want 2 skipped", s)
		}
	}
}

// What was copied after the export is looked for before it is sent.
func TestARestoredLedgerFindsWhatWasCopiedSince(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.delivered(5)
	w.sync(t, 0)
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.says(t, 0, []string{"state", "export", "-o", file}, "1 records")
	w.delivered(4)
	w.sync(t, 0)
	w.loseQueue(t)
	w.says(t, 0, []string{"state", "import", "--yes", file})
	if s := w.sync(t, 0); s.Transferred != 0 || s.Adopted != 1 || s.Skipped != 1 {
		t.Errorf("sync = %+v, want 1 adopted and 1 skipped", s)
	}
}

func TestALostLedgerIsRebuiltFromTheDestination(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"HEAD", "a listing"} {
		w := newWorld(t, simulator.Options{})
		w.delivered(50, 5)
		w.add(object(3, "large.csv.gz", 2*worldPart), object(2, "changed.csv.gz", 500), object(2, "removed.csv.gz", 500))
		w.set("FOCUS_AGENT_SINCE", daysAgo(60))
		w.sync(t, 0)
		w.unset("FOCUS_AGENT_SINCE")
		w.loseQueue(t)
		w.add(simulator.Object{Name: nameOf(2, "changed.csv.gz"), Content: simulator.Random(5, 500)})
		removed, _ := w.keyOf(nameOf(2, "removed.csv.gz"), 0)
		w.S3.Delete(removed)
		found, transferred := "3 files, proven", 2
		if by != "HEAD" { // what was sent in parts has no MD5 there
			w.S3Faults.Add(simulator.Rule{Op: "HeadObject", Do: simulator.Status(403, "AccessDenied")})
			found, transferred = "2 files, proven", 3
		}
		words := []string{"from " + daysAgo(60) + " on, by " + by, found, "1 files will be copied"}
		w.says(t, 0, []string{"state", "rebuild", "--dry-run"}, words...)
		w.says(t, 2, []string{"sync"}, "state rebuild")
		w.says(t, 0, []string{"state", "rebuild", "--yes"}, words...)
		if s := w.sync(t, 0); s.Transferred != transferred || s.Skipped != 5-transferred {
			t.Errorf("by %s: sync = %+v, want %d transferred", by, s, transferred)
		}
		w.check(t)
		w.says(t, 0, []string{"state", "rebuild", "--yes"}, "5 files have a record already", "0 files, proven")
	}
}

func TestARebuildThatMaySeeNothingWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
	w.delivered(5, 1)
	w.sync(t, 0)
	w.loseQueue(t)
	w.says(t, 3, []string{"state", "rebuild", "--yes"}, "lets nobody look", "--resend", "s3:GetObject")
	w.says(t, 2, []string{"sync"}, "state rebuild")
	// The operator decides, and the responsibility of before stays.
	w.says(t, 0, []string{"sync", "--resend"}, "2 transferred")
	w.sync(t, 0)
}

// The Python agent notes nothing with its objects. Their etag is their MD5.
func TestARebuildFindsWhatThePythonAgentDelivered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	objects := w.delivered(5, 1)
	w.set("FOCUS_STATE_FILE", w.python(t, "2006-01-02_", objects...))
	w.sync(t, 0, "--resend") // in the place of the Python agent's copies
	w.forget(t)
	for _, o := range objects { // another etag than the one that is noted there
		w.Source.Remove(o.Name)
		w.add(o)
	}
	w.says(t, 0, []string{"state", "rebuild", "--yes"}, "2 files, proven")
	if s := w.sync(t, 0); s.Skipped != 2 || s.Transferred+s.Adopted != 0 {
		t.Errorf("sync = %+v, want 2 skipped", s)
	}
}

func TestAnExportForThePythonAgentComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
	w.delivered(5, 1)
	w.sync(t, 0)
	file := filepath.Join(t.TempDir(), "state.json")
	w.says(t, 0, []string{"state", "export", "--format", "python", "-o", file, "--json"}, `"records": 2`)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", info, err)
	}
	w.loseQueue(t)
	w.says(t, 0, []string{"state", "import", file, "--yes", "--json"}, `"delivered": 2`, `"written": 2`)
	if s := w.sync(t, 0); s.Transferred != 0 || s.Skipped != 2 {
		t.Errorf("sync = %+v, want 2 skipped", s)
	}
	w.loseQueue(t)
	w.says(t, 1, []string{"state", "export", "-o", file}, "no record")
	if raw, err := os.ReadFile(file); err != nil || !strings.Contains(string(raw), `"version": "1.0"`) {
		t.Errorf("an empty ledger has replaced the export: %s, %v", raw, err)
	}
	w.says(t, 2, []string{"state", "export", "--format", "xml"}, "jsonl or python")
}

// The running agent gives its ledger away, and takes none.
func TestTheLedgerOfARunningAgent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_STATE_EXPORT_DIR="+t.TempDir())
	w.delivered(5, 1)
	dir := w.environment("FOCUS_STATE_EXPORT_DIR")
	for n := 1; n < 10; n++ {
		if err := os.WriteFile(filepath.Join(dir, "focus-main-2026-01-0"+fmt.Sprint(n)+".jsonl"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	foreign := filepath.Join(dir, "focus-other-2026-01-01.jsonl")
	if err := os.WriteFile(foreign, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0)
	agent := w.start(t, "run")
	eventually(t, "the agent answers", func() bool { s, code := w.status(t); return code == 0 && s.LastSuccess != "" })
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.says(t, 0, []string{"state", "export", "-o", file}, "2 records")
	w.says(t, 4, []string{"state", "import", "--yes", file}, "already running")
	w.says(t, 4, []string{"state", "rebuild", "--yes"}, "already running")
	agent.stop().want(t, 0)

	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	today := "focus-main-" + daysAgo(0) + ".jsonl"
	if want := []string{"04", "05", "06", "07", "08", "09"}; len(names) != 8 || !slices.Contains(names, today) || !slices.Contains(names, filepath.Base(foreign)) ||
		slices.ContainsFunc(want, func(n string) bool { return !slices.Contains(names, "focus-main-2026-01-"+n+".jsonl") }) {
		t.Errorf("the directory of the exports holds %q", names)
	}
	w.loseQueue(t)
	w.says(t, 2, []string{"sync"}, "state import "+filepath.Join(dir, today)) // the newest is offered
	w.says(t, 0, []string{"state", "import", "--yes", filepath.Join(dir, today)})
	if s := w.sync(t, 0); s.Skipped != 2 {
		t.Errorf("sync = %+v, want 2 skipped", s)
	}
}

// A queue on other hosts can be lost under everybody who works with it.
func TestALedgerThatIsLostOnTheServerIsNotBegunAnew(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.delivered(5, 1)
	js, err := jetstream.New(w.external(t).Connect(t).NATS())
	if err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0)
	for _, role := range []string{"run", "scanner"} {
		b := w.start(t, role)
		scans := w.OCI.Requests()["ListObjects"]
		eventually(t, "it scans", func() bool { return w.OCI.Requests()["ListObjects"] > scans })
		eventually(t, "its marks move", func() bool { m := w.marksOn(t, js); return time.Since(m.Scanned) < 20*time.Second })
		if err := js.DeleteKeyValue(t.Context(), "focus_state"); err != nil {
			t.Fatal(err)
		}
		w.run(t, "setup").want(t, 0)
		if r := (<-b.done).want(t, 2); !strings.Contains(r.stderr, "state rebuild") {
			t.Errorf("%s ends with %s", role, r.stderr)
		}
		w.says(t, 2, []string{role}, "state rebuild", "state import")
		w.says(t, 0, []string{"state", "rebuild", "--yes"}, "2 files, proven")
	}
	if s := w.sync(t, 0); s.Skipped != 2 || len(w.S3.History()) != 2 {
		t.Errorf("sync = %+v, %d commits; want 2 skipped and 2 commits", s, len(w.S3.History()))
	}
}

// A ledger that the server holds in another way than this program needs cannot be
// changed, only made anew: the message names the way, and the way leads there.
func TestALedgerThatMustBeMadeAnewIsNotLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.delivered(5, 1)
	js, err := jetstream.New(w.external(t).Connect(t).NATS())
	if err != nil {
		t.Fatal(err)
	}
	w.sync(t, 0)
	w.inMemory(t, js)
	file := filepath.Join(t.TempDir(), "ledger.jsonl")
	w.says(t, 2, []string{"sync"}, "KV_focus_state", "stop the agents, run `oracle-focus-agent state export", "delete the asset", "state import")
	w.says(t, 0, []string{"state", "export", "-o", file}, "2 records")
	if err := js.DeleteKeyValue(t.Context(), "focus_state"); err != nil {
		t.Fatal(err)
	}
	w.says(t, 0, []string{"setup"})
	w.says(t, 0, []string{"state", "import", file, "--yes"})
	if s := w.sync(t, 0); s.Skipped != 2 || s.Adopted != 0 || len(w.S3.History()) != 2 {
		t.Errorf("sync = %+v, %d commits; want 2 skipped and no commit", s, len(w.S3.History()))
	}
}

// inMemory puts what the ledger holds into one that the server keeps in memory.
func (w *world) inMemory(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	held := map[string][]byte{}
	for _, key := range keys {
		e, err := kv.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		held[key] = e.Value()
	}
	if err := js.DeleteKeyValue(t.Context(), "focus_state"); err != nil {
		t.Fatal(err)
	}
	if kv, err = js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "focus_state", Storage: jetstream.MemoryStorage}); err != nil {
		t.Fatal(err)
	}
	for key, value := range held {
		if _, err := kv.Put(t.Context(), key, value); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) marksOn(t *testing.T, js jetstream.JetStream) (m messages.Marks) {
	t.Helper()
	kv, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	e, err := kv.Get(t.Context(), messages.MarksKey("main"))
	if err != nil {
		return m
	}
	if m, err = messages.DecodeMarks(e.Value()); err != nil {
		t.Fatal(err)
	}
	return m
}

// The year's retention of Oracle, in short.
func TestARecordLivesAsLongAsItsFile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_STATE_RETENTION_DAYS=1")
	objects := w.delivered(9, 8)
	w.sync(t, 0)
	w.Source.Remove(objects[0].Name)
	sweep := func(want int) {
		t.Helper()
		w.changeMarks(t, func(m *messages.Marks) { m.Swept = m.Swept.Add(-25 * time.Hour) })
		w.sync(t, 0)
		conn, done := w.queue(t)
		defer done()
		n := 0
		for _, err := range ledgerOf(t, conn).Records(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != want {
			t.Errorf("%d records, want %d", n, want)
		}
	}
	sweep(2) // not old enough
	w.age(t, 25*time.Hour)
	sweep(1)
	if s := w.sync(t, 0); s.Skipped != 1 || s.Transferred != 0 {
		t.Errorf("sync = %+v, want 1 skipped", s)
	}
}

// age makes every record older.
func (w *world) age(t *testing.T, by time.Duration) {
	t.Helper()
	conn, done := w.queue(t)
	defer done()
	ledger := ledgerOf(t, conn)
	for e, err := range ledger.Records(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		e.Record.At = e.Record.At.Add(-by)
		raw, err := e.Record.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ledger.Write(t.Context(), e.Key, raw, e.Revision); err != nil {
			t.Fatal(err)
		}
	}
}
