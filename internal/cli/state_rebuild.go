package cli

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"oracle-focus-agent/copier"
	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

type rebuildOptions struct {
	from              string
	dryRun, yes, json bool
}

func (a *app) stateRebuildCommand() *cobra.Command {
	var o rebuildOptions
	cmd := &cobra.Command{
		Use: "rebuild", Short: "Record the files that are found at the destination", Args: cobra.NoArgs,
		Long: `For each listed report without a record, look for its object at the destination,
by HEAD, or by a listing where HEAD is not allowed. What is provably that version
is recorded and will not be sent again: the size and the etag of the source that
this program notes with each object, or the size and the MD5. The rest is left to
be copied. It needs s3:GetObject or s3:ListBucket, which copying does not.`,
		Example: "  oracle-focus-agent state rebuild --dry-run\n  oracle-focus-agent state rebuild --from 2026-01-01",
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.stateRebuild(cmd.Context(), o) },
	}
	cmd.Flags().StringVar(&o.from, "from", "", "first report day, YYYY-MM-DD (default: what the installation was responsible for)")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "show what would be recorded and write nothing")
	cmd.Flags().BoolVar(&o.yes, "yes", false, "do not ask")
	cmd.Flags().BoolVar(&o.json, "json", false, "print what was found as one JSON object")
	return cmd
}

// A rebuilt is what `state rebuild` found.
type rebuilt struct {
	From     messages.Day `json:"from"`
	By       string       `json:"looked_by"` // head or list
	Recorded int          `json:"already_recorded"`
	Found    int          `json:"found"`
	Missing  int          `json:"missing"`
	// Unproven objects are there under the right key, but nothing proves that they are
	// the present version.
	Unproven int `json:"unproven"`
	Written  int `json:"written"`

	candidates []scanner.Outcome
	records    []keyed
}

func (a *app) stateRebuild(ctx context.Context, o rebuildOptions) (err error) {
	cfg, naming, err := a.load()
	if err != nil {
		return err
	}
	if o.from != "" && !messages.Day(o.from).Valid() {
		return &coded{exitConfig, fmt.Errorf("--from %q: use a day of the calendar, YYYY-MM-DD", o.from)}
	}
	r := &route{cfg: cfg, naming: naming, log: quietLog()}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.openToFill(ctx, o.dryRun); err != nil {
		return err
	}
	b := &rebuilt{By: "head"}
	if b.From, err = r.rebuildFrom(ctx, messages.Day(o.from)); err != nil {
		return err
	}
	if err := r.lookThrough(ctx, b.From, b.take); err != nil {
		return err
	}
	if err := r.inspect(ctx, b); err != nil {
		return err
	}
	return a.finishImport(ctx, importOptions{dryRun: o.dryRun, yes: o.yes, json: o.json}, b, b.rows(), func() error { return r.fill(ctx, b.From, b.records, &b.Written, &b.Recorded) })
}

// rebuildFrom is the first day to look at: as far back as any knowledge of the
// installation's responsibility goes.
func (r *route) rebuildFrom(ctx context.Context, asked messages.Day) (messages.Day, error) {
	if asked != "" {
		return asked, nil
	}
	first := firstDay(r.cfg, r.windowStart())
	if r.known != nil && r.known.Since != "" {
		first = min(first, r.known.Since)
	}
	if r.ledger == nil {
		return first, nil
	}
	m, _, err := r.readMarks(ctx)
	if err == nil && m != nil && m.Since != "" {
		first = min(first, m.Since)
	}
	return first, err
}

func (b *rebuilt) take(out scanner.Outcome) {
	switch {
	case out.Report.Key == "":
	case out.Record.Status != "":
		b.Recorded++
	default:
		b.candidates = append(b.candidates, out)
	}
}

// inspect looks for the candidates at the destination.
func (r *route) inspect(ctx context.Context, b *rebuilt) error {
	stored, err := r.headAll(ctx, b.candidates)
	if errors.Is(err, messages.Forbidden) {
		b.By = "list"
		var denied error
		if stored, denied = r.listAll(ctx, b.candidates); denied != nil {
			return errors.Join(err, denied, errors.New("nothing was written: the destination lets nobody look; restore an export, or go on with --resend"))
		}
		err = nil
	}
	if err != nil {
		return err
	}
	now := time.Now().UTC()
	for _, out := range b.candidates {
		s, there := stored[out.Report.Key]
		verified, proven := proof(out.Object, s)
		switch {
		case !there:
			b.Missing++
		case !proven:
			b.Unproven++
		default:
			b.Found++
			b.records = append(b.records, keyed{messages.RecordKey(r.cfg.OCI.Name, out.Report), messages.Record{
				Status: messages.StatusCopied, Object: out.Object, Copy: &messages.FileCopied{
					Key: out.Report.Key, ETag: s.ETag, Size: s.Size, CRC32C: s.CRC32C, MD5: out.Object.MD5, Verified: verified, How: messages.HowAdopted, At: now,
				},
			}})
		}
	}
	return nil
}

// proof says what proves that a stored object is o. The etag of an object that was
// put in one piece is its MD5; others only look like none.
func proof(o messages.Object, s copier.Stored) (verified string, ok bool) {
	if s.Size != o.Size {
		return "", false
	}
	if sum, err := base64.StdEncoding.DecodeString(o.MD5); err == nil && len(sum) == 16 && strings.EqualFold(s.ETag, hex.EncodeToString(sum)) {
		return messages.ByMD5, true
	}
	return messages.BySize, o.ETag != "" && s.SourceETag == o.ETag
}

// headAll asks for each candidate, a few at a time. The first error that is not
// about one object ends it.
func (r *route) headAll(ctx context.Context, candidates []scanner.Outcome) (map[string]copier.Stored, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keys := make(chan string)
	stored := map[string]copier.Stored{}
	var mu sync.Mutex
	var asking sync.WaitGroup
	for range r.cfg.Agent.MaxConcurrentTransfers {
		asking.Go(func() {
			for key := range keys {
				s, err := r.dest.Head(ctx, key)
				if err != nil && !errors.Is(err, messages.Gone) {
					cancel(err)
				}
				if err == nil {
					mu.Lock()
					stored[key] = s
					mu.Unlock()
				}
			}
		})
	}
	for _, out := range candidates {
		if ctx.Err() != nil {
			break
		}
		keys <- out.Report.Key
	}
	close(keys)
	asking.Wait()
	return stored, context.Cause(ctx)
}

// listAll finds the candidates in a listing of the destination.
func (r *route) listAll(ctx context.Context, candidates []scanner.Outcome) (map[string]copier.Stored, error) {
	wanted := make(map[string]bool, len(candidates))
	for _, out := range candidates {
		wanted[out.Report.Key] = true
	}
	stored := map[string]copier.Stored{}
	for l, err := range r.dest.List(ctx, r.cfg.S3.KeyPrefix()) {
		if err != nil {
			return nil, err
		}
		if wanted[l.Key] {
			stored[l.Key] = l.Stored
		}
	}
	return stored, nil
}

func (b *rebuilt) rows() [][2]string {
	by := "by HEAD"
	if b.By == "list" {
		by = "by a listing, since HEAD is not allowed: what was sent in parts cannot be proven"
	}
	return [][2]string{
		{"looked", fmt.Sprintf("at the reports from %s on, %s", b.From, by)},
		{"in the ledger", fmt.Sprintf("%d files have a record already, which stays", b.Recorded)},
		{"found", fmt.Sprintf("%d files, proven; they will not be sent again", b.Found)},
		{"missing", fmt.Sprintf("%d files will be copied", b.Missing)},
		{"unproven", fmt.Sprintf("%d files have an object of which nothing proves that it is theirs; they will be copied", b.Unproven)},
	}
}
