package report

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"

	"oracle-focus-agent/messages"
)

// maxScale bounds the digits before and after the point, so that no text makes a
// number that takes the memory of the machine.
const maxScale = 400

// An amount is an exact decimal number: unscaled / 10^scale. It reads sums of reports,
// which have more digits than internal/focus takes of one row.
type amount struct {
	unscaled big.Int
	scale    int
}

// parseAmount reads digits with an optional sign, point and exponent.
func parseAmount(s string) (*amount, error) {
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		e, err := strconv.Atoi(s[i+1:])
		if err != nil || e < -maxScale || e > maxScale {
			return nil, fmt.Errorf("%.50q is no amount", s)
		}
		mantissa, exponent = s[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole, "+-") + fraction
	if len(whole)-len(strings.TrimLeft(whole, "+-")) > 1 || digits == "" || len(digits) > maxScale || strings.Trim(digits, "0123456789") != "" {
		return nil, fmt.Errorf("%.50q is no amount", s)
	}
	a := &amount{scale: len(fraction) - exponent}
	a.unscaled.SetString(digits, 10)
	if strings.HasPrefix(whole, "-") {
		a.unscaled.Neg(&a.unscaled)
	}
	if a.scale < 0 {
		a.rescale(0)
	}
	return a, nil
}

// rescale brings a to a scale that is not less than its own.
func (a *amount) rescale(scale int) {
	factor := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale-a.scale)), nil)
	a.unscaled.Mul(&a.unscaled, factor)
	a.scale = scale
}

func (a *amount) add(b *amount) {
	c := amount{scale: b.scale}
	c.unscaled.Set(&b.unscaled)
	scale := max(a.scale, c.scale)
	a.rescale(scale)
	c.rescale(scale)
	a.unscaled.Add(&a.unscaled, &c.unscaled)
}

func (a *amount) minus(b *amount) *amount {
	d := amount{scale: b.scale}
	d.unscaled.Neg(&b.unscaled)
	d.add(a)
	return &d
}

func (a *amount) rat() *big.Rat {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(a.scale)), nil)
	return new(big.Rat).SetFrac(&a.unscaled, unit)
}

// String is the one form of a number: no exponent, no needless zero.
func (a *amount) String() string {
	digits := new(big.Int).Abs(&a.unscaled).String()
	if n := a.scale + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	point := len(digits) - a.scale
	out := digits[:point]
	if fraction := strings.TrimRight(digits[point:], "0"); fraction != "" {
		out += "." + fraction
	}
	if a.unscaled.Sign() < 0 {
		out = "-" + out
	}
	return out
}

// cents is an amount to look at: rounded to two places.
func cents(s string) string {
	a, err := parseAmount(s)
	if err != nil {
		return s
	}
	return a.rat().FloatString(2)
}

// A purse sums costs per currency.
type purse map[string]*[2]amount // billed, effective

// put adds the sums of which keep says so, all or none of them: after an error the
// purse is as it was.
func (p purse) put(sums []messages.Sum, keep func(messages.Sum) bool) error {
	type coin struct {
		currency          string
		billed, effective *amount
	}
	var coins []coin
	for _, s := range sums {
		if !keep(s) {
			continue
		}
		billed, err := parseAmount(s.Billed)
		if err != nil {
			return fmt.Errorf("billed cost: %w", err)
		}
		effective, err := parseAmount(s.Effective)
		if err != nil {
			return fmt.Errorf("effective cost: %w", err)
		}
		coins = append(coins, coin{s.Currency, billed, effective})
	}
	for _, c := range coins {
		if p[c.currency] == nil {
			p[c.currency] = &[2]amount{}
		}
		p[c.currency][0].add(c.billed)
		p[c.currency][1].add(c.effective)
	}
	return nil
}

func every(messages.Sum) bool { return true }

// merge adds what another purse holds.
func (p purse) merge(o purse) {
	for currency, sums := range o {
		if p[currency] == nil {
			p[currency] = &[2]amount{}
		}
		p[currency][0].add(&sums[0])
		p[currency][1].add(&sums[1])
	}
}

// costs is what the purse holds, by currency.
func (p purse) costs() []Cost {
	out := []Cost{}
	for _, currency := range slices.Sorted(maps.Keys(p)) {
		out = append(out, Cost{currency, p[currency][0].String(), p[currency][1].String()})
	}
	return out
}
