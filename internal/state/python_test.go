package state_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
)

const prefix = "FOCUS Reports/"

func naming(t testing.TB, template string) messages.Naming {
	t.Helper()
	n, err := messages.NewNaming(template, "%Y-%m-%d", "_", true)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func rules(t testing.TB, template string) messages.Rules {
	t.Helper()
	return messages.Rules{Prefix: prefix, MaxSize: 1, KeyPrefix: "umbrella/0/account/", Naming: naming(t, template)}
}

func read(t testing.TB, name string) state.Python {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p, err := state.ReadPython(f)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func day(t testing.TB, text string) time.Time {
	t.Helper()
	out, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestEachLayoutOfThePythonAgentIsFound(t *testing.T) {
	t.Parallel()
	for file, template := range map[string]string{
		"flat.json": "{YYYY}-{MM}-{DD}_{basename}", "folder.json": "{YYYY}_{MM}_{DD}/{basename}", "nested.json": "{YYYY}/{MM}/{DD}/{basename}",
	} {
		p := read(t, file)
		in, err := state.Inherit(p, rules(t, template))
		if err != nil {
			t.Fatal(err)
		}
		if err := in.CheckLayout(naming(t, template)); err != nil {
			t.Errorf("%s as %s: %v", file, template, err)
		}
		if in.Entries() != 3 || in.First != "2024-11-26" || in.Last != "2024-11-28" || len(in.Unreadable) != 0 {
			t.Errorf("%s = %d entries of %s to %s, unreadable %v", file, in.Entries(), in.First, in.Last, in.Unreadable)
		}
		if want := day(t, "2024-11-26T15:30:00.456789Z"); !in.Oldest.Equal(want) || !p.LastSync.Equal(day(t, "2024-11-28T15:30:12.345678Z")) {
			t.Errorf("%s: oldest %v, last sync %v", file, in.Oldest, p.LastSync)
		}
		other := naming(t, "{YYYY}{MM}{DD}-{basename}")
		wrong, err := state.Inherit(p, rules(t, other.Template()))
		if err != nil {
			t.Fatal(err)
		}
		if err := wrong.CheckLayout(other); err == nil || !strings.Contains(err.Error(), "\nnaming:\n  template: \""+template+"\"") || !strings.Contains(err.Error(), other.Template()) ||
			strings.Contains(err.Error(), "allow_nested: true") != (file == "nested.json") {
			t.Errorf("%s under %s: %v", file, other.Template(), err)
		}
	}
}

// The configured names come first: an agent that named them by its configuration
// is understood, too.
func TestTheConfiguredLayoutIsUnderstood(t *testing.T) {
	t.Parallel()
	n := naming(t, "{YYYY}{MM}{DD}-{basename}")
	in, err := state.Inherit(state.Python{Entries: []state.Entry{{Key: "20241128-x.csv.gz", Object: messages.Object{Name: prefix + "2024/11/28/x.csv.gz", Size: 5}}}}, rules(t, n.Template()))
	if err != nil || in.Entries() != 1 || in.CheckLayout(n) != nil {
		t.Errorf("Inherit = %+v, %v", in, err)
	}
}

func TestAMixtureOfLayoutsIsRefusedWithTheCounts(t *testing.T) {
	t.Parallel()
	for _, template := range state.Layouts() {
		in, err := state.Inherit(read(t, "mixture.json"), rules(t, template))
		if err != nil {
			t.Fatal(err)
		}
		err = in.CheckLayout(naming(t, template))
		if err == nil || !strings.Contains(err.Error(), "2 entries  {YYYY}-{MM}-{DD}_{basename}\n") || !strings.Contains(err.Error(), "1 entries  {YYYY}_{MM}_{DD}/{basename}\n") {
			t.Errorf("CheckLayout(%s) = %v", template, err)
		}
	}
}

func TestWhatIsSloppyIsReadAndWhatIsUnclearIsNamed(t *testing.T) {
	t.Parallel()
	p := read(t, "sloppy.json")
	md5 := "1B2M2Y8AsgTpgAmY7PhCfg=="
	want := []state.Entry{
		{Key: "2024-11-01_null-times.csv.gz", Object: messages.Object{Name: prefix + "2024/11/01/null-times.csv.gz", Size: 100}},
		{Key: "2024-11-02_key-only-outside.csv.gz", Transferred: day(t, "2024-11-02T11:00:00Z"),
			Object: messages.Object{Name: prefix + "2024/11/02/key-only-outside.csv.gz", Size: 100, Created: day(t, "2024-11-02T10:00:00Z")}},
		{Key: "2024-11-03_spaced.csv.gz", Transferred: day(t, "2024-11-03T11:00:00.5Z"),
			Object: messages.Object{Name: prefix + "2024/11/03/spaced.csv.gz", Size: 100, ETag: "abc", MD5: md5, Created: day(t, "2024-11-03T10:00:00Z")}},
	}
	if !slices.Equal(p.Entries, want) {
		t.Errorf("Entries = %+v\nwant %+v", p.Entries, want)
	}
	if got := p.Oldest(); !got.Equal(day(t, "2024-11-02T11:00:00Z")) {
		t.Errorf("Oldest = %v: what does not tell does not count", got)
	}
	reasons := map[string]string{
		"04_no-size": "no size", "05_no-name": "no oci_object_name", "06_negative": "-1", "07_half": "1.5",
		"08_what-time": "last week", "09_other-key": "elsewhere", "10_a-list": "no object", "11_null": "no oci_object_name",
	}
	for _, u := range p.Unreadable {
		key := strings.TrimSuffix(strings.TrimPrefix(u.Key, "2024-11-"), ".csv.gz")
		if reasons[key] == "" || !strings.Contains(u.Err.Error(), reasons[key]) {
			t.Errorf("%s: %v, want %q", u.Key, u.Err, reasons[key])
		}
		delete(reasons, key)
	}
	if len(reasons) > 0 {
		t.Errorf("not named: %v", slices.Collect(maps.Keys(reasons)))
	}
}

func TestAFileThatIsNoStateIsRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	for text, why := range map[string]string{
		"":                               "no JSON",
		"{\"version\":\"1.0\",\"files\"": "no JSON",
		"[]":                             "no JSON",
		"{}":                             `no "files"`,
		`{"version":"1.0","files":null}`: `no "files"`,
		`{"version":"2.0","files":{}}`:   "version is",
		`{"files":[]}`:                   "no JSON",
	} {
		if _, err := state.ReadPython(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("ReadPython(%q) = %v, want %q", text, err, why)
		}
	}
	if p, err := state.ReadPython(strings.NewReader(`{"files":{}}`)); err != nil || len(p.Entries) != 0 {
		t.Errorf("an empty state = %+v, %v", p, err)
	}
}

func TestAnEntryThatIsNoReportOfThisRouteIsNamed(t *testing.T) {
	t.Parallel()
	entries := []state.Entry{
		{Key: "2024-11-28_a.csv.gz", Object: messages.Object{Name: "other/2024/11/28/a.csv.gz", Size: 1}},
		{Key: "2024-11-28_b.csv", Object: messages.Object{Name: prefix + "2024/11/28/b.csv", Size: 1}},
		{Key: "2024-11-29_c.csv.gz", Object: messages.Object{Name: prefix + "2024/11/28/c.csv.gz", Size: 1}},
		{Key: "2024-11-28_d.csv.gz", Object: messages.Object{Name: prefix + "2024/11/28/d.csv.gz", Size: 6 << 30}},
	}
	in, err := state.Inherit(state.Python{Entries: entries}, rules(t, state.Layouts()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if in.Entries() != 1 || len(in.Unreadable) != 3 {
		t.Errorf("%d entries and %d unreadable, want 1 and 3: %v", in.Entries(), len(in.Unreadable), in.Unreadable)
	}
}

// Each row is a listed object beside the entry
// {size 100, created 10:00:00.5, no etag, no MD5}, the oldest, transferred at noon.
func TestAListedObjectIsJudged(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time { return day(t, "2024-11-28T"+s+"Z") }
	base := messages.Object{Name: prefix + "2024/11/28/x.csv.gz", Size: 100, ETag: "e1", MD5: "1B2M2Y8AsgTpgAmY7PhCfg==", Created: at("10:00:00.5"), Modified: at("10:00:00.5")}
	with := func(f func(o *messages.Object, e *state.Entry)) (messages.Object, state.Entry) {
		o := base
		e := state.Entry{Key: "2024-11-28_x.csv.gz", Object: messages.Object{Name: base.Name, Size: 100, Created: at("10:00:00.5")}, Transferred: at("12:00:00")}
		f(&o, &e)
		return o, e
	}
	type change = func(o *messages.Object, e *state.Entry)
	for what, tt := range map[string]struct {
		change change
		want   state.Finding
	}{
		"as it was":                     {func(*messages.Object, *state.Entry) {}, state.Delivered},
		"another size":                  {func(o *messages.Object, _ *state.Entry) { o.Size = 101 }, state.Changed},
		"newer":                         {func(o *messages.Object, _ *state.Entry) { o.Created = at("10:00:00.6") }, state.Changed},
		"older":                         {func(o *messages.Object, _ *state.Entry) { o.Created = at("10:00:00") }, state.Delivered},
		"the entry has whole seconds":   {func(_ *messages.Object, e *state.Entry) { e.Object.Created = at("10:00:00") }, state.Delivered},
		"and the object is newer":       {func(o *messages.Object, e *state.Entry) { e.Object.Created, o.Created = at("10:00:00"), at("10:00:01") }, state.Changed},
		"the entry has no time":         {func(_ *messages.Object, e *state.Entry) { e.Object.Created = time.Time{} }, state.Delivered},
		"nor the same size":             {func(o *messages.Object, e *state.Entry) { e.Object.Created, o.Size = time.Time{}, 99 }, state.Changed},
		"the listing has no time":       {func(o *messages.Object, _ *state.Entry) { o.Created = time.Time{} }, state.Delivered},
		"modified since":                {func(o *messages.Object, _ *state.Entry) { o.Modified = at("12:05:01") }, state.Changed},
		"modified as clocks may differ": {func(o *messages.Object, _ *state.Entry) { o.Modified = at("12:04:59") }, state.Delivered},
		"the same etag":                 {func(o *messages.Object, e *state.Entry) { e.Object.ETag, o.Created = "e1", at("11:00:00") }, state.Delivered},
		"another etag":                  {func(_ *messages.Object, e *state.Entry) { e.Object.ETag = "e0" }, state.Changed},
		"the etag and another size":     {func(o *messages.Object, e *state.Entry) { e.Object.ETag, o.Size = "e1", 99 }, state.Changed},
		"the same MD5":                  {func(_ *messages.Object, e *state.Entry) { e.Object.MD5 = base.MD5 }, state.Delivered},
		"another MD5":                   {func(_ *messages.Object, e *state.Entry) { e.Object.MD5 = "AAAAAAAAAAAAAAAAAAAAAA==" }, state.Changed},
		"no entry, before the oldest":   {func(o *messages.Object, _ *state.Entry) { o.Name = prefix + "2024/11/28/y.csv.gz" }, state.Presumed},
		"no entry, after the oldest": {func(o *messages.Object, _ *state.Entry) {
			o.Name, o.Created = prefix+"2024/11/28/y.csv.gz", at("12:00:00")
		}, state.New},
		"no entry, changed since": {func(o *messages.Object, _ *state.Entry) {
			o.Name, o.Modified = prefix+"2024/11/28/y.csv.gz", at("13:00:00")
		}, state.New},
		"no entry, of an unknown time": {func(o *messages.Object, _ *state.Entry) {
			o.Name, o.Created, o.Modified = prefix+"2024/11/28/y.csv.gz", time.Time{}, time.Time{}
		}, state.New},
		"no entry, no entry tells when": {func(o *messages.Object, e *state.Entry) {
			o.Name, e.Transferred = prefix+"2024/11/28/y.csv.gz", time.Time{}
		}, state.New},
	} {
		o, e := with(tt.change)
		in, err := state.Inherit(state.Python{Entries: []state.Entry{e}}, rules(t, state.Layouts()[0]))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := in.Judge(o); got != tt.want {
			t.Errorf("%s: %s, want %s", what, got, tt.want)
		}
	}
}

func drawTime(t *rapid.T, label string) time.Time {
	if rapid.Bool().Draw(t, label+" is told") {
		return time.UnixMicro(rapid.Int64Range(1e15, 4e15).Draw(t, label)).UTC()
	}
	return time.Time{}
}

// What is exported for the Python agent is read back as it was.
func TestPythonExportAndImportAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := state.Python{LastSync: drawTime(t, "last sync")}
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[ -~äß/]{1,20}`), 0, 8, rapid.ID).Draw(t, "names")
		slices.Sort(names)
		for _, name := range names {
			e := state.Entry{
				Key: "2024-11-28_" + name, Transferred: drawTime(t, "transferred"), Seconds: float64(rapid.IntRange(0, 1e6).Draw(t, "ms")) / 1000,
				Object: messages.Object{Name: name, Size: rapid.Int64Range(0, 1<<52).Draw(t, "size"), Created: drawTime(t, "created")},
			}
			if rapid.Bool().Draw(t, "MD5 is told") {
				e.Object.MD5 = base64.StdEncoding.EncodeToString(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "MD5"))
			}
			p.Entries = append(p.Entries, e)
		}
		var b bytes.Buffer
		if err := state.WritePython(&b, p); err != nil {
			t.Fatal(err)
		}
		got, err := state.ReadPython(bytes.NewReader(b.Bytes()))
		if err != nil || len(got.Unreadable) > 0 || !slices.Equal(got.Entries, p.Entries) || !got.LastSync.Equal(p.LastSync) {
			t.Fatalf("read back: %+v, %v\nwant %+v\nfrom %s", got, err, p, b.Bytes())
		}
	})
}

// Times are written as the oldest Python that runs that agent reads them: with six
// digits of a second or none.
func TestTimesForPythonHaveSixDigitsOrNone(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	p := state.Python{LastSync: day(t, "2024-11-28T10:00:00.1234567Z"), Entries: []state.Entry{{Key: "k", Object: messages.Object{Name: "n", Created: day(t, "2024-11-28T10:00:00Z")}}}}
	if err := state.WritePython(&b, p); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"last_sync": "2024-11-28T10:00:00.123456Z"`, `"time_created": "2024-11-28T10:00:00Z"`, `"time_transferred": null`, `"checksum_md5": ""`, `"version": "1.0"`} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s is not in %s", want, b.String())
		}
	}
}

// FuzzReadPython: whatever the bytes, each entry is read or named, and what was
// read can be written and read again.
func FuzzReadPython(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err, files)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := state.ReadPython(bytes.NewReader(raw))
		if err != nil {
			return
		}
		var file struct {
			Files map[string]json.RawMessage `json:"files"`
		}
		if err := json.Unmarshal(raw, &file); err != nil || len(file.Files) != len(p.Entries)+len(p.Unreadable) {
			t.Fatalf("%d entries of %d, and %d unreadable: %v", len(p.Entries), len(file.Files), len(p.Unreadable), err)
		}
		for _, e := range p.Entries {
			if e.Object.Name == "" || e.Object.Size < 0 || e.Key == "" && file.Files[""] == nil {
				t.Fatalf("an entry without a name or size: %+v", e)
			}
		}
		var b bytes.Buffer
		if err := state.WritePython(&b, p); err != nil {
			t.Fatal(err)
		}
		again, err := state.ReadPython(&b)
		if err != nil || len(again.Entries) != len(p.Entries) || len(again.Unreadable) > 0 {
			t.Fatalf("read again: %d entries of %d, %v, %v", len(again.Entries), len(p.Entries), again.Unreadable, err)
		}
	})
}
