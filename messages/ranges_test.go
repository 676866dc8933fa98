package messages_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
)

func dayGenerator() *rapid.Generator[messages.Day] {
	return rapid.Custom(func(t *rapid.T) messages.Day {
		return messages.DayOf(time.Date(2024, 2, 20, 0, 0, 0, 0, time.UTC)).Add(rapid.IntRange(0, 25).Draw(t, "day")) // over a leap day
	})
}

// The laws of joining: no day is won or lost, and what comes out is in order, apart, and
// before since; doing it again changes nothing.
func TestJoiningRangesKeepsTheirDays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var ranges []messages.Range
		for range rapid.IntRange(0, 6).Draw(t, "ranges") {
			x, y := dayGenerator().Draw(t, "x"), dayGenerator().Draw(t, "y")
			ranges = append(ranges, messages.Range{From: min(x, y), To: max(x, y)})
		}
		since := messages.Day("")
		if rapid.Bool().Draw(t, "bounded") {
			since = dayGenerator().Draw(t, "since")
		}
		before := slices.Clone(ranges)
		joined := messages.Join(ranges, since)
		if !slices.Equal(ranges, before) {
			t.Fatalf("Join changed its argument")
		}
		was, is := messages.Marks{Since: since, Ranges: ranges}, messages.Marks{Since: since, Ranges: joined}
		for d := messages.Day("2024-02-18"); d < "2024-03-20"; d = d.Add(1) {
			if was.Covers(d) != is.Covers(d) {
				t.Fatalf("%s: covered %t, then %t by %v", d, was.Covers(d), is.Covers(d), joined)
			}
		}
		for i, r := range joined {
			if !r.Valid() || since != "" && r.To >= since || i > 0 && r.From <= joined[i-1].To.Add(1) {
				t.Fatalf("%v of %v is not in order, apart and before %q", r, joined, since)
			}
		}
		if again := messages.Join(joined, since); !slices.Equal(again, joined) {
			t.Fatalf("joined again: %v, want %v", again, joined)
		}
		if first := is.First(); first != "" && (!is.Covers(first) || is.Covers(first.Add(-1)) && first > "2024-02-18") {
			t.Fatalf("First = %s of %v", first, is)
		}
	})
}

func TestMarksWithARangeThatIsNoneAreRefused(t *testing.T) {
	for _, raw := range []string{
		`{"schema":1,"ranges":[{"from":"2024-02-02","to":"2024-02-01"}]}`,
		`{"schema":1,"ranges":[{"from":"2024-02-30","to":"2024-03-01"}]}`,
		`{"schema":1,"ranges":[{}]}`,
	} {
		if _, err := messages.DecodeMarks([]byte(raw)); messages.ClassOf(err) != messages.Refused {
			t.Errorf("DecodeMarks(%s) = %v, want refused", raw, err)
		}
	}
}

// The keys of the audit trail are in the order of time, and not those of records.
func TestTheKeysOfTheAuditTrailAreInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := time.UnixMilli(rapid.Int64Range(0, 4_000_000_000_000).Draw(t, "x"))
		y := x.Add(time.Duration(rapid.Int64Range(1, 1e12).Draw(t, "later")) * time.Millisecond)
		a, b := messages.AuditKey("main", x, "ZZZZZZZZ"), messages.AuditKey("main", y, "AAAAAAAA")
		if a >= b {
			t.Fatalf("%s is not before %s", a, b)
		}
		if _, _, _, ok := messages.ParseRecordKey(a); ok {
			t.Fatalf("%s reads as the key of a record", a)
		}
	})
}
