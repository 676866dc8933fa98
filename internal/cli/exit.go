package cli

import (
	"context"
	"errors"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/messages"
)

// The exit codes, and no others.
const (
	exitOK          = 0
	exitError       = 1 // an error, or a file that failed
	exitConfig      = 2
	exitAuth        = 3
	exitRunning     = 4
	exitNotRunning  = 5
	exitInterrupted = 130
)

// coded is an error with its exit code.
type coded struct {
	code int
	err  error
}

func (c *coded) Error() string { return c.err.Error() }
func (c *coded) Unwrap() error { return c.err }

// silent is a coded error whose cause has already been printed.
type silent struct{ coded }

func quietly(code int) error {
	if code == exitOK {
		return nil
	}
	return &silent{coded{code, errors.New("see above")}}
}

// exitCode of err. Where several causes meet, 130 beats 2 beats 3 beats 1.
func exitCode(err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	}
	if s, ok := errors.AsType[*silent](err); ok {
		return s.code
	}
	if c, ok := errors.AsType[*coded](err); ok {
		return c.code
	}
	if r, ok := errors.AsType[*agent.Refusal](err); ok {
		return known(max(r.Exit, exitError))
	}
	if isConfigError(err) {
		return exitConfig
	}
	switch {
	case errors.Is(err, agent.ErrNotRunning):
		return exitNotRunning
	case messages.ClassOf(err).Credentials():
		return exitAuth
	}
	return exitError
}

// known is the code of another process, which may be of a later version; what this
// one does not know is a failure like any other.
func known(code int) int {
	switch code {
	case exitOK, exitError, exitConfig, exitAuth, exitRunning, exitNotRunning, exitInterrupted:
		return code
	}
	return exitError
}

func isConfigError(err error) bool {
	if _, ok := errors.AsType[*config.Error](err); ok {
		return true
	}
	if _, ok := errors.AsType[*oci.ConfigError](err); ok {
		return true
	}
	_, ok := errors.AsType[*nats.DifferenceError](err)
	return ok
}
