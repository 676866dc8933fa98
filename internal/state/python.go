package state

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"oracle-focus-agent/messages"
)

// PythonVersion is the only version of state.json that there is.
const PythonVersion = "1.0"

// maxPython bounds a state.json in bytes; a year of one tenancy has about one MiB.
const maxPython = 256 << 20

// A Python is what a state.json of the Python agent says.
type Python struct {
	LastSync time.Time
	// Entries are in the order of the names of their objects.
	Entries []Entry
	// Unreadable entries are in the order of their keys.
	Unreadable []Unreadable
}

// An Entry is one file that the Python agent transferred.
type Entry struct {
	// Object is the version that was transferred, as far as the file tells: that
	// agent writes no etag, and leaves the MD5 empty.
	Object messages.Object
	// Key is the name at the destination, below its path.
	Key string
	// Transferred is zero where the file does not tell.
	Transferred time.Time
	Seconds     float64
}

// Unreadable is an entry that was not understood.
type Unreadable struct {
	Key string
	Err error
}

// Oldest is when the oldest of the entries was transferred. The Python agent drops
// its entries by that time, so of a file that was there before, and has no entry,
// nothing is known. It is zero where no entry tells.
func (p Python) Oldest() (oldest time.Time) {
	for _, e := range p.Entries {
		if t := e.Transferred; !t.IsZero() && (oldest.IsZero() || t.Before(oldest)) {
			oldest = t
		}
	}
	return oldest
}

// pythonFile and pythonEntry are the JSON. Whoever wrote them by hand, or with
// another version of that agent, may have left out any field.
type pythonFile struct {
	Version  json.RawMessage            `json:"version"`
	LastSync json.RawMessage            `json:"last_sync"`
	Files    map[string]json.RawMessage `json:"files"`
}

type pythonEntry struct {
	Name        string          `json:"oci_object_name"`
	Key         string          `json:"s3_key"`
	Size        json.RawMessage `json:"size"`
	ETag        string          `json:"etag"`
	Created     json.RawMessage `json:"time_created"`
	Transferred json.RawMessage `json:"time_transferred"`
	MD5         string          `json:"checksum_md5"`
	Seconds     json.RawMessage `json:"duration_seconds"`
}

// ReadPython reads a state.json. An entry that is not understood is among the
// Unreadable; the error is about the file as a whole.
func ReadPython(r io.Reader) (Python, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPython+1))
	if err != nil {
		return Python{}, err
	}
	if len(raw) > maxPython {
		return Python{}, fmt.Errorf("it has more than %d bytes", maxPython)
	}
	var f pythonFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return Python{}, fmt.Errorf("it is no JSON of the Python agent: %w", err)
	}
	if v := strings.Trim(string(f.Version), `"`); v != PythonVersion && v != "" && v != "null" {
		return Python{}, fmt.Errorf("its version is %.20s; only %s is known", v, PythonVersion)
	}
	if f.Files == nil {
		return Python{}, errors.New(`it has no "files", as a state.json of the Python agent has`)
	}
	var p Python
	p.LastSync, _ = readTime(f.LastSync) // nothing depends on it
	for key, raw := range f.Files {
		e, err := readEntry(key, raw)
		if err != nil {
			p.Unreadable = append(p.Unreadable, Unreadable{key, err})
			continue
		}
		p.Entries = append(p.Entries, e)
	}
	slices.SortFunc(p.Entries, func(a, b Entry) int {
		return cmp.Or(strings.Compare(a.Object.Name, b.Object.Name), strings.Compare(a.Key, b.Key))
	})
	slices.SortFunc(p.Unreadable, func(a, b Unreadable) int { return strings.Compare(a.Key, b.Key) })
	return p, nil
}

func readEntry(key string, raw json.RawMessage) (e Entry, err error) {
	var j pythonEntry
	if err := json.Unmarshal(raw, &j); err != nil {
		return e, errors.New("it is no object with the fields of an entry")
	}
	if j.Key == "" {
		j.Key = key
	}
	switch {
	case j.Key != key:
		return e, fmt.Errorf("its s3_key is another one: %q", j.Key)
	case j.Name == "":
		return e, errors.New("it has no oci_object_name")
	}
	e = Entry{Key: key, Object: messages.Object{Name: j.Name, ETag: strings.Trim(j.ETag, `"`), MD5: readMD5(j.MD5)}}
	if e.Object.Size, err = readSize(j.Size); err != nil {
		return e, err
	}
	if e.Object.Created, err = readTime(j.Created); err != nil {
		return e, fmt.Errorf("time_created: %w", err)
	}
	if e.Transferred, err = readTime(j.Transferred); err != nil {
		return e, fmt.Errorf("time_transferred: %w", err)
	}
	if d, err := strconv.ParseFloat(string(j.Seconds), 64); err == nil && d >= 0 && d < 1e9 { // it only informs
		e.Seconds = d
	}
	return e, nil
}

// readSize takes whole numbers, however they are written.
func readSize(raw json.RawMessage) (int64, error) {
	text := strings.Trim(string(raw), `"`)
	if text == "" || text == "null" {
		return 0, errors.New("it has no size")
	}
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n >= 0 {
		return n, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if n := int64(f); err == nil && f >= 0 && f < 1<<53 && float64(n) == f {
		return n, nil
	}
	return 0, fmt.Errorf("its size is %.40s", raw)
}

// pythonTimes are the forms of Python's isoformat and of its neighbours. A time
// without a zone is UTC: that agent works with nothing else. Fractions of a second
// are read whatever the form.
func pythonTimes() []string {
	return []string{
		time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04:05Z0700",
		"2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02 15:04:05Z0700", "2006-01-02 15:04:05 Z07:00",
		time.DateOnly,
	}
}

// readTime is zero for a time that is not told, and an error for one that is told
// in a way that nobody understands.
func readTime(raw json.RawMessage) (time.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return time.Time{}, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return time.Time{}, fmt.Errorf("%.40s is no time", raw)
	}
	text = strings.TrimSpace(text)
	if text == "" {
		return time.Time{}, nil
	}
	if strings.HasSuffix(text, "+00:00Z") { // isoformat() + "Z" of a time that has its zone already
		text = strings.TrimSuffix(text, "Z")
	}
	for _, form := range pythonTimes() {
		if t, err := time.Parse(form, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no time", text)
}

// readMD5 takes hexadecimal and base64, and is empty for anything else: a sum
// only ever adds to what name and size say.
func readMD5(text string) string {
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString} {
		if sum, err := decode(text); err == nil && len(sum) == 16 {
			return base64.StdEncoding.EncodeToString(sum)
		}
	}
	return ""
}

// WritePython writes a state.json that the Python agent reads. That agent has room
// for neither etags nor what failed.
func WritePython(w io.Writer, p Python) error {
	type entry struct {
		Name        string  `json:"oci_object_name"`
		Key         string  `json:"s3_key"`
		Size        int64   `json:"size"`
		Created     *string `json:"time_created"`
		Transferred *string `json:"time_transferred"`
		MD5         string  `json:"checksum_md5"`
		Seconds     float64 `json:"duration_seconds"`
	}
	out := struct {
		Version  string           `json:"version"`
		LastSync *string          `json:"last_sync"`
		Files    map[string]entry `json:"files"`
	}{PythonVersion, writeTime(p.LastSync), map[string]entry{}}
	for _, e := range p.Entries {
		out.Files[e.Key] = entry{
			e.Object.Name, e.Key, e.Object.Size, writeTime(e.Object.Created), writeTime(e.Transferred), writeMD5(e.Object.MD5), e.Seconds,
		}
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

// writeTime writes microseconds or none: older Pythons read no other fraction.
func writeTime(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Truncate(time.Microsecond)
	form := "2006-01-02T15:04:05.000000Z"
	if t.Nanosecond() == 0 {
		form = "2006-01-02T15:04:05Z"
	}
	return new(t.Format(form))
}

func writeMD5(sum string) string {
	raw, err := base64.StdEncoding.DecodeString(sum)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(raw)
}
