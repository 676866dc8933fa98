// Package monitoring holds what is shipped for Prometheus and Grafana against what
// the program exports, as tests.
package monitoring

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/web"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

var update = flag.Bool("update", false, "rewrite the table of docs/metrics.md")

// root is the module's directory, seen from here.
const root = "../../"

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(root + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A family is one metric, as processes export it once everything has happened.
type family struct {
	kind, help string
	roles      []string
	labels     map[string]map[string]bool // values by name
}

// exported are the metrics of the three roles, by name.
func exported(t *testing.T) map[string]*family {
	t.Helper()
	all := map[string]*family{}
	for _, r := range []struct {
		name string
		web.Role
	}{
		{"run", web.Role{Scans: true, Copies: true}},
		{"scanner", web.Role{Scans: true}},
		{"copier", web.Role{Copies: true}},
	} {
		families, err := busy(r.Role).Gatherer().Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range families {
			known := all[f.GetName()]
			if known == nil {
				known = &family{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp(), labels: map[string]map[string]bool{}}
				all[f.GetName()] = known
			}
			known.roles = append(known.roles, r.name)
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					known.value(l.GetName(), l.GetValue())
				}
			}
		}
	}
	return all
}

func (f *family) value(label, value string) {
	if f.labels[label] == nil {
		f.labels[label] = map[string]bool{}
	}
	f.labels[label][value] = true
}

// busy are the metrics of a process to which everything has happened.
func busy(role web.Role) *web.Metrics {
	now := time.Now()
	m := web.NewMetrics(role, web.About{Version: "v1", Revision: "abc", Route: "main", Interval: func() time.Duration { return time.Minute }}, web.Sources{
		Queue: func(context.Context) (web.Queue, error) {
			return web.Queue{OldestLive: now, OldestBackfill: now}, nil
		},
		InFlight: func() int { return 0 },
		Gate:     func() copier.GateState { return copier.GateState{} },
		Parts:    func() (int, int) { return 0, 1 },
		Slots:    func() (int, int) { return 1, 1 },
		Share:    func() (float64, float64) { return 0, 0 },
	})
	if role.Scans {
		m.Scanned(scanner.Stats{Sweep: true}, nil)
		m.Uploads(1, now)
		m.Days(map[string]int{"complete": 1, "late": 1, "partial": 1, "missing": 1, "not-expected-yet": 1, "before-us": 1})
		m.Verified(messages.Verification{Started: now})
	}
	if role.Copies {
		m.Unnoted(1, true)
		m.Copier(copier.Event{
			Kind: copier.Finished, Report: messages.Report{Day: messages.DayOf(now)}, Discovered: now,
			Record: messages.Record{At: now, Copy: &messages.FileCopied{How: messages.HowCopied}},
		})
	}
	return m
}

// TestTheTableOfMetricsIsTheProgram: docs/metrics.md has a row for each metric of
// ours, as the program describes it.
func TestTheTableOfMetricsIsTheProgram(t *testing.T) {
	all := exported(t)
	var rows []string
	for name, f := range all {
		if strings.HasPrefix(name, "focus_") {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", name, f.kind, f.describe(), f.whose(), f.help))
		}
	}
	slices.Sort(rows)
	for _, name := range []string{"go_goroutines", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"} {
		if f := all[name]; f == nil || len(f.roles) != 3 {
			t.Errorf("%s is not exported by every role", name)
		}
	}
	const file = "docs/metrics.md"
	text := read(t, file)
	before, table, after := cutTable(text)
	want := strings.Join(rows, "\n") + "\n"
	if table == want {
		return
	}
	if *update {
		if err := os.WriteFile(root+file, []byte(before+want+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the table of %s is not what the program exports; run `go test ./internal/monitoring -update`", file)
	for _, row := range rows {
		if !strings.Contains(table, row+"\n") {
			t.Errorf("it lacks\n%s", row)
		}
	}
	for row := range strings.Lines(table) {
		if !strings.Contains(want, row) {
			t.Errorf("it has\n%s", row)
		}
	}
}

// cutTable finds the rows of metrics.
func cutTable(text string) (before, table, after string) {
	head := "|---|---|---|---|---|\n"
	i := strings.Index(text, head)
	if i < 0 {
		return text, "", ""
	}
	before, after = text[:i+len(head)], text[i+len(head):]
	for strings.HasPrefix(after, "| ") {
		row, rest, _ := strings.Cut(after, "\n")
		table, after = table+row+"\n", rest
	}
	return before, table, after
}

// describe lists the labels, with their values where these are few and fixed.
func (f *family) describe() string {
	var out []string
	for label, values := range f.labels {
		text := "`" + label + "`"
		if n := len(values); n > 1 && n <= 5 {
			var each []string
			for v := range values {
				each = append(each, v)
			}
			slices.Sort(each)
			text += " (" + strings.Join(each, ", ") + ")"
		}
		out = append(out, text)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (f *family) whose() string {
	if len(f.roles) == 3 {
		return "all"
	}
	return strings.Join(f.roles, ", ")
}
