package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// patience is how long a test waits for what must happen but has no bound of
// its own. It is long because the machine may be busy.
const patience = 90 * time.Second

// labPart is that of the labs: the smallest that S3 takes.
const labPart = 5 << 20

// A lab is a simulated OCI and S3 in this process, and processes of the product
// around them, which know nothing but their environment.
type lab struct {
	t       testing.TB
	sim     *simulator.Simulation
	state   string // state.dir
	environ []string
	rules   messages.Rules
}

// apiKey is one for all labs, since making one takes long.
var apiKey = sync.OnceValues(simulator.NewKey)

// newLab starts the simulation; later entries of environ beat earlier ones.
func newLab(t testing.TB, o simulator.Options, environ ...string) *lab {
	t.Helper()
	dir := shortDir(t)
	key, err := apiKey()
	if err != nil {
		t.Fatal(err)
	}
	o.KeyFile = filepath.Join(dir, "key.pem")
	if err := os.WriteFile(o.KeyFile, key.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	config, err := sim.WriteOCIConfig(filepath.Join(dir, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	naming, err := messages.NewNaming("{date}{separator}{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, sim: sim, state: filepath.Join(dir, "state"), rules: messages.Rules{Prefix: simulator.Prefix, KeyPrefix: "simulated/0/account/", Naming: naming}}
	l.environ = append(sim.Environment(config), "HOME="+dir, "FOCUS_STATE_DIR="+l.state,
		fmt.Sprint("FOCUS_ADVANCED_CHUNK_SIZE_BYTES=", labPart), "FOCUS_RETRY_INITIAL_DELAY=0.2",
		"GORACE=atexit_sleep_ms=0", "PATH="+os.Getenv("PATH"), "GOCOVERDIR="+os.Getenv("GOCOVERDIR"))
	l.environ = append(l.environ, environ...)
	return l
}

// shortDir is a directory of the test whose name leaves room for a socket.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// add puts a file of random bytes into the source and returns its key at the destination.
func (l *lab) add(daysAgo, id int, size int64) (name, key string) {
	l.t.Helper()
	name = simulator.ReportName(time.Now().UTC().AddDate(0, 0, -daysAgo), int64(id), 1)
	l.sim.Source.Add(simulator.Object{Name: name, Content: simulator.Random(uint64(id), size)})
	return name, l.key(name)
}

func (l *lab) key(name string) string {
	l.t.Helper()
	report, err := l.rules.Report(messages.Object{Name: name})
	if err != nil {
		l.t.Fatal(err)
	}
	return report.Key
}

// commits is how often each key became visible.
func (l *lab) commits() map[string]int {
	counts := map[string]int{}
	for _, c := range l.sim.S3.History() {
		counts[c.Key]++
	}
	return counts
}

// wrong lists the source's files that are not at the destination byte for byte.
func (l *lab) wrong() (names []string) {
	sums := map[string]string{}
	for _, o := range l.sim.S3.Objects() {
		sums[o.Key] = o.CRC32C
	}
	for _, r := range l.sim.Source.Reports() {
		if sums[l.key(r.Name)] != r.CRC32C {
			names = append(names, r.Name)
		}
	}
	return names
}

// mustBeRight fails unless the destination equals the source and no upload is open.
func (l *lab) mustBeRight() {
	l.t.Helper()
	if wrong := l.wrong(); len(wrong) > 0 {
		l.t.Errorf("%d of %d files are missing or differ: %v", len(wrong), len(l.sim.Source.Objects()), wrong)
	}
	if open := l.sim.S3.OpenUploads(); len(open) > 0 {
		l.t.Errorf("uploads left open: %+v", open)
	}
}

// mustHaveCommittedOnce fails if any file became visible more than once.
func (l *lab) mustHaveCommittedOnce() {
	l.t.Helper()
	for key, n := range l.commits() {
		if n != 1 {
			l.t.Errorf("%s was committed %d times, want once", key, n)
		}
	}
}

// A hold stops requests until it is let go.
type hold struct {
	reached chan struct{} // closed when the first request has come to the hold
	letGo   func()
}

// hold stops the matching requests: after so many bytes of the body, or before
// they are handled. The end of the test lets them go at the latest.
func (l *lab) hold(faults *simulator.Faults, rule simulator.Rule, after int64) *hold {
	release, reached := make(chan struct{}), make(chan struct{})
	reach, letGo := sync.OnceFunc(func() { close(reached) }), sync.OnceFunc(func() { close(release) })
	rule.Do = simulator.Hook(func() {
		reach()
		<-release
	})
	if after > 0 {
		rule.Do = rule.Do.AfterBytes(after)
	}
	faults.Add(rule)
	l.t.Cleanup(letGo)
	return &hold{reached, letGo}
}

// mustBeReached waits for the first request at the hold.
func (h *hold) mustBeReached(t testing.TB) {
	t.Helper()
	select {
	case <-h.reached:
	case <-time.After(patience):
		t.Fatal("no request came to the hold")
	}
}

// A process is one of the product.
type process struct {
	t              testing.TB
	name           string
	cmd            *exec.Cmd
	started        time.Time
	stdout, stderr transcript
	ended          chan struct{} // closed when it has ended
}

// start begins a command of the product; the test ends it at the latest.
func (l *lab) start(args ...string) *process {
	l.t.Helper()
	return startProcess(l.t, l.environ, "oracle-focus-agent", args...)
}

// run is start, and waits for the end.
func (l *lab) run(args ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	p := l.start(args...)
	code = p.exit(patience)
	return code, p.stdout.String(), p.stderr.String()
}

// with is the same lab, seen by processes with more in their environment.
func (l *lab) with(environ ...string) *lab {
	other := *l
	other.environ = slices.Concat(l.environ, environ)
	return &other
}

func startProcess(t testing.TB, environ []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, name: strings.Join(args, " "), cmd: exec.Command(program, args...), started: time.Now(), ended: make(chan struct{})}
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = environ, &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.ended)
		p.cmd.Wait() // the outcome is in ProcessState
	}()
	t.Cleanup(p.finish)
	return p
}

// finish ends what still runs, and shows what a failed test needs.
func (p *process) finish() {
	p.cmd.Process.Kill()
	<-p.ended
	if strings.Contains(p.stderr.String(), "DATA RACE") {
		p.t.Errorf("%s has a data race", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s (%v) wrote:\n%s%s", p.name, p.cmd.ProcessState, p.stdout.String(), p.stderr.String())
	}
}

func (p *process) signal(s syscall.Signal) { p.cmd.Process.Signal(s) }

// exit waits for the end and returns the exit code, -1 where a signal ended it.
func (p *process) exit(limit time.Duration) int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(limit):
		p.t.Fatalf("%s still runs after %v", p.name, limit)
	}
	return p.cmd.ProcessState.ExitCode()
}

// kill is kill -9, and waits until the process is gone.
func (p *process) kill() {
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// says waits until standard error contains the text.
func (p *process) says(text string) {
	p.t.Helper()
	until(p.t, fmt.Sprintf("%s says %q", p.name, text), patience, func() bool { return strings.Contains(p.stderr.String(), text) })
}

// A transcript is a buffer that can be read while a process writes.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *transcript) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *transcript) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// until polls a condition and fails when it does not hold in time.
func until(t testing.TB, what string, limit time.Duration, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// A broker is an external NATS server as a test sees it.
type broker struct {
	t      testing.TB
	url    string
	conn   *nats.Conn
	assets messages.Assets
}

// newBroker starts a NATS server, and makes the assets with the product's own setup.
func (l *lab) newBroker(ackWait time.Duration) (*lab, *broker) {
	l.t.Helper()
	srv := natstest.New(l.t, natstest.Listen())
	ext := l.with("NATS_URL="+srv.Running().ClientURL(), "FOCUS_NATS_ACK_WAIT="+ackWait.String())
	if code, stdout, stderr := ext.run("setup"); code != 0 {
		l.t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
	}
	return ext, &broker{t: l.t, url: srv.Running().ClientURL(), conn: srv.Connect(l.t), assets: messages.Define("focus", "main", 1, ackWait)}
}

// status is what the queue holds.
func (b *broker) status() (s nats.Status) {
	b.t.Helper()
	s, err := b.conn.Status(b.t.Context(), b.assets)
	if err != nil {
		b.t.Fatalf("status of the queue: %v", err)
	}
	return s
}

func (b *broker) empty() bool {
	s := b.status()
	return s.Live.Waiting+s.Backfill.Waiting == 0 && s.Live.InFlight+s.Backfill.InFlight == 0
}

// records is the ledger by object name.
func (b *broker) records() map[string]messages.Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	ledger, err := b.conn.Ledger(ctx, b.assets.State, "main")
	if err != nil {
		b.t.Fatal(err)
	}
	records := map[string]messages.Record{}
	for e, err := range ledger.Records(ctx) {
		if err != nil {
			b.t.Fatal(err)
		}
		records[e.Record.Object.Name] = e.Record
	}
	return records
}

// recorded reports whether the ledger has a final copy of each file of the source.
func (l *lab) recorded(b *broker) bool {
	records := b.records()
	for _, o := range l.sim.Source.Objects() {
		r := records[o.Name]
		if r.Status != messages.StatusCopied || r.Object.ETag != o.ETag {
			return false
		}
	}
	return true
}
