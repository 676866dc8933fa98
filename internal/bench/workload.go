package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// A workload is files that are to be copied, and the network between.
type workload struct {
	Name  string
	Files int
	Size  int64 // of each file, in bytes
	// RTT and Rate are those of every connection, on both sides: of a network as it is
	// between two clouds. Rate is in bytes per second and direction; 0: as fast as it goes.
	RTT  time.Duration
	Rate int64
	// Fleets are numbers of copiers, each of which copies everything, around a NATS
	// server of its own process; none: the agent copies alone, and others do, too.
	Fleets []int
}

const (
	kib = 1 << 10
	mib = 1 << 20
	gib = 1 << 30
)

// workloads are those of a benchmark. The short ones show ratios, and no more.
func workloads(short bool) []workload {
	wan := func(name string, files int, size int64, fleets ...int) workload {
		return workload{Name: name, Files: files, Size: size, RTT: 80 * time.Millisecond, Rate: 10_000_000, Fleets: fleets}
	}
	if short {
		return []workload{
			{Name: "A", Files: 16, Size: 32 * mib},
			{Name: "B", Files: 1000, Size: 200 * kib},
			{Name: "C", Files: 1000, Size: 4 * kib},
			{Name: "D", Files: 1, Size: 512 * mib},
			wan("E", 200, 200*kib),
			wan("G", 600, 200*kib, 1, 4),
			wan("H", 1, 64*mib),
		}
	}
	return []workload{
		{Name: "A", Files: 16, Size: 256 * mib},
		{Name: "B", Files: 5000, Size: 200 * kib},
		{Name: "C", Files: 20000, Size: 4 * kib},
		{Name: "D", Files: 1, Size: 2 * gib},
		wan("E", 500, 200*kib),
		wan("G", 2000, 200*kib, 1, 2, 4),
		wan("H", 1, 512*mib),
	}
}

// chosen are the workloads of a list of names such as "A,B"; empty: all.
func chosen(all []workload, names string) ([]workload, error) {
	if names == "" {
		return all, nil
	}
	var some []workload
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(all, func(w workload) bool { return w.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("workload %q: there are A, B, C, D, E, G and H", name)
		}
		some = append(some, all[i])
	}
	return some, nil
}

// far tells a large file that goes over a slow network, of which one connection is the limit.
func (w workload) far() bool { return w.Files == 1 && w.RTT > 0 }

func (w workload) bytes() int64 { return int64(w.Files) * w.Size }

func (w workload) String() string {
	text := fmt.Sprintf("%s: %s × %s", w.Name, humanize.Comma(int64(w.Files)), humanize.IBytes(uint64(w.Size)))
	if w.Files == 1 {
		text = fmt.Sprintf("%s: one file of %s", w.Name, humanize.IBytes(uint64(w.Size)))
	}
	if w.RTT > 0 {
		text += fmt.Sprintf(", %v of round trip and %s/s per connection", w.RTT, humanize.Bytes(uint64(w.Rate)))
	}
	return text
}
