package state_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
)

func encoded(t interface {
	Helper()
	Fatal(...any)
}, encode func() ([]byte, error)) []byte {
	t.Helper()
	raw, err := encode()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func export(t interface {
	Helper()
	Fatal(...any)
}, lines []state.Line) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := state.NewWriter(&b, "main", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if err := w.Add(l); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func readLines(raw []byte) (out []state.Line, err error) {
	h, lines, err := state.Read(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if h.Route != "main" {
		return nil, fmt.Errorf("route %q", h.Route)
	}
	for l, err := range lines {
		if err != nil {
			return out, err
		}
		out = append(out, l)
	}
	return out, nil
}

// sample is one value of each kind.
func sample(t testing.TB) []state.Line {
	t.Helper()
	name := prefix + "2024/11/28/<ä & b>.csv.gz"
	record := messages.Record{Status: messages.StatusCopied, Object: messages.Object{Name: name, ETag: "e", Size: 1}, At: time.Now().UTC()}
	return []state.Line{
		{Key: messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: "<ä & b>.csv.gz"}), Value: encoded(t, record.Encode)},
		{Key: messages.IdentityKey("main"), Value: encoded(t, messages.Identity{Namespace: "bling", Epoch: 2}.Encode)},
		{Key: messages.MarksKey("main"), Value: encoded(t, messages.Marks{Since: "2024-11-01"}.Encode)},
		{Key: messages.UploadKey("main", name), Value: encoded(t, messages.Upload{Key: "k", ID: "u"}.Encode)},
		{Key: messages.PauseKey("main"), Value: encoded(t, messages.Pause{Reason: "r", By: "b"}.Encode)},
		{Key: messages.VerificationKey("main"), Value: encoded(t, messages.Verification{From: "2024-11-01"}.Encode)},
		{Key: messages.DigestKey("main"), Value: encoded(t, messages.DigestNote{By: "host/1"}.Encode)},
		{Key: messages.AuditKey("main", time.Now(), "U"), Value: encoded(t, messages.Action{Action: "a"}.Encode)},
	}
}

func same(a, b []state.Line) bool {
	return slices.EqualFunc(a, b, func(x, y state.Line) bool { return x.Key == y.Key && bytes.Equal(x.Value, y.Value) })
}

// What is exported is read back byte for byte: records, marks, identity, uploads.
func TestExportAndImportAreInverse(t *testing.T) {
	t.Parallel()
	lines := sample(t)
	if got, err := readLines(export(t, lines)); err != nil || !same(got, lines) {
		t.Errorf("read back: %s, %v", got, err)
	}
	rapid.Check(t, func(t *rapid.T) {
		var lines []state.Line
		for range rapid.IntRange(0, 6).Draw(t, "lines") {
			base := rapid.StringMatching(`[ -.0-~äß]{1,20}`).Draw(t, "name")
			r := messages.Record{
				Status: messages.Status(rapid.SampledFrom([]string{"copied", "failed", "gone", "due", "of a later version"}).Draw(t, "status")),
				Object: messages.Object{Name: prefix + "2024/11/28/" + base, Size: rapid.Int64().Draw(t, "size"), Modified: drawTime(t, "modified")},
				Error:  rapid.String().Draw(t, "error"), Epoch: rapid.IntRange(0, 9).Draw(t, "epoch"), At: drawTime(t, "at"),
			}
			lines = append(lines, state.Line{Key: messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: base}), Value: encoded(t, r.Encode)})
		}
		raw := export(t, lines)
		got, err := readLines(raw)
		if err != nil || !same(got, lines) {
			t.Fatalf("read back: %s, %v\nwant %s\nfrom %s", got, err, lines, raw)
		}
		if !state.IsExport(raw) {
			t.Fatal("it does not look like an export")
		}
	})
}

// A value may be as large as the ledger allows, under the longest name.
func TestTheLargestValueIsReadBack(t *testing.T) {
	t.Parallel()
	base := strings.Repeat("ä", 500) + ".csv.gz"
	r := messages.Record{Object: messages.Object{Name: prefix + "2024/11/28/" + base}, Error: strings.Repeat("x", messages.MaxSize-2000)}
	lines := []state.Line{{Key: messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: base}), Value: encoded(t, r.Encode)}}
	if got, err := readLines(export(t, lines)); err != nil || !same(got, lines) {
		t.Errorf("read back %d lines, %v", len(got), err)
	}
}

func TestAnExportThatIsNotWholeIsRefused(t *testing.T) {
	t.Parallel()
	whole := export(t, sample(t))
	for cut := range len(whole) - 1 {
		if _, err := readLines(whole[:cut]); err == nil {
			t.Fatalf("cut after %d of %d bytes it was taken: %s", cut, len(whole), whole[:cut])
		}
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for what, text := range map[string]string{
		"a line is missing": lines[0] + lines[1] + strings.Join(lines[3:], ""),
		"a line is double":  lines[0] + lines[1] + strings.Join(lines[1:], ""),
		"a line follows":    string(whole) + lines[1],
		"another format":    strings.Replace(string(whole), state.Format, "something", 1),
		"a later version":   strings.Replace(string(whole), `"version":1`, `"version":2`, 1),
		"no route":          strings.Replace(string(whole), `"route":"main"`, `"route":"a.b"`, 1),
	} {
		if _, err := readLines([]byte(text)); err == nil {
			t.Errorf("%s: it was taken", what)
		}
	}
}

func TestAValueThatDoesNotBelongIsRefused(t *testing.T) {
	t.Parallel()
	record := sample(t)[0]
	for what, l := range map[string]state.Line{
		"the key of another route": {Key: "other" + strings.TrimPrefix(record.Key, "main"), Value: record.Value},
		"the key of another file":  {Key: messages.RecordKey("main", messages.Report{Day: "2024-11-28", Basename: "x.csv.gz"}), Value: record.Value},
		"a key of nothing":         {Key: "main.what", Value: record.Value},
		"no key":                   {Value: record.Value},
		"a newer record":           {Key: record.Key, Value: []byte(`{"schema":99}`)},
		"no record":                {Key: record.Key, Value: []byte(`7`)},
		"no marks":                 {Key: "main.scan", Value: []byte(`{"schema":1,"since":"soon"}`)},
		"no identity":              {Key: "main.meta", Value: []byte(`[]`)},
		"no upload":                {Key: "main.upload.x", Value: []byte(`null`)},
		"a key that is not ours":   {Key: "main.upload.a=3d", Value: sample(t)[3].Value},
	} {
		if got, err := readLines(export(t, []state.Line{l})); err == nil {
			t.Errorf("%s was taken: %s", what, got)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(export(f, sample(f)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		lines, err := readLines(raw)
		if err != nil {
			return
		}
		if again, err := readLines(export(t, lines)); err != nil || len(again) != len(lines) {
			t.Fatalf("what was read is not read again: %v", err)
		}
	})
}

func TestAFileIsWrittenWholeOrNotAtAllAndForItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "out")
	write := func(text string, err error) func(io.Writer) error {
		return func(w io.Writer) error {
			_, _ = io.WriteString(w, text)
			return err
		}
	}
	if err := os.WriteFile(path+".new", []byte("of a crash"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := state.WriteFile(path, write("one", nil)); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	if err := state.WriteFile(path, write("tw", broken)); !errors.Is(err, broken) {
		t.Errorf("WriteFile = %v, want the error of the writer", err)
	}
	raw, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err != nil || statErr != nil || string(raw) != "one" || info.Mode().Perm() != 0o600 {
		t.Errorf("the file holds %q with mode %v: %v, %v", raw, info.Mode(), err, statErr)
	}
	if _, err := os.Stat(path + ".new"); !os.IsNotExist(err) {
		t.Errorf("something stays beside it: %v", err)
	}
}

func TestTheNoteOfALedgerIsReadBack(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "note.json")
	if k, err := state.ReadKnown(path); k != nil || err != nil {
		t.Errorf("no note = %+v, %v", k, err)
	}
	want := state.Known{Identity: messages.Identity{Bucket: "b", Epoch: 3, Created: time.Now().UTC()}, Since: "2026-01-01", Ranges: []messages.Range{{From: "2025-01-01", To: "2025-01-31"}}, Noted: time.Now().UTC()}
	if err := want.Write(path); err != nil {
		t.Fatal(err)
	}
	if k, err := state.ReadKnown(path); err != nil || k == nil || !reflect.DeepEqual(*k, want) {
		t.Errorf("ReadKnown = %+v, %v, want %+v", k, err, want)
	}
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := state.ReadKnown(path); err != nil || k == nil {
		t.Errorf("a broken note = %+v, %v: there was a ledger all the same", k, err)
	}
}
