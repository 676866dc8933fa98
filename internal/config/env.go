package config

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const maxSecretFile = 64 << 10

// configVariable names the file, so it is no key.
const configVariable = envPrefix + "_CONFIG"

// loadEnv reads FOCUS_* and the files that FOCUS_*_FILE names.
func (l *loader) loadEnv() {
	known := map[string]bool{configVariable: true}
	for _, f := range l.fields {
		known[f.env] = true
	}
	for _, f := range l.fields {
		file := f.env + "_FILE"
		if f.secret && !known[file] {
			known[file] = true
			l.loadSecret(f, file)
		} else if value, ok := l.env[f.env]; ok {
			l.assignEnv(f, f.env, value)
		}
	}
	l.warnUnknown(known)
}

func (l *loader) assignEnv(f field, name, value string) {
	l.assign(f, value, source{Problem: Problem{Origin: name}, shown: show(f.path, value)})
}

// loadSecret takes the variable of a secret, or what stands in the file that
// the variable named file names. Both at once are refused.
func (l *loader) loadSecret(f field, file string) {
	value, literal := l.env[f.env]
	path, named := l.env[file]
	p := Problem{Key: f.path, Origin: file}
	switch {
	case literal && named:
		p.Text, p.Fix = "is set beside "+f.env, "unset one of them"
		l.problem(p)
	case literal:
		l.assignEnv(f, f.env, value)
	case named:
		value, err := readSecret(l.path(path))
		if l.open(&p, l.path(path)) {
			l.problem(p)
			return
		}
		if err != nil {
			p.Text, p.Fix = "the file "+show(f.path, path)+" cannot be used: "+err.Error(), "name a file that holds the value and nothing else"
			l.problem(p)
			return
		}
		l.assignEnv(f, file, value)
	}
}

// readSecret is the content of a file without one trailing newline.
func readSecret(path string) (string, error) {
	data, err := readLimited(path, maxSecretFile)
	if err != nil {
		return "", err
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if value == "" {
		return "", errors.New("it is empty")
	}
	return value, nil
}

var errTooLarge = errors.New("it is too large")

// readLimited reads a file of at most limit bytes. Its errors do not repeat
// the path.
func readLimited(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, cause(err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	switch {
	case err != nil:
		return nil, cause(err)
	case int64(len(data)) > limit:
		return nil, errTooLarge
	}
	return data, nil
}

func cause(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// path makes the path of a file to read absolute where Dir or ~/ ask for it.
func (l *loader) path(path string) string {
	path = l.home(path)
	if l.opts.Dir == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(l.opts.Dir, path)
}

// home replaces a leading ~/.
func (l *loader) home(path string) string {
	rest, ok := strings.CutPrefix(path, "~/")
	if home := l.env["HOME"]; ok && home != "" {
		return filepath.Join(home, rest)
	}
	return path
}

// serviceLink matches what Kubernetes sets in every pod for a service whose
// name begins with focus: not ours, and not worth a warning.
var serviceLink = regexp.MustCompile(`_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)$|_PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$`)

func (l *loader) warnUnknown(known map[string]bool) {
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		if known[name] || !strings.HasPrefix(name, envPrefix+"_") || serviceLink.MatchString(name) {
			continue
		}
		l.warn(Problem{Origin: name, Text: "is not a variable of this program and is ignored",
			Fix: suggest(name, slices.Collect(maps.Keys(known)))})
	}
}

// loadNATS takes NATS_URL and NATS_CREDS where no key of ours says otherwise.
func (l *loader) loadNATS() {
	n := l.cfg.NATS
	if url := l.env["NATS_URL"]; url != "" && n.URL == "" && !l.bad["nats.url"] {
		f, _ := l.field("nats.url")
		l.assignEnv(f, "NATS_URL", url)
	}
	creds := l.env["NATS_CREDS"]
	if creds != "" && l.cfg.NATS.URL != "" && n.Creds == "" && n.NkeyFile == "" && !l.bad["nats.creds"] {
		f, _ := l.field("nats.creds")
		l.assignEnv(f, "NATS_CREDS", creds)
	}
}
