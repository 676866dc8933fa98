package web

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"path"
	"strings"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

//go:embed templates/*.html assets/*
var pageFiles embed.FS

// A page is what a browser sees: HTML that needs nothing from elsewhere and works without
// a script.
type page struct {
	view      View
	actions   Actions
	templates map[string]*template.Template
	assets    map[string]asset
	version   string // of the assets: their names never stand for other bytes
}

// newPage is the status page. Whoever comes here has proven who they are, came from this
// page where they change something, and is named by [ActorOf]; a is nil-safe to call in
// read-only mode, where each action is a *Problem.
func newPage(v View, a Actions) http.Handler {
	p := &page{view: v, actions: a}
	p.assets, p.version = loadAssets()
	p.templates = loadTemplates(p.version)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.overview)
	mux.HandleFunc("GET /days/{day}", p.day)
	mux.HandleFunc("GET /files", p.files)
	mux.HandleFunc("GET /files/{name...}", p.file)
	mux.HandleFunc("GET /activity", p.activity)
	mux.HandleFunc("GET /actions/{action}", p.form)
	mux.HandleFunc("POST /actions/{action}", p.act)
	mux.HandleFunc("GET /report", p.report)
	mux.HandleFunc("GET /assets/{name}", p.asset)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/assets/current.svg", http.StatusFound)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		p.problem(w, r, NewProblem(http.StatusNotFound, "there is no page "+r.URL.Path, "begin at the overview"))
	})
	return mux
}

// A frame is what every page has around its own part.
type frame struct {
	Title   string // without the state
	Section string // of the navigation
	Summary Summary
	// Still: the visitor without a script does not want the page to load anew.
	Still bool
	// Form: it holds what somebody types. It never loads anew by itself, which would take
	// that away, and after a refusal lead to the same form about all files.
	Form bool
	// Here is the address of the page itself, and Again the one that toggles Still.
	Here, Again string
}

// frame reads what every page shows. A summary that cannot be read is shown as such.
func (p *page) frame(r *http.Request, section, title string) frame {
	f := frame{Title: title, Section: section, Here: r.URL.RequestURI()}
	s, err := p.view.Summary(r.Context())
	if err != nil {
		s.Verdict = Verdict{State: IsFailing, Sentence: "The state of the route is not known: " + err.Error()}
	}
	f.Summary = s
	q := r.URL.Query()
	if f.Still = q.Get("refresh") == "off"; f.Still {
		q.Del("refresh")
	} else {
		q.Set("refresh", "off")
	}
	f.Again = r.URL.EscapedPath() + "?" + q.Encode()
	return f
}

// Badge is what the title begins with, so that a tab in the background tells the state.
func (f frame) Badge() string {
	switch n := f.Summary.Numbers.Failed; {
	case n > 0:
		return "(" + number(n) + "!) "
	case f.Summary.Verdict.State == IsFailing, f.Summary.Verdict.State == IsBehind:
		return "(!) "
	case f.Summary.Verdict.State == IsPaused:
		return "(paused) "
	}
	return ""
}

// Icon is the name of the favicon that tells the state.
func (f frame) Icon() string { return iconOf(f.Summary.Verdict.State) }

func iconOf(s VerdictState) string {
	switch s {
	case IsFailing:
		return "failing"
	case IsBehind:
		return "behind"
	case IsPaused:
		return "paused"
	case IsStarting, IsWorking:
		return "working"
	}
	return "current"
}

// show renders a page. It is written only once it is whole.
func (p *page) show(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	var out bytes.Buffer
	if err := p.templates[name].ExecuteTemplate(&out, "base.html", data); err != nil {
		http.Error(w, "the page could not be made: "+err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	send(w, r, status, out.Bytes())
}

// send compresses what is worth it: a calendar is long, and very regular.
func send(w http.ResponseWriter, r *http.Request, status int, body []byte) {
	w.Header().Add("Vary", "Accept-Encoding")
	if len(body) < 1024 || !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		w.WriteHeader(status)
		_, _ = w.Write(body) // a visitor who left needs no answer
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	w.WriteHeader(status)
	z := gzip.NewWriter(w)
	_, _ = z.Write(body)
	_ = z.Close()
}

// problem shows an error with what to do about it.
func (p *page) problem(w http.ResponseWriter, r *http.Request, err error) {
	problem := asProblem(err)
	p.show(w, r, problem.Status, "problem.html", struct {
		frame
		Problem *Problem
	}{p.frame(r, "", problem.Title), problem})
}

// asProblem is err as one; what is no Problem is a fault of the agent or of its queue.
func asProblem(err error) *Problem {
	if problem, ok := errors.AsType[*Problem](err); ok {
		return problem
	}
	return NewProblem(http.StatusInternalServerError, err.Error(), "try again; the log of the agent tells more")
}

func (p *page) activity(w http.ResponseWriter, r *http.Request) {
	trail, err := p.view.Trail(r.Context())
	if err != nil {
		p.problem(w, r, err)
		return
	}
	jobs, err := p.view.Jobs(r.Context())
	if err != nil {
		p.problem(w, r, err)
		return
	}
	f := p.frame(r, "activity", "Activity")
	data := struct {
		frame
		Jobs  []Job
		Job   *Job // the one that was asked for
		Trail Trail
	}{frame: f, Jobs: jobs, Trail: trail}
	for i := range jobs {
		if number(jobs[i].ID) == r.URL.Query().Get("job") {
			data.Job = &jobs[i]
		}
	}
	p.show(w, r, http.StatusOK, "activity.html", data)
}

func (p *page) files(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	filter := Filter{
		State: FileState(q.Get("state")), Day: messages.Day(q.Get("day")), Cause: messages.Class(q.Get("cause")),
		Text: q.Get("text"), After: q.Get("after"),
	}
	found, err := p.view.Files(r.Context(), filter)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	next := r.URL.Query()
	next.Set("after", found.Next)
	p.show(w, r, http.StatusOK, "files.html", struct {
		frame
		Filter Filter
		Found  FilesPage
		Next   string
		States []FileState
		Causes []messages.Class
	}{p.frame(r, "files", "Files"), filter, found, "/files?" + next.Encode(), FileStates(), messages.Classes()})
}

func (p *page) file(w http.ResponseWriter, r *http.Request) {
	found, err := p.view.File(r.Context(), r.PathValue("name"))
	if err != nil {
		p.problem(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "file.html", struct {
		frame
		File   FilePage
		Proofs []proof
	}{p.frame(r, "files", report.Shown(path.Base(found.Object))), found, proofs(found)})
}

// A proof holds what the source declares against what was delivered.
type proof struct {
	What, Declared, Delivered string
	// Same is false where there is nothing to compare.
	Same, Compared bool
}

func proofs(f FilePage) []proof {
	o, c := f.Record.Object, f.Record.Copy
	if c == nil {
		c = &messages.FileCopied{}
	}
	size := ""
	if f.Record.Copy != nil {
		size = grouped(c.Size) + " bytes"
	}
	all := []proof{
		{What: "Size", Declared: grouped(o.Size) + " bytes", Delivered: size},
		{What: "CRC32C", Declared: o.CRC32C, Delivered: c.CRC32C},
		{What: "MD5", Declared: o.MD5, Delivered: c.MD5},
	}
	for i := range all {
		all[i].Compared = all[i].Declared != "" && all[i].Delivered != ""
		all[i].Same = all[i].Declared == all[i].Delivered
	}
	return all
}

func (p *page) day(w http.ResponseWriter, r *http.Request) {
	day := messages.Day(r.PathValue("day"))
	if !day.Valid() {
		p.problem(w, r, NewProblem(http.StatusNotFound, string(day)+" is no day of the calendar", "choose one in the calendar of the overview"))
		return
	}
	found, err := p.view.Day(r.Context(), day)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	p.show(w, r, http.StatusOK, "day.html", struct {
		frame
		Day DayPage
	}{p.frame(r, "overview", "Report day "+longDay(day)), found})
}

func loadTemplates(version string) map[string]*template.Template {
	all := map[string]*template.Template{}
	base := template.Must(template.New("base.html").Funcs(words(version)).ParseFS(pageFiles, "templates/base.html", "templates/parts.html"))
	for _, name := range []string{"overview.html", "day.html", "files.html", "file.html", "activity.html", "action.html", "problem.html"} {
		all[name] = template.Must(template.Must(base.Clone()).ParseFS(pageFiles, "templates/"+name))
	}
	return all
}
