package monitoring

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A selector is a metric as an expression asks for it.
type selector struct {
	metric   string
	matchers []matcher
}

type matcher struct{ label, op, value string }

// A query is what an expression needs from others.
type query struct {
	selectors []selector
	labels    []string // of by, on and their like
	bad       string   // what could not be read
}

var tokens = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'[^']*'|[a-zA-Z_:][a-zA-Z0-9_:]*|\$[a-zA-Z_]+|[0-9][0-9a-zA-Z.]*|=~|!~|!=|==|>=|<=|[^\s]`)

var name = regexp.MustCompile(`^[a-zA-Z_:]`)

// parse reads an expression as far as names go: that it is one at all is for
// promtool to say.
func parse(expr string) (q query) {
	t := tokens.FindAllString(expr, -1)
	at := func(i int) string {
		if i < len(t) {
			return t[i]
		}
		return ""
	}
	for i := 0; i < len(t); i++ {
		switch word := t[i]; {
		case !name.MatchString(word) || slices.Contains([]string{"and", "or", "unless", "bool", "offset"}, word):
		case slices.Contains([]string{"by", "without", "on", "ignoring", "group_left", "group_right"}, word):
			if at(i+1) != "(" {
				continue
			}
			for i += 2; at(i) != ")" && i < len(t); i++ {
				if t[i] != "," {
					q.labels = append(q.labels, t[i])
				}
			}
		case at(i+1) == "(": // a function
		case slices.Contains([]string{"sum", "min", "max", "count", "avg"}, word): // by (…) follows
		case at(i+1) == "{":
			s := selector{metric: word}
			for i += 2; at(i) != "}"; i += 3 {
				if at(i) == "," {
					i++
				}
				if i+2 >= len(t) {
					q.bad = "the braces of " + word + " do not close"
					return q
				}
				s.matchers = append(s.matchers, matcher{t[i], t[i+1], strings.Trim(t[i+2], `"'`)})
			}
			q.selectors = append(q.selectors, s)
		default:
			q.selectors = append(q.selectors, selector{metric: word})
		}
	}
	return q
}

func TestParse(t *testing.T) {
	q := parse(`sum by (le, side) (rate(focus_a_bucket{job=~"$job", x="}"}[$__rate_interval])) > 3e2 or on (job) group_left (route) max(b) unless up == 0 and time() - c offset 5m`)
	var names []string
	for _, s := range q.selectors {
		names = append(names, s.metric)
	}
	if got := strings.Join(names, " "); got != "focus_a_bucket b up c" {
		t.Errorf("metrics %q", got)
	}
	if got := strings.Join(q.labels, " "); got != "le side job route" {
		t.Errorf("labels %q", got)
	}
	if m := q.selectors[0].matchers; len(m) != 2 || m[0] != (matcher{"job", "=~", "$job"}) || m[1] != (matcher{"x", "=", "}"}) {
		t.Errorf("matchers %v", m)
	}
	if q := parse(`a{b="c"`); q.bad == "" {
		t.Error("open braces are no fault")
	}
}

// A vocabulary is what expressions may speak of.
type vocabulary map[string]*family

// known is what the program exports, what histograms are made of, and what
// Prometheus adds.
func known(t *testing.T) vocabulary {
	t.Helper()
	all := vocabulary{"up": {labels: map[string]map[string]bool{}}}
	for name, f := range exported(t) {
		if f.kind != "histogram" {
			all[name] = f
			continue
		}
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			all[name+suffix] = f
		}
	}
	return all
}

func (v vocabulary) label(name string) bool {
	if slices.Contains([]string{"job", "instance", "le"}, name) {
		return true
	}
	for _, f := range v {
		if f.labels[name] != nil {
			return true
		}
	}
	return false
}

// objections is what is wrong with an expression, if anything.
func (v vocabulary) objections(expr string) (out []string) {
	q := parse(expr)
	if q.bad != "" {
		out = append(out, q.bad)
	}
	if len(q.selectors) == 0 {
		out = append(out, "it asks for no metric")
	}
	for _, l := range q.labels {
		if !v.label(l) {
			out = append(out, "no metric has a label "+l)
		}
	}
	for _, s := range q.selectors {
		f := v[s.metric]
		if f == nil {
			out = append(out, "nobody exports "+s.metric)
			continue
		}
		for _, m := range s.matchers {
			out = append(out, f.objections(s.metric, m)...)
		}
	}
	return out
}

// open are labels whose values are the operator's.
func open(label string) bool {
	return slices.Contains([]string{"job", "instance", "route", "version", "revision", "goversion", "le"}, label)
}

func (f *family) objections(metric string, m matcher) (out []string) {
	if f.labels[m.label] == nil && !slices.Contains([]string{"job", "instance", "le"}, m.label) {
		return []string{metric + " has no label " + m.label}
	}
	if open(m.label) {
		return nil
	}
	for value := range strings.SplitSeq(m.value, "|") {
		if !f.labels[m.label][value] {
			out = append(out, metric+" has no "+m.label+" "+value)
		}
	}
	return out
}

// TestObjections plants mistakes, one of each kind.
func TestObjections(t *testing.T) {
	v := known(t)
	for expr, want := range map[string]string{
		`sum by (how) (rate(focus_copies_total{how="copied", job="x"}[5m]))`:                  "",
		`focus_queue_waiting{lane=~"live|backfill"} > 0`:                                      "",
		`histogram_quantile(0.5, sum by (le) (rate(focus_scan_duration_seconds_bucket[1h])))`: "",
		`focus_copied_total`:                        "nobody exports focus_copied_total",
		`focus_scan_duration_seconds`:               "nobody exports focus_scan_duration_seconds",
		`sum by (lain) (focus_queue_waiting)`:       "no metric has a label lain",
		`focus_queue_waiting{lain="live"}`:          "focus_queue_waiting has no label lain",
		`focus_queue_waiting{lane="life"}`:          "focus_queue_waiting has no lane life",
		`focus_failures_total{class=~"length|wet"}`: "focus_failures_total has no class wet",
		`1 + 1`: "it asks for no metric",
	} {
		if got := strings.Join(v.objections(expr), "; "); got != want {
			t.Errorf("%s: %q, want %q", expr, got, want)
		}
	}
}
