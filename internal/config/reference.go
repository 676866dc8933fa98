package config

import (
	"fmt"
	"reflect"
	"strings"
)

// A part of the reference is one section of the file.
type part struct {
	name, doc string
	keys      []Key
}

// parts are the sections in the order of the file.
func parts() []part {
	var out []part
	for field := range reflect.TypeFor[Config]().Fields() {
		if name := field.Tag.Get("yaml"); name != "" {
			out = append(out, part{name: name, doc: field.Tag.Get("desc")})
		}
	}
	for _, k := range Keys() {
		for i := range out {
			if strings.HasPrefix(k.Path, out[i].name+".") {
				out[i].keys = append(out[i].keys, k)
			}
		}
	}
	return out
}

// Reference is the reference of every key as Markdown, a table for each section.
func Reference() string {
	var b strings.Builder
	for _, p := range parts() {
		fmt.Fprintf(&b, "### %s\n\n%s.\n\n| key | variable | type | default | meaning |\n|---|---|---|---|---|\n", p.name, p.doc)
		for _, k := range p.keys {
			variable := code(k.Env)
			if k.EnvFile != "" {
				variable += ", " + code(k.EnvFile)
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", code(k.Path), variable, k.kind(), code(k.Default), cell(k.Doc))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// kind is the type of a key with what bounds it.
func (k Key) kind() string {
	switch {
	case len(k.Choices) == 1:
		return code(k.Choices[0])
	case len(k.Choices) > 1:
		last := len(k.Choices) - 1
		return code(strings.Join(k.Choices[:last], "`, `")) + " or " + code(k.Choices[last])
	case k.Range != "":
		return k.Type + ", " + k.Range
	}
	return k.Type
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// cell keeps < and | from being markup.
func cell(s string) string { return strings.NewReplacer("<", "&lt;", "|", `\|`).Replace(s) }

// DotenvHead is the first line of [Dotenv].
const DotenvHead = "# --- of the agent: printed by `oracle-focus-agent config env --dotenv` ---"

// Dotenv is every variable for an environment file, with the default as a
// comment. Those without which nothing works are no comments, and empty.
func Dotenv() string {
	var b strings.Builder
	b.WriteString(DotenvHead + "\n")
	for _, p := range parts() {
		fmt.Fprintf(&b, "\n# %s: %s\n", p.name, p.doc)
		for _, k := range p.keys {
			fmt.Fprintf(&b, "# %s\n", k.Doc)
			switch {
			case k.Required:
				fmt.Fprintf(&b, "%s=\n", k.Env)
			case k.EnvFile != "":
				fmt.Fprintf(&b, "#%s=\n#%s=\n", k.Env, k.EnvFile)
			default:
				fmt.Fprintf(&b, "#%s=%s\n", k.Env, k.Default)
			}
		}
	}
	return b.String()
}
