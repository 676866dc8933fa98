//go:build failpoints

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// Reach tells that this process has come to a point, and does not return where it is to
// die there.
func Reach(p Point) { plan()(p) }

// plan is what the environment orders. It is the one state of this package, since the
// points of a process are counted wherever in it they stand.
var plan = sync.OnceValue(func() func(Point) {
	due, err := parse(os.Getenv("OFA_FAILPOINT"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "OFA_FAILPOINT:", err)
		os.Exit(2)
	}
	var mu sync.Mutex
	arrivals := map[Point]int{}
	return func(p Point) {
		mu.Lock()
		defer mu.Unlock()
		arrivals[p]++
		note(os.Getenv("OFA_FAILPOINT_LOG"), p)
		if n, ok := due[p]; ok && arrivals[p] == n {
			die()
		}
	}
})

// parse reads name:n[,name:n]. A name that no point has is an error: a crash that never
// happens must not pass for one that was survived.
func parse(text string) (map[Point]int, error) {
	due := map[Point]int{}
	known := map[Point]bool{}
	for _, p := range Points() {
		known[p] = true
	}
	for entry := range strings.SplitSeq(text, ",") {
		if entry == "" {
			continue
		}
		name, count, _ := strings.Cut(entry, ":")
		n, err := strconv.Atoi(count)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q: write it as name:n, where n counts from 1 and 0 means that nothing happens", entry)
		}
		if !known[Point(name)] {
			return nil, fmt.Errorf("%q is no point; there are %v", name, Points())
		}
		due[Point(name)] = n
	}
	return due, nil
}

// note adds a line. The file is opened each time, since nothing closes it at the end.
func note(path string, p Point) {
	if path == "" {
		return
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, p)
		f.Close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "OFA_FAILPOINT_LOG:", err)
		os.Exit(2)
	}
}

// die is kill -9 of this process by itself.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // until the kernel is there
}
