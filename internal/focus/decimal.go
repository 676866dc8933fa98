package focus

import (
	"bytes"
	"math/big"
	"strings"
)

// The bounds of one decimal number. Costs by Oracle have some twenty digits.
const (
	maxDigits   = 38  // significant
	maxDecimals = 40  // behind the point
	maxZeros    = 20  // that an exponent may append
	maxNumber   = 100 // bytes of text
)

// An Amount is a sum of decimal numbers, exact whatever they are: 0.1 and 0.2 are 0.3.
// The zero value is 0.
type Amount struct {
	// small sums up, by the number of decimals, the terms that fit; what would not is in
	// large, in units of 10^-maxDecimals.
	small [maxDecimals + 1]int64
	large big.Int
}

// Add adds a decimal number, such as -0.00012345678901234567 or 1E-7. It is false,
// and nothing is added, where text is none, or one beyond any cost: of more than 38
// digits, or with an exponent that no price has.
func (a *Amount) Add(text []byte) bool {
	n, ok := parse(text)
	if !ok {
		return false
	}
	if v, ok := n.small(); ok {
		if sum := a.small[n.decimals] + v; sum > -1<<62 && sum < 1<<62 {
			a.small[n.decimals] = sum
			return true
		}
	}
	a.add(n.large(), n.decimals)
	return true
}

// add adds v units of 10^-decimals.
func (a *Amount) add(v *big.Int, decimals int) {
	a.large.Add(&a.large, v.Mul(v, power(maxDecimals-decimals)))
}

func power(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// String returns the sum as a plain decimal number without needless zeros.
func (a *Amount) String() string {
	var sum Amount
	sum.large.Set(&a.large)
	for decimals, v := range a.small {
		sum.add(big.NewInt(v), decimals)
	}
	text, negative := strings.CutPrefix(sum.large.String(), "-")
	if short := maxDecimals + 1 - len(text); short > 0 {
		text = strings.Repeat("0", short) + text
	}
	point := len(text) - maxDecimals
	text = strings.TrimRight(text[:point]+"."+text[point:], "0")
	text = strings.TrimSuffix(text, ".")
	if negative {
		text = "-" + text
	}
	return text
}

// A number is the digits of whole and fraction × 10^-decimals.
type number struct {
	whole, fraction []byte // as they are written, without needless zeros
	digits          int    // of both that are significant
	decimals        int
	negative        bool
}

// parse reads [+-]digits[.digits][(e|E)[+-]digits]; either of the first two may lack
// its digits, but not both.
func parse(text []byte) (n number, ok bool) {
	if len(text) == 0 || len(text) > maxNumber {
		return n, false
	}
	if text[0] == '-' || text[0] == '+' {
		n.negative = text[0] == '-'
		text = text[1:]
	}
	n.whole, text = cut(text)
	if len(text) > 0 && text[0] == '.' {
		n.fraction, text = cut(text[1:])
	}
	if len(n.whole)+len(n.fraction) == 0 {
		return n, false
	}
	n.whole, n.fraction = bytes.TrimLeft(n.whole, "0"), bytes.TrimRight(n.fraction, "0")
	n.decimals, n.digits = len(n.fraction), len(n.whole)+len(n.fraction)
	if len(n.whole) == 0 {
		n.digits = len(bytes.TrimLeft(n.fraction, "0"))
	}
	if len(text) > 0 {
		exponent, ok := exponent(text)
		if !ok {
			return n, false
		}
		n.decimals -= exponent
	}
	if n.digits == 0 {
		return number{}, true
	}
	return n, n.digits <= maxDigits && n.decimals <= maxDecimals && n.decimals >= -maxZeros
}

// small is n in units of 10^-decimals, where that fits.
func (n number) small() (v int64, ok bool) {
	if n.digits > 18 || n.decimals < 0 {
		return 0, false
	}
	for _, d := range n.whole {
		v = v*10 + int64(d-'0')
	}
	for _, d := range n.fraction {
		v = v*10 + int64(d-'0')
	}
	if n.negative {
		v = -v
	}
	return v, true
}

// large is the same, and always fits.
func (n number) large() *big.Int {
	v, _ := new(big.Int).SetString(string(n.whole)+string(n.fraction), 10)
	if n.negative {
		v.Neg(v)
	}
	return v
}

func exponent(text []byte) (n int, ok bool) {
	if text[0] != 'e' && text[0] != 'E' {
		return 0, false
	}
	sign := 1
	if text = text[1:]; len(text) > 0 && (text[0] == '-' || text[0] == '+') {
		if text[0] == '-' {
			sign = -1
		}
		text = text[1:]
	}
	digits, rest := cut(text)
	if len(rest) > 0 || len(digits) == 0 || len(digits) > 9 {
		return 0, false
	}
	for _, d := range digits {
		n = n*10 + int(d-'0')
	}
	return sign * n, true
}

// cut splits off the digits that text begins with.
func cut(text []byte) (digits, rest []byte) {
	for i, d := range text {
		if d < '0' || d > '9' {
			return text[:i], text[i:]
		}
	}
	return text, nil
}
