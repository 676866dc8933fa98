package copier

import (
	"hash/crc32"
	"testing"

	"pgregory.net/rapid"
)

// TestJoinedSumsAreThatOfTheWhole, however it is split.
func TestJoinedSumsAreThatOfTheWhole(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "bytes")
		want, got := crc32.Checksum(b, table), uint32(0)
		for len(b) > 0 {
			n := rapid.IntRange(0, len(b)).Draw(t, "n")
			if rapid.Bool().Draw(t, "all") {
				n = len(b)
			}
			got = join(got, crc32.Checksum(b[:n], table), int64(n))
			b = b[n:]
		}
		if got != want {
			t.Fatalf("joined %08x, want %08x", got, want)
		}
	})
}

// TestJoinOfLargeParts: of megabytes against their bytes, and of more than 32 bits of them
// against the same in two steps.
func TestJoinOfLargeParts(t *testing.T) {
	b := make([]byte, 9<<20)
	for i := range b {
		b[i] = byte(i * i >> 3)
	}
	if got := join(extend(0, b[:1<<20]), extend(0, b[1<<20:]), 8<<20); got != extend(0, b) {
		t.Errorf("joined %08x, want %08x", got, extend(0, b))
	}
	const long = 5 << 40
	if once, twice := join(0x12345678, 0, long), join(join(0x12345678, 0, long-7), 0, 7); once != twice {
		t.Errorf("joined %08x at once, %08x in two steps", once, twice)
	}
}
