package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// configured is a world whose destination and names stand in a YAML file.
type configured struct {
	*world
	file string
}

func newConfigured(t *testing.T) *configured {
	t.Helper()
	c := &configured{newWorld(t, simulator.Options{Days: 1, FilesPerDay: 3}), filepath.Join(t.TempDir(), "config.yaml")}
	c.unset("FOCUS_S3_BUCKET_PATH")
	c.set("FOCUS_CONFIG", c.file)
	c.write(t, "old", "")
	c.sync(t, 0)
	if got := c.count("old/"); got != 3 {
		t.Fatalf("%d objects below old/, want 3", got)
	}
	return c
}

// write makes the file anew: the destination path and further lines.
func (c *configured) write(t *testing.T, path, more string) {
	t.Helper()
	text := fmt.Sprintf("s3:\n  bucket_path: s3://%s/%s\n%s", c.S3Bucket, path, more)
	if err := os.WriteFile(c.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// count is how many objects have a key that begins so.
func (c *configured) count(prefix string) (n int) {
	for _, o := range c.S3.Objects() {
		if strings.HasPrefix(o.Key, prefix) {
			n++
		}
	}
	return n
}

// refused runs sync, which must end with 2 and name everything, and change nothing.
func (c *configured) refused(t *testing.T, words ...string) {
	t.Helper()
	commits, requests := len(c.S3.History()), c.OCI.Requests()["ListObjects"]
	for _, args := range [][]string{{"sync"}, {"sync", "--dry-run"}, {"run"}} {
		r := c.run(t, args...).want(t, 2)
		for _, word := range append(words, "--accept-new-destination", "--moved", "oci.name") {
			if !strings.Contains(r.stderr, word) {
				t.Errorf("%q does not name %q: %s", args, word, r.stderr)
			}
		}
	}
	if got := len(c.S3.History()); got != commits {
		t.Errorf("%d commits, want %d", got, commits)
	}
	if got := c.OCI.Requests()["ListObjects"]; got != requests {
		t.Errorf("%d listings, want %d: the refusal comes before any effect", got, requests)
	}
}

func TestAChangedDestinationIsRefusedUntilAcceptedAndThenGetsEverything(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	c.write(t, "new", "")
	c.refused(t, "s3.bucket_path", `"old/"`, `"new/"`)
	if plan := c.run(t, "sync", "--dry-run", "--accept-new-destination").want(t, 0).stdout; !strings.Contains(plan, "3 files") {
		t.Errorf("the plan of the acceptance does not speak of 3 files: %s", plan)
	}
	c.refused(t, `"old/"`) // the plan has accepted nothing
	if got := c.sync(t, 0, "--accept-new-destination").Transferred; got != 3 {
		t.Errorf("%d transferred, want 3", got)
	}
	if c.count("new/") != 3 || c.count("old/") != 3 {
		t.Errorf("%d objects below new/ and %d below old/, want 3 and 3", c.count("new/"), c.count("old/"))
	}
	if s := c.sync(t, 0); s.Skipped != 3 { // it is the destination now
		t.Errorf("the next sync = %+v, want 3 skipped", s)
	}
}

func TestAMovedDestinationGetsOnlyWhatIsNew(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	c.write(t, "new", "")
	if s := c.sync(t, 0, "--moved"); s.Transferred != 0 || s.Skipped != 3 {
		t.Errorf("sync --moved = %+v, want 3 skipped", s)
	}
	c.add(object(1, "new.csv.gz", 500))
	if got := c.sync(t, 0).Transferred; got != 1 || c.count("new/") != 1 || c.count("old/") != 3 {
		t.Errorf("%d transferred, %d below new/, %d below old/; want 1, 1 and 3", got, c.count("new/"), c.count("old/"))
	}
}

func TestAnotherRouteHasALedgerOfItsOwn(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	c.write(t, "new", "oci:\n  name: second\n")
	if got := c.sync(t, 0).Transferred; got != 3 || c.count("new/") != 3 {
		t.Errorf("%d transferred, %d below new/; want 3 and 3", got, c.count("new/"))
	}
	c.write(t, "old", "")
	if s := c.sync(t, 0); s.Skipped != 3 { // and the first one still stands
		t.Errorf("sync of the first route = %+v, want 3 skipped", s)
	}
}

// The same data under other names would double the costs.
func TestAChangedTemplateIsRefusedUntilAccepted(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	for _, lines := range []string{
		"naming:\n  template: \"{YYYY}_{MM}_{DD}/{basename}\"\n",
		"naming:\n  separator: \"-\"\n",
		"naming:\n  date_format: \"%Y%m%d\"\n",
	} {
		c.write(t, "old", lines)
		c.refused(t, "naming.template", "{YYYY}")
	}
	c.write(t, "old", "naming:\n  template: \"{YYYY}_{MM}_{DD}/{basename}\"\n")
	if got := c.sync(t, 0, "--accept-new-destination").Transferred; got != 3 {
		t.Errorf("%d transferred, want 3", got)
	}
	for _, o := range c.S3.Objects() {
		if rest := strings.TrimPrefix(o.Key, "old/"); strings.Contains(rest, "/") != strings.Contains(rest, "_"+rest[8:10]+"/") || len(rest) < 12 {
			t.Errorf("the key %q follows neither template", o.Key)
		}
	}
}

func TestAnotherSourceIsRefused(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	c.write(t, "old", "oci:\n  prefix: \"FOCUS Reports/2026\"\n")
	c.refused(t, "oci.prefix", `"FOCUS Reports/2026/"`)
}

// The agent keeps the configuration that it was started with.
func TestASyncBesideAnAgentThatWorksForAnotherDestinationIsRefused(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	agent := c.start(t, "run")
	eventually(t, "the agent answers", func() bool { _, code := c.status(t); return code == 0 })
	c.write(t, "new", "")
	for _, args := range [][]string{{"sync", "--json"}, {"sync", "--dry-run"}} {
		r := c.run(t, args...).want(t, 2)
		for _, word := range []string{"s3.bucket_path", `"old/"`, `"new/"`, "start it again"} {
			if !strings.Contains(r.stderr, word) {
				t.Errorf("%q does not name %q: %s", args, word, r.stderr)
			}
		}
	}
	agent.stop().want(t, 0)
}

// Whoever works for the route must not go on with the destination that another
// process has given up.
func TestProcessesOfADestinationThatWasGivenUpEnd(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	c.external(t)
	c.set("FOCUS_NATS_ACK_WAIT", "10") // what was lent to a copier just as it ended comes back then
	c.sync(t, 0, "--resend")           // another queue, and another ledger
	old := []*background{c.start(t, "run"), c.start(t, "scanner"), c.start(t, "copier")}
	eventually(t, "the agent has scanned", func() bool { s, code := c.status(t); return code == 0 && s.LastSuccess != "" })
	c.set("FOCUS_STATE_DIR", c.dir+"-of-another-host")
	c.write(t, "new", "")
	c.run(t, "scanner").want(t, 2)
	commits := len(c.S3.History())
	// Only the scanner accepts: its messages are not for the copiers of the old.
	scanner := c.start(t, "scanner", "--accept-new-destination")
	for _, b := range old {
		if r := (<-b.done).want(t, 2); !strings.Contains(r.stderr, "another source or destination") {
			t.Errorf("the process of the old destination says %s", r.stderr)
		}
	}
	scanner.stop().want(t, 0)
	if got := len(c.S3.History()); got != commits {
		t.Errorf("%d commits, want still %d", got, commits)
	}
	if got := c.sync(t, 0).Transferred; got != 3 || c.count("new/") != 3 {
		t.Errorf("%d transferred, %d below new/; want 3 and 3", got, c.count("new/"))
	}
}

// A ledger that lost its identity must not read as "all done" for whatever
// destination comes next.
func TestALedgerWithoutIdentityIsRefusedUntilTold(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	forget := func() {
		t.Helper()
		conn, done := c.queue(t)
		defer done()
		js, err := jetstream.New(conn.NATS())
		if err != nil {
			t.Fatal(err)
		}
		kv, err := js.KeyValue(t.Context(), "focus_state")
		if err != nil {
			t.Fatal(err)
		}
		if err := kv.Purge(t.Context(), messages.IdentityKey("main")); err != nil {
			t.Fatal(err)
		}
	}
	forget()
	c.write(t, "new", "")
	if r := c.run(t, "sync").want(t, 2); !strings.Contains(r.stderr, "--moved") || !strings.Contains(r.stderr, "--accept-new-destination") {
		t.Errorf("the refusal does not name the ways out: %s", r.stderr)
	}
	if got := c.sync(t, 0, "--accept-new-destination").Transferred; got != 3 || c.count("new/") != 3 {
		t.Errorf("accepted: %d transferred, %d below new/; want 3 and 3", got, c.count("new/"))
	}
	forget()
	if got := c.sync(t, 0, "--moved").Skipped; got != 3 {
		t.Errorf("as before: %d skipped, want 3", got)
	}
	c.sync(t, 0)
}

// A ledger that is lost under a running agent is rebuilt with its identity.
func TestARunningAgentGivesALostLedgerItsIdentityBack(t *testing.T) {
	t.Parallel()
	c := newConfigured(t)
	srv := c.external(t)
	c.sync(t, 0, "--resend") // another queue, and another ledger
	b := c.start(t, "run")
	js, err := jetstream.New(srv.Connect(t).NATS())
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "focus_state")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the agent has scanned", func() bool { s, code := c.status(t); return code == 0 && s.LastSuccess != "" })
	if err := kv.Purge(t.Context(), messages.IdentityKey("main")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the identity is back", func() bool { _, err := kv.Get(t.Context(), messages.IdentityKey("main")); return err == nil })
	b.stop().want(t, 0)
}
