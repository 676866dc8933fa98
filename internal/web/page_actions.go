package web

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"oracle-focus-agent/internal/report"
	"oracle-focus-agent/messages"
)

// An order is an action as it stands on the page before somebody confirms it.
type order struct {
	Name, Title string
	Does        string // what happens, in words
	Verb        string // on the button
	Danger      bool   // cannot be undone
	// Reason: it is asked for, and Must tells that it is not done without one.
	Reason, Must bool
	// Command is the same on the command line.
	Command string
}

// orders are all of them, by the last part of their address.
func orders() map[string]order {
	all := []order{
		{Name: "scan", Title: "Scan now", Verb: "Scan now", Does: "Looks at Oracle's bucket at once instead of waiting for the next scan. What is new is queued and copied.", Command: "oracle-focus-agent sync"},
		{Name: "retry", Title: "Try failed files again", Verb: "Try again", Reason: true, Does: "Each file begins anew, with no failed attempts. What is at the destination stays until the new copy was checked."},
		{Name: "discard", Title: "Give files up for good", Verb: "Give up", Danger: true, Reason: true, Must: true, Does: "The files are not copied any more, and no longer count as failed. They can still be tried again later, and a new version from Oracle is copied by itself."},
		{Name: "backfill", Title: "Bring past days", Verb: "Bring", Reason: true, Does: "Queues the reports of these days behind fresh ones. From then on the installation is responsible for them."},
		{Name: "pause", Title: "Pause all copies", Verb: "Pause", Reason: true, Must: true, Does: "No copier of any host takes another file until somebody resumes. Files that are being copied are finished. Scans go on and queue what they find, so that nothing is lost.", Command: "oracle-focus-agent pause --reason TEXT"},
		{Name: "resume", Title: "Resume copies", Verb: "Resume", Reason: true, Does: "All copiers go on with what was queued.", Command: "oracle-focus-agent resume"},
		{Name: "verify", Title: "Compare Oracle, the ledger and S3", Verb: "Compare", Reason: true, Does: "Lists both sides and compares size and checksum of each file with the ledger. It changes nothing; what differs is shown with what to do."},
		{Name: "report", Title: "Download a report", Verb: "Download", Does: "What became of every report day and every file: transferred, skipped, failed, pending and verified."},
		{Name: "alerts", Title: "Send a test alert", Verb: "Send", Does: "Sends one message by each channel that is configured.", Command: "oracle-focus-agent alerts test"},
	}
	byName := map[string]order{}
	for _, o := range all {
		byName[o.Name] = o
	}
	return byName
}

// An actionPage is an order with what it is about.
type actionPage struct {
	frame
	Order   order
	Problem *Problem // of an attempt before
	// Ready: all is known that a confirmation needs. Else the page asks for the days.
	Ready bool
	// Confirm is the number of files that the order is about, Files the first of them.
	Confirm int
	Bytes   int64
	Files   []FileRow
	// Hidden is what the confirmation repeats.
	Hidden url.Values

	From, To messages.Day
	All      bool
	Backfill *BackfillPreview
	Said     string // the reason that was given before
	Sections []string
	// Today is the last day that a form offers.
	Today messages.Day
}

// form shows an action, with what it would be about, and asks.
func (p *page) form(w http.ResponseWriter, r *http.Request) {
	p.ask(w, r, r.URL.Query(), nil)
}

// ask shows the form of an action; problem is that of an attempt before.
func (p *page) ask(w http.ResponseWriter, r *http.Request, q url.Values, problem *Problem) {
	o, ok := orders()[r.PathValue("action")]
	if !ok {
		p.problem(w, r, NewProblem(http.StatusNotFound, "there is no action "+r.PathValue("action"), "choose one on the overview"))
		return
	}
	f := p.frame(r, "overview", o.Title)
	f.Form = true
	a := actionPage{
		frame: f, Order: o, Problem: problem, Ready: true, Hidden: url.Values{}, Said: q.Get("reason"),
		From: messages.Day(q.Get("from")), To: messages.Day(q.Get("to")), All: q.Get("all") != "", Sections: report.Sections(), Today: messages.DayOf(time.Now()),
	}
	if err := p.preview(r, q, &a); err != nil {
		p.problem(w, r, err)
		return
	}
	status := http.StatusOK
	if problem != nil {
		status = problem.Status
	}
	p.show(w, r, status, "action.html", a)
}

// preview adds what an action would be about.
func (p *page) preview(r *http.Request, q url.Values, a *actionPage) error {
	switch a.Order.Name {
	case "retry", "discard":
		s := selectionOf(q)
		found, err := p.actions.FailedPreview(r.Context(), s)
		if err != nil {
			return err
		}
		a.Confirm, a.Bytes, a.Files = found.Count, found.Bytes, found.Files
		a.Hidden = s.values()
		if !found.Until.IsZero() {
			a.Hidden.Set("until", found.Until.UTC().Format(time.RFC3339Nano))
		}
		a.Order.Command = failedCommand(a.Order.Name, s)
	case "backfill":
		a.Order.Command = fmt.Sprintf("oracle-focus-agent backfill --from %s --to %s", cmp.Or(string(a.From), "DAY"), cmp.Or(string(a.To), "DAY"))
		if a.All {
			a.Order.Command += " --all"
		}
		if a.Ready = a.From != "" && a.To != ""; !a.Ready {
			return nil
		}
		found, err := p.actions.BackfillPreview(r.Context(), BackfillOrder{From: a.From, To: a.To, All: a.All})
		if problem := asProblemOrNil(err); problem != nil && problem.Status < http.StatusInternalServerError {
			a.Ready, a.Problem = false, problem // other days can be chosen
			return nil
		}
		if err != nil {
			return err
		}
		a.Backfill, a.Confirm, a.Bytes = &found, found.Files, found.Bytes
		a.Hidden = url.Values{"from": {string(a.From)}, "to": {string(a.To)}}
		if a.All {
			a.Hidden.Set("all", "yes")
		}
	case "verify":
		a.Order.Command = "oracle-focus-agent verify"
		if a.From != "" {
			a.Order.Command += " --from " + string(a.From) + " --to " + cmp.Or(string(a.To), string(a.From))
		}
	case "report":
		a.Order.Command = "oracle-focus-agent report --from DAY --to DAY -o csv"
	}
	return nil
}

func asProblemOrNil(err error) *Problem {
	if err == nil {
		return nil
	}
	return asProblem(err)
}

// act does what was confirmed, and goes on to what came of it.
func (p *page) act(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		p.problem(w, r, NewProblem(http.StatusBadRequest, "the form could not be read: "+err.Error(), "go back and try again"))
		return
	}
	job, err := p.order(r)
	if err != nil {
		p.ask(w, r, r.PostForm, asProblem(err))
		return
	}
	http.Redirect(w, r, "/activity?job="+number(job.ID), http.StatusSeeOther)
}

func (p *page) order(r *http.Request) (Job, error) {
	ctx, q := r.Context(), r.PostForm
	by := ActorOf(r)
	by.Reason = strings.TrimSpace(q.Get("reason"))
	confirm, _ := strconv.Atoi(q.Get("confirm")) // what is no number confirms none
	days := messages.Range{From: messages.Day(q.Get("from")), To: messages.Day(q.Get("to"))}
	switch r.PathValue("action") {
	case "scan":
		return p.actions.Scan(ctx, by)
	case "retry":
		return p.actions.Retry(ctx, by, FailedOrder{Selection: selectionOf(q), Confirm: confirm})
	case "discard":
		return p.actions.Discard(ctx, by, FailedOrder{Selection: selectionOf(q), Confirm: confirm})
	case "backfill":
		return p.actions.Backfill(ctx, by, BackfillOrder{From: days.From, To: days.To, All: q.Get("all") != "", Confirm: confirm})
	case "pause":
		return p.actions.Pause(ctx, by)
	case "resume":
		return p.actions.Resume(ctx, by)
	case "verify":
		return p.actions.Verify(ctx, by, VerifyOrder{From: days.From, To: days.To, Full: q.Get("scope") == "full"})
	case "alerts":
		return p.actions.TestAlert(ctx, by)
	}
	return Job{}, NewProblem(http.StatusNotFound, "there is no action "+r.PathValue("action"), "choose one on the overview")
}

// selectionOf reads which failed files an order is about.
func selectionOf(q url.Values) Selection {
	s := Selection{Files: q["file"], From: messages.Day(q.Get("from")), To: messages.Day(q.Get("to"))}
	for _, c := range q["cause"] {
		s.Causes = append(s.Causes, messages.Class(c))
	}
	s.Until, _ = time.Parse(time.RFC3339Nano, q.Get("until")) // without one it is about all
	return s
}

func (s Selection) values() url.Values {
	q := url.Values{"file": s.Files}
	for _, c := range s.Causes {
		q.Add("cause", string(c))
	}
	for name, d := range map[string]messages.Day{"from": s.From, "to": s.To} {
		if d != "" {
			q.Set(name, string(d))
		}
	}
	return q
}

// failedCommand is what to type for the same files.
func failedCommand(name string, s Selection) string {
	words := []string{"oracle-focus-agent failed " + name}
	for _, f := range s.Files {
		words = append(words, "'"+report.Shown(strings.ReplaceAll(f, "'", `'\''`))+"'")
	}
	for _, c := range s.Causes {
		words = append(words, "--cause "+string(c))
	}
	if s.From != "" {
		words = append(words, "--from "+string(s.From))
	}
	if s.To != "" {
		words = append(words, "--to "+string(s.To))
	}
	if len(words) == 1 {
		words = append(words, "--all")
	}
	if name == "discard" {
		words = append(words, "--reason TEXT")
	}
	return strings.Join(words, " ")
}

// report sends what `report` prints, as a file.
func (p *page) report(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	o := ReportOrder{
		From: messages.Day(q.Get("from")), To: messages.Day(q.Get("to")), Month: q.Get("month"),
		Format: cmp.Or(q.Get("format"), "csv"), Section: q.Get("section"), ErrorsOnly: q.Get("errors_only") != "",
	}
	kind, err := reportKind(o.Format)
	if err != nil {
		p.problem(w, r, err)
		return
	}
	var out strings.Builder
	if err := p.actions.Report(r.Context(), o, &out); err != nil {
		p.problem(w, r, err)
		return
	}
	name := "focus-report-" + cmp.Or(o.Month, rangeName(o.From, o.To), string(messages.DayOf(time.Now()))) + "." + o.Format
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	send(w, r, http.StatusOK, []byte(out.String()))
}

// rangeName is a range of days as a part of a name; empty where an end is missing.
func rangeName(from, to messages.Day) string {
	switch {
	case from == "" || to == "":
		return ""
	case from == to:
		return string(from)
	}
	return string(from + "-to-" + to)
}
