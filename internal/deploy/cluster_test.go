package deploy

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/types"
)

// TestEachClientKnowsAllThreeServers, and asks for as many replicas: one that knew one
// server only would stop with it.
func TestEachClientKnowsAllThreeServers(t *testing.T) {
	p := load(t, overlaid, ".env.example", "ENV_FILE=.env.example", "COMPOSE_PROFILES=tools")
	for name, s := range ours(p) {
		if strings.HasPrefix(name, "nats") || name == "init" {
			continue
		}
		if urls := *s.Environment["FOCUS_NATS_URL"]; urls != "tls://nats:4222,tls://nats-2:4222,tls://nats-3:4222" {
			t.Errorf("%s knows %q", name, urls)
		}
		if n := s.Environment["FOCUS_NATS_REPLICAS"]; n == nil || *n != "3" {
			t.Errorf("%s asks for %v replicas", name, n)
		}
	}
	if urls := *p.Services["nats-cli"].Environment["NATS_URL"]; strings.Count(urls, "tls://") != 3 {
		t.Errorf("nats-cli knows %q", urls)
	}
}

// TestTheServersOfTheClusterAreAlike, but for the name and the volume of each; the
// volume of the single server is left alone, since servers that cluster would remove
// the streams in it as unknown ones.
func TestTheServersOfTheClusterAreAlike(t *testing.T) {
	p := load(t, overlaid, ".env.example", "ENV_FILE=.env.example")
	volumes := map[string]bool{}
	for _, name := range []string{"nats", "nats-2", "nats-3"} {
		s := p.Services[name]
		if got := *s.Environment["NATS_SERVER_NAME"]; got != name {
			t.Errorf("%s is called %q", name, got)
		}
		for _, v := range s.Volumes {
			if v.Target == "/data" {
				volumes[v.Source] = true
			}
		}
		if !slices.Contains(s.HealthCheck.Test, "http://127.0.0.1:8222/healthz?js-server-only=true") {
			t.Errorf("%s is well by %q", name, s.HealthCheck.Test)
		}
		if on := p.Services["setup"].DependsOn[name].Condition; on != types.ServiceConditionHealthy {
			t.Errorf("setup waits for %s to be %q", name, on)
		}
		one, first := s, p.Services["nats"]
		if one.MemLimit != first.MemLimit || one.Image != first.Image || *one.StopGracePeriod != *first.StopGracePeriod {
			t.Errorf("%s is not like nats: %+v", name, one)
		}
	}
	if len(volumes) != 3 || volumes["nats-data"] {
		t.Errorf("the servers keep their streams in %v, want three volumes of the cluster", volumes)
	}
}
