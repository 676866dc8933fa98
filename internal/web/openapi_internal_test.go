package web

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

var update = flag.Bool("update", false, "rewrite openapi.json")

// A parameter of an operation.
type parameter struct{ name, in, doc string }

// An operation is an endpoint as it is described.
type operation struct {
	summary    string
	parameters []parameter
	order      any // of the body; nil where there is none
	answer     any
	kind       string // of the answer; empty for JSON
	ends       bool   // with a Job, which may run on
}

// operations describe all endpoints, and those beside them.
func operations() map[string]operation {
	from, to := parameter{"from", "query", "first report day, YYYY-MM-DD"}, parameter{"to", "query", "last report day, YYYY-MM-DD"}
	type reasoned struct {
		Reason string `json:"reason,omitempty"`
	}
	type pausing struct {
		Reason string `json:"reason"`
	}
	type failedOrder struct {
		FailedOrder
		reasoned
	}
	type backfillOrder struct {
		BackfillOrder
		reasoned
	}
	type verifyOrder struct {
		VerifyOrder
		reasoned
	}
	return map[string]operation{
		"GET summary":    {summary: "The route at a glance", answer: Summary{}},
		"GET days":       {summary: "Report days, each judged as by `report`; by default those of 13 months", parameters: []parameter{from, to}, answer: Days{}},
		"GET days/{day}": {summary: "One report day on all three sides: source, ledger, destination", parameters: []parameter{{"day", "path", "YYYY-MM-DD"}}, answer: DayPage{}},
		"GET files": {summary: "Files, those that changed last first", answer: FilesPage{}, parameters: []parameter{
			{"state", "query", "one of waiting, copying, retrying, failed, copied, discarded, gone"}, {"day", "query", "report day, YYYY-MM-DD"},
			{"cause", "query", "class of the failure"}, {"text", "query", "a part of the object's name"}, {"after", "query", "next of the page before"}, {"limit", "query", "1 to 200; 50 without"},
		}},
		"GET file":              {summary: "All that is known of one file", parameters: []parameter{{"name", "query", "object or file name"}}, answer: FilePage{}},
		"GET charts":            {summary: "How much came and went", parameters: []parameter{{"window", "query", "1h, 24h, 7d or 30d; 24h without"}}, answer: Charts{}},
		"GET audit":             {summary: "What operators did, the newest first", answer: Trail{}},
		"GET jobs":              {summary: "The actions that were ordered here since the start of the process", answer: JobList{}},
		"GET jobs/{id}":         {summary: "One of them", parameters: []parameter{{"id", "path", "its id"}}, answer: Job{}},
		"POST sync":             {summary: "Look at once for new files and queue them", order: reasoned{}, answer: Job{}, ends: true},
		"POST failed/preview":   {summary: "What an order about failed files would be about", order: Selection{}, answer: FailedPreview{}},
		"POST failed/retry":     {summary: "Order another copy of files that were given up", order: failedOrder{}, answer: Job{}, ends: true},
		"POST failed/discard":   {summary: "Give files up for good; needs a reason", order: failedOrder{}, answer: Job{}, ends: true},
		"POST backfill/preview": {summary: "What a backfill would copy", order: BackfillOrder{}, answer: BackfillPreview{}},
		"POST backfill":         {summary: "Queue the reports of past days", order: backfillOrder{}, answer: Job{}, ends: true},
		"POST pause":            {summary: "Stop the copies on all hosts; needs a reason", order: pausing{}, answer: Job{}, ends: true},
		"POST resume":           {summary: "End a pause", order: reasoned{}, answer: Job{}, ends: true},
		"POST verify":           {summary: "Compare source, ledger and destination", order: verifyOrder{}, answer: Job{}, ends: true},
		"POST alerts/test":      {summary: "Send a test message by every channel", order: reasoned{}, answer: Job{}, ends: true},
		"GET events":            {summary: "Server-sent events: `summary` with a Summary, now and whenever it changed, at most once a second", kind: "text/event-stream"},
		"GET report": {summary: "What `report` prints, as a file", kind: "text/csv", parameters: []parameter{from, to,
			{"month", "query", "the statement of a month, YYYY-MM"}, {"format", "query", "csv, json or html; csv without"},
			{"section", "query", "only this part"}, {"errors_only", "query", "true: only what is not as it should be"}}},
		"GET openapi.json": {summary: "This description", answer: map[string]any{}},
	}
}

// The description is made of the types and their comments; -update writes it.
func TestTheDescriptionIsThatOfTheTypes(t *testing.T) {
	t.Parallel()
	const guide, begin, end = "../../docs/api.md", "| operation | what it does |\n|---|---|\n", "\n`/api/v1/openapi.json`"
	text, err := os.ReadFile(guide)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(text), begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the table of operations", guide)
	}
	for file, made := range map[string][]byte{"openapi.json": describe(t), guide: []byte(head + begin + table() + end + tail)} {
		had, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case bytes.Equal(had, made):
		case *update:
			if err := os.WriteFile(file, made, 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s is not what the types say; run: go test ./internal/web -run Description -update", file)
		}
	}
}

// table is the operations as the guide lists them.
func table() string {
	var b strings.Builder
	var names []string
	for name := range operations() {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		o := operations()[name]
		var with []string
		for _, p := range o.parameters {
			if p.in == "query" {
				with = append(with, "`"+p.name+"`")
			}
		}
		fmt.Fprintf(&b, "| `%s` | %s", name, o.summary)
		if len(with) > 0 {
			fmt.Fprintf(&b, " (%s)", strings.Join(with, ", "))
		}
		b.WriteString(" |\n")
	}
	return b.String()
}

// Each operation that is served is described, and the other way round.
func TestEachOperationIsDescribedAndServed(t *testing.T) {
	t.Parallel()
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := json.Unmarshal(description, &doc); err != nil {
		t.Fatal(err)
	}
	var described, served []string
	for path, methods := range doc.Paths {
		for method := range methods {
			described = append(described, strings.ToUpper(method)+" "+strings.TrimPrefix(path, "/"))
		}
	}
	for _, e := range endpoints() {
		served = append(served, e.method+" "+e.path)
	}
	served = append(served, "GET events", "GET report", "GET openapi.json") // newAPI has them by hand
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described: %q\n   served: %q", described, served)
	}
	mux := newAPI(nil, nil, nil).(*http.ServeMux)
	for _, s := range served {
		method, at, _ := strings.Cut(s, " ")
		r, err := http.NewRequest(method, apiPath+strings.NewReplacer("{day}", "2026-01-01", "{id}", "1").Replace(at), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, pattern := mux.Handler(r); pattern != method+" "+apiPath+at {
			t.Errorf("%s is served by %q", s, pattern)
		}
	}
	c := jsonschema.NewCompiler()
	tree, err := jsonschema.UnmarshalJSON(bytes.NewReader(description))
	if err == nil {
		err = c.AddResource("openapi.json", tree)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Compile("openapi.json#/components/schemas/Summary"); err != nil {
		t.Error(err)
	}
}

// A describer makes schemas of types.
type describer struct {
	t       *testing.T
	schemas map[string]any
	docs    map[string]string // of types and, behind a dot, of their fields
}

func describe(t *testing.T) []byte {
	d := &describer{t: t, schemas: map[string]any{}, docs: map[string]string{}}
	for _, dir := range []string{".", "../agent", "../report", "../../messages", "../../scanner"} {
		d.comments(dir)
	}
	problem := d.of(reflect.TypeFor[Problem](), "Problem")
	bad := map[string]any{"description": "A problem, in the form of RFC 9457", "content": map[string]any{"application/problem+json": map[string]any{"schema": problem}}}
	paths := map[string]any{}
	for name, o := range operations() {
		method, at, _ := strings.Cut(name, " ")
		kind := o.kind
		if kind == "" {
			kind = "application/json"
		}
		content := map[string]any{"schema": map[string]any{"type": "string"}}
		if o.answer != nil {
			content["schema"] = d.of(reflect.TypeOf(o.answer), "")
		}
		done := map[string]any{"description": "OK", "content": map[string]any{kind: content}}
		responses := map[string]any{"200": done, "default": bad}
		if o.ends {
			responses["202"] = map[string]any{"description": "It goes on in the background: see jobs/{id}", "content": map[string]any{kind: content}}
		}
		op := map[string]any{"summary": o.summary, "operationId": strings.NewReplacer(" ", "-", "/", "-", "{", "", "}", "", ".", "-").Replace(strings.ToLower(name)), "responses": responses}
		var parameters []any
		for _, p := range o.parameters {
			parameters = append(parameters, map[string]any{"name": p.name, "in": p.in, "required": p.in == "path" || p.name == "name", "description": p.doc, "schema": map[string]any{"type": "string"}})
		}
		if parameters != nil {
			op["parameters"] = parameters
		}
		if o.order != nil {
			op["requestBody"] = map[string]any{"required": true, "content": map[string]any{"application/json": map[string]any{"schema": closed(d.object(reflect.TypeOf(o.order)))}}}
		}
		at = "/" + at
		if paths[at] == nil {
			paths[at] = map[string]any{}
		}
		paths[at].(map[string]any)[strings.ToLower(method)] = op
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "oracle-focus-agent", "version": "1",
			"description": "What the status page shows and orders. Fields are only ever added; see docs/api.md."},
		"servers":    []any{map[string]any{"url": strings.TrimSuffix(apiPath, "/")}},
		"paths":      paths,
		"components": map[string]any{"schemas": d.schemas, "securitySchemes": map[string]any{"bearer": map[string]any{"type": "http", "scheme": "bearer"}, "basic": map[string]any{"type": "http", "scheme": "basic"}}},
		"security":   []any{map[string]any{}, map[string]any{"bearer": []any{}}, map[string]any{"basic": []any{}}},
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(doc); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// comments reads what the types of a directory say of themselves.
func (d *describer) comments(dir string) {
	files, err := os.ReadDir(dir)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path.Join(dir, f.Name()), nil, parser.ParseComments)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, decl := range file.Decls {
			g, ok := decl.(*ast.GenDecl)
			if !ok || g.Tok != token.TYPE {
				continue
			}
			for _, spec := range g.Specs {
				s := spec.(*ast.TypeSpec)
				name := file.Name.Name + "." + s.Name.Name
				d.docs[name] = oneLine(g.Doc.Text())
				if fields, ok := s.Type.(*ast.StructType); ok {
					for _, field := range fields.Fields.List {
						for _, n := range field.Names {
							d.docs[name+"."+n.Name] = oneLine(field.Doc.Text() + " " + field.Comment.Text())
						}
					}
				}
			}
		}
	}
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

func (d *describer) of(t reflect.Type, doc string) map[string]any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return described(map[string]any{"type": "string", "format": "date-time"}, doc)
	case reflect.TypeFor[messages.Day]():
		return described(map[string]any{"type": "string", "pattern": `^(\d{4}-\d{2}-\d{2})?$`}, doc)
	}
	if words := enum(t); words != nil {
		return described(map[string]any{"type": "string", "enum": words}, doc)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return d.of(t.Elem(), doc)
	case reflect.String:
		return described(map[string]any{"type": "string"}, doc)
	case reflect.Bool:
		return described(map[string]any{"type": "boolean"}, doc)
	case reflect.Int, reflect.Int32, reflect.Int64:
		return described(map[string]any{"type": "integer"}, doc)
	case reflect.Uint64:
		return described(map[string]any{"type": "integer", "minimum": 0}, doc)
	case reflect.Float64:
		return described(map[string]any{"type": "number"}, doc)
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return described(map[string]any{"type": "string", "contentEncoding": "base64"}, doc)
		}
		return described(map[string]any{"type": "array", "items": d.of(t.Elem(), "")}, doc)
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return described(map[string]any{"type": "object"}, doc)
		}
		return described(map[string]any{"type": "object", "additionalProperties": d.of(t.Elem(), "")}, doc)
	case reflect.Struct:
		name := regexp.MustCompile(`^web\.`).ReplaceAllString(t.String(), "")
		name = strings.NewReplacer(".", "_").Replace(name)
		if _, ok := d.schemas[name]; !ok {
			d.schemas[name] = nil // a type may hold itself
			d.schemas[name] = described(d.object(t), d.docs[t.String()])
		}
		return described(map[string]any{"$ref": "#/components/schemas/" + name}, doc)
	}
	d.t.Fatalf("%v has no schema", t)
	return nil
}

// object is the schema of a struct, with the fields of those that it embeds.
func (d *describer) object(t reflect.Type) map[string]any {
	properties, required := map[string]any{}, []string{}
	d.fields(t, properties, &required)
	s := map[string]any{"type": "object", "properties": properties}
	if slices.Sort(required); len(required) > 0 {
		s["required"] = required
	}
	return s
}

func (d *describer) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if f.Anonymous && name == "" {
			d.fields(f.Type, properties, required)
			continue
		}
		if name == "-" || !f.IsExported() {
			continue
		}
		if name == "" {
			d.t.Errorf("%v.%s has no name in JSON", t, f.Name)
		}
		properties[name] = d.of(f.Type, d.docs[t.String()+"."+f.Name])
		if options == "" {
			*required = append(*required, name)
		}
	}
}

// closed is an object that must have no other fields. Answers may get some.
func closed(s map[string]any) map[string]any {
	s["additionalProperties"] = false
	return s
}

func described(s map[string]any, doc string) map[string]any {
	if doc != "" {
		s["description"] = doc
	}
	return s
}

// enum are the words of a type that has no others.
func enum(t reflect.Type) (words []any) {
	add := func(all ...any) []any {
		for _, w := range all {
			words = append(words, fmt.Sprint(w))
		}
		return words
	}
	switch t {
	case reflect.TypeFor[VerdictState]():
		return add(IsFailing, IsPaused, IsBehind, IsStarting, IsWorking, IsCurrent)
	case reflect.TypeFor[FileState]():
		for _, s := range FileStates() {
			add(s)
		}
	case reflect.TypeFor[Window]():
		for _, w := range Windows() {
			add(w)
		}
	case reflect.TypeFor[JobState]():
		return add(JobRunning, JobDone, JobFailed)
	case reflect.TypeFor[State]():
		return add(OK, Pending, Failing)
	case reflect.TypeFor[report.State]():
		for _, s := range report.States() {
			add(s)
		}
	}
	return words
}

// A path that is there, asked by another method, is no path that is missing.
func TestAnotherMethodIsToldWhichOneToUse(t *testing.T) {
	t.Parallel()
	r := newRoom()
	h := newAPI(r, r, nil)
	for name := range operations() {
		method, path, _ := strings.Cut(name, " ")
		for _, other := range []string{"GET", "POST", "PUT", "DELETE"} {
			if other == method {
				continue
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(other, apiPath+strings.NewReplacer("{day}", "2026-11-14", "{id}", "7").Replace(path), nil))
			if w.Code != http.StatusMethodNotAllowed || !strings.HasPrefix(w.Header().Get("Allow"), method) || !strings.Contains(w.Body.String(), "use "+method) {
				t.Errorf("%s %s: %d, Allow %q: %s", other, path, w.Code, w.Header().Get("Allow"), w.Body)
			}
		}
	}
	if len(r.ordered) != 0 {
		t.Errorf("that ordered %v", r.ordered)
	}
}
