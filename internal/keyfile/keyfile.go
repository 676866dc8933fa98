// Package keyfile judges whether a file that holds a secret, or that says where
// data goes, is open to other users of the host. It looks and changes nothing: a crash leaves nothing behind.
package keyfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// An OpenError is a file with a secret that other users can read or change.
type OpenError struct {
	Path string
	Mode fs.FileMode
	// Fix is the command that mends it.
	Fix string
}

func (e *OpenError) Error() string {
	return fmt.Sprintf("it is open to other users (mode %04o)", e.Mode)
}

// Check refuses, with an *[OpenError], a file that others than its owner can
// read or change. The group may read a file that root owns, since that is how
// root hands a file to a service. A file that cannot be looked at passes:
// whoever reads it says more.
//
// Below /run/secrets, where container engines mount secrets, and below
// credentials, which is systemd's $CREDENTIALS_DIRECTORY, any mode passes: the
// modes there are not the operator's, and the mount keeps other users out.
func Check(path, credentials string) error {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil || below(resolved, "/run/secrets", "/var/run/secrets", credentials) {
		return nil
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return nil
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	self := os.Geteuid()
	if !ok || !open(info.Mode().Perm(), int(st.Uid), self) {
		return nil
	}
	fix := "chmod 600 " + quote(path)
	if self != 0 && self != int(st.Uid) {
		fix = fmt.Sprintf("as root: chown %d %s && %s", self, quote(path), fix)
	}
	return &OpenError{Path: path, Mode: info.Mode().Perm(), Fix: fix}
}

// open is PostgreSQL's rule for the keys of a server.
func open(mode fs.FileMode, owner, self int) bool {
	if owner == 0 && self != 0 {
		return mode&0o037 != 0
	}
	return mode&0o077 != 0
}

// Writable names what lets others than the owner change what stands at path, the
// file or a directory in which they can replace it; nil where nothing does. What
// is mounted for reading only, as container engines mount a configuration, nobody
// changes, whatever its mode says.
func Writable(path string) *OpenError {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	for _, p := range []string{resolved, filepath.Dir(resolved), filepath.Dir(path)} {
		info, err := os.Stat(p)
		if err != nil || !writable(info.Mode()) || errors.Is(syscall.Access(p, writeAccess), syscall.EROFS) {
			continue
		}
		return &OpenError{Path: p, Mode: info.Mode().Perm(), Fix: "chmod go-w " + quote(p)}
	}
	return nil
}

// writeAccess is W_OK of access(2).
const writeAccess = 2

// writable: in a directory with the sticky bit everybody replaces only what is theirs.
func writable(mode fs.FileMode) bool {
	return mode.Perm()&0o022 != 0 && (!mode.IsDir() || mode&fs.ModeSticky == 0)
}

// below tells whether a path without links lies in one of the directories.
func below(resolved string, dirs ...string) bool {
	for _, dir := range dirs {
		dir, err := filepath.EvalSymlinks(dir)
		if err != nil || !filepath.IsAbs(dir) {
			continue
		}
		if rel, err := filepath.Rel(dir, resolved); err == nil && filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

// quote makes a path one word of a shell.
func quote(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool {
		return !strings.ContainsRune("/._-+=:,@%", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
