package cli_test

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/internal/simulator"
)

// Each command of a guide works, in the order of the page, on an installation as the
// page finds it; where the page shows what is printed, that is printed. What
// docs/operations.md and docs/installation.md show has tests of its own.
func TestTheCommandsOfTheGuidesWork(t *testing.T) {
	t.Parallel()
	guides := map[string]guide{
		"configuration.md":   {commands: 5},
		"deployment.md":      {commands: 14, before: map[string]string{"oracle-focus-agent status": "oracle-focus-agent start"}},
		"identities.md":      {commands: 3},
		"live-test.md":       {commands: 1},
		"migration.md":       {commands: 14, given: "oracle-focus-agent sync && mkdir state && oracle-focus-agent state export --format python -o state/state.json && rm -r $FOCUS_STATE_DIR"},
		"oracle.md":          {commands: 3},
		"page.md":            {commands: 1, given: "oracle-focus-agent start", damaged: true},
		"reports.md":         {commands: 4, given: "oracle-focus-agent sync"},
		"restore.md":         {commands: 8, given: "oracle-focus-agent start && oracle-focus-agent sync"},
		"tasks.md":           {commands: 10, given: "oracle-focus-agent sync || true", failing: true},
		"troubleshooting.md": {commands: 1},
		"umbrella.md":        {commands: 2},
		"verification.md":    {commands: 3, given: "oracle-focus-agent sync", damaged: true},
	}
	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		name := filepath.Base(page)
		if elsewhere := name == "operations.md" || name == "installation.md"; !elsewhere && guides[name].commands == 0 && len(commandsOf(t, page)) > 0 {
			t.Errorf("nobody runs the commands of %s", name)
		}
	}
	for page, g := range guides {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			g.follow(t, page)
		})
	}
}

// A guide is a page: how many commands it has at least, what happened before its
// reader came, and what the prose between two commands asks for.
type guide struct {
	commands int
	given    string
	before   map[string]string
	// damaged is a page that shows an installation with differences, which are made
	// and found by other tests.
	damaged bool
	// failing is a page that finds two files that were given up, and at Oracle also
	// reports of January 2026.
	failing bool
}

func (g guide) follow(t *testing.T, page string) {
	l := newLab(t, simulator.Options{})
	for day := range 3 {
		l.add(day, 100+day, 4000)
	}
	o := &operator{t: t, dir: shortDir(t), page: pageOperator()}
	home := filepath.Join(o.dir, "home")
	o.environ = append(l.environ, "HOME="+home, "PATH="+home+":"+os.Getenv("PATH"))
	// The files that other guides and programs make; oci is Oracle's own program.
	for name, content := range map[string]string{
		"config.yaml": "agent:\n  lookback_days: 5\n", "home/.oci/config": "", "home/.oci/focus.pem": "", "home/.aws/credentials": "", "home/oci": "#!/bin/sh\n",
	} {
		file := filepath.Join(o.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o.servers = strings.NewReplacer("/var/lib/oracle-focus-agent", l.state, "--month 2026-10", "--month "+time.Now().UTC().Format("2006-01"), "config init ",
		"config init --force --oci-bucket ocid1.tenancy.oc1..a --s3-bucket-path s3://bucket/path --oci-region us-ashburn-1 ")
	t.Cleanup(func() { // what the page leaves at work
		for _, state := range []string{l.state, filepath.Join(o.dir, "host")} {
			cmd := exec.Command("oracle-focus-agent", "stop")
			cmd.Env = append(o.environ, "FOCUS_STATE_DIR="+state)
			_ = cmd.Run() // exit code 5 where the page has stopped it
		}
	})
	mend := func() {}
	if g.failing {
		mend = l.fail()
	}
	if g.given != "" {
		g.mustWork(o, example{command: g.given})
	}
	mend()
	found := commandsOf(t, "../../docs/"+page)
	for _, e := range found {
		if first := g.before[e.command]; first != "" {
			g.mustWork(o, example{command: first})
		}
		if export, ok := strings.CutPrefix(e.command, "export "); ok {
			g.export(o, export)
			continue
		}
		g.mustWork(o, e)
	}
	if len(found) < g.commands {
		t.Errorf("the page has %d commands, want at least %d", len(found), g.commands)
	}
}

// pageOperator puts the name of the pages in the place of whoever runs the tests.
func pageOperator() *strings.Replacer {
	host, _ := os.Hostname()
	u, err := user.Current()
	if err != nil {
		return strings.NewReplacer()
	}
	return strings.NewReplacer(u.Username+"@"+host, "ann@host-1")
}

// fail makes what a page with failing files begins with; mend ends the cause.
func (l *lab) fail() (mend func()) {
	january, now := time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC), time.Now().UTC()
	add := func(day time.Time, id int) {
		content := simulator.FocusReport(uint64(id), january, 20) // the same on each day of a test
		l.sim.Source.Add(simulator.Object{Name: simulator.ReportName(day, int64(1_000_002_105_000+id), 1), Content: content})
	}
	for id := range 2 {
		add(now.AddDate(0, 0, -2), 321+id)
		add(now.AddDate(0, 0, -1), 400+id)
	}
	for day := range 3 {
		add(january.AddDate(0, 0, day), day)
	}
	return l.sim.OCIFaults.Add(simulator.Rule{Op: "GetObject", Name: "000210532", Do: simulator.FlipBit(7)})
}

// export serves NATS with the files that the page has made, once it is to be used.
func (g guide) export(o *operator, settings string) {
	if strings.Contains(settings, "FOCUS_NATS_URL=") {
		o.servers = strings.NewReplacer(pageServer, address(serveFolder(o.t, filepath.Join(o.dir, "keys"))))
		o.environ = append(o.environ, "FOCUS_STATE_DIR="+filepath.Join(o.dir, "host")) // another host
	}
	o.environ = append(o.environ, strings.Fields(o.servers.Replace(settings))...)
}

func (g guide) mustWork(o *operator, e example) {
	o.t.Helper()
	e.command = strings.ReplaceAll(e.command, "--host nats.example.com", "--host nats.example.com,127.0.0.1")
	printed, code := o.run(e)
	if refused := strings.HasPrefix(e.output, "error: "); refused != (code != 0) {
		o.t.Fatalf("line %d: %s exits with %d:\n%s", e.line, e.command, code, printed)
	}
	numbers := regexp.MustCompile(`[0-9]+(\.[0-9]+)?`)
	alike := func(text string) string { return numbers.ReplaceAllString(steady(text), "N") }
	// An ellipsis stands for the rest of a line.
	want := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(alike(e.output))), "…", ".*")
	if e.output != "" && !g.damaged && !regexp.MustCompile(want).MatchString(alike(printed)) {
		o.t.Errorf("line %d: %s prints\n%s\nand the page shows\n%s", e.line, e.command, printed, e.output)
	}
}

// commandsOf are those of all blocks of a page without a language or called console.
func commandsOf(t *testing.T, page string) (all []example) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "page.md")
	plain := regexp.MustCompile("(?m)^( *)```\n( *\\$ )").ReplaceAll(text, []byte("$1```console\n$2"))
	if err := os.WriteFile(file, plain, 0o600); err != nil {
		t.Fatal(err)
	}
	return examples(t, file)
}
