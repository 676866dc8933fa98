// Package focus carries the files of the top level that the program hands out.
package focus

import _ "embed"

// Template is the commented configuration that `config init` fills in.
//
//go:embed config.template.yaml
var Template string
