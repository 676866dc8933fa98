package main

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"oracle-focus-agent/internal/simulator"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// open starts servers, and returns how the pipe copies between them.
func open(t *testing.T, w workload) (*servers, func(context.Context) error) {
	t.Helper()
	s, err := newServers(w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.close)
	reach, err := s.open(order{Workload: w, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(reach)
	if err != nil {
		t.Fatal(err)
	}
	return s, func(ctx context.Context) error { return runPipe(ctx, string(text)) }
}

func TestPipeCopiesEverything(t *testing.T) {
	s, pipe := open(t, workload{Files: 1100, Size: 3000}) // more than a page of names
	if err := pipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.outcome().fault(); err != nil {
		t.Error(err)
	}
	if err := s.reset(); err != nil {
		t.Fatal(err)
	}
	if o := s.outcome(); o.Objects != 0 || o.Commits != 0 {
		t.Errorf("after a reset there are %d objects of %d commits", o.Objects, o.Commits)
	}
}

// TestRunsThatAreVoid: whoever does not copy everything, once and byte for byte, has no time.
func TestRunsThatAreVoid(t *testing.T) {
	s, pipe := open(t, workload{Files: 3, Size: 3000})
	if s.outcome().fault() == nil {
		t.Error("nothing was copied, and the run is not void")
	}
	for range 2 {
		if err := pipe(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s.outcome().fault() == nil {
		t.Error("every file was copied twice, and the run is not void")
	}
	other := s.source.Objects()[1]
	other.Content = simulator.Random(77, other.Content.Size())
	s.source.Add(other)
	if err := s.reset(); err != nil {
		t.Fatal(err)
	}
	if err := pipe(t.Context()); err != nil {
		t.Fatal(err)
	}
	if o := s.outcome(); o.fault() == nil || o.Equal != 2 {
		t.Errorf("other bytes were copied in one of three files, and it says %+v", o)
	}
}

// TestLine: what passes takes a round trip at least, and its bytes take the time that the
// rate gives them.
func TestLine(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := echo.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		io.Copy(conn, conn)
	}()
	t.Cleanup(func() { echo.Close(); <-done })
	const rtt, rate, size = 30 * time.Millisecond, 1_000_000, 100_000
	l, err := newLine(echo.Addr().String(), rtt, rate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.close)
	begun := time.Now()
	conn, err := net.Dial("tcp", l.address())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pass(t, conn, "a")
	if took := time.Since(begun); took < 2*rtt {
		t.Errorf("connection and a byte there and back took %v, less than two round trips of %v", took, rtt)
	}
	begun = time.Now()
	pass(t, conn, strings.Repeat("b", size))
	if took, least := time.Since(begun), rtt+size*time.Second/rate; took < least {
		t.Errorf("%d bytes at %d per second took %v, less than %v", size, rate, took, least)
	}
}

// pass sends a text and reads its echo.
func pass(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(conn, back); err != nil {
		t.Fatal(err)
	}
	if string(back) != text {
		t.Error("the line changes bytes")
	}
}

func TestTable(t *testing.T) {
	w := workload{Name: "B", Files: 1000, Size: mib}
	took := func(seconds ...float64) (all []run) {
		for _, s := range seconds {
			all = append(all, run{usage: usage{wall: time.Duration(s * float64(time.Second)), cpu: 2 * time.Second, peak: 64 * mib}})
		}
		return all
	}
	got := table{
		workload: w, rounds: 4, void: 1, load: "0.10", ways: []way{{name: theAgent}, {name: rcloneBest}},
		all: runs{theAgent: took(4, 1, 2, 0), rcloneBest: took(4, 4, 4, 4)},
	}.String()
	const want = `
B: 1,000 × 1.0 MiB; rounds: 4; load before: 0.10

1 runs failed or are void, and do not count.

| | seconds | files/s | MB/s | CPU s/GiB | CPU s/1,000 files | peak MiB |
|---|--:|--:|--:|--:|--:|--:|
| agent | 2.00 | 500.0 | 524.3 | 2.05 | 2.00 | 64 |
| rclone, best | 4.00 | 250.0 | 262.1 | 2.05 | 2.00 | 64 |

- agent / rclone, best: speed 2.00 (1.00 to 4.00), CPU 1.00 (1.00 to 1.00)
`
	if got != want {
		t.Errorf("the table is\n%s\nwant\n%s", got, want)
	}
}

func TestChosen(t *testing.T) {
	some, err := chosen(workloads(false), "G,A")
	if err != nil || len(some) != 2 || some[0].Name != "G" || some[1].Name != "A" {
		t.Errorf("chosen G,A: %v, %v", some, err)
	}
	if _, err := chosen(workloads(true), "Z"); err == nil {
		t.Error("there is no workload Z, and nobody says so")
	}
}
