package simulator

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// firstID is the number of the first file of a Month: 16 digits, as Oracle's.
const firstID = 1_000_002_103_533

// Prefix is where Oracle keeps FOCUS reports in the bucket.
const Prefix = "FOCUS Reports/"

// Month is the FOCUS reports of a number of usage days, the last of them
// included, in the way Oracle writes them: a run every six hours writes one
// file for each usage date it has rows for, so the files of one day are
// created over up to two days, and their numbers increase with the time of
// creation over all days. A late file has few rows, or only the header; the
// others have about rows of them.
func Month(seed uint64, lastDay time.Time, days, filesPerDay, rows int) []Object {
	lastDay = lastDay.UTC().Truncate(24 * time.Hour)
	rng := rand.New(rand.NewPCG(seed, 1))
	var files []file
	for d := range days {
		day := lastDay.AddDate(0, 0, d+1-days)
		for n := range filesPerDay {
			files = append(files, newFile(rng, day, n, rows))
		}
	}
	slices.SortStableFunc(files, func(a, b file) int { return a.created.Compare(b.created) })
	objects := make([]Object, len(files))
	for i, f := range files {
		objects[i] = f.object(seed, firstID+int64(i)*7)
	}
	return objects
}

// file is one report before it has its number.
type file struct {
	day     time.Time
	created time.Time
	rows    int
}

// newFile is the n-th file of a usage day. The first four runs lie within the
// day or at its end, the rest bring what was late.
func newFile(rng *rand.Rand, day time.Time, n, rows int) file {
	delay := time.Duration(rng.IntN(50*60))*time.Second + time.Duration(rng.IntN(1000))*time.Millisecond
	run := n%7 + 1
	f := file{day: day, created: day.Add(time.Duration(run)*6*time.Hour + delay)}
	if run <= 4 {
		f.rows = rows/2 + rng.IntN(rows+1)
	} else if rng.IntN(10) > 0 {
		f.rows = rng.IntN(rows/8 + 2)
	}
	return f
}

func (f file) object(seed uint64, id int64) Object {
	name := ReportName(f.day, id, 1)
	return Object{
		Name:        name,
		Content:     FocusReport(seed^nameSeed(name), f.day, f.rows),
		Created:     f.created,
		Modified:    f.created,
		ContentType: "application/octet-stream",
	}
}

// ReportName is the object name of a report: its usage day, number and part.
func ReportName(day time.Time, id int64, part int) string {
	return fmt.Sprintf("%s%s/%016d-%05d.csv.gz", Prefix, day.UTC().Format("2006/01/02"), id, part)
}

func nameSeed(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}
