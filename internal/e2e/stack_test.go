package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// ackWait is that of the stack under test: so long the files of a killed copier
// wait for another one.
const ackWait = 10 * time.Second

// settings are added to those of the demo: waits that fit into minutes, else all
// is as delivered.
const settings = `
FOCUS_NATS_ACK_WAIT=10s
FOCUS_ADVANCED_STALL_TIMEOUT=5
FOCUS_RETRY_INITIAL_DELAY=0.5
FOCUS_RETRY_MAX_DELAY=3
FOCUS_RETRY_PROBE_INTERVAL=3
`

// A stack is the containers of one Compose project.
type stack struct {
	t       *testing.T
	ctx     context.Context // ends with a signal, or when the test takes too long
	project string
	root    string // of the repository
	keys    string // directory with the queue's key of the role agent
	world   string // address of the simulator's control server

	dockerCommand, composeCommand command
	engineWords                   []string // of Compose, before its arguments
	environmentFile               string
	guests                        []*stack // projects of other hosts
	began                         time.Time
	sum                           summary
}

// summary is what the last line tells.
type summary struct {
	containers, files     int
	bytes                 int64
	kills, cuts, restarts int
	repeats               int           // commits of bytes that were there, all after a fault
	slowest               time.Duration // stop
}

// newStack prepares a project of its own, of docker-compose.yml and the files more:
// nothing of it exists yet. Its end removes everything, whatever happened.
func newStack(t *testing.T, more ...string) *stack {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	t.Cleanup(stop)
	docker, compose, err := engine(ctx)
	if err != nil {
		notice := fmt.Sprintf("the end-to-end test was skipped: %v", err)
		conclude(t, notice)
		t.Skip(notice)
	}
	ctx, cancel := context.WithTimeout(ctx, 8*time.Minute)
	t.Cleanup(cancel)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	s := &stack{t: t, ctx: ctx, project: "focus-e2e-" + token(), root: root, keys: t.TempDir(), began: time.Now()}
	environment := s.environment()
	environ := append(os.Environ(),
		// Free ports of this host, and S3 keys that may do what Umbrella's may.
		"ENV_FILE="+environment, "NATS_PUBLISH=127.0.0.1:", "SCANNER_PUBLISH=127.0.0.1:",
		"SIMULATOR_FLAGS=--days 20 --files 10 --size 1048576 --policy put-only", "COPIERS=2")
	s.engineWords, s.environmentFile = compose, environment
	s.dockerCommand = command{docker, os.Environ(), root}
	s.composeCommand = command{slices.Concat(compose, []string{"--env-file", environment, "--project-name", s.project, "--profile", "demo",
		"--file", "docker-compose.yml", "--file", "internal/e2e/testdata/ports.yml"}), environ, root}
	for _, file := range more {
		s.composeCommand.words = append(s.composeCommand.words, "--file", file)
	}
	t.Cleanup(s.end)
	return s
}

func token() string {
	b := make([]byte, 3)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// environment writes the variables of the demo with those of this test.
func (s *stack) environment() string {
	demo, err := os.ReadFile(filepath.Join(s.root, "deploy", "demo.env"))
	if err != nil {
		s.t.Fatal(err)
	}
	path := filepath.Join(s.t.TempDir(), "e2e.env")
	if err := os.WriteFile(path, append(demo, settings...), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// end shows what the services said, if they failed, and removes the project.
func (s *stack) end() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), 90*time.Second)
	defer cancel()
	if s.t.Failed() {
		logs, _ := s.composeCommand.run(ctx, "logs", "--no-color", "--tail", "50")
		state, _ := s.composeCommand.run(ctx, "ps")
		fmt.Printf("%s\n%s\n", logs, state)
	}
	for _, p := range append(s.guests, s) { // the networks go with the stack
		if _, err := p.composeCommand.run(ctx, "down", "--volumes", "--remove-orphans", "--timeout", "2"); err != nil {
			s.t.Errorf("remove the project %s: %v", p.project, err)
		}
	}
}

func (s *stack) docker(args ...string) string {
	s.t.Helper()
	out, err := s.dockerCommand.run(s.ctx, args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

func (s *stack) compose(args ...string) {
	s.t.Helper()
	if _, err := s.composeCommand.run(s.ctx, args...); err != nil {
		s.t.Fatal(err)
	}
}

// say prints a line with the time since the begin.
func (s *stack) say(format string, args ...any) {
	fmt.Printf("%5.1f s  %s\n", time.Since(s.began).Seconds(), fmt.Sprintf(format, args...))
}

// until waits for a condition; what says what is missing.
func (s *stack) until(what string, within time.Duration, holds func() (bool, string)) {
	s.t.Helper()
	deadline := time.Now().Add(within)
	for {
		ok, detail := holds()
		switch {
		case ok:
			return
		case s.ctx.Err() != nil:
			s.t.Fatalf("interrupted while waiting: %s (%s)", what, detail)
		case time.Now().After(deadline):
			s.t.Fatalf("not within %v: %s (%s)", within, what, detail)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// control asks the simulator.
func (s *stack) control(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(s.ctx, method, "http://"+s.world+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, text)
	}
	if err != nil || out == nil {
		return err
	}
	return json.Unmarshal(text, out)
}

func (s *stack) compare() *simulator.Comparison {
	s.t.Helper()
	c := new(simulator.Comparison)
	if err := s.control(http.MethodGet, "/v1/comparison", nil, c); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// slow makes each answer of both sides take its time, so that copies are under
// way when something happens to them.
func (s *stack) slow(pause time.Duration) {
	s.t.Helper()
	orders := []simulator.FaultOrder{
		{Side: "oci", Op: "GetObject", Fault: "latency", Pause: (pause / 2).String()},
		{Side: "s3", Op: "PutObject", Fault: "latency", Pause: pause.String()},
		{Side: "s3", Op: "UploadPart", Fault: "latency", Pause: pause.String()},
	}
	err := s.control(http.MethodDelete, "/v1/faults", nil, nil)
	for _, o := range orders {
		if err == nil {
			err = s.control(http.MethodPost, "/v1/faults", o, nil)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
}

// load adds files of some MB, one in forty so large that it is sent in parts.
func (s *stack) load(count int) map[string]bool {
	s.t.Helper()
	names := map[string]bool{}
	for _, o := range []simulator.ReportOrder{{Count: count - count/40, Size: 2 << 20, Days: 10}, {Count: count / 40, Size: 20 << 20, Days: 5}} {
		var added []string
		if err := s.control(http.MethodPost, "/v1/reports", o, &added); err != nil {
			s.t.Fatal(err)
		}
		for _, name := range added {
			names[name] = true
		}
	}
	return names
}

// ask connects to the queue from this host, as the role agent.
func (s *stack) ask(f func(context.Context, *nats.Conn, messages.Assets) error) error {
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	var urls []string
	for _, c := range s.nodes() {
		if address, err := s.address(c, "4222"); err == nil && address != "" {
			urls = append(urls, "tls://"+address)
		}
	}
	if len(urls) == 0 {
		return errors.New("no server of the queue runs")
	}
	conn, err := nats.Connect(ctx, nats.Options{
		URLs: urls, Name: "e2e", InboxPrefix: "_INBOX_agent",
		NKeyFile: filepath.Join(s.keys, "agent", "user.nk"), CA: filepath.Join(s.keys, "agent", "ca.pem"),
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(ctx, conn, messages.Define("focus", "main", 1, ackWait))
}

// nodes are the servers of the queue, one or three.
func (s *stack) nodes() []container {
	s.t.Helper()
	return s.containers("nats", "nats-2", "nats-3")
}

// find learns how this host reaches the simulator, and takes the key of the role
// agent out of its volume.
func (s *stack) find() {
	s.t.Helper()
	var err error
	if s.world, err = s.address(s.one("simulator"), "9083"); err != nil {
		s.t.Fatal(err)
	}
	s.docker("cp", s.one("init").ID+":/keys/agent", s.keys)
}

// queue is what the queue holds; nil while it does not answer.
func (s *stack) queue() (*nats.Status, error) {
	var status nats.Status
	err := s.ask(func(ctx context.Context, conn *nats.Conn, a messages.Assets) (err error) {
		status, err = conn.Status(ctx, a)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &status, nil
}

// workers counts who copied which of the files.
func (s *stack) workers(names map[string]bool) map[string]int {
	s.t.Helper()
	counts := map[string]int{}
	err := s.ask(func(ctx context.Context, conn *nats.Conn, a messages.Assets) error {
		ledger, err := conn.Ledger(ctx, a.State, "main")
		if err != nil {
			return err
		}
		for entry, err := range ledger.Records(ctx) {
			if err != nil {
				return err
			}
			if names[entry.Record.Object.Name] {
				host, _, _ := strings.Cut(entry.Record.Worker, "/")
				counts[host]++
			}
		}
		return nil
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return counts
}

// conclude leaves the last line for whoever started the test.
func conclude(t *testing.T, line string) {
	t.Helper()
	if err := os.WriteFile(os.Getenv(switchVariable), []byte(line+"\n"), 0o600); err != nil {
		t.Error(err)
	}
}
