package nats

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"oracle-focus-agent/messages"
)

// golden are the records that earlier versions wrote, and that this one writes.
func golden(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../messages/testdata/record-*.json")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	out := map[string][]byte{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(f)] = []byte(strings.TrimSpace(string(b)))
	}
	return out
}

// agree reads a value both ways, and reports whether it was read the quick one.
func agree(t testing.TB, d *recordReader, value []byte) (quick bool) {
	t.Helper()
	want, wantErr := messages.DecodeRecord(value)
	got, quick := d.usual(value)
	if quick && (wantErr != nil || !reflect.DeepEqual(got, want)) {
		t.Fatalf("%s\nis read as %+v\nand by the contract as %+v, %v", value, got, want, wantErr)
	}
	if got, err := d.read(value); !reflect.DeepEqual(got, want) || (err == nil) != (wantErr == nil) {
		t.Fatalf("%s\nis read as %+v, %v\nand by the contract as %+v, %v", value, got, err, want, wantErr)
	}
	return quick
}

// TestRecordsAreReadAsTheContractReadsThem, and each kind that is frequent the quick way:
// where a field was added to the contract, add it to the reader, too.
func TestRecordsAreReadAsTheContractReadsThem(t *testing.T) {
	d := newRecordReader()
	for name, value := range golden(t) {
		replaces := strings.Contains(string(value), `"replaced"`)
		if quick := agree(t, d, value); quick == replaces {
			t.Errorf("%s is read the quick way: %v", name, quick)
		}
		if !replaces {
			continue
		}
		at := strings.Index(string(value), `,"replaced"`)
		end := strings.Index(string(value), `,"generation"`)
		if !agree(t, d, []byte(string(value[:at])+"}"+string(value[end:]))) {
			t.Errorf("%s without what was replaced is not read the quick way", name)
		}
	}
}

// TestEveryCutAndEveryChangeIsReadAsTheContractReadsIt cuts the records at each byte, and
// puts each of some bytes in the place of each.
func TestEveryCutAndEveryChangeIsReadAsTheContractReadsIt(t *testing.T) {
	d := newRecordReader()
	for name, value := range golden(t) {
		if name == "record-counted.v1.json" {
			at, end := strings.Index(string(value), `,"replaced"`), strings.Index(string(value), `,"generation"`)
			value = []byte(string(value[:at]) + "}" + string(value[end:]))
		}
		for i := range value {
			agree(t, d, value[:i])
			agree(t, d, append(append([]byte{}, value[:i]...), value[i+1:]...))
			for _, c := range []byte("\"\\0129.-,:{}[ tEn\x00\x1f\x7f\xc3") {
				changed := append([]byte{}, value...)
				changed[i] = c
				agree(t, d, changed)
			}
		}
	}
}

// FuzzRecordReader holds the quick reader to the contract's.
func FuzzRecordReader(f *testing.F) {
	for _, value := range golden(f) {
		f.Add(value)
	}
	d := newRecordReader()
	f.Fuzz(func(t *testing.T, value []byte) { agree(t, d, value) })
}

func BenchmarkRecord(b *testing.B) {
	value := golden(b)["record-copied.v1.json"]
	b.Run("quick", func(b *testing.B) {
		b.ReportAllocs()
		d := newRecordReader()
		for b.Loop() {
			if _, err := d.read(value); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("contract", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := messages.DecodeRecord(value); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestNamesAreReadAsTheGeneralDecoderReadsThem, whatever is in them.
func TestNamesAreReadAsTheGeneralDecoderReadsThem(t *testing.T) {
	for _, text := range []string{
		`{}`, `null`, `{"$KV.focus_state.main.2024.11.28.a=2Ecsv":1}`, `{ "a" : 1 , "b:c" : 22 }`,
		`{"a\"b":1,"c":2}`, `{"a\\":1}`, `{"ä":1}`, `{"a":-1}`, `{"a":"b"}`, `{"a":1,"b":2}`, `{"a,b":1}`, `{"a":{"b":1}}`, `{"":1}`,
		`{"a":1.5}`, `{"a":1e3}`, `{"a":null}`, `{"a":18446744073709551615}`, `{"a":18446744073709551616}`, `["a"]`, `"a"`, `7`,
	} {
		var got names
		var want map[string]uint64
		gotErr, wantErr := json.Unmarshal([]byte(text), &got), json.Unmarshal([]byte(text), &want)
		slices.Sort(got)
		if (gotErr == nil) != (wantErr == nil) || gotErr == nil && !slices.Equal(got, slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s is read as %q, %v, and by the general decoder as %v, %v", text, got, gotErr, want, wantErr)
		}
	}
}
