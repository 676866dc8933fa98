package verify_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"oracle-focus-agent/internal/verify"
	"oracle-focus-agent/messages"
)

// A file is one file of a random world, as its three sides have it. An empty string is
// a side that does not have it.
type file struct {
	day      messages.Day
	base     string
	listed   string // content at the source
	copied   string // content of the copy that the ledger has
	stored   string // content at the destination
	version  string // etag of the source
	recorded string // etag of the source in the record
	status   messages.Status
	how      string
	class    messages.Class
	epoch    int
}

func drawFile(t *rapid.T, i int) file {
	content := rapid.SampledFrom([]string{"", "aaaa", "bbbb", "ccc"})
	f := file{
		day: day(rapid.IntRange(-9, 1).Draw(t, "day")), base: fmt.Sprintf("%02d.csv.gz", i),
		listed: content.Draw(t, "listed"), copied: content.Draw(t, "copied"), stored: content.Draw(t, "stored"),
		status: rapid.SampledFrom([]messages.Status{
			messages.StatusCopied, messages.StatusCopied, messages.StatusCopied, messages.StatusGone, messages.StatusFailed,
			messages.StatusDiscarded, messages.StatusDue, messages.StatusRetrying,
		}).Draw(t, "status"),
		how:   rapid.SampledFrom([]string{messages.HowCopied, messages.HowAdopted, messages.HowRecorded, messages.HowPresumed}).Draw(t, "how"),
		class: rapid.SampledFrom([]messages.Class{messages.HashMismatch, messages.Held, messages.InvalidGzip}).Draw(t, "class"),
		epoch: rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(t, "epoch"),
	}
	f.version = "e-" + f.listed
	f.recorded = "e-" + f.copied
	if f.how == messages.HowRecorded && f.listed == f.copied && rapid.Bool().Draw(t, "renamed") {
		f.version, f.recorded = "new-"+f.listed, "new-"+f.listed // the same bytes under a new etag
	}
	return f
}

// hasRecord: a record without a copy is made for the statuses that have none.
func (f file) hasRecord() bool { return f.copied != "" }

func (f file) put(w *world, key string) {
	if f.listed != "" {
		w.list(f.day, f.base, f.listed, f.version)
	}
	if f.hasRecord() {
		w.record(f.day, f.base, f.copied, f.recorded, func(r *messages.Record) {
			r.Status, r.Copy.How, r.Class, r.Epoch = f.status, f.how, f.class, f.epoch
			if f.how == messages.HowPresumed {
				*r.Copy = messages.FileCopied{Size: r.Copy.Size, How: f.how, At: copiedAt()}
			}
		})
	}
	if f.stored != "" {
		w.put(key, f.stored, "e-"+f.stored)
	}
}

// naive is the verdict on a file of somebody who sees everything at once and knows the
// bytes. It is written from the documentation, not from the program. looked means that
// the destination decides.
func (f file) naive(w *world, canHead bool) (result verify.Result, exists, looked bool) {
	recorded := f.hasRecord() && f.epoch == 0
	responsible := f.day >= day(-5)
	sameVersion := recorded && f.version == f.recorded
	final := f.status != messages.StatusDue && f.status != messages.StatusRetrying
	switch {
	case f.listed != "" && (!recorded && responsible || recorded && (!sameVersion || !final)):
		return verify.Pending, true, false
	case f.listed != "" && !recorded:
		return f.atDestination(w, canHead, f.listed, ""), true, true
	case !recorded:
		return verify.OnlyThere, f.stored != "" && w.mayList && !f.hasRecord(), false
	}
	switch f.status {
	case messages.StatusDue, messages.StatusRetrying:
		return verify.Pending, true, false
	case messages.StatusFailed:
		return verify.Missing, true, false
	case messages.StatusDiscarded:
		return verify.Discarded, true, false
	case messages.StatusGone:
		if f.listed != "" {
			return verify.Missing, true, false
		}
	}
	return f.atDestination(w, canHead, f.copied, f.how), true, true
}

// atDestination holds what is stored against what should be.
func (f file) atDestination(w *world, canHead bool, want, how string) verify.Result {
	switch {
	case !canHead && !w.mayList:
		if how == "" {
			return verify.Failed
		}
		return verify.Equal
	case f.stored == "" && !w.mayList:
		return verify.Failed
	case f.stored == "":
		return verify.Missing
	case how == messages.HowPresumed || how == "" && !canHead:
		if len(f.stored) == len(want) {
			return verify.Equal
		}
		return verify.Different
	case f.stored == want:
		return verify.Equal
	}
	return verify.Different
}

// TestTheVerdictIsThatOfANaiveComparison: for any world and any rights.
func TestTheVerdictIsThatOfANaiveComparison(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld()
		w.mayHead, w.mayList = rapid.Bool().Draw(rt, "head"), rapid.Bool().Draw(rt, "list")
		template := rapid.SampledFrom([]string{flat, "{YYYY}_{MM}_{DD}/{basename}", "{basename}/{date}.csv.gz"}).Draw(rt, "template")
		v := w.verifier(t, template)
		var files []file
		for i := range rapid.IntRange(0, 14).Draw(rt, "files") {
			f := drawFile(rt, i)
			f.put(w, v.Rules.KeyPrefix+v.Rules.Naming.Key(f.day, f.base))
			files = append(files, f)
		}
		w.put("p/foreign.txt", "x", "")
		// Without the right to list, the right to look shows by the first object that is there.
		canHead := w.mayHead && w.mayList
		for _, f := range files {
			_, _, looked := f.naive(w, true)
			canHead = canHead || w.mayHead && looked && f.stored != ""
		}
		sum, found := run(t, v)
		for _, f := range files {
			want, exists, _ := f.naive(w, canHead)
			got, is := found[f.base]
			if is != exists || is && got.Result != want {
				rt.Fatalf("%+v\n got %q (%s), %t\nwant %q, %t\nhead %t, list %t: %+v", f, got.Result, got.Why, is, want, exists, canHead, w.mayList, sum)
			}
			delete(found, f.base)
			if is && got.Repairable && (f.listed == "" || !got.Result.Differs()) {
				rt.Fatalf("%+v is called repairable: %+v", f, got)
			}
		}
		if len(found) > 0 {
			rt.Fatalf("found beyond the files: %+v", found)
		}
	})
}
