package config

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong, where it stands and what to do.
type Problem struct {
	File   string `json:"file,omitempty"` // configuration file, when the problem stands in one or is missing from it
	Line   int    `json:"line,omitempty"` // from 1, as Column; 0: the file as a whole
	Column int    `json:"column,omitempty"`
	Key    string `json:"key,omitempty"`    // path of the key, such as agent.poll_interval
	Origin string `json:"origin,omitempty"` // variable (FOCUS_…) or flag (--…) the value came from; empty for a file
	Text   string `json:"text"`             // what is wrong
	Fix    string `json:"fix,omitempty"`    // what to do
}

// String is one line: where, key, text and fix.
func (p Problem) String() string {
	parts := make([]string, 0, 3)
	if where := p.where(); where != "" {
		parts = append(parts, where)
	}
	if p.Key != "" {
		parts = append(parts, p.Key)
	}
	parts = append(parts, p.Text)
	line := strings.Join(parts, ": ")
	if p.Fix != "" {
		line += "; fix: " + p.Fix
	}
	return line
}

func (p Problem) where() string {
	switch {
	case p.Origin != "":
		return p.Origin
	case p.File != "" && p.Line > 0:
		return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	}
	return p.File
}

// Error is every problem that was found. It has at least one.
type Error struct {
	Problems []Problem
	located  *Config
}

// Located is the configuration with what is wrong left out, where all of that is in
// values that do not tell which agent is meant; else nil. It serves to look at an
// agent and to stop it, never to start one.
func (e *Error) Located() *Config { return e.located }

// Error is one line for each problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Warning is something that works and probably is not what was meant.
type Warning Problem

// String is one line, as for a problem.
func (w Warning) String() string { return Problem(w).String() }
