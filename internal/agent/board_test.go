package agent_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func TestTheTotalsOfTheLastDayForgetWhatIsOlder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := agent.NewBoard(agent.Status{})
		retry := func(n int) {
			for range n {
				b.Copier(copier.Event{Kind: copier.Retrying, Object: report("a")})
			}
		}
		want := func(recent, all int) {
			t.Helper()
			if s := b.Status(); s.Recent.Retried != recent || s.Totals.Retried != all {
				t.Errorf("%d in the last 24 hours and %d in all, want %d and %d", s.Recent.Retried, s.Totals.Retried, recent, all)
			}
		}
		retry(1)
		time.Sleep(time.Hour)
		retry(10)
		time.Sleep(22 * time.Hour)
		retry(100)
		want(111, 111)
		time.Sleep(time.Hour)
		want(110, 111)
		retry(1000)
		time.Sleep(time.Hour)
		want(1100, 1111)
		time.Sleep(24 * time.Hour)
		want(0, 1111)
	})
}

func TestTheNewestReportIsThatOfTheLatestDay(t *testing.T) {
	b := agent.NewBoard(agent.Status{})
	found := func(day messages.Day, key string, at int64, status messages.Status) {
		r := messages.Record{Status: status, Copy: &messages.FileCopied{Key: key, At: time.Unix(at, 0)}}
		b.Found(scanner.Outcome{Finding: scanner.Done, Report: messages.Report{Day: day}, Record: r})
	}
	want := func(key string) {
		t.Helper()
		if n := b.Status().Newest; n == nil || n.Key != key {
			t.Errorf("the newest is %+v, want %s", n, key)
		}
	}
	if n := b.Status().Newest; n != nil {
		t.Errorf("before anything was found: %+v", n)
	}
	found("2024-11-27", "a", 50, messages.StatusCopied)
	found("2024-11-28", "b", 10, messages.StatusCopied)
	found("2024-11-28", "c", 30, messages.StatusCopied)
	found("2024-11-28", "d", 20, messages.StatusCopied)
	found("2024-11-29", "e", 60, messages.StatusGone)
	b.Found(scanner.Outcome{Finding: scanner.Published, Report: messages.Report{Day: "2024-11-30"}})
	want("c")
	b.Copier(copier.Event{Kind: copier.Finished, Object: report("f"), Report: messages.Report{Day: "2024-11-29", Key: "f"}, Record: copied("f", messages.HowCopied)})
	want("f")
}

func TestAnAgentThatStopsSaysSo(t *testing.T) {
	b := agent.NewBoard(agent.Status{})
	if s := b.Status(); s.Phase != agent.Working {
		t.Errorf("at work the phase is %q", s.Phase)
	}
	b.Scanned(scanner.Stats{}, errors.New("404"), time.Now())
	b.Stop()
	if s := b.Status(); s.Phase != agent.Stopping || s.Ready || !strings.Contains(s.Problem, "stop") {
		t.Errorf("while it stops: %+v", s)
	}
}

func TestWhatExpiresIsKnownFromTheLastScanOfAllDays(t *testing.T) {
	b := agent.NewBoard(agent.Status{})
	old := time.Now().AddDate(0, -11, 0)
	b.Scanned(scanner.Stats{Sweep: true, Expiring: 2, Oldest: old}, nil, time.Now())
	b.Scanned(scanner.Stats{}, nil, time.Now()) // which does not see days so old
	if s := b.Status(); s.Expiring != 2 || !s.ExpiringOldest.Equal(old) {
		t.Errorf("%d files expire, from %v on, want what the last scan of all days found", s.Expiring, s.ExpiringOldest)
	}
}
