package config

import (
	"encoding/json"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Fill puts values into the text of a configuration file that has a line for
// each of their keys, and leaves the rest of it, comments included, as it is.
func Fill(text string, values map[string]string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		return "", err
	}
	lines := strings.SplitAfter(text, "\n")
	for key, value := range values {
		n := find(&doc, key)
		if n == nil || n.Kind != yaml.ScalarNode {
			return "", fmt.Errorf("the text has no line for %s", key)
		}
		line := &lines[n.Line-1]
		*line = (*line)[:n.Column-1] + quote(value) + "\n"
	}
	return strings.Join(lines, ""), nil
}

// find is the value of a key below n, or nil.
func find(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		return find(n.Content[0], key)
	}
	name, rest, nested := strings.Cut(key, ".")
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		switch {
		case n.Content[i].Value != name:
		case nested:
			return find(n.Content[i+1], rest)
		default:
			return n.Content[i+1]
		}
	}
	return nil
}

// quote makes a text that is read back as it is: JSON's strings are YAML's, and
// a dollar sign could begin a reference.
func quote(value string) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(strings.ReplaceAll(value, "$", "$$")); err != nil {
		panic(err) // unreachable: every string has a form in JSON
	}
	return strings.TrimSuffix(b.String(), "\n")
}
