package focus

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"
)

// Records splits CSV into rows and keeps of each row the fields that somebody wants. It
// is a scanner of its own because encoding/csv, which makes a string of each of the 49
// fields, takes several times as long (BenchmarkRows). As there, a row ends with LF or
// CRLF, a field in quotes may hold both, and an empty line is no row. It is lenient:
// what follows a closing quote, and quotes in a field that does not begin with one,
// belong to the field.
type records struct {
	in       io.Reader
	buf      []byte
	from, to int // in buf: what was read and not yet split
	eof      bool

	// slot says where in field each column goes, -1 for nowhere.
	slot  []int16
	field [][]byte // of the present row; valid until the next

	width   int  // fields of the present row
	stray   bool // the present row has something behind a closing quote
	open    bool // the present row ends inside of quotes, with the file
	tooLong bool // a row is longer than maxRow
}

// next reads the next row, and is false at the end.
func (r *records) next() bool {
	for {
		n, ok := r.split(r.buf[r.from:r.to])
		r.from += n
		switch {
		case ok && r.width == 1 && !r.open && r.blank(n):
			continue
		case ok:
			return true
		case r.eof || !r.fill():
			return false
		}
	}
}

// blank reports whether the row of n bytes that was just split is an empty line.
func (r *records) blank(n int) bool {
	switch string(r.buf[r.from-n : r.from]) {
	case "\n", "\r\n", "\r":
		return true
	}
	return false
}

// fill reads more behind what is left. It is false where nothing more is to be had.
func (r *records) fill() bool {
	if r.from > 0 {
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	}
	if r.to == len(r.buf) {
		if len(r.buf) >= maxRow {
			r.tooLong = true
			return false
		}
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
	// A full buffer: rows that come in crumbs would be split again with each of them.
	n, err := io.ReadFull(r.in, r.buf[r.to:])
	r.to += n
	r.eof = err == io.EOF || err == io.ErrUnexpectedEOF
	return err == nil || r.eof // else a row that was cut off is none
}

// split takes the first row of data apart and returns its length. ok is false where
// more data is needed.
func (r *records) split(data []byte) (n int, ok bool) {
	if len(data) == 0 {
		return 0, false
	}
	clear(r.field)
	r.stray, r.open = false, false
	column, slot := 0, r.slot
	for i := 0; ; {
		start, end, doubled := i, 0, false
		if i < len(data) && data[i] == '"' {
			start++
			end, i, doubled = r.quoted(data, start)
		} else {
			i += until(data[i:])
			end = i
		}
		if i >= len(data) && !r.eof {
			return 0, false
		}
		last := i >= len(data) || data[i] == '\n'
		if column < len(slot) && slot[column] >= 0 {
			r.field[slot[column]] = value(data[start:end], doubled, last)
		}
		column++
		if i++; last {
			r.width = column
			return min(i, len(data)), true
		}
	}
}

// value is what the text of a field stands for.
func value(text []byte, doubled, last bool) []byte {
	if last && len(text) > 0 && text[len(text)-1] == '\r' {
		text = text[:len(text)-1]
	}
	if doubled {
		text = bytes.ReplaceAll(text, []byte(`""`), []byte(`"`))
	}
	return text
}

// quoted finds the closing quote of the field whose text begins at i, and where its
// delimiter is, or the length of data where there is none.
func (r *records) quoted(data []byte, i int) (end, delimiter int, doubled bool) {
	for ; ; i += 2 {
		n := bytes.IndexByte(data[i:], '"')
		if n < 0 {
			r.open = true
			return len(data), len(data), doubled
		}
		if i += n; i+1 >= len(data) || data[i+1] != '"' {
			break
		}
		doubled = true
	}
	for end, i = i, i+1; i < len(data) && data[i] != ',' && data[i] != '\n'; i++ {
		r.stray = r.stray || data[i] != '\r'
	}
	return end, i, doubled
}

// until returns where the unquoted field that data begins with ends. It looks at eight
// bytes at once: a byte of x is 0 where there is a delimiter, and the lowest bit that
// the subtraction carries into marks the first of those.
func until(data []byte) int {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	i := 0
	for ; i+8 <= len(data); i += 8 {
		v := binary.LittleEndian.Uint64(data[i:])
		x, y := v^(ones*','), v^(ones*'\n')
		if found := ((x-ones)&^x | (y-ones)&^y) & tops; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for ; i < len(data) && data[i] != ',' && data[i] != '\n'; i++ {
	}
	return i
}
