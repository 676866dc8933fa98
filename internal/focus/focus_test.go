package focus_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"oracle-focus-agent/internal/focus"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

func inspect(b []byte) messages.Statistics {
	var i focus.Inspector
	return i.Inspect(bytes.NewReader(b))
}

func zip(parts ...string) []byte {
	var out bytes.Buffer
	for _, p := range parts {
		w := gzip.NewWriter(&out)
		io.WriteString(w, p)
		w.Close()
	}
	return out.Bytes()
}

func report(t testing.TB, seed uint64, rows int) []byte {
	t.Helper()
	b, err := io.ReadAll(simulator.FocusReport(seed, time.Date(2026, 11, 25, 0, 0, 0, 0, time.UTC), rows).Open(0))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// naive counts with the tools that everyone has.
func naive(t *testing.T, b []byte) messages.Statistics {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	s := messages.Statistics{Gzip: messages.GzipValid, Members: 1, Bytes: int64(len(text)), Rows: int64(len(rows) - 1)}
	at := func(row []string, column string) string { return row[slices.Index(rows[0], column)] }
	sums := map[[2]string][2]*big.Rat{}
	accounts, services := map[string]bool{}, map[string]bool{}
	for _, row := range rows[1:] {
		if at(row, "oci_BackReferenceNumber") != "" {
			s.Corrections++
		}
		accounts[at(row, "SubAccountId")], services[at(row, "ServiceName")] = true, true
		if from := parseTime(t, at(row, "ChargePeriodStart")); s.First.IsZero() || from.Before(s.First) {
			s.First = from
		}
		if to := parseTime(t, at(row, "ChargePeriodEnd")); to.After(s.Last) {
			s.Last = to
		}
		key := [2]string{at(row, "BillingPeriodStart")[:7], at(row, "BillingCurrency")}
		if sums[key][0] == nil {
			sums[key] = [2]*big.Rat{new(big.Rat), new(big.Rat)}
		}
		for i, column := range []string{"BilledCost", "EffectiveCost"} {
			v, ok := new(big.Rat).SetString(at(row, column))
			if !ok {
				t.Fatalf("%q", at(row, column))
			}
			sums[key][i].Add(sums[key][i], v)
		}
	}
	for key, v := range sums {
		s.Sums = append(s.Sums, messages.Sum{Period: key[0], Currency: key[1], Billed: plain(v[0]), Effective: plain(v[1])})
	}
	s.Accounts, s.Services = len(accounts), len(services)
	return s
}

func plain(r *big.Rat) string {
	text := strings.TrimRight(r.FloatString(60), "0")
	return strings.TrimSuffix(text, ".")
}

func parseTime(t *testing.T, s string) time.Time {
	t.Helper()
	for _, layout := range []string{"2006-01-02T15:04Z", "2006-01-02T15:04:05Z", "2006-01-02T15:04:05.000Z"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at
		}
	}
	t.Fatalf("%q", s)
	return time.Time{}
}

// TestReportsAreCountedAsByTheToolsThatEveryoneHas reads reports with every quirk of
// Oracle's, in one piece and in crumbs.
func TestReportsAreCountedAsByTheToolsThatEveryoneHas(t *testing.T) {
	var i focus.Inspector
	for seed, rows := range map[uint64]int{1: 0, 2: 1, 3: 2500, 4: 700} {
		b := report(t, seed, rows)
		want := naive(t, b)
		for how, r := range map[string]io.Reader{
			"whole": bytes.NewReader(b), "bytes": iotest.OneByteReader(bytes.NewReader(b)), "halves": iotest.HalfReader(bytes.NewReader(b)),
			"error with data": iotest.DataErrReader(bytes.NewReader(b)),
		} {
			if got := i.Inspect(r); !reflect.DeepEqual(got, want) {
				t.Errorf("%d rows, %s:\ngot  %+v\nwant %+v", rows, how, got, want)
			} else if !got.Complete() {
				t.Errorf("%d rows, %s: not complete", rows, how)
			}
		}
	}
}

func TestGzipIsJudged(t *testing.T) {
	text := "a,b\n" + strings.Repeat("1,2\n", 5000)
	good := zip(text)
	flip := func(at int) []byte {
		b := slices.Clone(good)
		b[(len(b)+at)%len(b)] ^= 1
		return b
	}
	for name, c := range map[string]struct {
		file    []byte
		want    string
		members int
	}{
		"valid":                      {good, "valid", 1},
		"two members":                {zip("a,b\n1,", "2\n"), "valid", 2},
		"an empty second member":     {zip(text, ""), "valid", 2},
		"padded with zeros":          {append(slices.Clone(good), make([]byte, 512)...), "valid", 1},
		"zeros between members":      {slices.Concat(good, make([]byte, 7), good), "valid", 2},
		"nothing":                    {nil, "it is empty", 0},
		"no gzip":                    {[]byte(text), "it does not begin as a gzip file does", 0},
		"the begin of a header":      {good[:5], "it ends early, in member 1", 0},
		"truncated":                  {good[:len(good)/2], "it ends early, in member 1", 0},
		"without its trailer":        {good[:len(good)-8], "it ends early, in member 1", 0},
		"half of its trailer":        {good[:len(good)-4], "it ends early, in member 1", 0},
		"the second is cut off":      {slices.Concat(good, good[:len(good)-1]), "it ends early, in member 2", 1},
		"a wrong checksum":           {flip(-8), "checksum or length in the trailer of member 1 are not those of its content", 0},
		"a wrong length":             {flip(-1), "checksum or length in the trailer of member 1 are not those of its content", 0},
		"something else behind":      {append(slices.Clone(good), "<html>and more of it</html>"...), "what follows member 1 is no gzip", 1},
		"a second with wrong length": {slices.Concat(good, flip(-1)), "checksum or length in the trailer of member 2 are not those of its content", 1},
	} {
		s := inspect(c.file)
		if s.Gzip != c.want || s.Members != c.members {
			t.Errorf("%s: %q with %d members, want %q with %d", name, s.Gzip, s.Members, c.want, c.members)
		}
		if s.Complete() { // there are no costs in it
			t.Errorf("%s is complete: %+v", name, s)
		}
	}
	broken := slices.Clone(good)
	broken[12] ^= 0xff
	if s := inspect(broken); !strings.HasPrefix(s.Gzip, "member 1 cannot be read") && !strings.Contains(s.Gzip, "ends early") && !strings.Contains(s.Gzip, "checksum") {
		t.Errorf("a flipped byte of data: %q", s.Gzip)
	}
}

// columns are those that are counted, in another order than Oracle's.
const columns = "BillingCurrency,BillingPeriodStart,BilledCost,EffectiveCost,ChargePeriodStart,ChargePeriodEnd,SubAccountId,BillingAccountId,ServiceName,oci_BackReferenceNumber"

func rows(lines ...string) messages.Statistics {
	return inspect(zip(columns + "\n" + strings.Join(lines, "\n") + "\n"))
}

func TestSumsAreExact(t *testing.T) {
	line := func(currency, month, billed, effective string) string {
		return currency + "," + month + "," + billed + "," + effective + ",,,,,,"
	}
	for name, c := range map[string]struct {
		lines []string
		want  []messages.Sum
	}{
		"tenths": {
			[]string{line("EUR", "2026-11-01T00:00Z", "0.1", "0.1"), line("EUR", "2026-11-01T00:00:00Z", "0.2", "")},
			[]messages.Sum{{Period: "2026-11", Currency: "EUR", Billed: "0.3", Effective: "0.1"}},
		},
		"twenty decimals, exponents, signs": {
			[]string{line("USD", "2026-11-01T00:00Z", "-0.00012345678901234567", "1E-7"), line("USD", "2026-11-01T00:00Z", "12345678901234567890", "+2.50e+1")},
			[]messages.Sum{{Period: "2026-11", Currency: "USD", Billed: "12345678901234567889.99987654321098765433", Effective: "25.0000001"}},
		},
		"months and currencies in order": {
			[]string{
				line("USD", "2026-11-01T00:00:00.000Z", "1", "1"), line("EUR", "2026-11-01T00:00Z", "2", "2"),
				line("USD", "2026-10-01T00:00Z", "3", "3"), line("USD", "2026-11-01T00:00Z", "-1", "-1.000"),
			},
			[]messages.Sum{{Period: "2026-10", Currency: "USD", Billed: "3", Effective: "3"}, {Period: "2026-11", Currency: "EUR", Billed: "2", Effective: "2"}, {Period: "2026-11", Currency: "USD", Billed: "0", Effective: "0"}},
		},
		"what costs nothing needs no currency": {[]string{line("", "", "", "")}, nil},
	} {
		if s := rows(c.lines...); !slices.Equal(s.Sums, c.want) || !s.Complete() {
			t.Errorf("%s: %+v, skipped %q, want %+v", name, s.Sums, s.Skipped, c.want)
		}
	}
}

// TestAPartOfTheCostsIsNeverCalledTheWhole: a row that could not be summed is named,
// and then the statistics are not complete.
func TestAPartOfTheCostsIsNeverCalledTheWhole(t *testing.T) {
	const good = "USD,2026-11-01T00:00Z,1,2,,,,,,"
	for bad, want := range map[string]string{
		"USD,2026-11-01T00:00Z,1e999999999,1,,,,,,":                       "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,1,1e-999999999,,,,,,":                      "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z," + strings.Repeat("9", 39) + ",1,,,,,,":   "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,1," + strings.Repeat("0", 5000) + ",,,,,,": "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,NaN,1,,,,,,":                               "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,\"1,5\",1,,,,,,":                           "has a cost that is no decimal number",
		"USD,November,1,1,,,,,,":                                          "has a begin of the billing period that is no time",
		"USD,2026-13-01T00:00Z,1,1,,,,,,":                                 "has a begin of the billing period that is no time",
		",2026-11-01T00:00Z,1,1,,,,,,":                                    "has no currency",
		"\"US,Dollar that has no code\",2026-11-01T00:00Z,1,1,,,,,,":      "has no currency",
		"USD,2026-11-01T00:00Z,0x10,1,,,,,,":                              "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,.,1,,,,,,":                                 "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,1e,1,,,,,,":                                "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,1_000,1,,,,,,":                             "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,1 ,1,,,,,,":                                "has a cost that is no decimal number",
		"USD,2026-11-01T00:00Z,--1,1,,,,,,":                               "has a cost that is no decimal number",
	} {
		s := rows(good, bad, good)
		if s.Rows != 3 || s.Complete() || s.Skipped != "one row was not summed" || !slices.Contains(s.Problems, "row 2 "+want) {
			t.Errorf("%.60s: %+v", bad, s)
		}
		if want := []messages.Sum{{Period: "2026-11", Currency: "USD", Billed: "2", Effective: "4"}}; !slices.Equal(s.Sums, want) {
			t.Errorf("%.60s: %+v, want %+v: both costs of a row, or none", bad, s.Sums, want)
		}
	}
	for _, lost := range []string{"BilledCost", "EffectiveCost", "BillingCurrency", "BillingPeriodStart"} {
		s := inspect(zip(strings.Replace(columns, lost, "other", 1) + "\n" + good + "\n"))
		if s.Complete() || s.Skipped != "nothing was summed: there is no column "+lost || !slices.Contains(s.Missing, lost) {
			t.Errorf("without %s: %+v", lost, s)
		}
	}
	var many []string
	for i := range 70 {
		many = append(many, fmt.Sprintf("C%02d,2026-11-01T00:00Z,1,1,,,,,,", i))
	}
	if s := rows(many...); len(s.Sums) != 64 || s.Skipped != "6 rows were not summed" {
		t.Errorf("70 currencies: %d sums, %q", len(s.Sums), s.Skipped)
	}
}

func TestHeaders(t *testing.T) {
	all := strings.Join(focus.Columns(), ",")
	if s := inspect(zip("\ufeff" + all + "\n")); s.Missing != nil || s.Unknown != nil || s.Problems != nil || !s.Complete() {
		t.Errorf("with a byte order mark: %+v", s)
	}
	if s := inspect(zip(all)); s.Rows != 0 || !s.Complete() {
		t.Errorf("without a line end: %+v", s)
	}
	drift := strings.Replace(all, "oci_BackReferenceNumber", "x_oci_BackReferenceNumber,tags/team", 1)
	row := strings.Repeat(",", strings.Count(drift, ",")-1) + "ref,"
	s := inspect(zip(drift + "\r\n" + row + "\r\n"))
	if !slices.Equal(s.Missing, []string{"oci_BackReferenceNumber"}) || !slices.Equal(s.Unknown, []string{"x_oci_BackReferenceNumber", "tags/team"}) || s.Corrections != 1 || !s.Complete() {
		t.Errorf("drift: %+v", s)
	}
	if s := inspect(zip(all + ",Region\n")); len(s.Problems) != 1 || !strings.Contains(s.Problems[0], `"Region"`) {
		t.Errorf("a column twice: %+v", s)
	}
	if s := inspect(zip("")); s.Gzip != messages.GzipValid || s.Skipped != "there is not even a header" || s.Complete() {
		t.Errorf("no content: %+v", s)
	}
	if s := inspect(zip(all + "\r" + row + "\r")); s.Complete() || s.Gzip != messages.GzipValid || !strings.Contains(s.Skipped, "CR alone") {
		t.Errorf("lines that end with CR alone cost nothing: %+v", s)
	}
	if len(focus.Columns()) != 49 {
		t.Errorf("%d columns", len(focus.Columns()))
	}
}

func TestRowsAreWhatQuotesMakeThem(t *testing.T) {
	for name, c := range map[string]struct {
		text     string
		rows     int64
		problems []string
	}{
		"line breaks in quotes":  {"x,\"a\nb\r\nc\"\ny,z\n", 2, nil},
		"quotes in quotes":       {"x,\"a \"\"b\"\", \n\"\"\"\ny,z\n", 2, nil},
		"no last line end":       {"x,y\nx,y", 2, nil},
		"CRLF":                   {"x,y\r\nx,y\r\n", 2, nil},
		"empty lines":            {"\n\r\nx,y\n\n\n", 1, nil},
		"an empty quoted field":  {"\"\",\"\"\n", 1, nil},
		"CR alone ends no row":   {"x,y\rz\n", 1, nil},
		"too few, too many":      {"x\nx,y\nx,y,z\n", 3, []string{"2 rows, the first of them row 1, have not as many fields as the header"}},
		"behind a closing quote": {"x,y\nx,\"y\"z\n", 2, []string{"row 2 has something behind a closing quote"}},
		"open at the end":        {"x,y\nx,\"y\n", 2, nil},
	} {
		s := inspect(zip("BilledCost,other\n" + c.text))
		if s.Rows != c.rows || !slices.Equal(s.Problems, c.problems) {
			t.Errorf("%s: %d rows, %q; want %d, %q", name, s.Rows, s.Problems, c.rows, c.problems)
		}
	}
}

// TestMalformedRowsMakeNoSum: they are counted, and nobody takes the sum for the costs.
func TestMalformedRowsMakeNoSum(t *testing.T) {
	const good = "USD,2026-11-01T00:00Z,1,2,,,,,,"
	for bad, want := range map[string]string{
		"USD,2026-11-01T00:00Z,1,2,,,,,":         "some rows are not well formed",
		"USD,2026-11-01T00:00Z,1,2,,,,,,,":       "some rows are not well formed",
		"USD,2026-11-01T00:00Z,\"1\"x,2,,,,,,":   "some rows are not well formed",
		"USD,2026-11-01T00:00Z,1,2,,,,,\"open,,": "it ends inside of a quoted field",
	} {
		if s := rows(good, bad); s.Complete() || s.Rows != 2 || s.Skipped != want || s.Gzip != messages.GzipValid {
			t.Errorf("%s: %+v, want %q", bad, s, want)
		}
	}
}

func TestTimesAndNames(t *testing.T) {
	s := rows(
		"USD,2026-11-01T00:00Z,1,1,2026-11-25T05:00Z,2026-11-25T06:00Z,a,,COMPUTE,",
		"USD,2026-11-01T00:00Z,1,1,2026-11-25T04:00:00.000Z,2026-11-25T07:00:30Z,,b,COMPUTE,ref",
		"USD,2026-11-01T00:00Z,1,1,1732500000000,,a,c,STORAGE,",
	)
	if !s.First.Equal(time.Date(2026, 11, 25, 4, 0, 0, 0, time.UTC)) || !s.Last.Equal(time.Date(2026, 11, 25, 7, 0, 30, 0, time.UTC)) {
		t.Errorf("%v to %v", s.First, s.Last)
	}
	if s.Accounts != 2 || s.Services != 2 || s.Corrections != 1 || s.Rows != 3 || !s.Complete() {
		t.Errorf("%+v", s)
	}
	if !slices.Equal(s.Problems, []string{"row 3 has a begin or end of the charge period that is no time"}) {
		t.Errorf("%q", s.Problems)
	}
	var many []string
	for i := range 10_050 {
		many = append(many, fmt.Sprintf(",,,,,,account-%d,,COMPUTE,", i))
	}
	if s := rows(many...); s.Accounts != 10_000 || s.Rows != 10_050 || len(s.Problems) != 1 || !s.Complete() {
		t.Errorf("%d accounts, %q", s.Accounts, s.Problems)
	}
}

func TestBombsAndMonstersAreSkipped(t *testing.T) {
	zeros := func(n int64, begin string) []byte {
		var out bytes.Buffer
		w := gzip.NewWriter(&out)
		io.WriteString(w, begin)
		io.CopyN(w, zero{}, n)
		w.Close()
		return out.Bytes()
	}
	if s := inspect(zeros(64<<20, "a,b\n")); s.Skipped != "it holds more than 200 times its size" && s.Skipped != "row 1 is longer than 1048576 bytes" || s.Gzip != "" || s.Bytes > 20<<20 {
		t.Errorf("a bomb: %+v", s)
	}
	if s := inspect(zeros(2<<20, columns+"\nUSD,")); s.Skipped != "row 1 is longer than 1048576 bytes" || s.Gzip != messages.GzipValid {
		t.Errorf("a row without an end: %+v", s)
	}
	if s := inspect(zeros(2<<20, columns+"\n\"USD,")); s.Skipped != "row 1 is longer than 1048576 bytes" || s.Gzip != messages.GzipValid {
		t.Errorf("a quote without an end: %+v", s)
	}
	if s := inspect(zip(strings.Repeat("c,", 2000) + "\n1\n")); s.Skipped != "it has more than 1000 columns" || s.Gzip != messages.GzipValid {
		t.Errorf("2000 columns: %+v", s)
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestAnErrorOfTheInputIsWhyTheRestWasSkipped, whatever it is.
func TestAnErrorOfTheInputIsWhyTheRestWasSkipped(t *testing.T) {
	b := report(t, 9, 3000)
	var i focus.Inspector
	s := i.Inspect(io.MultiReader(bytes.NewReader(b[:len(b)/2]), iotest.ErrReader(errors.New("the parser fell behind"))))
	if s.Skipped != "the parser fell behind" || s.Gzip != "" || s.Rows == 0 || s.Rows >= 3000 || s.Problems != nil {
		t.Errorf("%+v", s)
	}
	if s := i.Inspect(iotest.ErrReader(errors.New("nothing came"))); s.Skipped != "nothing came" || s.Gzip != "" {
		t.Errorf("%+v", s)
	}
	if s := i.Inspect(bytes.NewReader(b)); s.Rows != 3000 || !s.Complete() {
		t.Errorf("after one that was skipped: %+v", s)
	}
}

// TestStatisticsFitIntoARecord: two of them stand in a record of at most 64 KiB.
func TestStatisticsFitIntoARecord(t *testing.T) {
	if s := worst(); len(encode(t, s)) > 20<<10 {
		t.Errorf("%d bytes", len(encode(t, s)))
	}
}

// worst is a report whose every number is as long as can be.
func worst() messages.Statistics {
	var header strings.Builder
	header.WriteString(columns)
	for range 50 {
		header.WriteString(",\"" + strings.Repeat("\"\"\x01\\", 100) + "\"," + strings.Repeat("ü\u202e", 100))
	}
	var lines []string
	for i := range 70 {
		cost := strings.Repeat("9", 38)
		lines = append(lines, fmt.Sprintf("CUR12%03d,2026-11-01T00:00Z,-%sE20,-%sE-40,x,,,,,", i, cost, cost),
			fmt.Sprintf("CUR12%03d,2026-11-01T00:00Z,-%sE-40,-%sE20,x,,,,,", i, cost, cost))
	}
	return inspect(zip(header.String() + "\n" + strings.Join(lines, "\n") + "\nx,\"y\"z\n"))
}

func encode(t testing.TB, s messages.Statistics) []byte {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzInspect: no input ends with a panic, or with statistics that no record takes; and
// what is complete was read to its end.
func FuzzInspect(f *testing.F) {
	b := report(f, 7, 30)
	f.Add(b, false)
	f.Add(b[:len(b)-3], false)
	f.Add(slices.Concat(b, b), false)
	f.Add([]byte(columns+"\nUSD,2026-11-01T00:00Z,1e-7,-.5,2026-11-25T05:00Z,,\"a\"\"\n\",b,c,d\n"), true)
	f.Add([]byte("\ufeff\"BilledCost\",\"x\r\n\"\n\"1"), true)
	f.Add([]byte("BilledCost,EffectiveCost,BillingCurrency,BillingPeriodStart\n,1,USD,2026-11-01T00:00Z\n\n\r\n,,,"), true)
	var i focus.Inspector
	f.Fuzz(func(t *testing.T, b []byte, plain bool) {
		if plain && len(b) < 1<<16 {
			b = stored(b)
		} else if plain {
			t.Skip()
		}
		s := i.Inspect(bytes.NewReader(b))
		if plain && s.Gzip != messages.GzipValid {
			t.Errorf("a valid gzip is %q", s.Gzip)
		}
		if s.Gzip == "" && s.Skipped == "" {
			t.Errorf("neither judged nor skipped: %+v", s)
		}
		if n := len(encode(t, s)); n > 20<<10 {
			t.Errorf("%d bytes of statistics", n)
		}
		if again := i.Inspect(iotest.HalfReader(bytes.NewReader(b))); !reflect.DeepEqual(s, again) {
			t.Errorf("another reader, other statistics:\n%+v\n%+v", s, again)
		}
	})
}

// TestAgainstTheStandardLibrary: what encoding/csv reads without complaint, is the
// same number of rows here.
func TestAgainstTheStandardLibrary(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const alphabet = "ab,,\n\n\r\"\"\"é"
	compared := 0
	var i focus.Inspector
	for range 20_000 {
		text := make([]byte, random.IntN(24))
		for n := range text {
			text[n] = alphabet[random.IntN(len(alphabet))]
		}
		r := csv.NewReader(bytes.NewReader(text))
		r.FieldsPerRecord = -1
		want, err := r.ReadAll()
		if err != nil || len(want) == 0 {
			continue
		}
		compared++
		if s := i.Inspect(bytes.NewReader(stored(text))); s.Rows != int64(len(want)-1) {
			t.Fatalf("%q: %d rows, want %d", text, s.Rows, len(want)-1)
		}
	}
	if compared < 1000 {
		t.Errorf("only %d texts were fit for comparison", compared)
	}
}

// stored is a gzip without compression, which costs nothing to make.
func stored(text []byte) []byte {
	b := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(text)))
	b = append(binary.LittleEndian.AppendUint16(b, ^uint16(len(text))), text...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(text))
	return binary.LittleEndian.AppendUint32(b, uint32(len(text)))
}

func TestMemoryIsThatOfOneRow(t *testing.T) {
	b := report(t, 5, 5000)
	var i focus.Inspector
	i.Inspect(bytes.NewReader(b))
	if n := testing.AllocsPerRun(2, func() { i.Inspect(bytes.NewReader(b)) }); n > 500 {
		t.Errorf("%v allocations for 5000 rows", n)
	}
}
