package state

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"oracle-focus-agent/messages"
)

// A Known is the note that an installation has a ledger. It is written once a
// scan was complete, beside the queue and not in it, so that it outlives the
// ledger and tells a lost one from one that never was.
type Known struct {
	Identity messages.Identity `json:"identity"`
	// Since is the first report day that the installation is responsible for.
	Since messages.Day `json:"since"`
	// Ranges are days before Since that backfills made it responsible for, too.
	Ranges []messages.Range `json:"ranges,omitempty"`
	Noted  time.Time        `json:"noted"`
}

// ReadKnown reads the note; it is nil where there is none. One that cannot be read
// is a note all the same: there was a ledger.
func ReadKnown(path string) (*Known, error) {
	raw, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var k Known
	if err := json.Unmarshal(raw, &k); err != nil || k.Since != "" && !k.Since.Valid() {
		return &Known{}, nil
	}
	if slices.ContainsFunc(k.Ranges, func(r messages.Range) bool { return !r.Valid() }) {
		k.Ranges = nil
	}
	return &k, nil
}

// Write replaces the note.
func (k Known) Write(path string) error {
	return WriteFile(path, func(w io.Writer) error {
		raw, err := json.MarshalIndent(k, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "%s\n", raw)
		return err
	})
}
