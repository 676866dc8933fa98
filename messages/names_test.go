package messages_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
)

func naming(t testing.TB, template string, nested bool) messages.Naming {
	t.Helper()
	n, err := messages.NewNaming(template, "%Y-%m-%d", "_", nested)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestNaming(t *testing.T) {
	for _, c := range []struct {
		template, format, separator string
		nested                      bool
		want, compiled              string
	}{
		{"{date}{separator}{basename}", "%Y-%m-%d", "_", false, "2024-11-28_a.csv.gz", "{YYYY}-{MM}-{DD}_{basename}"},
		{"{YYYY}_{MM}_{DD}/{basename}", "%Y-%m-%d", "_", false, "2024_11_28/a.csv.gz", "{YYYY}_{MM}_{DD}/{basename}"},
		{"{basename}.{date}", "%Y%m%d", "", false, "a.csv.gz.20241128", "{basename}.{YYYY}{MM}{DD}"},
		{"{date}/{basename}", "%Y/%m/%d", "", true, "2024/11/28/a.csv.gz", "{YYYY}/{MM}/{DD}/{basename}"},
		{"{date}{separator}{basename}", "%d%%%m.%Y", "--", false, "28%11.2024--a.csv.gz", "{DD}%{MM}.{YYYY}--{basename}"},
		{"focus_{YYYY}{MM}{DD}{YYYY}{basename}", "%Y-%m-%d", "_", false, "focus_202411282024a.csv.gz", "focus_{YYYY}{MM}{DD}{YYYY}{basename}"},
		{"{YYYY}/{MM}/{DD}_{basename}", "%Y-%m-%d", "_", true, "2024/11/28_a.csv.gz", "{YYYY}/{MM}/{DD}_{basename}"},
	} {
		n, err := messages.NewNaming(c.template, c.format, c.separator, c.nested)
		if err != nil {
			t.Errorf("NewNaming(%q, %q, %q): %v", c.template, c.format, c.separator, err)
			continue
		}
		if got := n.Key("2024-11-28", "a.csv.gz"); got != c.want {
			t.Errorf("%q: Key = %q, want %q", c.template, got, c.want)
		}
		if got := n.Template(); got != c.compiled {
			t.Errorf("%q: Template = %q, want %q", c.template, got, c.compiled)
		}
	}
}

func TestNamingRefusals(t *testing.T) {
	const usual = "%Y-%m-%d"
	for _, c := range []struct{ template, format, separator, want string }{
		{"{date}_{basename}", "%Y-%m", "_", `naming.date_format "%Y-%m": it must contain %d`},
		{"{date}_{basename}", "%m-%d", "_", `naming.date_format "%m-%d": it must contain %Y`},
		{"{date}_{basename}", "%Y%d", "_", `naming.date_format "%Y%d": it must contain %m`},
		{"{date}_{basename}", "%Y-%m-%d %H", "_", `naming.date_format "%Y-%m-%d %H": only %Y, %m, %d and %% are known`},
		{"{date}_{basename}", "%Y-%m-%d%", "_", `naming.date_format "%Y-%m-%d%": only %Y, %m, %d and %% are known`},
		{"{date}", usual, "_", `naming.template "{date}": it must contain {basename} exactly once`},
		{"{date}{basename}{basename}", usual, "_", `naming.template "{date}{basename}{basename}": it must contain {basename} exactly once`},
		{"{basename}", usual, "_", `naming.template "{basename}": it must contain the full date: {date}, or {YYYY}, {MM} and {DD}`},
		{"{YYYY}-{MM}_{basename}", usual, "_", `naming.template "{YYYY}-{MM}_{basename}": it must contain the full date: {date}, or {YYYY}, {MM} and {DD}`},
		{"{date}_{name}", usual, "_", `naming.template "{date}_{name}": {name} is unknown; use {date} {separator} {basename} {YYYY} {MM} {DD}`},
		{"{date}_{basename", usual, "_", `naming.template "{date}_{basename": a brace has no partner`},
		{"{date}_}{basename}", usual, "_", `naming.template "{date}_}{basename}": a brace has no partner`},
		{"{date} {basename}", usual, "_", `naming.template "{date} {basename}": keys must not contain spaces or control characters`},
		{"{date}{separator}{basename}", usual, "\t", `naming.template "{date}{separator}{basename}": keys must not contain spaces or control characters`},
		{"{date}{separator}{basename}", usual, "\u202e", `naming.template "{date}{separator}{basename}": keys must not contain spaces or control characters`},
		{"{date}{separator}{basename}", usual, "\xff", `naming.template "{date}{separator}{basename}": keys must be valid UTF-8`},
		{"{date}/{basename}", "%Y/%m/%d", "_", `naming.template "{date}/{basename}": it makes keys like "2006/01/02/x.csv.gz", with more than one directory level, which Umbrella does not read; set naming.allow_nested: true if your destination does`},
		{"/{date}_{basename}", usual, "_", `naming.template "/{date}_{basename}": it makes keys like "/2006-01-02_x.csv.gz", with an empty or dotted path segment`},
		{"{date}//{basename}", usual, "_", `naming.template "{date}//{basename}": it makes keys like "2006-01-02//x.csv.gz", with an empty or dotted path segment`},
		{"../{date}_{basename}", usual, "_", `naming.template "../{date}_{basename}": it makes keys like "../2006-01-02_x.csv.gz", with an empty or dotted path segment`},
		{"{date}_{basename}/", usual, "_", `naming.template "{date}_{basename}/": it makes keys like "2006-01-02_x.csv.gz/", with an empty or dotted path segment`},
		{"", usual, "_", `naming.template "": it must contain the full date: {date}, or {YYYY}, {MM} and {DD}`},
	} {
		_, err := messages.NewNaming(c.template, c.format, c.separator, false)
		if err == nil || err.Error() != c.want {
			t.Errorf("NewNaming(%q, %q, %q)\n got %v\nwant %s", c.template, c.format, c.separator, err, c.want)
		}
	}
}

func rules(t testing.TB) messages.Rules {
	return messages.Rules{
		Prefix: "FOCUS Reports/", MaxSize: 1000, KeyPrefix: "focus/",
		Naming: naming(t, "{date}{separator}{basename}", false),
	}
}

func TestReportTakesEveryHonestName(t *testing.T) {
	keys := map[string]bool{}
	for _, base := range []string{
		"0001000002103533-00001.csv.gz", "a+b.csv.gz", "100%.csv.gz", "a%2Fb.csv.gz", "#1.csv.gz", "?x=1&y.csv.gz", `q"'.csv.gz`, `back\slash.csv.gz`,
		"*>.csv.gz", "..csv.gz", "...csv.gz", "..x.csv.gz", "é.csv.gz", "e\u0301.csv.gz", "\U0001F4B0.csv.gz", "漢字.csv.gz", "A.csv.gz", "a.csv.gz", "x.csv.gz.csv.gz",
	} {
		r, err := rules(t).Report(messages.Object{Name: "FOCUS Reports/2024/02/29/" + base, Size: 1000})
		want := messages.Report{Day: "2024-02-29", Basename: base, Key: "focus/2024-02-29_" + base}
		if err != nil || r != want {
			t.Errorf("Report(%q) = %+v, %v, want %+v", base, r, err, want)
		}
		if keys[r.Key] {
			t.Errorf("%q shares the key %q", base, r.Key)
		}
		keys[r.Key] = true
	}
	r := rules(t)
	r.MaxSize = 0
	if _, err := r.Report(messages.Object{Name: "FOCUS Reports/2024/02/29/a.csv.gz", Size: 1 << 50}); err != nil {
		t.Errorf("without a limit: %v", err)
	}
}

func TestReportRefusals(t *testing.T) {
	const p = "FOCUS Reports/2024/02/28/"
	long := func(n int) string { // an object name of n bytes
		return p + strings.Repeat("n", n-len(p)-len(".csv.gz")) + ".csv.gz"
	}
	const shape = "its path is not YYYY/MM/DD/<file>.csv.gz below the prefix"
	const odd = "its name has a control or formatting character"
	for _, c := range []struct {
		name   string
		size   int64
		reason messages.Reason
		rule   string
	}{
		{"FOCUS Reportz/2024/02/28/a.csv.gz", 0, messages.OutsidePrefix, `it is outside the prefix "FOCUS Reports/"`},
		{"/FOCUS Reports/2024/02/28/a.csv.gz", 0, messages.OutsidePrefix, `it is outside the prefix "FOCUS Reports/"`},
		{"focus reports/2024/02/28/a.csv.gz", 0, messages.OutsidePrefix, `it is outside the prefix "FOCUS Reports/"`},
		{"", 0, messages.OutsidePrefix, `it is outside the prefix "FOCUS Reports/"`},
		{p + "a.csv", 0, messages.NotAReport, shape},
		{p + "a.CSV.GZ", 0, messages.NotAReport, shape},
		{p + "a.csv.gz.tmp", 0, messages.NotAReport, shape},
		{p + ".csv.gz", 0, messages.NotAReport, shape},
		{p + "b/a.csv.gz", 0, messages.NotAReport, shape},
		{p + "/a.csv.gz", 0, messages.NotAReport, shape},
		{p + "../a.csv.gz", 0, messages.NotAReport, shape},
		{p, 0, messages.NotAReport, shape},
		{"FOCUS Reports/", 0, messages.NotAReport, shape},
		{"FOCUS Reports/2024/02/a.csv.gz", 0, messages.NotAReport, shape},
		{"FOCUS Reports/2024/2/28/a.csv.gz", 0, messages.NotAReport, shape},
		{"FOCUS Reports/24/02/28/aa.csv.gz", 0, messages.NotAReport, shape},
		{"FOCUS Reports//2024/02/28/a.csv.gz", 0, messages.NotAReport, shape},
		{"FOCUS Reports/2024-02-28/a.csv.gz", 0, messages.NotAReport, shape},
		{"FOCUS Reports/2025/02/30/a.csv.gz", 0, messages.BadDate, "2025/02/30 is not a day of the calendar"},
		{"FOCUS Reports/2025/02/29/a.csv.gz", 0, messages.BadDate, "2025/02/29 is not a day of the calendar"},
		{"FOCUS Reports/2025/13/01/a.csv.gz", 0, messages.BadDate, "2025/13/01 is not a day of the calendar"},
		{"FOCUS Reports/2025/00/01/a.csv.gz", 0, messages.BadDate, "2025/00/01 is not a day of the calendar"},
		{"FOCUS Reports/+025/ 1/ 1/a.csv.gz", 0, messages.BadDate, "+025/ 1/ 1 is not a day of the calendar"},
		{p + "a\nb.csv.gz", 0, messages.BadName, odd},
		{p + "a\x00b.csv.gz", 0, messages.BadName, odd},
		{p + "a\x7fb.csv.gz", 0, messages.BadName, odd},
		{p + "a\u0085b.csv.gz", 0, messages.BadName, odd},
		{p + "\u202egnp.csv.gz", 0, messages.BadName, odd},
		{p + "a\u200bb.csv.gz", 0, messages.BadName, odd},
		{p + "\ufeffa.csv.gz", 0, messages.BadName, odd},
		{p + "a\xffb.csv.gz", 0, messages.BadName, "its name is not valid UTF-8"},
		{p + "a\xed\xa0\x80b.csv.gz", 0, messages.BadName, "its name is not valid UTF-8"},
		{long(1025), 0, messages.BadName, "its name has 1025 bytes, more than 1024"},
		{p + "a b.csv.gz", 0, messages.BadKey, `its destination key "focus/2024-02-28_a b.csv.gz" would contain a space`},
		{p + "a\u00a0b.csv.gz", 0, messages.BadKey, `its destination key "focus/2024-02-28_a\u00a0b.csv.gz" would contain a space`},
		{p + "a\u3000b.csv.gz", 0, messages.BadKey, `its destination key "focus/2024-02-28_a\u3000b.csv.gz" would contain a space`},
		{p + "a\u2028b.csv.gz", 0, messages.BadKey, `its destination key "focus/2024-02-28_a\u2028b.csv.gz" would contain a space`},
		{p + "a.csv.gz", 1001, messages.TooLarge, "its size of 1001 bytes is over the limit of 1000 (advanced.max_file_size_gb)"},
	} {
		r, err := rules(t).Report(messages.Object{Name: c.name, Size: c.size})
		bad, ok := errors.AsType[*messages.Ineligible](err)
		if !ok || bad.Reason != c.reason || bad.Rule != c.rule || bad.Name != c.name || r != (messages.Report{}) {
			t.Errorf("Report(%q) = %+v, %v, want %s: %s", c.name, r, err, c.reason, c.rule)
			continue
		}
		if !errors.Is(err, messages.Refused) || messages.ClassOf(err) != messages.Refused {
			t.Errorf("Report(%q) is not Refused", c.name)
		}
		if want := fmt.Sprintf("%q is not copied: %s", c.name, c.rule); err.Error() != want {
			t.Errorf("Error = %q, want %q", err, want)
		}
	}
	if _, err := rules(t).Report(messages.Object{Name: long(1024)}); err != nil {
		t.Errorf("a name of 1024 bytes: %v", err)
	}
	r := rules(t)
	r.KeyPrefix = strings.Repeat("k", 100) + "/"
	if _, err := r.Report(messages.Object{Name: long(1024)}); !strings.Contains(fmt.Sprint(err), "its destination key would have 1111 bytes, more than 1024") {
		t.Errorf("a key over the limit: %v", err)
	}
}

func TestDay(t *testing.T) {
	apia := time.FixedZone("Apia", 13*3600)
	if d := messages.DayOf(time.Date(2025, 1, 1, 5, 0, 0, 0, apia)); d != "2024-12-31" {
		t.Errorf("DayOf in Apia = %s", d)
	}
	for d, want := range map[messages.Day]bool{
		"2024-02-29": true, "2025-02-29": false, "2025-2-01": false, "2025-02-1": false, "": false, "2025-02-01 ": false, "0001-01-01": true, "12025-02-01": false,
	} {
		if d.Valid() != want {
			t.Errorf("%q.Valid() = %t", d, !want)
		}
	}
	for _, c := range []struct {
		d    messages.Day
		n    int
		want messages.Day
	}{
		{"2024-02-28", 1, "2024-02-29"}, {"2025-02-28", 1, "2025-03-01"}, {"2025-01-01", -1, "2024-12-31"}, {"2024-03-01", -35, "2024-01-26"}, {"2024-03-31", 0, "2024-03-31"},
	} {
		if got := c.d.Add(c.n); got != c.want {
			t.Errorf("%s + %d = %s, want %s", c.d, c.n, got, c.want)
		}
	}
	if f := messages.Day("2024-02-29").Folder(); f != "2024/02/29/" {
		t.Errorf("Folder = %q", f)
	}
}

func TestCheckName(t *testing.T) {
	for s, want := range map[string]bool{
		"main": true, "A-z_09": true, strings.Repeat("a", 32): true,
		"": false, strings.Repeat("a", 33): false, "a.b": false, "a b": false, "é": false, ">": false, "*": false, "a=": false, "a\n": false,
	} {
		if err := messages.CheckName("oci.name", s); (err == nil) != want {
			t.Errorf("CheckName(%q) = %v", s, err)
		} else if err != nil && !strings.HasPrefix(err.Error(), "oci.name ") {
			t.Errorf("the error does not name the setting: %v", err)
		}
	}
}

// TestLongestNameFitsTheProtocol: NATS refuses control lines over 4 KiB, and a
// subject stands there beside a reply subject.
func TestLongestNameFitsTheProtocol(t *testing.T) {
	name := "FOCUS Reports/2024/02/28/" + strings.Repeat("é", (1024-25-7)/2) + ".csv.gz"
	word := strings.Repeat("w", 32)
	for _, s := range []string{
		messages.Subject(word, messages.Backfill, word, name), messages.DeadSubject(word, word, name),
		"$JS.API.DIRECT.GET.KV_" + word + "_state.$KV." + word + "_state." + messages.UploadKey(word, name),
	} {
		if len(s) > 3800 {
			t.Errorf("%d bytes: %.80s…", len(s), s)
		}
	}
}

func TestDecodeTokenRefuses(t *testing.T) {
	for _, s := range []string{"", "a.b", "a b", "=4", "a=", "==", "=2f", "=GG", "=61", "=2D", "=5F", "é", "a=2F=", "\x00", "=\xff0"} {
		if out, err := messages.DecodeToken(s); err == nil {
			t.Errorf("DecodeToken(%q) = %q, want an error", s, out)
		}
	}
}

func FuzzToken(f *testing.F) {
	for _, s := range []string{"", "=", "a", "é", "\xff", "FOCUS Reports/2024/11/28/a.csv.gz", "=2F", "=3D2F", "..", "*.>"} {
		f.Add(s, s+"x")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x := messages.EncodeToken(a)
		if strings.ContainsAny(x, ". */>\\\x00") || x == "" || !printable(x) {
			t.Fatalf("EncodeToken(%q) = %q is not one token", a, x)
		}
		if back, err := messages.DecodeToken(x); err != nil || back != a {
			t.Fatalf("DecodeToken(EncodeToken(%q)) = %q, %v", a, back, err)
		}
		if a != b && x == messages.EncodeToken(b) {
			t.Fatalf("%q and %q share the token %q", a, b, x)
		}
		if back, err := messages.DecodeToken(b); err == nil && messages.EncodeToken(back) != b {
			t.Fatalf("DecodeToken accepted %q, which EncodeToken does not write", b)
		}
	})
}

func printable(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

func FuzzParseRecordKey(f *testing.F) {
	for _, s := range []string{"main.2024.11.28.a=2Ecsv=2Egz", "main.scan", "main.meta", "main.upload.x", "main.2024.02.30.a", "a.b.c.d.e", "....", "main.2024.11.28.="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, key string) {
		route, day, base, ok := messages.ParseRecordKey(key)
		if !ok {
			return
		}
		if back := messages.RecordKey(route, messages.Report{Day: day, Basename: base}); back != key {
			t.Fatalf("RecordKey(ParseRecordKey(%q)) = %q", key, back)
		}
		if !strings.HasPrefix(key, messages.DayPrefix(route, day)+".") {
			t.Fatalf("%q is not under the prefix of its day", key)
		}
	})
}

func TestParseRecordKeyKnowsItsOwn(t *testing.T) {
	route, day, base, ok := messages.ParseRecordKey(messages.RecordKey("eu-1", messages.Report{Day: "2024-02-29", Basename: "a b/é.csv.gz"}))
	if route != "eu-1" || day != "2024-02-29" || base != "a b/é.csv.gz" || !ok {
		t.Errorf("ParseRecordKey = %q, %q, %q, %t", route, day, base, ok)
	}
	for _, k := range []string{
		messages.MarksKey("main"), messages.IdentityKey("main"), messages.UploadKey("main", "x"), messages.UploadKey("main", "a.b.c"),
		messages.LimitKey("main", "host.example.com/2024"),
		"main.2024.02.30.a", "main.2024.2.3.a", "ma in.2024.02.03.a", "main.2024.02.03.a.b", "main.2024.02.03.a b", "",
	} {
		if _, _, _, ok := messages.ParseRecordKey(k); ok {
			t.Errorf("ParseRecordKey(%q) took it for a record", k)
		}
	}
}

func FuzzReport(f *testing.F) {
	for _, s := range []string{"a.csv.gz", "../a.csv.gz", "a b.csv.gz", "\u202e.csv.gz", "é.csv.gz", "\xff.csv.gz", ""} {
		f.Add("FOCUS Reports/2024/11/28/"+s, "FOCUS Reports/2024/11/27/"+s, int64(1))
	}
	f.Add("FOCUS Reports/2024/11/28/1.csv.gz", "FOCUS Reports/2024/11/2/81.csv.gz", int64(-1))
	all := []messages.Naming{
		naming(f, "{date}{separator}{basename}", false), naming(f, "{YYYY}_{MM}_{DD}/{basename}", false),
		naming(f, "{basename}{YYYY}{MM}{DD}", false), naming(f, "{MM}{basename}{DD}{YYYY}", false), naming(f, "{date}/{YYYY}/x/{basename}.y", true),
	}
	f.Fuzz(func(t *testing.T, a, b string, size int64) {
		for _, n := range all {
			r := messages.Rules{Prefix: "FOCUS Reports/", MaxSize: 5 << 30, KeyPrefix: "focus/", Naming: n}
			x, errX := r.Report(messages.Object{Name: a, Size: size})
			y, errY := r.Report(messages.Object{Name: b, Size: size})
			checkReport(t, r, a, x, errX)
			if errX == nil && errY == nil && (a == b) != (x.Key == y.Key) {
				t.Fatalf("%q and %q: keys %q and %q", a, b, x.Key, y.Key)
			}
			if errX == nil && errY == nil && (a == b) != (messages.RecordKey("r", x) == messages.RecordKey("r", y)) {
				t.Fatalf("%q and %q: records %q and %q", a, b, messages.RecordKey("r", x), messages.RecordKey("r", y))
			}
		}
	})
}

func checkReport(t interface{ Fatalf(string, ...any) }, r messages.Rules, name string, got messages.Report, err error) {
	if err != nil {
		if _, ok := errors.AsType[*messages.Ineligible](err); !ok || got != (messages.Report{}) {
			t.Fatalf("Report(%q) = %+v, %v", name, got, err)
		}
		return
	}
	below, ok := strings.CutPrefix(got.Key, r.KeyPrefix)
	switch {
	case !ok, below == "":
		t.Fatalf("the key %q is not below %q", got.Key, r.KeyPrefix)
	case len(got.Key) > 1024 || !utf8.ValidString(got.Key):
		t.Fatalf("S3 would refuse the key %q", got.Key)
	case strings.IndexFunc(got.Key, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) >= 0:
		t.Fatalf("the key %q has a space or a control character", got.Key)
	case name != r.Prefix+got.Day.Folder()+got.Basename || !got.Day.Valid():
		t.Fatalf("%q became %+v", name, got)
	}
	for s := range strings.SplitSeq(got.Key, "/") {
		if s == "" || s == "." || s == ".." {
			t.Fatalf("the key %q has the segment %q", got.Key, s)
		}
	}
}

func FuzzNewNaming(f *testing.F) {
	f.Add("{date}{separator}{basename}", "%Y-%m-%d", "_", true)
	f.Add("{YYYY}_{MM}_{DD}/{basename}", "%Y%m%d", "{basename}", false)
	f.Add("{separator}", "{basename}%Y%m%d", "{date}", false)
	f.Add("}{", "%", "", false)
	f.Fuzz(func(t *testing.T, template, format, separator string, nested bool) {
		n, err := messages.NewNaming(template, format, separator, nested)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "naming.") {
				t.Fatalf("the error does not name the setting: %v", err)
			}
			return
		}
		again, err := messages.NewNaming(n.Template(), "%Y-%m-%d", "_", nested)
		if err != nil || again.Template() != n.Template() {
			t.Fatalf("the template %q compiles to %q, %v", n.Template(), again.Template(), err)
		}
		const d, e = "2024-11-28", "2024-11-29"
		for _, k := range []string{n.Key(e, "a.csv.gz"), n.Key(d, "aa.csv.gz"), n.Key(d, "b.csv.gz"), n.Key(e, "29a.csv.gz")} {
			if k == n.Key(d, "a.csv.gz") {
				t.Fatalf("%q maps two reports to %q", template, k)
			}
		}
	})
}

func TestParseKnowsForeignKeys(t *testing.T) {
	n := naming(t, "{date}{separator}{basename}", false)
	for _, key := range []string{
		"", "x", "2024-11-28_.csv.gz", "2024-11-28_a.csv", "2024-11-31_a.csv.gz", "2024-11-28-a.csv.gz", "2024-11-28_a/b.csv.gz", "24-11-28_a.csv.gz",
	} {
		if d, name, ok := n.Parse(key); ok {
			t.Errorf("Parse(%q) = %s, %q", key, d, name)
		}
	}
	twice := naming(t, "{YYYY}/{date}_{basename}", false)
	if _, _, ok := twice.Parse("2023/2024-11-28_a.csv.gz"); ok {
		t.Error("a key of two years was read")
	}
	if _, ok := naming(t, "{YYYY}-{MM}_{basename}_{DD}", false).DayPrefix("2024-11-28"); ok {
		t.Error("the day comes after the name, and yet there is a prefix of the day")
	}
}

// TestEveryNamingIsInjective draws settings and pairs of reports at random.
func TestEveryNamingIsInjective(t *testing.T) {
	piece := rapid.SampledFrom([]string{"{date}", "{separator}", "{basename}", "{YYYY}", "{MM}", "{DD}", "-", "_", "/", "2", "x", "."})
	base := rapid.StringMatching(`[-_0-9./{}x]{0,4}[0-9x]\.csv\.gz`)
	day := rapid.Custom(func(t *rapid.T) messages.Day {
		return messages.Day("2022-02-02").Add(rapid.IntRange(0, 800).Draw(t, "day"))
	})
	found := 0
	rapid.Check(t, func(t *rapid.T) {
		parts := append(rapid.SliceOfN(piece, 0, 5).Draw(t, "template"), "{basename}", "{date}")
		parts = rapid.Permutation(parts).Draw(t, "order")
		n, err := messages.NewNaming(strings.Join(parts, ""), rapid.SampledFrom([]string{"%Y-%m-%d", "%d%m%Y", "%Y/%m/%d"}).Draw(t, "format"), rapid.SampledFrom([]string{"", "_", "2"}).Draw(t, "separator"), true)
		if err != nil {
			return
		}
		found++
		d, e, a, b := day.Draw(t, "d"), day.Draw(t, "e"), base.Draw(t, "a"), base.Draw(t, "b")
		if same := d == e && a == b; same != (n.Key(d, a) == n.Key(e, b)) {
			t.Fatalf("%s %q and %s %q: keys %q and %q", d, a, e, b, n.Key(d, a), n.Key(e, b))
		}
		prefix, ok := n.DayPrefix(d)
		if ok && strings.HasPrefix(n.Key(e, b), prefix) != (d == e) {
			t.Fatalf("%s of %q: the key %q of %s", prefix, d, n.Key(e, b), e)
		}
		gotDay, gotName, read := n.Parse(n.Key(d, a))
		if want := !strings.Contains(a, "/"); read != want || read && (gotDay != d || gotName != a) {
			t.Fatalf("Parse(%q) = %s, %q, %t; it is %s, %q", n.Key(d, a), gotDay, gotName, read, d, a)
		}
	})
	if found == 0 {
		t.Error("no template was accepted")
	}
}
