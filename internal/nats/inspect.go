package nats

import (
	"context"

	"oracle-focus-agent/messages"
)

// A Verdict is what an asset is to this program.
type Verdict string

// The verdicts. Setup acts on Missing and Outdated, and on nothing while one is Refused.
const (
	Current  Verdict = "current"
	Missing  Verdict = "missing"
	Outdated Verdict = "outdated" // of a lower schema, or unlike the configuration
	Newer    Verdict = "newer"    // of a higher schema, which this version leaves as it is
	Refused  Verdict = "refused"  // somebody has to decide
)

// An Inspection is one asset as the server has it.
type Inspection struct {
	Asset   string  `json:"asset"`
	Verdict Verdict `json:"verdict"`
	// Schema is the number that the asset carries; 0 where it has none.
	Schema      int          `json:"schema"`
	Differences []Difference `json:"differences"`
}

// Inspect tells what Setup with Create would find, and changes nothing. remedy
// is for what is Refused, and empty where nothing is.
func Inspect(ctx context.Context, c *Conn, a messages.Assets) (all []Inspection, remedy string, err error) {
	changes, err := planAll(ctx, c, a, Create)
	if err != nil {
		return nil, "", err
	}
	var refused []Difference
	for _, ch := range changes {
		all = append(all, ch.inspection())
		refused = append(refused, ch.refused...)
	}
	if len(refused) > 0 {
		remedy = remedyFor(refused, Create)
	}
	return all, remedy, nil
}

func (ch change) inspection() Inspection {
	i := Inspection{Asset: ch.name, Verdict: Current, Schema: ch.schema, Differences: ch.differences}
	switch {
	case ch.missing:
		i.Verdict = Missing
	case len(ch.refused) > 0:
		i.Verdict = Refused
	case ch.do != nil:
		i.Verdict = Outdated
	case ch.schema > messages.AssetSchema:
		i.Verdict = Newer
	}
	if i.Differences == nil {
		i.Differences = ch.refused // of a kind that cannot even be compared
	}
	if i.Differences == nil {
		i.Differences = []Difference{}
	}
	return i
}
