package cli

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// ToldAlerts are alerts whose judgements arrive at a real webhook.
type toldAlerts struct {
	*testing.T
	*alerts
	mu    sync.Mutex
	texts []string
	told  []string // "ping", or event and condition
}

func startAlerts(t *testing.T) *toldAlerts {
	t.Helper()
	j := &toldAlerts{T: t}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		what := "ping"
		var m notify.Message
		if json.NewDecoder(r.Body).Decode(&m) == nil { // a ping has no body
			what = string(m.Event) + " " + string(m.Condition)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		j.told, j.texts = append(j.told, what), append(j.texts, m.Text)
	}))
	t.Cleanup(server.Close)
	cfg := config.Default()
	cfg.Alerts.HeartbeatURL, cfg.Alerts.WebhookURL = config.NewSecret(server.URL+"/ping"), config.NewSecret(server.URL+"/hook")
	var err error
	if j.alerts, err = newAlerts(t.Context(), cfg, "run", nil, quietLog()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.alerts.close)
	return j
}

// wants waits for what was told since the last call, in any order. What should
// not be told would come before what is told next.
func (j *toldAlerts) wants(want ...string) (texts string) {
	j.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		j.mu.Lock()
		got, text := slices.Sorted(slices.Values(j.told)), strings.Join(j.texts, "\n")
		if len(got) >= len(want) || time.Now().After(deadline) {
			j.told, j.texts = nil, nil
			j.mu.Unlock()
			if !slices.Equal(got, want) {
				j.Errorf("told %q, want %q", got, want)
			}
			return text
		}
		j.mu.Unlock()
	}
}

func fault(c messages.Class) error {
	return &messages.Fault{Class: c, Op: "list", Err: errors.New("refused"), Remedy: "look there"}
}

func TestOneScanThatFailsIsNotTold(t *testing.T) {
	j := startAlerts(t)
	day := scanner.Stats{From: "2026-01-01"}
	j.scanned(day, fault(messages.Unavailable))
	j.scanned(day, nil)
	j.wants("ping")
	j.scanned(day, fault(messages.Unavailable))
	j.scanned(day, fault(messages.Connection))
	if text := j.wants("failure scan"); !strings.Contains(text, "the source cannot be listed (connection): list: refused, since") || !strings.Contains(text, "What to do: look there.") {
		t.Errorf("told %q", text)
	}
	j.scanned(day, fault(messages.Connection))
	j.scanned(day, nil)
	j.wants("ping", "recovery scan")
	j.scanned(day, fault(messages.NotFound))
	j.wants("failure scan")
	j.scanned(day, nil)
	j.wants("ping", "recovery scan")
	for range 5 { // a matter of the queue, which is judged by more than scans
		j.scanned(day, fault(messages.Queue))
	}
	if j.queue == nil {
		t.Error("what the scan met at the queue is forgotten")
	}
	j.scanned(day, fault(messages.NotFound))
	if text := j.wants("failure scan"); !strings.Contains(text, "(not-found)") {
		t.Errorf("told %q", text)
	}
	j.scanned(day, nil)
	j.wants("ping", "recovery scan")
	if j.queue != nil {
		t.Error("what the scan met at the queue is remembered for ever")
	}
}

func TestFilesGivenUpAreToldAsScansFindThem(t *testing.T) {
	j := startAlerts(t)
	of := func(name string, f scanner.Finding) scanner.Outcome {
		o := scanner.Outcome{Object: messages.Object{Name: name}, Report: messages.Report{Day: messages.Day(name[:10])}, Finding: f}
		if f == scanner.Failed {
			o.Record = messages.Record{Status: messages.StatusFailed, Class: messages.HashMismatch}
		}
		return o
	}
	scan := func(from messages.Day, err error, found ...scanner.Outcome) {
		for _, o := range found {
			j.found(o)
		}
		j.scanned(scanner.Stats{From: from}, err)
	}
	const a, b, c, old = "2026-01-05/a", "2026-01-06/b", "2026-01-07/c", "2025-12-01/old"

	scan("2026-01-01", nil, of(a, scanner.Failed), of(b, scanner.Done), scanner.Outcome{Object: messages.Object{Name: "2026-01-05/giant"}, Finding: scanner.Failed})
	if text := j.wants("failure dead_letters", "ping"); !strings.Contains(text, "a file was given up: 2026-01-05/a (hash-mismatch)") || !strings.Contains(text, "failed list") {
		t.Errorf("told %q", text)
	}
	scan("2026-01-01", nil, of(a, scanner.Failed))
	j.wants("ping")
	scan("2026-01-01", errors.New("broken off"), of(a, scanner.Failed), of(c, scanner.Failed)) // no listing is complete, and none is an end
	scan("2025-11-01", nil, of(old, scanner.Failed), of(a, scanner.Failed), of(b, scanner.Failed), of(c, scanner.Failed))
	if text := j.wants("failure dead_letters", "ping"); !strings.Contains(text, "3 files were given up, 4 in all") {
		t.Errorf("told %q", text)
	}
	scan("2026-01-01", nil, of(a, scanner.Published), of(b, scanner.Done), of(c, scanner.Queued)) // ordered again, and not there yet
	j.wants("ping")
	scan("2026-01-01", nil, of(a, scanner.Done)) // c is gone from the source
	j.wants("ping")
	scan("2026-01-01", nil) // old was not listed: nothing is known of it
	j.wants("ping")
	scan("2025-11-01", nil, of(old, scanner.Done))
	j.wants("ping", "recovery dead_letters")
}

func TestAlertsOfNobodyAreNone(t *testing.T) {
	al, err := newAlerts(t.Context(), config.Default(), "run", nil, quietLog())
	if al != nil || err != nil {
		t.Fatalf("newAlerts = %v, %v", al, err)
	}
	al.attach(nil)
	al.found(scanner.Outcome{})
	al.scanned(scanner.Stats{}, nil)
	al.close()
}
