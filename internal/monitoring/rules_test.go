package monitoring

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"

	"oracle-focus-agent/messages"
)

// A ruleFile is a file of rules, as far as it is looked at here.
type ruleFile struct {
	Groups []struct {
		Rules []rule
	}
}

type rule struct {
	Record, Alert, Expr, For string
	Labels, Annotations      map[string]string
}

func parseYAML(t *testing.T, file string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, file)), into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func rules(t *testing.T) (all []rule) {
	t.Helper()
	var f ruleFile
	parseYAML(t, "deploy/monitoring/rules.yml", &f)
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func alerts(t *testing.T) map[string]rule {
	t.Helper()
	out := map[string]rule{}
	for _, r := range rules(t) {
		if r.Alert != "" {
			out[r.Alert] = r
		}
	}
	return out
}

// withRecords is what is known once the rules record their series.
func withRecords(t *testing.T) vocabulary {
	t.Helper()
	v := known(t)
	for _, r := range rules(t) {
		if r.Record != "" {
			v[r.Record] = &family{labels: map[string]map[string]bool{"route": {}}}
		}
	}
	return v
}

func TestRulesSpeakOfWhatIsExported(t *testing.T) {
	v := withRecords(t)
	seen := map[string]bool{}
	for _, r := range rules(t) {
		id := r.Record + r.Alert
		if seen[id] {
			t.Errorf("%s is there twice", id)
		}
		seen[id] = true
		for _, text := range v.objections(r.Expr) {
			t.Errorf("%s: %s", id, text)
		}
		for _, text := range r.Annotations {
			for _, m := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(text, -1) {
				if !v.label(m[1]) {
					t.Errorf("%s: its annotations speak of a label %s", id, m[1])
				}
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("%d rules were read", len(seen))
	}
}

func TestEveryAlertHasARunbook(t *testing.T) {
	all := alerts(t)
	for name, r := range all {
		if !regexp.MustCompile(`^Focus([A-Z][a-z]+)+$`).MatchString(name) {
			t.Errorf("%s: alerts are written in CamelCase and begin with Focus", name)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", name, s)
		}
		for _, a := range []string{"summary", "description"} {
			if !strings.HasSuffix(r.Annotations[a], ".") {
				t.Errorf("%s: its %s is no sentence: %q", name, a, r.Annotations[a])
			}
		}
		path := "docs/runbooks/" + name + ".md"
		if r.Annotations["runbook_url"] != path {
			t.Errorf("%s: its runbook_url is %q", name, r.Annotations["runbook_url"])
			continue
		}
		var headings []string
		for line := range strings.Lines(read(t, path)) {
			if strings.HasPrefix(line, "#") {
				headings = append(headings, strings.TrimSpace(line))
			}
		}
		if want := []string{"# " + name, "## Meaning", "## Impact", "## Diagnosis", "## Mitigation"}; !slices.Equal(headings, want) {
			t.Errorf("%s has the headings %q, want %q", path, headings, want)
		}
	}
	files, err := filepath.Glob(root + "docs/runbooks/*.md")
	if err != nil || len(files) != len(all) {
		t.Errorf("%d runbooks for %d alerts (%v)", len(files), len(all), err)
	}
	for _, f := range files {
		if _, ok := all[strings.TrimSuffix(filepath.Base(f), ".md")]; !ok {
			t.Errorf("%s is of no alert", f)
		}
	}
}

func TestEveryInvariantIsExplained(t *testing.T) {
	text := read(t, "docs/runbooks/FocusInvariantViolated.md")
	for _, i := range messages.Invariants() {
		if !strings.Contains(text, "| `"+string(i)+"` |") {
			t.Errorf("the runbook does not explain %s", i)
		}
	}
}

// A unitFile is a file of promtool's unit tests.
type unitFile struct {
	RuleFiles []string `yaml:"rule_files"`
	Tests     []struct {
		InputSeries []struct{ Series string } `yaml:"input_series"`
		Alerts      []struct {
			Alert    string `yaml:"alertname"`
			Expected []any  `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

func unitFiles() []string { return []string{"rules_test.yml", "rules_days_test.yml"} }

// TestEachAlertIsSeenFiringAndNotFiring, on series that look like those of the
// program: that they do what they say is for promtool to find.
func TestEachAlertIsSeenFiringAndNotFiring(t *testing.T) {
	v := known(t)
	fires, rests := map[string]bool{}, map[string]bool{}
	for _, name := range unitFiles() {
		var f unitFile
		parseYAML(t, "deploy/monitoring/"+name, &f)
		for _, test := range f.Tests {
			for _, s := range test.InputSeries {
				for _, text := range v.seriesObjections(s.Series) {
					t.Errorf("%s: %s: %s", name, s.Series, text)
				}
			}
			for _, a := range test.Alerts {
				if len(a.Expected) > 0 {
					fires[a.Alert] = true
				} else {
					rests[a.Alert] = true
				}
			}
		}
	}
	all := slices.Sorted(maps.Keys(alerts(t)))
	for what, seen := range map[string]map[string]bool{"firing": fires, "not firing": rests} {
		if got := slices.Sorted(maps.Keys(seen)); !slices.Equal(got, all) {
			t.Errorf("%s are %v, of %v", what, got, all)
		}
	}
}

// seriesObjections is stricter than objections: a series has all labels of its metric.
func (v vocabulary) seriesObjections(series string) []string {
	q := parse(series)
	if len(q.selectors) != 1 {
		return []string{"it is no series"}
	}
	s := q.selectors[0]
	f := v[s.metric]
	if f == nil || s.metric == "up" {
		return nilIf(s.metric == "up", "nobody exports "+s.metric)
	}
	out := v.objections(series)
	for label := range f.labels {
		if !slices.ContainsFunc(s.matchers, func(m matcher) bool { return m.label == label }) {
			out = append(out, "it lacks the label "+label)
		}
	}
	return out
}

func nilIf(ok bool, text string) []string {
	if ok {
		return nil
	}
	return []string{text}
}

// The jobs that FocusTargetDown speaks of are those of prometheus.yml.
func TestPrometheusAsksTheRoles(t *testing.T) {
	const file = "deploy/monitoring/prometheus.yml"
	var config struct {
		RuleFiles []string `yaml:"rule_files"`
		Jobs      []struct {
			Name string `yaml:"job_name"`
			DNS  []struct {
				Names []string
				Type  string
				Port  int
			} `yaml:"dns_sd_configs"`
		} `yaml:"scrape_configs"`
	}
	parseYAML(t, file, &config)
	if !slices.Equal(config.RuleFiles, []string{"rules.yml"}) {
		t.Errorf("rule files %v", config.RuleFiles)
	}
	down := parse(alerts(t)["FocusTargetDown"].Expr).selectors[0].matchers[0].value
	var jobs []string
	for _, j := range config.Jobs {
		jobs = append(jobs, j.Name)
		if len(j.DNS) != 1 || !slices.Equal(j.DNS[0].Names, []string{j.Name}) || j.DNS[0].Type != "A" || j.DNS[0].Port != 9464 {
			t.Errorf("job %s asks %+v", j.Name, j.DNS)
		}
	}
	if want := append(jobs, "oracle-focus-agent"); strings.Join(want, "|") != down {
		t.Errorf("jobs %v, FocusTargetDown knows %s", jobs, down)
	}
	if !strings.Contains(read(t, file), "#- job_name: oracle-focus-agent\n") {
		t.Errorf("%s does not show the job of `run`", file)
	}
}
