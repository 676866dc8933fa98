package cli_test

import (
	"context"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/simulator"
	"oracle-focus-agent/messages"
)

// A natsServer is a NATS server in a process of its own, which keeps its port
// and its files over restarts.
type natsServer struct {
	t         *testing.T
	dir, port string
	*process
}

func newNATSServer(t *testing.T) *natsServer {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return &natsServer{t: t, dir: shortDir(t), port: port}
}

func (s *natsServer) url() string { return "nats://127.0.0.1:" + s.port }

func (s *natsServer) up() {
	s.t.Helper()
	s.process = startProcess(s.t, []string{"GORACE=atexit_sleep_ms=0"}, "test-nats-server", s.dir, s.port)
	until(s.t, "the nats server is up", patience, func() bool { return strings.Contains(s.stdout.String(), "nats://") })
}

// connect is for the test's own questions.
func (s *natsServer) connect(ackWait time.Duration) *broker {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	conn, err := nats.Connect(ctx, nats.Options{URLs: []string{s.url()}, Name: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(conn.Close)
	return &broker{t: s.t, url: s.url(), conn: conn, assets: messages.Define("focus", "main", 1, ackWait)}
}

// The outage is shorter than the ack wait, and a copy is under way all the time.
func TestACopyOutlivesARestartOfNATS(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		end  syscall.Signal
	}{{"in order", syscall.SIGTERM}, {"killed", syscall.SIGKILL}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t, simulator.Options{Policy: simulator.PutOnly})
			const ackWait = 2 * time.Minute
			server := newNATSServer(t)
			server.up()
			l = l.with("NATS_URL="+server.url(), "FOCUS_NATS_ACK_WAIT="+ackWait.String())
			if code, stdout, stderr := l.run("setup"); code != 0 {
				t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
			}
			queue := server.connect(ackWait)
			l.add(1, 1, 2*labPart)
			for id := range 8 {
				l.add(2, id+2, 1000)
			}
			h := l.hold(l.sim.OCIFaults, simulator.Rule{Op: "GetObject", Name: "/0000000000000001-", Times: 1}, labPart)
			c, s := l.start("copier"), l.start("scanner")
			h.mustBeReached(t)
			s.says("sync complete")
			until(t, "all but the large file are copied", patience, func() bool { return len(l.wrong()) == 1 && queue.status().Live.InFlight == 1 })

			server.signal(tt.end)
			server.exit(patience)
			c.says("nats connection lost")
			server.up()
			c.says("re-established")
			h.letGo()
			until(t, "the large file is copied and recorded", patience, func() bool {
				return len(l.wrong()) == 0 && queue.conn.Health() == nil && l.recorded(queue) && queue.empty()
			})

			// Work goes on: with what the next scan finds.
			l.add(1, 100, 1000)
			l.start("scanner").says("sync complete")
			until(t, "a new file is copied", patience, func() bool { return len(l.wrong()) == 0 })
			for _, p := range []*process{c, s} {
				if code := p.stop(); code != 0 {
					t.Errorf("%s exits with %d, want 0", p.name, code)
				}
			}
			l.mustBeRight()
			l.mustHaveCommittedOnce()
		})
	}
}

// A role that is started before its queue waits for it, and says so.
func TestRolesStartedBeforeNATSWaitForIt(t *testing.T) {
	t.Parallel()
	server := newNATSServer(t)
	l := newLab(t, simulator.Options{}, "NATS_URL="+server.url(), "FOCUS_NATS_MANAGE=create")
	l.add(1, 1, 1000)
	c, s := l.start("copier"), l.start("scanner")
	for _, p := range []*process{c, s} {
		p.says(server.port) // of the server that it waits for
	}
	server.up()
	until(t, "the file is copied", patience, func() bool { return len(l.wrong()) == 0 })
	for _, p := range []*process{c, s} {
		if code := p.stop(); code != 0 {
			t.Errorf("%s exits with %d, want 0", p.name, code)
		}
	}
	l.mustHaveCommittedOnce()
}

// A command that an operator waits for says that NATS is away instead of hanging.
func TestCommandsSayThatNATSIsAway(t *testing.T) {
	t.Parallel()
	server := newNATSServer(t)
	l := newLab(t, simulator.Options{}, "NATS_URL="+server.url())
	var all []*process
	for _, args := range [][]string{{"test"}, {"setup"}, {"failed", "list"}, {"sync"}} {
		all = append(all, l.start(args...))
	}
	for _, p := range all {
		code := p.exit(patience / 2)
		if out := p.stdout.String() + p.stderr.String(); code != 1 || !strings.Contains(out, server.port) {
			t.Errorf("%s exits with %d, want 1 with the server's address:\n%s", p.name, code, out)
		}
	}
}

// A stop ends the wait for NATS, too.
func TestSIGTERMEndsTheWaitForNATS(t *testing.T) {
	t.Parallel()
	server := newNATSServer(t)
	l := newLab(t, simulator.Options{}, "NATS_URL="+server.url())
	p := l.start("copier")
	p.says(server.port)
	if code := p.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
}

// Copiers and the NATS server die again and again, each at a moment drawn from
// the seed. What was lent to a dead copier comes again after the ack wait.
func TestKillingCopiersAndNATSInTurnLosesNothing(t *testing.T) {
	t.Parallel()
	const seed, kills, ackWait = 3, 5, 2 * time.Second
	rng := rand.New(rand.NewPCG(seed, 0))
	server := newNATSServer(t)
	server.up()
	l := newLab(t, simulator.Options{Seed: seed, Days: 8, FilesPerDay: 6, Rows: 3, Policy: simulator.PutOnly},
		"NATS_URL="+server.url(), "FOCUS_NATS_ACK_WAIT="+ackWait.String(), "FOCUS_AGENT_MAX_CONCURRENT_TRANSFERS=2")
	l.add(1, 1, 2*labPart+1)
	l.add(5, 2, labPart+1)
	if code, stdout, stderr := l.run("setup"); code != 0 {
		t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
	}
	queue := server.connect(ackWait)
	l.start("scanner").says("sync complete")
	copiers := []*process{l.start("copier"), l.start("copier")}
	for range kills {
		reached := make(chan struct{})
		fault := simulator.Hook(sync.OnceFunc(func() { close(reached) }))
		if rng.IntN(2) == 0 {
			fault = fault.Applied()
		}
		remove := l.sim.S3Faults.Add(simulator.Rule{After: rng.IntN(6), Times: 1, Do: fault})
		select {
		case <-reached:
		case <-time.After(10 * time.Second): // little is left to do
		}
		if victim := rng.IntN(3); victim < 2 {
			copiers[victim].kill()
			copiers[victim] = l.start("copier")
		} else {
			server.kill()
			server.up()
		}
		remove()
	}
	until(t, "all is copied and recorded", patience, func() bool {
		return len(l.wrong()) == 0 && queue.conn.Health() == nil && l.recorded(queue) && queue.empty()
	})
	t.Logf("%d commits for %d files", len(l.sim.S3.History()), len(l.sim.Source.Objects()))
	for _, p := range copiers {
		if code := p.stop(); code != 0 {
			t.Errorf("exit %d, want 0", code)
		}
	}
	for _, u := range l.sim.S3.OpenUploads() {
		if u.Parts > 0 { // one without parts is what a crash right after its creation may leave
			t.Errorf("left open: %+v", u)
		}
	}
}

// NATS is away exactly when the copy is to be recorded, for longer than one call
// may take. The copy is not made again for that.
func TestACommitWhileNATSIsAwayIsRecordedWhenItIsBack(t *testing.T) {
	t.Parallel()
	const ackWait = 2 * time.Minute
	server := newNATSServer(t)
	server.up()
	l := newLab(t, simulator.Options{Policy: simulator.PutOnly}, "NATS_URL="+server.url(), "FOCUS_NATS_ACK_WAIT="+ackWait.String())
	if code, stdout, stderr := l.run("setup"); code != 0 {
		t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
	}
	queue := server.connect(ackWait)
	l.add(1, 1, 1000)
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "PutObject", Times: 1}, 0)
	c := l.start("copier")
	l.start("scanner").says("sync complete")
	h.mustBeReached(t)
	server.kill()
	c.says("nats connection lost")
	h.letGo()
	until(t, "the file is committed", patience, func() bool { return len(l.wrong()) == 0 })
	c.says("the ledger d") // does not answer
	server.up()
	until(t, "the copy is recorded", ackWait/2, func() bool { return queue.conn.Health() == nil && l.recorded(queue) && queue.empty() })
	if code := c.stop(); code != 0 {
		t.Errorf("exit %d, want 0", code)
	}
	l.mustHaveCommittedOnce()
}

// The end does not wait for a queue that is away.
func TestSIGTERMEndsACopyInTimeAlthoughNATSIsAway(t *testing.T) {
	t.Parallel()
	server := newNATSServer(t)
	server.up()
	l := newLab(t, simulator.Options{}, "NATS_URL="+server.url())
	if code, stdout, stderr := l.run("setup"); code != 0 {
		t.Fatalf("setup exits with %d:\n%s%s", code, stdout, stderr)
	}
	l.add(1, 1, 3*labPart)
	h := l.hold(l.sim.S3Faults, simulator.Rule{Op: "UploadPart", After: 1, Times: 1}, 0)
	c := l.start("copier")
	s := l.start("scanner")
	h.mustBeReached(t)
	s.says("sync complete")
	server.kill()
	c.says("nats connection lost")
	for _, p := range []*process{s, c} {
		if code := p.stop(); code != 0 {
			t.Errorf("%s exits with %d, want 0", p.name, code)
		}
	}
	if open := l.sim.S3.OpenUploads(); len(open) != 1 { // it is noted: whoever gets the file ends it
		t.Errorf("%+v is open, want the upload that is noted", open)
	}
}
