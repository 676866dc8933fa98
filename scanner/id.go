package scanner

import "math/rand/v2"

// id is n random letters, which correlate log lines. It is no secret, so it does not
// take from the generator for secrets: in FIPS 140-3 mode that one seeds itself from
// the jitter of the clock, which is none under the fake clock of a test.
func id(n int) string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
	out := make([]byte, n)
	for i := range out {
		out[i] = letters[rand.N(len(letters))]
	}
	return string(out)
}
