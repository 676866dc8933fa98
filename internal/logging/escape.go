package logging

import (
	"bytes"
	"io"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Visible returns a writer for JSON to w in which nothing is invisible, turns the
// reading direction or moves a cursor: what the encoder leaves as it is of that kind
// becomes \uXXXX, which means the same in JSON. A rune must not be split over writes;
// the encoders of the standard library write each value at once.
func Visible(w io.Writer) io.Writer { return visible{w} }

type visible struct{ io.Writer }

func (v visible) Write(b []byte) (int, error) {
	if !bytes.ContainsFunc(b, func(r rune) bool { return hidden(r) && r != '\n' }) {
		return v.Writer.Write(b)
	}
	out := make([]byte, 0, len(b)+64)
	for rest := b; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case !hidden(r) || r == '\n':
			out = append(out, rest[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = append(escaped(out, high), escaped(nil, low)...)
		default:
			out = escaped(out, r)
		}
		rest = rest[n:]
	}
	if _, err := v.Writer.Write(out); err != nil {
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
