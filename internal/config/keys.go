package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/kelseyhightower/envconfig"
)

// envPrefix begins the name of every variable of ours.
const envPrefix = "FOCUS"

// Key describes one key of the configuration.
type Key struct {
	Path     string // s3.bucket_path
	Env      string // FOCUS_S3_BUCKET_PATH
	EnvFile  string // FOCUS_S3_SECRET_ACCESS_KEY_FILE, for secrets only
	Type     string // text, secret, number, true or false, duration, date
	Range    string // 60 to 604800 seconds; empty where any value of the type will do
	Choices  []string
	Default  string // as it would be written in the file; empty where there is none
	Doc      string // one line
	Required bool
}

// Keys lists every key in the order of the file.
func Keys() []Key {
	all := fieldsOf(Default())
	keys := make([]Key, len(all))
	for i, f := range all {
		keys[i] = Key{Path: f.path, Env: f.env, Type: strings.TrimPrefix(f.want(), "a "), Choices: choices(f.path), Default: f.text(), Doc: f.doc, Required: required(f.path)}
		if b, ok := limits(f.path); ok {
			keys[i].Range = b.String()
		}
		if f.secret {
			keys[i].EnvFile = f.env + "_FILE"
		}
	}
	return keys
}

// File is the configuration file that was read, as it was named; empty where
// there was none.
func (c *Config) File() string { return c.file }

// Origin is where the value of a key came from: a flag (--name), a variable
// (FOCUS_…, NATS_URL), a position in the file (config.yaml:12:3), with the
// variables that the value there is made from, or "default".
func (c *Config) Origin(key string) string {
	if s, ok := c.origins[key]; ok {
		return s.String()
	}
	return "default"
}

// Value is the value of a key as it would be written in the file, ******** for
// a secret that is set, and whether there is such a key.
func (c *Config) Value(key string) (string, bool) {
	for _, f := range fieldsOf(c) {
		if f.path == key {
			return f.text(), true
		}
	}
	return "", false
}

// A Setting is the value of one key and where it came from.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"` // as it would be written in the file; of a secret always empty
	Secret bool   `json:"secret,omitempty"`
	Set    bool   `json:"set,omitempty"` // of a secret: there is one
	Origin string `json:"origin"`
}

// Settings are all keys in the order of the file, with the values that are in
// effect: where an empty one stands for another, that one.
func (c *Config) Settings() []Setting {
	var out []Setting
	for _, f := range fieldsOf(c) {
		s := Setting{Key: f.path, Value: f.text(), Secret: f.secret, Set: f.secret && f.text() != "", Origin: c.Origin(f.path)}
		switch {
		case f.secret:
			s.Value = ""
		case f.path == "nats.manage":
			s.Value = c.Manage()
		case f.path == "nats.store_dir" && c.Embedded():
			s.Value = c.StoreDir()
		}
		out = append(out, s)
	}
	return out
}

// Judge is what is wrong with one value of a key, whatever the other keys say;
// nil where nothing is.
func Judge(key, value string) *Problem {
	_, _, err := Load(Options{Path: os.DevNull, Environ: []string{"HOME=/"}, Overrides: map[string]string{key: value}})
	e, ok := errors.AsType[*Error](err)
	if !ok {
		return nil
	}
	i := slices.IndexFunc(e.Problems, func(p Problem) bool { return p.Key == key })
	if i < 0 {
		return nil
	}
	return &e.Problems[i]
}

func required(path string) bool { return path == "oci.bucket" || path == "s3.bucket_path" }

// field is one key of one Config.
type field struct {
	path, env, doc string
	secret         bool // never shown, never a literal in the file
	isPath         bool // a leading ~/ means the home directory
	private        bool // the path of a file that holds a secret
	emptyMeans     bool // an empty string is a value of its own
	ptr            any  // *string, *Secret, …
}

// fieldsOf lists the keys of c in the order of the struct.
func fieldsOf(c *Config) []field {
	return walk(nil, reflect.ValueOf(c).Elem(), "", envNames(c))
}

func walk(out []field, section reflect.Value, path string, env map[any]string) []field {
	for i := range section.NumField() {
		tag := section.Type().Field(i).Tag
		name, ok := tag.Lookup("yaml")
		if !ok {
			continue
		}
		ptr := section.Field(i).Addr().Interface()
		variable, leaf := env[ptr]
		if !leaf {
			out = walk(out, section.Field(i), path+name+".", env)
			continue
		}
		_, secret := ptr.(*Secret)
		out = append(out, field{path: path + name, env: variable, doc: tag.Get("desc"), secret: secret,
			isPath: tag.Get("path") != "", private: tag.Get("private") != "", emptyMeans: tag.Get("empty") != "", ptr: ptr})
	}
	return out
}

// envNames asks envconfig which fields are variables and what they are called,
// by the pointer to the field.
//
// The rest of envconfig.Process is not for us: it reads the environment of the
// process, where an empty variable counts as set, where *_FILE means nothing
// and where tests would meet each other, and it stops at the first error. So
// the names are envconfig's, the values come from Options.Environ, and one
// parser judges a value alike in a file, a variable and a flag. A test holds
// both to the same result.
func envNames(c *Config) map[any]string {
	names := map[any]string{}
	add := func(variable any) string {
		v := reflect.ValueOf(variable)
		ptr := v.FieldByName("Field").Interface().(reflect.Value).Addr().Interface()
		names[ptr] = v.FieldByName("Key").String()
		return ""
	}
	list := template.Must(template.New("").Funcs(template.FuncMap{"add": add}).Parse("{{range .}}{{add .}}{{end}}"))
	if err := envconfig.Usaget(envPrefix, c, io.Discard, list); err != nil {
		panic(err) // unreachable: c is a pointer to a struct
	}
	return names
}

// set parses text into the field.
func (f field) set(text string) error {
	if err := checkText(text); err != nil {
		return err
	}
	var err error
	switch p := f.ptr.(type) {
	case *string:
		*p = text
	case *Secret:
		*p = NewSecret(text)
	case *bool:
		err = assign(p, text, parseBool)
	case *int:
		err = assign(p, text, func(s string) (int, error) { n, err := parseInt(s); return int(n), err })
	case *int64:
		err = assign(p, text, parseInt)
	case *float64:
		err = assign(p, text, parseFloat)
	case *Duration:
		err = assign(p, text, parseDuration)
	case *Day:
		err = p.UnmarshalText([]byte(text))
	case *Tags:
		err = p.UnmarshalText([]byte(text))
	case *Addresses:
		err = p.UnmarshalText([]byte(text))
	case *Rate:
		err = p.UnmarshalText([]byte(text))
	case *Timetable:
		err = p.UnmarshalText([]byte(text))
	default:
		panic(fmt.Sprintf("config: no parser for the type of %s", f.path)) // unreachable: a test sets every key
	}
	return err
}

// assign leaves *p alone when text is no value.
func assign[T any](p *T, text string, parse func(string) (T, error)) error {
	v, err := parse(strings.TrimSpace(text))
	if err == nil {
		*p = v
	}
	return err
}

// text is the value as it would be written in the file.
func (f field) text() string {
	switch p := f.ptr.(type) {
	case *float64:
		return strconv.FormatFloat(*p, 'f', -1, 64)
	case *string:
		return *p
	default:
		return fmt.Sprint(reflect.ValueOf(p).Elem().Interface())
	}
}

// want is the kind of value that the key takes.
func (f field) want() string {
	switch f.ptr.(type) {
	case *Secret:
		return "a secret"
	case *bool:
		return "true or false"
	case *int, *int64, *float64:
		return "a number"
	case *Duration:
		return "a duration"
	case *Day:
		return "a date"
	case *Tags:
		return "a list of tags"
	case *Addresses:
		return "a list of addresses"
	case *Rate:
		return "a number of bytes"
	case *Timetable:
		return "a timetable"
	}
	return "a text"
}
