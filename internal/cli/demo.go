package cli

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

const (
	demoDays  = 30
	demoFiles = 7
	demoLarge = 33_000 // rows of the one report that needs a multipart upload

	// What --serve shows: a file every six hours, and, so many days ago, a day for which
	// nothing came and one with a file that fails.
	demoSixHours = 4
	demoMissing  = 5 // recent enough that the verdict names it, once the file is repaired
	demoFailing  = 12
)

func (a *app) demoCommand() *cobra.Command {
	var serve bool
	cmd := &cobra.Command{
		Use: "demo", Short: "Show the main job against a simulated OCI and S3, with no account", Args: cobra.NoArgs,
		Example: "  oracle-focus-agent demo\n  oracle-focus-agent demo --serve",
		Long: `Show thirty days of reports travel from a simulated OCI Object Storage through
NATS to a simulated S3 bucket, with a late file, an overwritten file and a few
faults, and compare every object with its source at the end. Everything runs in
this process, on loopback, in a temporary directory.

With --serve the agent goes on, with the days of two months and of this one, of which one
is missing and one has a file that failed and can be repaired, and its status page is at
the address that is printed last.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.demo(cmd.Context(), serve) },
	}
	cmd.Flags().BoolVar(&serve, "serve", false, "keep the agent running on the simulators, with its status page and a new report each minute")
	return cmd
}

// A demo is the simulated world and what was seen in it.
type demo struct {
	*app
	sim   *simulator.Simulation
	days  int // in the source, each with about so many files
	files int
	serve bool
	route *route

	mu      sync.Mutex
	retries int
	by      map[string]int // copies by the rung that verified them
}

func (a *app) demo(ctx context.Context, serve bool) (err error) {
	dir, err := os.MkdirTemp("", "oracle-focus-agent-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d := &demo{app: a, days: demoDays, files: demoFiles, serve: serve, by: map[string]int{}}
	if serve {
		d.days, d.files = history(time.Now()), demoSixHours
	}
	sim, err := simulator.New(simulator.Options{Seed: 2024, Days: d.days, FilesPerDay: d.files})
	if err != nil {
		return err
	}
	defer sim.Close()
	sim.Source.Reports() // makes all reports, so that the first listing need not while it is waited for
	environ, err := environOf(sim, filepath.Join(dir, "oci"))
	if err != nil {
		return err
	}
	// Short waits, so that the faults of the demo cost seconds; all else is as in earnest.
	a.env.Environ = append(environ, "FOCUS_STATE_DIR="+filepath.Join(dir, "state"), "FOCUS_RETRY_INITIAL_DELAY=0.5",
		"FOCUS_LOGGING_LEVEL=WARNING", "FOCUS_AGENT_POLL_INTERVAL=60", "HOME="+dir,
		"FOCUS_AGENT_SINCE="+string(messages.DayOf(time.Now()).Add(1-d.days)))
	a.config = os.DevNull // the user's own configuration has no part in this
	d.sim = sim
	if serve {
		d.skip(time.Now().UTC().AddDate(0, 0, -demoMissing))
	}
	if err := d.show(ctx); err != nil || !serve {
		return err
	}
	return d.goOn(ctx)
}

func (d *demo) show(ctx context.Context) (err error) {
	cfg, naming, err := d.load()
	if err != nil {
		return err
	}
	d.say("OCI Object Storage  %s  %d report days, about %d files each", d.sim.OCIURL, d.days, d.files)
	d.say("   | list           scanner, every interval")
	d.say("NATS JetStream      in this process, synced to disk on every write")
	d.say("   | verify, put    %d copiers", cfg.Agent.MaxConcurrentTransfers)
	d.say("S3                  %s  %s\n", d.sim.S3URL, cfg.S3.BucketPath)
	p := d.progress()
	log, closeLog, err := d.logger(cfg, p.logs())
	if err != nil {
		return err
	}
	defer closeLog()
	d.route = &route{cfg: cfg, naming: naming, log: log}
	defer func() { err = errors.Join(err, d.route.close()) }()
	defer p.end()
	if d.route.unlock, err = lockState(cfg); err != nil {
		return err
	}
	if err := d.route.open(ctx, "demo", change{}); err != nil {
		return err
	}
	return d.acts(ctx, p)
}

// acts are the scenes of the demo.
func (d *demo) acts(ctx context.Context, p *progress) error {
	today := time.Now().UTC()
	large := simulator.ReportName(today.AddDate(0, 0, -3), 1_000_009_000_001, 1)
	d.sim.Source.Add(simulator.Object{Name: large, Content: simulator.LargeReport(7, today.AddDate(0, 0, -3), demoLarge)})
	d.faults()
	total := agent.Summary{}
	for _, act := range []struct {
		title  string
		before func()
	}{
		{"1. First sync. OCI throttles, cuts a body and flips a bit; S3 resets connections.", func() {}},
		{"2. A report comes late, for a day three weeks ago; another one is overwritten.", func() { d.change(today) }},
		{"3. Once more: nothing is left to do.", func() {}},
	} {
		d.say("%s", act.title)
		act.before()
		sum, err := d.route.syncObserved(ctx, d.route.sync(), p, d.observe)
		if err != nil {
			return err
		}
		d.say("   %d discovered: %d transferred, %d skipped, %d failed; %s in %.1f s",
			sum.Discovered, sum.Transferred, sum.Skipped, sum.Failed, humanize.IBytes(uint64(sum.Bytes)), sum.Seconds)
		total.Transferred, total.Failed, total.Bytes, total.Seconds = total.Transferred+sum.Transferred, total.Failed+sum.Failed, total.Bytes+sum.Bytes, total.Seconds+sum.Seconds
	}
	if err := d.close(total); err != nil || !d.serve {
		return err
	}
	return d.failure(ctx, p, today.AddDate(0, 0, -demoFailing))
}

// history is how many days it takes, up to now, for a month that is complete: the last but
// one, since what is odd is of this month or of the last.
func history(now time.Time) int {
	first := time.Date(now.UTC().Year(), now.UTC().Month()-2, 1, 0, 0, 0, 0, time.UTC)
	return int(now.Sub(first)/(24*time.Hour)) + 1
}

// skip takes away all reports of a day, as if nothing had come for it.
func (d *demo) skip(day time.Time) {
	for _, o := range d.sim.Source.Objects() {
		if strings.HasPrefix(o.Name, simulator.Prefix+day.Format("2006/01/02")) {
			d.sim.Source.Remove(o.Name)
		}
	}
}

// failure is a file whose bytes are not what the source declares, as often as it takes
// to give a file up. Whoever tries it again finds it well.
func (d *demo) failure(ctx context.Context, p *progress, day time.Time) error {
	name := simulator.ReportName(day, 1_000_009_000_888, 1)
	d.sim.Source.Add(simulator.Object{Name: name, Content: simulator.FocusReport(101, day, 80)})
	d.sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: name, Times: 3, Do: simulator.FlipBit(40)})
	d.say("\n4. A report whose bytes are not what Oracle declares, three times in a row.")
	sum, err := d.route.syncObserved(ctx, d.route.sync(), p, d.observe)
	if err == nil {
		d.say("   %d discovered: %d failed, and nothing of it became visible", sum.Discovered, sum.Failed)
	}
	return err
}

func (d *demo) faults() {
	oci, s3 := d.sim.OCIFaults, d.sim.S3Faults
	oci.Add(simulator.Rule{Op: "ListObjects", Times: 1, Do: simulator.Status(429, "TooManyRequests")})
	oci.Add(simulator.Rule{Op: "GetObject", After: 5, Times: 1, Do: simulator.FlipBit(40)})
	oci.Add(simulator.Rule{Op: "GetObject", After: 20, Times: 1, Do: simulator.Status(503, "ServiceUnavailable")})
	oci.Add(simulator.Rule{Op: "GetObject", After: 40, Times: 1, Do: simulator.ResetAfterBytes(100)})
	s3.Add(simulator.Rule{Op: "PutObject", After: 60, Times: 2, Do: simulator.Reset()})
	s3.Add(simulator.Rule{Op: "UploadPart", After: 1, Times: 1, Do: simulator.Status(500, "InternalError")})
}

func (d *demo) change(today time.Time) {
	late := today.AddDate(0, 0, -21)
	d.sim.Source.Add(simulator.Object{Name: simulator.ReportName(late, 1_000_009_000_777, 1), Content: simulator.FocusReport(99, late, 40)})
	old := d.sim.Source.Objects()[10+(d.days-demoDays)*d.files] // within the days that a scan lists
	d.sim.Source.Add(simulator.Object{Name: old.Name, Content: simulator.FocusReport(100, today, 60)})
}

func (d *demo) observe(e copier.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.Kind {
	case copier.Retrying, copier.Held:
		d.retries++
	case copier.Finished:
		d.by[e.Record.Copy.Verified]++
	}
}

// close compares every object with its source and prints the result.
func (d *demo) close(total agent.Summary) error {
	same, wrong := d.compare()
	var by []string
	for _, rung := range slices.Sorted(maps.Keys(d.by)) {
		by = append(by, fmt.Sprintf("%d by %s", d.by[rung], strings.ToUpper(rung)))
	}
	fmt.Fprintln(d.env.Stdout)
	w := tabwriter.NewWriter(d.env.Stdout, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("transferred", "%d files, %s, in %.1f s", total.Transferred, humanize.IBytes(uint64(total.Bytes)), total.Seconds)
	row("verified", "%s, before they were visible", strings.Join(by, ", "))
	row("faults served", "%s", faultCount(d.sim))
	row("retries", "%d by the queue", d.retries)
	row("commits", "%d, for %d keys; %d uploads left open", len(d.sim.S3.History()), len(d.sim.S3.Objects()), len(d.sim.S3.OpenUploads()))
	row("compared", "%d of %d objects equal their source byte for byte", same, len(d.sim.Source.Objects()))
	if err := w.Flush(); err != nil {
		return err
	}
	if wrong != "" || total.Failed > 0 || len(d.sim.S3.OpenUploads()) > 0 {
		return fmt.Errorf("the demo did not come out right: %d failed; first wrong object: %q", total.Failed, wrong)
	}
	return nil
}

func faultCount(sim *simulator.Simulation) string {
	n := 0
	for _, counts := range []map[string]int{sim.OCIFaults.Count(), sim.S3Faults.Count()} {
		for _, count := range counts {
			n += count
		}
	}
	return fmt.Sprint(n)
}

// compare reads both sides, object by object.
func (d *demo) compare() (same int, wrong string) {
	rules := d.route.rules()
	for _, o := range d.sim.Source.Objects() {
		report, err := rules.Report(messages.Object{Name: o.Name, Size: o.Content.Size()})
		if err == nil && d.equal(o, report.Key) {
			same++
		} else if wrong == "" {
			wrong = o.Name
		}
	}
	return same, wrong
}

func (d *demo) equal(o simulator.Object, key string) bool {
	got, err := d.sim.S3.Open(key)
	if err != nil {
		return false
	}
	defer got.Close()
	want := o.Content.Open(0)
	table := crc32.MakeTable(crc32.Castagnoli)
	x, y := crc32.New(table), crc32.New(table)
	n, err1 := io.Copy(x, want)
	m, err2 := io.Copy(y, got)
	return err1 == nil && err2 == nil && n == m && x.Sum32() == y.Sum32()
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.env.Stdout, format+"\n", args...) }

// goOn runs the agent on the simulators, and writes a report each minute.
func (d *demo) goOn(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() { d.write(ctx) })
	d.env.Environ = append(d.env.Environ, "FOCUS_HTTP_LISTEN=127.0.0.1:0", "FOCUS_HTTP_PAGE=true", "FOCUS_LOGGING_LEVEL=ERROR") // so that the address stays in sight
	d.listening = d.address
	err := d.run(ctx, runOptions{})
	stop()
	writing.Wait()
	return err
}

// write brings one large report that takes its time, and a small one each minute.
func (d *demo) write(ctx context.Context) {
	now := time.Now().UTC()
	slow := simulator.ReportName(now, 1_000_009_050_000, 1)
	d.sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: slow, Do: simulator.Trickle(32<<10, 100*time.Millisecond)})
	d.sim.Source.Add(simulator.Object{Name: slow, Content: simulator.LargeReport(8, now, demoLarge)})
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for id := int64(1_000_009_100_000); ; id += 7 {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.sim.Source.Add(simulator.Object{Name: simulator.ReportName(now, id, 1), Content: simulator.FocusReport(uint64(id), now, 200)})
		}
	}
}

// address ends what the demo says: where to look at it, until Ctrl-C.
func (d *demo) address(listen string) {
	d.say("\nThe agent goes on until Ctrl-C, with a new report each minute. To ask it from another terminal:\n")
	for _, e := range d.env.Environ {
		if strings.HasPrefix(e, "FOCUS_") && !strings.HasPrefix(e, "FOCUS_HTTP_") {
			d.say("  export '%s'", e)
		}
	}
	d.say("  oracle-focus-agent status\n\nStatus page  http://%s/", listen)
}
