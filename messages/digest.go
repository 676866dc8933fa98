package messages

import "time"

// A DigestNote says which daily digest was told last, so that no scanner and no restart
// tells it again. It stands in the ledger before the digest is sent.
type DigestNote struct {
	Schema int `json:"schema"`
	// Until is the end of the 24 hours that the digest is about.
	Until time.Time `json:"until"`
	By    string    `json:"by"` // host/pid
	At    time.Time `json:"at"`
}

// Encode returns the JSON form of d.
func (d DigestNote) Encode() ([]byte, error) {
	d.Schema = Schema
	return encode("note of the digest", d)
}

// DecodeDigestNote reads what Encode wrote.
func DecodeDigestNote(b []byte) (DigestNote, error) {
	var d DigestNote
	if err := decode("note of the digest", b, &d); err != nil {
		return DigestNote{}, err
	}
	return d, nil
}

// DigestKey is the ledger key of the note of a route.
func DigestKey(route string) string { return route + ".digest" }
