package monitoring

import (
	"encoding/json"
	"strings"
	"testing"
)

// A dashboard is the JSON of Grafana, as far as it is looked at here.
type dashboard struct {
	UID           string
	Title         string
	SchemaVersion int
	Panels        []struct {
		ID         int
		Type       string
		Title      string
		Datasource struct{ UID string }
		GridPos    struct{ X, Y, W, H int }
		Targets    []struct {
			RefID      string
			Expr       string
			Datasource struct{ UID string }
		}
	}
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/monitoring/dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions are those of all panels, by panel, as Prometheus gets them.
func (d dashboard) expressions() map[string][]string {
	fill := strings.NewReplacer("$__rate_interval", "5m", "$job", ".+", "$instance", ".+")
	out := map[string][]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			out[p.Title] = append(out[p.Title], fill.Replace(target.Expr))
		}
	}
	return out
}

func TestDashboardSpeaksOfWhatIsExported(t *testing.T) {
	d, v := readDashboard(t), known(t)
	for title, all := range d.expressions() {
		for _, expr := range all {
			for _, text := range v.objections(expr) {
				t.Errorf("panel %q: %s", title, text)
			}
			for _, s := range parse(expr).selectors {
				if len(s.matchers) < 2 || s.matchers[0].label != "job" || s.matchers[1].label != "instance" {
					t.Errorf("panel %q: %s is not chosen by job and instance", title, s.metric)
				}
			}
		}
	}
}

func TestDashboardIsWhole(t *testing.T) {
	d := readDashboard(t)
	if d.UID != "oracle-focus-agent" || d.Title == "" || d.SchemaVersion < 39 {
		t.Errorf("uid %q, title %q, schema %d", d.UID, d.Title, d.SchemaVersion)
	}
	ids, titles, filled := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	var rows []string
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" || titles[p.Title] {
			t.Errorf("panel %d %q: its id or title is taken", p.ID, p.Title)
		}
		ids[p.ID], titles[p.Title] = true, true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := filled[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("panel %q lies over %q, or beside the page", p.Title, other)
				}
				filled[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 || p.Datasource.UID != "${datasource}" {
			t.Errorf("panel %q has %d expressions on %q", p.Title, len(p.Targets), p.Datasource.UID)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q: the expression %s is there twice, or on another source", p.Title, target.RefID)
			}
			refs[target.RefID] = true
		}
	}
	if got := strings.Join(rows, " · "); got != "Is data fresh? · Flow · Errors · Workers · Dependencies" {
		t.Errorf("rows %s", got)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
		if v.Type == "query" && !strings.HasPrefix(v.Definition, "label_values(focus_build_info") {
			t.Errorf("variable %s asks %s", v.Name, v.Definition)
		}
	}
	if got := strings.Join(variables, " "); got != "datasource job instance" {
		t.Errorf("variables %s", got)
	}
}

// Grafana finds the source and the dashboard where docker-compose.yml mounts them.
func TestGrafanaIsProvisioned(t *testing.T) {
	var sources struct {
		Datasources []struct{ Type, URL string }
	}
	parseYAML(t, "deploy/monitoring/grafana/datasources/prometheus.yml", &sources)
	if s := sources.Datasources; len(s) != 1 || s[0].Type != "prometheus" || s[0].URL != "http://prometheus:9090" {
		t.Errorf("sources %+v", s)
	}
	var dashboards struct {
		Providers []struct {
			Type    string
			Options struct{ Path string }
		}
	}
	parseYAML(t, "deploy/monitoring/grafana/dashboards/focus.yml", &dashboards)
	if p := dashboards.Providers; len(p) != 1 || p[0].Type != "file" || p[0].Options.Path != "/var/lib/grafana/dashboards" {
		t.Errorf("providers %+v", p)
	}
	compose := read(t, "docker-compose.yml")
	for _, mount := range []string{
		"./deploy/monitoring/prometheus.yml:/etc/prometheus/prometheus.yml:ro", "./deploy/monitoring/rules.yml:/etc/prometheus/rules.yml:ro",
		"./deploy/monitoring/grafana:/etc/grafana/provisioning:ro", "./deploy/monitoring/dashboard.json:/var/lib/grafana/dashboards/",
	} {
		if !strings.Contains(compose, "- "+mount) {
			t.Errorf("docker-compose.yml does not mount %s", mount)
		}
	}
}
