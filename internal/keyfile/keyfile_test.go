package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestFilesThatOthersCanReadAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		mode        fs.FileMode
		owner, self int
		want        bool
	}{
		{0o600, 1000, 1000, false}, {0o400, 1000, 1000, false}, {0o400, 0, 0, false}, {0o700, 1000, 1000, false},
		{0o644, 1000, 1000, true}, {0o640, 1000, 1000, true}, {0o604, 1000, 1000, true}, {0o620, 1000, 1000, true}, {0o601, 1000, 1000, true},
		{0o640, 0, 1000, false}, {0o440, 0, 1000, false}, // root hands it to the group of the service
		{0o644, 0, 1000, true}, {0o660, 0, 1000, true}, {0o640, 0, 0, true}, {0o640, 1001, 1000, true},
	} {
		if got := open(tt.mode, tt.owner, tt.self); got != tt.want {
			t.Errorf("open(%04o, owner %d, self %d) = %v", tt.mode, tt.owner, tt.self, got)
		}
	}
}

func TestTheErrorSaysWhatMendsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a key's.pem")
	write(t, path, 0o644)
	err := Check(path, "")
	e, ok := errors.AsType[*OpenError](err)
	if !ok || err.Error() != "it is open to other users (mode 0644)" {
		t.Fatalf("Check = %v", err)
	}
	if want := "chmod 600 '" + filepath.Dir(path) + `/a key'\''s.pem'`; e.Fix != want || e.Path != path {
		t.Errorf("Fix = %s, want %s", e.Fix, want)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Check(path, ""); err != nil {
		t.Errorf("Check after the fix = %v", err)
	}
}

// What container engines and systemd mount has modes of their own. A link into
// such a directory counts as its target, and so does one that leads out.
func TestMountedSecretsMayHaveAnyMode(t *testing.T) {
	t.Parallel()
	mount, home := t.TempDir(), t.TempDir()
	write(t, filepath.Join(mount, "..data"), 0o444)
	write(t, filepath.Join(home, "key"), 0o444)
	link(t, "..data", filepath.Join(mount, "key"))
	link(t, filepath.Join(mount, "key"), filepath.Join(home, "in"))
	link(t, filepath.Join(home, "key"), filepath.Join(mount, "out"))
	for path, want := range map[string]bool{
		filepath.Join(mount, "key"): true, filepath.Join(home, "in"): true,
		filepath.Join(mount, "out"): false, filepath.Join(home, "key"): false, filepath.Join(mount, "..", filepath.Base(home), "key"): false,
		filepath.Join(mount, "none"): true, // whoever reads it says that it is missing
	} {
		if err := Check(path, mount); (err == nil) != want {
			t.Errorf("Check(%s) = %v", path, err)
		}
	}
	if err := Check(filepath.Join(mount, "key"), ""); err == nil {
		t.Error("a directory that is none of systemd's was trusted")
	}
	if below(home+"x", home) || below(home, "") {
		t.Error("a directory beside a trusted one is trusted")
	}
}

func write(t *testing.T, path string, mode fs.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
