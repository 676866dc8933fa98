package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// machine says what everything was measured on, and when.
func machine(dir string) (string, error) {
	rate, err := fsyncRate(dir)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %d cores, %s/%s, %s; %s UTC, commit %s; %.0f fsyncs/s of 4 KiB below %s",
		processor(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version(),
		time.Now().UTC().Format("2006-01-02 15:04"), commit(), rate, dir), nil
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown processor"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown processor"
}

// load is how many others want the processors: with more than a little, a run tells more
// about them than about who copies.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(text), " ")
	return first
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// fsyncRate is how often per second the disk of a directory takes a page and says that
// it has it: what the queue waits for, several times for each file.
func fsyncRate(dir string) (perSecond float64, err error) {
	f, err := os.Create(filepath.Join(dir, "fsync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	page := make([]byte, 4<<10)
	begun, n := time.Now(), 0
	for ; time.Since(begun) < time.Second; n++ {
		if _, err := f.Write(page); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, fmt.Errorf("write a page to the disk: %w", err)
		}
	}
	return float64(n) / time.Since(begun).Seconds(), nil
}
