package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
)

const (
	systemStateDir = "/var/lib/oracle-focus-agent"
	systemPIDFile  = "/run/oracle-focus-agent.pid"
)

// Bucket is the bucket of s3.bucket_path.
func (s S3) Bucket() string {
	bucket, _, _ := strings.Cut(strings.TrimPrefix(s.BucketPath, "s3://"), "/")
	return bucket
}

// KeyPrefix is what stands before every key: it ends in / or is empty.
func (s S3) KeyPrefix() string {
	_, prefix, _ := strings.Cut(strings.TrimPrefix(s.BucketPath, "s3://"), "/")
	return withSlash(prefix)
}

// MaxFileSize is the largest size in bytes that is copied; 0 is no limit.
func (a Advanced) MaxFileSize() int64 {
	if !a.ValidateFileSize {
		return 0
	}
	return int64(a.MaxFileSizeGB * (1 << 30))
}

// Embedded tells whether the queue runs inside the agent.
func (c *Config) Embedded() bool { return c.NATS.URL == "" }

// Manage is nats.manage, or what stands for it when it is empty: an embedded
// queue belongs to the agent and is created, any other is only verified.
func (c *Config) Manage() string {
	switch {
	case c.NATS.Manage != "":
		return c.NATS.Manage
	case c.Embedded():
		return "create"
	}
	return "verify"
}

// StateDir is state.dir or, when that is empty, the place that the user and
// the environment call for; empty when there is none, for want of a home.
// After [Load] it stands in state.dir, which is empty only for an external
// queue.
func (c *Config) StateDir(uid int, getenv func(string) string) string {
	xdg := getenv("XDG_STATE_HOME")
	switch home := getenv("HOME"); {
	case c.State.Dir != "":
		return c.State.Dir
	case uid == 0:
		return systemStateDir
	case filepath.IsAbs(xdg): // the specification says to ignore any other
		return filepath.Join(xdg, "oracle-focus-agent")
	case home != "":
		return filepath.Join(home, ".local", "state", "oracle-focus-agent")
	}
	return ""
}

// PIDFile is where other programs look for the PID of the agent: among those of the
// system's services where state.dir is the system's, else in state.dir.
func (c *Config) PIDFile(euid int) string {
	if euid == 0 && c.State.Dir == systemStateDir {
		return systemPIDFile
	}
	return filepath.Join(c.State.Dir, "agent.pid")
}

// PythonState is where state.file says. A relative one counts from the directory of
// this process or, where nothing is there, of the configuration file: the Python agent
// was started beside its own, and a service is started elsewhere.
func (c *Config) PythonState() string {
	file := c.State.File
	if file == "" || c.file == "" || filepath.IsAbs(file) {
		return file
	}
	if beside := filepath.Join(filepath.Dir(c.file), file); missing(file) && !missing(beside) {
		return beside
	}
	return file
}

// PythonStateMissing is the warning that the file names a state.json that is in
// neither of the two places: a copy of the file elsewhere would make a first start
// that sends again what the Python agent has sent. It is nil where the default or an
// absolute path stands, and is for commands that judge the configuration: once there
// is a ledger, nobody looks for that file.
func (c *Config) PythonStateMissing() *Warning {
	src := c.origins["state.file"]
	if file := c.PythonState(); src.File == "" || file == "" || filepath.IsAbs(file) || !missing(file) {
		return nil
	}
	w := Warning(src.Problem)
	w.Text = show("state.file", c.State.File) + " is neither in this directory nor beside the configuration file, so a first start would not see what the Python agent has delivered"
	w.Fix = "write the absolute path of its state.json, or remove the line where that agent never ran"
	return &w
}

func missing(path string) bool {
	_, err := os.Stat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// StoreDir is where an embedded queue keeps its files.
func (c *Config) StoreDir() string {
	if c.NATS.StoreDir != "" {
		return c.NATS.StoreDir
	}
	return filepath.Join(c.State.Dir, "nats")
}

// Style is how log lines look: text, json or classic.
func (l Logging) Style() string {
	if strings.Contains(l.Format, "%(") {
		return "classic"
	}
	return strings.ToLower(l.Format)
}

// SlogLevel is the lowest level to log. Python's CRITICAL stands above ERROR.
func (l Logging) SlogLevel() slog.Level {
	level, _ := parseLevel(l.Level)
	return level
}

func parseLevel(text string) (slog.Level, error) {
	switch strings.ToUpper(text) {
	case "WARNING":
		return slog.LevelWarn, nil
	case "CRITICAL", "FATAL":
		return slog.LevelError + 4, nil
	case "NOTSET":
		return slog.LevelDebug, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(text)); err != nil {
		return slog.LevelInfo, fmt.Errorf("unknown level: %w", err)
	}
	return level, nil
}

func withSlash(prefix string) string {
	if prefix == "" || strings.HasSuffix(prefix, "/") {
		return prefix
	}
	return prefix + "/"
}
