// Package daemon puts a process into the background and finds it again.
//
// A PID file is only as good as the lock on it. The kernel holds that lock for the
// process that wrote the file, ends it with the process however that dies, and
// names the holder to whoever asks. So a stale file, a PID that another process has
// by now, or a file that somebody put there are all the same: nobody holds it, and
// nobody is signalled.
package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"oracle-focus-agent/internal/failpoint"
)

// A PIDFile is held by this process. A lock of this kind ends when the process
// closes any descriptor of the file, so that nothing else of it may open the file.
type PIDFile struct {
	path string
	file *os.File
}

// An AlienError is something in place of the PID file that is no file of an agent.
type AlienError struct{ Path, What string }

func (e *AlienError) Error() string {
	return e.Path + " is " + e.What + ", which no agent makes; remove it"
}

// ErrHeld means that another process lives and holds the PID file.
var ErrHeld = errors.New("another process holds it")

// WritePIDFile makes path the PID file of this process. It is there in one step,
// complete and locked. A symbolic link in its place is replaced and not followed,
// and a directory in which others could replace the file is refused.
func WritePIDFile(path string) (*PIDFile, error) {
	dir := filepath.Dir(path)
	if err := trusted(dir); err != nil {
		return nil, err
	}
	info, err := os.Lstat(path)
	if err == nil && info.IsDir() {
		return nil, &AlienError{path, "a directory"}
	}
	if err == nil && info.Mode().IsRegular() {
		if pid, err := Holder(path); err != nil || pid != 0 && pid != os.Getpid() {
			return nil, errors.Join(fmt.Errorf("%s: %w (PID %d)", path, ErrHeld, pid), err)
		}
	}
	file, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, err
	}
	p := &PIDFile{path, file}
	if err := p.publish(); err != nil {
		return nil, errors.Join(err, os.Remove(file.Name()), file.Close())
	}
	failpoint.Reach(failpoint.PIDLocked)
	return p, nil
}

func (p *PIDFile) publish() error {
	if _, err := fmt.Fprintln(p.file, os.Getpid()); err != nil {
		return err
	}
	if err := p.file.Chmod(0o644); err != nil {
		return err
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(p.file.Fd(), syscall.F_SETLK, &lock); err != nil {
		return fmt.Errorf("lock %s: %w", p.path, err)
	}
	return os.Rename(p.file.Name(), p.path)
}

// Remove gives the PID file up. One that another process has put in its place
// meanwhile stays.
func (p *PIDFile) Remove() error {
	mine, err := p.file.Stat()
	if err != nil {
		return err
	}
	if now, err := os.Lstat(p.path); err == nil && os.SameFile(mine, now) {
		err = os.Remove(p.path)
		return errors.Join(err, p.file.Close())
	}
	return p.file.Close()
}

// trusted refuses a directory in which another user could replace a file of this one.
func trusted(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("%s is not a directory", dir)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0:
		return fmt.Errorf("others can write to the directory %s (mode %04o)", dir, info.Mode().Perm())
	case ok && int(st.Uid) != os.Geteuid() && st.Uid != 0:
		return fmt.Errorf("the directory %s belongs to another user", dir)
	}
	return nil
}

// Holder returns the PID of the process that wrote path and holds it; 0 where none
// does, whatever the file says.
func Holder(path string) (pid int, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return 0, nil
	case errors.Is(err, syscall.ELOOP):
		return 0, &AlienError{path, "a symbolic link"}
	case errors.Is(err, syscall.ENXIO):
		return 0, &AlienError{path, "a socket"}
	case err != nil:
		return 0, err
	}
	defer file.Close()
	switch info, err := file.Stat(); {
	case err != nil:
		return 0, err
	case info.IsDir():
		return 0, &AlienError{path, "a directory"}
	case !info.Mode().IsRegular():
		return 0, &AlienError{path, "a pipe or a device"}
	}
	lock := syscall.Flock_t{Type: syscall.F_RDLCK, Whence: io.SeekStart}
	if err := syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock); err != nil {
		return 0, fmt.Errorf("ask who holds %s: %w", path, err)
	}
	if lock.Type == syscall.F_UNLCK {
		return 0, nil
	}
	text, err := io.ReadAll(io.LimitReader(file, 32))
	if err != nil {
		return 0, err
	}
	written, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || written != int(lock.Pid) {
		return 0, fmt.Errorf("%s names PID %q, and PID %d holds it: it is of another container, or was tampered with; stop the agent where it runs", path, strings.TrimSpace(string(text)), lock.Pid)
	}
	return written, nil
}

// ErrNotHeld means that no process holds the PID file.
var ErrNotHeld = errors.New("no process holds the PID file")

// Signal sends a signal to the process that holds the PID file, and to no other. It
// is ErrNotHeld where none does.
func Signal(path string, sig os.Signal) (pid int, err error) {
	if pid, err = heldBy(path); err != nil {
		return 0, err
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return 0, err
	}
	defer p.Release()
	// Where the kernel has handles of processes, p is one: that the same PID holds
	// the file still shows that p is the holder, and a signal to p reaches no later
	// process of that PID.
	if again, err := heldBy(path); err != nil || again != pid {
		return 0, cmp.Or(err, ErrNotHeld)
	}
	return pid, p.Signal(sig)
}

func heldBy(path string) (pid int, err error) {
	if pid, err = Holder(path); err == nil && pid == 0 {
		err = ErrNotHeld
	}
	return pid, err
}
