package web_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

func about() web.About {
	return web.About{Version: "v1", Revision: "abc", Route: "main", Interval: func() time.Duration { return 10 * time.Minute }}
}

// metrics are those of a process that does everything, with a queue that
// answers err.
func metrics(err error) *web.Metrics {
	return web.NewMetrics(web.Role{Scans: true, Copies: true}, about(), web.Sources{
		Queue: func(context.Context) (web.Queue, error) {
			return web.Queue{Live: 5, Backfill: 6, InFlight: 2, Dead: 1, OldestLive: time.Unix(1_700_000_000, 0)}, err
		},
		InFlight: func() int { return 3 },
		Gate:     func() copier.GateState { return copier.GateState{Open: true, Side: messages.Destination} },
		Parts:    func() (int, int) { return 4, 12 },
		Slots:    func() (int, int) { return 2, 8 },
		Share:    func() (float64, float64) { return 1000, 0 },
	})
}

// compare holds samples, given as lines without comments, against what is exported.
func compare(t *testing.T, m *web.Metrics, want string) {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{}
	for _, f := range families {
		kinds[f.GetName()] = "# HELP " + f.GetName() + " " + f.GetHelp() + "\n# TYPE " + f.GetName() + " " + strings.ToLower(f.GetType().String()) + "\n"
	}
	var text strings.Builder
	var names []string
	for line := range strings.Lines(want) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ = strings.Cut(name, "{")
		if len(names) == 0 || names[len(names)-1] != name {
			names = append(names, name)
			text.WriteString(kinds[name])
		}
		text.WriteString(strings.TrimSpace(line) + "\n")
	}
	if err := testutil.GatherAndCompare(m.Gatherer(), strings.NewReader(text.String()), names...); err != nil {
		t.Error(err)
	}
}

func TestMetricsKeepTheNamingRules(t *testing.T) {
	m := metrics(nil)
	m.Scanned(scanner.Stats{}, nil)
	m.Uploads(1, time.Unix(1_700_000_000, 0))
	finish(m, messages.HowCopied)
	problems, err := testutil.GatherAndLint(m.Gatherer())
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, %v", problems, err)
	}
}

func finish(m *web.Metrics, how string) {
	at := time.Unix(1_800_000_000, 0)
	m.Copier(copier.Event{
		Kind: copier.Finished, Object: messages.Object{Size: 1000}, Report: messages.Report{Day: "2026-03-01"}, Discovered: at.Add(-10 * time.Second),
		Record: messages.Record{At: at, Copy: &messages.FileCopied{How: how, Seconds: 2}},
	})
}

func TestEveryLabelBeginsAtZeroAndNoTimeIsInvented(t *testing.T) {
	m := metrics(nil)
	compare(t, m, `focus_copies_total{how="adopted"} 0
		focus_copies_total{how="copied"} 0
		focus_copies_total{how="recorded"} 0
		focus_scan_ineligible_total{reason="bad-date"} 0
		focus_scan_ineligible_total{reason="bad-key"} 0
		focus_scan_ineligible_total{reason="bad-name"} 0
		focus_scan_ineligible_total{reason="not-a-report"} 0
		focus_scan_ineligible_total{reason="outside-prefix"} 0
		focus_scans_total{result="failed"} 0
		focus_scans_total{result="ok"} 0`)
	for name, want := range map[string]int{
		"focus_failures_total": 19, "focus_retries_total": 19, "focus_dead_total": 19,
		"focus_last_copy_timestamp_seconds": 0, "focus_last_successful_scan_timestamp_seconds": 0,
		"focus_newest_delivered_report_day_timestamp_seconds": 0,
		"focus_scan_failures_total":                           19, "focus_invariant_violations_total": 9,
		"focus_scan_dead_files": 0, "focus_scan_too_large_files": 0, "focus_open_uploads": 0, "focus_oldest_open_upload_timestamp_seconds": 0,
	} {
		if got, err := testutil.GatherAndCount(m.Gatherer(), name); got != want || err != nil {
			t.Errorf("%s has %d series, want %d (%v)", name, got, want, err)
		}
	}
}

func TestMetricsCountWhatHappened(t *testing.T) {
	m := metrics(nil)
	m.Scanned(scanner.Stats{Seconds: 2, Discovered: 21, Published: 6, Queued: 5, Done: 4, Failed: 3, TooLarge: 1, Dead: 2, Ineligible: map[messages.Reason]int{messages.BadDate: 2, messages.NotAReport: 1}}, nil)
	m.Scanned(scanner.Stats{Seconds: 1, Discovered: 1, Published: 1}, fmt.Errorf("broken off: %w", messages.Throttled))
	m.Violated(messages.ScanSum)
	finish(m, messages.HowCopied)
	finish(m, messages.HowCopied)
	finish(m, messages.HowAdopted)
	for kind, class := range map[copier.Kind]messages.Class{
		copier.Retrying: messages.Length, copier.Held: messages.Throttled, copier.Died: messages.HashMismatch, copier.Returned: messages.LeaseLost,
	} {
		m.Copier(copier.Event{Kind: kind, Err: class})
	}
	m.Copier(copier.Event{Kind: copier.Returned}) // a shutdown is no failure
	m.Copier(copier.Event{Kind: copier.Skipped})
	m.Copier(copier.Event{Kind: copier.Vanished})
	m.Notified("webhook", errors.New("refused"))
	m.Notified("webhook", nil)
	m.Notified("webhook", nil)
	compare(t, m, `focus_copied_bytes_total 2000
		focus_copies_total{how="adopted"} 1
		focus_copies_total{how="copied"} 2
		focus_copies_total{how="recorded"} 0
		focus_gate_open{side="destination"} 1
		focus_gate_open{side="source"} 0
		focus_in_flight 3
		focus_notifications_total{kind="email",result="failed"} 0
		focus_notifications_total{kind="email",result="ok"} 0
		focus_notifications_total{kind="heartbeat",result="failed"} 0
		focus_notifications_total{kind="heartbeat",result="ok"} 0
		focus_notifications_total{kind="slack",result="failed"} 0
		focus_notifications_total{kind="slack",result="ok"} 0
		focus_notifications_total{kind="teams",result="failed"} 0
		focus_notifications_total{kind="teams",result="ok"} 0
		focus_notifications_total{kind="webhook",result="failed"} 1
		focus_notifications_total{kind="webhook",result="ok"} 2
		focus_part_buffers_in_use 4
		focus_part_buffers_limit 12
		focus_slots_allowed 2
		focus_slots_configured 8
		focus_limit_share_bytes 1000
		focus_limit_share_requests +Inf
		focus_last_copy_timestamp_seconds 1.8e9
		focus_newest_delivered_report_day_timestamp_seconds 1.7723232e9
		focus_queue_up 1
		focus_queue_waiting{lane="backfill"} 6
		focus_queue_waiting{lane="live"} 5
		focus_queue_oldest_message_timestamp_seconds{lane="live"} 1.7e9
		focus_queue_in_flight 2
		focus_dead_letters 1
		focus_scan_discovered_total 22
		focus_scan_published_total 7
		focus_scan_queued_total 5
		focus_scan_done_total 4
		focus_scan_failed_total 3
		focus_scans_total{result="failed"} 1
		focus_scans_total{result="ok"} 1
		focus_scan_dead_files 2
		focus_scan_too_large_files 1
		focus_poll_interval_seconds 600
		focus_route_info{route="main"} 1
		focus_skipped_total 1
		focus_vanished_total 1`)
	text := exported(t, m)
	for _, line := range []string{
		`focus_scan_ineligible_total{reason="bad-date"} 2`, `focus_scan_ineligible_total{reason="not-a-report"} 1`,
		`focus_failures_total{class="length"} 1`, `focus_failures_total{class="throttled"} 1`,
		`focus_failures_total{class="hash-mismatch"} 1`, `focus_failures_total{class="lease-lost"} 1`, `focus_failures_total{class="unknown"} 0`,
		`focus_retries_total{class="length"} 1`, `focus_retries_total{class="throttled"} 1`, `focus_retries_total{class="hash-mismatch"} 0`,
		`focus_dead_total{class="hash-mismatch"} 1`, `focus_dead_total{class="length"} 0`,
		`focus_copy_duration_seconds_sum 4`, `focus_copy_duration_seconds_count 2`,
		`focus_discovery_to_delivery_seconds_sum 30`, `focus_discovery_to_delivery_seconds_count 3`,
		`focus_scan_duration_seconds_sum 3`, `focus_scan_duration_seconds_count 2`,
		`focus_build_info{goversion="` + runtime.Version() + `",revision="abc",version="v1"} 1`,
		`focus_scan_failures_total{class="throttled"} 1`, `focus_scan_failures_total{class="queue"} 0`,
		`focus_invariant_violations_total{invariant="scan-sum"} 1`, `focus_invariant_violations_total{invariant="panic"} 0`,
		`go_goroutines `, `process_start_time_seconds `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("%s is not exported", line)
		}
	}
}

// The open uploads are those that were last seen, and absent while nobody knows.
func TestOpenUploadsAreAbsentWhileUnknown(t *testing.T) {
	m := metrics(nil)
	absent := func(names ...string) {
		t.Helper()
		for _, name := range names {
			if n, err := testutil.GatherAndCount(m.Gatherer(), name); n != 0 || err != nil {
				t.Errorf("%s has %d series (%v)", name, n, err)
			}
		}
	}
	m.Uploads(2, time.Unix(1_700_000_000, 0))
	compare(t, m, "focus_open_uploads 2\nfocus_oldest_open_upload_timestamp_seconds 1.7e9")
	m.Uploads(0, time.Time{})
	compare(t, m, "focus_open_uploads 0")
	absent("focus_oldest_open_upload_timestamp_seconds")
	m.Uploads(1, time.Unix(1_800_000_000, 0))
	m.NoUploads()
	absent("focus_open_uploads", "focus_oldest_open_upload_timestamp_seconds")
}

// A queue that does not answer is not an empty one.
func TestAQueueThatDoesNotAnswerHasNoCounts(t *testing.T) {
	m := metrics(errors.New("away"))
	compare(t, m, "focus_queue_up 0")
	for _, name := range []string{"focus_queue_waiting", "focus_queue_oldest_message_timestamp_seconds", "focus_queue_in_flight", "focus_dead_letters"} {
		if got, err := testutil.GatherAndCount(m.Gatherer(), name); got != 0 || err != nil {
			t.Errorf("%s has %d series (%v)", name, got, err)
		}
	}
}

// What a role does not do it does not export: a copier must not look like a
// scanner that never succeeds.
func TestARoleExportsOnlyItsOwnWork(t *testing.T) {
	sources := web.Sources{Queue: func(context.Context) (web.Queue, error) { return web.Queue{}, nil }}
	text := exported(t, web.NewMetrics(web.Role{Scans: true}, about(), sources))
	if strings.Contains(text, "focus_copies_total") || !strings.Contains(text, "focus_scans_total") {
		t.Error("a scanner exports copies, or no scans")
	}
	sources.InFlight, sources.Gate, sources.Parts = func() int { return 0 }, func() copier.GateState { return copier.GateState{} }, func() (int, int) { return 0, 1 }
	sources.Slots, sources.Share = func() (int, int) { return 1, 1 }, func() (float64, float64) { return 0, 0 }
	text = exported(t, web.NewMetrics(web.Role{Copies: true}, about(), sources))
	if strings.Contains(text, "focus_scan") || !strings.Contains(text, "focus_copies_total") {
		t.Error("a copier exports scans, or no copies")
	}
}

// exported is the text that a scrape gets.
func exported(t *testing.T, m *web.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("metrics: %d %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// Files that expire are seen by scans of all days alone: between two of them the last
// number stands.
func TestOnlyASweepSaysWhatExpires(t *testing.T) {
	m := metrics(nil)
	m.Scanned(scanner.Stats{}, nil)
	if n, err := testutil.GatherAndCount(m.Gatherer(), "focus_expiring_files"); n != 0 || err != nil {
		t.Errorf("before the first scan of all days it is known what expires (%v)", err)
	}
	m.Scanned(scanner.Stats{Sweep: true, Expiring: 3}, nil)
	m.Scanned(scanner.Stats{}, nil)
	m.Scanned(scanner.Stats{Sweep: true}, errors.New("broken off"))
	compare(t, m, "focus_expiring_files 3")
}

// Files of days that only a sweep lists count until the next one.
func TestWhatASweepFoundBeforeTheWindowStands(t *testing.T) {
	m := metrics(nil)
	for _, st := range []struct {
		stats          scanner.Stats
		dead, tooLarge int
	}{
		{scanner.Stats{Dead: 1}, 1, 0},
		{scanner.Stats{Sweep: true, Dead: 5, DeadBefore: 3, TooLarge: 2, TooLargeBefore: 2}, 5, 2},
		{scanner.Stats{Dead: 2}, 5, 2},
		{scanner.Stats{Dead: 1}, 4, 2},
		{scanner.Stats{Sweep: true, Dead: 1}, 1, 0},
		{scanner.Stats{}, 0, 0},
	} {
		m.Scanned(st.stats, nil)
		compare(t, m, fmt.Sprintf("focus_scan_dead_files %d\nfocus_scan_too_large_files %d", st.dead, st.tooLarge))
	}
}
