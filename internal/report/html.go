package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html
var pageHTML string

// WriteHTML writes the report as one file that needs nothing else: for mailing, for
// printing, without a script.
func (r Report) WriteHTML(w io.Writer, v View) error { return r.page(v, true).html(w) }

// WriteHTML writes the statement as such a file.
func (s Statement) WriteHTML(w io.Writer) error { return s.page(true).html(w) }

func (p page) html(w io.Writer) error {
	t, err := template.New("page").Funcs(template.FuncMap{"shown": Shown}).Parse(pageHTML)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}
