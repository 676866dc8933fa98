package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/internal/config"
	"oracle-focus-agent/internal/nats"
	"oracle-focus-agent/internal/oci"
	"oracle-focus-agent/messages"
)

// The exit codes, and no others; exitCodes says what they mean.
const (
	exitOK          = 0
	exitError       = 1
	exitConfig      = 2
	exitAuth        = 3
	exitRunning     = 4
	exitNotRunning  = 5
	exitDiffers     = 6
	exitInterrupted = 130
)

type meaning struct {
	code int
	text string
}

func exitCodes() []meaning {
	return []meaning{
		{exitOK, "success"},
		{exitError, "an error, or a file that failed"},
		{exitConfig, "the command line or the configuration is wrong"},
		{exitAuth, "credentials or rights: OCI or S3 refuses them"},
		{exitRunning, "an agent is already running"},
		{exitNotRunning, "no agent is running"},
		{exitDiffers, "source, ledger and destination differ (verify)"},
		{exitInterrupted, "interrupted by a signal"},
	}
}

// exitTable is the exit codes for the help.
func exitTable() string {
	var b strings.Builder
	b.WriteString("Exit codes:")
	for _, m := range exitCodes() {
		fmt.Fprintf(&b, "\n  %-4d %s", m.code, m.text)
	}
	return b.String()
}

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
	if slices.ContainsFunc(exitCodes(), func(m meaning) bool { return m.code == code }) {
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
