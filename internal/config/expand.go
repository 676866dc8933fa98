package config

import (
	"fmt"
	"regexp"
	"strings"
)

// expansion is a scalar of the file after its ${…} were replaced.
type expansion struct {
	text      string
	refs      int      // references that were replaced
	literal   bool     // some of text, or a default, stands in the file itself
	variables []string // variables that text came from
	missing   []string // variables that are unset or empty and have no default
}

var reference = regexp.MustCompile(`^(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(?s:(.*)))?$`)

// expand replaces ${VAR}, ${env:VAR}, ${VAR:-default}, ${VAR:?message} and $$
// as OpenTelemetry's configuration data model does, with two differences that
// only turn silence into an error or a value: :? is known, and a reference
// that is never closed is refused. A default or message may hold ${…}, which
// stays as it is; nothing is expanded twice, and $x without braces is text.
//
// It runs on scalars after the YAML was parsed, so no value can change the
// structure of the document.
func expand(text string, lookup func(string) string) (expansion, error) {
	var out expansion
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$")
		b.WriteString(before)
		out.literal = out.literal || before != "" || found && !strings.HasPrefix(rest, "{")
		switch {
		case !found:
			out.text = b.String()
			return out, nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			body, after, end := closing(rest[1:])
			if end == escaped {
				out.literal = true
				b.WriteString("${")
				text = rest[1:]
				continue
			}
			if end == open {
				return out, &valueError{"holds ${ without }", "close it, or write $${ for a literal ${"}
			}
			value, err := out.resolve(body, lookup)
			if err != nil {
				return out, err
			}
			b.WriteString(value)
			text = after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

type ending int

const (
	closed  ending = iota
	escaped        // $$ stands before the end: not a reference at all, says the data model
	open
)

// closing splits s behind the } that ends a reference whose ${ was cut off.
func closing(s string) (body, after string, end ending) {
	depth := 1
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "$$"):
			return "", "", escaped
		case strings.HasPrefix(s[i:], "${"):
			depth++
			i++
		case s[i] == '}':
			if depth--; depth == 0 {
				return s[:i], s[i+1:], closed
			}
		}
	}
	return "", "", open
}

// resolve is the value of one reference.
func (e *expansion) resolve(body string, lookup func(string) string) (string, error) {
	m := reference.FindStringSubmatch(body)
	if m == nil {
		return "", &valueError{"holds a ${…} that is not a reference to a variable", "write ${NAME}, ${NAME:-default} or ${NAME:?message}, or $${ for a literal ${"}
	}
	e.refs++
	name, op, arg := m[1], m[2], m[3]
	e.literal = e.literal || op == ":-" && arg != ""
	value := lookup(name)
	switch {
	case value != "":
		e.variables = append(e.variables, name)
		return value, nil
	case op == ":?":
		return "", &valueError{fmt.Sprintf("needs the variable %s%s", name, reason(arg)), "set " + name}
	case op == "":
		e.missing = append(e.missing, name)
	}
	return arg, nil
}

func reason(message string) string {
	if message == "" {
		return ""
	}
	return ": " + strings.ToValidUTF8(message, "?")
}
