package deploy

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// program builds the program once for all tests.
var program = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "oracle-focus-agent")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "./cmd/oracle-focus-agent")
	cmd.Dir, cmd.Env = root, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return os.ReadFile(path)
})

// A yard is a copy of what the script installs, and the tree that it installs into.
type yard struct {
	t    *testing.T
	dir  string
	tree string
	env  []string
}

func newYard(t *testing.T) *yard {
	t.Helper()
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	y := &yard{t: t, dir: t.TempDir(), tree: t.TempDir()}
	y.env = append(os.Environ(), "DESTDIR="+y.tree)
	if err := os.CopyFS(filepath.Join(y.dir, "deploy"), os.DirFS(filepath.Join(root, "deploy"))); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(y.dir, "config.template.yaml"), read(t, filepath.Join(root, "config.template.yaml")))
	y.program(binary)
	return y
}

func (y *yard) program(binary []byte) {
	y.t.Helper()
	path := filepath.Join(y.dir, "bin", "oracle-focus-agent")
	write(y.t, path, string(binary))
	if err := os.Chmod(path, 0o755); err != nil {
		y.t.Fatal(err)
	}
}

// script runs deploy/install.sh, which must succeed.
func (y *yard) script(args ...string) (stdout string) {
	y.t.Helper()
	out, err := y.try(args...)
	if err != nil {
		y.t.Fatalf("install.sh %v: %v\n%s", args, err, out)
	}
	return out
}

func (y *yard) try(args ...string) (out string, err error) {
	cmd := exec.Command(filepath.Join(y.dir, "deploy", "install.sh"), args...)
	cmd.Env = y.env
	raw, err := cmd.CombinedOutput()
	return string(raw), err
}

// files is every file of the tree with its mode and sum.
func (y *yard) files() map[string]string {
	y.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(y.tree, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		files["/"+strings.TrimPrefix(path, y.tree+"/")] = fmt.Sprintf("%v %x", info.Mode(), sha256.Sum256(text))
		return err
	})
	if err != nil {
		y.t.Fatal(err)
	}
	return files
}

func TestASecondInstallationChangesNothing(t *testing.T) {
	y := newYard(t)
	if out := y.script("--dry-run"); !strings.Contains(out, "would write /usr/local/bin/oracle-focus-agent\n") || len(y.files()) > 0 {
		t.Errorf("a dry run wrote %v and said\n%s", y.files(), out)
	}
	dry := y.script("--dry-run")
	first := y.script()
	if got := strings.ReplaceAll(dry, "would ", ""); !strings.HasPrefix(first, got) {
		t.Errorf("a dry run told\n%sand the installation\n%s", got, first)
	}
	files := y.files()
	for _, want := range []string{
		"/usr/local/bin/oracle-focus-agent", "/etc/oracle-focus-agent/config.yaml", "/etc/systemd/system/oracle-focus-agent.service",
		"/etc/systemd/system/oracle-focus-agent@.service", "/etc/logrotate.d/oracle-focus-agent", "/usr/local/share/man/man1/oracle-focus-agent-run.1",
		"/usr/local/share/bash-completion/completions/oracle-focus-agent",
	} {
		if files[want] == "" {
			t.Errorf("%s is not installed", want)
		}
	}
	if again := y.script(); strings.Count(again, "\n") != 1 || !strings.HasPrefix(again, "installed") {
		t.Errorf("the second run says\n%s", again)
	}
	if after := y.files(); !equal(files, after) {
		t.Errorf("the second run changed the tree:\n%v\n%v", files, after)
	}
}

func equal(x, y map[string]string) bool {
	for name, sum := range x {
		if y[name] != sum {
			return false
		}
	}
	return len(x) == len(y)
}

// TestAnUpgradeKeepsTheConfiguration, and takes the new program and unit.
func TestAnUpgradeKeepsTheConfiguration(t *testing.T) {
	y := newYard(t)
	y.script("--prefix", "/usr")
	if unit := read(t, filepath.Join(y.tree, "etc/systemd/system/oracle-focus-agent.service")); !strings.Contains(unit, "ExecStart=/usr/bin/oracle-focus-agent run ") {
		t.Errorf("the unit does not start the program where it is:\n%s", unit)
	}
	config := filepath.Join(y.tree, "etc/oracle-focus-agent/config.yaml")
	write(t, config, "mine\n")
	write(t, filepath.Join(y.tree, "etc/systemd/system/oracle-focus-agent.service"), "old\n")
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	binary = append(slices.Clone(binary), "newer"...)
	y.program(binary)
	y.script("--prefix", "/usr")
	if got := read(t, config); got != "mine\n" {
		t.Errorf("the configuration is %q", got)
	}
	if got, err := os.ReadFile(filepath.Join(y.tree, "usr/bin/oracle-focus-agent")); err != nil || !bytes.Equal(got, binary) {
		t.Errorf("the program was not renewed: %v", err)
	}
	if unit := read(t, filepath.Join(y.tree, "etc/systemd/system/oracle-focus-agent.service")); unit == "old\n" {
		t.Error("the unit was not renewed")
	}
}

func TestUninstallLeavesConfigurationAndStateAlone(t *testing.T) {
	y := newYard(t)
	y.script()
	write(t, filepath.Join(y.tree, "var/lib/oracle-focus-agent/status.json"), "{}")
	write(t, filepath.Join(y.tree, "usr/local/bin/another"), "")
	y.script("--uninstall", "--dry-run")
	if n := len(y.files()); n < 10 {
		t.Errorf("a dry run left %d files", n)
	}
	y.script("--uninstall")
	left := func() (names []string) {
		for name := range y.files() {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if got, want := left(), []string{"/etc/oracle-focus-agent/config.yaml", "/usr/local/bin/another", "/var/lib/oracle-focus-agent/status.json"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	y.script("--uninstall")
	y.script("--uninstall", "--purge")
	if got, want := left(), []string{"/usr/local/bin/another"}; !slices.Equal(got, want) {
		t.Errorf("left after --purge: %q, want %q", got, want)
	}
}

func TestTheScriptRefusesWhatItDoesNotKnow(t *testing.T) {
	y := newYard(t)
	for _, args := range [][]string{{"--purge"}, {"--purgee"}, {"--prefix"}, {"--prefix", "usr"}, {"--prefix", "/"}, {"--prefix", "/a|b"}, {"--binary", "/nowhere"}} {
		if out, err := y.try(args...); err == nil || !strings.HasPrefix(out, "install.sh: ") || len(y.files()) > 0 {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}

func TestAProgramThatDoesNotRunIsNotInstalled(t *testing.T) {
	y := newYard(t)
	if out, err := y.try("--binary", "/bin/false"); err == nil || len(y.files()) > 0 {
		t.Errorf("%v, and the tree holds %v\n%s", err, y.files(), out)
	}
}

func TestShellcheckFindsNothing(t *testing.T) {
	need(t, "shellcheck", "shellcheck")
	if out, err := exec.Command("shellcheck", filepath.Join(root, "deploy", "install.sh")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestTheCommandsOfTheInstallationWork: each of docs/installation.md, one after the
// other as in one terminal, below a tree of its own. What would change the system, and
// what needs a running systemd, is replaced by a program that notes its arguments.
func TestTheCommandsOfTheInstallationWork(t *testing.T) {
	y := newYard(t)
	bin := filepath.Join(t.TempDir(), "bin")
	noted := filepath.Join(t.TempDir(), "noted")
	stub := func(name, script string) {
		write(t, filepath.Join(bin, name), "#!/bin/sh\n"+script+"\n")
		if err := os.Chmod(filepath.Join(bin, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"make", "systemctl", "journalctl", "useradd", "logrotate", "oracle-focus-agent", "systemd-analyze", "chgrp"} {
		stub(name, `echo "${0##*/} $*" >> "$NOTED"`)
	}
	stub("sudo", `exec "$@"`)
	for _, name := range []string{"oci_config", "oci_key.pem", "aws_credentials"} {
		write(t, filepath.Join(y.dir, name), "")
	}
	commands := matches(t, "docs/installation.md", `(?m)^\$ (.*)$`)
	var run strings.Builder
	run.WriteString("set -e\n")
	for _, c := range commands {
		c = strings.ReplaceAll(c, "-g oracle-focus-agent ", "") // there is no such group here
		for _, dir := range []string{" /etc/", " /usr/local/"} {
			c = strings.ReplaceAll(c, dir, " "+y.tree+strings.TrimPrefix(dir, " "))
		}
		run.WriteString(c + "\n")
		if strings.HasPrefix(c, "sudo cp credentials.conf") {
			run.WriteString("cd " + y.dir + "\n")
		}
	}
	cmd := exec.Command("sh", "-c", run.String())
	cmd.Dir = y.dir
	cmd.Env = append(y.env, "PATH="+bin+":"+os.Getenv("PATH"), "NOTED="+noted)
	if out, err := cmd.CombinedOutput(); err != nil || len(commands) < 20 {
		t.Fatalf("%d commands: %v\n%s", len(commands), err, out)
	}
	if got := y.files(); len(got) > 0 {
		t.Errorf("the last command, a purge, left %v", got)
	}
	if text := read(t, noted); !strings.Contains(text, "systemctl enable --now oracle-focus-agent@copier\n") {
		t.Errorf("noted:\n%s", text)
	}
}
