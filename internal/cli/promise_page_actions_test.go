package cli_test

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

// acted is the last action on record.
func (w *world) acted(t *testing.T) messages.Action {
	t.Helper()
	all := w.audited(t)
	if len(all) == 0 {
		t.Fatal("nothing is on record")
	}
	return all[len(all)-1]
}

// Whoever retries or discards on the page confirms the number that was shown; what was
// done is on record as if a command had done it.
func TestAnOrderAboutFailedFilesConfirmsTheirNumber(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	one, two, three := object(1, "one.csv.gz", 500), object(2, "two.csv.gz", 500), object(3, "three.csv.gz", 500)
	w.add(one, two, three)
	end := w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Do: simulator.FlipBit(7)})
	_, c := w.page(t)
	eventually(t, "three files are given up", func() bool { return fetch[web.Summary](c, "summary").Numbers.Failed == 3 })
	end()

	var p web.FailedPreview
	if c.post("failed/preview", web.Selection{From: messages.Day(daysAgo(2))}, &p); p.Count != 2 || p.Bytes != 1000 || len(p.Files) != 2 || p.Until.IsZero() {
		t.Errorf("preview = %+v", p)
	}
	problem := c.refused("failed/retry", map[string]any{"confirm": 1}, http.StatusConflict)
	if problem.Count == nil || *problem.Count != 3 {
		t.Errorf("a wrong number = %+v", problem)
	}
	for body, want := range map[string]int{
		`{"confirm":3,"all":true}`: 400, `{"confirm":"3"}`: 400, `[]`: 400, `null`: 400, `"all"`: 400, `{"confirm":0,"causes":["refused"]}`: 409,
		`{"confirm":1,"files":["nobody.csv.gz"]}`: 409, `{"confirm":1,"from":"2026-02-30"}`: 400, `{"confirm":3,"reason":"two\nlines"}`: 400,
	} {
		c.refused("failed/retry", json.RawMessage(body), want)
	}
	c.refused("failed/discard", map[string]any{"confirm": 3}, http.StatusBadRequest) // without a reason
	if got := w.audited(t); len(got) != 0 {
		t.Errorf("what was refused is on record: %+v", got)
	}

	job := c.ordered("failed/retry", map[string]any{"files": []string{one.Name}, "confirm": 1, "reason": "Oracle wrote it anew"})
	if job.Count != 1 || job.Reason != "Oracle wrote it anew" {
		t.Errorf("retry = %+v", job)
	}
	if a := w.acted(t); a.Action != "failed retry" || a.By != "somebody from 127.0.0.1 by the API" || a.Reason != "Oracle wrote it anew" || a.Count != 1 || !slices.Equal(a.Files, []string{one.Name}) {
		t.Errorf("on record: %+v", a)
	}
	c.ordered("failed/discard", map[string]any{"files": []string{two.Name}, "confirm": 1, "reason": "a test file"})
	if a := w.acted(t); a.Action != "failed discard" || a.Reason != "a test file" {
		t.Errorf("on record: %+v", a)
	}
	eventually(t, "one is delivered, one given up for good, and one failed", func() bool {
		n := fetch[web.Summary](c, "summary").Numbers
		return n.Failed == 1 && n.Discarded == 1 && n.Today == 1
	})
	c.ordered("failed/retry", map[string]any{"causes": []string{"hash-mismatch"}, "confirm": 1})
	eventually(t, "nothing is failed", func() bool {
		s := fetch[web.Summary](c, "summary")
		return s.Numbers.Failed == 0 && s.Numbers.Today == 2 && s.Verdict.State != web.IsFailing
	})
	file := fetch[web.FilePage](c, "file?name=one.csv.gz")
	if !slices.ContainsFunc(file.Timeline, func(m web.Moment) bool {
		return m.What == "operator" && strings.Contains(m.Text, "Oracle wrote it anew")
	}) {
		t.Errorf("the timeline = %+v", file.Timeline)
	}
	if jobs := fetch[web.JobList](c, "jobs").Jobs; len(jobs) != 3 || jobs[0].ID != 3 || fetch[web.Job](c, "jobs/1").Action != "failed retry" {
		t.Errorf("jobs = %+v", jobs)
	}
	if trail := fetch[web.Trail](c, "audit").Actions; len(trail) != 3 || trail[0].At.Before(trail[2].At) {
		t.Errorf("the trail = %+v", trail)
	}
}

// A backfill is shown first, and done only while it is what was shown.
func TestABackfillOnThePageIsWhatWasShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_SINCE="+daysAgo(3))
	old, new := object(20, "old.csv.gz", 500), object(1, "new.csv.gz", 500)
	w.add(old, new)
	_, c := w.page(t)
	eventually(t, "the fresh file is there", func() bool { return fetch[web.Summary](c, "summary").Numbers.Today == 1 })

	order := map[string]any{"from": daysAgo(25), "to": daysAgo(15), "confirm": 1}
	var p web.BackfillPreview
	if code := c.post("backfill/preview", order, &p); code != 200 || p.Files != 1 || p.Bytes != 500 || len(p.Days) != 1 {
		t.Errorf("preview = %d %+v", code, p)
	}
	for _, bad := range []map[string]any{{"from": daysAgo(1), "to": daysAgo(2), "confirm": 0}, {"from": "x", "to": "y", "confirm": 0}, {"from": "2020-01-01", "to": daysAgo(1), "confirm": 0}} {
		c.refused("backfill", bad, http.StatusBadRequest)
	}
	another := object(16, "another.csv.gz", 500)
	w.add(another)
	if problem := c.refused("backfill", order, http.StatusConflict); problem.Count == nil || *problem.Count != 2 {
		t.Errorf("a backfill of another number = %+v", problem)
	}
	order["confirm"], order["reason"] = 2, "the first quarter"
	if job := c.ordered("backfill", order); job.Count != 2 {
		t.Errorf("backfill = %+v", job)
	}
	if a := w.acted(t); a.Action != "backfill" || a.Count != 2 || a.Reason != "the first quarter" || !strings.Contains(a.Detail, daysAgo(25)) {
		t.Errorf("on record: %+v", a)
	}
	eventually(t, "the old files are there, and their days judged", func() bool {
		days := fetch[web.Days](c, "days")
		return fetch[web.Summary](c, "summary").Numbers.Today == 3 && dayOf(days, daysAgo(20)).Delivered == 1 && dayOf(days, daysAgo(16)).Delivered == 1
	})
	w.check(t)
}

// Pause, resume, scan, verify, the report and the test of alerts, as by their commands.
func TestWhatThePageOrdersIsDoneAndOnRecord(t *testing.T) {
	t.Parallel()
	var told atomic.Int64
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { told.Add(1) }))
	defer hook.Close()
	w := newWorld(t, simulator.Options{}, "FOCUS_ALERTS_WEBHOOK_URL="+hook.URL, "FOCUS_AGENT_POLL_INTERVAL=86400")
	w.add(object(1, "first.csv.gz", 500))
	_, c := w.page(t)
	eventually(t, "the first file is there", func() bool { return fetch[web.Summary](c, "summary").Numbers.Today == 1 })

	c.refused("pause", map[string]any{}, http.StatusBadRequest)
	c.ordered("pause", map[string]any{"reason": "the bucket moves"})
	if s := fetch[web.Summary](c, "summary"); s.Paused == nil || s.Paused.Reason != "the bucket moves" || s.Paused.By != "somebody from 127.0.0.1 by the API" {
		t.Errorf("paused = %+v", s.Paused)
	}
	w.add(object(2, "second.csv.gz", 500))
	if job := c.ordered("sync", map[string]any{"reason": "it must be there by now"}); job.Count != 1 {
		t.Errorf("sync = %+v", job)
	}
	if a := w.acted(t); a.Action != "sync" || a.Reason != "it must be there by now" {
		t.Errorf("on record: %+v", a)
	}
	eventually(t, "the second file waits while the route is paused", func() bool {
		s := fetch[web.Summary](c, "summary")
		return s.Numbers.Waiting == 1 && s.Verdict.State == web.IsPaused && strings.Contains(s.Verdict.Sentence, "the bucket moves") &&
			fetch[web.FilesPage](c, "files?state=waiting").Total == 1
	})
	c.ordered("resume", map[string]any{})
	if a := w.acted(t); a.Action != "resume" {
		t.Errorf("on record: %+v", a)
	}
	eventually(t, "the second file is there", func() bool { return fetch[web.Summary](c, "summary").Numbers.Today == 2 })

	job := c.ordered("verify", map[string]any{"from": daysAgo(5), "to": daysAgo(0)})
	if v := job.Verification; v == nil || v.Equal != 2 || v.Differ() != 0 {
		t.Errorf("verify = %+v", job)
	}
	c.refused("verify", map[string]any{"full": true, "from": daysAgo(5)}, http.StatusBadRequest)
	if job := c.ordered("alerts/test", map[string]any{}); len(job.Alerts) != 1 || job.Alerts[0].Error != "" || told.Load() != 1 {
		t.Errorf("alerts test = %+v, %d told", job, told.Load())
	}
	var did []string
	for _, a := range w.audited(t) {
		did = append(did, a.Action)
	}
	if want := []string{"pause", "sync", "resume", "verify", "alerts test"}; !slices.Equal(did, want) {
		t.Errorf("on record: %q, want %q", did, want)
	}

	code, text := c.raw("GET", "report?from="+daysAgo(5)+"&to="+daysAgo(0), nil)
	rows, err := csv.NewReader(strings.NewReader(string(text))).ReadAll()
	printed := w.run(t, "report", "-o", "csv", "--from", daysAgo(5), "--to", daysAgo(0)).want(t, 0).stdout
	if want := strings.Count(printed, "\n"); code != 200 || err != nil || len(rows) != want {
		t.Errorf("report = %d, %d rows, want the %d of the command (%v)", code, len(rows), want, err)
	}
	for _, q := range []string{"format=json", "format=html", "month=" + daysAgo(1)[:7] + "&format=json"} {
		if code, text := c.raw("GET", "report?"+q, nil); code != 200 || len(text) < 500 {
			t.Errorf("report?%s = %d %s", q, code, text)
		}
	}
	for _, q := range []string{"format=table", "from=x", "month=x", "section=x", "from=1999-01-01"} {
		if code, text := c.raw("GET", "report?"+q, nil); code != 400 {
			t.Errorf("report?%s = %d %s", q, code, text)
		}
	}
}

// Events tell the summary, and again when it has changed; they end with the agent.
func TestEventsTellWhatChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_POLL_INTERVAL=86400")
	agent, c := w.page(t)
	resp, err := http.Get(c.url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("events = %d %v", resp.StatusCode, resp.Header)
	}
	summaries := make(chan web.Summary, 100)
	go func() {
		defer close(summaries)
		lines := bufio.NewScanner(resp.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
				var s web.Summary
				if err := json.Unmarshal([]byte(data), &s); err != nil {
					t.Error(err)
				}
				summaries <- s
			}
		}
	}()
	if s := <-summaries; s.Verdict.Sentence == "" {
		t.Errorf("the first event = %+v", s)
	}
	c.ordered("pause", map[string]any{"reason": "to see it"})
	late := time.After(20 * time.Second)
	for seen := false; !seen; {
		select {
		case s, ok := <-summaries:
			if !ok {
				t.Fatal("the events ended")
			}
			seen = s.Paused != nil
		case <-late:
			t.Fatal("the pause was not told")
		}
	}
	began := time.Now()
	agent.stop().want(t, 0)
	for range summaries { // until they end
	}
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("the agent took %v to end while somebody listened", took)
	}
}

// Who may come, and what they may do: see SECURITY.md.
func TestThePageIsForThoseWhoMay(t *testing.T) {
	t.Parallel()
	hash, err := bcrypt.GenerateFromPassword([]byte("correct horse"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, []byte("# people\nanna:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const token = "0123456789abcdef0123456789abcdef"
	w := newWorld(t, simulator.Options{}, "FOCUS_HTTP_TOKEN="+token, "FOCUS_HTTP_BASIC_AUTH_FILE="+users)
	agent, c := w.page(t, "Authorization=Bearer "+token)
	basic := func(user, password string) string {
		r, _ := http.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return "Authorization=" + r.Header.Get("Authorization")
	}
	for header, want := range map[string]int{
		"Authorization=":                      401,
		"Authorization=Bearer ":               401,
		"Authorization=Bearer " + token[1:]:   401,
		"Authorization=Bearer " + token + "0": 401,
		"Authorization=Basic !!":              401,
		basic("anna", "wrong"):                401,
		basic("anna", ""):                     401,
		basic("bob", "correct horse"):         401,
		basic("", ""):                         401,
		basic("anna", string(hash)):           401,
		basic("anna", "correct horse"):        200,
		basic("whoever", token):               200,
		"Authorization=Bearer " + token:       200,
	} {
		if code, text := c.raw("GET", "summary", nil, header); code != want {
			t.Errorf("%q = %d %s, want %d", header, code, text, want)
		}
	}
	// Probes and metrics ask nobody, and page and API everybody.
	for path, want := range map[string]int{
		"/livez": 200, "/readyz": 200, "/metrics": 200, "/": 401, "/files": 401, "/api/v1/events": 401, "/api/v1/openapi.json": 401, "/nowhere": 401, "/assets/page.css": 401,
	} {
		resp, err := http.Get(c.url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want || want == 401 && !strings.HasPrefix(resp.Header.Get("WWW-Authenticate"), "Basic ") {
			t.Errorf("%s = %d, want %d", path, resp.StatusCode, want)
		}
	}
	// The record tells who it was.
	for header, want := range map[string]string{
		basic("anna", "correct horse"): "anna from 127.0.0.1 by the API", basic("bob", token): "token/bob from 127.0.0.1 by the API", "Authorization=Bearer " + token: "token from 127.0.0.1 by the API",
	} {
		var j web.Job
		if c.do("POST", "resume", map[string]any{}, &j, header); j.By != want {
			t.Errorf("by %q, want %q", j.By, want)
		}
	}
	// A browser brings the password along wherever the order comes from.
	for _, headers := range [][]string{
		{"Sec-Fetch-Site=cross-site"}, {"Sec-Fetch-Site=same-site"}, {"Origin=https://evil.example"}, {"Origin=null"}, {"Origin=http://127.0.0.1:1"},
	} {
		c.refused("pause", map[string]any{"reason": "from elsewhere"}, http.StatusForbidden, headers...)
	}
	c.refused("pause", map[string]any{"reason": "as a form"}, http.StatusUnsupportedMediaType, "Content-Type=application/x-www-form-urlencoded")
	c.refused("pause", map[string]any{"reason": strings.Repeat("x", 70_000)}, http.StatusRequestEntityTooLarge)
	if s := fetch[web.Summary](c, "summary"); s.Paused != nil {
		t.Errorf("it is paused: %+v", s.Paused)
	}
	// Who is taken out of the file is out, and a file that says nothing lets nobody in.
	other, err := bcrypt.GenerateFromPassword([]byte("battery staple"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(users, []byte("bob:"+string(other)+"\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "bob is in and anna is out", func() bool {
		in, _ := c.raw("GET", "summary", nil, basic("bob", "battery staple"))
		out, _ := c.raw("GET", "summary", nil, basic("anna", "correct horse"))
		return in == 200 && out == 401
	})
	if err := os.Remove(users); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nobody is in by the file", func() bool {
		code, _ := c.raw("GET", "summary", nil, basic("bob", "battery staple"))
		return code == 503
	})
	agent.stop().want(t, 0)
	w.says(t, 2, []string{"run"}, "http.page: open "+users)
	if err := os.WriteFile(users, []byte("anna:correct horse\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.says(t, 2, []string{"run"}, "line 1 is not user:bcrypt")
}

// Without a proof the page is for this host alone, by its own names; with read_only it
// only shows.
func TestThePageOfThisHostIsForThisHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	agent, c := w.page(t, "FOCUS_HTTP_READ_ONLY=true")
	port := c.url[strings.LastIndex(c.url, ":"):]
	for host, want := range map[string]int{
		"127.0.0.1" + port: 200, "localhost" + port: 200, "LOCALHOST": 200, "[::1]" + port: 200, "127.0.0.1": 200,
		"evil.example" + port: 421, "localhost.evil.example": 421, "127.0.0.1.evil.example" + port: 421, "192.0.2.1": 421, "0.0.0.0" + port: 421,
	} {
		if code, text := c.raw("GET", "summary", nil, "Host="+host); code != want {
			t.Errorf("Host %s = %d %s, want %d", host, code, text, want)
		}
	}
	if s := fetch[web.Summary](c, "summary"); !s.Agent.ReadOnly {
		t.Error("the summary does not say that it only shows")
	}
	for path, body := range map[string]map[string]any{
		"sync": {}, "failed/retry": {"confirm": 1}, "failed/discard": {"confirm": 1, "reason": "x"}, "backfill": {"from": daysAgo(2), "to": daysAgo(1), "confirm": 0},
		"pause": {"reason": "x"}, "resume": {}, "verify": {}, "alerts/test": {},
	} {
		if p := c.refused(path, body, http.StatusForbidden); !strings.Contains(p.Detail, "read_only") {
			t.Errorf("%s = %+v", path, p)
		}
	}
	if code := c.post("failed/preview", map[string]any{}, &web.FailedPreview{}); code != 200 {
		t.Errorf("a preview = %d", code)
	}
	if got := w.audited(t); len(got) != 0 {
		t.Errorf("on record: %+v", got)
	}
	agent.stop().want(t, 0)
	w.unset("FOCUS_HTTP_READ_ONLY")
	w.set("FOCUS_HTTP_LISTEN", "0.0.0.0:0")
	w.says(t, 2, []string{"run"}, "http.page", "FOCUS_HTTP_TOKEN_FILE")
}
