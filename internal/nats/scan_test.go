package nats_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	natsgo "github.com/nats-io/nats.go"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// scanEnv makes the test binary the scanner that TestScanAtScale measures.
const scanEnv = "NATS_TEST_SCAN"

// A shape is the bucket of a measurement: as many reports on each day.
type shape struct {
	Objects int
	Days    int
	Last    messages.Day
}

func (s shape) perDay() int            { return (s.Objects + s.Days - 1) / s.Days }
func (s shape) day(i int) messages.Day { return s.Last.Add(1 - s.Days + i/s.perDay()) }

// object is the i-th report as the listing tells it.
func (s shape) object(i int, day messages.Day) messages.Object {
	at, _ := time.Parse(time.DateOnly, string(day))
	at = at.Add(30*time.Hour + time.Duration(i%s.perDay())*time.Millisecond)
	var sum [16]byte
	binary.BigEndian.PutUint64(sum[8:], uint64(i))
	return messages.Object{
		Name: simulator.Prefix + day.Folder() + basename(i), Size: 200 << 10,
		ETag: fmt.Sprintf("%08x-6f9e-4a55-9a0e-%012x", i, i), MD5: base64.StdEncoding.EncodeToString(sum[:]),
		Created: at, Modified: at,
	}
}

func basename(i int) string { return fmt.Sprintf("%016d-00001.csv.gz", 1_000_002_103_533+i) }

// source is the same bucket for the simulator, which generates what it lists.
func (s shape) source() func(i int) simulator.Object {
	days := make([]messages.Day, s.Days)
	for i := range days {
		days[i] = s.day(i * s.perDay())
	}
	content := simulator.Random(1, 200<<10)
	return func(i int) simulator.Object {
		o := s.object(i, days[i/s.perDay()])
		return simulator.Object{Name: o.Name, Content: content, Created: o.Created, Modified: o.Modified, ETag: o.ETag, MD5: o.MD5, NoCRC32C: true}
	}
}

// record is that of the i-th report once it was delivered, with what is looked at by default.
func (s shape) record(i int) (key string, value []byte, err error) {
	day := s.day(i)
	o := s.object(i, day)
	value, err = messages.Record{
		Status: messages.StatusCopied, Object: o, Worker: "host-1/3", Trace: "4TWPLQ6RAXYZ", At: o.Created.Add(time.Hour),
		Copy: &messages.FileCopied{
			Key: "focus/" + string(day) + "_" + basename(i), ETag: `"9b2cf535f27731c974343645a3985328"`, Size: o.Size,
			CRC32C: "4waSgw==", Verified: messages.ByMD5, How: messages.HowCopied, At: o.Created.Add(time.Hour), Seconds: 0.125,
			Statistics: &messages.Statistics{
				Gzip: messages.GzipValid, Members: 1, Bytes: 2 << 20, Rows: 1234, First: o.Created.Add(-30 * time.Hour), Last: o.Created.Add(-6 * time.Hour), Accounts: 1, Services: 12,
				Sums: []messages.Sum{{Period: string(day[:7]), Currency: "USD", Billed: "123.456789", Effective: "123.456789"}},
			},
		},
	}.Encode()
	return messages.RecordKey("main", messages.Report{Day: day, Basename: basename(i)}), value, err
}

// A scanOrder is what the process that is measured is told.
type scanOrder struct {
	Shape                             shape
	NATS, OCI, Config, Bucket, Naming string
	Rounds                            int
	Profile                           string // a directory; empty: none
}

// A phase is one thing that was measured, in each round.
type phase struct {
	Seconds []float64
	// CPU is of the scanner, Servers of the process that plays server and bucket.
	CPU, Servers []float64
	// Live is the largest heap that a collection found to be in use, Heap with what was
	// not collected yet, in bytes.
	Live, Heap uint64
}

// A scanReport is what it answers.
type scanReport struct {
	// Listing is the listing alone, page after page; Together with as many days at once
	// as the scan lists.
	Listing, Together, Scan phase
	RSS                     int // at the end, in KiB
}

// TestScanAtScale measures a scan that finds nothing new: a scanner in a process of its
// own, with a server and a bucket in this one. SCAN_OBJECTS says how many are known,
// SCAN_DAYS over how many days, SCAN_ROUNDS how often, SCAN_LATENCY how long a listing
// takes beside its work, and SCAN_PROFILE where profiles go.
func TestScanAtScale(t *testing.T) {
	sizes := os.Getenv("SCAN_OBJECTS")
	if sizes == "" {
		t.Skip("a measurement: make bench-scan")
	}
	days, err := strconv.Atoi(cmp.Or(os.Getenv("SCAN_DAYS"), "365"))
	if err != nil {
		t.Fatal(err)
	}
	for size := range strings.SplitSeq(sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(size, func(t *testing.T) { measureScan(t, shape{n, days, messages.DayOf(time.Now()).Add(-2)}) })
	}
}

func measureScan(t *testing.T, s shape) {
	w := newWorld(t, time.Minute, natstest.Listen(), func(o *server.Options) { o.JetStreamMaxStore = 64 << 30 })
	fillShape(t, w, s)
	sim, err := simulator.New(simulator.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	sim.Source.Generate(s.Objects, s.source())
	if d, err := time.ParseDuration(os.Getenv("SCAN_LATENCY")); err == nil {
		sim.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Latency(d)})
	}
	config, err := sim.WriteOCIConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stop, err := profiling(profile(os.Getenv("SCAN_PROFILE"), "servers"))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	rounds, _ := strconv.Atoi(cmp.Or(os.Getenv("SCAN_ROUNDS"), "3"))
	printScan(s, runScanner(t, scanOrder{
		Shape: s, NATS: w.srv.Running().ClientURL(), OCI: sim.OCIURL, Config: config, Bucket: sim.OCIBucket, Naming: sim.Namespace,
		Rounds: rounds, Profile: os.Getenv("SCAN_PROFILE"),
	}))
}

func fillShape(t *testing.T, w *world, s shape) {
	t.Helper()
	nc := w.conn.NATS()
	for i := range s.Objects {
		key, value, err := s.record(i)
		if err != nil {
			t.Fatal(err)
		}
		msg := natsgo.NewMsg("$KV." + w.assets.State.Name + "." + key)
		msg.Data = value
		if i%500 == 499 || i == s.Objects-1 { // answered after all before it
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			_, err = nc.RequestMsgWithContext(ctx, msg)
			cancel()
		} else {
			err = nc.PublishMsg(msg)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// runScanner has a process of its own do what is measured.
func runScanner(t *testing.T, o scanOrder) (r scanReport) {
	t.Helper()
	order, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	var out bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = append(os.Environ(), scanEnv+"="+string(order)), &out, os.Stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("the scanner: %v", err)
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("the scanner answered %q: %v", out.String(), err)
	}
	return r
}

func printScan(s shape, r scanReport) {
	fmt.Printf("%d objects of %d days, medians of %d rounds:\n", s.Objects, s.Days, len(r.Scan.Seconds))
	for _, p := range []struct {
		name string
		phase
	}{{"listing alone, one page after the other", r.Listing}, {"listing alone, several days at once", r.Together}, {"idle scan", r.Scan}} {
		fmt.Printf("  %-40s %7.2f s (%.2f × the listing, %.2f × at once)  %6.2f s of CPU, the servers %6.2f s  %4d MiB live  %4d MiB of heap  %.2f\n", p.name,
			median(p.Seconds), median(p.Seconds)/median(r.Listing.Seconds), median(p.Seconds)/median(r.Together.Seconds), median(p.CPU), median(p.Servers), p.Live>>20, p.Heap>>20, p.Seconds)
	}
	fmt.Printf("  the scanner's process took %d MiB of memory at most\n", r.RSS>>10)
}

func median(all []float64) float64 {
	s := slices.Sorted(slices.Values(all))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// scanProcess is the process that is measured.
func scanProcess(order string) error {
	var o scanOrder
	if err := json.Unmarshal([]byte(order), &o); err != nil {
		return err
	}
	ctx := context.Background()
	client, err := oci.Open(oci.Options{ConfigFile: o.Config, Namespace: o.Naming, Bucket: o.Bucket, Prefix: simulator.Prefix, Endpoint: o.OCI, Connections: 3})
	if err != nil {
		return err
	}
	defer client.Close()
	conn, err := nats.Connect(ctx, nats.Options{URLs: []string{o.NATS}, Name: "scanner/measured"})
	if err != nil {
		return err
	}
	defer conn.Close()
	ledger, err := conn.Ledger(ctx, messages.Define("focus", "main", 1, time.Minute).State, "main")
	if err != nil {
		return err
	}
	var r scanReport
	for range o.Rounds {
		err = errors.Join(
			r.Listing.measure("", func() error { return listAlone(ctx, client, o.Shape, 1) }),
			r.Together.measure(profile(o.Profile, "listing"), func() error { return listAlone(ctx, client, o.Shape, 4) }),
			r.Scan.measure(profile(o.Profile, "scan"), func() error { return scanIdle(ctx, client, ledger, o.Shape) }),
		)
		if err != nil {
			return err
		}
	}
	r.RSS = highWater()
	return json.NewEncoder(os.Stdout).Encode(r)
}

func profile(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name+".cpu")
}

// listAlone reads and decodes all pages, in as many listings at once, and looks at nothing.
func listAlone(ctx context.Context, client *oci.Client, s shape, parts int) error {
	var seen atomic.Int64
	errs := make([]error, parts)
	var all sync.WaitGroup
	for part := range parts {
		from, end := simulator.Prefix+s.Last.Add(1-s.Days+s.Days*part/parts).Folder(), simulator.Prefix+s.Last.Add(1-s.Days+s.Days*(part+1)/parts).Folder()
		all.Go(func() {
			for o, err := range client.List(ctx, from) {
				if err != nil || o.Name >= end {
					errs[part] = err
					return
				}
				seen.Add(1)
			}
		})
	}
	all.Wait()
	if n := int(seen.Load()); n != s.Objects {
		return errors.Join(append(errs, fmt.Errorf("%d objects were listed, want %d", n, s.Objects))...)
	}
	return nil
}

// scanIdle is one scan of everything, as the first one after a start is.
func scanIdle(ctx context.Context, client *oci.Client, ledger *nats.Ledger, s shape) error {
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		return err
	}
	sc := scanner.Scanner{
		Lister: client, Ledger: ledger, Marks: noMarks{}, Publisher: noQueue{}, Forgetter: ledger, Retention: 10 * 365 * 24 * time.Hour,
		Route: "main", Rules: messages.Rules{Prefix: simulator.Prefix, MaxSize: 5 << 30, KeyPrefix: "focus/", Naming: naming},
		Since: s.Last.Add(1 - s.Days), Lookback: 35, Log: slog.New(slog.DiscardHandler),
	}
	st, err := sc.Scan(ctx)
	if err != nil || st.Done != s.Objects || !st.Sweep {
		return fmt.Errorf("the scan found %+v: %w", st, cmp.Or(err, errors.New("not all is done")))
	}
	return nil
}

// noMarks is a ledger in which no scan has left its marks: each is a sweep.
type noMarks struct{}

func (noMarks) Read(context.Context, string) ([]byte, uint64, error) { return nil, 0, nil }
func (noMarks) Write(context.Context, string, []byte, uint64) (uint64, error) {
	return 1, nil
}

// noQueue takes nothing: an idle scan publishes nothing.
type noQueue struct{}

func (noQueue) Publish(_ context.Context, _ messages.Lane, m messages.FileDiscovered) (bool, error) {
	return false, errors.New(m.Object.Name + " is delivered, and was to be queued")
}

// measure adds a round of f.
func (p *phase) measure(profile string, f func() error) error {
	runtime.GC()
	ctx, cancel := context.WithCancel(context.Background())
	var watching sync.WaitGroup
	watching.Go(func() { p.watch(ctx) })
	stop, err := profiling(profile)
	if err != nil {
		cancel()
		return err
	}
	cpu, servers, started := cpuTime(), parentTime(), time.Now()
	err = f()
	p.Seconds = append(p.Seconds, time.Since(started).Seconds())
	p.CPU, p.Servers = append(p.CPU, cpuTime()-cpu), append(p.Servers, parentTime()-servers)
	stop()
	cancel()
	watching.Wait()
	return err
}

// watch samples the heap until ctx ends.
func (p *phase) watch(ctx context.Context) {
	samples := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			metrics.Read(samples)
			p.Live, p.Heap = max(p.Live, samples[0].Value.Uint64()), max(p.Heap, samples[1].Value.Uint64())
		}
	}
}

func profiling(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// cpuTime is what this process has used, in seconds.
func cpuTime() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// parentTime is what the parent has used, in seconds.
func parentTime() float64 { return processTime(os.Getppid()) }

// processTime is what a process has used, in seconds; 0 where the system does not tell.
func processTime(pid int) float64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), ") ")
	f := strings.Fields(rest)
	user, _ := strconv.Atoi(f[11])
	system, _ := strconv.Atoi(f[12])
	return float64(user+system) / 100 // always, on Linux
}

// highWater is the most memory that this process had, in KiB; 0 where the system does not
// tell. The figure of getrusage would be that of the parent before it became this one.
func highWater() (kib int) {
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "VmHWM:")
	_, _ = fmt.Sscan(rest, &kib)
	return kib
}
