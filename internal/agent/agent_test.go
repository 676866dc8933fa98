package agent_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// stateDir is short enough for a socket whatever the name of the test.
func stateDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "agent-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func TestTheSocketAnswers(t *testing.T) {
	dir := stateDir(t)
	ask := func(path string) (out string, err error) {
		err = agent.Ask(t.Context(), dir, path, "ping", &out)
		return out, err
	}
	if _, err := ask("/v1/x"); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("without an agent: %v, want ErrNotRunning", err)
	}
	// What a crash leaves behind is no obstacle.
	if err := os.WriteFile(agent.SocketPath(dir), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	stop, err := agent.Listen(dir, map[string]agent.Answer{
		"/v1/x":      func(_ context.Context, body []byte) (any, error) { return "got " + string(body), nil },
		"/v1/refuse": func(context.Context, []byte) (any, error) { return nil, &agent.Refusal{Text: "no", Exit: 3} },
		"/v1/fail":   func(context.Context, []byte) (any, error) { return nil, errors.New("broken") },
	})
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(agent.SocketPath(dir)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("socket: %v, %v; want mode 0600", info.Mode(), err)
	}
	if out, err := ask("/v1/x"); err != nil || out != `got "ping"` {
		t.Errorf("answer %q, %v", out, err)
	}
	for path, want := range map[string]agent.Refusal{"/v1/refuse": {Text: "no", Exit: 3}, "/v1/fail": {Text: "broken", Exit: 1}} {
		_, err := ask(path)
		if got, ok := errors.AsType[*agent.Refusal](err); !ok || *got != want {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
	stop()
	if _, err := ask("/v1/x"); !errors.Is(err, agent.ErrNotRunning) {
		t.Errorf("after the end: %v, want ErrNotRunning", err)
	}
}

func TestALongStateDirectoryStillHasASocket(t *testing.T) {
	long := filepath.Join(stateDir(t), strings.Repeat("x", 120))
	path := agent.SocketPath(long)
	if len(path) > 107 || path == agent.SocketPath(long+"y") {
		t.Errorf("socket path %q", path)
	}
}

func TestTheSocketIsNotOpenedWhereOthersCanWrite(t *testing.T) {
	dir := stateDir(t)
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if stop, err := agent.Listen(dir, nil); err == nil {
		stop()
		t.Error("listens in a directory that anybody can write to")
	}
}

func TestTheLastStatusIsKept(t *testing.T) {
	dir := stateDir(t)
	want := agent.Status{Running: true, Ready: true, PID: 7, Route: "main", InFlight: []agent.Transfer{{Object: "a"}}}
	if err := agent.WriteStatus(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := agent.ReadStatus(dir)
	if err != nil || got.Running || got.Phase != agent.Stopped || got.Ready || got.PID != 7 || len(got.InFlight) != 0 {
		t.Errorf("ReadStatus = %+v, %v: nothing runs any more", got, err)
	}
}

// files is a source of reports, with the ledger and marks of an agent.
type files struct {
	objects []messages.Object
	records map[string]messages.Record
	listErr error
}

func (f files) List(context.Context, string) iter.Seq2[messages.Object, error] {
	return func(yield func(messages.Object, error) bool) {
		for _, o := range f.objects {
			if !yield(o, nil) {
				return
			}
		}
		if f.listErr != nil {
			yield(messages.Object{}, f.listErr)
		}
	}
}

func (f files) Day(context.Context, messages.Day) (map[string]messages.Record, error) {
	return f.records, nil
}
func (f files) Read(context.Context, string) ([]byte, uint64, error)          { return nil, 0, nil }
func (f files) Write(context.Context, string, []byte, uint64) (uint64, error) { return 1, nil }
func (f files) Publish(context.Context, messages.Lane, messages.FileDiscovered) (bool, error) {
	return true, nil
}

func report(name string) messages.Object {
	return messages.Object{Name: "FOCUS Reports/2024/11/28/" + name + ".csv.gz", ETag: name + "-1", Size: 10}
}

func key(name string) string { return "main.2024.11.28." + messages.EncodeToken(name+".csv.gz") }

// newSync waits for f, and sees the given changes, each after its delay.
func newSync(t *testing.T, f files, changes ...change) *agent.Sync {
	t.Helper()
	naming, err := messages.NewNaming("{date}_{basename}", "%Y-%m-%d", "_", false)
	if err != nil {
		t.Fatal(err)
	}
	return &agent.Sync{
		MaxAttempts: 3,
		Scanner: scanner.Scanner{
			Lister: f, Ledger: f, Marks: f, Publisher: f, Route: "main", Since: "2024-01-01",
			Rules: messages.Rules{Prefix: "FOCUS Reports/", MaxSize: 100, Naming: naming}, Log: slog.New(slog.DiscardHandler),
		},
		Watch: func(ctx context.Context, seen func(string, messages.Record)) {
			for _, c := range changes {
				select {
				case <-ctx.Done():
					return
				case <-time.After(c.after):
				}
				c.record.At = time.Now()
				seen(key(c.name), c.record)
			}
			<-ctx.Done()
		},
	}
}

type change struct {
	after  time.Duration
	name   string
	record messages.Record
}

func copied(name, how string) messages.Record {
	return messages.Record{Status: messages.StatusCopied, Object: report(name), Copy: &messages.FileCopied{How: how}}
}

func retrying(name string, attempts int) messages.Record {
	return messages.Record{Status: messages.StatusRetrying, Object: report(name), Attempts: attempts, Class: messages.Unavailable, Error: "503"}
}

func TestASyncEndsWhenEveryFileIsSettled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := files{objects: []messages.Object{report("a"), report("b"), report("c"), report("d"), report("e"), report("f"), {Name: "FOCUS Reports/x", Size: 1}, {Name: report("z").Name, Size: 101}}}
		f.records = map[string]messages.Record{"f.csv.gz": copied("f", messages.HowCopied)}
		s := newSync(t, f,
			change{time.Second, "a", copied("a", messages.HowCopied)},
			change{time.Second, "b", copied("b", messages.HowAdopted)},
			change{time.Second, "c", copied("c", messages.HowRecorded)},
			change{time.Second, "d", messages.Record{Status: messages.StatusFailed, Object: report("d"), Class: messages.HashMismatch, Error: "differs"}},
			change{time.Second, "e", retrying("e", 2)},
			change{time.Hour, "e", retrying("e", 3)},
		)
		began := time.Now()
		got, err := s.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < time.Hour || took > time.Hour+time.Minute {
			t.Errorf("it took %v: the file that fails is waited for until its attempts are used up", took)
		}
		if got.Transferred != 1 || got.Adopted != 1 || got.Skipped != 2 || got.Failed != 3 || got.Ineligible != 1 || got.Discovered != 8 || got.Bytes != 10 {
			t.Errorf("summary = %+v", got)
		}
		if got.Discovered != got.Transferred+got.Adopted+got.Skipped+got.Ineligible+got.Failed {
			t.Errorf("the counts do not add up: %+v", got)
		}
		if len(got.Failures) != 3 || !strings.Contains(got.Failures[1].Reason, "3 attempts failed") {
			t.Errorf("failures = %+v", got.Failures)
		}
	})
}

func TestOldRecordsSettleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		old := retrying("a", 9)
		old.At = time.Now()
		f := files{objects: []messages.Object{report("a")}, records: map[string]messages.Record{"a.csv.gz": old}}
		s := newSync(t, f, change{time.Minute, "a", copied("a", messages.HowCopied)})
		next := s.Watch
		s.Watch = func(ctx context.Context, seen func(string, messages.Record)) {
			seen(key("a"), old) // it stands when the watch begins
			next(ctx, seen)
		}
		if got, err := s.Run(t.Context()); err != nil || got.Transferred != 1 || got.Failed != 0 {
			t.Errorf("summary = %+v, %v: what an earlier sync left behind is no result of this one", got, err)
		}
	})
}

func TestRefusedCredentialsEndASyncAtOnce(t *testing.T) {
	forbidden := &messages.Fault{Class: messages.Forbidden, Side: messages.Destination, Err: errors.New("403")}
	wrong := &messages.Fault{Class: messages.Unauthenticated, Side: messages.Destination, Err: errors.New("401")}
	for _, c := range []struct {
		name  string
		event copier.Event
		ends  bool
	}{
		{"wrong secret", copier.Event{Kind: copier.Retrying, Err: wrong}, true},
		{"one file forbidden", copier.Event{Kind: copier.Retrying, Err: forbidden}, false},
		{"all forbidden", copier.Event{Kind: copier.Held, Err: forbidden}, true},
		{"throttled", copier.Event{Kind: copier.Held, Err: &messages.Fault{Class: messages.Throttled}}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSync(t, files{objects: []messages.Object{report("a")}}, change{time.Hour, "a", copied("a", messages.HowCopied)})
				s.Event(c.event)
				began := time.Now()
				_, err := s.Run(t.Context())
				if ended := time.Since(began) < time.Minute; ended != c.ends || ended != (err != nil) {
					t.Errorf("ended after %v with %v", time.Since(began), err)
				}
			})
		})
	}
}

func TestAFailedListingIsNotAnEmptyOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broken := &messages.Fault{Class: messages.NotFound, Side: messages.Source, Err: errors.New("404")}
		s := newSync(t, files{objects: []messages.Object{report("a")}, listErr: broken})
		got, err := s.Run(t.Context())
		if !errors.Is(err, messages.NotFound) || got.Failed != 1 || got.Failures[0].Reason != "not finished" {
			t.Errorf("summary = %+v, %v", got, err)
		}
	})
}

func TestTheBoardTellsWhyNothingIsCopied(t *testing.T) {
	b := agent.NewBoard(agent.Status{Route: "main"})
	if s := b.Status(); !s.Ready || !s.Running {
		t.Errorf("at the start: %+v", s)
	}
	b.Scanned(scanner.Stats{}, errors.New("404"), time.Now())
	if s := b.Status(); s.Ready || s.Problem != "404" {
		t.Errorf("after a scan that failed: %+v", s)
	}
	b.Gate(copier.GateState{Open: true, Side: messages.Destination, Class: messages.Unavailable, Err: errors.New("503")})
	if s := b.Status(); s.Ready || !strings.Contains(s.Problem, "destination") || !strings.Contains(s.Problem, "503") {
		t.Errorf("while the destination is down: %+v", s)
	}
	b.Gate(copier.GateState{})
	b.Scanned(scanner.Stats{}, nil, time.Now())
	if s := b.Status(); !s.Ready || s.LastSuccess.IsZero() {
		t.Errorf("afterwards: %+v", s)
	}
}

func TestTheBoardFollowsATransfer(t *testing.T) {
	b := agent.NewBoard(agent.Status{})
	e := copier.Event{Object: report("a"), Report: messages.Report{Key: "k"}}
	step := func(kind copier.Kind, n int64) agent.Status {
		e.Kind, e.Bytes = kind, n
		b.Copier(e)
		return b.Status()
	}
	step(copier.Started, 0)
	if s := step(copier.Progress, 4); len(s.InFlight) != 1 || s.InFlight[0].Bytes != 4 || s.InFlight[0].Size != 10 {
		t.Errorf("in flight: %+v", s.InFlight)
	}
	if s := step(copier.Retrying, 0); len(s.InFlight) != 0 || s.Totals.Retried != 1 {
		t.Errorf("after a failure: %+v", s)
	}
	step(copier.Started, 0)
	if s := step(copier.Returned, 0); len(s.InFlight) != 0 || s.Totals.Retried != 1 {
		t.Errorf("after it went back to the queue: %+v", s)
	}
	e.Record = copied("a", messages.HowCopied)
	step(copier.Started, 0)
	if s := step(copier.Finished, 0); s.Totals.Transferred != 1 || s.Totals.Bytes != 10 || s.LastCopied == nil || s.LastCopied.Key != "k" {
		t.Errorf("at the end: %+v", s)
	}
}

func TestAnAgentThatHangsIsNotWaitedForInSilence(t *testing.T) {
	dir := stateDir(t)
	stop, err := agent.Listen(dir, map[string]agent.Answer{
		"/v1/x": func(ctx context.Context, _ []byte) (any, error) { <-ctx.Done(); return nil, ctx.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, errors.New("nothing came within 50ms"))
	defer cancel()
	err = agent.Ask(ctx, dir, "/v1/x", nil, nil)
	if err == nil || !strings.Contains(err.Error(), "does not answer") || !strings.Contains(err.Error(), "nothing came") {
		t.Errorf("Ask = %v, want that the agent does not answer, and why", err)
	}
}

// A sync over what somebody else finds, of a route that may be paused.
func TestASyncDoesNotWaitForAnOperator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paused := errors.New("paused by ann")
		for _, c := range []struct {
			name    string
			pending int
			until   time.Duration // when the pause begins
			want    error
		}{
			{"paused, and something is left", 1, 0, paused},
			{"paused later", 1, 20 * time.Second, paused},
			{"paused, and nothing is left", 0, 0, nil},
		} {
			began, finds := time.Now(), 0
			s := &agent.Sync{
				Scanner: scanner.Scanner{Route: "main", Log: slog.New(slog.DiscardHandler)},
				Watch:   func(ctx context.Context, _ func(string, messages.Record)) { <-ctx.Done() },
				Find: func(_ context.Context, found func(scanner.Outcome)) (scanner.Stats, error) {
					finds++
					for range c.pending {
						found(scanner.Outcome{Object: messages.Object{Name: "a"}, Report: messages.Report{Day: "2026-11-01", Basename: "a"}, Finding: scanner.Published})
					}
					return scanner.Stats{}, nil
				},
				Paused: func(context.Context) error {
					if time.Since(began) >= c.until {
						return paused
					}
					return nil
				},
			}
			sum, err := s.Run(t.Context())
			if !errors.Is(err, c.want) || sum.Discovered != c.pending || sum.Failed != c.pending || finds != 1 {
				t.Errorf("%s: %+v, %v after %d finds", c.name, sum, err, finds)
			}
			if took := time.Since(began); took > c.until+10*time.Second {
				t.Errorf("%s: it took %v", c.name, took)
			}
		}
	})
}
