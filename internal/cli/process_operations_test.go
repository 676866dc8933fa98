package cli_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/natstest"
	"oracle-focus-agent/internal/simulator"
)

// What docs/operations.md calls the servers and the host that everything runs on.
const (
	pageServer    = "nats.example.com:4222"
	pageNewServer = "new.example.com:4222"
	pageHost      = "worker-1"
)

// Each command of docs/operations.md prints what the page shows: with the nats
// command line at its pinned version, the server that `setup --nats-config` prepares
// for, and the roles that it makes.
func TestTheOperationsPageShowsWhatIsPrinted(t *testing.T) {
	t.Parallel()
	o := newOperator(t)
	all := examples(t, "../../docs/operations.md")
	if len(all) < 40 {
		t.Fatalf("the page has %d commands; are its blocks called console?", len(all))
	}
	for _, e := range all {
		got, code := o.run(e)
		if code != 0 {
			t.Errorf("line %d: %s exits with %d:\n%s", e.line, e.command, code, got)
			continue
		}
		if !shows(e.output, got) {
			t.Errorf("line %d: %s prints\n%s\nand the page shows\n%s", e.line, e.command, got, e.output)
		}
	}
}

// An example is a command of the page and what the page shows of its output.
type example struct {
	line            int
	command, output string
}

// endless commands are interrupted once they have shown what the page shows.
func (e example) endless() bool { return strings.HasSuffix(e.output, "\n^C\n") }

// examples reads the console blocks of a page: each line that begins with "$ " is a
// command, and what follows is its output.
func examples(t *testing.T, page string) (all []example) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	console, indent := false, ""
	for i, line := range strings.Split(string(text), "\n") {
		if before, language, fence := strings.Cut(line, "```"); fence {
			console, indent = language == "console", before
			continue
		}
		line = strings.TrimPrefix(line, indent)
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case !console:
		case isCommand:
			all = append(all, example{line: i + 1, command: command})
		case len(all) > 0:
			all[len(all)-1].output += line + "\n"
		}
	}
	return all
}

// shows reports whether the page's words are what was printed. An ellipsis stands
// for the rest of a line or, alone on its line, for any number of lines.
func shows(page, printed string) bool {
	want := regexp.QuoteMeta(steady(strings.TrimSuffix(page, "^C\n")))
	want = regexp.MustCompile(`(?m)^…\n`).ReplaceAllString(want, `(?:.*\n)*?`)
	want = strings.ReplaceAll(want, "…", ".*")
	return regexp.MustCompile("^" + want + "$").MatchString(steady(printed))
}

// steady replaces what differs from one run to the next, on both sides: times, ids,
// processes, versions, sizes, and the spaces and rules that follow from their widths.
func steady(text string) string {
	for _, r := range []struct{ pattern, with string }{
		{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?( \+0000)?( ?UTC|Z)?`, "TIME"},
		{`\b\d\d:\d\d:\d\d\b`, "TIME"},
		{`TIME \((now|[^)]* ago)\)`, "TIME"},
		{`(\.\.\.)?\d\d\.\d+Z"`, "TIME\""}, // cut by the table of a history
		{`\b\d+(\.\d+)? [KMG]?i?B\b`, "SIZE"},
		{`\b(\d+(\.\d+)?(d|h|m|s|ms|µs|ns))+\b`, "TIME"},
		{`\b(connect_time|rtt|request_time|last_delivery|last_ack|seconds)("?[:=])[\d.]+s?`, "$1$2TIME"},
		{`"(scan|trace)":"[A-Z0-9]+"`, `"$1":"ID"`},
		{`\(devel\)|\bv?\d+\.\d+\.\d+-[0-9A-Za-z.+-]+`, "VERSION"},
		// The second of two alike instances shows its name only, and either may be the second.
		{`(focus-(?:scanner|copier)) +│.*`, "$1 | INSTANCE"},
		{`"pid":\d+`, `"pid":PID`}, {`pid: \d+`, "pid: PID"}, {pageHost + `/\d+`, "WORKER"},
		{`\b[A-Za-z0-9]{22}\b`, "ID"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`[─-╿]+`, "|"},
		{`[ \t]+`, " "},
		{`(?m)^ +| +$`, ""},
		{`\n{2,}`, "\n"},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	lines := strings.Split(strings.Trim(text, "\n"), "\n")
	if strings.Contains(text, "All Services") {
		slices.Sort(lines)
	}
	return strings.Join(lines, "\n") + "\n"
}

// An operator has a terminal with the nats command line, and the folder that `setup
// --nats-config` wrote.
type operator struct {
	t       *testing.T
	dir     string
	environ []string
	servers *strings.Replacer // from the names of the page to those of the test
	page    *strings.Replacer // the other way
	server  *natstest.Server  // of the page
}

// newOperator starts the installation of the page.
func newOperator(t *testing.T) *operator {
	t.Helper()
	program := os.Getenv("NATSCLI")
	if program == "" {
		t.Skip("NATSCLI does not name the nats program; `make test` builds it and runs this test")
	}
	l := newLab(t, simulator.Options{}, "FOCUS_AGENT_LOOKBACK_DAYS=3660", "FOCUS_AGENT_SINCE=2026-11-20",
		"FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=1", "FOCUS_ADVANCED_STALL_TIMEOUT=3600")
	o := &operator{t: t, dir: shortDir(t)}
	keys := filepath.Join(o.dir, "keys")
	if code, stdout, stderr := l.run("setup", "--nats-config", keys, "--host", "localhost,127.0.0.1"); code != 0 {
		t.Fatalf("setup --nats-config exits with %d:\n%s%s", code, stdout, stderr)
	}
	o.server = serveFolder(t, keys)
	old, fresh := address(o.server), address(serveFolder(t, keys))
	host, _ := os.Hostname()
	o.servers = strings.NewReplacer(pageServer, old, pageNewServer, fresh)
	o.page = strings.NewReplacer(old, pageServer, fresh, pageNewServer, `"`+host+`/`, `"`+pageHost+`/`,
		" "+host+"/", " "+pageHost+"/", "/"+host+" ", "/"+pageHost+" ", ": "+host+"\n", ": "+pageHost+"\n", o.dir, "~")
	as := func(role string) *lab {
		return l.with("FOCUS_NATS_URL=tls://"+old, "FOCUS_NATS_NKEY_FILE="+filepath.Join(keys, role, "user.nk"),
			"FOCUS_NATS_TLS_CA="+filepath.Join(keys, role, "ca.pem"), "FOCUS_NATS_INBOX_PREFIX=_INBOX_"+role)
	}
	o.environ = append(as("agent").environ, "HOME="+o.dir, "XDG_CONFIG_HOME="+filepath.Join(o.dir, ".config"), "PATH="+o.dir+":"+os.Getenv("PATH"), "TZ=UTC")
	if err := os.Symlink(program, filepath.Join(o.dir, "nats")); err != nil {
		t.Fatal(err)
	}
	if code, stdout, stderr := as("admin").run("setup"); code != 0 {
		t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
	}
	o.fill(l, as)
	return o
}

// serveFolder starts the server that `setup --nats-config` wrote the files of, on a
// free port.
func serveFolder(t *testing.T, dir string) *natstest.Server {
	t.Helper()
	return natstest.New(t, natstest.ConfigFile(t, filepath.Join(dir, "server", "nats.conf")))
}

// address is host and port of a server.
func address(s *natstest.Server) string {
	url := s.Running().ClientURL()
	return url[strings.Index(url, "//")+2:]
}

// fill makes one copier that has copied three files and has given up one, that
// copies one for as long as the test lasts, and has two to do.
func (o *operator) fill(l *lab, as func(role string) *lab) {
	o.t.Helper()
	add := func(day, id, part int, size int64) {
		l.sim.Source.Add(simulator.Object{
			Name: fmt.Sprintf("%s2026/11/%d/%016d-%05d.csv.gz", simulator.Prefix, day, id, part), ETag: fmt.Sprintf("etag-%d-%d", id, part),
			Content: simulator.Random(uint64(id+part), size), Created: time.Date(2026, 11, day+1, 4, part, 0, 0, time.UTC),
		})
	}
	add(20, 1000002103533, 1, 48_211)
	add(20, 1000002103533, 2, 51_874)
	add(21, 1000002105321, 1, 50_302)
	add(21, 1000002105321, 2, 47_640)
	// What fails needs no writing to be recorded, so it waits for the file before it.
	fails := l.hold(l.sim.OCIFaults, simulator.Rule{Op: "GetObject", Name: "2105321-00002", Times: 1}, 0)
	l.sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "2105321-00002", Do: simulator.FlipBit(1)})
	first := as("scanner").start("scanner")
	first.says("sync complete") // before any copy, so that the order of all writes is known
	copier := as("copier").start("copier")
	until(o.t, "three files are recorded", patience, func() bool { return strings.Count(copier.stderr.String(), `msg="transfer complete"`) == 3 })
	fails.letGo()
	copier.says("dead letter")
	first.stop()
	for part := range 3 {
		add(22, 1000002107944, part+1, 49_000+int64(part))
	}
	h := l.hold(l.sim.OCIFaults, simulator.Rule{Op: "GetObject", Name: "2107944-00001", Times: 1}, 1000)
	as("scanner").start("scanner").says("sync complete")
	h.mustBeReached(o.t)
}

// run executes a command of the page and returns what it printed, in the names of
// the page.
func (o *operator) run(e example) (printed string, code int) {
	o.t.Helper()
	var out transcript
	cmd := o.command(e.command)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		o.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	text := func() string { return o.page.Replace(out.String()) }
	if e.endless() {
		if strings.HasPrefix(e.command, "nats events") {
			o.cause()
		}
		until(o.t, e.command+" prints what the page shows", patience, func() bool { return shows(e.output, text()) || len(ended) > 0 })
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT)
	}
	select {
	case <-ended:
	case <-time.After(patience):
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	if e.endless() { // its end is ours
		return text(), 0
	}
	return text(), cmd.ProcessState.ExitCode()
}

// command is a line that is typed into a shell, as a group of processes.
func (o *operator) command(line string) *exec.Cmd {
	cmd := exec.CommandContext(o.t.Context(), "sh", "-c", o.servers.Replace(line))
	cmd.Dir, cmd.Env, cmd.SysProcAttr = o.dir, o.environ, &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// cause makes the events of the page once the server knows of somebody who listens:
// the nats command says that it does before it has asked the server.
func (o *operator) cause() {
	o.t.Helper()
	account, err := o.server.Running().LookupAccount("focus")
	if err != nil {
		o.t.Fatal(err)
	}
	until(o.t, "nats events listens", patience, func() bool {
		return account.SubscriptionInterest("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.FOCUS_FILES.copiers-backfill")
	})
	for _, args := range []string{"pause FOCUS_FILES copiers-backfill 1h", "resume FOCUS_FILES copiers-backfill"} {
		if out, err := o.command("nats --context focus-admin consumer " + args + " --force").CombinedOutput(); err != nil {
			o.t.Fatalf("%s: %v\n%s", args, err, out)
		}
	}
}

// The comparison that holds the page must be able to fail.
func TestThePageIsComparedWordByWord(t *testing.T) {
	t.Parallel()
	const printed = "Item: A#6 received 2026-11-26 14:17:49.47 +0000 UTC (1m15s)\n\n  Ack Pending: 1\n  Waiting: 2\n"
	for page, want := range map[string]bool{
		printed: true,
		"Item: A#6 received 2026-01-01 00:00:00 +0000 UTC (9s)\n Ack Pending: 1\nWaiting: 2\n": true,
		"Item: A#6…\n…\nWaiting: 2\n": true,
		"…\nWaiting: 2\n":             true,
		"Item: A#6…\n…\n":             true,
		"Item: A#7…\n…\n":             false,
		"…\nWaiting: 3\n":             false,
		"…\nAck Pending: 1\n":         false,
		"":                            false,
	} {
		if got := shows(page, printed); got != want {
			t.Errorf("shows(%q) = %t, want %t", page, got, want)
		}
	}
}
