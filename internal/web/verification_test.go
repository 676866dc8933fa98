package web_test

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"oracle-focus-agent/messages"
)

// Before there was a comparison nothing is known, and a zero would read as "nothing differs".
func TestTheLastComparisonIsShownOnceThereWasOne(t *testing.T) {
	m := metrics(nil)
	for _, name := range []string{"focus_verification_files", "focus_verification_timestamp_seconds", "focus_verification_destination_readable"} {
		if got, err := testutil.GatherAndCount(m.Gatherer(), name); got != 0 || err != nil {
			t.Errorf("%s has %d series (%v)", name, got, err)
		}
	}
	v := messages.Verification{
		Started: time.Unix(1_700_000_000, 0), Destination: "head", Equal: 1, Pending: 2, Missing: 3, OnlyThere: 4, Different: 5, Errors: 6, Ingested: 7, Discarded: 8,
	}
	m.Verified(v)
	compare(t, m, `focus_verification_files{result="different"} 5
		focus_verification_files{result="discarded"} 8
		focus_verification_files{result="equal"} 1
		focus_verification_files{result="error"} 6
		focus_verification_files{result="ingested"} 7
		focus_verification_files{result="missing"} 3
		focus_verification_files{result="only_there"} 4
		focus_verification_files{result="pending"} 2`)
	compare(t, m, "focus_verification_timestamp_seconds 1.7e+09")
	compare(t, m, "focus_verification_destination_readable 1")
	v.Destination = "unreadable"
	m.Verified(v)
	compare(t, m, "focus_verification_destination_readable 0")
}
