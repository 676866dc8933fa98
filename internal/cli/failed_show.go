package cli

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/agent"
	"oracle-focus-agent/messages"
)

// A fileStory is all that the queue and the ledger know of one file.
type fileStory struct {
	Key    string          `json:"ledger_key"`
	Day    messages.Day    `json:"day"`
	Record messages.Record `json:"record"`
	// Letter is the last dead letter; it stays when the file was copied later.
	Letter *messages.DeadLetter `json:"dead_letter,omitempty"`
	// Actions are those of operators that name the file.
	Actions []messages.Action `json:"actions"`
	// Commands are what an operator can do, and how to see the same by other means.
	Commands []string `json:"commands"`
}

func (a *app) failedShowCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "Tell all that is known of one file: record, statistics, dead letter, what operators did", Args: cobra.ExactArgs(1),
		Long: `Tell all that is known of one file, by its object or file name: the record of the
ledger with what was copied and the statistics of its content, the last dead letter, and
what operators did about it. It works for files that did not fail, too.`,
		Example: "  oracle-focus-agent failed show 0001000002103533-00001.csv.gz",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.failedShow(cmd.Context(), args[0], asJSON) },
	}
	cmd.ValidArgsFunction = a.failedNames
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a JSON array, with one object for each file of that name")
	return cmd
}

func (a *app) failedShow(ctx context.Context, name string, asJSON bool) error {
	stories := []fileStory{}
	err := a.ask(ctx, "/v1/file", name, &stories, func(r *route) (err error) {
		stories, err = r.story(ctx, name)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return a.printJSON(stories)
	}
	for i, s := range stories {
		if i > 0 {
			fmt.Fprintln(a.env.Stdout)
		}
		a.table(s.rows())
	}
	return nil
}

// story looks for a file by its object or file name; of a file name there may be one on
// several days.
func (r *route) story(ctx context.Context, name string) ([]fileStory, error) {
	entries, err := r.ledger.Named(ctx, path.Base(name))
	if err != nil {
		return nil, err
	}
	actions, _, err := r.ledger.Actions(ctx)
	if err != nil {
		return nil, err
	}
	dead := r.conn.DeadLetters(r.cfg.NATS.Prefix)
	stories := []fileStory{}
	for _, e := range entries {
		object := e.Record.Object.Name
		if strings.Contains(name, "/") && object != name {
			continue
		}
		s := fileStory{Key: e.Key, Day: e.Day, Record: e.Record, Actions: []messages.Action{}}
		if s.Letter, err = dead.Letter(ctx, r.assets.Dead.Name, r.cfg.OCI.Name, object); err != nil {
			return nil, err
		}
		for _, action := range actions {
			if slices.Contains(action.Files, object) {
				action.Files = []string{object}
				s.Actions = append(s.Actions, action)
			}
		}
		s.Commands = r.commandsFor(s)
		stories = append(stories, s)
	}
	if len(stories) == 0 {
		return nil, &agent.Refusal{Text: fmt.Sprintf("the ledger has no file %q; `oracle-focus-agent failed list` names those that failed, and `oracle-focus-agent sync --dry-run` tells which are still to be copied", name), Exit: exitError}
	}
	return stories, nil
}

// commandsFor are what to type about a file.
func (r *route) commandsFor(s fileStory) []string {
	object := shellQuoted(s.Record.Object.Name)
	var out []string
	switch s.Record.Status {
	case messages.StatusFailed:
		out = append(out, "oracle-focus-agent failed retry "+object, "oracle-focus-agent failed discard "+object+" --reason TEXT")
	case messages.StatusDiscarded:
		out = append(out, "oracle-focus-agent failed retry "+object)
	}
	if !r.cfg.Embedded() {
		out = append(out, "nats kv get "+r.assets.State.Name+" "+s.Key)
		if s.Letter != nil {
			out = append(out, "nats stream get "+r.assets.Dead.Name+" --last-for "+messages.DeadSubject(r.cfg.NATS.Prefix, r.cfg.OCI.Name, s.Record.Object.Name))
		}
	}
	return append(out, "oci os object head --namespace "+r.cfg.OCI.Namespace+" --bucket-name "+r.cfg.OCI.Bucket+" --name "+object)
}

// shellQuoted is one word of a shell, on one line and with nothing in it that a terminal
// would obey: where a name has such bytes, in the form of bash, ksh and zsh.
func shellQuoted(s string) string {
	switch {
	case printable(s) != s || !utf8.ValidString(s):
		var b strings.Builder
		for i := range len(s) {
			if c := s[i]; c >= ' ' && c <= '~' && c != '\'' && c != '\\' {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, `\x%02x`, c)
			}
		}
		return "$'" + b.String() + "'"
	case s != "" && strings.IndexFunc(s, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_./:=", c))
	}) < 0:
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func (s fileStory) rows() [][2]string {
	r, o := s.Record, s.Record.Object
	rows := [][2]string{
		{"file", printable(o.Name)},
		{"report day", string(s.Day)},
		{"status", string(r.Status) + ", since " + when(r.At)},
		{"size", fmt.Sprintf("%d bytes (%s)", o.Size, humanize.IBytes(uint64(o.Size)))},
		{"version", fmt.Sprintf("etag %s, created %s, modified %s", o.ETag, when(o.Created), when(o.Modified))},
		{"declared", fmt.Sprintf("MD5 %s, CRC32C %s", orNone(o.MD5), orNone(o.CRC32C))},
		{"ledger", fmt.Sprintf("%s, generation %d, epoch %d", s.Key, r.Generation, r.Epoch)},
	}
	if r.Class != "" {
		e := r.Class.Explain()
		rows = append(rows,
			[2]string{"failure", fmt.Sprintf("%s, %s, first %s", r.Class, counted(r.Attempts, "attempt"), when(r.FirstFailed))},
			[2]string{"", printable(r.Error)}, [2]string{"meaning", e.Meaning}, [2]string{"remedy", e.Remedy})
	}
	if r.Worker != "" {
		rows = append(rows, [2]string{"worker", r.Worker + ", trace " + r.Trace})
	}
	if r.TraceID != "" {
		rows = append(rows, [2]string{"trace id", printable(r.TraceID)})
	}
	rows = append(rows, copyRows(r.Copy)...)
	if d := s.Letter; d != nil {
		rows = append(rows,
			[2]string{"dead letter", fmt.Sprintf("%s: %s, %s by %s", when(d.At), d.Class, counted(d.Attempts, "attempt"), d.Worker)},
			[2]string{"", printable(d.Error)}, [2]string{"message", printable(d.Message)})
	}
	for _, action := range s.Actions {
		rows = append(rows, [2]string{"operator", fmt.Sprintf("%s %s: %s %s", shortTime(action.At), printable(action.By), action.Action, printable(action.Reason))})
	}
	for i, c := range s.Commands {
		rows = append(rows, [2]string{[]string{"commands", ""}[min(i, 1)], c})
	}
	return rows
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func copyRows(c *messages.FileCopied) [][2]string {
	if c == nil {
		return [][2]string{{"copy", "none"}}
	}
	rows := [][2]string{
		{"copy", fmt.Sprintf("%s, %d bytes, %s, %s", c.Key, c.Size, c.How, when(c.At))},
		{"", fmt.Sprintf("CRC32C %s, verified by %s, in %s", orNone(c.CRC32C), orNone(c.Verified), seconds(c.Seconds))},
	}
	if r := c.Replaced; r != nil {
		rows = append(rows, [2]string{"replaced", fmt.Sprintf("etag %s, %d bytes, CRC32C %s, copied %s", r.ETag, r.Size, orNone(r.CRC32C), when(r.At))})
		rows = append(rows, statisticsRows("", r.Statistics)...)
	}
	return append(rows, statisticsRows("statistics", c.Statistics)...)
}

func statisticsRows(title string, s *messages.Statistics) (rows [][2]string) {
	if s == nil {
		return nil
	}
	rows = append(rows, [2]string{title, fmt.Sprintf("gzip %s, %s, %s, %s and %s; charges %s to %s", orNone(s.Gzip), counted(int(s.Rows), "row"),
		counted(int(s.Corrections), "correction"), counted(s.Accounts, "account"), counted(s.Services, "service"), day(s.First), day(s.Last))})
	for _, sum := range s.Sums {
		rows = append(rows, [2]string{"", fmt.Sprintf("%s: billed %s %s, effective %s %s", sum.Period, sum.Billed, sum.Currency, sum.Effective, sum.Currency)})
	}
	for _, p := range s.Problems {
		rows = append(rows, [2]string{"", printable(p)})
	}
	if s.Skipped != "" {
		rows = append(rows, [2]string{"", "not all was counted: " + printable(s.Skipped)})
	}
	return rows
}

func day(t time.Time) string {
	if t.IsZero() {
		return "unknown"
	}
	return t.UTC().Format(time.DateOnly)
}
