package state

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

// Format names the export in its first line.
const Format = "oracle-focus-agent state"

// Version is that of the lines. What stands in the values has schema numbers of
// its own.
const Version = 1

// maxLine holds the largest value and its key.
const maxLine = messages.MaxSize + 8<<10

// A Header is the first line of an export.
type Header struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Route   string    `json:"route"`
	Written time.Time `json:"written"`
}

// A Line is one value of the ledger, as it stands there.
type Line struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

// end is the last line. Without it the file was cut off.
type end struct {
	End *int `json:"end"`
}

// A Writer writes an export.
type Writer struct {
	enc   *json.Encoder
	count int
}

// NewWriter begins an export of the ledger of a route.
func NewWriter(w io.Writer, route string, now time.Time) (*Writer, error) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &Writer{enc: enc}, enc.Encode(Header{Format, Version, route, now.UTC()})
}

// Add writes one value.
func (w *Writer) Add(l Line) error {
	w.count++
	return w.enc.Encode(l)
}

// Close writes the last line.
func (w *Writer) Close() error { return w.enc.Encode(end{&w.count}) }

// IsExport reports whether a file that begins so is an export.
func IsExport(head []byte) bool {
	line, _, _ := bytes.Cut(head, []byte("\n"))
	var h Header
	return json.Unmarshal(line, &h) == nil && h.Format == Format
}

// Read returns the header of an export and its lines. The iteration ends with an
// error where a line is not understood or the last one is missing: then the
// lines before it are not the whole ledger.
func Read(r io.Reader) (Header, iter.Seq2[Line, error], error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxLine)
	var h Header
	if !lines.Scan() {
		return h, nil, errors.Join(errors.New("it is empty"), lines.Err())
	}
	if err := json.Unmarshal(lines.Bytes(), &h); err != nil || h.Format != Format {
		return h, nil, errors.New("its first line is not that of an export")
	}
	if h.Version != Version {
		return h, nil, fmt.Errorf("its version is %d; this program knows %d: %w", h.Version, Version, messages.ErrNewer)
	}
	if err := messages.CheckName("route", h.Route); err != nil {
		return h, nil, err
	}
	return h, func(yield func(Line, error) bool) {
		count := 0
		for lines.Scan() {
			var line struct {
				Line
				end
			}
			err := json.Unmarshal(lines.Bytes(), &line)
			switch {
			case err != nil:
				err = fmt.Errorf("line %d: %w", count+2, err)
			case line.End != nil:
				finish(lines, *line.End, count, yield)
				return
			default:
				count++
				if err = check(h.Route, line.Line); err != nil {
					err = fmt.Errorf("line %d, %q: %w", count+1, line.Key, err)
				}
			}
			if !yield(line.Line, err) || err != nil {
				return
			}
		}
		yield(Line{}, errors.Join(fmt.Errorf("it is cut off after %d values", count), lines.Err()))
	}, nil
}

// finish yields an error where the last line is not the last, or counts otherwise.
func finish(lines *bufio.Scanner, says, count int, yield func(Line, error) bool) {
	switch {
	case says != count:
		yield(Line{}, fmt.Errorf("it holds %d values, and its last line says %d", count, says))
	case lines.Scan():
		yield(Line{}, errors.New("something follows its last line"))
	case lines.Err() != nil:
		yield(Line{}, lines.Err())
	}
}

// check refuses a value that the program would not read under its key.
func check(route string, l Line) error {
	switch r, _, basename, ok := messages.ParseRecordKey(l.Key); {
	case ok && r == route:
		rec, err := messages.DecodeRecord(l.Value)
		if err == nil && path.Base(rec.Object.Name) != basename {
			err = fmt.Errorf("it is the record of %q", rec.Object.Name)
		}
		return err
	case l.Key == messages.MarksKey(route):
		_, err := messages.DecodeMarks(l.Value)
		return err
	case l.Key == messages.IdentityKey(route):
		_, err := messages.DecodeIdentity(l.Value)
		return err
	case l.Key == messages.PauseKey(route):
		_, err := messages.DecodePause(l.Value)
		return err
	case l.Key == messages.VerificationKey(route):
		_, err := messages.DecodeVerification(l.Value)
		return err
	case l.Key == messages.DigestKey(route):
		_, err := messages.DecodeDigestNote(l.Value)
		return err
	case strings.HasPrefix(l.Key, messages.AuditPrefix(route)+"."):
		_, err := messages.DecodeAction(l.Value)
		return err
	}
	name, ok := strings.CutPrefix(l.Key, strings.TrimSuffix(messages.UploadKey(route, ""), "="))
	if _, err := messages.DecodeToken(name); !ok || err != nil {
		return fmt.Errorf("it is no key of route %q", route)
	}
	_, err := messages.DecodeUpload(l.Value)
	return err
}
