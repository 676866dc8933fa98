package verify

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"oracle-focus-agent/messages"
)

// ambiguous is why a file is neither there nor missing.
const ambiguous = "the destination forbids to look at it, though not at others: without s3:ListBucket that also is the answer for an object that is missing"

// compare finds what is to be said of each file of a day, or of those in only, in the
// order of their names. What waits for the destination to be understood is left to
// release.
func (r *run) compare(ctx context.Context, d messages.Day, listed listing, only map[string]bool) ([]Finding, error) {
	records, err := r.Ledger.Day(ctx, d)
	if err != nil {
		return nil, fmt.Errorf("read the ledger of %s: %w", d, err)
	}
	there, err := r.eyes.day(ctx, r.Rules, d)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for name := range listed {
		names[name] = true
	}
	for name := range records {
		names[name] = true
	}
	for name := range there {
		names[name] = true
	}
	var found []Finding
	var open []int // of found, that the destination decides
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if only != nil && !only[name] {
			continue
		}
		f, known, ok := r.expect(d, name, listed, records)
		if !ok {
			continue
		}
		if !known {
			open = append(open, len(found))
		}
		found = append(found, f)
	}
	if err := r.look(ctx, found, open, there); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(found, func(f Finding) bool { return f.Result == "" }), nil
}

// expect says what source and ledger tell of a file. known means that the destination
// has nothing to add; ok is false where there is nothing to compare.
func (r *run) expect(d messages.Day, name string, listed listing, records map[string]messages.Record) (f Finding, known, ok bool) {
	e, isListed := listed[name]
	record, had := records[name]
	f.Report = messages.Report{Day: d, Basename: name, Key: r.Rules.KeyPrefix + r.Rules.Naming.Key(d, name)}
	if isListed {
		f.Object = e.object
	}
	recorded := had && record.Epoch == r.Epoch
	if recorded {
		f.Record = record
	}
	switch {
	case isListed && !(recorded && record.Done(e.object, r.Epoch) && e.tooLarge == nil):
		f.Result, f.Why, known = r.undone(&f, e, recorded)
		return f, known, true
	case recorded:
		f.Result, f.Why, known = done(&f, isListed)
		return f, known, !known || f.Result != ""
	case had || d <= r.today.Add(-Horizon):
		return f, true, false
	}
	f.Result, f.Why = OnlyThere, "neither the source nor the ledger knows it"
	return f, true, true
}

// undone is what is to be said of a listed version that the ledger does not call done.
func (r *run) undone(f *Finding, e entry, recorded bool) (result Result, why string, known bool) {
	s := f.Record.Status
	switch {
	case recorded && s == messages.StatusCopied && f.Record.Object.SameVersion(e.object):
		return done(f, true) // delivered while the limit was another one
	case e.tooLarge != nil:
		return Missing, e.tooLarge.Error(), true
	case recorded && s == messages.StatusRetrying:
		return Pending, fmt.Sprintf("%d attempts have failed (%s); it is tried again", f.Record.Attempts, f.Record.Class), true
	case recorded && s == messages.StatusDue:
		return Pending, "another copy is ordered", true
	case recorded:
		return Pending, "the source has another version than the ledger", true
	case r.Responsible(f.Report.Day):
		return Pending, "not copied yet", true
	}
	f.Repairable = true
	return "", "", false
}

// done is what is to be said of the version of a record of this destination.
func done(f *Finding, listed bool) (result Result, why string, known bool) {
	rec, lost := f.Record, ""
	if !listed {
		lost = "; the source does not have it any more"
	}
	f.Repairable = listed
	switch rec.Status {
	case messages.StatusCopied:
		if rec.Copy == nil {
			return Failed, "its record does not say what was copied", true
		}
		return "", "", false
	case messages.StatusFailed:
		if rec.Class == messages.Held || rec.Class == messages.InvalidGzip {
			f.Repairable = false // an operator decides
		}
		return Missing, fmt.Sprintf("given up (%s): %s%s", rec.Class, rec.Error, lost), true
	case messages.StatusDiscarded:
		return Discarded, "discarded by an operator", true
	case messages.StatusGone:
		if listed {
			return Missing, "the ledger says that the source lost it, and yet the source lists it", true
		}
		if rec.Copy != nil { // of an earlier version
			return "", "", false
		}
		return "", "", true
	}
	if !listed {
		return Pending, "ordered or tried again, and the source does not list it any more", true
	}
	return Pending, "ordered or tried again", true
}

// look decides the open ones of found by the destination. Where objects can be asked
// for, that answer counts, which is the newer one.
func (r *run) look(ctx context.Context, found []Finding, open []int, there map[string]Stored) error {
	byList := func(f *Finding) (Result, string) {
		if s, is := there[f.Report.Basename]; is {
			return r.present(*f, s)
		}
		if c := f.Record.Copy; r.eyes.whole != nil && c != nil && c.At.After(r.eyes.listed.Add(-skew)) {
			return Pending, "copied while the destination was listed"
		}
		return r.absent(*f)
	}
	decide := func(f *Finding, s Stored, err error) {
		class := messages.ClassOf(err)
		switch {
		case err == nil:
			f.Result, f.Why = r.present(*f, s)
		case class == messages.Gone:
			f.Result, f.Why = r.absent(*f)
		case class != messages.Forbidden:
			f.Result, f.Why = Failed, err.Error()
		case r.eyes.heads == allowed && r.eyes.lists == allowed:
			f.Result, f.Why = Failed, "the destination forbids to look at it, though not at others"
		case r.eyes.heads == allowed:
			f.Result, f.Why = r.hidden(*f)
		case r.eyes.lists == allowed:
			f.Result, f.Why = byList(f)
		default:
			f.Result, f.Why = agree(*f)
		}
	}
	if r.eyes.heads == denied {
		for _, i := range open {
			decide(&found[i], Stored{}, messages.Forbidden)
		}
		return nil
	}
	return r.eyes.head(ctx, found, open, decide)
}

// hidden is what is to be said of a file that may be missing or not be looked at. Where
// the destination takes files away it is one of those: nothing is to be done about it.
func (r *run) hidden(f Finding) (Result, string) {
	if r.Ingests && f.Record.Copy != nil {
		return Ingested, "delivered " + when(f.Record) + ", and not to be seen since"
	}
	return Failed, ambiguous
}

// absent is what is to be said of a file that is not at the destination.
func (r *run) absent(f Finding) (Result, string) {
	switch rec := f.Record; {
	case rec.Status == "":
		return Missing, "never copied: it is of a day before the responsibility of this installation; `backfill` brings it"
	case r.Ingests:
		return Ingested, "delivered " + when(rec) + ", and taken away since"
	case f.Object.Name == "":
		return Missing, "delivered " + when(rec) + ", gone from the destination since; the source does not have it any more either"
	case rec.Inherited():
		return Missing, "delivered by the Python agent, as its state.json says, and not at the destination"
	default:
		return Missing, "delivered " + when(rec) + ", and gone from the destination since"
	}
}

func when(r messages.Record) string { return r.Copy.At.UTC().Format("2006-01-02 15:04 UTC") }

// agree compares source and ledger alone.
func agree(f Finding) (Result, string) {
	o, c := f.Object, f.Record.Copy
	switch {
	case c == nil:
		return Failed, "never copied by this installation, which is not responsible for its day; whether it is at the destination cannot be seen"
	case o.Name == "" || f.Record.Status != messages.StatusCopied:
		return Equal, ""
	case c.Size != o.Size:
		return Different, fmt.Sprintf("the source lists %d bytes, and %d were copied", o.Size, c.Size)
	case c.MD5 != "" && o.MD5 != "" && c.MD5 != o.MD5:
		return Different, fmt.Sprintf("the source declares the MD5 %s, and %s was copied", o.MD5, c.MD5)
	}
	return Equal, ""
}

// present is what is to be said of a file that stands at the destination.
func (r *run) present(f Finding, s Stored) (Result, string) {
	if f.Record.Copy == nil {
		return evidence(messages.FileCopied{Size: f.Object.Size, MD5: f.Object.MD5, CRC32C: f.Object.CRC32C}, f.Object.ETag, s)
	}
	if result, why := agree(f); result != Equal {
		return result, why
	}
	version := ""
	if h := f.Record.Copy.How; f.Record.Status == messages.StatusCopied && (h == messages.HowCopied || h == messages.HowAdopted) {
		version = f.Record.Object.ETag // of others the etag at the time of the copy is not known
	}
	return evidence(*f.Record.Copy, version, s)
}

// evidence compares what was copied, of which version of the source, with what stands
// there: the best that both sides know decides. Checksums speak of the bytes. An etag
// that looks like an MD5 is none where the destination encrypts with keys of its own,
// so that it says "different" only where it was the MD5 when the copy was made.
func evidence(c messages.FileCopied, version string, s Stored) (Result, string) {
	md5 := ""
	if sum, err := base64.StdEncoding.DecodeString(c.MD5); err == nil && len(sum) == 16 {
		md5 = hex.EncodeToString(sum)
	}
	sameSum, sums := s.CRC32C == c.CRC32C, s.CRC32C != "" && c.CRC32C != ""
	versions := s.SourceETag != "" && version != ""
	switch {
	case s.Size == c.Size && sums && sameSum:
		return Equal, "by CRC32C"
	case s.Size == c.Size && !sums && md5 != "" && strings.EqualFold(s.ETag, md5):
		return Equal, "by MD5"
	case versions && s.SourceETag != version:
		return Different, fmt.Sprintf("it is of version %s of the source, and the ledger has %s", s.SourceETag, version)
	case s.Size != c.Size:
		return Different, fmt.Sprintf("%d bytes stand there, and %d were copied", s.Size, c.Size)
	case sums && !sameSum:
		return Different, fmt.Sprintf("its CRC32C is %s, and %s was copied", s.CRC32C, c.CRC32C)
	case c.ETag != "" && s.ETag != "" && s.ETag != c.ETag:
		return Different, fmt.Sprintf("it was written again after the copy that the ledger knows: its etag is %s, and was %s", s.ETag, c.ETag)
	case c.ETag != "" && s.ETag != "":
		return Equal, "by the etag of its copy"
	case versions:
		return Equal, "by its version of the source"
	}
	return Equal, "by size"
}
