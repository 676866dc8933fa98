package agent

import (
	"testing"
	"time"

	"oracle-focus-agent/messages"
	"oracle-focus-agent/scanner"
)

// A record that has come is not kept once its file is found, in whatever order the two
// come: a sync of a million files holds no million records.
func TestASyncKeepsNoRecordOfAFileThatItHasFound(t *testing.T) {
	report := messages.Report{Day: "2024-11-28", Basename: "a.csv.gz"}
	found := scanner.Outcome{Report: report, Finding: scanner.Published}
	record := messages.Record{Status: messages.StatusCopied, At: time.Now(), Copy: &messages.FileCopied{How: messages.HowCopied}}
	for _, firstFound := range []bool{true, false} {
		s := &Sync{
			Scanner: scanner.Scanner{Route: "main"}, started: time.Now(), wake: make(chan struct{}, 1),
			seen: map[string]messages.Record{}, pending: map[string]scanner.Outcome{},
		}
		key := messages.RecordKey("main", report)
		if firstFound {
			s.found(found)
			s.changed(key, record)
		} else {
			s.changed(key, record)
			s.found(found)
		}
		if s.sum.Transferred != 1 || len(s.pending) != 0 || len(s.seen) != 0 {
			t.Errorf("found first: %t: %+v, %d files are waited for, %d records are kept", firstFound, s.sum, len(s.pending), len(s.seen))
		}
	}
}
