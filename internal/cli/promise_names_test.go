package cli_test

import (
	"maps"
	"strings"
	"testing"

	"oracle-focus-agent/internal/simulator"
)

func TestNamesThatNeedEscapingArriveUnderExactlyTheirKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=8")
	for _, base := range []string{
		"a+b.csv.gz", "a%20b.csv.gz", "100%.csv.gz", "%2F.csv.gz", "%2e%2e.csv.gz", "#1.csv.gz", "?versionId=1.csv.gz", "a&b=c;d.csv.gz",
		"größe-東京-🚀.csv.gz", "gro\u0308ße.csv.gz", "'\"`$(x).csv.gz", "a\\b.csv.gz", "*.csv.gz", "a..b.csv.gz", "...csv.gz", "-rf.csv.gz",
		"=41.csv.gz", "A.csv.gz", "a.csv.gz", // =41 is how the queue writes A
		"x.csv.gz.csv.gz", strings.Repeat("n", 900) + ".csv.gz",
	} {
		w.add(object(1, base, 500))
	}
	w.sync(t, 0)
	w.check(t)
}

func TestOneBasenameInTwoDaysIsTwoFiles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.add(object(1, "0001.csv.gz", 500), object(2, "0001.csv.gz", 600))
	if got := w.sync(t, 0).Transferred; got != 2 {
		t.Errorf("%d transferred, want 2", got)
	}
	w.check(t)
}

func TestWhatIsNoReportIsCountedByItsRuleAndNotCopied(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	day := strings.TrimSuffix(nameOf(1, "x"), "x")
	want := map[string]int{}
	for name, reason := range map[string]string{
		day + "with space.csv.gz":                "bad-key",
		day + "no\u00a0break.csv.gz":             "bad-key",
		day + "tab\there.csv.gz":                 "bad-name",
		day + "line\nbreak.csv.gz":               "bad-name",
		day + "turned\u202ezg.vsc.csv.gz":        "bad-name",
		day + "report.csv":                       "not-a-report",
		day + "report.csv.gz.part":               "not-a-report",
		day + "report.CSV.GZ":                    "not-a-report",
		day + ".csv.gz":                          "not-a-report",
		day + "deeper/report.csv.gz":             "not-a-report",
		day + "../escape.csv.gz":                 "not-a-report",
		day + "../../../../../other/x.csv.gz":    "not-a-report",
		day + "/x.csv.gz":                        "not-a-report",
		simulator.Prefix + "2999/13/01/x.csv.gz": "bad-date",
		simulator.Prefix + "2999/02/30/x.csv.gz": "bad-date",
		simulator.Prefix + "summary.csv.gz":      "not-a-report",
	} {
		w.add(simulator.Object{Name: name, Content: simulator.Random(1, 100)})
		want[reason]++
	}
	good := object(1, "good.csv.gz", 500)
	w.add(good)

	s := w.sync(t, 0)
	if s.Transferred != 1 || !maps.Equal(s.Reasons, want) {
		t.Errorf("%d transferred, ineligible %v; want 1 and %v", s.Transferred, s.Reasons, want)
	}
	w.check(t)
	plan := w.run(t, "sync", "--dry-run").want(t, 0).stdout
	for reason := range want {
		if !strings.Contains(plan, reason) {
			t.Errorf("the plan does not name the rule %q: %s", reason, plan)
		}
	}
}

func TestNothingOutsideThePrefixIsLookedAt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	day := nameOf(1, "x.csv.gz")
	for _, name := range []string{
		strings.Replace(day, "FOCUS Reports/", "reports/cost-csv/", 1),
		strings.Replace(day, "FOCUS Reports/", "FOCUS Reports 2/", 1),
		strings.Replace(day, "FOCUS Reports/", "Z/FOCUS Reports/", 1),
		strings.Replace(day, "FOCUS Reports/", "focus reports/", 1),
		strings.Replace(day, "FOCUS Reports/", "FOCUS Reports/../FOCUS Reports/", 1),
		strings.Replace(day, "FOCUS Reports/", "", 1),
	} {
		w.add(simulator.Object{Name: name, Content: simulator.Random(1, 100)})
	}
	if s := w.sync(t, 0); s.Transferred != 0 || s.Discovered != 0 {
		t.Errorf("sync = %+v, want nothing", s)
	}
	if got := w.OCI.Requests()["GetObject"] + len(w.S3.Requests()); got != 0 {
		t.Errorf("%d requests for objects, want 0", got)
	}
}
