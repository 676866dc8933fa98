package cli

import (
	"errors"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// The verdict is one sentence about the worst that is known, with what to do about it.
func TestTheVerdictIsAboutTheWorst(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	day := func(ago int, state report.State, failed, pending int) report.Day {
		return report.Day{Day: messages.DayOf(now).Add(-ago), State: state, Failed: failed, Pending: pending, Files: 3, Delivered: 3 - failed - pending}
	}
	calm := func() (web.Summary, agent.Status) {
		return web.Summary{At: now, Numbers: web.Numbers{Files: 10}}, agent.Status{
			LastScan: &agent.Scan{Stats: scanner.Stats{Started: now.Add(-time.Minute)}}, Newest: &agent.Delivered{Day: "2026-11-25", At: now.Add(-time.Hour)},
		}
	}
	for _, c := range []struct {
		name  string
		with  func(*web.Summary, *agent.Status)
		days  []report.Day
		queue error
		state web.VerdictState
		want  string
	}{
		{name: "all is well", state: web.IsCurrent, want: "Up to date: the newest report is of 2026-11-25, delivered 2026-11-26 11:00 UTC."},
		{name: "no report", with: func(s *web.Summary, _ *agent.Status) { s.Numbers.Files = 0 }, state: web.IsCurrent, want: "Oracle has written no report yet"},
		{name: "no scan yet", with: func(_ *web.Summary, a *agent.Status) { a.LastScan = nil }, state: web.IsStarting, want: "the first scan is not at its end"},
		{name: "copies", with: func(s *web.Summary, _ *agent.Status) {
			s.Numbers.Copying, s.Numbers.Waiting, s.Numbers.Undelivered, s.Numbers.Oldest = 1, 2, 3, now.Add(-time.Minute)
		}, state: web.IsWorking, want: "Working: 1 file is being copied, 2 files wait."},
		{name: "waits for long", with: func(s *web.Summary, _ *agent.Status) {
			s.Numbers.Undelivered, s.Numbers.Oldest = 1, now.Add(-150*time.Minute)
		}, state: web.IsBehind, want: "Behind: 1 file is not delivered yet, the oldest for 2 hours."},
		{name: "a missing day", days: []report.Day{day(5, report.Missing, 0, 0), day(3, report.Complete, 0, 0)}, state: web.IsBehind, want: "1 report day lacks files: 2026-11-21."},
		{name: "days of a failure", days: []report.Day{day(30, report.Partial, 1, 0), day(20, report.Partial, 1, 1), day(8, report.Missing, 0, 0), day(4, report.Missing, 0, 0), day(9, report.Missing, 0, 0)}, state: web.IsBehind,
			want: "4 report days lack files: 2026-11-22, 2026-11-18, 2026-11-06 and earlier ones."},
		{name: "days that are known or fill up", days: []report.Day{day(60, report.Missing, 0, 0), day(20, report.Partial, 0, 0), day(1, report.Partial, 0, 2), day(0, report.NotYet, 0, 0), day(300, report.BeforeUs, 0, 0)}, state: web.IsCurrent, want: "Up to date"},
		{name: "a comparison", with: func(s *web.Summary, _ *agent.Status) {
			s.Verification = &messages.Verification{Missing: 2, Different: 1}
		}, state: web.IsBehind, want: "3 files that are not there as they should be"},
		{name: "paused", with: func(s *web.Summary, _ *agent.Status) {
			s.Paused, s.Numbers.Waiting = &messages.Pause{By: "anna@host", Reason: "The bucket moves.", At: now}, 37
		}, days: []report.Day{day(5, report.Missing, 0, 0)}, state: web.IsPaused, want: "Paused by anna@host: The bucket moves; 37 files wait."},
		{name: "failed beats paused", with: func(s *web.Summary, _ *agent.Status) {
			s.Paused, s.Numbers.Failed = &messages.Pause{}, 3
			s.Failed = []web.Cause{{Class: messages.HashMismatch, Count: 2, First: now, Remedy: "look"}, {Class: messages.Held, Count: 1, First: now.Add(-time.Hour)}}
		}, state: web.IsFailing, want: "Failing: 3 files were given up, 2 of them for this: the bytes differ from the declared checksum."},
		{name: "one cause", with: func(s *web.Summary, _ *agent.Status) {
			s.Numbers.Failed, s.Failed = 1, []web.Cause{{Class: messages.Held, Count: 1, First: now, Remedy: "decide"}}
		}, state: web.IsFailing, want: "Failing: 1 file was given up: a delivered file has other bytes now, and integrity.changed is hold."},
		{name: "a scan that failed", with: func(_ *web.Summary, a *agent.Status) { a.LastScan.Error = "no such bucket" }, state: web.IsFailing, want: "the last scan could not list the reports"},
		{name: "a side", with: func(_ *web.Summary, a *agent.Status) {
			a.Gate = copier.GateState{Open: true, Side: messages.Destination, Class: messages.Forbidden, Since: now}
			a.LastScan.Error = "no such bucket"
		}, state: web.IsFailing, want: "Failing: the destination fails for every file: known credentials, but not allowed to do this."},
		{name: "the queue", with: func(_ *web.Summary, a *agent.Status) { a.Gate.Open = true }, queue: errors.New("away"), state: web.IsFailing, want: "the queue does not answer"},
	} {
		s, a := calm()
		if c.with != nil {
			c.with(&s, &a)
		}
		v := verdictOf(s, a, c.days, c.queue)
		if v.State != c.state || !strings.Contains(v.Sentence, c.want) {
			t.Errorf("%s: %+v, want %s: %s", c.name, v, c.state, c.want)
		}
		if calm := v.State == web.IsCurrent || v.State == web.IsWorking || v.State == web.IsStarting; !calm && v.Remedy == "" {
			t.Errorf("%s: nothing says what to do: %+v", c.name, v)
		}
	}
}
