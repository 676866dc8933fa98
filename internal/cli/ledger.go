package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"oracle-focus-agent/internal/state"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// This file holds what keeps an empty ledger from reading as "nothing was sent
// yet" where something was: by an earlier ledger, or by the Python agent.

// readMarks is how far the scans of the route came; nil where none was complete.
func (r *route) readMarks(ctx context.Context) (*messages.Marks, uint64, error) {
	raw, revision, err := r.ledger.Read(ctx, messages.MarksKey(r.cfg.OCI.Name))
	if err != nil || raw == nil {
		return nil, 0, err
	}
	m, err := messages.DecodeMarks(raw)
	if errors.Is(err, messages.Refused) { // the scanner writes them anew
		err = nil
	}
	return &m, revision, err
}

// expectLedger refuses to begin with an empty ledger where there should be
// another, before any effect. In c it notes what is known of an earlier one.
func (r *route) expectLedger(ctx context.Context, c *change) error {
	if r.ledger != nil {
		if marks, _, err := r.readMarks(ctx); err != nil || marks != nil {
			return err
		}
	}
	if err := r.recall(c); err != nil || c.resend || c.accept {
		return err
	}
	lost := r.known != nil
	if !lost && r.conn != nil && r.server == nil {
		var err error
		if lost, err = r.conn.Remade(ctx, r.assets); err != nil {
			return err
		}
	}
	if lost {
		return r.lostLedger(r.known)
	}
	return r.expectPython()
}

// recall reads the note of an earlier ledger. What it held is void, and messages
// of its time may still be queued: so the new identity begins at its epoch, or at
// the next one where the source or the destination is another.
func (r *route) recall(c *change) (err error) {
	if r.known, err = r.readNote(); err != nil || r.known == nil {
		return err
	}
	c.epoch = r.known.Identity.Epoch
	if len(r.known.Identity.Differences(identityOf(r.cfg, r.naming))) > 0 {
		c.epoch++
	}
	return nil
}

func (r *route) lostLedger(known *state.Known) error {
	var b strings.Builder
	fmt.Fprintf(&b, "the ledger of route %q is gone: this installation had one", r.cfg.OCI.Name)
	if known != nil && known.Since != "" {
		fmt.Fprintf(&b, ", with reports from %s on", known.Since)
	}
	b.WriteString(", and finds none; nothing was copied. Say what to do:\n")
	export := "FILE"
	if files := r.exports(); len(files) > 0 {
		export = filepath.Join(r.cfg.State.ExportDir, files[len(files)-1])
	}
	b.WriteString(waysOut([][2]string{
		{r.typed("state", "import", export), "restore an export"},
		{r.typed("state", "rebuild"), "record what is found at the destination"},
		{"--resend", "go on without it: what is not found at the destination is sent again"},
	}))
	return &coded{exitConfig, errors.New(b.String())}
}

// typed is a command to be typed or pasted where this one was, about the same
// configuration.
func (r *route) typed(words ...string) string {
	if r.cfg.File() != "" {
		words = append(words, "--config", r.cfg.File())
	}
	for i, word := range words {
		words[i] = shellQuoted(word)
	}
	return "oracle-focus-agent " + strings.Join(words, " ")
}

// waysOut are indented lines of what can be typed, and what for.
func waysOut(rows [][2]string) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	for _, row := range rows {
		fmt.Fprintf(w, "  %s\t%s\n", row[0], row[1])
	}
	_ = w.Flush() // a Builder takes everything
	return strings.TrimSuffix(b.String(), "\n")
}

// expectPython refuses to begin beside a state.json of the Python agent that
// nobody has decided about.
func (r *route) expectPython() error {
	file := r.cfg.PythonState()
	f, err := os.Open(file)
	if file == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var p state.Python
	if err == nil {
		defer f.Close()
		p, err = state.ReadPython(f)
	}
	if err != nil {
		return &coded{exitConfig, fmt.Errorf("state.file: %s may say what the Python agent delivered, but cannot be read: %w; "+
			"mend it, point state.file elsewhere, or say --resend to begin without it", file, err)}
	}
	files := len(p.Entries) + len(p.Unreadable)
	if files == 0 {
		return nil
	}
	return &coded{exitConfig, fmt.Errorf("the Python agent has delivered %d files, as %s says, and this installation has no ledger yet; nothing was copied. Say what to do:\n%s", files, file, waysOut([][2]string{
		{r.typed("state", "import", file), "take over what it delivered (--dry-run shows what that is)"},
		{r.typed("state", "rebuild"), "record what is found at the destination"},
		{"--resend", "begin fresh: copy everything that this installation is responsible for"},
	}))}
}

// begin makes a decision to go on with an empty ledger last: without it the next
// start would ask again. What an earlier ledger was responsible for, the new one is.
func (r *route) begin(ctx context.Context, c change) error {
	if c.dryRun || !c.resend && (!c.accept || r.known == nil) {
		return nil
	}
	since := messages.Day("")
	if r.known != nil {
		since = r.known.Since
	}
	return r.beginMarks(ctx, since)
}

// beginMarks makes the route responsible from a day on, at the latest, and marks
// its ledger as one that is in use.
func (r *route) beginMarks(ctx context.Context, since messages.Day) error {
	for range 5 {
		m, revision, err := r.readMarks(ctx)
		if err != nil {
			return err
		}
		if m == nil {
			m = &messages.Marks{Epoch: r.identity.Epoch}
		}
		was := *m
		if m.Since == "" || since != "" && since < m.Since {
			m.Since = since
		}
		if r.known != nil { // what an earlier ledger was responsible for by backfills
			m.Ranges = messages.Join(append(slices.Clone(m.Ranges), r.known.Ranges...), m.Since)
		}
		if revision > 0 && m.Since == was.Since && slices.Equal(m.Ranges, was.Ranges) {
			return nil
		}
		raw, err := m.Encode()
		if err != nil {
			return err
		}
		_, err = r.ledger.Write(ctx, messages.MarksKey(r.cfg.OCI.Name), raw, revision)
		if !errors.Is(err, messages.Conflict) {
			return err
		}
	}
	return fmt.Errorf("write the scan marks of route %s: %w", r.cfg.OCI.Name, messages.Conflict)
}

// windowStart is the first report day of a scan that knows of none before.
func (r *route) windowStart() messages.Day {
	return messages.DayOf(time.Now()).Add(-max(r.cfg.Agent.LookbackDays, scanner.MinLookback))
}

// noteFile is where the installation notes that it has a ledger; empty where it
// has no state directory to note it in.
func (r *route) noteFile() string {
	if info, err := os.Stat(r.cfg.State.Dir); r.cfg.State.Dir == "" || err != nil || !info.IsDir() {
		return ""
	}
	return filepath.Join(r.cfg.State.Dir, "ledger-"+r.cfg.NATS.Prefix+"-"+r.cfg.OCI.Name+".json")
}

func (r *route) readNote() (*state.Known, error) {
	file := r.noteFile()
	if file == "" {
		return nil, nil
	}
	known, err := state.ReadKnown(file)
	if err != nil {
		return nil, &coded{exitConfig, fmt.Errorf("state.dir: %w; the file says whether there was a ledger: make it readable", err)}
	}
	return known, nil
}

// lastNote is readNote for one who goes on without.
func (r *route) lastNote() *state.Known {
	known, _ := r.readNote()
	return known
}

// note writes down that the ledger is in use.
func (r *route) note(ctx context.Context) {
	if m, _, err := r.readMarks(ctx); err == nil && m != nil {
		r.noteDays(m.Since, m.Ranges)
	}
}

// noteSince writes down that there is a ledger, where that or its responsibility is
// news. Before a ledger is filled it makes the next start refuse one that is not.
func (r *route) noteSince(since messages.Day) {
	var ranges []messages.Range
	if r.known != nil {
		ranges = r.known.Ranges
	}
	r.noteDays(since, ranges)
}

func (r *route) noteDays(since messages.Day, ranges []messages.Range) {
	file := r.noteFile()
	if file == "" {
		return
	}
	known := state.Known{Identity: r.identity, Since: since, Ranges: ranges, Noted: time.Now().UTC().Truncate(time.Second)}
	known.Identity.Schema = messages.Schema
	had, err := state.ReadKnown(file)
	if err == nil && had != nil && had.Identity == known.Identity && had.Since == known.Since && slices.Equal(had.Ranges, known.Ranges) {
		return
	}
	if err = known.Write(file); err != nil && !r.unnoted.Swap(true) { // each scan tries again
		r.log.Warn("could not be noted that there is a ledger: if it is lost, this installation will not notice; let this user write to state.dir (FOCUS_STATE_DIR), or name another", "err", err)
	} else if err == nil {
		r.unnoted.Store(false)
	}
}

// sureMarks are marks that do not vanish unnoticed: a process that has seen them
// scans no more against a ledger without.
type sureMarks struct {
	scanner.Marks
	route *route
}

func (s sureMarks) Read(ctx context.Context, key string) ([]byte, uint64, error) {
	raw, revision, err := s.Marks.Read(ctx, key)
	if key != messages.MarksKey(s.route.cfg.OCI.Name) { // an order
		return raw, revision, err
	}
	if err == nil && raw == nil && s.route.hadMarks.Load() {
		return nil, 0, &messages.Fault{Class: messages.Queue, Op: "read " + key, Err: errors.New("the ledger is gone under this process")}
	}
	if raw != nil {
		s.route.hadMarks.Store(true)
	}
	return raw, revision, err
}

func (s sureMarks) Write(ctx context.Context, key string, value []byte, revision uint64) (uint64, error) {
	next, err := s.Marks.Write(ctx, key, value, revision)
	if err == nil && key == messages.MarksKey(s.route.cfg.OCI.Name) {
		s.route.hadMarks.Store(true)
	}
	return next, err
}

// vanished reports whether the ledger that this process works with is gone: the
// marks that stood there, which nothing erases.
func (r *route) vanished(ctx context.Context) bool {
	raw, _, err := r.ledger.Read(ctx, messages.MarksKey(r.cfg.OCI.Name))
	if raw != nil {
		r.hadMarks.Store(true)
	}
	return err == nil && raw == nil && r.hadMarks.Load()
}

// keep writes down, after a complete scan, what outlives the ledger.
func (r *route) keep(ctx context.Context) {
	r.note(ctx)
	if err := r.exportDaily(ctx, time.Now()); err != nil && ctx.Err() == nil {
		r.log.Error("the daily export of the ledger failed; the next scan tries again", "dir", r.cfg.State.ExportDir, "err", err)
	}
}

// keptExports is how many daily exports are kept.
const keptExports = 7

// exportDaily writes an export where there is none of this UTC day, and removes
// those that are too many.
func (r *route) exportDaily(ctx context.Context, now time.Time) error {
	dir := r.cfg.State.ExportDir
	if dir == "" {
		return nil
	}
	file := filepath.Join(dir, r.exportName(string(messages.DayOf(now))))
	if _, err := os.Stat(file); err == nil {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	err := state.WriteFile(file, func(w io.Writer) error {
		_, err := writeLines(ctx, w, r.cfg.OCI.Name, r.statePage)
		return err
	})
	if err != nil {
		return err
	}
	files := r.exports()
	for _, name := range files[:max(0, len(files)-keptExports)] {
		err = cmp.Or(err, os.Remove(filepath.Join(dir, name)))
	}
	return err
}

func (r *route) exportName(day string) string {
	return r.cfg.NATS.Prefix + "-" + r.cfg.OCI.Name + "-" + day + ".jsonl"
}

// exports are the daily exports of the route, oldest first.
func (r *route) exports() (names []string) {
	if r.cfg.State.ExportDir == "" {
		return nil
	}
	entries, _ := os.ReadDir(r.cfg.State.ExportDir) // what cannot be read offers nothing
	for _, e := range entries {
		if ok, _ := path.Match(r.exportName("????-??-??"), e.Name()); ok {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names
}

// A statePage is a part of the ledger, in the order of its keys.
type statePage struct {
	Lines []state.Line `json:"lines"`
	// Last is the key that the next page comes after; empty at the end.
	Last string `json:"last"`
	// Unreadable are keys whose values are no JSON: nobody reads them.
	Unreadable []string `json:"unreadable,omitempty"`
}

// pageSize is how many values a page has at most.
const pageSize = 2000

func (r *route) statePage(ctx context.Context, after string) (statePage, error) {
	values, last, err := r.ledger.Raw(ctx, after, pageSize)
	p := statePage{Lines: []state.Line{}, Last: last}
	for _, v := range values {
		if !json.Valid(v.Value) {
			p.Unreadable = append(p.Unreadable, v.Key)
			continue
		}
		p.Lines = append(p.Lines, state.Line{Key: v.Key, Value: v.Value})
	}
	return p, err
}

// pages gives the ledger page by page.
type pages func(ctx context.Context, after string) (statePage, error)

// each calls f with every value, and returns the keys of those nobody reads.
func (p pages) each(ctx context.Context, f func(state.Line) error) (unreadable []string, err error) {
	for after := ""; ; {
		page, err := p(ctx, after)
		if err != nil {
			return nil, err
		}
		for _, line := range page.Lines {
			if err := f(line); err != nil {
				return nil, err
			}
		}
		unreadable = append(unreadable, page.Unreadable...)
		if after = page.Last; after == "" {
			return unreadable, nil
		}
	}
}

// An exported is what an export holds.
type exported struct {
	Records    int      `json:"records"`
	Unreadable []string `json:"unreadable,omitempty"`
}

// writeLines writes the whole ledger as JSON lines.
func writeLines(ctx context.Context, w io.Writer, route string, p pages) (exported, error) {
	var out exported
	lines, err := state.NewWriter(w, route, time.Now())
	if err != nil {
		return out, err
	}
	out.Unreadable, err = p.each(ctx, func(l state.Line) error {
		if _, _, _, ok := messages.ParseRecordKey(l.Key); ok {
			out.Records++
		}
		return lines.Add(l)
	})
	if err != nil {
		return out, err
	}
	return out, lines.Close()
}
