package logging

import (
	"bytes"
	"io"
	"strconv"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible returns a writer of text or JSON to w in which nothing is invisible, turns
// the reading direction or moves a cursor, but for the end of a line and the tab: all
// else of that kind becomes \uXXXX, which in JSON means the same as before.
func Visible(w io.Writer) io.Writer { return &visible{out: w} }

type visible struct {
	mu   sync.Mutex
	out  io.Writer
	tail []byte // the beginning of a rune whose end is not written yet
}

func (v *visible) Write(b []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	rest := append(v.tail, b...)
	out := make([]byte, 0, len(rest))
	for len(rest) > 0 && utf8.FullRune(rest) {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && n == 1:
			out = utf8.AppendRune(out, r) // C1 controls of other encodings are among these bytes
		case !hidden(r) || r == '\n' || r == '\t':
			out = append(out, rest[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = escaped(escaped(out, high), low)
		default:
			out = escaped(out, r)
		}
		rest = rest[n:]
	}
	v.tail = bytes.Clone(rest)
	if _, err := v.out.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func escaped(out []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(out, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// hidden are control and format characters and all else that shows nothing by itself.
func hidden(r rune) bool { return !unicode.IsPrint(r) }

// oneLine is a text with all of that as Go writes it in quotes.
func oneLine(s string) string {
	for _, r := range s {
		if hidden(r) {
			quoted := strconv.Quote(s)
			return quoted[1 : len(quoted)-1]
		}
	}
	return s
}
