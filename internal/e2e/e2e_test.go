// Package e2e runs the stack of docker-compose.yml with a simulated OCI and S3,
// and does to it what happens to containers: they are scaled, killed, cut off
// and restarted while they work. At the end every report is at the destination.
// The simulator stands for the world outside and is left alone.
package e2e

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dustin/go-humanize"
)

// switchVariable enables the test and names the file for its last line.
const switchVariable = "E2E"

// patience bounds each wait, on a machine that does other things, too.
const patience = 90 * time.Second

func TestStack(t *testing.T) {
	if os.Getenv(switchVariable) == "" {
		t.Skip("`make e2e` runs this test, on the containers of docker-compose.yml")
	}
	s := newStack(t)
	s.start()
	s.scale()
	s.kill()
	s.cut()
	s.restartQueue()
	s.roll()
	s.finish()
}

// start: everything is healthy on the first try, and what is there is delivered.
func (s *stack) start() {
	s.compose("up", "--detach")
	s.until("every container is healthy, or has done what it had to", patience, s.allWell)
	for _, c := range s.containers() {
		if c.RestartCount != 0 {
			s.t.Fatalf("%v was started %d times more", c, c.RestartCount)
		}
	}
	s.find()
	s.delivered()
	s.untouched(0)
	s.say("1. healthy on the first try, %d containers; %d files delivered, each once", len(s.containers()), s.compare().Equal)
}

// scale: a load that waits spreads over all workers that are added.
func (s *stack) scale() {
	s.slow(800 * time.Millisecond)
	names := s.load(280)
	s.scan()
	s.waiting(150)
	s.compose("up", "--detach", "--no-recreate", "--scale", "copier=6")
	s.delivered()
	s.until("every container is healthy", patience, s.allWell)
	counts := s.workers(names)
	s.sum.containers = len(s.containers())
	if len(counts) < 4 {
		s.t.Fatalf("%d workers copied, want at least 4 of 6: %v", len(counts), counts)
	}
	s.untouched(0)
	s.say("2. scaled to 6 copiers under load: %d workers copied %v files, each once", len(counts), slices.Sorted(maps.Values(counts)))
}

// kill: copiers and the scanner end without a word in mid-work.
func (s *stack) kill() {
	before := s.compare().Repeats()
	s.load(240)
	s.scan()
	s.busy(16)
	for i, c := range s.containers("copier")[:4] {
		s.docker("kill", c.ID)
		s.sum.kills++
		if i == 1 {
			s.load(40) // for the scan that the start begins
			scanner := s.one("scanner")
			s.docker("kill", scanner.ID)
			s.sum.kills++
			s.docker("start", scanner.ID)
		}
		s.docker("start", c.ID)
	}
	s.delivered()
	s.until("every container is healthy", patience, s.allWell)
	s.say("3. killed 4 copiers and the scanner in mid-work: everything delivered, %d commits repeated", s.repeated(before))
}

// cut: one copier loses the queue, another one the world, both come back.
func (s *stack) cut() {
	before := s.compare().Repeats()
	s.load(240)
	s.scan()
	s.busy(16)
	copiers := s.containers("copier")
	for i, network := range []string{"queue", "edge"} {
		s.docker("network", "disconnect", s.project+"_"+network, copiers[i].ID)
		s.sum.cuts++
	}
	begin := time.Now()
	s.until("the one without a queue says so, and the others get its files", patience, func() (bool, string) {
		return s.asksWell(copiers[0]) != nil && time.Since(begin) > ackWait+2*time.Second, "it says that it is ready"
	})
	took := time.Since(begin)
	for i, network := range []string{"queue", "edge"} {
		s.docker("network", "connect", s.project+"_"+network, copiers[i].ID)
	}
	s.delivered()
	s.until("every container is healthy", patience, s.allWell)
	s.say("4. cut one copier from the queue and one from OCI and S3, for %v: everything delivered, %d commits repeated",
		took.Round(time.Second), s.repeated(before))
}

// restartQueue: NATS is restarted in order, and killed, in mid-work.
func (s *stack) restartQueue() {
	before := s.compare().Repeats()
	s.load(240)
	s.scan()
	s.busy(16)
	queue := s.one("nats")
	s.docker("restart", queue.ID)
	s.sum.restarts++
	s.until("the queue is back", patience, func() (bool, string) { return said(s.asksWell(queue)) })
	s.busy(12)
	s.docker("kill", queue.ID)
	s.sum.kills++
	s.docker("start", queue.ID)
	s.delivered()
	s.until("every container is healthy", patience, s.allWell)
	s.say("5. restarted and killed NATS in mid-work: everything delivered, %d commits repeated", s.repeated(before))
}

// roll: one container after the other is stopped in order and started again, as
// for an upgrade. Nothing is copied twice.
func (s *stack) roll() {
	before := s.compare().Repeats()
	s.slow(1500 * time.Millisecond)
	s.load(400)
	s.scan()
	s.busy(16)
	all := s.containers("scanner", "copier", "nats")
	for _, c := range all {
		s.restart(c)
	}
	left, err := s.queue()
	if err != nil || left.Messages == 0 {
		s.t.Fatalf("the load was over before the last restart: %+v, %v", left, err)
	}
	s.slow(100 * time.Millisecond)
	s.delivered()
	s.until("every container is healthy", patience, s.allWell)
	s.untouched(before)
	s.say("6. restarted %d containers one by one under load: each ended with 0 in at most %.1f s; everything delivered, each once",
		len(all), s.sum.slowest.Seconds())
}

// finish: both sides are equal, and nothing is left anywhere.
func (s *stack) finish() {
	c := s.compare()
	q, err := s.queue()
	if err != nil {
		s.t.Fatal(err)
	}
	if !c.Complete() || q.Messages != 0 || q.Dead != 0 {
		s.t.Fatalf("in the end: %+v; queue %+v", c, q)
	}
	for _, c := range s.containers() {
		if c.RestartCount != 0 || c.State.OOMKilled {
			s.t.Errorf("%v ended by itself: %d restarts, out of memory: %t", c, c.RestartCount, c.State.OOMKilled)
		}
	}
	logs, err := s.composeCommand.run(s.ctx, "logs", "--no-color")
	if err != nil || strings.Contains(logs, "panic") {
		s.t.Errorf("the logs tell of a panic, or cannot be read: %v", err)
	}
	s.sum.files, s.sum.bytes, s.sum.repeats = c.Equal, c.SourceBytes, c.Repeats()
	if s.t.Failed() {
		return
	}
	conclude(s.t, fmt.Sprintf("e2e: %d containers, %d files of %s, %d kills, %d cuts, %d restarts in %v: every file is equal to its source; "+
		"the same bytes were committed again %d times, all after a kill or a cut; no upload is open, no message and no dead letter is left",
		s.sum.containers, s.sum.files, humanize.IBytes(uint64(s.sum.bytes)), s.sum.kills, s.sum.cuts, s.sum.restarts,
		time.Since(s.began).Round(time.Second), s.sum.repeats))
}

// scan makes the scanner look now: it does when it starts.
func (s *stack) scan() {
	s.t.Helper()
	s.docker("restart", s.one("scanner").ID)
	s.sum.restarts++
}

// waiting waits until so many files wait in the queue.
func (s *stack) waiting(n uint64) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d files wait", n), patience, func() (bool, string) {
		q, err := s.queue()
		return err == nil && q.Live.Waiting >= n, fmt.Sprintf("%+v, %v", q, err)
	})
}

// busy waits until so many copies are under way while others wait.
func (s *stack) busy(n int) {
	s.t.Helper()
	s.until(fmt.Sprintf("%d copies are under way", n), patience, func() (bool, string) {
		q, err := s.queue()
		return err == nil && q.Live.InFlight >= n && q.Live.Waiting > 0, fmt.Sprintf("%+v, %v", q, err)
	})
}

// restart stops a container in order, and waits for it to work again.
func (s *stack) restart(c container) {
	s.t.Helper()
	begin := time.Now()
	s.docker("stop", "--time", "30", c.ID)
	took := time.Since(begin)
	if code := s.inspect(c).State.ExitCode; code != 0 || took > 30*time.Second {
		s.t.Fatalf("%v ended with %d after %v", c, code, took)
	}
	s.sum.slowest = max(s.sum.slowest, took)
	s.docker("start", c.ID)
	s.sum.restarts++
	s.until(fmt.Sprintf("%v works again", c), patience, func() (bool, string) { return said(s.asksWell(c)) })
}

// delivered waits for both sides to be equal and for an empty queue.
func (s *stack) delivered() {
	s.t.Helper()
	s.until("every file is delivered", patience, func() (bool, string) {
		c := s.compare()
		if !c.Complete() {
			return false, fmt.Sprintf("%d of %d equal, %d different, %d extra, %d uploads open", c.Equal, c.SourceObjects, len(c.Different), len(c.Extra), len(c.OpenUploads))
		}
		q, err := s.queue()
		return err == nil && q.Messages == 0, fmt.Sprintf("%+v, %v", q, err)
	})
}

// untouched wants no commit of bytes that were there since before.
func (s *stack) untouched(before int) {
	s.t.Helper()
	if n := s.repeated(before); n != 0 {
		s.t.Fatalf("without a fault %d commits were repeated: %v", n, s.compare().Repeated)
	}
}

func (s *stack) repeated(before int) int { return s.compare().Repeats() - before }

func (s *stack) allWell() (bool, string) {
	for _, c := range s.containers() {
		if !c.well() {
			return false, fmt.Sprintf("%v is %+v", c, c.State)
		}
	}
	return true, ""
}

func said(err error) (bool, string) {
	if err != nil {
		return false, err.Error()
	}
	return true, ""
}
