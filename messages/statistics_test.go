package messages_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"oracle-focus-agent/messages"
)

func statistics() *messages.Statistics {
	return &messages.Statistics{
		Gzip: messages.GzipValid, Members: 1, Bytes: 9_876_543, Rows: 12_345, Corrections: 6,
		Sums: []messages.Sum{
			{Period: "2024-11", Currency: "EUR", Billed: "0.30000000000000000001", Effective: "0.3"},
			{Period: "2024-11", Currency: "USD", Billed: "-1234.5", Effective: "0"},
		},
		First: at(0).Truncate(time.Hour), Last: at(1).Truncate(time.Hour), Accounts: 3, Services: 12,
		Missing: []string{"Region"}, Unknown: []string{"x_oci_Region"}, Problems: []string{"it is odd"}, Skipped: "something was",
	}
}

// counted is the record of a copy that took the place of another one.
func counted() messages.Record {
	r := messages.Record{
		Schema: 1, Status: messages.StatusCopied, Epoch: 1, Object: object(), Copy: copied(), Generation: 2,
		Worker: "host-1", Trace: "4TWPLQ6RAXYZ", At: at(4),
	}
	r.Copy.Statistics, r.Copy.Replaced = statistics(), &messages.Earlier{
		ETag: "0a7e9d43", Size: 1_234_000, CRC32C: "yZRlqg==", At: at(1), Statistics: &messages.Statistics{Gzip: "it ends early, in member 1", Rows: 5},
	}
	return r
}

func TestGoldenStatistics(t *testing.T) {
	b, err := counted().Encode()
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "record-counted.v1.json", b)
	if got, err := messages.DecodeRecord(b); err != nil || !reflect.DeepEqual(got, counted()) {
		t.Errorf("decodes to %+v, %v", got, err)
	}
}

// TestTheVersionBeforeReadsWhatThisOneWrites: to a reader that knows of no statistics
// and of no traces, a record that has them says the same as one without.
func TestTheVersionBeforeReadsWhatThisOneWrites(t *testing.T) {
	type copy struct {
		Key, ETag, CRC32C, MD5, Verified, How string
		Size                                  int64
		At                                    time.Time
		Seconds                               float64
	}
	type record struct {
		Schema, Epoch, Generation int
		Status                    messages.Status
		Object                    messages.Object
		Copy                      *copy
		Worker, Trace             string
		At                        time.Time
	}
	var with, traced, without record
	for file, r := range map[string]*record{"record-counted.v1.json": &with, "record-traced.v1.json": &traced, "record-copied.v1.json": &without} {
		b, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, r); err != nil {
			t.Fatal(err)
		}
	}
	if with.Copy == nil || with.Copy.Key == "" || !reflect.DeepEqual(with, without) || !reflect.DeepEqual(traced, without) {
		t.Errorf("the version before reads\n%+v, %+v,\n%+v, want\n%+v, %+v", with, with.Copy, traced, without, without.Copy)
	}
}
