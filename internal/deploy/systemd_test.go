package deploy

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// need skips the test where a program of the system is missing.
func need(t *testing.T, program, pkg string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not here, so that this is not tried (Debian: apt-get install %s)", program, pkg)
	}
}

func unit(name string) string { return filepath.Join(root, "deploy", "systemd", name) }

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestTheUnitsAreHardened: at most 1.5 of 10, by systemd's own measure.
func TestTheUnitsAreHardened(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	for _, name := range []string{"oracle-focus-agent.service", "oracle-focus-agent@.service"} {
		out, err := exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=15", unit(name)).CombinedOutput()
		if err != nil || !strings.Contains(string(out), "Overall exposure level") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
}

// TestTheUnitsAreValid: with the example of the credentials, and with a program in
// place of the one that is not installed here.
func TestTheUnitsAreValid(t *testing.T) {
	need(t, "systemd-analyze", "systemd")
	dir := t.TempDir()
	for _, name := range []string{"oracle-focus-agent.service", "oracle-focus-agent@.service"} {
		text := strings.ReplaceAll(read(t, unit(name)), "/usr/local/bin/oracle-focus-agent", "/bin/true")
		write(t, filepath.Join(dir, name), text)
		write(t, filepath.Join(dir, name+".d", "credentials.conf"), read(t, unit("credentials.conf")))
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", filepath.Join(dir, strings.Replace(name, "@.", "@copier.", 1))).CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "oracle-focus-agent") {
				t.Errorf("%s: %s", name, line)
			}
		}
		if err != nil && len(out) == 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestTheUnitOfTheRolesIsTheSame but for what names the role.
func TestTheUnitOfTheRolesIsTheSame(t *testing.T) {
	one := strings.Split(read(t, unit("oracle-focus-agent.service")), "\n")
	each := strings.Split(read(t, unit("oracle-focus-agent@.service")), "\n")
	if len(one) != len(each) {
		t.Fatalf("%d and %d lines", len(one), len(each))
	}
	for i, line := range each {
		line = strings.ReplaceAll(strings.TrimSuffix(line, ": %i"), "-agent %i ", "-agent run ")
		if line != one[i] && !strings.HasPrefix(line, "#") {
			t.Errorf("line %d: %q and %q", i+1, one[i], each[i])
		}
	}
}

// TestLogrotateTakesItsFile, with users that there are.
func TestLogrotateTakesItsFile(t *testing.T) {
	need(t, "logrotate", "logrotate")
	dir := t.TempDir()
	group, err := exec.Command("id", "-gn").Output()
	if err != nil {
		t.Fatal(err)
	}
	user, err := exec.Command("id", "-un").Output()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer(
		"oracle-focus-agent oracle-focus-agent", strings.TrimSpace(string(user))+" "+strings.TrimSpace(string(group)),
		"/var/log/oracle-focus-agent", dir,
	).Replace(read(t, filepath.Join(root, "deploy", "logrotate.conf")))
	write(t, filepath.Join(dir, "agent.log"), "a line\n")
	write(t, filepath.Join(dir, "conf"), text)
	cmd := exec.Command("logrotate", "--debug", "--force", "--state", filepath.Join(dir, "state"), filepath.Join(dir, "conf"))
	out, err := cmd.CombinedOutput()
	if err != nil || strings.Contains(string(out), "error:") || !strings.Contains(string(out), "renaming "+dir+"/agent.log to "+dir+"/agent.log.1") {
		t.Errorf("%v\n%s", err, out)
	}
}
