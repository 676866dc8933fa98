package cli

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/notify"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/internal/verify"
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
	if text := j.wants("failure dead_letters", "ping"); !strings.Contains(text, "a file was given up (hash-mismatch): 2026-01-05/a, since") || !strings.Contains(text, "failed list") {
		t.Errorf("told %q", text)
	}
	scan("2026-01-01", nil, of(a, scanner.Failed))
	j.wants("ping")
	scan("2026-01-01", errors.New("broken off"), of(a, scanner.Failed), of(c, scanner.Failed)) // no listing is complete, and none is an end
	scan("2025-11-01", nil, of(old, scanner.Failed), of(a, scanner.Failed), of(b, scanner.Failed), of(c, scanner.Failed))
	if text := j.wants("failure dead_letters", "ping"); !strings.Contains(text, "3 files were given up, 4 in all (hash-mismatch): 2025-12-01/old, 2026-01-06/b, 2026-01-07/c, since") {
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

// Causes begin and end by themselves; and a file that is held is told as what it is.
func TestFilesGivenUpAreToldByCause(t *testing.T) {
	j := startAlerts(t)
	scan := func(classes map[string]messages.Class) {
		for name, class := range classes {
			j.found(scanner.Outcome{
				Object: messages.Object{Name: name}, Report: messages.Report{Day: "2026-01-05"}, Finding: scanner.Failed,
				Record: messages.Record{Status: messages.StatusFailed, Class: class},
			})
		}
		j.scanned(scanner.Stats{From: "2026-01-01"}, nil)
	}
	scan(map[string]messages.Class{"a": messages.HashMismatch, "b": messages.HashMismatch, "c": messages.Refused, "d": messages.Held})
	text := j.wants("failure dead_letters", "failure dead_letters", "failure held", "ping")
	for _, want := range []string{
		"2 files were given up, 2 in all (hash-mismatch): a, b, since", "a file was given up (refused): c, since",
		"a delivered file has other bytes now and waits for a decision (held): d, since", "failed discard NAME", "read the object with Oracle's own tools",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("told %q, without %q", text, want)
		}
	}
	scan(map[string]messages.Class{"a": messages.HashMismatch, "b": messages.Refused}) // b fails in another way now
	text = j.wants("failure dead_letters", "ping", "recovery held")
	if !strings.Contains(text, ": a file was given up (refused): b, since") {
		t.Errorf("told %q", text)
	}
	scan(map[string]messages.Class{"b": messages.Refused})
	if text := j.wants("ping", "recovery dead_letters"); !strings.Contains(text, "for this cause is left (hash-mismatch)") {
		t.Errorf("told %q", text)
	}
}

// What expires is seen by scans of all days only: those of recent ones are no end of it.
func TestFilesThatOracleWillDeleteAreTold(t *testing.T) {
	j := startAlerts(t)
	old := scanner.Outcome{
		Object:  messages.Object{Name: "FOCUS Reports/2025/01/05/giant.csv.gz", Created: time.Now().Add(-scanner.ExpiryAlarm - time.Hour)},
		Finding: scanner.Failed, Err: &messages.Ineligible{Reason: messages.TooLarge},
	}
	scan := func(from messages.Day, found ...scanner.Outcome) {
		for _, o := range found {
			j.found(o)
		}
		j.scanned(scanner.Stats{From: from}, nil)
	}
	scan("2025-01-01", old)
	text := j.wants("failure expiring", "ping")
	if !strings.Contains(text, "a file that is not delivered is nearly a year old, from "+old.Object.Created.UTC().Format(time.DateOnly)+" on, and Oracle deletes reports after a year: FOCUS Reports/2025/01/05/giant.csv.gz") {
		t.Errorf("told %q", text)
	}
	scan("2025-12-01")
	j.wants("ping")
	scan("2025-01-01") // it is gone
	j.wants("ping", "recovery expiring")
	scan("2025-01-01", old)
	j.wants("failure expiring", "ping")
	old.Finding, old.Err = scanner.Done, nil
	scan("2025-01-01", old)
	j.wants("ping", "recovery expiring")
}

func TestFilesThatWereReplacedAreToldWithBothSums(t *testing.T) {
	j := startAlerts(t)
	j.after = 0
	counted := func(rows int64, billed string) *messages.Statistics {
		return &messages.Statistics{Gzip: messages.GzipValid, Rows: rows, Sums: []messages.Sum{{Period: "2026-01", Currency: "USD", Billed: billed}}}
	}
	e := copier.Event{
		Kind: copier.Finished, Replaced: true, Object: messages.Object{Name: "x/a.csv.gz"}, Report: messages.Report{Basename: "a.csv.gz"},
		Record: messages.Record{Copy: &messages.FileCopied{
			Size: 12, Statistics: counted(6, "11.5"), Replaced: &messages.Earlier{Size: 10, Statistics: counted(5, "10")},
		}},
	}
	j.copied(e)
	text := j.wants("notice changed")
	if !strings.Contains(text, "a delivered file had other bytes at the source and was replaced: x/a.csv.gz. a.csv.gz: 12 bytes, before 10; 6 rows, before 5; billed of 2026-01: USD 11.5, before 10.") {
		t.Errorf("told %q", text)
	}
	e.Record.Copy.Replaced.Statistics = nil
	j.copied(e)
	if text := j.wants("notice changed"); !strings.Contains(text, "a.csv.gz: 12 bytes, before 10. What") {
		t.Errorf("told %q", text)
	}
	e.Replaced = false // of an earlier time
	j.copied(e)
	e.Kind = copier.Started
	j.copied(e)
	j.scanned(scanner.Stats{From: "2026-01-01"}, nil)
	j.wants("ping")
}

func TestADigestIsDueOnceADay(t *testing.T) {
	at := func(s string) time.Time {
		d, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for now, want := range map[string]string{
		"2026-03-01T07:00:00Z": "2026-03-01T07:00:00Z", "2026-03-01T06:59:59Z": "2026-02-28T07:00:00Z",
		"2026-03-01T23:59:59Z": "2026-03-01T07:00:00Z", "2026-03-01T01:30:00+02:00": "2026-02-28T07:00:00Z",
	} {
		if got := slot(at(now), "07:00"); !got.Equal(at(want)) {
			t.Errorf("at %s the last was due %v, want %s", now, got, want)
		}
	}
}

func TestADigestSaysWhatIsToBeLookedAt(t *testing.T) {
	until := time.Date(2026, 3, 1, 7, 0, 0, 0, time.UTC)
	d := digest{until: until}
	for _, f := range []report.File{
		{Day: "2026-02-27", Section: report.Transferred, Delivered: until, Size: 1 << 20, Counted: true, Rows: 1200},
		{Section: report.Transferred, Delivered: until.Add(-23 * time.Hour), Size: 1},
		{Section: report.Transferred, Delivered: until.Add(-24 * time.Hour), Size: 9},
		{Section: report.Transferred, Delivered: until.Add(time.Second), Size: 9},
	} {
		d.add(f)
	}
	d.days = []report.Day{{Day: "2026-02-26", State: report.Complete}, {Day: "2026-02-27", State: report.Late}}
	if got, want := d.headline(), "the 24 hours until 2026-03-01 07:00 UTC: 2 files delivered, all is well"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
	want := []string{
		"delivered: 2 files, 1.0 MiB, 1,200 rows (1 file without statistics)", "not delivered: 0 given up, 0 waiting",
		"report days 2026-02-26 to 2026-02-27: 2 complete, 0 not", "last verification: none yet",
	}
	if got := d.lines(); !slices.Equal(got, want) {
		t.Errorf("it says %q, want %q", got, want)
	}
	short := func(d messages.Day) report.Day {
		return report.Day{Day: d, State: report.Partial, Files: 3, Delivered: 3}
	}
	for day, want := range map[messages.Day]string{"2026-02-20": "all is well", "2026-02-21": "something is to be looked at"} {
		aged := digest{until: until, known: true, days: []report.Day{short(day)}}
		if got := aged.headline(); !strings.HasSuffix(got, want) || !strings.Contains(strings.Join(aged.lines(), "\n"), string(day)+" is partial") {
			t.Errorf("%s has fewer files than usual: %q, %q", day, got, aged.lines())
		}
		if aged.days[0].Failed = 1; !strings.HasSuffix(aged.headline(), "something is to be looked at") {
			t.Errorf("%s with a failed file: %q", day, aged.headline())
		}
	}
	none := digest{until: until, days: []report.Day{{Day: "2026-02-26", State: report.NotYet}}}
	if got := none.headline(); !strings.HasSuffix(got, "to be looked at") || !strings.Contains(strings.Join(none.lines(), "\n"), "no report is known of any day") {
		t.Errorf("where nothing is known: %q, %q", got, none.lines())
	}
	d.add(report.File{Section: report.Failed, Appeared: until.AddDate(0, -11, 0)})
	d.add(report.File{Section: report.Pending, Appeared: until})
	d.days = append(d.days, report.Day{Day: "2026-02-28", State: report.Missing, Why: "nothing came."})
	d.unlisted, d.pause = "no answer", messages.Pause{Reason: "audit", By: "me@host", At: until}
	d.verified = &messages.Verification{From: "2026-02-01", To: "2026-02-28", Started: until, Equal: 5, Missing: 1, Destination: verify.Unreadable}
	if got := d.headline(); !strings.HasSuffix(got, "something is to be looked at") {
		t.Errorf("it is %q", got)
	}
	all := strings.Join(d.lines(), "\n")
	for _, want := range []string{
		"not delivered: 1 given up, 1 waiting", "the oldest of them appeared on 2025-04-01", "PAUSED since 2026-03-01 07:00 UTC by me@host: audit",
		"2 complete, 1 not\n2026-02-28 is missing: nothing came\n", "the ledger alone: no answer", "5 equal, 1 not as they should be; of source and ledger only",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("it lacks %q:\n%s", want, all)
		}
	}
}

// mailRelay takes any mail in one session and returns what it was told.
func mailRelay(t *testing.T) (port int, told <-chan string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	all := make(chan string, 1)
	go func() {
		var lines strings.Builder
		defer func() { all <- lines.String() }()
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "220 relay\r\n")
		letter := false
		for in := bufio.NewScanner(conn); in.Scan(); {
			line := in.Text()
			lines.WriteString(line + "\n")
			switch {
			case letter && line != ".":
			case strings.HasPrefix(line, "EHLO"):
				fmt.Fprint(conn, "250-relay\r\n250 AUTH PLAIN\r\n")
			case strings.HasPrefix(line, "AUTH"):
				fmt.Fprint(conn, "235 welcome\r\n")
			case line == "DATA":
				letter = true
				fmt.Fprint(conn, "354 go on\r\n")
			default:
				letter = false
				fmt.Fprint(conn, "250 ok\r\n")
			}
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, all
}

func TestTheMailOfTheConfigurationIsTheOneThatIsSent(t *testing.T) {
	t.Parallel()
	port, told := mailRelay(t)
	cfg := config.Default()
	cfg.Alerts.Email = config.Email{
		Host: "127.0.0.1", Port: port, Username: "focus", Password: config.NewSecret("word"), From: "Focus <focus@example.com>",
		To: "ops@example.com,finance@example.com", TLS: "none",
	}
	n, err := newNotifier(cfg, "run", nil, quietLog())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Test(t.Context(), notify.Email); err != nil {
		t.Error(err)
	}
	n.Close()
	all := <-told
	for _, want := range []string{
		"AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00focus\x00word")) + "\n", "MAIL FROM:<focus@example.com>", "RCPT TO:<ops@example.com>", "RCPT TO:<finance@example.com>",
		"Subject: oracle-focus-agent TEST, route main: test\n", "a test of alerts.email; nothing has failed.",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("the relay was told\n%s\nwithout %q", all, want)
		}
	}
}

func TestAlertsOfNobodyAreNone(t *testing.T) {
	al, err := newAlerts(t.Context(), config.Default(), "run", nil, quietLog())
	if al != nil || err != nil {
		t.Fatalf("newAlerts = %v, %v", al, err)
	}
	al.attach(nil)
	al.found(scanner.Outcome{})
	al.copied(copier.Event{Kind: copier.Finished, Replaced: true})
	al.scanned(scanner.Stats{}, nil)
	al.close()
}
