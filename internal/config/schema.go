package config

import (
	"encoding/json"
	"reflect"
	"strings"
)

// A schema is the part of JSON Schema 2020-12 that describes the file.
type schema struct {
	Dialect     string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"`
	Enum        []any              `json:"enum,omitempty"`
	Minimum     *float64           `json:"minimum,omitempty"`
	Maximum     *float64           `json:"maximum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	AnyOf       []*schema          `json:"anyOf,omitempty"`
	Default     any                `json:"default,omitempty"`
	Closed      *bool              `json:"additionalProperties,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
}

// Schema is the JSON Schema of the configuration file, for editors. It accepts
// every file that [Load] accepts, and refuses unknown keys, wrong types, values
// out of range and secrets as literals; rules between keys are for [Load] alone.
func Schema() []byte {
	root := section("oracle-focus-agent configuration")
	root.Dialect = "https://json-schema.org/draft/2020-12/schema"
	root.Type = []string{"object", "null"} // a file of comments is null to editors
	for _, p := range parts() {
		root.Properties[p.name] = section(p.doc)
	}
	for _, f := range fieldsOf(Default()) {
		at := root
		path := strings.Split(f.path, ".")
		for _, name := range path[:len(path)-1] {
			if at.Properties[name] == nil {
				at.Properties[name] = section("")
			}
			at = at.Properties[name]
		}
		at.Properties[path[len(path)-1]] = f.schema()
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // unreachable: a schema holds nothing that JSON lacks
	}
	return append(text, '\n')
}

func section(description string) *schema {
	return &schema{Description: description, Type: "object", Closed: new(false), Properties: map[string]*schema{}}
}

// What stands for a value in the file besides the value itself. An editor cannot
// tell a quoted text from a plain one, so that some of the former pass.
const (
	references = `\$\{` // the value comes from a variable, which no editor knows
	secrets    = `^(\$\{[^}]*\})*$`
	words      = `^([Tt][Rr][Uu][Ee]|[Yy][Ee][Ss]|[Oo][Nn]|[Ff][Aa][Ll][Ss][Ee]|[Nn][Oo]|[Oo][Ff][Ff])$` // of YAML 1.1
	grouped    = `^[-+]?[0-9][0-9_]*$`                                                                   // digits, of YAML 1.1
	numerals   = `^\s*[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?\s*$`
	durations  = `^\s*\+?(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+\s*$`
	tagged     = `^([^=,]+=[^,]*(,[^=,]+=[^,]*)*)?$`
	rates      = `^\s*[0-9]+(\.[0-9]+)? ?([KkMmGg][Ii]?)?[Bb]?\s*$`
	dates      = `^([0-9]{4}-[0-9]{2}-[0-9]{2})?$`
)

// schema is what the file may hold for a key.
func (f field) schema() *schema {
	s := &schema{Description: f.doc + "\n" + f.env, Default: f.plain(), AnyOf: []*schema{text(references)}}
	switch f.ptr.(type) {
	case *Secret:
		return &schema{Description: s.Description, Type: "string", Pattern: secrets}
	case *bool:
		s.accept(&schema{Type: "boolean"}, text(words))
	case *int, *int64:
		s.accept(f.number("integer"), text(grouped))
	case *float64:
		s.accept(f.number("number"), text(numerals))
	case *Duration:
		s.accept(f.number("number"), text(numerals), text(durations))
	case *Day:
		s.accept(text(dates))
	case *Tags:
		s.accept(text(tagged), &schema{Type: []string{"object", "array"}})
	case *Rate:
		s.accept(&schema{Type: "integer"}, text(rates))
	case *Addresses, *Timetable:
		s.accept(&schema{Type: []string{"string", "array"}})
	default:
		f.words(s)
	}
	return s
}

// words accepts any text, or the choices of a key first, for completion. The
// words for logging are open: upper and lower case, and Python's own formats.
func (f field) words(s *schema) {
	open := len(choices(f.path)) == 0 || strings.HasPrefix(f.path, "logging.")
	if open {
		s.accept(&schema{Type: []string{"string", "number"}})
	} else {
		s.accept(&schema{Enum: []any{""}})
	}
	if f.path == "oci.auth" {
		for _, alias := range authAliases() {
			s.accept(&schema{Enum: []any{alias}})
		}
	}
	for _, c := range choices(f.path) {
		s.accept(&schema{Enum: []any{c}})
	}
}

func (s *schema) accept(more ...*schema) { s.AnyOf = append(more, s.AnyOf...) }

func text(pattern string) *schema { return &schema{Type: "string", Pattern: pattern} }

// number is a number in the range of the key. What is raised to the least is
// accepted below it.
func (f field) number(kind string) *schema {
	s := &schema{Type: kind}
	if b, ok := limits(f.path); ok {
		s.Minimum, s.Maximum = &b.lo, &b.hi
		if f.path == "advanced.chunk_size_bytes" {
			*s.Minimum = 1
		}
	}
	return s
}

// plain is the value as JSON has it; nil where it is empty.
func (f field) plain() any {
	switch p := f.ptr.(type) {
	case *bool, *int, *int64, *float64, *Rate:
		return reflect.ValueOf(p).Elem().Interface()
	}
	if f.text() == "" {
		return nil
	}
	return f.text()
}
