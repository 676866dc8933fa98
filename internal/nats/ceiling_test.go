package nats_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
)

// atOnce is how many files are on their way at the same time.
const atOnce = 16

// A ceiling is how fast files pass queue and ledger where nothing is copied: no
// installation on this machine copies more files per second.
type ceiling struct {
	files  int
	server string // program of an external server; empty: the one in the process alone
}

// steps are those of a file, in their order.
func steps() []string { return []string{"next", "read", "write", "ack"} }

// A passage is what was measured while all files passed.
type passage struct {
	wall           time.Duration
	each           [4]atomic.Int64 // nanoseconds of each step, of all slots
	client, server float64         // seconds of processors; of both together where they are one process
}

// TestCeiling prints what each file takes at the queue, in the process and outside, and
// how often the disk confirms a page. QUEUE_FILES and QUEUE_ROUNDS say how much, QUEUE_SERVER
// names a nats-server. Without them it is small, and shows that each file passes once.
func TestCeiling(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits for the disk; run without -short")
	}
	c := ceiling{files: numberOf(t, "QUEUE_FILES", 2*atOnce), server: os.Getenv("QUEUE_SERVER")}
	ways := map[string]func(t *testing.T) *passage{"in the process": c.embedded, "a process of its own": c.external}
	names := []string{"in the process", "a process of its own"}
	if c.server == "" {
		names = names[:1]
	}
	all := map[string][]*passage{}
	var alone, together []float64
	for range numberOf(t, "QUEUE_ROUNDS", 1) {
		alone, together = append(alone, fsyncRate(t, 1)), append(together, fsyncRate(t, atOnce))
		for _, name := range names {
			all[name] = append(all[name], ways[name](t))
		}
	}
	fmt.Printf("\n%d files, %d at once, %d rounds; %d cores; fsyncs of 4 KiB per second: %.0f by one, %.0f by %d at once\n\n",
		c.files, atOnce, len(alone), runtime.NumCPU(), median(alone), median(together), atOnce)
	fmt.Println("| NATS | files/s | ms per file: " + strings.Join(steps(), " | ") + " | CPU ms/file: worker | server |\n|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, name := range names {
		fmt.Println(c.row(name, all[name]))
	}
}

func numberOf(t testing.TB, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: it must be a number above 0", name, os.Getenv(name))
	}
	return n
}

// row is the medians of all rounds; a step with its share of the time of a file.
func (c ceiling) row(name string, all []*passage) string {
	middle := func(of func(*passage) float64) float64 {
		var values []float64
		for _, p := range all {
			values = append(values, of(p))
		}
		return median(values)
	}
	perFile := float64(c.files) * 1e6 // from nanoseconds to milliseconds of one file
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | %.0f |", name, middle(func(p *passage) float64 { return float64(c.files) / p.wall.Seconds() }))
	sum := middle(func(p *passage) float64 { return p.sum() })
	for i := range steps() {
		took := middle(func(p *passage) float64 { return float64(p.each[i].Load()) })
		fmt.Fprintf(&b, " %.2f (%.0f %%) |", took/perFile, 100*took/sum)
	}
	server := "in it"
	if s := middle(func(p *passage) float64 { return p.server }); s > 0 {
		server = fmt.Sprintf("%.2f", s*1e3/float64(c.files))
	}
	fmt.Fprintf(&b, " %.2f | %s |", middle(func(p *passage) float64 { return p.client })*1e3/float64(c.files), server)
	return b.String()
}

func (p *passage) sum() (nanoseconds float64) {
	for i := range p.each {
		nanoseconds += float64(p.each[i].Load())
	}
	return nanoseconds
}

// embedded has the server that `run` has.
func (c ceiling) embedded(t *testing.T) *passage {
	dir := t.TempDir()
	srv, conn := embedded(t, dir)
	defer os.RemoveAll(dir) // before the next round
	defer srv.Shutdown()
	defer conn.Close()
	return c.pass(t, conn, func() float64 { return 0 })
}

// external has a nats-server beside, which calls fsync before each answer, too.
func (c ceiling) external(t *testing.T) *passage {
	dir := t.TempDir()
	defer os.RemoveAll(dir)
	address := fmt.Sprintf("127.0.0.1:%d", natstest.FreePorts(t, 1)[0])
	config := filepath.Join(dir, "nats.conf")
	text := fmt.Sprintf("listen: %q\njetstream { store_dir: %q, sync_interval: always, max_file_store: 8G }\n", address, filepath.Join(dir, "nats"))
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), c.server, "--config", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = cmd.Process.Kill(), cmd.Wait() }()
	conn := dialled(t, "nats://"+address)
	defer conn.Close()
	return c.pass(t, conn, func() float64 { return processTime(cmd.Process.Pid) })
}

// dialled returns when the server takes connections.
func dialled(t *testing.T, url string) *nats.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		conn, err := nats.Connect(ctx, nats.Options{URLs: []string{url}, Name: "ceiling"})
		if err == nil {
			return conn
		}
		if ctx.Err() != nil {
			t.Fatal(errors.Join(err, ctx.Err()))
		}
	}
}

// pass queues all files, and then measures them on their way through.
func (c ceiling) pass(t *testing.T, conn *nats.Conn, server func() float64) *passage {
	f := newFileSteps(t, conn)
	p := &passage{}
	var left atomic.Int64
	c.slots(func() {
		for left.Add(1) <= int64(c.files) {
			f.publish()
		}
	})
	left.Store(0)
	client, outside, begun := cpuTime(), server(), time.Now()
	c.slots(func() {
		for left.Add(1) <= int64(c.files) {
			p.file(f)
		}
	})
	p.wall, p.client, p.server = time.Since(begun), cpuTime()-client, server()-outside
	st, err := conn.Status(t.Context(), f.a)
	if err != nil || st.Messages != 0 || st.Records != uint64(c.files) {
		t.Fatalf("of %d files there are %d records, and %d are left in the queue: %v", c.files, st.Records, st.Messages, err)
	}
	return p
}

func (c ceiling) slots(work func()) {
	var all sync.WaitGroup
	for range atOnce {
		all.Go(work)
	}
	all.Wait()
}

// file is the way of one file that is queued, without the copy.
func (p *passage) file(f *fileSteps) {
	at := time.Now()
	step := func(i int) {
		now := time.Now()
		p.each[i].Add(int64(now.Sub(at)))
		at = now
	}
	d := f.next()
	step(0)
	key, value := f.copied()
	revision := f.read(key)
	step(1)
	f.write(key, value, revision)
	step(2)
	f.ack(d)
	step(3)
}

// fsyncRate is how often per second the disk confirms a page, to so many who ask at once,
// each for a file of its own.
func fsyncRate(t *testing.T, writers int) float64 {
	dir := t.TempDir()
	const long = 300 * time.Millisecond
	var n atomic.Int64
	var all sync.WaitGroup
	begun := time.Now()
	for i := range writers {
		all.Go(func() {
			f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			for page := make([]byte, 4<<10); time.Since(begun) < long; n.Add(1) {
				_, err := f.Write(page)
				if err = errors.Join(err, f.Sync()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	return float64(n.Load()) / time.Since(begun).Seconds()
}
