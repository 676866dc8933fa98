// Package logging makes the program's logger: text, JSON, or the line shape of
// the original agent, to a stream and to a file that rotates.
package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/DeRuina/timberjack"
)

// Options say how lines look and where they go.
type Options struct {
	Level slog.Leveler
	// Style is text, json or classic.
	Style  string
	Stream io.Writer // nil: none
	// File rotates when it reaches MaxSizeMB; Backups old ones are kept. Empty: none.
	File      string
	MaxSizeMB int
	Backups   int
}

// New returns the logger, and a function that closes the file. The error is that
// of a file that cannot be written.
func New(o Options) (*slog.Logger, func() error, error) {
	var handlers []slog.Handler
	closeFile := func() error { return nil }
	if o.Stream != nil {
		handlers = append(handlers, handler(o, o.Stream))
	}
	if o.File != "" {
		if err := writable(o.File); err != nil {
			return nil, nil, err
		}
		f := &timberjack.Logger{Filename: o.File, MaxSize: o.MaxSizeMB, MaxBackups: o.Backups, FileMode: 0o640}
		closeFile = f.Close
		handlers = append(handlers, handler(o, f))
	}
	return slog.New(slog.NewMultiHandler(handlers...)), closeFile, nil
}

func writable(file string) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return err
	}
	return f.Close()
}

func handler(o Options, w io.Writer) slog.Handler {
	opts := &slog.HandlerOptions{Level: o.Level}
	switch o.Style {
	case "json":
		return slog.NewJSONHandler(w, opts)
	case "classic":
		return newClassic(w, o.Level)
	}
	return slog.NewTextHandler(w, opts)
}

// classic writes "2006-01-02 15:04:05 - LEVEL - message key=value".
type classic struct {
	slog.Handler // formats the attributes into line.buf
	line         *line
}

type line struct {
	mu  sync.Mutex
	buf bytes.Buffer
	out io.Writer
}

func newClassic(w io.Writer, level slog.Leveler) classic {
	l := &line{out: w}
	drop := func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
			return slog.Attr{}
		}
		return a
	}
	return classic{slog.NewTextHandler(&l.buf, &slog.HandlerOptions{Level: level, ReplaceAttr: drop}), l}
}

func (c classic) Handle(ctx context.Context, r slog.Record) error {
	c.line.mu.Lock()
	defer c.line.mu.Unlock()
	c.line.buf.Reset()
	c.line.buf.WriteString(r.Time.Format(time.DateTime) + " - " + levelName(r.Level) + " - " + r.Message + " ")
	if err := c.Handler.Handle(ctx, r); err != nil {
		return err
	}
	_, err := c.line.out.Write(append(bytes.TrimRight(c.line.buf.Bytes(), " \n"), '\n'))
	return err
}

// levelName is Python's, which the classic form keeps.
func levelName(l slog.Level) string {
	if l == slog.LevelWarn {
		return "WARNING"
	}
	return l.String()
}

func (c classic) WithAttrs(a []slog.Attr) slog.Handler {
	return classic{c.Handler.WithAttrs(a), c.line}
}
func (c classic) WithGroup(g string) slog.Handler { return classic{c.Handler.WithGroup(g), c.line} }
