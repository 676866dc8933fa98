package simulator_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"hash/crc32"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"oracle-focus-agent/internal/simulator"
)

func day() time.Time { return time.Date(2026, 2, 3, 0, 0, 0, 0, time.UTC) }

func TestRandomIsSeekableAndExact(t *testing.T) {
	content := simulator.Random(42, 100_003)
	whole, err := io.ReadAll(content.Open(0))
	if err != nil || int64(len(whole)) != content.Size() {
		t.Fatalf("read %d bytes, %v, want %d", len(whole), err, content.Size())
	}
	for _, offset := range []int64{1, 15, 16, 17, 99_999, 100_003} {
		rest, _ := io.ReadAll(iotest.OneByteReader(content.Open(offset)))
		if !bytes.Equal(rest, whole[offset:]) {
			t.Errorf("content from %d differs from the whole", offset)
		}
	}
	if other, _ := io.ReadAll(simulator.Random(43, 100_003).Open(0)); bytes.Equal(other, whole) {
		t.Error("another seed gives the same bytes")
	}
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE(whole)); got != "631b69af" {
		t.Errorf("crc of the stream = %s, want the golden one", got)
	}
}

func rows(t *testing.T, content simulator.Content) ([][]string, string) {
	t.Helper()
	z, err := gzip.NewReader(content.Open(0))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(bytes.NewReader(raw)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	return records, string(raw)
}

func TestFocusReportIsDeterministic(t *testing.T) {
	content := simulator.FocusReport(1, day(), 500)
	first, _ := io.ReadAll(content.Open(0))
	second, _ := io.ReadAll(simulator.FocusReport(1, day(), 500).Open(0))
	if !bytes.Equal(first, second) || int64(len(first)) != content.Size() {
		t.Errorf("two readings of %d and %d bytes, size %d", len(first), len(second), content.Size())
	}
	if rest, _ := io.ReadAll(content.Open(1000)); !bytes.Equal(rest, first[1000:]) {
		t.Error("content from 1000 differs from the whole")
	}
	_, raw := rows(t, content) // the CSV, because gzip may change with the toolchain
	if got := fmt.Sprintf("%08x", crc32.ChecksumIEEE([]byte(raw))); got != "174fe8b7" {
		t.Errorf("crc of the report = %s, want the golden one", got)
	}
}

func TestFocusReportHasTheQuirks(t *testing.T) {
	records, raw := rows(t, simulator.FocusReport(1, day(), 2000))
	if len(records) != 2001 || len(records[0]) != 49 || records[0][0] != "AvailabilityZone" || records[0][48] != "oci_BackReferenceNumber" {
		t.Fatalf("%d rows of %d columns", len(records), len(records[0]))
	}
	for _, quirk := range []string{
		`T\d\d:\d\dZ,`, `T\d\d:\d\d:00Z,`, `T\d\d:\d\d:00\.000Z,`, `"\{""Oracle-Tags`, `"""Oracle-Tags`, "\r\n\\(per hour\\)", "\nby the hour", `,,,`, `größe`,
	} {
		if !regexp.MustCompile(quirk).MatchString(raw) {
			t.Errorf("no row has %s", quirk)
		}
	}
	start := slices.Index(records[0], "ChargePeriodStart")
	for _, r := range records[1:] {
		if !strings.HasPrefix(r[start], "2026-02-03T") {
			t.Fatalf("charge period starts %s, want the usage day", r[start])
		}
	}
	if empty, _ := rows(t, simulator.FocusReport(1, day(), 0)); len(empty) != 1 {
		t.Errorf("a report without rows has %d lines, want the header", len(empty))
	}
}

func TestMonthIsWrittenAsOracleDoes(t *testing.T) {
	objects := simulator.Month(5, day(), 30, 7, 10)
	if len(objects) != 210 {
		t.Fatalf("%d files, want 210", len(objects))
	}
	name := regexp.MustCompile(`^FOCUS Reports/(\d{4}/\d{2}/\d{2})/(\d{16})-00001\.csv\.gz$`)
	lastID, late, days := "", 0, map[string]int{}
	for _, o := range objects {
		m := name.FindStringSubmatch(o.Name)
		if m == nil {
			t.Fatalf("name %s", o.Name)
		}
		if m[2] <= lastID {
			t.Errorf("ids do not increase with the time of creation: %s after %s", m[2], lastID)
		}
		lastID = m[2]
		days[m[1]]++
		usage, _ := time.Parse("2006/01/02", m[1])
		if delay := o.Created.Sub(usage); delay < 0 || delay > 48*time.Hour {
			t.Errorf("%s created %s after its day began", o.Name, delay)
		} else if delay > 24*time.Hour {
			late++
		}
	}
	if len(days) != 30 || days["2026/02/03"] != 7 || late == 0 {
		t.Errorf("%d days, %d files on the last, %d late", len(days), days["2026/02/03"], late)
	}
}

func TestLiteralBytes(t *testing.T) {
	if err := iotest.TestReader(simulator.Bytes([]byte("abc")).Open(1), []byte("bc")); err != nil {
		t.Error(err)
	}
}
