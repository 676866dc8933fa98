package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestCluster runs the stack over three servers of NATS, with copiers of two more
// hosts, and kills each of the servers in turn while files are copied.
func TestCluster(t *testing.T) {
	if os.Getenv(switchVariable) == "" {
		t.Skip("`make cluster` runs this test, on the containers of docker-compose.yml and deploy/cluster.yml")
	}
	s := newStack(t, "deploy/cluster.yml", "internal/e2e/testdata/cluster.yml")
	s.start()
	s.sum.containers = len(s.containers())
	s.join("host-a", "host-b")
	s.killEachServer()
	s.finish()
}

// join starts deploy/copiers.yml twice, as two other hosts do: they know the stack by
// environment variables, and have a key. Both copy.
func (s *stack) join(hosts ...string) {
	s.slow(800 * time.Millisecond)
	mine := map[string]string{} // host name of the container by host
	for _, host := range hosts {
		mine[host] = s.host(host)
	}
	names := s.load(160)
	s.scan()
	s.delivered()
	counts := s.workers(names)
	for host, name := range mine {
		if counts[name] == 0 {
			s.t.Fatalf("%s has copied nothing; the files were copied by %v", host, counts)
		}
	}
	s.say("2. two more hosts joined by environment variables alone, and copied %d and %d of %d files", counts[mine[hosts[0]]], counts[mine[hosts[1]]], len(names))
}

// host starts copiers.yml as a project of its own and returns the host name of the
// only container.
func (s *stack) host(name string) string {
	s.t.Helper()
	h := *s
	h.project = s.project + "-" + name
	h.composeCommand.words = slices.Concat(s.engineWords, []string{
		"--env-file", s.environmentFile, "--project-name", h.project, "--project-directory", s.root,
		"--file", filepath.Join(s.root, "deploy/copiers.yml"), "--file", filepath.Join(s.root, "internal/e2e/testdata/host.yml"),
	})
	h.composeCommand.environ = append(slices.Clone(s.composeCommand.environ), "COPIERS=1",
		"FOCUS_NATS_URL=tls://nats:4222,tls://nats-2:4222,tls://nats-3:4222", "FOCUS_NATS_REPLICAS=3", "E2E_STACK="+s.project)
	s.guests = append(s.guests, &h)
	h.compose("up", "--detach")
	c := h.one("copier")
	s.until(name+" is healthy", patience, func() (bool, string) {
		c = h.one("copier")
		return c.well(), fmt.Sprintf("%+v", c.State)
	})
	return c.Config.Hostname
}

// killEachServer kills the leader of the queue first, and then the others; while one
// is away, files are found, copied and recorded.
func (s *stack) killEachServer() {
	before := s.compare().Repeats()
	var killed []string
	for _, name := range s.leaderFirst() {
		s.load(80)
		s.scan()
		s.busy(8)
		node := s.one(name)
		s.docker("kill", node.ID)
		s.sum.kills++
		s.delivered()
		s.load(40)
		s.scan()
		s.delivered()
		s.until("the queue says who is away", patience, func() (bool, string) {
			q, err := s.queue()
			return err == nil && slices.Equal(q.Lagging, []string{name}), fmt.Sprintf("%+v, %v", q, err)
		})
		s.docker("start", node.ID)
		s.until(name+" has caught up", patience, func() (bool, string) {
			q, err := s.queue()
			return err == nil && len(q.Lagging) == 0 && s.asksWell(node) == nil, fmt.Sprintf("%+v, %v", q, err)
		})
		killed = append(killed, name)
	}
	s.until("every container is healthy", patience, s.allWell)
	s.say("3. killed %v in turn under load, the leader first: with two of three everything was found and delivered; %d commits repeated", killed, s.repeated(before))
}

// leaderFirst are the servers of the queue, the one that keeps it before the others.
func (s *stack) leaderFirst() []string {
	s.t.Helper()
	names := []string{"nats", "nats-2", "nats-3"}
	q, err := s.queue()
	i := -1
	if err == nil {
		i = slices.Index(names, q.Leader)
	}
	if i < 0 {
		s.t.Fatalf("nobody leads the queue: %+v, %v", q, err)
	}
	names[0], names[i] = names[i], names[0]
	return names
}
