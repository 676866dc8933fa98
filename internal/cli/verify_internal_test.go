package cli

import (
	"slices"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
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
