package cli_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/s3"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A comparison is what `verify --json` prints, as far as it is looked at here.
type comparison struct {
	messages.Verification
	Files  []messages.Deviation `json:"files"`
	Repair *struct {
		Files  []messages.Deviation  `json:"files"`
		Left   int                   `json:"left"`
		Before messages.Verification `json:"before"`
	} `json:"repair"`
}

func (c comparison) marks() (out []string) {
	for _, f := range c.Files {
		out = append(out, f.Mark+" "+f.Key[strings.LastIndex(f.Key, "_")+1:])
	}
	return out
}

// verify runs `verify --json` with more arguments, and holds it to the exit code.
func (w *world) verify(t *testing.T, code int, args ...string) (c comparison) {
	t.Helper()
	r := w.run(t, append([]string{"verify", "--json"}, args...)...).want(t, code)
	if err := json.Unmarshal([]byte(r.stdout), &c); err != nil {
		t.Fatalf("verify --json: %v in %q", err, r.stdout)
	}
	return c
}

// overwrite puts an object under a key past the agent, as a worker would that was frozen.
func (w *world) overwrite(t *testing.T, key string, c simulator.Content, etag string) {
	t.Helper()
	client, err := s3.Open(t.Context(), s3.Options{
		Bucket: w.S3Bucket, Region: w.S3Region, Endpoint: w.S3URL, PathStyle: true, AccessKeyID: w.AccessKeyID, SecretAccessKey: w.SecretAccessKey, Connections: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	body, err := io.ReadAll(c.Open(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Put(t.Context(), key, body, copier.Meta{Name: "x", ETag: etag}); err != nil {
		t.Fatal(err)
	}
}

// damage delivers four reports, of which one is then lost, one is put back to an older
// version of the same size, and one loses a bit; a stranger is beside them.
func (w *world) damage(t *testing.T) {
	t.Helper()
	zombie := simulator.Object{Name: nameOf(2, "zombie.csv.gz"), Content: simulator.Random(1, 700)}
	w.add(object(1, "equal.csv.gz", 500), object(1, "lost.csv.gz", 600), zombie, object(3, "flipped.csv.gz", 800))
	w.sync(t, 0)
	old := ""
	for _, o := range w.S3.Objects() {
		if strings.HasSuffix(o.Key, "zombie.csv.gz") {
			old = o.Metadata["oci-etag"]
		}
	}
	w.add(simulator.Object{Name: zombie.Name, Content: simulator.Random(2, 700)})
	w.sync(t, 0)
	w.breakAgain(t, zombie.Content, old)
}

func (w *world) breakAgain(t *testing.T, zombie simulator.Content, etag string) {
	t.Helper()
	w.overwrite(t, w.prefix()+daysAgo(2)+"_zombie.csv.gz", zombie, etag)
	w.S3.Delete(w.prefix() + daysAgo(1) + "_lost.csv.gz")
	w.overwrite(t, w.prefix()+daysAgo(3)+"_flipped.csv.gz", simulator.Random(3, 800), "")
	w.overwrite(t, w.prefix()+daysAgo(1)+"_stranger.csv.gz", simulator.Random(4, 100), "")
}

func TestVerifyFindsAndRepairsWhatDiffers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.says(t, 1, []string{"verify"}, "there is no ledger to compare with yet")
	w.damage(t)
	w.add(object(0, "new.csv.gz", 900))
	all := []string{"* flipped.csv.gz", "* zombie.csv.gz", "+ lost.csv.gz", "- stranger.csv.gz"}
	if c := w.verify(t, 6); !slices.Equal(c.marks(), all) || c.Equal != 1 || c.Pending != 1 || c.Destination != "head" || !c.Listed {
		t.Errorf("verify = %v, %+v", c.marks(), c)
	}
	w.says(t, 6, []string{"verify"}, "of version", "gone from the destination", "neither the source nor the ledger", "DIFFERENT; 1 equal", "1 not due yet, 1 missing, 1 only there, 2 different")
	if c := w.verify(t, 6, "--quiet-equal=false", "--day", daysAgo(1)); !slices.Equal(c.marks(), []string{"= equal.csv.gz", "+ lost.csv.gz", "- stranger.csv.gz"}) {
		t.Errorf("verify of a day = %v", c.marks())
	}
	commits := len(w.S3.History())
	if c := w.verify(t, 6, "--repair", "--dry-run", "--from", daysAgo(2)); c.Repair == nil || len(c.Repair.Files) != 2 || c.Repair.Left != 1 || len(w.S3.History()) != commits {
		t.Errorf("verify --repair --dry-run = %+v", c)
	}
	// What is only there stays, and so the exit code.
	c := w.verify(t, 6, "--repair")
	if !slices.Equal(c.marks(), []string{"- stranger.csv.gz"}) || c.Ordered != 3 || c.Repair == nil || c.Repair.Before.Differ() != 4 || len(w.S3.History()) != commits+3 {
		t.Errorf("verify --repair = %v, %+v; %d commits", c.marks(), c, len(w.S3.History())-commits)
	}
	w.S3.Delete(w.prefix() + daysAgo(1) + "_stranger.csv.gz")
	w.says(t, 0, []string{"verify", "--full"}, "equal; 4 equal, 1 not due yet", "by HEAD")
	w.sync(t, 0)
	for _, o := range w.Source.Objects() {
		key, _ := w.keyOf(o.Name, 0)
		if err := w.compare(o, key); err != nil {
			t.Error(err)
		}
	}
	w.says(t, 0, []string{"audit"}, "verify --repair", "3 files")
	for _, bad := range [][]string{{"--day", "x"}, {"--to", daysAgo(1)}, {"--from", daysAgo(1), "--to", daysAgo(2)}, {"--dry-run"}, {"--full", "--day", daysAgo(1)}, {"--timeout", "-1s"}} {
		w.run(t, append([]string{"verify"}, bad...)...).want(t, 2)
	}
}

func TestTheRunningAgentVerifiesAndRepairs(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.damage(t)
	agent := w.start(t, "run")
	eventually(t, "the agent has scanned", func() bool { s, code := w.status(t); return code == 0 && s.LastSuccess != "" })
	if c := w.verify(t, 6, "--repair"); !slices.Equal(c.marks(), []string{"- stranger.csv.gz"}) || c.Ordered != 3 {
		t.Errorf("verify --repair = %v, %+v", c.marks(), c)
	}
	w.says(t, 0, []string{"status"}, "verified", "4 equal, 1 only there (`verify` lists them)")
	// What is asked of some days says nothing about the others.
	w.says(t, 0, []string{"verify", "--day", daysAgo(3)}, "equal; 1 equal")
	w.says(t, 0, []string{"status"}, "4 equal, 1 only there")
	w.set("FOCUS_S3_BUCKET_PATH", "s3://"+w.S3Bucket+"/elsewhere")
	w.says(t, 2, []string{"verify"}, "the running agent was started for another source or destination")
	if r := agent.stop(); r.code != 0 {
		t.Errorf("the agent ended with %d", r.code)
	}
}

func TestWhatVerifyCannotSeeItSays(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{Policy: simulator.PutOnly})
	w.add(object(1, "a.csv.gz", 500))
	w.sync(t, 0)
	w.S3.Delete(w.prefix() + daysAgo(1) + "_a.csv.gz")
	w.says(t, 0, []string{"verify"}, "source and ledger agree; 1 equal", "destination unreadable", "only source and ledger were compared")
	ctx, cancel := context.WithCancel(t.Context())
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Times: 1, Do: simulator.Hook(cancel)})
	w.runContext(ctx, t, "verify").want(t, 130)
	w.OCIFaults.Add(simulator.Rule{Op: "ListObjects", Do: simulator.Status(401, "NotAuthenticated")})
	w.says(t, 3, []string{"verify"}, "401")
}

// A destination that ingests takes away what it has read.
func TestWhatWasIngestedIsNeitherMissingNorSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{}, "FOCUS_VERIFY_ABSENT=ingested")
	w.add(object(1, "taken.csv.gz", 500), object(1, "there.csv.gz", 600))
	w.sync(t, 0)
	w.S3.Delete(w.prefix() + daysAgo(1) + "_taken.csv.gz")
	if c := w.verify(t, 0, "--repair"); c.Ingested != 1 || c.Equal != 1 || len(w.S3.History()) != 2 {
		t.Errorf("verify --repair = %+v, %d commits", c, len(w.S3.History()))
	}
	w.says(t, 0, []string{"verify"}, "1 equal, 1 ingested")
	w.set("FOCUS_VERIFY_ABSENT", "missing")
	if c := w.verify(t, 6); c.Missing != 1 {
		t.Errorf("verify = %+v", c)
	}
}

// Where nearly all is gone, somebody takes it away: costs are sent twice only for the
// days that an operator names.
func TestAnEmptiedDestinationIsNotFilledAgainUnasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	w.says(t, 0, []string{"sync"})
	w.says(t, 0, []string{"verify"}, "equal; 0 equal", "nothing to look at")
	for n := range 21 {
		w.add(object(1+n%2, fmt.Sprintf("%d.csv.gz", n), 100))
	}
	w.sync(t, 0)
	for _, o := range w.S3.Objects() {
		if !strings.HasSuffix(o.Key, "_7.csv.gz") {
			w.S3.Delete(o.Key)
		}
	}
	w.says(t, 6, []string{"verify"}, "most of them are missing", "verify.absent")
	if r := w.run(t, "verify", "--repair").want(t, 2); !strings.Contains(r.stderr, "20 files are missing and 1 are there") || len(w.S3.History()) != 21 {
		t.Errorf("verify --repair says %q, %d commits", r.stderr, len(w.S3.History()))
	}
	if c := w.verify(t, 0, "--repair", "--from", daysAgo(2)); c.Equal != 21 || len(w.S3.History()) != 41 {
		t.Errorf("of named days: %+v, %d commits", c, len(w.S3.History()))
	}
}

// age makes the ledger older, so that its first comparison is due.
func age(t *testing.T, l *nats.Ledger, by time.Duration) {
	t.Helper()
	raw, revision, err := l.Read(t.Context(), messages.IdentityKey("main"))
	if err != nil {
		t.Fatal(err)
	}
	i, err := messages.DecodeIdentity(raw)
	if err != nil {
		t.Fatal(err)
	}
	i.Created = i.Created.Add(-by)
	if raw, err = i.Encode(); err != nil {
		t.Fatal(err)
	}
	if _, err = l.Write(t.Context(), messages.IdentityKey("main"), raw, revision); err != nil {
		t.Fatal(err)
	}
}

// TestOneOfSeveralScannersVerifies: each of them scans, and shows what one has found.
func TestOneOfSeveralScannersVerifies(t *testing.T) {
	t.Parallel()
	w := newWorld(t, simulator.Options{})
	server := w.external(t)
	w.add(object(1, "lost.csv.gz", 500), object(1, "there.csv.gz", 600))
	w.sync(t, 0)
	w.S3.Delete(w.prefix() + daysAgo(1) + "_lost.csv.gz")
	conn := server.Connect(t)
	ledger, err := conn.Ledger(t.Context(), messages.Define("focus", "main", 1, time.Minute).State, "main")
	if err != nil {
		t.Fatal(err)
	}
	age(t, ledger, 48*time.Hour)
	scanners := []*background{w.start(t, "scanner"), w.start(t, "scanner"), w.start(t, "scanner")}
	var v messages.Verification
	eventually(t, "the result stands in the ledger", func() bool {
		raw, _, err := ledger.Read(t.Context(), messages.VerificationKey("main"))
		if err != nil || raw == nil {
			return false
		}
		v, err = messages.DecodeVerification(raw)
		return err == nil && !v.Started.IsZero()
	})
	if !v.Scheduled || v.Missing != 1 || v.Equal != 1 || v.Full.IsZero() || !v.Claimed.IsZero() || len(v.Differences) != 1 {
		t.Errorf("%+v", v)
	}
	eventually(t, "an instance shows it", func() bool { return strings.Contains(w.run(t, "status", "--json").stdout, `"missing": 1`) })
	compared := 0
	for _, s := range scanners {
		compared += strings.Count(s.stop().stderr, "source, ledger and destination compared")
	}
	if compared != 1 {
		t.Errorf("%d scanners have compared", compared)
	}
}
