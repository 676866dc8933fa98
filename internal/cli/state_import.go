package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

type importOptions struct {
	dryRun, yes, resend, json bool
}

func (a *app) stateImportCommand() *cobra.Command {
	var o importOptions
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take over a state.json of the Python agent, or restore an export", Args: cobra.ExactArgs(1),
		Long: `Take over what the Python agent delivered, from its state.json, so that the next
scan sends nothing of it again; or restore what "state export" wrote.

Of a state.json, an entry counts for a listed file of the same name and size, as
far as both tell also of the same etag, MD5 and time. Files that are older than
its oldest entry count as delivered too, because that agent forgets its entries
after 30 days; --resend sends them. Everything else will be copied. Records that
the ledger has already stay as they are. The file itself is never changed.`,
		Example: "  oracle-focus-agent state import ./state/state.json --dry-run\n  oracle-focus-agent state import ledger.jsonl --yes",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.stateImport(cmd.Context(), args[0], o) },
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would be written and write nothing")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.resend, "resend", false, "of a state.json: copy the files that are older than its oldest entry")
	cmd.Flags().BoolVar(&o.json, "json", false, "print what was found as one JSON object")
	return cmd
}

func (a *app) stateImport(ctx context.Context, file string, o importOptions) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return &coded{exitConfig, err}
	}
	defer f.Close()
	head := make([]byte, 4<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return &coded{exitConfig, fmt.Errorf("read %s: %w", file, err)}
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return &coded{exitConfig, fmt.Errorf("%s must be a file: %w", file, err)}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if state.IsExport(head[:n]) {
		return a.restore(ctx, r, f, o)
	}
	return a.inherit(ctx, r, f, o)
}

// An inheritance is what `state import` found in a state.json.
type inheritance struct {
	Entries   int            `json:"entries"`
	FirstDay  messages.Day   `json:"first_day,omitempty"`
	LastDay   messages.Day   `json:"last_day,omitempty"`
	LastSync  time.Time      `json:"last_sync,omitzero"`
	Layouts   map[string]int `json:"layouts"`
	Delivered int            `json:"delivered"`
	Presumed  int            `json:"presumed"`
	// PresumedFrom is the report day of the first of those.
	PresumedFrom messages.Day `json:"presumed_from,omitempty"`
	Changed      int          `json:"changed"`
	New          int          `json:"new"`
	NotListed    int          `json:"not_listed"`
	Recorded     int          `json:"already_recorded"`
	Unreadable   []string     `json:"unreadable"`
	Written      int          `json:"written"`
	// Since is the first report day that the installation will be responsible for.
	Since messages.Day `json:"since"`

	route   string
	resend  bool
	records []keyed
}

// inherit takes over a state.json. Its records are those of listed files, so that
// each carries the etag by which a later version is told.
func (a *app) inherit(ctx context.Context, r *route, f *os.File, o importOptions) error {
	p, err := state.ReadPython(f)
	if err != nil {
		return &coded{exitConfig, fmt.Errorf("read %s: %w", f.Name(), err)}
	}
	in, err := state.Inherit(p, r.rules())
	if err != nil {
		return err
	}
	h := &inheritance{
		Entries: in.Entries(), FirstDay: in.First, LastDay: in.Last, LastSync: p.LastSync, Layouts: in.Layouts,
		Unreadable: []string{}, Since: min(in.First, firstDay(r.cfg, r.windowStart())), route: r.cfg.OCI.Name, resend: o.resend,
	}
	for _, u := range in.Unreadable {
		h.Unreadable = append(h.Unreadable, fmt.Sprintf("%q: %v", u.Key, u.Err))
	}
	err = in.CheckLayout(r.naming)
	if err == nil && in.Entries() == 0 {
		err = errors.New("no entry of the file can be used; nothing was written")
	}
	if err != nil {
		a.printUnreadable(h.Unreadable)
		return &coded{exitConfig, fmt.Errorf("%s: %w", f.Name(), err)}
	}
	if err := r.openToFill(ctx, o.dryRun); err != nil {
		return err
	}
	if err := r.lookThrough(ctx, h.Since, func(out scanner.Outcome) { h.judge(in, out) }); err != nil {
		return err
	}
	h.NotListed = h.Entries - h.Delivered - h.Changed
	if h.stranger() {
		a.table(h.rows())
		return &coded{exitConfig, fmt.Errorf("%s: Oracle lists none of its files, but older ones: it may be the state of another tenancy; nothing was written: name the right file, or say --resend, which takes no file for delivered that has no entry", f.Name())}
	}
	return a.finishImport(ctx, o, h, h.rows(), func() error { return r.fill(ctx, h.Since, h.records, &h.Written, &h.Recorded) })
}

// stranger reports whether nothing shows that the file is of this tenancy, while
// files would count as delivered only because they are older than its entries.
func (h *inheritance) stranger() bool {
	return h.Delivered+h.Changed == 0 && h.Presumed > 0 && !h.resend
}

// finishImport shows what was found, asks, and writes.
func (a *app) finishImport(ctx context.Context, o importOptions, found any, rows [][2]string, write func() error) error {
	if !o.json {
		a.table(rows)
	}
	err := error(nil)
	if !o.dryRun {
		if err = a.confirm(ctx, o.yes, "Write this to the ledger?"); err == nil {
			err = write()
		}
	}
	if o.json {
		return errors.Join(err, a.printJSON(found))
	}
	if err == nil && !o.dryRun {
		fmt.Fprintln(a.env.Stdout, "written; `oracle-focus-agent sync --dry-run` shows what is left to copy")
	}
	return err
}

// judge takes one listed object.
func (h *inheritance) judge(in *state.Inheritance, out scanner.Outcome) {
	if out.Report.Key == "" {
		return
	}
	finding, entry := in.Judge(out.Object)
	switch finding {
	case state.Delivered:
		h.Delivered++
	case state.Changed:
		h.Changed++
	}
	if out.Record.Status != "" {
		h.Recorded++
		return
	}
	how := messages.HowImported
	switch {
	case finding == state.New:
		h.New++
		return
	case finding == state.Changed:
		return
	case finding == state.Presumed:
		h.Presumed++
		if h.PresumedFrom == "" || out.Report.Day < h.PresumedFrom {
			h.PresumedFrom = out.Report.Day
		}
		if h.resend {
			return
		}
		how = messages.HowPresumed
	}
	h.records = append(h.records, keyed{messages.RecordKey(h.route, out.Report), messages.Record{
		Status: messages.StatusCopied, Object: out.Object, Copy: &messages.FileCopied{
			Key: out.Report.Key, Size: out.Object.Size, MD5: entry.Object.MD5, How: how, At: entry.Transferred, Seconds: entry.Seconds,
		},
	}})
}

func (h *inheritance) rows() [][2]string {
	rows := [][2]string{
		{"entries", fmt.Sprintf("%d, for reports of %s to %s; last sync %s", h.Entries, h.FirstDay, h.LastDay, when(h.LastSync))},
	}
	for template := range h.Layouts {
		rows = append(rows, [2]string{"layout", template + ", as configured"})
	}
	older := "count as delivered, since the Python agent forgets; --resend copies them"
	if h.resend {
		older = "will be copied"
	}
	rows = append(rows,
		[2]string{"delivered", fmt.Sprintf("%d files, listed as they were; they will not be sent again", h.Delivered)},
		[2]string{"older", fmt.Sprintf("%d files%s are older than the oldest entry: they %s", h.Presumed, from(h.PresumedFrom), older)},
		[2]string{"changed", fmt.Sprintf("%d files differ from their entries and will be copied", h.Changed)},
		[2]string{"new", fmt.Sprintf("%d files have no entry and will be copied", h.New)},
		[2]string{"not listed", fmt.Sprintf("%d entries, whose files Oracle no longer lists", h.NotListed)},
		[2]string{"in the ledger", fmt.Sprintf("%d files have a record already, which stays", h.Recorded)},
		[2]string{"responsible", fmt.Sprintf("from %s on; older days are before this installation", h.Since)},
	)
	return append(rows, unreadableRows(h.Unreadable)...)
}

func from(d messages.Day) string {
	if d == "" {
		return ""
	}
	return fmt.Sprintf(" from %s on", d)
}

func unreadableRows(unreadable []string) (rows [][2]string) {
	const most = 50
	for i, u := range unreadable {
		if i == most {
			return append(rows, [2]string{"unreadable", fmt.Sprintf("… and %d more", len(unreadable)-most)})
		}
		rows = append(rows, [2]string{"unreadable", u})
	}
	return rows
}

func (a *app) printUnreadable(unreadable []string) { a.table(unreadableRows(unreadable)) }

// A restoration is what `state import` found in an export.
type restoration struct {
	Route    string       `json:"route"`
	Exported time.Time    `json:"exported"`
	Records  int          `json:"records"`
	FirstDay messages.Day `json:"first_day,omitempty"`
	LastDay  messages.Day `json:"last_day,omitempty"`
	// Since is the first report day that the ledger was responsible for.
	Since   messages.Day `json:"since,omitempty"`
	Uploads int          `json:"uploads"`
	// Actions are those of operators, the audit trail.
	Actions  int `json:"actions"`
	Written  int `json:"written"`
	Recorded int `json:"already_recorded"`

	identity *messages.Identity
	marks    []byte
}

// restore writes an export into the ledger. It is read twice, so that nothing is
// written of one that is broken or cut off.
func (a *app) restore(ctx context.Context, r *route, f *os.File, o importOptions) error {
	if o.resend {
		return &coded{exitConfig, errors.New("--resend is about a state.json of the Python agent; an export says of every file what became of it")}
	}
	s := &restoration{}
	if err := s.read(f, s.look); err != nil {
		return &coded{exitConfig, fmt.Errorf("read %s: %w; nothing was written: use an older export, or `state rebuild`", f.Name(), err)}
	}
	if s.Route != r.cfg.OCI.Name {
		return &coded{exitConfig, fmt.Errorf("%s is the ledger of route %q, and oci.name is %q; nothing was written", f.Name(), s.Route, r.cfg.OCI.Name)}
	}
	if err := r.openLedger(ctx, o.dryRun); err != nil {
		return err
	}
	if err := r.fits(ctx, s); err != nil {
		return err
	}
	rows := [][2]string{
		{"export", fmt.Sprintf("of route %s, written %s", s.Route, when(s.Exported))},
		{"records", fmt.Sprintf("%d, for reports of %s to %s", s.Records, s.FirstDay, s.LastDay)},
	}
	return a.finishImport(ctx, o, s, rows, func() error { return r.putBack(ctx, s, f) })
}

// read calls f with each line of an export.
func (s *restoration) read(file io.ReadSeeker, f func(state.Line) error) error {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	h, lines, err := state.Read(file)
	if err != nil {
		return err
	}
	s.Route, s.Exported = h.Route, h.Written
	for line, err := range lines {
		if err == nil {
			err = f(line)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// look takes one line of the first reading.
func (s *restoration) look(l state.Line) error {
	_, day, _, isRecord := messages.ParseRecordKey(l.Key)
	switch {
	case isRecord:
		s.Records++
		if s.FirstDay == "" || day < s.FirstDay {
			s.FirstDay = day
		}
		s.LastDay = max(s.LastDay, day)
	case l.Key == messages.MarksKey(s.Route):
		m, err := messages.DecodeMarks(l.Value)
		s.marks, s.Since = l.Value, m.Since
		return err
	case l.Key == messages.IdentityKey(s.Route):
		i, err := messages.DecodeIdentity(l.Value)
		s.identity = &i
		return err
	case strings.HasPrefix(l.Key, messages.AuditPrefix(s.Route)+"."):
		s.Actions++
	case strings.HasPrefix(l.Key, strings.TrimSuffix(messages.UploadKey(s.Route, ""), "=")):
		s.Uploads++
	}
	return nil
}

// fits refuses a ledger that speaks of another source, destination or epoch: its
// records would mean something else there.
func (r *route) fits(ctx context.Context, s *restoration) error {
	if r.ledger == nil {
		return nil
	}
	have, revision, err := readIdentity(ctx, r.ledger, r.cfg.OCI.Name)
	if err != nil || revision == 0 || s.identity == nil {
		return err
	}
	if d := have.Differences(*s.identity); len(d) > 0 {
		return &coded{exitConfig, fmt.Errorf("the ledger speaks of %s %q and the export of %q; nothing was written", d[0].Field, d[0].Old, d[0].New)}
	}
	if have.Epoch != s.identity.Epoch {
		return &coded{exitConfig, fmt.Errorf("the ledger has accepted %d new destinations and the export %d; nothing was written", have.Epoch, s.identity.Epoch)}
	}
	return nil
}

// putBack writes what the ledger lacks: the records, then the identity, and last
// the marks, without which a start is refused and the import can be repeated.
func (r *route) putBack(ctx context.Context, s *restoration, f *os.File) error {
	if s.identity != nil {
		r.identity = *s.identity
		r.noteSince(s.Since)
	}
	err := s.read(f, func(l state.Line) error {
		if l.Key == messages.MarksKey(s.Route) || l.Key == messages.IdentityKey(s.Route) {
			return nil
		}
		added, err := r.add(ctx, l.Key, l.Value)
		if added {
			s.Written++
		} else {
			s.Recorded++
		}
		return err
	})
	if err != nil {
		return err
	}
	if s.identity != nil {
		// Its birth is now: what was copied since the export is then looked for at the
		// destination before it is sent.
		s.identity.Created = time.Now().UTC()
		raw, err := s.identity.Encode()
		if err != nil {
			return err
		}
		if _, err := r.add(ctx, messages.IdentityKey(s.Route), raw); err != nil {
			return err
		}
	}
	if s.marks == nil {
		return r.beginMarks(ctx, cmp.Or(s.FirstDay, firstDay(r.cfg, r.windowStart())))
	}
	_, err = r.add(ctx, messages.MarksKey(s.Route), s.marks)
	return err
}
