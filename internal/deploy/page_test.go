package deploy

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestThePageIsOneMoreHostOfTheStack: beside the stack, which stays as it is, a process with
// the rights and the work of `run`, and as little else as the others may.
func TestThePageIsOneMoreHostOfTheStack(t *testing.T) {
	p := load(t, "docker-compose.yml,deploy/page.yml", ".env.example", "ENV_FILE=.env.example")
	s, without := p.Services["page"], usual(t)
	if got, want := len(p.Services), len(without.Services)+1; got != want {
		t.Errorf("%d services, want %d", got, want)
	}
	if !slices.Equal(s.Command, []string{"run"}) || s.DependsOn["setup"].Condition != types.ServiceConditionCompletedSuccessfully {
		t.Errorf("it runs %q after %v", s.Command, s.DependsOn)
	}
	like := p.Services["copier"]
	if s.Image != like.Image || s.MemLimit != like.MemLimit || s.CPUS != like.CPUS || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
		!slices.Equal(s.SecurityOpt, like.SecurityOpt) || s.PidsLimit != like.PidsLimit || s.User != "" || time.Duration(*s.StopGracePeriod) < 28*time.Second {
		t.Errorf("it may do more than a copier: %+v", s)
	}
	var secrets, volumes []string
	for _, secret := range s.Secrets {
		secrets = append(secrets, secret.Source)
	}
	for _, v := range s.Volumes {
		volumes = append(volumes, v.Source+" at "+v.Target)
		if strings.HasPrefix(v.Target, "/keys/") && !v.ReadOnly {
			t.Errorf("it can change %s", v.Target)
		}
	}
	if want := []string{"oci_config", "oci_key.pem", "aws_credentials", "http_token"}; !slices.Equal(secrets, want) {
		t.Errorf("it has the secrets %q, want %q", secrets, want)
	}
	// Its own state: two agents cannot hold the lock of one directory.
	if want := []string{"page-state at /data", "keys-agent at /keys/agent", "simulator at /simulator"}; !slices.Equal(volumes, want) {
		t.Errorf("it has the volumes %q, want %q", volumes, want)
	}
}

// TestThePageOfTheStackAsksWhoComes: within its container it listens to others, for whom
// only this host's loopback leads there.
func TestThePageOfTheStackAsksWhoComes(t *testing.T) {
	p := load(t, "docker-compose.yml,deploy/page.yml", ".env.example", "ENV_FILE=.env.example")
	s := p.Services["page"]
	for name, want := range map[string]string{"FOCUS_HTTP_PAGE": "true", "FOCUS_HTTP_TOKEN_FILE": "/run/secrets/http_token", "FOCUS_NATS_NKEY_FILE": "/keys/agent/user.nk", "FOCUS_NATS_INBOX_PREFIX": "_INBOX_agent"} {
		if got := s.Environment[name]; got == nil || *got != want {
			t.Errorf("%s is not %q", name, want)
		}
	}
	if len(s.Ports) != 1 || s.Ports[0].HostIP != "127.0.0.1" || s.Ports[0].Target != 9464 {
		t.Errorf("it is published as %+v", s.Ports)
	}
}
