package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

const (
	maxProblems    = 200
	maxFile        = 1 << 20
	localFile      = "config.yaml"
	systemFile     = "/etc/oracle-focus-agent/config.yaml"
	templateAdvice = "see config.template.yaml for the sections and keys"
)

// loadFile reads the file that --config or $FOCUS_CONFIG names, which must
// exist, or the first of the usual files that does. Having none is fine, and
// /dev/null says so.
func (l *loader) loadFile() {
	candidates := []string{localFile, systemFile}
	named := l.opts.Path
	if named == "" {
		named = l.env[configVariable]
	}
	if named != "" {
		candidates = []string{named}
	}
	for _, name := range candidates {
		data, err := readRegular(l.path(name))
		if named == os.DevNull || named == "" && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		l.file, l.cfg.file = name, name
		if err != nil {
			l.unreadable(err)
			return
		}
		l.warnWritable(name)
		l.document(data)
		return
	}
}

// readRegular reads the file behind a link, too, as Kubernetes mounts one. It
// refuses what is no regular file before it opens it: a pipe would make every
// command wait.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		if _, dangling := os.Lstat(path); dangling == nil && errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("is a link to nothing")
		}
		return nil, cause(err)
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return readLimited(path, maxFile)
	case mode.IsDir():
		return nil, errors.New("is a directory")
	}
	return nil, errors.New("is a pipe, a socket or a device")
}

func (l *loader) unreadable(err error) {
	l.unread = true
	p := Problem{File: l.file, Text: "cannot be read: " + err.Error(), Fix: "name a readable file with --config or " + configVariable}
	if errors.Is(err, errTooLarge) {
		p.Text, p.Fix = "is larger than 1 MiB", "name a configuration file with --config or "+configVariable
	}
	l.problem(p)
}

// document takes the one document of the file. A file of comments only is one
// without keys.
func (l *loader) document(data []byte) {
	if len(bytes.TrimSpace(data)) == 0 {
		l.warn(Problem{File: l.file, Text: "is empty: every value is a default or comes from a variable", Fix: "write the configuration into it, or remove it"})
	}
	if line := notUTF8(data); line > 0 {
		l.unread = true
		l.problem(Problem{File: l.file, Line: line, Column: 1, Text: "holds bytes that are not UTF-8", Fix: "save the file as UTF-8"})
		return
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.syntax(err)
		return
	}
	var doc yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		return
	} else if err != nil {
		l.syntax(err)
		return
	}
	if len(doc.Content) == 1 {
		l.root(doc.Content[0])
	}
	var second yaml.Node
	if err := loader.Load(&second); err == nil {
		l.problem(Problem{File: l.file, Line: max(second.Line, 1), Column: max(second.Column, 1),
			Text: "a second document begins here", Fix: "keep one document in the file"})
	} else if !errors.Is(err, io.EOF) {
		l.syntax(err)
	}
}

// notUTF8 is the first line that is not UTF-8, or 0. A file that begins with the
// mark of UTF-16 is left to the parser, which reads it.
func notUTF8(data []byte) int {
	if utf8.Valid(data) || bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return 0
	}
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return i + 1
		}
	}
	return 0
}

func (l *loader) root(n *yaml.Node) {
	switch {
	case isNull(n) && n.Value == "": // --- and nothing behind it
	case n.Kind != yaml.MappingNode:
		p := l.position(n)
		p.Text, p.Fix = "the file is "+kind(n)+", not sections with keys", templateAdvice
		l.unread = true
		l.problem(p)
	default:
		l.mapping(n, "")
	}
}

// syntax reports that the file is no YAML. The parser stops at the first such
// error, so what the rest of the file holds stays unknown.
func (l *loader) syntax(err error) {
	l.unread = true
	p := Problem{File: l.file, Text: "is not valid YAML", Fix: "check indentation, colons and quotes here and in the line above"}
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		p.Line, p.Column = e.Mark.Line, max(e.Mark.Column, 1)
		p.Text += ": " + e.Message
		if strings.Contains(e.Message, "cannot start any token") {
			p.Fix = "indent with spaces, not with tabs; put a value that begins with @, % or ` into quotes"
		}
	}
	l.problem(p)
}

func (l *loader) position(n *yaml.Node) Problem {
	return Problem{File: l.file, Line: n.Line, Column: n.Column}
}

// mapping takes the keys below path, which is empty or ends in a dot.
func (l *loader) mapping(n *yaml.Node, path string) {
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		p := l.position(key)
		if len(l.problems) >= maxProblems {
			l.tooMany(p)
			return
		}
		if key.Kind != yaml.ScalarNode || strings.Contains(key.Value, ".") {
			p.Text, p.Fix = "a key must be one word, below its section", templateAdvice
			l.problem(p)
			continue
		}
		p.Key = path + key.Value
		if line, ok := first[key.Value]; ok {
			p.Text, p.Fix = fmt.Sprintf("is set twice, first in line %d", line), "keep one of them"
			l.problem(p)
			continue
		}
		first[key.Value] = key.Line
		l.entry(p, value)
	}
}

// tooMany ends the reading: nobody corrects that many keys one by one.
func (l *loader) tooMany(p Problem) {
	if !l.unread {
		p.Text, p.Fix = "too many problems: is this a configuration file?", templateAdvice
		l.problem(p)
	}
	l.unread = true
}

// entry takes one key; p holds its path and position.
func (l *loader) entry(p Problem, value *yaml.Node) {
	f, leaf := l.field(p.Key)
	switch {
	case leaf:
		l.scalar(f, p, value)
	case !l.section(p.Key):
		l.unknown(p)
	case isNull(value):
		p.Text, p.Fix = "is a section without keys", "remove the line or give it keys"
		l.problem(p)
	case value.Kind != yaml.MappingNode:
		p.Text, p.Fix = "is "+kind(value)+", not a section", "put its keys below it, indented"
		l.problem(p)
	default:
		l.mapping(value, p.Key+".")
	}
}

func (l *loader) unknown(p Problem) {
	if strings.HasSuffix("."+p.Key, ".<<") {
		p.Text, p.Fix = "merge keys are not supported", "write the keys out"
		l.problem(p)
		return
	}
	if len(p.Key) > 80 || checkText(p.Key) != nil {
		p.Key = ""
	}
	p.Text, p.Fix = "is not a key of the configuration", l.nearest(p.Key)
	l.problem(p)
}

func (l *loader) section(path string) bool {
	for _, f := range l.fields {
		if strings.HasPrefix(f.path, path+".") {
			return true
		}
	}
	return false
}

// scalar takes the value of a key: first the form it has in YAML, then the
// variables in it, then the value itself. An empty string counts as unset where
// it is no value of its own.
func (l *loader) scalar(f field, p Problem, n *yaml.Node) {
	if _, tags := f.ptr.(*Tags); tags && n.Kind != yaml.ScalarNode {
		l.tags(f, p, n)
		return
	}
	if isList(f) && n.Kind == yaml.SequenceNode {
		l.tags(f, p, n)
		return
	}
	src := source{Problem: p, shown: show(f.path, n.Value)}
	if err := form(f, n); err != nil {
		src.shown = "is " + kind(n) + ","
		if n.Kind == yaml.ScalarNode {
			src.shown = l.shown(f, n)
		}
		l.reject(src, err)
		return
	}
	if isNull(n) {
		p.Text, p.Fix = "has no value", l.orRemove(f)
		l.problem(p)
		return
	}
	exp, err := expand(n.Value, l.lookup)
	if err != nil {
		src.shown = l.shown(f, n)
		l.reject(src, err)
		return
	}
	l.warnMissing(p, exp.missing)
	switch {
	case exp.text == "" && (exp.refs > 0 || isText(f) && !f.emptyMeans):
	case f.secret && exp.literal:
		p.Text, p.Fix = "is a secret as a literal in the file", secretFix(f)
		l.problem(p)
	case exp.refs == 0 && quoted(n) && !isText(f):
		src.shown = l.shown(f, n)
		l.reject(src, &valueError{"is a quoted text, not " + f.want(), "remove the quotes"})
	default:
		src.variables = exp.variables
		l.assign(f, exp.text, src)
	}
}

func (l *loader) warnMissing(p Problem, names []string) {
	for _, name := range names {
		p.Text, p.Fix = "the variable "+name+" is not set and counts as empty", "set it, or write ${"+name+":-default} or ${"+name+":?message}"
		l.warn(p)
	}
}

// isList tells whether the file may hold the value as a list.
func isList(f field) bool {
	switch f.ptr.(type) {
	case *Addresses, *Timetable:
		return true
	}
	return false
}

// tags takes a mapping of keys to values, or a list of key=value, of addresses or of
// entries of a timetable. Its messages repeat no value.
func (l *loader) tags(f field, p Problem, n *yaml.Node) {
	src := source{Problem: p, shown: "the value"}
	var items []string
	for i := 0; i < len(n.Content); i++ {
		item := ""
		if n.Kind == yaml.MappingNode {
			if item = n.Content[i].Value; item == "" || strings.ContainsAny(item, "=,") || n.Content[i].Kind != yaml.ScalarNode {
				l.reject(src, errTagEquals)
				return
			}
			item += "="
			i++
		}
		value := target(n.Content[i])
		if err := form(f, value); err != nil {
			src.shown = "holds " + kind(value) + ","
			l.reject(src, err)
			return
		}
		exp, err := expand(value.Value, l.lookup)
		if err == nil && (item != "" || exp.refs > 0) && strings.Contains(exp.text, ",") {
			err = errComma(f)
		}
		if err != nil {
			l.reject(src, err)
			return
		}
		l.warnMissing(p, exp.missing)
		src.variables = append(src.variables, exp.variables...)
		items = append(items, item+exp.text)
	}
	l.assign(f, strings.Join(items, ","), src)
}

// errComma: in a list, a comma in one item would make two of it.
func errComma(f field) error {
	switch f.ptr.(type) {
	case *Tags:
		return errTagChar
	case *Timetable:
		return errSlot
	}
	return errAddress
}

func (l *loader) orRemove(f field) string {
	for _, k := range Keys() {
		if k.Path == f.path && k.Default != "" {
			return fmt.Sprintf("write one, or remove the line: the default is %q", k.Default)
		}
	}
	return "write one, or remove the line"
}

func (l *loader) shown(f field, n *yaml.Node) string {
	if f.secret {
		return "the value"
	}
	return show(f.path, n.Value)
}

// form refuses what is no scalar, has a tag of its own, or is true or false
// where a text belongs.
func form(f field, n *yaml.Node) error {
	switch tag := n.ShortTag(); {
	case n.Kind != yaml.ScalarNode:
		return &valueError{"want " + f.want(), "write one value behind the key"}
	case len(n.Value) > maxText:
		return errLong
	case tag != "!!null" && tag != "!!str" && tag != "!!bool" && tag != "!!int" && tag != "!!float" && tag != "!!timestamp":
		return &valueError{"has a YAML tag", "write the value without a tag"}
	case tag == "!!bool" && isText(f):
		fix := "write " + f.want()
		if f.want() == "a text" {
			fix += ", in quotes if it is meant"
		}
		return &valueError{"is true or false, want " + f.want(), fix}
	case f.want() == "true or false" && len(n.Value) == 1 && tag != "!!null":
		return errBool
	}
	return nil
}

// isText tells whether a quoted value is as good as a plain one.
func isText(f field) bool {
	switch f.ptr.(type) {
	case *bool, *int, *int64, *float64:
		return false
	}
	return true
}

func quoted(n *yaml.Node) bool {
	return n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// target follows an alias. The depth of the configuration is fixed, so no
// chain of aliases can grow.
func target(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a single value"
}

func secretFix(f field) string {
	fix := "set " + f.env + " (in the file: ${" + f.env + "}), or name a file that holds it in " + f.env + "_FILE"
	if strings.HasPrefix(f.path, "s3.") {
		fix = "leave it empty and use the AWS credential chain or s3.profile, or " + fix
	}
	return fix
}
