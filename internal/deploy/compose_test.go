// Package deploy holds what must be true of the files in deploy and of
// docker-compose.yml, as tests. internal/e2e runs them.
package deploy

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// load reads compose files, comma separated, as Compose v2 does; docker-compose 1.29
// reads them in internal/e2e.
func load(t *testing.T, files, envFile string, more ...string) *types.Project {
	t.Helper()
	var paths []string
	for file := range strings.SplitSeq(files, ",") {
		paths = append(paths, filepath.Join(root, file))
	}
	opts, err := cli.NewProjectOptions(paths,
		cli.WithWorkingDirectory(root), cli.WithEnvFiles(filepath.Join(root, envFile)), cli.WithDotEnv,
		cli.WithEnv(more), cli.WithDefaultProfiles(), cli.WithInterpolation(true), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	p, err := opts.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// overlaid is the stack over three servers.
const overlaid = "docker-compose.yml,deploy/cluster.yml"

func demo(t *testing.T) *types.Project { return load(t, "docker-compose.yml", "deploy/demo.env") }

// usual is the stack of a user who copied .env.example.
func usual(t *testing.T) *types.Project {
	return load(t, "docker-compose.yml", ".env.example", "ENV_FILE=.env.example")
}

func TestTheDemoIsOneFlagAway(t *testing.T) {
	names := demo(t).ServiceNames()
	slices.Sort(names)
	if want := []string{"copier", "init", "nats", "scanner", "setup", "simulator"}; !slices.Equal(names, want) {
		t.Errorf("the demo has the services %q, want %q", names, want)
	}
	names = usual(t).ServiceNames()
	slices.Sort(names)
	if want := []string{"copier", "init", "nats", "scanner", "setup"}; !slices.Equal(names, want) {
		t.Errorf("the stack has the services %q, want %q", names, want)
	}
}

func TestEveryProfileLoads(t *testing.T) {
	p := load(t, "docker-compose.yml", "deploy/demo.env", "COMPOSE_PROFILES=demo,tools,monitoring")
	if n := len(p.ServiceNames()); n != 10 {
		t.Errorf("%d services with every profile, want 10: %q", n, p.ServiceNames())
	}
}

// ours are the services that run programs of this project.
func ours(p *types.Project) map[string]types.ServiceConfig {
	services := map[string]types.ServiceConfig{}
	for name, s := range p.Services {
		if strings.HasPrefix(s.Image, "oracle-focus-agent") {
			services[name] = s
		}
	}
	return services
}

func TestContainersMayDoLittle(t *testing.T) {
	for _, p := range []*types.Project{
		load(t, "docker-compose.yml", "deploy/demo.env", "COMPOSE_PROFILES=demo,tools"),
		load(t, overlaid, "deploy/demo.env", "COMPOSE_PROFILES=demo,tools"),
		load(t, "deploy/copiers.yml", "deploy/demo.env", "FOCUS_NATS_URL=tls://nats.example.com:4222"),
	} {
		for name, s := range ours(p) {
			if s.MemLimit == 0 {
				t.Errorf("%s has no limit of memory", name)
			}
			if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true") || s.PidsLimit == 0 || s.Privileged {
				t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v, pids_limit %d", name, s.ReadOnly, s.CapDrop, s.SecurityOpt, s.PidsLimit)
			}
			if s.User != "" {
				t.Errorf("%s: user %q; the image's own, 65532, is the one that the volumes belong to", name, s.User)
			}
		}
	}
}

func TestCopiersScale(t *testing.T) {
	for _, p := range []*types.Project{
		usual(t), load(t, "deploy/copiers.yml", "deploy/demo.env", "FOCUS_NATS_URL=tls://nats.example.com:4222"),
	} {
		c := p.Services["copier"]
		if c.ContainerName != "" || len(c.Ports) > 0 {
			t.Errorf("container name %q and ports %v allow only one copier", c.ContainerName, c.Ports)
		}
		if c.Scale == nil || *c.Scale != 2 {
			t.Errorf("scale %v, want the 2 of COPIERS", c.Scale)
		}
	}
}

// TestNothingIsKilledWhileItDrains: a process ends within 25 seconds of SIGTERM.
func TestNothingIsKilledWhileItDrains(t *testing.T) {
	for name, s := range ours(demo(t)) {
		if name == "simulator" {
			continue
		}
		if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < 28*time.Second {
			t.Errorf("%s: stop_grace_period %v", name, s.StopGracePeriod)
		}
	}
}

func TestOnlyWhoNeedsASecretHasIt(t *testing.T) {
	want := map[string][]string{
		"scanner": {"oci_config", "oci_key.pem", "aws_credentials"}, "copier": {"oci_config", "oci_key.pem", "aws_credentials"},
		"agent": {"oci_config", "oci_key.pem", "aws_credentials"},
	}
	keys := map[string][]string{
		"init": {"admin", "agent", "ca", "copier", "scanner", "server", "system", "viewer"},
		"nats": {"server"}, "setup": {"admin"}, "scanner": {"scanner"}, "copier": {"copier"},
		"agent": {"agent"}, "nats-cli": {"viewer"},
	}
	for name, s := range load(t, "docker-compose.yml", ".env.example", "ENV_FILE=.env.example", "COMPOSE_PROFILES=tools").Services {
		var secrets, mounted []string
		for _, secret := range s.Secrets {
			secrets = append(secrets, secret.Source)
		}
		for _, v := range s.Volumes {
			if key, ok := strings.CutPrefix(v.Target, "/keys/"); ok {
				mounted = append(mounted, key)
				if name != "init" && !v.ReadOnly {
					t.Errorf("%s can change %s", name, v.Target)
				}
			}
		}
		slices.Sort(mounted)
		if !slices.Equal(secrets, want[name]) || !slices.Equal(mounted, keys[name]) {
			t.Errorf("%s: secrets %q and keys %q, want %q and %q", name, secrets, mounted, want[name], keys[name])
		}
	}
}

// TestOrderOfTheStart: a container starts when what it needs is well, so that
// the stack comes up on the first try.
func TestOrderOfTheStart(t *testing.T) {
	want := map[string]map[string]string{
		"nats":    {"init": types.ServiceConditionCompletedSuccessfully},
		"setup":   {"nats": types.ServiceConditionHealthy},
		"scanner": {"setup": types.ServiceConditionCompletedSuccessfully},
		"copier":  {"setup": types.ServiceConditionCompletedSuccessfully},
	}
	for name, s := range usual(t).Services {
		got := map[string]string{}
		for on, d := range s.DependsOn {
			got[on] = d.Condition
		}
		if len(got) != len(want[name]) {
			t.Errorf("%s depends on %v, want %v", name, got, want[name])
		}
		for on, condition := range want[name] {
			if got[on] != condition {
				t.Errorf("%s depends on %s: %q, want %q", name, on, got[on], condition)
			}
		}
	}
}

// TestThePortsOfThisHostAreLoopback unless somebody says otherwise.
func TestThePortsOfThisHostAreLoopback(t *testing.T) {
	for name, s := range load(t, "docker-compose.yml", "deploy/demo.env", "COMPOSE_PROFILES=demo,tools,monitoring").Services {
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes %s on %q", name, port.Published, port.HostIP)
			}
		}
	}
}

// TestTheTwoImageFilesAgree: one copies what is built, the other builds it too.
func TestTheTwoImageFilesAgree(t *testing.T) {
	stages := func(file string) string {
		raw, err := os.ReadFile(filepath.Join(root, "deploy/image", file))
		if err != nil {
			t.Fatal(err)
		}
		_, text, ok := strings.Cut(string(raw), "FROM scratch AS base")
		if !ok {
			t.Fatalf("%s has no stage base", file)
		}
		var lines []string
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "COPY") {
				lines = append(lines, line)
			}
		}
		return strings.Join(lines, "")
	}
	if a, b := stages("Dockerfile"), stages("multistage.Dockerfile"); a != b {
		t.Errorf("the images differ:\n%s\n---\n%s", a, b)
	}
}

// TestALostLedgerIsNoticed: what says that there was one outlives NATS and the
// container. Docker starts a scanner again that has refused to go on without.
func TestALostLedgerIsNoticed(t *testing.T) {
	p := load(t, "docker-compose.yml", ".env.example", "ENV_FILE=.env.example", "COMPOSE_PROFILES=tools")
	for _, name := range []string{"scanner", "agent"} {
		keeps := slices.ContainsFunc(p.Services[name].Volumes, func(v types.ServiceVolumeConfig) bool {
			return v.Source == "state" && v.Target == "/data" && !v.ReadOnly
		})
		if !keeps {
			t.Errorf("%s keeps no note of the ledger in /data", name)
		}
	}
}
