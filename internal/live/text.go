package live

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteJSON writes the report for machines.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// WriteText writes the report for people.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "Live test of oracle-focus-agent %s, %s\n", r.Version, r.At.UTC().Format(time.RFC3339))
	fmt.Fprintf(&b, "source:      %s\ndestination: %s\n", r.Source, r.Destination)
	for _, s := range r.Steps {
		s.write(&b)
	}
	if !r.Complete {
		b.WriteString("\nIt was ended before its last step.\n")
	}
	if lacks, _ := r.Lacks(); lacks != nil {
		fmt.Fprintf(&b, "\nThe agent cannot work with: %s\n", strings.Join(lacks, ", "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (s Result) write(b *strings.Builder) {
	fmt.Fprintf(b, "\n%s: %s\n", s.Step, s.About)
	if !s.Asked {
		fmt.Fprintf(b, "  %d questions, %s\n", len(s.Answers), noConsent)
		return
	}
	for _, a := range s.Answers {
		fmt.Fprintf(b, "  %-8s %s  [%s]\n           %s\n", strings.ToUpper(string(a.Verdict)), a.Question, a.ID, a.Evidence)
		if a.Verdict != Unknown {
			fmt.Fprintf(b, "           so: %s\n", a.Means)
		}
	}
	for _, w := range s.Wrote {
		fmt.Fprintf(b, "  wrote    %s: %s", w.Name, w.Fate)
		if w.Why != "" {
			fmt.Fprintf(b, " (%s)", w.Why)
		}
		b.WriteString("\n")
	}
}
