// Package logging makes the program's logger: text, JSON, or the line shape of
// the original agent, to a stream and to a file that rotates.
package logging

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"
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

// New returns the logger and its file, which is nil without one. The error is that of
// a file that cannot be written.
func New(o Options) (*slog.Logger, *File, error) {
	var handlers []slog.Handler
	var file *File
	if o.Stream != nil {
		handlers = append(handlers, handler(o, o.Stream))
	}
	if o.File != "" {
		var err error
		if file, err = openFile(o); err != nil {
			return nil, nil, err
		}
		handlers = append(handlers, handler(o, file))
	}
	return slog.New(slog.NewMultiHandler(handlers...)), file, nil
}

func handler(o Options, w io.Writer) slog.Handler {
	opts := &slog.HandlerOptions{Level: o.Level, ReplaceAttr: readable}
	switch o.Style {
	case "json":
		return slog.NewJSONHandler(Visible(w), opts)
	case "classic":
		return newClassic(w, o.Level)
	}
	return slog.NewTextHandler(w, opts)
}

// readable writes a duration as text with its unit, "4.7s": JSON has it as a bare
// number of nanoseconds otherwise.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
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
	c.line.buf.WriteString(r.Time.Format(time.DateTime) + " - " + levelName(r.Level) + " - " + oneLine(r.Message) + " ")
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
