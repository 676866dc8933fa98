package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A container as `docker inspect` shows it.
type container struct {
	ID           string `json:"Id"`
	Name         string
	RestartCount int
	State        struct {
		Status    string
		ExitCode  int
		OOMKilled bool
		Health    *struct{ Status string }
	}
	Config struct {
		Hostname    string
		Labels      map[string]string
		Healthcheck *struct{ Test []string }
	}
}

// Labels that both versions of Compose put on what they create.
const (
	projectLabel = "com.docker.compose.project"
	serviceLabel = "com.docker.compose.service"
	numberLabel  = "com.docker.compose.container-number"
)

func (c container) service() string { return c.Config.Labels[serviceLabel] }

func (c container) String() string { return c.service() + " " + c.Config.Labels[numberLabel] }

// well reports whether a container is as it should be: at work and healthy, or at
// the end of what it had to do.
func (c container) well() bool {
	if c.State.Status == "exited" {
		return c.State.ExitCode == 0 && (c.service() == "init" || c.service() == "setup")
	}
	return c.State.Status == "running" && (c.State.Health == nil || c.State.Health.Status == "healthy")
}

// A command is docker or Compose with the arguments that come first.
type command struct {
	words   []string
	environ []string
	dir     string
}

// run returns what a command prints on stdout; its error holds what it says.
func (c command) run(ctx context.Context, args ...string) (string, error) {
	words := slices.Concat(c.words, args)
	cmd := exec.CommandContext(ctx, words[0], words[1:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir, cmd.Env = &stdout, &stderr, c.dir, c.environ
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, stderr.String())
	}
	return strings.TrimSpace(stdout.String()), nil
}

// engine finds Docker and Compose, of version 2 or 1. The error is a notice for
// whoever has none.
func engine(ctx context.Context) (docker, compose []string, err error) {
	docker = []string{"docker"}
	if _, err := (command{words: docker}).run(ctx, "info"); err != nil {
		return nil, nil, errors.New("no Docker engine answers `docker info`")
	}
	for _, compose := range [][]string{{"docker", "compose"}, {"docker-compose"}} {
		if _, err := (command{words: compose}).run(ctx, "version"); err == nil {
			return docker, compose, nil
		}
	}
	return nil, nil, errors.New("neither `docker compose` nor `docker-compose` is here")
}

// containers of the project, of some services or of all, in order.
func (s *stack) containers(services ...string) []container {
	s.t.Helper()
	ids := strings.Fields(s.docker("ps", "--all", "--quiet", "--no-trunc", "--filter", "label="+projectLabel+"="+s.project))
	if len(ids) == 0 {
		return nil
	}
	var all []container
	if err := json.Unmarshal([]byte(s.docker(append([]string{"inspect"}, ids...)...)), &all); err != nil {
		s.t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(c container) bool { return len(services) > 0 && !slices.Contains(services, c.service()) })
	slices.SortFunc(all, func(a, b container) int {
		if a.service() != b.service() {
			return strings.Compare(a.service(), b.service())
		}
		n, _ := strconv.Atoi(a.Config.Labels[numberLabel])
		m, _ := strconv.Atoi(b.Config.Labels[numberLabel])
		return n - m
	})
	return all
}

// one is the only container of a service.
func (s *stack) one(service string) container {
	s.t.Helper()
	all := s.containers(service)
	if len(all) != 1 {
		s.t.Fatalf("%d containers of %s, want 1", len(all), service)
	}
	return all[0]
}

// inspect looks at a container again.
func (s *stack) inspect(c container) container {
	s.t.Helper()
	var now []container
	if err := json.Unmarshal([]byte(s.docker("inspect", c.ID)), &now); err != nil {
		s.t.Fatal(err)
	}
	return now[0]
}

// address is where this host reaches a port of a container. It changes with each
// start of the container.
func (s *stack) address(c container, port string) (string, error) {
	out, err := s.dockerCommand.run(s.ctx, "port", c.ID, port)
	first, _, _ := strings.Cut(out, "\n")
	return first, err
}

// asksWell runs the health check of a container in it, now instead of at the
// engine's next turn.
func (s *stack) asksWell(c container) error {
	if c.Config.Healthcheck == nil || len(c.Config.Healthcheck.Test) < 2 {
		return nil
	}
	_, err := s.dockerCommand.run(s.ctx, append([]string{"exec", c.ID}, c.Config.Healthcheck.Test[1:]...)...)
	return err
}
