package report

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"oracle-focus-agent/messages"
)

func TestSumsAreExact(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.StringMatching(`[-+]?[0-9]{1,25}(\.[0-9]{0,25})?([eE][-+]?[0-9]{1,2})?`), 1, 20).Draw(t, "amounts")
		got, want := &amount{}, new(big.Rat)
		for _, s := range texts {
			a, err := parseAmount(s)
			if err != nil {
				t.Fatalf("%q: %v", s, err)
			}
			got.add(a)
			r, ok := new(big.Rat).SetString(s)
			if !ok {
				t.Fatalf("%q is no number to math/big", s)
			}
			want.Add(want, r)
		}
		if got.rat().Cmp(want) != 0 {
			t.Fatalf("%q add up to %s, want %s", texts, got, want.FloatString(60))
		}
		again, err := parseAmount(got.String())
		if err != nil || again.rat().Cmp(want) != 0 || again.String() != got.String() {
			t.Fatalf("%s is read as %v, %v", got, again, err)
		}
	})
}

func TestWhatIsNoAmount(t *testing.T) {
	for _, s := range []string{"", "-", ".", "+-1", "--1", "1e", "1e999999999", "1e401", "NaN", "Inf", "0x10", "1_000", "1,5", " 1", "1..2", "1.2.3", strings.Repeat("9", 401)} {
		if a, err := parseAmount(s); err == nil {
			t.Errorf("%.20q is taken for %s", s, a)
		}
	}
	for s, want := range map[string]string{"1E-7": "0.0000001", "-0.00012345678901234567": "-0.00012345678901234567", "1e3": "1000", "-0": "0", "007.500": "7.5", ".5": "0.5"} {
		if a, err := parseAmount(s); err != nil || a.String() != want {
			t.Errorf("%s: %v, %v; want %s", s, a, err, want)
		}
	}
}

func TestAPurseTakesAllOrNothing(t *testing.T) {
	p := purse{}
	err := p.put([]messages.Sum{{Currency: "USD", Billed: "1", Effective: "1"}, {Currency: "USD", Billed: "1", Effective: "one"}}, every)
	if err == nil || len(p.costs()) > 0 {
		t.Errorf("after %v the purse holds %v", err, p.costs())
	}
}
