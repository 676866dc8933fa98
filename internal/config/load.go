package config

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Options says where a configuration comes from. The zero Options reads the
// environment of the process and the usual files.
type Options struct {
	// Path is the value of --config. Empty: $FOCUS_CONFIG, ./config.yaml,
	// /etc/oracle-focus-agent/config.yaml, or no file at all.
	Path string
	// Environ is the environment as name=value; nil is that of the process.
	Environ []string
	// Overrides are the values of flags by key, such as "oci.name". Secrets
	// are refused here, because arguments are visible to every user.
	Overrides map[string]string
	// Flags are the names of those flags by key, for messages; without a name
	// oci.name is --name.
	Flags map[string]string
	// Dir is the directory that relative paths of configuration and secret
	// files start from; empty is that of the process.
	Dir string
	// UID decides on the default of state.dir; nil is that of the process.
	UID *int
	// Incomplete accepts that required keys are missing, for a command that needs
	// none of them. What is there must be right all the same.
	Incomplete bool
	// Now is the present; nil is time.Now.
	Now func() time.Time
}

// source is where a value came from and how it may be shown.
type source struct {
	Problem   // only its position
	shown     string
	variables []string // those that a value in the file was made from
}

func (s source) String() string {
	if len(s.variables) == 0 {
		return s.where()
	}
	return s.where() + " (${" + strings.Join(s.variables, "}, ${") + "})"
}

// loader collects one configuration. Each layer overwrites the one before.
type loader struct {
	opts     Options
	env      map[string]string // without empty variables
	cfg      *Config
	fields   []field
	file     string          // name of the configuration file, for messages
	unread   bool            // the file could not be read or parsed: what it lacks is unknown
	bad      map[string]bool // keys with a problem: their rules would only repeat it
	problems []Problem
	warnings []Warning
}

// Load reads a configuration: flags beat the environment, which beats the
// file, which beats the defaults. The error is an [*Error] with every problem,
// those of the file first and in its order. Warnings come in either case.
func Load(opts Options) (*Config, []Warning, error) {
	l := newLoader(opts)
	l.loadFile()
	l.loadEnv()
	l.loadFlags()
	l.loadNATS()
	l.normalize()
	if !l.unread {
		l.check()
	}
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, inFileOrder)
		return nil, l.warnings, &Error{l.problems, l.located()}
	}
	return l.cfg, l.warnings, nil
}

// located is the configuration where each problem is in the value of a known key, and
// of none that tells where an agent is: an unknown key may be such a one, mistyped.
func (l *loader) located() *Config {
	for _, p := range l.problems {
		section, _, _ := strings.Cut(p.Key, ".")
		if _, known := l.field(p.Key); !known || section == "state" || section == "nats" || p.Key == "oci.name" {
			return nil
		}
	}
	if l.unread {
		return nil
	}
	return l.cfg
}

func newLoader(opts Options) *loader {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	if opts.UID == nil {
		opts.UID = new(os.Getuid())
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	cfg := Default()
	cfg.origins = map[string]source{}
	cfg.again = func() (*Config, error) {
		again, _, err := Load(opts)
		return again, err
	}
	return &loader{opts: opts, env: variables(opts.Environ), cfg: cfg, fields: fieldsOf(cfg), bad: map[string]bool{}}
}

// variables drops empty variables, which compose files write for unset ones.
func variables(environ []string) map[string]string {
	env := map[string]string{}
	for _, entry := range environ {
		if name, value, _ := strings.Cut(entry, "="); value != "" {
			env[name] = value
		}
	}
	return env
}

func (l *loader) lookup(name string) string { return l.env[name] }

func (l *loader) field(path string) (field, bool) {
	i := slices.IndexFunc(l.fields, func(f field) bool { return f.path == path })
	if i < 0 {
		return field{}, false
	}
	return l.fields[i], true
}

// assign sets a key from a source, or records why not. The text itself is
// only ever shown through src.
func (l *loader) assign(f field, text string, src source) {
	src.Key = f.path
	if f.secret {
		src.shown = "the value"
	}
	if err := f.set(text); err != nil {
		l.reject(src, err)
		return
	}
	l.cfg.origins[f.path] = src
	delete(l.bad, f.path)
}

// reject records that the value of src does not fit its key.
func (l *loader) reject(src source, err error) {
	p := src.Problem
	p.Text = src.shown + " " + err.Error()
	if v, ok := err.(*valueError); ok {
		p.Text, p.Fix = src.shown+" "+v.text, v.fix
	}
	l.problem(p)
}

func (l *loader) problem(p Problem) {
	l.problems = append(l.problems, p)
	if p.Key != "" {
		l.bad[p.Key] = true
	}
}

func (l *loader) warn(p Problem) { l.warnings = append(l.warnings, Warning(p)) }

// at is where the value of a key stands now, for a problem with it.
func (l *loader) at(key string) source {
	if src, ok := l.cfg.origins[key]; ok {
		return src
	}
	f, _ := l.field(key)
	return source{Problem: Problem{File: l.file, Key: key}, shown: "the default " + show(key, f.text())}
}

func (l *loader) loadFlags() {
	for _, path := range slices.Sorted(maps.Keys(l.opts.Overrides)) {
		src := source{Problem: Problem{Key: path, Origin: l.flag(path)}, shown: show(path, l.opts.Overrides[path])}
		f, ok := l.field(path)
		switch {
		case !ok:
			src.Text, src.Fix = "is not a key of the configuration", l.nearest(path)
			l.problem(src.Problem)
		case f.secret:
			src.Text, src.Fix = "is a secret, and arguments are visible to every user", secretFix(f)
			l.problem(src.Problem)
		default:
			l.assign(f, l.opts.Overrides[path], src)
		}
	}
}

func (l *loader) flag(path string) string {
	name := l.opts.Flags[path]
	if name == "" {
		name = strings.ReplaceAll(path[strings.LastIndex(path, ".")+1:], "_", "-")
	}
	return "--" + strings.TrimLeft(name, "-")
}

const maxText = 4096

// checkText refuses what no value may hold, wherever it comes from.
func checkText(text string) error {
	switch {
	case len(text) > maxText:
		return errLong
	case !utf8.ValidString(text) || strings.ContainsFunc(text, control):
		return errControl
	}
	return nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 }

// show is a text as messages may repeat it: quoted, short, and masked where a
// URL could carry a password.
func show(key, text string) string {
	if isURL(key) && strings.ContainsAny(text, "@?") || userinfo.MatchString(text) {
		return `"` + mask + `"`
	}
	if len(text) > 80 {
		text = strings.ToValidUTF8(text[:77], "") + "..."
	}
	return fmt.Sprintf("%q", text)
}

// userinfo is where an address of any kind holds a user or a password.
var userinfo = regexp.MustCompile(`://[^/]*@`)

func isURL(key string) bool { return key == "nats.url" || strings.HasSuffix(key, ".endpoint") }

func inFileOrder(a, b Problem) int {
	rank := func(p Problem) int {
		if p.File == "" {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
}
