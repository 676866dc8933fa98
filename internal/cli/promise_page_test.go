package cli_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
)

// A client uses the API as a program does. It holds each answer against the description
// that the API gives of itself.
type client struct {
	t       *testing.T
	url     string
	headers map[string]string

	mu       sync.Mutex
	schemas  map[string]*jsonschema.Schema
	compiler *jsonschema.Compiler
	paths    map[string]map[string]any
}

// page starts an agent with the status page, and waits until it has read what there is.
func (w *world) page(t *testing.T, settings ...string) (*background, *client) {
	t.Helper()
	w.set("FOCUS_HTTP_PAGE", "true")
	headers := map[string]string{}
	for _, s := range settings {
		name, value, _ := strings.Cut(s, "=")
		if name == "Authorization" {
			headers[name] = value
			continue
		}
		w.set(name, value)
	}
	agent, p := w.listen(t, "run")
	c := &client{t: t, url: p.url, headers: headers, schemas: map[string]*jsonschema.Schema{}}
	c.describe()
	eventually(t, "the agent has read everything", func() bool {
		var s web.Summary
		var days web.Days
		return c.get("summary", &s) == http.StatusOK && s.LastScan != nil && c.get("days", &days) == http.StatusOK && days.Read
	})
	return agent, c
}

// describe reads the description, and closes its objects: a field that it does not
// have is an error here.
func (c *client) describe() {
	c.t.Helper()
	code, body := c.raw("GET", "openapi.json", nil)
	if code != http.StatusOK {
		c.t.Fatalf("openapi.json: %d %s", code, body)
	}
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	shut(tree)
	c.compiler = jsonschema.NewCompiler()
	if err := c.compiler.AddResource("openapi.json", tree); err != nil {
		c.t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		c.t.Fatal(err)
	}
	c.paths = doc.Paths
}

func shut(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, ok := v["properties"]; ok && v["type"] == "object" {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			shut(inner)
		}
	case []any:
		for _, inner := range v {
			shut(inner)
		}
	}
}

// raw makes a request; body is sent as JSON.
func (c *client) raw(method, path string, body any, headers ...string) (int, []byte) {
	c.t.Helper()
	var send io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			c.t.Fatal(err)
		}
		send = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+"/api/v1/"+path, send)
	if err != nil {
		c.t.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for name, value := range c.headers {
		req.Header.Set(name, value)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, "=")
		if name == "Host" {
			req.Host = value
		}
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if got := resp.Header.Get("Content-Security-Policy"); !strings.Contains(got, "default-src 'self'") || resp.Header.Get("Cache-Control") != "no-store" {
		c.t.Errorf("%s %s lacks its headers: %v", method, path, resp.Header)
	}
	return resp.StatusCode, text
}

// do makes a request, holds the answer against its schema, and decodes it.
func (c *client) do(method, path string, body, into any, headers ...string) int {
	c.t.Helper()
	code, text := c.raw(method, path, body, headers...)
	c.valid(method, path, code, text)
	if code >= 400 {
		if p, ok := into.(*web.Problem); ok {
			if err := json.Unmarshal(text, p); err != nil {
				c.t.Errorf("%s %s: %v", method, path, err)
			}
		}
		return code
	}
	if _, ok := into.(*web.Problem); into == nil || ok {
		return code
	}
	if err := json.Unmarshal(text, into); err != nil {
		c.t.Errorf("%s %s: %v in %s", method, path, err, text)
	}
	return code
}

func (c *client) get(path string, into any) int { c.t.Helper(); return c.do("GET", path, nil, into) }

// fetch is get of what must be there.
func fetch[T any](c *client, path string) (value T) {
	c.t.Helper()
	if code := c.get(path, &value); code != http.StatusOK {
		c.t.Errorf("%s = %d", path, code)
	}
	return value
}

func (c *client) post(path string, body, into any) int {
	c.t.Helper()
	return c.do("POST", path, body, into)
}

// valid holds an answer against the description.
func (c *client) valid(method, path string, code int, text []byte) {
	c.t.Helper()
	at, _, _ := strings.Cut(path, "?")
	described := "/" + at
	for p := range c.paths {
		pattern := "^" + regexp.MustCompile(`\\\{\w+\\\}`).ReplaceAllString(regexp.QuoteMeta(p), "[^/]+") + "$"
		if regexp.MustCompile(pattern).MatchString("/" + at) {
			described = p
		}
	}
	status, kind := fmt.Sprint(code), "application/json"
	if code >= 400 {
		status, kind = "default", "application/problem+json"
	}
	pointer := "/paths/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(described) + "/" + strings.ToLower(method) +
		"/responses/" + status + "/content/" + strings.ReplaceAll(kind, "/", "~1") + "/schema"
	c.mu.Lock()
	defer c.mu.Unlock()
	schema := c.schemas[pointer]
	if schema == nil {
		var err error
		if schema, err = c.compiler.Compile("openapi.json#" + strings.NewReplacer("{", "%7B", "}", "%7D").Replace(pointer)); err != nil {
			c.t.Fatalf("%s %s answers %d, which is not described: %v", method, path, code, err)
		}
		c.schemas[pointer] = schema
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		c.t.Errorf("%s %s answers %d: %v\n%s", method, path, code, err, text)
	}
}

// ordered posts an order that must be done, and returns the job.
func (c *client) ordered(path string, body any) (j web.Job) {
	c.t.Helper()
	if code := c.post(path, body, &j); code != http.StatusOK || j.State != web.JobDone {
		c.t.Fatalf("%s = %d %+v", path, code, j)
	}
	return j
}

// refused posts an order that must not be done.
func (c *client) refused(path string, body any, want int, headers ...string) (p web.Problem) {
	c.t.Helper()
	if code := c.do("POST", path, body, &p, headers...); code != want || p.Detail == "" {
		c.t.Errorf("%s = %d %+v, want %d", path, code, p, want)
	}
	return p
}

// What the page shows follows from the ledger, whoever wrote it, and agrees with what the
// commands tell of the same things.
func TestThePageTellsWhatTheCommandsTell(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	good, bad := object(2, "good.csv.gz", 700), object(1, "bad.csv.gz", 500)
	w.add(good, bad)
	w.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: bad.Name, Do: simulator.FlipBit(7)})
	_, c := w.page(t)

	var s web.Summary
	eventually(t, "one file is copied and one given up", func() bool {
		s = fetch[web.Summary](c, "summary")
		return s.Numbers.Failed == 1 && s.Numbers.Today == 1 && s.Numbers.DeadLetters == 1
	})
	if v := s.Verdict; v.State != web.IsFailing || !strings.Contains(v.Sentence, "1 file was given up: the bytes differ from the declared checksum.") || v.Remedy != messages.HashMismatch.Explain().Remedy {
		t.Errorf("verdict = %+v", v)
	}
	if len(s.Failed) != 1 || s.Failed[0].Count != 1 || s.Failed[0].Bytes != 500 || s.Failed[0].Files[0].Object != bad.Name || !strings.Contains(s.Failed[0].Files[0].Error, "CRC32C") {
		t.Errorf("failed = %+v", s.Failed)
	}
	if n := s.Numbers; n.Files != 2 || n.TodayBytes != 700 || n.Waiting+n.Backfill != 0 {
		t.Errorf("numbers = %+v", n)
	}
	if len(s.Workers) != 1 || !s.Workers[0].Self || !s.Workers[0].Ready || s.Workers[0].Stale || len(s.Dependencies) != 3 {
		t.Errorf("workers = %+v, dependencies = %+v", s.Workers, s.Dependencies)
	}

	// Each day as by `report`, from the same evidence.
	var days web.Days
	eventually(t, "the days are judged with both files", func() bool {
		days = fetch[web.Days](c, "days?from="+daysAgo(30)+"&to="+daysAgo(0))
		return dayOf(days, daysAgo(2)).Delivered == 1 && dayOf(days, daysAgo(1)).Failed == 1
	})
	var told struct {
		Days []json.RawMessage
	}
	if err := json.Unmarshal([]byte(w.run(t, "report", "--json", "--from", daysAgo(30), "--to", daysAgo(0)).want(t, 0).stdout), &told); err != nil {
		t.Fatal(err)
	}
	for i, d := range days.Days {
		text, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, told.Days[i]); err != nil {
			t.Fatal(err)
		}
		if string(text) != compact.String() {
			t.Errorf("a day is %s, and by report %s", text, compact.String())
		}
	}

	// Three sides of a day.
	day := fetch[web.DayPage](c, "days/"+daysAgo(2))
	if len(day.Files) != 1 || day.Files[0].Mark != "=" || day.Files[0].Source == nil || day.Files[0].Ledger == nil || day.Files[0].Destination == nil || day.Files[0].Destination.Size != 700 || day.Problem != "" {
		t.Errorf("the day of the good file = %+v", day)
	}
	day = fetch[web.DayPage](c, "days/"+daysAgo(1))
	if len(day.Files) != 1 || day.Files[0].Mark != "+" || day.Files[0].Destination != nil || day.Differ != 1 {
		t.Errorf("the day of the bad file = %+v", day)
	}

	// Lists and single files.
	files := fetch[web.FilesPage](c, "files?state=failed&cause=hash-mismatch&day="+daysAgo(1)+"&text=BAD")
	if files.Total != 1 || files.Known != 2 || len(files.Files) != 1 || files.Files[0].Object != bad.Name || !strings.Contains(files.Files[0].Error, "CRC32C") {
		t.Errorf("the failed files = %+v", files)
	}
	files = fetch[web.FilesPage](c, "files?limit=1")
	first := files.Files[0].Object
	if files = fetch[web.FilesPage](c, "files?limit=1&after="+files.Next); len(files.Files) != 1 || files.Files[0].Object == first || files.Next != "" {
		t.Errorf("the second page = %+v after %s", files, first)
	}
	file := fetch[web.FilePage](c, "file?name=bad.csv.gz")
	if file.Object != bad.Name || file.State != web.FileFailed || file.Letter == nil || file.Remedy == "" || !slices.ContainsFunc(file.Timeline, func(m web.Moment) bool { return m.What == "failed" }) ||
		!slices.Contains(file.Commands, "oracle-focus-agent failed retry '"+bad.Name+"'") {
		t.Errorf("the bad file = %+v", file)
	}
	file = fetch[web.FilePage](c, "file?name=good.csv.gz")
	if file.State != web.FileCopied || file.Record.Copy == nil || file.Record.Copy.CRC32C == "" || file.Key != w.prefix()+daysAgo(2)+"_good.csv.gz" {
		t.Errorf("the good file = %+v", file)
	}
	for _, window := range web.Windows() {
		if charts := fetch[web.Charts](c, "charts?window="+string(window)); countOf(charts.Delivered) != 1 || len(charts.Backlog) == 0 {
			t.Errorf("charts of %s = %+v", window, charts)
		}
	}
	for path, want := range map[string]int{
		"days?from=2026-02-30": 400, "days?from=1999-01-01": 400, "days/yesterday": 400, "files?state=lost": 400, "files?limit=1000": 400, "files?limit=x": 400,
		"files?after=%21": 400, "files?cause=x": 400, "file?name=nobody.csv.gz": 404, "charts?window=1y": 400, "jobs/7": 404, "nothing": 404, "sync": 405,
	} {
		var p web.Problem
		if code := c.get2(path, &p); code != want || p.Detail == "" || p.Remedy == "" {
			t.Errorf("%s = %d %+v, want %d and what to do", path, code, p, want)
		}
	}
}

// get2 is get of a path that need not be described.
func (c *client) get2(path string, p *web.Problem) int {
	c.t.Helper()
	code, text := c.raw("GET", path, nil)
	if err := json.Unmarshal(text, p); err != nil {
		c.t.Errorf("%s: %v in %s", path, err, text)
	}
	return code
}

func dayOf(days web.Days, name string) (d struct{ Delivered, Failed int }) {
	for _, day := range days.Days {
		if string(day.Day) == name {
			d.Delivered, d.Failed = day.Delivered, day.Failed
		}
	}
	return d
}

func countOf(points []web.Point) (n int) {
	for _, p := range points {
		n += p.Files
	}
	return n
}

// With a queue that others share, the page tells of the processes of all hosts, and of
// what any of them writes into the ledger.
func TestThePageTellsOfAllHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_AGENT_POLL_INTERVAL=86400")
	w.external(t)
	_, c := w.page(t)
	w.unset("FOCUS_HTTP_LISTEN")
	w.unset("FOCUS_HTTP_PAGE")
	copier := w.command(t, "copier") // a process of its own: instances are told apart by it
	if err := copier.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = copier.Process.Kill() // it may be gone
		_ = copier.Wait()
	}()
	eventually(t, "the copier is seen", func() bool {
		workers := fetch[web.Summary](c, "summary").Workers
		return len(workers) == 2 && workers[0].Role == "agent" && workers[0].Self && workers[1].Role == "copier" && workers[1].Ready && !workers[1].Skew
	})
	// A command of another process brings a file; nobody told this one.
	w.add(object(1, "elsewhere.csv.gz", 500))
	w.set("FOCUS_STATE_DIR", w.dir+"-elsewhere")
	w.sync(t, 0)
	eventually(t, "the file and its day are shown", func() bool {
		return fetch[web.FilesPage](c, "files?state=copied").Total == 1 && dayOf(fetch[web.Days](c, "days"), daysAgo(1)).Delivered == 1
	})
}
