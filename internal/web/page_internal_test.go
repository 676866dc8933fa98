package web

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// hostile is a name that would do harm to a page that took it as it is.
const hostile = "FOCUS Reports/2026/11/14/<img src=x onerror=alert(1)>\"'&\u202egpj.csv.gz"

// A room is a route as a page may find it. What a running agent shows is looked at in
// internal/browser; here stand the states that are hard to bring about.
type room struct {
	now     time.Time
	summary Summary
	file    FilePage
	ordered []string // what was ordered, in words
	problem error    // of each order
}

func newRoom() *room {
	now := time.Date(2026, 11, 26, 14, 30, 0, 0, time.UTC)
	row := func(name string, state FileState) FileRow {
		return FileRow{Object: name, Name: name[strings.LastIndex(name, "/")+1:], Day: "2026-11-14", State: state, Size: 123_456, At: now.Add(-time.Minute)}
	}
	failed := row(hostile, FileFailed)
	failed.Class, failed.Error, failed.Attempts = messages.HashMismatch, "crc32c is <b>AAAA</b>, declared BBBB", 3
	s := Summary{
		At:      now,
		Verdict: Verdict{State: IsFailing, Sentence: "1 file was given up, and its data is missing at S3.", Remedy: "look at it below", Since: now.Add(-time.Hour)},
		Numbers: Numbers{Waiting: 37, Oldest: now.Add(-2 * time.Hour), Copying: 1, Today: 12, TodayBytes: 5 << 20, Failed: 1, Files: 1234, Delay: 840, Newest: "2026-11-23"},
		Agent: Process{
			Role: "agent", Version: "1.2.3", Revision: "0123456789abcdef", Instance: "host-a/17", Started: now.Add(-26 * time.Hour), Route: "main",
			Source: "oci://bucket@namespace/FOCUS Reports/", Destination: "s3://umbrella/simulated/0/account/", Since: "2026-08-20", ConfigFile: "/etc/oracle-focus-agent/config.yaml",
		},
		LastScan: &agent.Scan{Stats: scanner.Stats{Started: now.Add(-time.Minute), Seconds: 2}}, NextScan: now.Add(9 * time.Minute),
		InProgress: []Transfer{{
			Transfer: agent.Transfer{Object: "FOCUS Reports/2026/11/26/0001000009050000-00001.csv.gz", Size: 40 << 20, Bytes: 17 << 20, Started: now.Add(-time.Minute)},
			Worker:   "host-a/17", Rate: 300_000, Left: 80, Percent: 42,
		}},
		Failed:  []Cause{{Class: messages.HashMismatch, Meaning: messages.HashMismatch.Explain().Meaning, Remedy: messages.HashMismatch.Explain().Remedy, Count: 1, Bytes: 123_456, First: now.Add(-time.Hour), Last: now.Add(-time.Hour), Files: []FileRow{failed}}},
		Recent:  []FileRow{row("FOCUS Reports/2026/11/26/0001000009050000-00001.csv.gz", FileCopying), row("FOCUS Reports/2026/11/25/0001000002103533-00001.csv.gz", FileCopied), failed},
		Workers: []Worker{{Role: "agent", Instance: "host-a/17", Version: "1.2.3", Started: now.Add(-26 * time.Hour), Ready: true, Copying: 1, Delivered: 100, Self: true, Heard: now}, {Role: "copier", Instance: "host-b/4", Version: "1.2.2", Started: now.Add(-80 * time.Hour), Stale: true, Skew: true, Heard: now.Add(-10 * time.Minute)}},
		Dependencies: []Check{
			{Name: "queue", State: OK, Since: now.Add(-26 * time.Hour), Last: now}, {Name: "source", State: OK, Since: now, Last: now},
			{Name: "destination", State: Failing, Since: now.Add(-time.Hour), Detail: "it fails for every file: forbidden"},
		},
	}
	o := messages.Object{Name: hostile, ETag: "e-1", Size: 123_456, CRC32C: "BBBB", MD5: "m", Created: now.Add(-50 * time.Hour)}
	return &room{now: now, summary: s, file: FilePage{
		FileRow: failed, LedgerKey: "main.2026-11-14.x", Record: messages.Record{Status: messages.StatusFailed, Object: o, Attempts: 3, FirstFailed: now.Add(-time.Hour), Class: messages.HashMismatch},
		Meaning: messages.HashMismatch.Explain().Meaning, Remedy: messages.HashMismatch.Explain().Remedy,
		Letter:   &messages.DeadLetter{Class: messages.HashMismatch, Error: "crc32c", Subject: "focus.files.main.x", Message: `{"object":"x"}`, Attempts: 3, Worker: "host-a/17", At: now.Add(-time.Hour)},
		Timeline: []Moment{{At: now.Add(-50 * time.Hour), What: "appeared", Text: "at Oracle"}, {At: now.Add(-time.Hour), What: "failed", Text: "given up", Who: "host-a/17"}},
		Commands: []string{"oracle-focus-agent failed retry x"},
	}}
}

func (r *room) Summary(context.Context) (Summary, error) { return r.summary, nil }

func (r *room) Days(context.Context, messages.Day, messages.Day) (Days, error) {
	d := Days{From: "2025-10-27", To: "2026-11-26", Read: true, At: r.now}
	for day := d.From; day <= d.To; day = day.Add(1) {
		one := report.Day{Day: day, State: report.Complete, Files: 7, Delivered: 7, Bytes: 700_000, LastDelivery: r.now}
		switch day {
		case "2026-11-26":
			one.State, one.Delivered, one.Files, one.Why = report.NotYet, 0, 0, "the first file usually comes by noon"
		case "2026-11-24", "2026-11-25":
			one.State, one.Delivered, one.Pending, one.Why = report.Partial, 4, 3, "3 files of 7 not delivered yet"
		case "2026-11-17":
			one.State, one.Files, one.Delivered, one.Why = report.Missing, 0, 0, "nothing came"
		case "2026-11-14":
			one.State, one.Failed, one.Delivered, one.Why = report.Partial, 1, 6, "1 file of 7 failed"
		case "2026-11-05":
			one.State, one.Why = report.Late, "1 more came"
		}
		if day < "2026-08-20" {
			one = report.Day{Day: day, State: report.BeforeUs}
		}
		d.Days = append(d.Days, one)
	}
	return d, nil
}

func (r *room) Day(_ context.Context, day messages.Day) (DayPage, error) {
	o := r.file.Record.Object
	return DayPage{
		Day: report.Day{Day: day, State: report.Partial, Why: "1 file of 2 failed", Files: 2, Delivered: 1, Failed: 1, Bytes: 10, Cost: []report.Cost{{Currency: "USD", Billed: "12.50"}}},
		At:  r.now, Destination: "head", Differ: 1, Previous: day.Add(-1), Next: day.Add(1), Commands: []string{"oracle-focus-agent verify --day " + string(day)},
		Files: []DayFile{
			{Object: o.Name, Name: r.file.Name, Mark: "+", Result: "missing", Why: "it was given up", Source: &o, Ledger: &LedgerSide{Status: messages.StatusFailed, At: r.now, Size: 1, Error: "x"}},
			{Object: "FOCUS Reports/2026/11/14/a.csv.gz", Name: "a.csv.gz", Mark: "=", Result: "equal", Source: &o, Ledger: &LedgerSide{Status: messages.StatusCopied, At: r.now, Size: 1}, Destination: &Stored{Size: 1, CRC32C: "BBBB"}},
		},
	}, nil
}

func (r *room) Files(_ context.Context, f Filter) (FilesPage, error) {
	return FilesPage{Files: r.summary.Recent, Next: "abc", Total: 3, Known: 3, Read: true}, nil
}

func (r *room) File(_ context.Context, name string) (FilePage, error) {
	if name != r.file.Object {
		return FilePage{}, NewProblem(http.StatusNotFound, "the ledger has no file "+name, "look for it in the list of files")
	}
	return r.file, nil
}

func (r *room) Charts(_ context.Context, w Window) (Charts, error) {
	c := Charts{Window: w, From: r.now.Add(-24 * time.Hour), To: r.now, Step: 3600, Since: r.now.Add(-time.Hour), Read: true}
	for i := range 24 {
		at := c.From.Add(time.Duration(i) * time.Hour)
		c.Appeared = append(c.Appeared, Point{at, i % 7, int64(i%7) << 20})
		c.Delivered = append(c.Delivered, Point{at, i % 5, int64(i%5) << 20})
		c.Backlog = append(c.Backlog, Sample{at, uint64(i % 3), 1})
	}
	return c, nil
}

func (r *room) Trail(context.Context) (Trail, error) {
	return Trail{Actions: []messages.Action{{Action: "failed retry", By: "anna", At: r.now, Reason: "<script>alert(1)</script>", Count: 1, Files: []string{hostile}}}}, nil
}

func (r *room) Jobs(context.Context) ([]Job, error) {
	return []Job{{ID: 7, Action: "failed retry", By: "anna", Started: r.now, State: JobDone, Text: "1 file is copied again", Count: 1}}, nil
}

func (r *room) order(by Actor, format string, args ...any) (Job, error) {
	if r.problem != nil {
		return Job{}, r.problem
	}
	r.ordered = append(r.ordered, fmt.Sprintf(format, args...)+" because "+by.Reason)
	return Job{ID: 7}, nil
}

func (r *room) Scan(_ context.Context, by Actor) (Job, error) { return r.order(by, "scan") }
func (r *room) FailedPreview(_ context.Context, s Selection) (FailedPreview, error) {
	return FailedPreview{Count: 1, Bytes: 123_456, Until: r.now, Files: []FileRow{r.file.FileRow}}, nil
}
func (r *room) Retry(_ context.Context, by Actor, o FailedOrder) (Job, error) {
	return r.order(by, "retry %q %v until %s, %d", o.Files, o.Causes, o.Until.Format(time.RFC3339), o.Confirm)
}
func (r *room) Discard(_ context.Context, by Actor, o FailedOrder) (Job, error) {
	return r.order(by, "discard %q, %d", o.Files, o.Confirm)
}
func (r *room) BackfillPreview(_ context.Context, o BackfillOrder) (BackfillPreview, error) {
	if o.From > o.To {
		return BackfillPreview{}, NewProblem(http.StatusUnprocessableEntity, "the last day is before the first", "exchange them")
	}
	return BackfillPreview{From: o.From, To: o.To, Files: 12, Bytes: 1 << 20, Done: 3, Seconds: 5, Days: []BackfillDay{{Day: o.From, Files: 12, Bytes: 1 << 20, Done: 3}}}, nil
}
func (r *room) Backfill(_ context.Context, by Actor, o BackfillOrder) (Job, error) {
	return r.order(by, "backfill %s to %s, %d", o.From, o.To, o.Confirm)
}
func (r *room) Pause(_ context.Context, by Actor) (Job, error)  { return r.order(by, "pause") }
func (r *room) Resume(_ context.Context, by Actor) (Job, error) { return r.order(by, "resume") }
func (r *room) Verify(_ context.Context, by Actor, o VerifyOrder) (Job, error) {
	return r.order(by, "verify %s to %s, full %t", o.From, o.To, o.Full)
}
func (r *room) TestAlert(_ context.Context, by Actor) (Job, error) { return r.order(by, "alert") }
func (r *room) Report(_ context.Context, o ReportOrder, w io.Writer) error {
	_, err := fmt.Fprintf(w, "report %s to %s as %s", o.From, o.To, o.Format)
	return err
}

// get is the text of a page.
func get(t *testing.T, h http.Handler, path string, status int) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	if w.Code != status {
		t.Errorf("GET %s: %d, want %d: %.300s", path, w.Code, status, w.Body)
	}
	return w.Body.String()
}

// post sends a form and returns where the answer leads to, or its text.
func post(t *testing.T, h http.Handler, path string, form url.Values, status int) (location, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.ServeHTTP(w, r)
	if w.Code != status {
		t.Errorf("POST %s: %d, want %d: %.300s", path, w.Code, status, w.Body)
	}
	return w.Header().Get("Location"), w.Body.String()
}

// pages are all addresses that show something.
func pages() []string {
	return []string{
		"/", "/?window=1h", "/files", "/files?state=failed&text=x", fileURL(hostile), "/activity", "/activity?job=7", "/days/2026-11-14",
		"/actions/scan", "/actions/retry?cause=hash-mismatch", "/actions/discard?file=" + url.QueryEscape(hostile), "/actions/backfill",
		"/actions/backfill?from=2026-11-01&to=2026-11-02", "/actions/verify", "/actions/pause", "/actions/resume", "/actions/report", "/actions/alerts",
	}
}

// Whatever a name holds, it is text: no element, no attribute, nothing invisible.
func TestNoNameBecomesAPartOfThePage(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	for _, path := range pages() {
		text := regexp.MustCompile(`<input type="hidden"[^>]*>`).ReplaceAllString(get(t, h, path, http.StatusOK), "") // nobody reads those
		for _, bad := range []string{"<img", "<script>", "\u202e", "<b>AAAA", "ZgotmplZ", "style=\""} {
			if strings.Contains(text, bad) {
				t.Errorf("%s has %q in it", path, bad)
			}
		}
		if n := strings.Count(text, "<h1"); n != 1 {
			t.Errorf("%s has %d headings of the first rank", path, n)
		}
	}
}

// A script or a style inside the page would need a hole in the content security policy.
func TestPagesNeedNothingInlineAndNothingFromElsewhere(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	for _, path := range pages() {
		text := get(t, h, path, http.StatusOK)
		for _, tag := range regexp.MustCompile(`<(script|link|img|iframe|form|a)\b[^>]*>`).FindAllString(text, -1) {
			if regexp.MustCompile(`(src|href|action)="(https?:)?//`).MatchString(tag) || strings.HasPrefix(tag, "<script") && !strings.Contains(tag, `src="/assets/`) {
				t.Errorf("%s: %s", path, tag)
			}
		}
		if regexp.MustCompile(`<style|<[^>]* on[a-z]+="`).MatchString(text) {
			t.Errorf("%s has a style or a handler inside", path)
		}
	}
}

func TestTitleAndIconTellTheState(t *testing.T) {
	t.Parallel()
	for state, want := range map[VerdictState][2]string{
		IsFailing: {"(1!) Overview · FOCUS agent", "failing.svg"}, IsPaused: {"(paused) Overview", "paused.svg"}, IsBehind: {"(!) Overview", "behind.svg"},
		IsWorking: {">Overview", "working.svg"}, IsStarting: {">Overview", "working.svg"}, IsCurrent: {">Overview", "current.svg"},
	} {
		r := newRoom()
		r.summary.Verdict.State = state
		if state != IsFailing {
			r.summary.Numbers.Failed = 0
		}
		text := get(t, newPage(r, r), "/", http.StatusOK)
		if !strings.Contains(text, want[0]) || !strings.Contains(text, `href="/assets/`+want[1]) {
			t.Errorf("%s: no %q", state, want)
		}
	}
}

// Each form repeats what was shown: the number, the choice and the time of the preview.
func TestAConfirmationIsAboutWhatWasShown(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	hidden := func(path string) url.Values {
		form := url.Values{}
		for _, m := range regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`).FindAllStringSubmatch(get(t, h, path, http.StatusOK), -1) {
			form.Add(m[1], strings.NewReplacer("&lt;", "<", "&gt;", ">", "&#34;", `"`, "&#39;", "'", "&amp;", "&", "&#43;", "+").Replace(m[2]))
		}
		form.Set("reason", " the network is mended ")
		return form
	}
	for _, o := range []struct{ action, query, want string }{
		{"scan", "", "scan"},
		{"retry", "?cause=hash-mismatch", "retry [] [hash-mismatch] until 2026-11-26T14:30:00Z, 1"},
		{"discard", "?file=" + url.QueryEscape(hostile), fmt.Sprintf("discard %q, 1", []string{hostile})},
		{"backfill", "?from=2026-11-01&to=2026-11-02", "backfill 2026-11-01 to 2026-11-02, 12"},
		{"verify", "", "verify  to , full false"},
		{"pause", "", "pause"}, {"resume", "", "resume"}, {"alerts", "", "alert"},
	} {
		r.ordered = nil
		where, _ := post(t, h, "/actions/"+o.action, hidden("/actions/"+o.action+o.query), http.StatusSeeOther)
		if got := strings.Join(r.ordered, ";"); got != o.want+" because the network is mended" || where != "/activity?job=7" {
			t.Errorf("%s: %q, to %q", o.action, got, where)
		}
	}
}

// An order that is refused shows why, keeps what was typed, and asks anew.
func TestARefusalIsShownWithANewPreview(t *testing.T) {
	t.Parallel()
	r := newRoom()
	r.problem = MiscountProblem(3, 1)
	_, text := post(t, newPage(r, r), "/actions/retry", url.Values{"confirm": {"3"}, "reason": {"my words"}}, http.StatusConflict)
	for _, want := range []string{`role="alert"`, "The order confirms 3 files, and is about 1 now", `value="my words"`, `name="confirm" value="1"`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
}

func TestWhatIsNotThereHasAPageThatSaysSo(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	for path, want := range map[string]string{
		"/nothing": "There is no page /nothing", "/days/2026-02-30": "is no day of the calendar", "/files/none": "no file none", "/actions/none": "There is no action none",
	} {
		if text := get(t, h, path, http.StatusNotFound); !strings.Contains(text, want) {
			t.Errorf("%s: no %q", path, want)
		}
	}
	if text := get(t, h, "/actions/backfill?from=2026-11-02&to=2026-11-01", http.StatusOK); !strings.Contains(text, "The last day is before the first") {
		t.Error("days in the wrong order are not told")
	}
}

// While the ledger cannot be read, the overview shows what is known all the same.
func TestTheOverviewShowsWhatIsKnown(t *testing.T) {
	t.Parallel()
	r := newRoom()
	text := get(t, newPage(unread{r}, r), "/", http.StatusOK)
	for _, want := range []string{"1 file was given up", "The ledger is not open yet", "Nothing is known of any day yet", "That is not known yet"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q", want)
		}
	}
	if n := strings.Count(text, "The ledger is not open yet"); n != 1 {
		t.Errorf("it is said %d times", n)
	}
}

// An unread is a room whose ledger cannot be read.
type unread struct{ *room }

func (unread) Days(context.Context, messages.Day, messages.Day) (Days, error) {
	return Days{}, NewProblem(http.StatusServiceUnavailable, "the ledger is not open yet", "")
}

func (unread) Charts(context.Context, Window) (Charts, error) {
	return Charts{}, NewProblem(http.StatusServiceUnavailable, "the ledger is not open yet", "")
}

// In read-only mode no page leads to an action.
func TestAReadOnlyPageOffersNoActions(t *testing.T) {
	t.Parallel()
	r := newRoom()
	r.summary.Agent.ReadOnly = true
	h := newPage(r, r)
	for _, path := range []string{"/", fileURL(hostile), "/days/2026-11-14"} {
		if found := regexp.MustCompile(`href="/actions/[a-qs-z][^"]*|/actions/re[a-oq-z]`).FindString(get(t, h, path, http.StatusOK)); found != "" {
			t.Errorf("%s leads to %s", path, found)
		}
	}
	for name := range orders() {
		if text := get(t, h, "/actions/"+name, http.StatusOK); name != "report" && strings.Contains(text, `<button type="submit" class="button main`) && strings.Contains(text, `method="post"`) {
			t.Errorf("the form of %s can be sent", name)
		}
	}
}

func TestTheFirstLoadIsSmall(t *testing.T) {
	t.Parallel()
	const most = 60_000
	r := newRoom()
	h := newPage(r, r)
	load := func(path string) int {
		w := httptest.NewRecorder()
		req := httptest.NewRequest("GET", path, nil)
		req.Header.Set("Accept-Encoding", "gzip")
		h.ServeHTTP(w, req)
		if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" {
			t.Errorf("%s: %d %q", path, w.Code, w.Header())
		}
		return w.Body.Len()
	}
	sum := load("/")
	for _, m := range regexp.MustCompile(`(?:href|src)="(/assets/[^"]+)"`).FindAllStringSubmatch(get(t, h, "/", http.StatusOK), -1) {
		sum += load(m[1])
	}
	if sum > most {
		t.Errorf("the first load is %d bytes, more than %d", sum, most)
	}
	t.Logf("the first load is %d bytes", sum)
}

func TestAReportIsAFile(t *testing.T) {
	t.Parallel()
	r := newRoom()
	w := httptest.NewRecorder()
	newPage(r, r).ServeHTTP(w, httptest.NewRequest("GET", "/report?from=2026-11-01&to=2026-11-02", nil))
	if got := w.Header().Get("Content-Disposition"); w.Body.String() != "report 2026-11-01 to 2026-11-02 as csv" || got != `attachment; filename="focus-report-2026-11-01-to-2026-11-02.csv"` {
		t.Errorf("%q as %q", w.Body, got)
	}
}

// A form that loaded anew would take away what somebody types, and after a refusal, whose
// address holds no choice, ask about all files. Other pages do, without a script.
func TestAFormStaysAsItIs(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	for _, path := range pages() {
		form := strings.HasPrefix(path, "/actions/")
		text := get(t, h, path, http.StatusOK)
		if again := strings.Contains(text, `http-equiv="refresh"`); again == form {
			t.Errorf("%s loads anew: %t", path, again)
		}
		if toggle := strings.Contains(text, "load anew each minute"); toggle == form {
			t.Errorf("%s can be told whether to: %t", path, toggle)
		}
	}
	r.problem = MiscountProblem(3, 1)
	if _, text := post(t, h, "/actions/discard", url.Values{"file": {hostile}, "confirm": {"3"}, "reason": {"x"}}, http.StatusConflict); strings.Contains(text, `http-equiv="refresh"`) {
		t.Error("a form after a refusal loads anew")
	}
}

// The link that stops that leads to the same page, whatever the name of a file.
func TestTheSamePageIsShownWithoutLoadingAnew(t *testing.T) {
	t.Parallel()
	r := newRoom()
	r.file.Object = "FOCUS Reports/2026/11/14/50%25 of it? #1 a+b.csv.gz"
	h := newPage(r, r)
	m := regexp.MustCompile(`class="still" href="([^"]+)"`).FindStringSubmatch(get(t, h, fileURL(r.file.Object), http.StatusOK))
	if len(m) != 2 {
		t.Fatal("there is no such link")
	}
	if text := get(t, h, strings.NewReplacer("&amp;", "&", "&#43;", "+").Replace(m[1]), http.StatusOK); strings.Contains(text, `http-equiv="refresh"`) {
		t.Errorf("%s loads anew", m[1])
	}
}

// A form sends its order to its action, as a POST: no link and no address gives an order.
func TestAnOrderIsSentByPostToItsAction(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newPage(r, r)
	for name := range orders() {
		path := "/actions/" + name
		if name == "backfill" {
			path += "?from=2026-11-01&to=2026-11-02"
		}
		method, action := "post", "/actions/"+name
		if name == "report" { // which changes nothing
			method, action = "get", "/report"
		}
		text := get(t, h, path, http.StatusOK)
		if want := `<form class="order" action="` + action + `" method="` + method + `">`; strings.Count(text, want) != 1 {
			t.Errorf("%s has no %s", path, want)
		}
	}
	if len(r.ordered) != 0 {
		t.Errorf("looking ordered %v", r.ordered)
	}
	if !strings.Contains(get(t, h, "/", http.StatusOK), `href="/actions/scan"`) {
		t.Error("the overview leads to no scan")
	}
}

func TestOneFailureNeedsADecisionAndTwoNeedOne(t *testing.T) {
	t.Parallel()
	for failed, want := range map[int]string{1: "needs a decision", 2: "need a decision"} {
		if got := tiles(Summary{Numbers: Numbers{Failed: failed}})[3].Note; got != want {
			t.Errorf("%d: %q, want %q", failed, got, want)
		}
	}
}
