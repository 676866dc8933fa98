package focus

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// The columns that are counted, as places in a row's fields. Without each of the
// first four there is nothing to sum.
const (
	billed = iota
	effective
	currency
	period
	chargeStart
	chargeEnd
	subAccount
	account
	service
	backReference
	columns_
)

// names are those of the columns that are counted.
func names() [columns_]string {
	return [columns_]string{
		"BilledCost", "EffectiveCost", "BillingCurrency", "BillingPeriodStart", "ChargePeriodStart", "ChargePeriodEnd",
		"SubAccountId", "BillingAccountId", "ServiceName", "oci_BackReferenceNumber",
	}
}

// Columns are those of Oracle's reports, in their order: the set of FOCUS 1.0-preview
// with three names of Oracle's own, and ten of Oracle's.
func Columns() []string {
	return strings.Split("AvailabilityZone,BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,"+
		"BillingPeriodStart,ChargeCategory,ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,"+
		"ChargeSubcategory,CommitmentDiscountCategory,CommitmentDiscountId,CommitmentDiscountName,CommitmentDiscountType,"+
		"EffectiveCost,InvoiceIssuer,ListCost,ListUnitPrice,PricingCategory,PricingQuantity,PricingUnit,Provider,Publisher,"+
		"Region,ResourceId,ResourceName,ResourceType,ServiceCategory,ServiceName,SkuId,SkuPriceId,SubAccountId,"+
		"SubAccountName,Tags,UsageQuantity,UsageUnit,oci_ReferenceNumber,oci_CompartmentId,oci_CompartmentName,"+
		"oci_OverageFlag,oci_UnitPriceOverage,oci_BilledQuantityOverage,oci_CostOverage,oci_AttributedUsage,"+
		"oci_AttributedCost,oci_BackReferenceNumber", ",")
}

const maxNamed = 20 // columns that are named as missing, or as unknown

// header reads the first row. It is false where nothing can be counted.
func (t *tally) header(r *records) bool {
	r.slot, r.field = make([]int16, maxColumns), make([][]byte, maxColumns)
	for i := range r.slot {
		r.slot[i] = int16(i)
	}
	if !r.next() {
		return false
	}
	if r.width > maxColumns {
		t.skip(fmt.Sprintf("it has more than %d columns", maxColumns))
		return false
	}
	t.width = r.width
	header := make([]string, r.width)
	for i := range header {
		header[i] = string(r.field[i])
	}
	header[0] = strings.TrimPrefix(header[0], "\ufeff")
	if strings.ContainsAny(strings.Join(header, ""), "\r\n") {
		t.skip("its header has a line break in a name, as where lines end with CR alone") // then all rows may be in it, and would cost nothing
	}
	t.drift(header)
	r.slot, r.field = t.slots(header), make([][]byte, columns_)
	return true
}

// drift tells in what the header differs from Oracle's.
func (t *tally) drift(header []string) {
	known := Columns()
	for _, c := range known {
		if !slices.Contains(header, c) && len(t.stats.Missing) < maxNamed {
			t.stats.Missing = append(t.stats.Missing, c)
		}
	}
	seen := map[string]bool{}
	for _, c := range header {
		if seen[c] {
			t.problem(fmt.Sprintf("the column %q stands in the header twice; the first one is counted", short(c)))
		} else if !slices.Contains(known, c) && len(t.stats.Unknown) < maxNamed {
			t.stats.Unknown = append(t.stats.Unknown, short(c))
		}
		seen[c] = true
	}
}

// slots says where the columns go that are counted. FOCUS wants names of providers to
// begin with x_, so that a column of Oracle's may come to be called so.
func (t *tally) slots(header []string) []int16 {
	slots := make([]int16, len(header))
	for i := range slots {
		slots[i] = -1
	}
	for s, name := range names() {
		i := slices.Index(header, name)
		if i < 0 {
			i = slices.Index(header, "x_"+name)
		}
		if i >= 0 {
			slots[i] = int16(s)
		} else if s <= period {
			t.skip("nothing was summed: there is no column " + name)
		}
	}
	t.costs = t.stats.Skipped == ""
	return slots
}

// short makes of a text that came from outside one that fits into a record and a line.
func short(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > 100 {
		s = strings.ToValidUTF8(s[:97], "") + "..."
	}
	return s
}
