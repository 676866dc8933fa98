package config

import (
	"errors"
	"fmt"
	"path/filepath"

	"oracle-focus-agent/internal/keyfile"
)

// checkPrivate refuses files with a secret that other users can read, as
// loadSecret does. The files of the providers' own tools are theirs to judge:
// those are only named.
func (l *loader) checkPrivate() {
	for _, f := range l.fields {
		if p := l.at(f.path).Problem; f.private && f.text() != "" && !l.bad[f.path] && l.open(&p, l.path(f.text())) {
			l.problem(p)
		}
	}
	if l.cfg.OCI.FromFile() {
		l.warnOpen("oci.config_file", l.cfg.OCI.ConfigFile, "OCI_CONFIG_FILE", ".oci/config")
	}
	if !l.cfg.S3.AccessKeyID.IsSet() {
		l.warnOpen("", "", "AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
	}
}

// open tells whether a file is open to other users, and completes p to say so.
func (l *loader) open(p *Problem, path string) bool {
	e, open := errors.AsType[*keyfile.OpenError](keyfile.Check(path, l.env["CREDENTIALS_DIRECTORY"]))
	if open {
		p.Text, p.Fix = "the file "+show(p.Key, path)+" cannot be used: "+e.Error(), e.Fix
	}
	return open
}

// warnWritable names a configuration file that others can change: it is what says
// where the reports go.
func (l *loader) warnWritable(name string) {
	e := keyfile.Writable(l.path(name))
	if e == nil {
		return
	}
	l.warn(Problem{
		File: name, Fix: e.Fix,
		Text: fmt.Sprintf("other users can change it, and so send the cost data elsewhere: they can write to %s (mode %04o)", show("", e.Path), e.Mode),
	})
}

// warnOpen names the file of a provider's tools that is open to other users: the
// value of a key, of a variable, or the usual one.
func (l *loader) warnOpen(key, path, variable, usual string) {
	p := Problem{}
	switch {
	case path != "":
		p = l.at(key).Problem
	case l.env[variable] != "":
		p.Origin, path = variable, l.env[variable]
	case l.env["HOME"] != "":
		path = filepath.Join(l.env["HOME"], usual)
	default:
		return
	}
	if l.open(&p, l.path(path)) {
		p.Text = "the file " + show(key, path) + " is open to other users"
		l.warn(p)
	}
}
