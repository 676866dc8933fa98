// Package live is the frame of `test --live`: questions that no document answers,
// asked of a real tenancy and a real path in steps, and a report of the answers that
// can be shared. The adapters bring the questions; this package asks for consent,
// keeps the order and lets nothing into the report that names a customer.
//
// It guarantees that a step that writes does not begin without consent, and that
// whatever a step wrote is named: as removed, or as left behind.
package live

import (
	"context"
	"slices"
	"time"
)

// A Verdict is the answer to a question.
type Verdict string

// The verdicts. Unknown is the honest one: not asked, or not to be told from the answer.
const (
	Yes     Verdict = "yes"
	No      Verdict = "no"
	Unknown Verdict = "unknown"
)

// Of is the verdict of something that was seen.
func Of(seen bool) Verdict {
	if seen {
		return Yes
	}
	return No
}

// A Question is one thing that no document tells.
type Question struct {
	ID   string
	Text string
	// Yes and No are what this program does about the answer; it is careful enough for
	// both while it is Unknown.
	Yes, No string
	// Needed is set where this program cannot work with a No.
	Needed bool
	// Right is set where a No means that credentials or a right are missing.
	Right bool
}

// Ask is a question to which either answer will do.
func Ask(id, text, yes, no string) Question { return Question{ID: id, Text: text, Yes: yes, No: no} }

// Must is a question to which only a Yes will do.
func Must(id, text, yes, no string) Question {
	return Question{ID: id, Text: text, Yes: yes, No: no, Needed: true}
}

// Right is a question after a right that this program needs.
func Right(id, text, yes, no string) Question {
	return Question{ID: id, Text: text, Yes: yes, No: no, Needed: true, Right: true}
}

// A Step asks several questions by a few requests.
type Step struct {
	Name  string // as --yes-to names it
	About string // what it does, for people
	// Writes says what it writes; empty for a step that only reads and needs no consent.
	Writes    string
	Questions []Question
	// Run asks. It answers what it can: the rest stays unknown.
	Run func(context.Context, *Notes)
}

// Consent decides about a step that writes. An error ends the test.
type Consent func(context.Context, Step) (bool, error)

// Run takes the steps in their order, and ends early with the context or where consent
// cannot be asked for. The report holds what was answered until then.
func Run(ctx context.Context, steps []Step, consent Consent, secrets []string) ([]Result, error) {
	var results []Result
	for _, s := range steps {
		allowed := s.Writes == ""
		if !allowed {
			var err error
			if allowed, err = consent(ctx, s); err != nil {
				return results, err
			}
		}
		n := &Notes{secrets: secrets, answers: map[string]Answer{}}
		if allowed {
			s.Run(ctx, n)
		}
		results = append(results, n.result(s, allowed))
		if ctx.Err() != nil {
			return results, context.Cause(ctx)
		}
	}
	return results, nil
}

// Notes are what a step found out.
type Notes struct {
	secrets []string
	answers map[string]Answer
	wrote   []Written
}

// An Answer is a question with its answer, as the report shows it.
type Answer struct {
	ID       string  `json:"id"`
	Question string  `json:"question"`
	Verdict  Verdict `json:"answer"`
	// Evidence is what the other side answered: status codes, names of headers, numbers.
	Evidence string `json:"evidence"`
	// Means is what this program does about it.
	Means string `json:"means"`
	// Lacks is set where this program cannot work with that answer.
	Lacks bool `json:"lacks,omitempty"`
	// Right is set with Lacks where it is credentials or a right.
	Right bool `json:"right,omitempty"`
}

// Answer notes the answer to one of the step's questions.
func (n *Notes) Answer(id string, v Verdict, evidence string) {
	n.answers[id] = Answer{Verdict: v, Evidence: conceal(evidence, n.secrets)}
}

// The fates of what was written.
const (
	Removed    = "removed"
	LeftBehind = "left behind"
	Unclear    = "unclear" // an answer was lost
)

// A Written is something that a step wrote.
type Written struct {
	// Name is that of an object or an upload, below the path.
	Name string `json:"name"`
	Fate string `json:"fate"`
	// Why it was left behind.
	Why string `json:"why,omitempty"`
}

// Wrote notes what became of something that was written, or may have been. What
// happened several times in the same way is noted once.
func (n *Notes) Wrote(name, fate, why string) {
	w := Written{conceal(name, n.secrets), fate, conceal(why, n.secrets)}
	if !slices.Contains(n.wrote, w) {
		n.wrote = append(n.wrote, w)
	}
}

// A Result is what a step came to.
type Result struct {
	Step    string    `json:"step"`
	About   string    `json:"about"`
	Writes  string    `json:"writes,omitempty"`
	Asked   bool      `json:"asked"` // false: no consent
	Answers []Answer  `json:"answers"`
	Wrote   []Written `json:"wrote,omitempty"`
}

const (
	noConsent  = "not asked: no consent to this step"
	notReached = "not reached"
	eitherWay  = "nothing is built on it"
)

// result puts the answers into the order of the questions. A question without an
// answer has one: unknown.
func (n *Notes) result(s Step, asked bool) Result {
	r := Result{Step: s.Name, About: s.About, Writes: s.Writes, Asked: asked, Wrote: n.wrote}
	for _, q := range s.Questions {
		a, ok := n.answers[q.ID]
		switch {
		case !asked:
			a = Answer{Verdict: Unknown, Evidence: noConsent}
		case !ok:
			a = Answer{Verdict: Unknown, Evidence: notReached}
		}
		a.ID, a.Question = q.ID, q.Text
		a.Means = map[Verdict]string{Yes: q.Yes, No: q.No, Unknown: eitherWay}[a.Verdict]
		a.Lacks = q.Needed && a.Verdict == No
		a.Right = q.Right && a.Lacks
		r.Answers = append(r.Answers, a)
	}
	return r
}

// A Report is what is shared.
type Report struct {
	Schema      int       `json:"schema"`
	Version     string    `json:"version"` // of this program
	At          time.Time `json:"at"`
	Source      string    `json:"source"` // how it is reached, without names
	Destination string    `json:"destination"`
	Complete    bool      `json:"complete"` // false: it was ended before the last step
	Steps       []Result  `json:"steps"`
}

// Lacks are the questions whose answers this program cannot work with, and whether one
// of them is after credentials or a right.
func (r Report) Lacks() (ids []string, right bool) {
	for _, s := range r.Steps {
		for _, a := range s.Answers {
			if a.Lacks {
				ids, right = append(ids, a.ID), right || a.Right
			}
		}
	}
	return ids, right
}

// LeftBehind is what was written and is not known to be removed.
func (r Report) LeftBehind() []Written {
	var left []Written
	for _, s := range r.Steps {
		left = slices.Concat(left, slices.DeleteFunc(slices.Clone(s.Wrote), func(w Written) bool { return w.Fate == Removed }))
	}
	return left
}
