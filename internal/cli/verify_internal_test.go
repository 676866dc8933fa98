package cli

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

// A comparison is due once the interval is over since the last one, or since the birth
// of the ledger, and while nobody is at it.
func TestWhenTheNextComparisonIsDue(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	const hour = time.Hour
	for _, c := range []struct {
		name  string
		born  time.Time
		last  messages.Verification
		every time.Duration
		due   bool
	}{
		{"young ledger", ago(hour), messages.Verification{}, 24 * hour, false},
		{"old ledger", ago(25 * hour), messages.Verification{}, 24 * hour, true},
		{"off", ago(25 * hour), messages.Verification{}, 0, false},
		{"recent", ago(99 * hour), messages.Verification{Started: ago(23 * hour)}, 24 * hour, false},
		{"over", ago(99 * hour), messages.Verification{Started: ago(24 * hour)}, 24 * hour, true},
		{"claimed", ago(99 * hour), messages.Verification{Started: ago(25 * hour), Claimed: ago(hour)}, 24 * hour, false},
		{"claimed by one that died", ago(99 * hour), messages.Verification{Started: ago(25 * hour), Claimed: ago(2 * hour)}, 24 * hour, true},
		{"a short interval shortens the claim", ago(99 * hour), messages.Verification{Started: ago(hour), Claimed: ago(hour / 2)}, hour / 2, true},
		{"a clock was ahead", ago(99 * hour), messages.Verification{Started: ago(-48 * hour), Claimed: ago(-48 * hour)}, 24 * hour, true},
		{"a clock is a little ahead", ago(99 * hour), messages.Verification{Started: ago(25 * hour), Claimed: ago(-time.Minute)}, 24 * hour, false},
		{"another destination", ago(99 * hour), messages.Verification{Started: ago(hour), Epoch: 7}, 24 * hour, true},
	} {
		g := &running{route: &route{identity: messages.Identity{Created: c.born}}}
		if got := g.due(c.last, config.Verify{Interval: config.Duration(c.every)}, now); got != c.due {
			t.Errorf("%s: due = %t", c.name, got)
		}
	}
}

func TestTheDaysThatAreCompared(t *testing.T) {
	t.Parallel()
	today := messages.DayOf(time.Now())
	r := &route{cfg: &config.Config{Agent: config.Agent{LookbackDays: 35}}}
	m := &messages.Marks{Since: today.Add(-100), Scanned: time.Now(), Ranges: []messages.Range{
		{From: today.Add(-300), To: today.Add(-290)}, {From: today.Add(-120), To: today.Add(-90)}, {From: today.Add(-50), To: today.Add(-40)},
	}}
	d := r.duties(m)
	want := []messages.Range{{From: today.Add(-300), To: today.Add(-290)}, {From: today.Add(-120), To: today.Add(-101)}, {From: today.Add(-100)}}
	if got := d.all(); !slices.Equal(got, want) {
		t.Errorf("all days: %v, want %v", got, want)
	}
	for n, want := range map[int]bool{-301: false, -300: true, -290: true, -289: false, -120: true, -101: true, -99: true, 3: true} {
		if d.cover(today.Add(n)) != want {
			t.Errorf("day %d: covered = %t", n, !want)
		}
	}
	// What differed before the window is looked at again, where we are responsible for it.
	differences := []messages.Deviation{{Day: today.Add(-295)}, {Day: today.Add(-200)}, {Day: today.Add(-60)}, {Day: today.Add(-60)}, {Day: today.Add(-1)}}
	want = []messages.Range{{From: today.Add(-295), To: today.Add(-295)}, {From: today.Add(-60), To: today.Add(-60)}, {From: today.Add(-35)}}
	if got := d.withDoubtful(differences); !slices.Equal(got, want) {
		t.Errorf("window: %v, want %v", got, want)
	}
	// After an outage a scan reaches further back; agent.since bounds it.
	m.Scanned = time.Now().AddDate(0, 0, -10)
	if got := r.duties(m).window(); got[0].From != today.Add(-45) {
		t.Errorf("window after an outage: %v", got)
	}
	r.cfg.Agent.Since = config.Day(today.Add(-2))
	if got := r.duties(m); got.window()[0].From != today.Add(-2) || got.all()[len(got.all())-1].From != today.Add(-2) {
		t.Errorf("with agent.since: %+v", got)
	}
	if got := r.duties(nil); got.scan != today.Add(-2) {
		t.Errorf("without marks: %+v", got)
	}
}

// A repair orders only what is still as it was found: between the comparison and the
// order another process may have copied, ordered or erased.
func TestARepairIsAboutWhatWasFound(t *testing.T) {
	t.Parallel()
	conn := natstest.New(t).Connect(t)
	assets := messages.Define("focus", "main", 1, time.Minute)
	if _, err := nats.Setup(t.Context(), conn, assets, nats.Create); err != nil {
		t.Fatal(err)
	}
	ledger, err := conn.Ledger(t.Context(), assets.State, "main")
	if err != nil {
		t.Fatal(err)
	}
	r := &route{cfg: &config.Config{OCI: config.OCI{Name: "main"}}, ledger: ledger, identity: messages.Identity{Epoch: 1}}
	found := messages.Record{Status: messages.StatusCopied, Epoch: 1, Object: messages.Object{Name: "x", ETag: "1"}, Copy: &messages.FileCopied{Size: 1}, Generation: 3, At: time.Now().UTC()}
	other := found
	other.Generation = 4
	earlier := found
	earlier.Epoch = 0
	for i, c := range []struct {
		found, now messages.Record // now may be empty
		ok         bool
		copy       bool
	}{
		{found, found, true, true}, {found, other, false, true}, {found, messages.Record{}, false, false},
		{messages.Record{}, messages.Record{}, true, false}, {messages.Record{}, earlier, true, false}, {messages.Record{}, found, false, true},
	} {
		f := verify.Finding{Report: messages.Report{Day: messages.Day("2026-03-01").Add(i), Basename: "a.csv.gz"}, Object: messages.Object{Name: "x", ETag: "2"}, Record: c.found}
		var revision uint64
		if c.now.Status != "" {
			raw, err := c.now.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if revision, err = ledger.Write(t.Context(), messages.RecordKey("main", f.Report), raw, 0); err != nil {
				t.Fatal(err)
			}
		}
		e, ok, err := r.stillAs(t.Context(), f)
		if err != nil || ok != c.ok || e.Revision != revision {
			t.Errorf("%d: ok %t, revision %d, %v; want %t, %d", i, ok, e.Revision, err, c.ok, revision)
		}
		if e.Record.Object.ETag != "2" || e.Record.Epoch != 1 || (e.Record.Copy != nil) != c.copy {
			t.Errorf("%d: the order is of %+v", i, e.Record)
		}
	}
}

func TestASupportBundleHasTheLastComparison(t *testing.T) {
	t.Parallel()
	var l ledgerSummary
	if err := l.take(state.Line{Key: messages.VerificationKey("main"), Value: json.RawMessage(`{"schema":1}`)}); err != nil || l.Routes["main.verified"] == nil {
		t.Errorf("%+v, %v", l, err)
	}
}
