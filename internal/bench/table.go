package main

import (
	"fmt"
	"slices"
	"strings"
)

const oneCopier = "1 copier"

// A table is what a workload took, as medians over all rounds, in Markdown.
type table struct {
	workload     workload
	rounds, void int
	short        bool
	load         string
	ways         []way
	all          runs
}

func (t table) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%v; rounds: %d; load before: %s\n\n", t.workload, t.rounds, t.load)
	if t.void > 0 {
		fmt.Fprintf(&b, "%d runs failed or are void, and do not count.\n\n", t.void)
	}
	if !t.short {
		t.figures(&b)
	}
	t.ratios(&b)
	return b.String()
}

func (t table) figures(b *strings.Builder) {
	fmt.Fprintln(b, "| | seconds | files/s | MB/s | CPU s/GiB | CPU s/1,000 files | peak MiB |"+t.natsColumn(" NATS CPU s/1,000 files |"))
	fmt.Fprintln(b, "|---|--:|--:|--:|--:|--:|--:|"+t.natsColumn("--:|"))
	files, bytes := float64(t.workload.Files), float64(t.workload.bytes())
	for _, way := range t.ways {
		median := func(of func(run) float64) float64 { return middle(each(t.all[way.name], of)) }
		seconds := median(func(r run) float64 { return r.wall.Seconds() })
		if seconds == 0 {
			continue // none counts
		}
		cpu := median(func(r run) float64 { return r.cpu.Seconds() })
		fmt.Fprintf(b, "| %s | %.2f | %.1f | %.1f | %.2f | %.2f | %.0f |%s\n", way.name, seconds, files/seconds, bytes/seconds/1e6,
			cpu/(bytes/gib), cpu/files*1000, median(func(r run) float64 { return float64(r.peak) })/mib,
			t.natsColumn(fmt.Sprintf(" %.2f |", median(func(r run) float64 { return r.nats.Seconds() })/files*1000)))
	}
	fmt.Fprintln(b)
}

func (t table) natsColumn(text string) string {
	if len(t.workload.Fleets) == 0 {
		return ""
	}
	return text
}

// ratios are formed round by round: how much faster one was than the other, and how much
// of the processors' time it took for the same.
func (t table) ratios(b *strings.Builder) {
	fast, slow := []string{theAgent}, []string{rcloneBest, rcloneDefault, thePipe}
	if len(t.workload.Fleets) > 0 {
		fast, slow = nil, []string{oneCopier}
		for _, way := range t.ways[1:] {
			fast = append(fast, way.name)
		}
	}
	for _, f := range fast {
		for _, s := range slow {
			speed := quotients(t.all[s], t.all[f], func(r run) float64 { return r.wall.Seconds() })
			cpu := quotients(t.all[f], t.all[s], func(r run) float64 { return r.cpu.Seconds() })
			if len(speed) > 0 {
				fmt.Fprintf(b, "- %s / %s: speed %s, CPU %s\n", f, s, spread(speed), spread(cpu))
			}
		}
	}
}

// quotients are those of the rounds in which both count.
func quotients(over, under []run, of func(run) float64) (all []float64) {
	for i := range min(len(over), len(under)) {
		if over[i].wall > 0 && under[i].wall > 0 {
			all = append(all, of(over[i])/of(under[i]))
		}
	}
	return all
}

func spread(values []float64) string {
	return fmt.Sprintf("%.2f (%.2f to %.2f)", middle(values), slices.Min(values), slices.Max(values))
}

func each(all []run, of func(run) float64) (values []float64) {
	for _, r := range all {
		if r.wall > 0 {
			values = append(values, of(r))
		}
	}
	return values
}

// middle is the median.
func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
