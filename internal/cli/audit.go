package cli

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"oracle-focus-agent/messages"
)

// audit writes an action of an operator into the ledger, and into the log. Who acts
// must call it before the effect: a crash between the two leaves the record of an
// intention, which the next reader can check against the ledger; in the other order
// it would leave an act that nobody is on record for. Where it fails, nothing is to be
// done. By is the operator at the command, who travels in the request to an agent;
// where it is empty, it is the user of this process.
func (r *route) audit(ctx context.Context, action messages.Action) error {
	const most = 100 // of Files, as the contract says
	action.By = cmp.Or(action.By, operator())
	if action.At.IsZero() {
		action.At = time.Now().UTC()
	}
	if len(action.Files) > most {
		action.Files = action.Files[:most]
	}
	if err := r.ledger.Audit(ctx, action, rand.Text()[:8]); err != nil {
		return fmt.Errorf("nothing was done, because it could not be put on record: %w", err)
	}
	r.log.Info("operator", "action", action.Action, "by", action.By, "reason", action.Reason, "detail", action.Detail, "count", action.Count)
	return nil
}

// operator is who runs this process: user@host, both as far as the system tells.
func operator() string {
	name := strconv.Itoa(os.Geteuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	host, _ := os.Hostname()
	return printable(name + "@" + cmp.Or(host, "unknown"))
}

// printable replaces what would begin another line, move the cursor of a terminal, turn
// the reading direction or hide, in words that others have written.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// checkReason takes an operator's words for the record.
func checkReason(reason, why string) error {
	const longest = 500
	switch {
	case strings.TrimSpace(reason) == "":
		return &coded{exitConfig, errors.New("--reason is missing: " + why)}
	case len(reason) > longest:
		return &coded{exitConfig, fmt.Errorf("--reason has %d bytes, more than %d", len(reason), longest)}
	case printable(reason) != reason:
		return &coded{exitConfig, errors.New("--reason must be one line of printable characters")}
	}
	return nil
}

// A trail is what `audit` prints.
type trail struct {
	Actions []messages.Action `json:"actions"`
	// Unreadable counts records that nobody can read any more.
	Unreadable int `json:"unreadable,omitempty"`
}

func (r *route) trail(ctx context.Context) (trail, error) {
	actions, unreadable, err := r.ledger.Actions(ctx)
	if actions == nil {
		actions = []messages.Action{}
	}
	return trail{actions, unreadable}, err
}

func (a *app) auditCommand() *cobra.Command {
	var asJSON bool
	var since string
	cmd := &cobra.Command{
		Use: "audit", Short: "List what operators did to this route: who, when, what, why", Args: cobra.NoArgs,
		Long: `List what operators did to this route, the newest last: who ordered, discarded,
backfilled, paused or repaired what, when and why. The trail stands in the ledger, is
kept for 400 days, and is a part of every export. It is written before the act: a
record whose act a crash prevented tells of an intention.`,
		Example: "  oracle-focus-agent audit\n  oracle-focus-agent audit --since 2026-11-01 --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			day := messages.Day(since)
			if since != "" && !day.Valid() {
				return &coded{exitConfig, fmt.Errorf("--since %q is not a day, such as 2026-11-01", since)}
			}
			return a.audit(cmd.Context(), day, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	cmd.Flags().StringVar(&since, "since", "", "only from this UTC day on, YYYY-MM-DD")
	return cmd
}

func (a *app) audit(ctx context.Context, since messages.Day, asJSON bool) error {
	var t trail
	err := a.ask(ctx, "/v1/audit", struct{}{}, &t, func(r *route) (err error) {
		t, err = r.trail(ctx)
		return err
	})
	if err != nil {
		return err
	}
	kept := []messages.Action{}
	for _, action := range t.Actions {
		if messages.DayOf(action.At) >= since {
			kept = append(kept, action)
		}
	}
	t.Actions = kept
	if asJSON {
		return a.printJSON(t)
	}
	w := tabwriter.NewWriter(a.env.Stdout, 0, 0, 2, ' ', 0)
	for _, action := range t.Actions {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", shortTime(action.At), printable(action.By), printable(action.Action), printable(about(action)))
	}
	fmt.Fprintf(w, "%s\n", counted(len(t.Actions), "action"))
	if t.Unreadable > 0 {
		fmt.Fprintf(w, "%s cannot be read\n", counted(t.Unreadable, "more record"))
	}
	return w.Flush()
}

// about is what an action was applied to, and why.
func about(a messages.Action) string {
	var parts []string
	if a.Count > 0 {
		parts = append(parts, counted(a.Count, "file"))
	}
	if a.Detail != "" {
		parts = append(parts, a.Detail)
	}
	if a.Reason != "" {
		parts = append(parts, strconv.Quote(a.Reason))
	}
	return strings.Join(parts, ", ")
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
