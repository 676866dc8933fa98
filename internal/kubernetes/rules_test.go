package kubernetes

import (
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestTheRulesAreThoseOfTheStack: the chart can only read its own directory.
func TestTheRulesAreThoseOfTheStack(t *testing.T) {
	rules := read(t, "deploy/monitoring/rules.yml")
	same(t, "deploy/helm/files/rules.yml", rules)
	var want map[string]any
	if err := yaml.Unmarshal([]byte(rules), &want); err != nil {
		t.Fatal(err)
	}
	got := only(t, usual(t, "prometheusRule.enabled=true"), "PrometheusRule", "monitoring")
	if !reflect.DeepEqual(got.at("spec"), want) {
		t.Error("the PrometheusRule says something else than deploy/monitoring/rules.yml")
	}
}

// TestRunbooksAreLinks where there is a base for them.
func TestRunbooksAreLinks(t *testing.T) {
	got := only(t, render(t, "-f", chart+"/ci/oke.yaml"), "PrometheusRule", "monitoring")
	links := 0
	for _, rule := range got.list("spec", "groups", 0, "rules") {
		if rule.text("alert") == "" {
			continue
		}
		links++
		if link := rule.text("annotations", "runbook_url"); !strings.HasPrefix(link, "https://git.example.com/focus/docs/runbooks/Focus") {
			t.Errorf("%s: %s", rule.text("alert"), link)
		}
	}
	if links < 10 {
		t.Errorf("%d alerts", links)
	}
}
