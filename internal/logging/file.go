package logging

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/DeRuina/timberjack"
)

// lookAgain is how long a file that cannot be written is left alone, and how often
// a written one is looked for under its name.
const lookAgain = time.Second

// A File is a log file that never keeps its writers from their work: what cannot be
// written is dropped and counted. That is told once on the console, and once in the
// file and on the console when it can be written again. A nil File does nothing.
type File struct {
	path    string
	backups int
	sizeMB  int
	console *slog.Logger // hears of a file that fails
	self    *slog.Logger // writes into the file; for use with the lock held

	mu      sync.Mutex
	jack    *timberjack.Logger
	opened  os.FileInfo // what the name stood for when it was opened; nil: not known
	looked  time.Time   // when the name was last looked at
	failing bool
	torn    bool // the last line was not written to its end
	dropped int
}

// openFile returns the file of o. The error is that of a name that cannot be
// written; a full file system passes, since it may have room later.
func openFile(o Options) (*File, error) {
	f := &File{path: o.File, backups: o.Backups, sizeMB: o.MaxSizeMB, console: slog.New(slog.DiscardHandler)}
	if o.Stream != nil {
		f.console = slog.New(handler(o, o.Stream))
	}
	f.self = slog.New(handler(o, inside{f}))
	if err := writable(o.File); err != nil && !isFull(err) {
		return nil, err
	}
	f.open()
	return f, nil
}

func writable(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// Write never fails.
func (f *File) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	due := now.Sub(f.looked) >= lookAgain
	if f.failing && !due {
		f.dropped++
		return len(line), nil
	}
	if due {
		f.looked = now
		f.follow()
	}
	if err := f.put(line); err != nil {
		f.failed(err)
		return len(line), nil
	}
	if f.failing {
		f.recovered()
	}
	return len(line), nil
}

// failed counts the line at hand; the first one is told.
func (f *File) failed(err error) {
	f.dropped++
	f.looked = time.Now()
	if f.failing {
		return
	}
	f.failing = true
	f.console.Error("the log file cannot be written, and what it should hold is dropped; make room or give this user the right to write, all else goes on", "file", f.path, "err", err)
}

func (f *File) recovered() {
	const said = "the log file can be written again"
	f.console.Warn(said, "file", f.path, "dropped", f.dropped)
	f.self.Warn(said, "file", f.path, "dropped", f.dropped)
	f.failing, f.dropped = false, 0
}

// put writes one line, which begins at the begin of a line.
func (f *File) put(line []byte) error {
	if f.torn {
		line = append([]byte("\n"), line...)
	}
	if f.opened == nil { // else the rotation would make the directory, for all to read
		if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
			return err
		}
	}
	n, err := f.jack.Write(line)
	if n > 0 {
		f.torn = !bytes.HasSuffix(line[:n], []byte("\n"))
	}
	if f.opened == nil && err == nil {
		f.opened, _ = os.Stat(f.path)
	}
	return err
}

// follow opens the file anew after a failure, and where its name stands for another
// one or for none: it was renamed or removed, or its directory was. After a rotation
// by size that changes nothing.
func (f *File) follow() {
	if f.failing {
		f.reopen()
		return
	}
	if f.opened == nil {
		return
	}
	if present, err := os.Stat(f.path); err != nil || !os.SameFile(f.opened, present) {
		f.reopen()
	}
}

func (f *File) open() {
	f.jack = &timberjack.Logger{Filename: f.path, MaxSize: f.sizeMB, MaxBackups: f.backups, FileMode: 0o600}
	f.opened = nil
}

func (f *File) reopen() {
	_ = f.jack.Close() // what it could not write is lost anyhow
	f.open()
}

// Reopen makes the next line look for the file under its name at once, as after a
// rotation by another program.
func (f *File) Reopen() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = time.Time{}
}

// Close ends the file. What is written afterwards reaches it line by line.
func (f *File) Close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.jack.Close()
}

// inside writes into the file with the lock held.
type inside struct{ f *File }

func (w inside) Write(line []byte) (int, error) { return len(line), w.f.put(line) }
