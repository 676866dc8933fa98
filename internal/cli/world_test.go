package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"hash/fnv"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"oracle-focus-agent/internal/cli"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/simulator"
)

// A world is a simulated OCI and S3 and an installation between them, which the
// tests use as an operator does: by commands.
type world struct {
	*simulator.Simulation
	// dir is the state directory. It is not made here.
	dir string
	// from is the first report day that must have arrived; empty means all.
	from string

	mu       sync.Mutex
	env      map[string]string
	versions map[string][]simulator.Content // by object name
}

// worldKey is the API key of all worlds. Making one takes long, and so does
// signing thousands of requests: it is shorter than Oracle's.
var worldKey = sync.OnceValues(func() ([]byte, error) {
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		return nil, err
	}
	return (&simulator.Key{Private: key}).PEM(), nil
})

// newWorld starts a simulation for the test, with waits so short that faults
// cost little. Settings are NAME=value.
func newWorld(t *testing.T, o simulator.Options, settings ...string) *world {
	t.Helper()
	if o.Rows == 0 {
		o.Rows = 3
	}
	// Not t.TempDir: the path of the agent's socket must not depend on the test's name.
	home, err := os.MkdirTemp("", "world-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(home) })
	key, err := worldKey()
	if err != nil {
		t.Fatal(err)
	}
	o.KeyFile = filepath.Join(home, "key.pem")
	if err := os.WriteFile(o.KeyFile, key, 0o600); err != nil {
		t.Fatal(err)
	}
	sim, err := simulator.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sim.Close() })
	file, err := sim.WriteOCIConfig(filepath.Join(home, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Simulation: sim, dir: filepath.Join(home, "state"), env: map[string]string{}, versions: map[string][]simulator.Content{}}
	for _, s := range slices.Concat(sim.Environment(file), []string{
		"HOME=" + home, "FOCUS_STATE_DIR=" + w.dir, "FOCUS_ADVANCED_CHUNK_SIZE_BYTES=5242880",
		"FOCUS_RETRY_INITIAL_DELAY=0.1", "FOCUS_RETRY_MAX_DELAY=0.2", "FOCUS_RETRY_PROBE_INTERVAL=1",
	}, settings) {
		name, value, _ := strings.Cut(s, "=")
		w.set(name, value)
	}
	return w
}

// set changes a variable of the environment that later commands see.
func (w *world) set(name, value string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.env[name] = value
}

func (w *world) unset(name string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.env, name)
}

func (w *world) environ() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for name, value := range w.env {
		out = append(out, name+"="+value)
	}
	return out
}

// external puts a NATS server beside the installation, in place of the embedded
// one. Unlike that it does not wait for the disk, which is faster by far.
func (w *world) external(t *testing.T) *natstest.Server {
	t.Helper()
	s := natstest.New(t, natstest.Listen())
	w.set("FOCUS_NATS_URL", s.Running().ClientURL())
	w.set("FOCUS_NATS_MANAGE", "create")
	return s
}

// queue opens the embedded queue while no command runs. close ends it.
func (w *world) queue(t *testing.T) (conn *nats.Conn, close func()) {
	t.Helper()
	server, err := nats.StartEmbedded(nats.EmbeddedOptions{StoreDir: filepath.Join(w.dir, "nats")})
	if err != nil {
		t.Fatal(err)
	}
	conn, err = nats.Connect(t.Context(), nats.Options{Name: "test", InProcess: server})
	if err != nil {
		server.Shutdown()
		t.Fatal(err)
	}
	return conn, func() {
		conn.Close()
		if err := server.Shutdown(); err != nil {
			t.Error(err)
		}
	}
}

// A result is what a command left.
type result struct {
	code           int
	stdout, stderr string
}

// run executes a command in this process.
func (w *world) run(t *testing.T, args ...string) result {
	t.Helper()
	return w.runContext(t.Context(), t, args...)
}

// runContext is run with a context whose end stands for a signal.
func (w *world) runContext(ctx context.Context, t *testing.T, args ...string) result {
	t.Helper()
	var stdout bytes.Buffer
	stderr := log{also: t.Output()}
	code := cli.Run(ctx, cli.Env{Args: args, Environ: w.environ(), Stdout: &stdout, Stderr: &stderr})
	return result{code, stdout.String(), stderr.text.String()}
}

// A log is written to by many at once, as a terminal is.
type log struct {
	also io.Writer

	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.Write(p)
	return l.also.Write(p)
}

// want ends the test where a command ended with another code.
func (r result) want(t *testing.T, code int) result {
	t.Helper()
	if r.code != code {
		t.Fatalf("exit code %d, want %d\nstdout: %s\nstderr: %s", r.code, code, r.stdout, r.stderr)
	}
	return r
}

// command prepares the program as a process of its own, with a clean environment.
// TestMain has put it on the PATH.
func (w *world) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "oracle-focus-agent", args...)
	cmd.Env = append(w.environ(), "PATH="+os.Getenv("PATH"))
	return cmd
}

// A summary is what `sync --json` prints.
type summary struct {
	Discovered  int     `json:"discovered"`
	Transferred int     `json:"transferred"`
	Adopted     int     `json:"adopted"`
	Skipped     int     `json:"skipped"`
	Ineligible  int     `json:"ineligible"`
	Failed      int     `json:"failed"`
	Bytes       int64   `json:"bytes"`
	Seconds     float64 `json:"duration_seconds"`
	Failures    []struct {
		Object string `json:"object"`
		Reason string `json:"reason"`
		Class  string `json:"class"`
	} `json:"failures"`
	Reasons map[string]int `json:"ineligible_reasons"`
}

// failed is the names of the files that failed.
func (s summary) failed() []string {
	var names []string
	for _, f := range s.Failures {
		names = append(names, f.Object)
	}
	return names
}

// sync runs `sync --json` with more arguments, holds it to the exit code, and
// checks that the counts add up.
func (w *world) sync(t *testing.T, code int, args ...string) summary {
	t.Helper()
	return decodeSummary(t, w.run(t, append([]string{"sync", "--json"}, args...)...).want(t, code).stdout)
}

func decodeSummary(t *testing.T, stdout string) summary {
	t.Helper()
	var s summary
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		t.Fatalf("sync --json: %v in %q", err, stdout)
	}
	if _, err := dec.Token(); err != io.EOF {
		t.Errorf("sync --json prints more than one JSON object: %q", stdout)
	}
	if sum := s.Transferred + s.Adopted + s.Skipped + s.Ineligible + s.Failed; sum != s.Discovered || len(s.Failures) != s.Failed {
		t.Errorf("the counts do not add up: %+v", s)
	}
	return s
}

// add puts objects into the source and remembers their bytes: what ever becomes
// visible at the destination must be one of the remembered versions.
func (w *world) add(objects ...simulator.Object) {
	w.remember()
	w.Source.Add(objects...)
	w.remember()
}

// add1 is add of a new name, for when there are thousands.
func (w *world) add1(o simulator.Object) {
	w.Source.Add(o)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.versions[o.Name] = append(w.versions[o.Name], o.Content)
}

func (w *world) remember() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, o := range w.Source.Objects() {
		if !slices.ContainsFunc(w.versions[o.Name], func(c simulator.Content) bool { return same(c, o.Content) }) {
			w.versions[o.Name] = append(w.versions[o.Name], o.Content)
		}
	}
}

// same is about identity, not about bytes. Literal contents do not compare.
func same(a, b simulator.Content) (equal bool) {
	defer func() {
		if recover() != nil {
			equal = false
		}
	}()
	return a == b
}

// keyPattern is the rule of the house for reports, in other words than the product's.
var keyPattern = regexp.MustCompile(`^FOCUS Reports/(\d{4})/(\d{2})/(\d{2})/([^/]+\.csv\.gz)$`)

// keyOf is where an object belongs; ok is false for one that must not be copied.
func (w *world) keyOf(name string, size int64) (key string, ok bool) {
	m := keyPattern.FindStringSubmatch(name)
	if m == nil || !utf8.ValidString(name) || len(name) > 1024 || size > 5<<30 {
		return "", false
	}
	day := m[1] + "-" + m[2] + "-" + m[3]
	if _, err := time.Parse(time.DateOnly, day); err != nil || day < w.from {
		return "", false
	}
	if strings.ContainsFunc(m[4], func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.Cc, unicode.Cf) }) {
		return "", false
	}
	return w.prefix() + day + "_" + m[4], true
}

// prefix is the destination path below the bucket, with a slash at its end.
func (w *world) prefix() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, path, _ := strings.Cut(strings.TrimPrefix(w.env["FOCUS_S3_BUCKET_PATH"], "s3://"), "/")
	return strings.TrimSuffix(path, "/") + "/"
}

// check holds the destination against the source: every report is there byte
// for byte under its key, but for those named absent; nothing else is there; no
// upload is open; and nothing that was ever visible differed from a version that
// the source had.
func (w *world) check(t *testing.T, absent ...string) {
	t.Helper()
	w.remember()
	want := map[string]bool{}
	for _, o := range w.Source.Objects() {
		key, ok := w.keyOf(o.Name, o.Content.Size())
		if !ok || slices.Contains(absent, o.Name) {
			continue
		}
		want[key] = true
		if err := w.compare(o, key); err != nil {
			t.Error(err)
		}
	}
	for _, o := range w.S3.Objects() {
		if !want[o.Key] {
			t.Errorf("the key %q has no place at the destination", o.Key)
		}
	}
	if open := w.S3.OpenUploads(); len(open) > 0 {
		t.Errorf("%d uploads are open: %+v", len(open), open)
	}
	w.checkHistory(t)
}

func (w *world) compare(o simulator.Object, key string) error {
	body, err := w.S3.Open(key)
	if err != nil {
		return fmt.Errorf("%q did not arrive: %w", o.Name, err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	want, err := io.ReadAll(o.Content.Open(0))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%q arrived as %d other bytes than its %d", o.Name, len(got), len(want))
	}
	return nil
}

// checkHistory replays the commits: each must be a version that the source had.
func (w *world) checkHistory(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	versions := map[string][]simulator.Content{} // by key
	w.mu.Unlock()
	for name, contents := range w.versions {
		for _, c := range contents {
			if key, ok := w.keyOf(name, c.Size()); ok {
				versions[key] = append(versions[key], c)
			}
		}
	}
	sums := map[simulator.Content]string{}
	for _, c := range w.S3.History() {
		if !slices.ContainsFunc(versions[c.Key], func(v simulator.Content) bool { return v.Size() == c.Size && sumOf(sums, v) == c.CRC32C }) {
			t.Errorf("%q was visible with %d bytes and CRC32C %s, which the source never had", c.Key, c.Size, c.CRC32C)
		}
	}
}

// sumOf is the CRC32C of a content in base64, computed once where it compares.
func sumOf(known map[simulator.Content]string, c simulator.Content) string {
	comparable := same(c, c)
	if comparable && known[c] != "" {
		return known[c]
	}
	h := crc32.New(crc32.MakeTable(crc32.Castagnoli))
	_, _ = io.Copy(h, c.Open(0)) // neither side fails
	sum := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, h.Sum32()))
	if comparable {
		known[c] = sum
	}
	return sum
}

// object is a report for a day so many days ago, of random bytes that no other
// name has.
func object(daysAgo int, basename string, size int64) simulator.Object {
	name := nameOf(daysAgo, basename)
	seed := fnv.New64()
	io.WriteString(seed, name)
	return simulator.Object{Name: name, Content: simulator.Random(seed.Sum64(), size)}
}

func nameOf(daysAgo int, basename string) string {
	return simulator.Prefix + time.Now().UTC().AddDate(0, 0, -daysAgo).Format("2006/01/02/") + basename
}

// eventually waits until ok, and fails the test where that takes a minute.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("waited a minute in vain: %s", what)
		case <-tick.C:
		}
	}
}

// A background is a command that goes on in this process until it is stopped.
type background struct {
	cancel context.CancelFunc
	done   chan result
}

// start runs a command beside the test. stop ends it as SIGTERM does.
func (w *world) start(t *testing.T, args ...string) *background {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	b := &background{cancel, make(chan result, 1)}
	go func() { b.done <- w.runContext(ctx, t, args...) }()
	t.Cleanup(cancel)
	return b
}

func (b *background) stop() result {
	b.cancel()
	r := <-b.done
	b.done <- r
	return r
}
